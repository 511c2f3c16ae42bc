"""Instances whose class is laid out otherwise in the receiver: each fault of this kind that a mutant showed."""

import functools

import pytest

import instance_classes
import layouts
from instance_classes import Plain
from layouts import NAMES, fill
from objtunnel import Interpreter, Tunnel


def of_four(o):
    fill(o, NAMES)
    o.third = functools.partial(int, base=16)
    return o


def test_names_in_another_order():
    """Attributes that were pickled, too, arrive under their names."""
    with Interpreter() as worker:
        worker.call(layouts.learn, "FreshObject501", NAMES[::-1])
        for _ in range(3):
            t = Tunnel()
            receipt = t.send([of_four(instance_classes.FreshObject501())])
            assert receipt.pickled == 1 and receipt.copied == 3  # strs that are interned
            assert worker.call(layouts.receive_in_order, t) == ([["first"], ["second"], ["fourth"]], 255, True)


def test_a_class_that_knows_more_names_than_there_is_room_for():
    """CPython reads a value for any name that the class knows, however few the instance has room for."""
    names = [f"name{i}" for i in range(25)]
    with Interpreter() as worker:
        worker.call(layouts.learn, "FreshObject502", names)
        t = Tunnel()
        # Each new instance has room for one name less, if the class has not learnt any more.
        many = [fill(instance_classes.FreshObject502(), names[:2]) for _ in range(40)]
        t.send([many.pop()])
        before, after, n = worker.call(layouts.use_all, t, names)
    assert before == [["name0"], ["name1"]] + [None] * 23
    assert after == [[name] for name in names] and n == 25


def test_a_class_with_other_slots_is_refused(tunnel):
    """The message stays, and whoever has the right class receives it."""
    with Interpreter() as worker:
        worker.run("import instance_classes\n"
                   "class Slots:\n"
                   "    __slots__ = ('one', 'two', 'three')\n"
                   "Slots.__module__ = 'instance_classes'\n"
                   "instance_classes.OfTwoKinds = Slots")
        tunnel.send([fill(instance_classes.OfTwoKinds(), ["one", "two"])])
        with pytest.raises(TypeError, match="other __slots__"):
            worker.call(Tunnel.recv, tunnel)
    assert tunnel.qsize() == 1
    [o] = tunnel.recv()
    assert (o.one, o.two) == (["one"], ["two"])


@pytest.mark.parametrize("make", [lambda o: {o: 1.5}, lambda o: {o}, lambda o: frozenset([o])],
                         ids=["dict", "set", "frozenset"])
def test_copies_that_hash_by_their_address_are_found(make, tunnel):
    kept = [fill(Plain(), ["a"]) for _ in range(20)]
    receipt = tunnel.send([make(o) for o in kept])
    assert receipt.copied >= 20 and receipt.pickled == 0
    for o, table in zip(kept, tunnel.recv()):
        [copy] = table
        assert copy in table and copy is not o and copy.a == ["a"] and o not in table
