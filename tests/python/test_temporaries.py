"""What only a call refers to: t.send((a, b)) may take the tuple's content; a C function's argument not."""

import bisect
import collections
import contextvars
import functools
import gc
import operator
import sys

import pytest

import objtunnel
from instance_classes import Plain

EXACT = sys.version_info >= (3, 14)  # 3.13 copies immutable roots
N = 1.5


class Slotted:
    __slots__ = ("a",)


def plain():
    o = Plain()
    o.a = [N]
    return o


def slots():
    o = Slotted()
    o.a = [N]
    return o


# What makes a root, and what it must look like to whoever still has it.
ROOTS = {
    "tuple": (lambda: ([N], [2 * N]), lambda o: o == ([1.5], [3.0])),
    "plain": (plain, lambda o: o.a == [1.5]),
    "slots": (slots, lambda o: o.a == [1.5]),
    "slice": (lambda: slice([N], [2 * N]), lambda o: (o.start, o.stop) == ([1.5], [3.0])),
    "frozenset": (lambda: frozenset([N, 2 * N]), lambda o: o == {1.5, 3.0}),
    "range": (lambda: range(10**9, 10**10), lambda o: o[0] == 10**9 and o[-1] == 10**10 - 1),
}
every_root = pytest.mark.parametrize(("make", "whole"), ROOTS.values(), ids=ROOTS)


@pytest.fixture(params=["send", "append"])
def give(request):
    """A bound method that may take the content of a temporary, and what gets it back."""
    if request.param == "send":
        tunnel = objtunnel.Tunnel()
        return tunnel.send, tunnel.recv
    shared = objtunnel.LockingList()
    return shared.append, shared.pop


class Kept:
    """How a C caller keeps what it calls a function with."""

    def insort(give, make):
        kept = []
        bisect.insort(kept, make(), key=give)
        return kept[0]

    def insort_with_bounds(give, make):
        kept = []
        bisect.insort(kept, make(), 0, 0, key=give)
        return kept[0]

    def mapped(give, make):
        kept = [make()]
        collections.deque(map(give, kept), maxlen=0)
        return kept[0]


def ways():
    return [way for way in vars(Kept) if not way.startswith("_")]


@every_root
@pytest.mark.parametrize("way", ways())
def test_what_a_c_caller_keeps_stays_whole(way, make, whole, give):
    give, take = give
    for _ in range(20):  # also once the instruction is specialised
        kept = getattr(Kept, way)(give, make)
        assert whole(kept)
        assert whole(take())


@every_root
def test_a_tool_that_monitors_calls_sees_it_whole(make, whole):
    tunnel, seen, events = objtunnel.Tunnel(), [], sys.monitoring.events
    send = tunnel.send

    def callback(code, offset, function, argument):
        if function == send:
            seen.append(argument)

    def work():
        send(make())

    work()
    sys.monitoring.use_tool_id(2, "test")
    try:
        for event in (events.CALL, events.C_RETURN):
            sys.monitoring.register_callback(2, event, callback)
        sys.monitoring.set_events(2, events.CALL)
        for _ in range(20):
            work()
    finally:
        sys.monitoring.set_events(2, 0)
        sys.monitoring.free_tool_id(2)
    assert len(seen) == 40 and all(whole(o) for o in seen)


@every_root
@pytest.mark.parametrize("set_tool", [sys.settrace, sys.setprofile])
def test_a_traced_program_sends_it_whole(make, whole, set_tool):
    tunnel = objtunnel.Tunnel()

    def work():
        tunnel.send(make())

    set_tool(lambda *event: None)
    try:
        for _ in range(20):
            work()
    finally:
        set_tool(None)
    assert all(whole(tunnel.recv()) for _ in range(20))


@every_root
def test_through_other_c_functions(make, whole, give):
    give, take = give
    for call in (lambda: contextvars.Context().run(give, make()),
                 lambda: functools.partial(give)(make()),
                 lambda: functools.partial(give, make())(),
                 lambda: operator.call(give, make()),
                 lambda: give(*(make(),)),
                 lambda: list(map(give, (make(),))),
                 lambda: operator.methodcaller("__call__", make())(give),
                 lambda: type(give).__call__(give, make())):
        for _ in range(10):
            call()
            assert whole(take())


def moves(send, take):
    """Whether the content of what `send` sends arrives as the same objects; sent often, so that the
    interpreter specialises the call."""
    same = []
    for _ in range(20):
        inner = [N]
        address = id(inner)
        made = [inner]
        del inner
        send(made)
        got = take()
        same.append(id(got[0]) == address)
    return all(same)


def test_ordinary_calls_move():
    tunnel = objtunnel.Tunnel()
    bound = tunnel.send

    def method(made):
        tunnel.send((made.pop(),))

    def function(made):
        bound((made.pop(),))

    def keyword(made):
        tunnel.send((made.pop(),), timeout=1, strict=False)

    def nowait(made):
        tunnel.send_nowait((made.pop(),))

    def unbound(made):
        objtunnel.Tunnel.send(tunnel, (made.pop(),))

    for send in (method, function, keyword, nowait, unbound):
        assert moves(send, tunnel.recv) is EXACT, send.__name__


@pytest.mark.parametrize("make", [
    lambda: int(N * 10**9), lambda: N * 3, lambda: complex(N, 1), lambda: f"text {N}", lambda: bytes(10**6), lambda: memoryview(bytes(10**6)),
    lambda: memoryview(bytearray(10**6))])
def test_a_root_that_refers_to_nothing_is_copied(make):
    """docs/kinds.md and docs/tunnel.md: in a list it moves."""
    tunnel = objtunnel.Tunnel()
    assert tuple(tunnel.send(make())) == (0, 1, 0) and tunnel.recv() == make()
    moved, copied, pickled = tunnel.send([make()])
    assert moved >= 2 and (copied, pickled) == (0, 0) and tunnel.recv() == [make()]


def test_what_is_stored_moves():
    """A mutable temporary moves on 3.13, too."""
    shared, box, table = objtunnel.LockingList(), None, objtunnel.LockingDict()

    def append(made):
        shared.append([made.pop()])

    def insert(made):
        shared.insert(0, [made.pop()])

    def item(made):
        shared.append(None)
        shared[-1] = [made.pop()]

    def store(made):
        table["key"] = [made.pop()]

    def swap(made):
        table["key"] = None
        table.swap("key", [made.pop()])

    for put in (append, insert, item):
        assert moves(put, shared.pop), put.__name__
    for put in (store, swap):
        assert moves(put, lambda: table.pop("key")), put.__name__

    def boxed(made):
        nonlocal box
        box = objtunnel.Box([made.pop()])

    assert moves(boxed, lambda: list(box.acquire()))


def test_stored_by_somebody_else_stays_whole():
    table, shared = objtunnel.LockingDict(), objtunnel.LockingList([None])
    for container, key in ((table, "key"), (shared, 0)):
        for store in (operator.setitem, lambda c, k, v: c.__setitem__(k, v)):
            kept = [[N]]
            store(container, key, kept[0])
            assert kept == [[1.5]] and container[key] == [1.5]


class SendsItself:
    """Pickled; while it is, its tree is sent again by a C function that the same frame called."""

    tunnel = None
    root = None

    def __reduce__(self):
        if SendsItself.root is not None:
            root, SendsItself.root = SendsItself.root, None
            SendsItself.tunnel.send(root)
        return (SendsItself, ())


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_send_of_the_same_root_within_a_send_copies(kind):
    tunnel = SendsItself.tunnel = objtunnel.Tunnel()
    root = SendsItself.root = kind([SendsItself(), [N]])
    tunnel.send(root)
    inner, outer = tunnel.recv(), tunnel.recv()
    assert inner[1] == outer[1] == [1.5] and inner[1] is not outer[1]
    assert len(root) == (0 if kind is list else 2)


def test_many_threads_send_while_others_pickle():
    """Sends that are under way end in any order."""
    import threading

    tunnel, errors = objtunnel.Tunnel(), []

    def work():
        try:
            for _ in range(200):
                tunnel.send(([N], [SendsItself()]))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for _ in range(800):
        got = tunnel.recv()
        assert got[0] == [1.5] and type(got[1][0]) is SendsItself


# ---- instances whose __dict__ somebody has asked for ----------------------------------------------

class Updated:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class UpdatedList(list):
    def __init__(self, **attributes):
        super().__init__([[N]])
        vars(self).update(attributes)


class Half:
    """Its dict is split, with values in the instance."""

    def __init__(self, **attributes):
        for name, value in attributes.items():
            setattr(self, name, value)
        self.__dict__


@pytest.mark.parametrize("cls", [Updated, UpdatedList, Half])
def test_the_dict_of_a_temporary_instance(cls):
    """Its values may lie in the instance, which the call frees. They crashed 3.14 and 3.15."""
    t, d, box = objtunnel.Tunnel(), objtunnel.LockingDict(), objtunnel.Box([])
    received = []
    for i in range(100):
        t.send(cls(a=[i, N], b=str(i) * 9))
        received.append(t.recv())
        d[i] = cls(a=[i, N], b=str(i) * 9)
        received.append(d.pop(i))
        with box as tree:
            tree[:] = [cls(a=[i, N], b=str(i) * 9)]
        with box as tree:
            received.append(tree.pop())
        if i % 10 == 0:
            gc.collect()
    gc.collect()
    for place, o in enumerate(received):
        i = place // 3
        assert type(o) is cls and vars(o) == {"a": [i, N], "b": str(i) * 9}
        o.a.append(o)
        o.c = [o]
    del received, o
    gc.collect()
