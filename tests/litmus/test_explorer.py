"""The explorer on the shapes that everybody knows, and against the axioms on random programs."""

import random

import axioms
import pytest
from explorer import (ACQ, ACQ_REL, FREED, REL, RLX, SC, Operation, Violation, cas, check, choose, explore, fence, heavy, light,
                      load, lock, peek, poke, store, unlock, update)


def thread_of(operations, name="thread"):
    """A thread that does these, and returns what its loads and updates found."""
    def thread():
        found = []
        for operation in operations:
            result = yield operation
            if operation.kind not in ("store", "fence", "light", "heavy"):
                found.append(result)
        return tuple(found)
    thread.__name__ = name
    return thread


def returned(*threads, initial=None):
    outcome = explore(*(thread_of(t, f"thread {i}") for i, t in enumerate(threads)), initial=initial)
    assert outcome.violations == []
    return outcome.returned


def store_buffering(write, read, between=()):
    threads = ((store("x", 1, write), *between, load("y", read)), (store("y", 1, write), *between, load("x", read)))
    return ((0,), (0,)) in returned(*threads)


@pytest.mark.parametrize("write, read, between, allowed", [
    (RLX, RLX, (), True), (REL, ACQ, (), True), (SC, SC, (), False), (REL, SC, (), True), (SC, ACQ, (), True),
    (RLX, RLX, (fence(SC),), False), (RLX, RLX, (fence(ACQ_REL),), True)])
def test_store_buffering(write, read, between, allowed):
    assert store_buffering(write, read, between) == allowed


def test_a_seq_cst_exchange_is_no_fence():
    """On x86-64 it is one; C promises nothing to the relaxed load behind it."""
    exchange = update("own", lambda old: 1, SC)
    other = update("another", lambda old: 1, SC)
    assert ((0, 0), (0, 0)) in returned((store("x", 1, RLX), exchange, load("y", RLX)), (store("y", 1, RLX), other, load("x", RLX)))


@pytest.mark.parametrize("first, second, allowed", [(light, heavy, False), (light, light, True), (heavy, heavy, False)])
def test_store_buffering_with_a_membarrier(first, second, allowed):
    threads = ((store("x", 1, RLX), first(), load("y", RLX)), (store("y", 1, RLX), second(), load("x", RLX)))
    assert (((0,), (0,)) in returned(*threads)) == allowed


@pytest.mark.parametrize("write, read, allowed", [(RLX, RLX, True), (REL, RLX, True), (RLX, ACQ, True), (REL, ACQ, False), (SC, SC, False)])
def test_message_passing(write, read, allowed):
    got = returned((store("x", 1, RLX), store("flag", 1, write)), (load("flag", read), load("x", RLX)))
    assert (((), (1, 0)) in got) == allowed and ((), (1, 1)) in got and ((), (0, 0)) in got


def test_message_passing_by_fences():
    sender = store("x", 1, RLX), fence(REL), store("flag", 1, RLX)
    assert ((), (1, 0)) not in returned(sender, (load("flag", RLX), fence(ACQ), load("x", RLX)))
    assert ((), (1, 0)) in returned(sender, (load("flag", RLX), fence(REL), load("x", RLX)))


def test_a_release_sequence_goes_on_through_updates_only():
    sender, receiver = (store("x", 1, RLX), store("flag", 1, REL)), (load("flag", ACQ), load("x", RLX))
    assert ((), (1,), (2, 0)) not in returned(sender, (update("flag", lambda old: old + 1, RLX),), receiver)
    assert ((), (), (2, 0)) in returned(sender, (store("flag", 2, RLX),), receiver)


def test_load_buffering_never_happens_in_this_model():
    """Arm64 and C have it for relaxed accesses: none of our protocols may lean on its absence."""
    assert ((1,), (1,)) not in returned((load("x", RLX), store("y", 1, RLX)), (load("y", RLX), store("x", 1, RLX)))


@pytest.mark.parametrize("read, write, between, allowed", [(ACQ, REL, (), True), (SC, SC, (), False), (RLX, RLX, (fence(SC),), False)])
def test_independent_reads_of_independent_writes(read, write, between, allowed):
    got = returned((store("x", 1, write),), (store("y", 1, write),), (load("x", read), *between, load("y", read)),
                   (load("y", read), *between, load("x", read)))
    assert (((), (), (1, 0), (1, 0)) in got) == allowed


@pytest.mark.parametrize("order, allowed", [(RLX, True), (SC, False)])
def test_two_stores_each_in_either_order(order, allowed):
    got = returned((store("x", 1, order), store("y", 2, order)), (store("y", 1, order), store("x", 2, order)),
                   (load("x", RLX), load("x", RLX)), (load("y", RLX), load("y", RLX)))
    assert any(x == (2, 1) and y == (2, 1) for _, _, x, y in got) == allowed


def test_write_to_read_causality():
    got = returned((store("x", 1, RLX),), (load("x", RLX), store("y", 1, REL)), (load("y", ACQ), load("x", RLX)))
    assert ((), (1,), (1, 0)) not in got and ((), (1,), (1, 1)) in got


def test_a_place_has_one_order_for_all():
    got = returned((store("x", 1, RLX),), (store("x", 2, RLX),), (load("x", RLX), load("x", RLX)), (load("x", RLX), load("x", RLX)))
    assert ((), (), (1, 2), (2, 1)) not in got and ((), (), (1, 2), (1, 2)) in got
    assert not any(pair[1] == 0 != pair[0] for *_, a, b in got for pair in (a, b))


def test_updates_lose_nothing():
    add = update("x", lambda old: old + 1, RLX)
    assert {tuple(sorted(a + b + c)) for a, b, c in returned((add,), (add,), (add,))} == {(0, 1, 2)}


def test_only_one_compare_and_swap_wins():
    got = returned((cas("x", 0, 1, ACQ_REL),), (cas("x", 0, 2, ACQ_REL),))
    assert got == {((0,), (1,)), ((2,), (0,))}


def test_a_lock_excludes_and_hands_over():
    def locker():
        yield lock("lock")
        n = yield peek("n")
        yield poke("n", n + 1)
        yield unlock("lock")
        return n
    outcome = explore(locker, locker, locker)
    assert outcome.violations == [] and {tuple(sorted(r)) for r in outcome.returned} == {(0, 1, 2)}


@pytest.mark.parametrize("take, give", [(RLX, REL), (ACQ, RLX)])
def test_half_a_lock_races(take, give):
    def locker():
        yield lock("lock", take)
        yield poke("n", 1)
        yield unlock("lock", give)
    assert "locker and locker race for n" in explore(locker, locker).violations[0]


def test_a_race_a_failed_check_and_an_endless_wait_are_found():
    def writer():
        yield poke("x", FREED)

    def reader():
        value = yield peek("x")
        check(value != FREED, "read after it was freed")

    def waiter():
        yield load("never", ACQ, where=bool)

    def reads_late():
        yield load("flag", ACQ, where=bool)
        yield from reader()

    def frees_early():
        yield poke("x", FREED)
        yield store("flag", 1, REL)
    assert "writer and reader race for x" in explore(writer, reader).violations[0]
    assert "read after it was freed" in explore(frees_early, reads_late).violations[0]
    assert "waiter waits for ever for never" in explore(waiter).violations[0]
    assert explore(waiter, may_block=True).returned == {("blocked",)}


def test_final_checks_see_what_the_threads_returned():
    def chooser():
        return (yield choose(1, 2))

    def final(a, b):
        if a == b == 2:
            raise Violation("both chose 2")
    assert "both chose 2" in explore(chooser, chooser, final=final).violations[0]
    assert explore(chooser, chooser).returned == {(a, b) for a in (1, 2) for b in (1, 2)}


# ---- against the axioms --------------------------------------------------------------------------

def random_operation(rng, number):
    place, kind = rng.choice("xy"), rng.choices(("load", "store", "update", "fence"), (5, 5, 2, 2))[0]
    if kind == "load":
        return load(place, rng.choice((RLX, ACQ, SC)))
    if kind == "store":
        return store(place, number, rng.choice((RLX, REL, SC)))
    if kind == "update":
        return Operation("update", place, rng.choice((RLX, ACQ, REL, ACQ_REL, SC)), number)
    return fence(rng.choice((ACQ, REL, SC)))


def random_program(rng):
    lengths = rng.choice(((3, 3), (2, 2, 2), (2, 3), (1, 2, 2), (1, 1, 2, 2)))
    numbers = iter(range(1, 20))
    return [[random_operation(rng, next(numbers)) for _ in range(n)] for n in lengths]


def explored(program):
    as_functions = [[o._replace(value=lambda old, new=o.value: new) if o.kind == "update" else o for o in thread]
                    for thread in program]
    return returned(*as_functions)


@pytest.mark.parametrize("seed", range(40))
def test_the_explorer_finds_what_the_axioms_allow(seed):
    rng = random.Random(seed)
    initial = [Operation("initial", place, RLX, 0) for place in "xy"]
    for _ in range(5):
        program = random_program(rng)
        assert explored(program) == axioms.outcomes(program, initial), program
