"""Each protocol holds in all executions, breaks where an order that it needs is weaker, and is what the source says."""

import re

import channel
import epoch
import map as map_table
import park
import pytest
from explorer import SC, explore, load, peek, poke, store, update
from protocols import ROOT, Protocol, body_of, source_of

PROTOCOLS = [p for module in (channel, epoch, map_table, park) for p in vars(module).values() if isinstance(p, Protocol)]
ORDERS = [(p, o) for p in PROTOCOLS for o in p.orders]
WEAKENED = [(p, o) for p, o in ORDERS if o.needed or o.weaker is not None]
NAMED_IN = ("atomics", "objects", "runtime", "tunnel")


def named(rows):
    return pytest.mark.parametrize("protocol, order", rows, ids=[f"{p.name}-{o.name}" for p, o in rows])


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_a_protocol_holds_in_all_executions(protocol):
    outcome = protocol.explore()
    assert outcome.violations == []
    for wanted in protocol.reaches:  # the threads do meet
        assert any(wanted(*values) for values in outcome.returned), outcome.returned


@named(WEAKENED)
def test_an_order_is_needed_or_is_said_not_to_be(protocol, order):
    violations = protocol.explore(order.name).violations
    assert bool(violations) == order.needed, "\n".join(violations)
    assert order.needed != bool(order.why)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_each_protocol_can_be_broken(protocol):
    assert any(o.needed for o in protocol.orders)


@named(ORDERS)
def test_the_source_says_so(protocol, order):
    assert order.text in body_of(order.file, order.function), f"{order.function} of {order.file} does not say {order.text}"


def mentions():
    """(file, name) of each "litmus NAME" in a comment of the sources."""
    return [(str(path.relative_to(ROOT)), name) for folder in NAMED_IN for path in sorted((ROOT / folder).rglob("*.[ch]"))
            for name in re.findall(r"\blitmus\s+(?:\*\s+)?(\w+)", path.read_text(encoding="utf-8"))]


def test_the_sources_name_the_protocols_and_no_others():
    assert {name for _, name in mentions()} == {p.name for p in PROTOCOLS}
    for file, name in mentions():
        protocol = next(p for p in PROTOCOLS if p.name == name)
        files = {o.file for o in protocol.orders}
        assert {file.rpartition(".")[0]} & {f.rpartition(".")[0] for f in files}, f"{file} names {name}, which is about {files}"


def test_a_function_is_found_by_its_name():
    assert body_of("atomics/lock/ttas.h", "ot_lk_ttas_unlock").startswith("ot_lk_ttas_unlock(ot_lk_ttas_t *lk)")
    assert body_of("atomics/lock/ttas.h", "no_such_function") == ""
    assert "ot_lk_ttas_unlock" in source_of("atomics/lock/ttas.h")


def test_an_exchange_in_the_place_of_the_readers_barrier_is_too_little():
    """What ot_epoch_enter_as once did where membarrier is refused: C does not order what comes behind it."""
    def reader():
        yield update("turn", lambda old: 1, SC)
        yield load("turn", SC)
        if (yield load("link", "acquire")):
            yield peek("entry")

    def remover():
        yield store("link", 0, "release")
        yield update("own turn", lambda old: old, SC)
        if not (yield load("turn", SC)):
            yield poke("entry", "freed")
    assert "race for entry" in explore(reader, remover, initial={"link": 1}).violations[0]
