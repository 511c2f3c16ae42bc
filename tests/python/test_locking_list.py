"""LockingList: a list as any other, atomic for all interpreters, of items that are handed over."""

import collections
import copy
import gc
import os
import pickle
import sys
import threading
import time
from collections.abc import MutableSequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

import objtunnel
from list_users import (
    Point,
    add_all,
    add_to_items,
    append_all,
    append_kept,
    assign_all,
    count_under_lock,
    extend_all,
    extend_in_fives,
    fill,
    hold,
    insert_all,
    keep,
    look,
    make,
    move_between,
    pop_all,
    seen_by,
    sort_and_reverse,
    tree,
    work_hard,
)
from objtunnel import Interpreter, LockAbandonedError, LockingList, SharedArray, _core

try:
    from test import list_tests
except ImportError:
    list_tests = None

WAIT = 60
pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def three():
    workers = [Interpreter() for _ in range(3)]
    yield workers
    while workers:
        workers.pop().close()


def at_once(workers, *calls):
    """Calls (function, *args), each in another interpreter, the last here; their results."""
    jobs = [w.submit(*call) for w, call in zip(workers, calls[:-1])]
    last = calls[-1][0](*calls[-1][1:])
    return [job.result() for job in jobs] + [last]


# ---- CPython's own tests --------------------------------------------------------------------------


suite = pytest.mark.skipif(list_tests is None, reason="this Python comes without its tests")


def check_suite(result):
    import list_suite
    ran, met, wrong = result
    assert not wrong, "\n".join(wrong)
    assert ran >= 51 and met == sorted(list_suite.DEVIATIONS)


@suite
def test_cpython_suite():
    import list_suite
    check_suite(list_suite.run())


@suite
def test_cpython_suite_in_another_interpreter():
    import list_suite
    with Interpreter() as other:
        check_suite(other.call(list_suite.run))


# ---- like a list -----------------------------------------------------------------------------------

SMALL = st.integers(-8, 8)
VALUES = st.lists(st.one_of(st.integers(0, 5), st.text(max_size=2), st.lists(st.integers(0, 2))),
                  max_size=8)
SLICES = st.builds(slice, st.none() | SMALL, st.none() | SMALL, st.none() | SMALL)
STEPS = st.lists(st.one_of(
    st.tuples(st.just("append"), VALUES), st.tuples(st.just("extend"), VALUES),
    st.tuples(st.just("insert"), SMALL, VALUES), st.tuples(st.just("pop"), SMALL),
    st.tuples(st.just("pop")), st.tuples(st.just("remove"), st.integers(0, 5)),
    st.tuples(st.just("index"), st.integers(0, 5), SMALL, SMALL),
    st.tuples(st.just("count"), st.integers(0, 5)), st.tuples(st.just("reverse")),
    st.tuples(st.just("clear")), st.tuples(st.just("__getitem__"), SLICES | SMALL),
    st.tuples(st.just("__setitem__"), SLICES, VALUES),
    st.tuples(st.just("__setitem__"), SMALL, VALUES),
    st.tuples(st.just("__delitem__"), SLICES | SMALL), st.tuples(st.just("__imul__"), st.integers(-1, 3)),
    st.tuples(st.just("__iadd__"), VALUES), st.tuples(st.just("__mul__"), st.integers(-1, 3)),
    st.tuples(st.just("__contains__"), st.integers(0, 5)), st.tuples(st.just("sort")),
    st.tuples(st.just("__reversed__")), st.tuples(st.just("__len__"))), max_size=20)


@given(VALUES, STEPS)
def test_like_list(values, steps):
    theirs, ours = list(values), LockingList(values)
    for name, *args in steps:
        if name == "__imul__" and len(theirs) > 100:
            continue
        expected, got = (outcome(l, name, args) for l in (theirs, ours))
        assert got == expected, (name, args)
        if name == "sort" and not ours == theirs:  # what cannot be sorted: list may be left half-way
            assert len(ours) == len(theirs) and all(o in theirs for o in ours)
            theirs[:] = ours
        assert ours == theirs and list(ours) == theirs and len(ours) == len(theirs)


def outcome(l, name, args):
    try:
        result = getattr(l, name)(*copy.deepcopy(args))
    except Exception as error:
        return type(error)
    if name == "__reversed__":
        return list(result)
    return result if name not in ("__imul__", "__iadd__") else result is l


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5))), st.booleans(), st.booleans())
def test_sorting_like_list(values, reverse, by_first):
    """Stable, either way round."""
    key = (lambda p: p[0]) if by_first else None
    ours = LockingList(values)
    ours.sort(key=key, reverse=reverse)
    values.sort(key=key, reverse=reverse)
    assert ours == values


def test_sorting_that_fails():
    l = LockingList([3, "a", 1])
    with pytest.raises(TypeError):
        l.sort()
    assert l == [3, "a", 1]
    with pytest.raises(ZeroDivisionError):
        l.sort(key=lambda x: 1 / 0)
    with pytest.raises(ValueError, match="modified"):
        l.sort(key=lambda x: l.append(x) or 0)
    assert l == [3, "a", 1, 3, "a", 1]
    for wrong in (dict(keys=1), dict(key=5)):
        with pytest.raises(TypeError):
            l.sort(**wrong)
    assert not l.locked().locked()


def test_comparisons():
    a, b = LockingList([1, [2]]), LockingList([1, [3]])
    assert a == LockingList([1, [2]]) == [1, [2]] and a != b and a != [1] and not a == (1, [2])
    assert a < b and a <= [1, [2]] and b > [1, [2]] and not a >= b and [0] < a
    assert a == a and not a != a
    with pytest.raises(TypeError):
        hash(a)
    with pytest.raises(TypeError):
        assert a < (1,)
    with pytest.raises(TypeError):
        assert a < LockingList(["a"])
    assert isinstance(a, MutableSequence)
    match a:
        case [1, [x]]:
            assert x == 2
        case _:
            raise AssertionError


def unsendable():
    """What no build can move, copy or pickle."""
    return (i for i in ())


def test_types_and_arguments():
    l = LockingList([1])
    for call in (lambda: LockingList(5), lambda: LockingList(iterable=[]), lambda: LockingList([], []),
                 lambda: l["a"], lambda: l.insert(1), lambda: l.insert("a", 1), lambda: l.pop("a"),
                 lambda: l.extend(5), lambda: l.__setitem__("a", 1), lambda: l.__delitem__("a"),
                 lambda: l.index(1, "a"), lambda: l.__setitem__(slice(0, 1), 5),
                 lambda: type("Sub", (LockingList,), {}), lambda: l.append(unsendable()),
                 lambda: l.extend([2, unsendable()]), lambda: l.__setitem__(0, unsendable())):
        with pytest.raises(TypeError):
            call()
        assert l == [1]
    assert LockingList[int].__origin__ is LockingList


# ---- items are handed over ---------------------------------------------------------------------------


def test_items_are_the_callers_own():
    mine = [1, [2]]
    l = LockingList([mine])
    mine[1].append(3)
    assert l == [[1, [2]]] and mine == [1, [2, 3]]
    l.append(mine)
    l.insert(0, mine)
    l[1] = mine
    l[1:1] = [mine]
    l += [mine]
    assert mine == [1, [2, 3]] and l == [mine] * 5
    l[0].append("lost")
    first, again = l[0], l[0]
    assert first is not again and first == again == mine
    for item in l:
        item.append("lost")
    assert l == [mine] * 5


def test_a_temporary_moves():
    """Its inside is neither copied nor pickled: the same objects come out."""
    l = LockingList()
    inner = [[i] for i in range(3)]
    addresses = [id(x) for x in inner]
    box = [inner]
    del inner
    l.append(box.pop())
    assert [id(x) for x in l.pop()] == addresses
    l.insert(0, [["here"]])
    l[0] = [["there"]]
    assert l.pop() == [["there"]]


def test_arguments_that_are_held_elsewhere_are_copied():
    l = LockingList()
    held = ([1, 2],)
    l.append(*held)
    list(map(l.append, held))
    l.extend(held)
    l.insert(0, *held)
    assert held == ([1, 2],) and l == [[1, 2]] * 4


@pytest.mark.parametrize("value", [
    None, True, 2**63 - 1, -2**63, 2**63, 10**50, 1.5, 1j, "", "é" * 1000, b"", b"x" * 1000, ..., int,
    (), (1, (2,)), [], {}, {"a": [1]}, {1, 2}, frozenset({3}), bytearray(b"y"), range(5), slice(1, 2),
    Point(1, [2]), collections.Counter("aab"), SharedArray("i", 1), ValueError("text"),
], ids=lambda v: repr(v)[:20])
def test_values(value, worker):
    l = LockingList([value])
    [again], n, number = worker.call(seen_by, l)
    for seen in (l[0], l[:][0], next(iter(l)), again, l.pop()):
        assert type(seen) is type(value)
        assert seen == value or repr(seen) == repr(value)
    assert (n, number) == (1, l.id)
    del again, seen


def test_within_itself():
    l = LockingList()
    l.append([l, 1])
    assert l[0][0].id == l.id and l[0][0][0][1] == 1
    assert "..." in repr(l)
    l.clear()  # otherwise it keeps itself


def test_lists_in_lists_however_deep():
    l = LockingList()
    for _ in range(200_000):
        l = LockingList([l])
    assert len(l) == 1
    del l  # the fixture sees that all are gone, and so do we, if the stack does not suffice


# ---- several interpreters at once -----------------------------------------------------------------------


@pytest.mark.parametrize("add", [append_all, insert_all, extend_all, add_all, assign_all])
def test_nothing_is_lost(three, add):
    l, n = LockingList(), 1000
    at_once(three, *((add, l, me, n) for me in range(4)))
    assert sorted(l) == [(me, i) for me in range(4) for i in range(n)]
    if add in (append_all, extend_all, add_all):
        for me in range(4):
            assert [i for who, i in l if who == me] == list(range(n))


@pytest.mark.parametrize("index", [0, -1])
def test_each_is_popped_once(three, index):
    l, n = LockingList(), 2000
    a, b, c = three
    jobs = [a.submit(pop_all, l, index), b.submit(pop_all, l, index)]
    other = c.submit(insert_all, l, "c", n)
    append_all(l, "here", n)
    other.result()
    while len(l):
        time.sleep(0.01)
    l.extend([None, None])
    got = [x for job in jobs for x in job.result()]
    assert sorted(got) == [(me, i) for me in ("c", "here") for i in range(n)] and len(l) == 0


def test_under_the_lock(three):
    l, n = LockingList([0, 0]), 500
    at_once(three, *((count_under_lock, l, n) for _ in range(4)))
    assert l == [4 * n, 8 * n]


def test_long_operations_under_the_lock(three):
    l, n = LockingList([0] * 50), 100
    at_once(three, *((add_to_items, l, n) for _ in range(4)))
    assert l == [4 * n] * 50


def test_between_two_lists(three):
    a, b = LockingList(tree(i) for i in range(20)), LockingList(range(20))
    at_once(three, *((move_between, a, b, 700, me) for me in range(4)))
    numbers = [x for x in a + b if isinstance(x, int)]
    trees = [x for x in a + b if not isinstance(x, int)]
    assert sorted(numbers) == list(range(20))
    assert sorted(trees, key=lambda t: t[0]) == [tree(i) for i in range(20)]


def test_sorting_at_once(three):
    l = LockingList(range(200))
    at_once(three, *((sort_and_reverse, l, 60, me) for me in range(4)))
    assert set(l) == set(range(200))


def test_changes_are_seen_whole(three):
    l = LockingList()
    at_once(three, (extend_in_fives, l, 1, 1000), (extend_in_fives, l, "two", 1000),
            (look, l, 1000), (look, l, 1000))


def test_used_hard_after_the_sender_is_gone(three):
    sender = Interpreter()
    l, n = LockingList(), 100
    sender.call(fill, l, n)
    made = sender.call(make, 50)
    sender.close()
    assert l[n].id == l.id
    at_once(three, *((work_hard, l, n) for _ in range(4)))
    at_once(three, *((work_hard, made, 50) for _ in range(4)))
    assert l.pop(n).id == l.id
    taken = [l.pop(0) for _ in range(n)]
    assert taken == [tree(i) for i in range(n)] and len(l) == 0
    for t in taken:
        t[3][1].clear()
        t[9]["b"] = t


# ---- the lock ------------------------------------------------------------------------------------------


def test_an_abandoned_list():
    l = LockingList([1])
    with Interpreter() as other:
        other.call(hold, l)
        assert not l.locked().acquire(timeout=0.01)
    for call in (lambda: l[0], lambda: len(l), lambda: l.append(1), lambda: l == [1], l.sort, l.pop,
                 lambda: list(l), l.locked().acquire, lambda: l.__setitem__(0, 1)):
        with pytest.raises(LockAbandonedError, match="ended"):
            call()
    assert l.locked().recover()
    assert l == [1, "half"]
    l.locked().release()
    assert l.pop() == "half"


def test_waiting_for_an_abandoned_list():
    l, errors = LockingList(), []
    other = Interpreter()
    other.call(hold, l)

    def wait():
        try:
            l.append(1)
        except LockAbandonedError as error:
            errors.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    other.close()
    for thread in threads:
        thread.join(WAIT)
    assert len(errors) == 3
    assert l.locked().recover() and l == ["half"]
    l.locked().release()
    errors.clear()


def test_waiting_lets_others_run():
    """The holder is a thread of the same interpreter: it needs the GIL to go on."""
    l, held, done = LockingList(), threading.Event(), threading.Event()

    def holder():
        with l.locked():
            held.set()
            done.wait(WAIT)
            l.append("first")

    thread = threading.Thread(target=holder)
    thread.start()
    held.wait(WAIT)
    threading.Timer(0.05, done.set).start()
    l.append("second")
    thread.join(WAIT)
    assert l == ["first", "second"]


@pytest.mark.parametrize("what", ["l.append(1)", "l.sort()", "l[0]", "len(l)", "l.remove(1)"])
@pytest.mark.parametrize("where", ["main", "worker"])
def test_ctrl_c(what, where, interrupt):
    assert interrupt(f"""
        import threading
        from objtunnel import LockingList
        def block():
            l = LockingList([1])
            thread = threading.Thread(target=l.locked().acquire)
            thread.start(); thread.join()
            print("ready", flush=True)
            {what}
        """, where) == "interrupted\n"


def test_after_fork(run_script):
    run_script("""
        import os, threading
        from objtunnel import LockAbandonedError, LockingList
        l, held = LockingList([1]), LockingList([2, [3]])
        def hold():
            held.locked().acquire()
        thread = threading.Thread(target=hold)
        thread.start()
        thread.join()
        stop = threading.Event()
        def change():
            while not stop.is_set():
                l.append("x" * 50)
                l.pop()
        busy = threading.Thread(target=change)
        busy.start()
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                assert l[0] == 1 and len(l) in (1, 2)
                l.append([5])
                assert l.pop() == [5]
                try:
                    held.append(1)
                except LockAbandonedError:
                    held.locked().recover()
                    os._exit(0 if held == [2, [3]] else 2)
                os._exit(1)
            assert os.waitpid(pid, 0)[1] == 0
        stop.set()
        busy.join()
    """)


# ---- handles --------------------------------------------------------------------------------------------


def test_handles(tunnel, worker):
    l = LockingList([1])
    tunnel.send({"l": l, "again": [l]})
    message = tunnel.recv()
    for same in (message["l"], message["again"][0], pickle.loads(pickle.dumps(l)), copy.copy(l),
                 copy.deepcopy(l)):
        assert same.id == l.id
        same.append(2)
    assert l == [1] + [2] * 5 and LockingList(l).id != l.id
    worker.call(keep, l)
    worker.call(append_kept, [3])
    assert l.pop() == [3]
    worker.call(keep, None)


def test_the_last_handle_dies_with_its_interpreter(tunnel):
    """What takes an interpreter to free is left to the next that frees something."""
    before = _core._live_shared()
    other = Interpreter()
    l = LockingList([tree(5), SharedArray("i", 3)])
    other.call(keep, l)
    del l
    gc.collect()
    assert _core._live_shared() > before
    other.close()
    tunnel.send([Point(1, 2)])
    tunnel.discard()
    assert _core._live_shared() == before


def test_dropped_while_the_process_ends(run_script):
    run_script("""
        import objtunnel
        from objtunnel import Interpreter, LockingList, Tunnel
        def keep(l):
            import objtunnel
            objtunnel.kept = l
        if __name__ == "__main__":
            l = LockingList([[1], {"a": LockingList([object.__doc__, ValueError("x")])}])
            l.append(l)
            objtunnel.kept = [l, LockingList([l[1]])]
            Tunnel().send([l])
            t = Tunnel()
            t.send([LockingList([[2]])])
            objtunnel.tunnel = t
            Interpreter().call(keep, LockingList([[3], l]))
    """)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="concurrent.interpreters came with 3.14")
def test_concurrent_interpreters():
    from concurrent import interpreters
    interpreter = interpreters.create()
    l = LockingList()
    interpreter.prepare_main(l=l)
    interpreter.exec("l.append([1, 2])")
    interpreter.close()
    assert l == [[1, 2]]
