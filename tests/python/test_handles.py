"""Handles in trees travel as references of the message's own; live_objects() says who holds what."""

import gc
import itertools
import os
import pickle
import threading

import pytest

from objtunnel import (Barrier, Box, GlobalLock, Interpreter, Lock, LockingDict, LockingList, SharedArray, SharedFile, Tunnel, _core,
                       freeze, live_objects)

pytestmark = pytest.mark.usefixtures("nothing_left")


def act():
    pass


def part(array):
    return array[1::2]


numbers = itertools.count()

MAKERS = {
    "Tunnel": Tunnel, "Lock": Lock, "GlobalLock": lambda: GlobalLock(f"lock {next(numbers)}"), "Box": lambda: Box([1]), "SharedArray": lambda: SharedArray("q", 4),
    "a part of a SharedArray": lambda: part(SharedArray("q", 4)), "LockingDict": lambda: LockingDict(k=[1]),
    "LockingList": lambda: LockingList([[1]]), "Barrier": lambda: Barrier(2),
    "SharedFile": lambda: SharedFile(os.devnull, "w"), "binary SharedFile": lambda: SharedFile(os.devnull, "wb"),
    "frozen tree": lambda: freeze({"a": [1]}), "a part of a frozen tree": lambda: freeze({"a": [1, [2]]})["a"],
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def about(o):
    """live_objects' entry of o."""
    found = [x for x in live_objects() if x.id == o.id]
    return found[0] if found else None


def same(a, b):
    return a.id == b.id and type(a) is type(b) and repr(a).split(" at 0x")[0] == repr(b).split(" at 0x")[0]


# ---- in trees ---------------------------------------------------------------------------------


def test_a_handle_is_not_pickled(make, tunnel):
    a = make()
    receipt = tunnel.send([a, (a, {"key": a}), 15], strict=True)
    assert receipt.pickled == 0
    first, (second, other), _ = tunnel.recv()
    assert same(first, a) and first is second is other["key"] and first is not a


def test_a_handle_as_root(make, tunnel):
    a = make()
    assert tunnel.send(a).pickled == 0
    assert same(tunnel.recv(), a)


class Holder:
    def __init__(self, handle):
        self.handle = handle


def test_a_handle_in_what_is_copied_and_in_instances(make, tunnel):
    a = make()
    outside = [a, {a.id: a}]
    assert tunnel.send([outside, Holder(a)]).pickled == 0
    (first, others), holder = tunnel.recv()
    assert first is others[a.id] is holder.handle and same(first, a)
    assert outside[0] is a


@pytest.mark.parametrize("kind", ["Tunnel", "Lock", "Box"])
def test_a_handle_as_key(kind, tunnel):
    a, b = MAKERS[kind](), MAKERS[kind]()
    kept = {a: 1}  # copied, the others move
    tunnel.send([{a: [1], b: [2]}, {a, b}, frozenset([b]), kept])
    table, both, one, copied = tunnel.recv()
    assert table[a] == [1] and table[b] == [2] and both == {a, b} and one == {b} and copied == kept


def test_what_only_pickle_can_carry_goes_by_pickle(tunnel):
    barrier = Barrier(1, act)
    assert tunnel.send([barrier, Lock()]).pickled == 1
    got, _ = tunnel.recv()
    assert same(got, barrier) and got.wait() == 0
    lock = Lock()
    with pytest.raises(ValueError, match="nothing that a handle of a Lock knows"):
        _core._find_shared(os.getpid(), lock.id, b"x")


def test_a_handle_inside_of_what_is_pickled(make, tunnel):
    """The message holds the object twice: for the handle in the tree, and for the one in the pickle."""
    a = make()
    error = ValueError(a)
    assert tunnel.send([a, error, error]).pickled == 1
    number = a.id
    del a, error
    first, got, _ = tunnel.recv()
    assert first.id == got.args[0].id == number


class MakesOne:
    def __reduce__(self):
        return list, ((Tunnel(), Lock()),)


def test_a_handle_that_only_the_pickle_has(tunnel):
    tunnel.send([MakesOne(), MakesOne()])
    (a, b), (c, d) = tunnel.recv()
    assert len({a.id, b.id, c.id, d.id}) == 4
    a.send(1)
    assert a.recv() == 1


class Fails:
    def __init__(self, what):
        self.what = what

    def __reduce__(self):
        self.what.append(1)
        raise ZeroDivisionError


def test_a_send_that_fails_leaves_handles_with_the_sender(make, tunnel):
    a = make()
    before = about(a)
    tree, tries = [a, {"again": a}], []
    tree.append(Fails(tries))
    with pytest.raises(TypeError, match="ZeroDivisionError|Fails"):
        tunnel.send(tree)
    assert tries and tree[0] is a and tree[1]["again"] is a and tunnel.qsize() == 0
    assert about(a) == before
    tree.pop()
    tunnel.send(tree)
    assert same(tunnel.recv()[0], a)


def test_a_failed_send_with_a_tunnel_that_holds_messages(tunnel):
    """What was pickled for a message that does not come to be dies, and the messages in it."""
    live = _core._live_tunnels()

    class Loaded:
        def __reduce__(self):
            t = Tunnel()
            t.send([Lock()])
            return list, ((t,),)

    with pytest.raises(TypeError):
        tunnel.send([Loaded(), Fails([])])
    assert _core._live_tunnels() == live


# ---- nobody receives ----------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["drop", "close", "discard"])
def test_unread_messages_let_go(make, end):
    inner, outer = Tunnel(), Tunnel()
    inner.send([make(), "x" * 100])
    inner.send("a small one")
    outer.send({"inner": inner, "more": [make()]})
    before = _core._live_shared() + _core._live_tunnels()
    del inner
    if end == "discard":
        outer.discard()
    elif end == "close":
        outer.close(immediate=True)
    else:
        del outer
    gc.collect()
    assert _core._live_shared() + _core._live_tunnels() <= before - 3  # both that were made, and inner


def leave_unread(makers, keep):
    global left
    inner, left = Tunnel(), Tunnel()
    inner.send([MAKERS[name]() for name in makers])
    left.send([inner] + [MAKERS[name]() for name in makers])
    left.send(1)
    if keep:
        return left


def test_an_interpreter_that_ends_with_unread_messages():
    live = _core._live_tunnels(), len(live_objects())
    with Interpreter() as interpreter:
        interpreter.call(leave_unread, list(MAKERS), False)
    assert _core._live_tunnels() <= live[0] + 3  # nothing_left looks at the rest


def test_a_message_outlives_the_interpreter_that_sent_it():
    with Interpreter() as interpreter:
        left = interpreter.call(leave_unread, list(MAKERS), True)
    inner, *handles = left.recv()
    others = inner.recv()
    assert [about(o).handles for o in handles] == [{0: 1}] * len(handles)
    assert len({o.id for o in handles + others}) == 2 * len(MAKERS)
    assert left.recv() == 1


# ---- values -------------------------------------------------------------------------------------


def test_a_value_with_handles_comes_out_whole(make):
    a = make()
    d, items = LockingDict(), LockingList()
    d["k"] = [a, {"again": a}, [1.5]]
    items.append([a])
    d["alone"] = a
    for tree in (d["k"], d.get("k"), d.pop("k")):
        assert same(tree[0], a) and tree[0] is tree[1]["again"] and tree[2] == [1.5]
    assert same(items[0][0], a) and same(items.pop()[0], a) and same(d["alone"], a)


def read_often(d, rounds):
    return sum(d["k"][0].id for _ in range(rounds))


def test_interpreters_read_a_value_with_handles_at_once(worker):
    d, lock = LockingDict(), Lock()
    d["k"] = [lock, Tunnel(), SharedArray("q", 3)[1:], {"more": [freeze([1])]}]
    future = worker.submit(read_often, d, 300)
    assert read_often(d, 300) == future.result() == 300 * lock.id


# ---- live_objects -------------------------------------------------------------------------------


def test_live_objects_lists_each_by_kind_and_number(make):
    a = make()
    entry = about(a)
    assert entry.handles == {0: 1} and entry.kind in repr(type(a)) + "Frozen"
    ids = [o.id for o in live_objects()]
    assert ids == sorted(set(ids))


kept = []


def keep(handle):
    kept.append(handle)


def forget():
    kept.clear()


def test_live_objects_says_who_has_handles(worker):
    lock = Lock()
    again = pickle.loads(pickle.dumps(lock))
    assert about(lock) == ("Lock", lock.id, None, {0: 2}, 0)
    worker.call(keep, lock)
    worker.call(keep, again)
    assert about(lock).handles == {0: 2, worker.id: 2}
    worker.call(forget)
    assert about(lock).handles == {0: 2}


def test_live_objects_says_that_something_else_holds_it(tunnel):
    lock, d = Lock(), LockingDict()
    tunnel.send([lock, lock])  # one reference a message
    d["a"], d["b"] = lock, [lock]
    assert about(lock) == ("Lock", lock.id, None, {0: 1}, 3)
    number = lock.id
    del lock
    assert [(o.handles, o.elsewhere) for o in live_objects() if o.id == number] == [({}, 3)]
    tunnel.recv()
    d.clear()


def test_live_objects_shows_what_keeps_itself():
    t = Tunnel()
    t.send([t])
    number = t.id
    del t
    gc.collect()
    mine = [o for o in live_objects() if o.id == number]
    assert [(o.kind, o.handles, o.elsewhere) for o in mine] == [("Tunnel", {}, 1)]
    _core._find_shared(os.getpid(), number, None).close(immediate=True)
    assert not [o for o in live_objects() if o.id == number]


def test_live_objects_while_others_come_and_go(worker, tunnel):
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            t = Tunnel()
            t.send([Lock(), Lock()])
            t.recv()

    thread = threading.Thread(target=churn)
    thread.start()
    future = worker.submit(read_often, LockingDict(k=[Lock()]), 2000)
    for _ in range(300):
        for o in live_objects():
            assert o.elsewhere >= 0 and all(n > 0 for n in o.handles.values())
    stop.set()
    thread.join()
    future.result()


def test_a_forked_child_lists_what_it_has(run_script):
    assert run_script("""
        import os, threading, objtunnel
        lock, t = objtunnel.Lock(), objtunnel.Tunnel()
        t.send([lock])
        stop = threading.Event()

        def churn():
            while not stop.is_set():
                objtunnel.Lock(), objtunnel.live_objects()

        thread = threading.Thread(target=churn)
        thread.start()
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                mine = {o.id: o for o in objtunnel.live_objects()}
                good = mine[lock.id].handles == {0: 1} and mine[t.id].kind == "Tunnel" and t.empty()
                t.send([objtunnel.Lock(), lock])
                new, old = t.recv()
                os._exit(0 if good and old.id == lock.id and new.id not in mine else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        stop.set()
        thread.join()
        print(t.recv()[0].id == lock.id)
    """).stdout == "True\n"
