"""LockingDict, LockingList and process_global() between threads that run in parallel.

Their interface is tested by tests/python (tests/threads/suites): here is what threads without a GIL add to it.
"""

import gc
import os
import random
import threading
import time
import weakref

import pytest

from helpers.threads import Task, elsewhere, nodes
from objtunnel import LockingDict, LockingList, SharedArray, owner, process_global, process_globals

QUICK = "OT_TEST_QUICK" in os.environ
SECONDS = 0.5 if QUICK else 3


class Point:
    def __init__(self, x, more=None):
        self.x, self.more = x, more

    def __eq__(self, other):
        return type(other) is Point and (self.x, self.more) == (other.x, other.more)

    __hash__ = None


def build(n=20):
    shared = [0.5]
    return [{"i": i * 1000, "x": i + 0.25, "s": f"text {i}", "t": (i + 1000, [i + 0.75]), "set": {i + 5000},
             "frozen": frozenset({i + 7000}), "shared": shared, "point": Point(f"x {i}", [i])} for i in range(n)]


def use_hard(rows):
    """Changes, shrinks and grows all of it."""
    for row in rows:
        row["t"][1].append(row["x"])
        row["set"].add(row["s"])
        row["point"].more.append(row["i"])
        row["point"].new = [row["point"].x] * 3
        row["shared"].append(row["i"])
        del row["i"]
        row.update((f"key {i}", [i]) for i in range(10))
    rows[0]["all"] = rows
    rows.extend([{}] * 5)
    del rows[::3]
    gc.collect(0)


def containers(tree):
    return [o for o in nodes(tree) if isinstance(o, list | dict | set)]


WAYS_OUT = {
    "get": lambda d, k: d[k],
    "items": lambda d, k: dict(d.items())[k],
    "copy": lambda d, k: d.copy().pop(k),
    "pop": lambda d, k: d.pop(k),
    "swap": lambda d, k: d.swap(k, None),
    "update_with": lambda d, k: take_by_update(d, k),
    "checkout": lambda d, k: take_by_checkout(d, k),
}


def take_by_update(d, k):
    taken = []

    def take(tree):
        taken.append(tree)
        return None

    d.update_with(k, take)
    return taken[0]


def take_by_checkout(d, k):
    c = d.checkout(k)
    with c as tree:
        c.value = None
    return tree


# ---- whose a value is ------------------------------------------------------------------------------------


@pytest.fixture
def no_collection():
    """A collection gives a container to the thread whose memory it lies in."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize("ended", [True, False])
def test_what_comes_out_is_the_readers_own(way, ended, no_collection):
    d, go, told = LockingDict(), threading.Event(), threading.Event()

    def put():
        rows = build()
        d["kept"] = rows
        d["made"] = build()
        told.set()
        go.wait(60)
        return rows

    task = Task(put)
    assert told.wait(60)
    if ended:
        go.set()
        task.done()
        gc.collect()
    for key in ("kept", "made"):
        tree = WAYS_OUT[way](d, key)
        assert tree == build()
        assert all(owner(o).is_mine for o in containers(tree))
        assert tree[0]["shared"] is tree[1]["shared"]
        use_hard(tree)
        del tree
    go.set()
    task.join(60)


def test_a_tree_that_nobody_read_changes_its_owner_with_its_leaves():
    d = LockingDict()

    def put():
        d["unread"] = [i + 0.5 for i in range(50)]
        d["read"] = [i + 0.5 for i in range(50)]

    elsewhere(put)
    read = d["read"]
    unread, taken = d.pop("unread"), d.pop("read")
    assert all(owner(x).is_mine for x in unread) and unread == taken == read
    assert all(a is b for a, b in zip(read, taken))  # numbers never change: both are the same
    assert not any(owner(x).is_mine for x in taken)


def test_a_temporary_moves():
    d, l = LockingDict(), LockingList()
    inner = [[i] for i in range(3)]
    addresses = [id(x) for x in inner]
    box = [inner]
    del inner
    d["k"] = box.pop()
    l.append(d.pop("k"))
    assert [id(x) for x in l.pop()] == addresses


def test_what_never_changes_is_the_same_object():
    text, number, data, frozen = "text " * 3, 10**30, b"bytes" * 3, frozenset({"a", 2.5})
    values = [text, number, data, frozen, 2j, Point, len, build, gc, ...]
    d, l = LockingDict(enumerate(values)), LockingList(values)
    for i, value in enumerate(values):
        assert d[i] is value and l[i] is value and elsewhere(lambda: d[i]) is value
    assert all(l.pop() is value for value in reversed(values))


def test_what_a_name_refers_to_is_copied():
    row = build(1)
    d, l = LockingDict(k=row), LockingList([row])
    d["k"], l[0] = row, row
    assert row == build(1) and d["k"] == row and l[0] == row
    row[0]["t"][1].append("mine")
    d["k"][0]["t"][1].append("lost")
    assert d["k"] == l[0] == build(1)


def test_values_at_rest_are_not_found_by_the_collector():
    class Local(Point):
        pass

    d = LockingDict()
    d["k"] = [{"a": [Local(1)]}]  # moves
    assert not [o for o in gc.get_objects() if type(o) is Local]
    tree = d["k"]
    assert gc.is_tracked(tree) and gc.is_tracked(tree[0]) and gc.is_tracked(tree[0]["a"])
    tree[0]["a"].append(tree)
    watched = weakref.ref(tree[0]["a"][0])
    del tree
    gc.collect()
    assert watched() is None
    tree = d.pop("k")
    assert gc.is_tracked(tree) and gc.is_tracked(tree[0]) and gc.is_tracked(tree[0]["a"])
    tree[0]["a"].append(tree)
    watched = weakref.ref(tree[0]["a"][0])
    del tree
    gc.collect()
    assert watched() is None


def test_cycles_and_aliases():
    loop, shared = [], [1]
    loop.append({"loop": loop, "shared": shared, "again": shared})
    d = LockingDict(k=loop)
    for out in (d["k"], d["k"], d.pop("k")):
        assert out[0]["loop"] is out and out[0]["shared"] is out[0]["again"]
        out[0]["shared"].append(2)


def test_what_cannot_be_copied_is_refused_and_changes_nothing():
    d, l = LockingDict(k=[1]), LockingList([1])
    kept = [threading.Lock()]
    for use in (lambda: d.__setitem__("k", kept), lambda: d.setdefault("new", kept), lambda: l.append(kept),
                lambda: l.__setitem__(0, kept), lambda: l.extend([2, kept])):
        with pytest.raises(TypeError, match="cannot pickle"):
            use()
    assert d == {"k": [1]} and l == [1] and not kept[0].locked()


class Uncopied:
    def __deepcopy__(self, memo):
        raise ZeroDivisionError


def test_a_value_that_cannot_be_copied_can_be_taken():
    d = LockingDict()
    d["k"] = [Uncopied()]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            d["k"]
    with pytest.raises(ZeroDivisionError):
        elsewhere(lambda: d["k"])
    [o] = elsewhere(lambda: d.pop("k"))
    assert type(o) is Uncopied and "k" not in d


class Leaks:
    """Its copying keeps the original."""

    kept = []

    def __init__(self):
        self.inside = [1]

    def __deepcopy__(self, memo):
        Leaks.kept.append(self)
        new = Leaks()
        new.inside = list(self.inside)
        return new


def test_an_instance_whose_copying_keeps_it():
    d = LockingDict()
    elsewhere(lambda: d.__setitem__("k", [Leaks()]))
    Leaks.kept.clear()
    elsewhere(lambda: d["k"])
    [kept] = Leaks.kept
    kept.inside.append("changed")
    assert d["k"][0].inside == [1, "changed"]
    [taken] = d.pop("k")
    assert taken is kept
    stop = threading.Event()

    def change():
        while not stop.is_set():
            kept.inside.append(2)

    task = Task(change)
    for _ in range(200):
        taken.inside = [x for x in taken.inside[:50]]
        gc.collect(0)
    stop.set()
    task.done()
    Leaks.kept.clear()


def test_handles_as_values():
    d, l = LockingDict(), LockingList()
    a = SharedArray("q", 3)
    d["a"], d["row"], l[:] = a, [a[1:]], [a]
    elsewhere(lambda: d["a"].add(1, 5))
    assert d["row"][0].tolist() == [5, 0] and l[0].tolist() == [0, 5, 0] and d["a"].id == a.id


# ---- many threads at once --------------------------------------------------------------------------------


def storm(stop):
    n = 0
    while not stop.is_set():
        gc.collect(n % 3)
        n += 1
        time.sleep(0.002)
    return n


def run_together(*works, stop=None):
    """Each work in a thread of its own, with collections all the time; their results."""
    done = threading.Event()
    storms = Task(storm, done)
    tasks = [Task(*work) for work in works]
    try:
        return [task.done(300) for task in tasks]
    finally:
        done.set()
        if stop is not None:
            stop.set()
        storms.done()


def test_readers_copy_one_tree_while_others_replace_it():
    d, l = LockingDict(k=build(5)), LockingList([build(5)])
    end = time.monotonic() + SECONDS

    def read(c, k):
        n = 0
        while n < 20 or time.monotonic() < end:
            tree = c[k]
            assert tree == build(5)
            use_hard(tree)
            n += 1

    def replace(c, k):
        n = 0
        while n < 20 or time.monotonic() < end:
            c[k] = build(5)
            kept = build(5)
            c[k] = kept
            use_hard(kept)
            n += 1

    run_together(*((work, c, k) for c, k in ((d, "k"), (l, 0)) for work in (read, read, replace)))
    assert d["k"] == l[0] == build(5)


def test_readers_of_one_instance():
    """copy.deepcopy asks the one instance for its attributes in all threads at once."""
    d = LockingDict(k=[Point(i, [Point("inner", {"a": [i]})]) for i in range(10)])
    expected = d["k"]

    def read():
        for _ in range(100 if QUICK else 500):
            assert d["k"] == expected

    run_together(*[(read,)] * 4)
    assert d.pop("k") == expected


def test_trees_go_round():
    """From key to key and list to list by all ways out and in: none is lost, and each is whole."""
    d, l = LockingDict((i, [i, build(3)]) for i in range(8)), LockingList([i, build(3)] for i in range(8, 16))
    end = time.monotonic() + SECONDS

    def work(seed):
        rng, n = random.Random(seed), 0
        while n < 50 or time.monotonic() < end:
            n += 1
            tree = d.pop(rng.randrange(8), None)
            if tree is None:
                continue
            assert tree[1] == build(3)
            try:
                other = l.pop(rng.randrange(-4, 4))
            except IndexError:
                other = None
            l.insert(rng.randrange(8), tree)
            for _ in range(20):
                if other is None:
                    break
                assert other[1] == build(3)
                other = d.swap(rng.randrange(8), other, None)
            if other is not None:
                l.append(other)
            if n % 2 and len(d) < 4:
                try:
                    back = l.pop()
                except IndexError:
                    continue
                back = d.swap(rng.randrange(8), back, None)
                if back is not None:
                    l.append(back)

    run_together(*((work, seed) for seed in range(4)))
    left = [tree[0] for tree in [*d.values(), *l]]
    assert sorted(left) == list(range(16))


def test_counts_add_up():
    d, l, n = LockingDict(tree={"n": 0, "log": []}), LockingList([0, 0.0]), 300 if QUICK else 2000

    def work(me):
        for i in range(n):
            d.add("small")
            d.add("big", 2**61)
            d.add("float", 0.5)
            with d.checkout("tree") as tree:
                tree["n"] += 1
                tree["log"].append((me, i))
            d.update_with("updated", lambda seen: [*seen[-5:], me], [])
            with l.locked():
                l[0] += 1
                l[1] += 0.5

    run_together(*((work, me) for me in range(4)))
    assert (d["small"], d["big"], d["float"], l[0], l[1]) == (4 * n, 4 * n * 2**61, 2.0 * n, 4 * n, 2.0 * n)
    assert d["tree"]["n"] == 4 * n
    for me in range(4):
        assert [i for who, i in d["tree"]["log"] if who == me] == list(range(n))


def test_keys_come_and_go_while_others_look():
    d, stop, n = LockingDict({("steady", i): f"value {i}" for i in range(100)}), threading.Event(), 300
    rounds = 3 if QUICK else 20

    def churn(me):
        for _ in range(rounds):
            for i in range(n):
                d[me, i] = [f"{me} {i}"]
            for i in range(n):
                assert d.pop((me, i)) == [f"{me} {i}"]

    def look():
        while not stop.is_set():
            items = dict(d.items())
            assert all(items["steady", i] == f"value {i}" for i in range(100))
            assert len(repr(d)) > 100 and len(d) >= 100

    looking = [Task(look) for _ in range(2)]
    run_together(*((churn, me) for me in range(3)), stop=stop)
    for task in looking:
        task.done()
    assert len(d) == 100


def test_each_item_is_popped_once_and_sorting_keeps_all():
    l, n = LockingList(), 500 if QUICK else 3000
    got, more = [[] for _ in range(2)], threading.Event()

    def put(me):
        for i in range(n):
            l.append([me, i])

    def take(into):
        while not (more.is_set() and len(l) == 0):
            try:
                into.append(l.pop(0))
            except IndexError:
                time.sleep(0)

    def order():
        while not more.is_set():
            l.sort(key=lambda item: item[1])
            l.reverse()
            assert [0] not in l

    others = [Task(take, into) for into in got] + [Task(order)]
    run_together(*((put, me) for me in range(3)), stop=more)
    for task in others:
        task.done()
    assert sorted(got[0] + got[1]) == [[me, i] for me in range(3) for i in range(n)]


def test_threads_that_end_leave_nothing_behind():
    """What a thread had retired when it ended is freed by others."""
    freed = []

    class Told:
        def __del__(self):
            freed.append(1)

    d = LockingDict()

    def work(i):
        for k in range(10):
            d[k] = [Told()]

    for i in range(30):
        elsewhere(work, i)
    d.clear()
    deadline = time.monotonic() + 20
    while len(freed) < 300 and time.monotonic() < deadline:
        d["again"] = [1]
        d.clear()
        gc.collect()
    assert len(freed) == 300


# ---- process_global --------------------------------------------------------------------------------------


def ask_together(key, factory, threads=8):
    barrier = threading.Barrier(threads)

    def ask():
        barrier.wait()
        try:
            return process_global(key, factory)
        except ZeroDivisionError as error:
            return error

    tasks = [Task(ask) for _ in range(threads)]
    return [task.done() for task in tasks]


def test_process_global_is_made_once():
    calls = []

    def factory():
        calls.append(threading.get_ident())
        time.sleep(0.05)
        return {"rows": build(3)}

    first, *others = ask_together("once", factory)
    assert first == {"rows": build(3)} and all(value is first for value in others) and len(calls) == 1
    assert process_global("once", None) is first
    [entry] = [g for g in process_globals() if g.key == "once"]
    assert entry.state == "ready" and entry.inits == 1


def test_a_factory_that_raises_is_its_callers_and_the_next_one_tries():
    for fails in (1, 3, 8):
        calls, lock = [], threading.Lock()

        def factory():
            with lock:
                calls.append(1)
                n = len(calls)
            time.sleep(0.01)
            if n <= fails:
                1 / 0
            return [n]

        results = ask_together(f"fails {fails}", factory)
        assert sum(isinstance(r, ZeroDivisionError) for r in results) == fails
        assert len(calls) == min(fails + 1, 8)
        assert all(r == [fails + 1] for r in results if not isinstance(r, ZeroDivisionError))
        assert process_global(f"fails {fails}", factory) == [min(fails + 1, 9)]


def test_factories_that_need_each_other_end():
    """a asks for b in one thread while b asks for a in another: neither may wait for ever."""
    barrier = threading.Barrier(2)

    def make(mine, other):
        def factory():
            barrier.wait(60)
            return [mine, process_global(other, lambda: [other])]
        try:
            return process_global(mine, factory)
        except RuntimeError as error:
            return str(error)

    tasks = [Task(make, "cross a", "cross b"), Task(make, "cross b", "cross a")]
    results = [task.done(60) for task in tasks]
    assert any(isinstance(r, list) for r in results) and len(results) == 2
