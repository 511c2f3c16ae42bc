"""owner() and rebias(): whose objects are, and taking them over."""

import gc
import threading
import time
import weakref

import pytest

from helpers.threads import Task, elsewhere, nodes
import objtunnel
from objtunnel import owner, rebias


def make(n=100):
    return [{"i": i * 1000, "x": i + 0.5, "s": f"text {i}", "t": (i + 1000, [i + 0.25]), "b": {i + 5000}} for i in range(n)]


def is_mine(o):
    return owner(o).is_mine or "immortal" in owner(o).flags


def test_what_a_thread_makes_is_its_own():
    mine = owner([])
    assert mine.thread == threading.get_ident() and mine.is_mine
    assert mine.local > 0 and mine.shared == 0 and mine.flags == ()


def test_immortal_objects_are_nobodys():
    assert owner(None) == (None, False, None, 0, ("immortal",))


def test_another_threads_object_is_that_threads():
    box, go, told = [], threading.Event(), threading.Event()

    def other():
        box.append(make())
        told.set()
        go.wait(60)

    task = Task(other)
    assert told.wait(60)
    tree = box.pop()
    assert owner(tree).thread == task.ident and not owner(tree).is_mine
    assert owner(tree).shared > 0  # this thread's references
    go.set()
    task.done()


@pytest.mark.parametrize("ended", [False, True])
def test_rebias_takes_all_over_from_a_thread_that_waits_or_has_ended(ended):
    box, go, told = [], threading.Event(), threading.Event()

    def other():
        box.append(make())
        told.set()
        go.wait(60)

    task = Task(other)
    assert told.wait(60)
    if ended:
        go.set()
        task.done()
    tree = box.pop()
    assert not owner(tree[3]["t"]).is_mine
    n = len([o for o in nodes(tree) if not is_mine(o)])
    assert n > 500 and rebias(tree) >= n
    assert [o for o in nodes(tree) if not is_mine(o)] == []
    assert rebias(tree) == 0
    assert tree == make()
    go.set()
    task.done()


def test_rebias_keeps_every_reference():
    """Half of the references stay with the other thread, which goes on using and dropping them."""
    box, told, go = [], threading.Event(), threading.Event()

    def other():
        tree = make(1000)
        box.append(tree)
        told.set()
        go.wait(60)
        for row in tree:
            row["again"] = [row["s"]] * 3
        kept = tree[::2]
        del tree
        return len(kept)

    task = Task(other)
    assert told.wait(60)
    tree = box.pop()
    rebias(tree)
    go.set()
    for _ in range(50):
        assert sum(len(row["s"]) for row in tree[:]) > 0
    assert task.done() == 500
    gc.collect()
    assert [row["i"] for row in tree] == [i * 1000 for i in range(1000)]
    last = weakref.ref(Plain())
    assert last() is None
    tree[0]["o"] = o = Plain()
    last = weakref.ref(o)
    del o, tree
    gc.collect()
    assert last() is None


class Plain:
    pass


class Slots:
    __slots__ = ("a", "__weakref__")


def test_instances_are_walked_through():
    def build():
        o = Plain()
        o.part = Slots()
        o.part.a = [1.5, {"k": 2.5}]
        return [o]

    tree = elsewhere(build)
    o = tree[0]
    assert not owner(o.part.a[1]).is_mine
    rebias(tree)
    assert all(is_mine(p) for p in (tree, o, o.part, o.part.a, o.part.a[0], o.part.a[1], o.part.a[1]["k"]))


def test_weak_references_of_all_threads_go_on_working():
    def build():
        o = Plain()
        return [o], weakref.ref(o)

    tree, ref = elsewhere(build)
    assert "weakref" in owner(tree[0]).flags or "merged" in owner(tree[0]).flags
    rebias(tree)
    assert owner(tree[0]).is_mine
    assert elsewhere(ref) is tree[0] and ref() is tree[0]
    tree.clear()
    gc.collect()
    assert ref() is None and elsewhere(ref) is None


def test_a_merged_object_that_others_can_refer_to_weakly_stays_so():
    """The last reference of the owner is gone before somebody else asks for a weak one."""
    o = elsewhere(Plain)
    ref = elsewhere(weakref.ref, o)
    assert rebias(o) == 1 and owner(o).is_mine
    assert elsewhere(ref) is o
    del o
    assert ref() is None


def wait_until_asleep(native_id):
    """Until the kernel has seen the thread asleep for some time."""
    asleep = 0
    while asleep < 3:
        with open(f"/proc/self/task/{native_id}/stat") as file:
            state = file.read().rpartition(")")[2].split()[0]
        asleep = asleep + 1 if state == "S" else 0
        time.sleep(0.01)


def test_a_count_that_waits_in_its_owners_queue_is_left_alone():
    """More was given back than others had counted: the owner is asked to merge, and sleeps. An owner that is still on its
    way to sleep would merge."""
    box, told, go, ids = [], threading.Event(), threading.Event(), []

    def other():
        o = Plain()
        box.extend([o, o])
        del o
        ids.append(threading.get_native_id())
        told.set()
        go.wait(60)

    task = Task(other)
    assert told.wait(60)
    wait_until_asleep(ids[0])
    box.pop()  # with the reference that the other thread has counted
    assert owner(box[0]).flags == ("queued",)
    assert rebias(box[0]) == 0 and owner(box[0]).flags == ("queued",)
    go.set()
    task.done()
    ref = weakref.ref(box[0])
    box.clear()
    assert ref() is None


def test_cycles():
    def build():
        a = {"name": "a" * 10}
        a["self"] = a
        a["list"] = [a, (a,)]
        return a

    a = elsewhere(build)
    assert rebias(a) > 0
    assert is_mine(a["list"]) and is_mine(a["list"][1]) and a["list"][1][0] is a
    a.clear()


def test_depth_costs_no_stack():
    def build():
        tree = []
        for _ in range(100_000):
            tree = [tree]
        return tree

    tree = elsewhere(build)
    assert rebias(tree) >= 100_000
    while tree:
        tree = tree.pop()


def test_all_threads_at_once():
    """Each takes over what the others do: nothing is lost, whatever the order."""
    tree = make(200)
    stop = threading.Event()

    def work():
        n = 0
        while not stop.is_set():
            n += rebias(tree)
            for row in tree:
                row["s"], row["x"]
        return n

    tasks = [Task(work) for _ in range(3)]
    for _ in range(20):
        rebias(tree)
        gc.collect()
    stop.set()
    for task in tasks:
        task.done()
    assert tree == make(200)


def test_errors():
    with pytest.raises(TypeError):
        owner()
    with pytest.raises(TypeError):
        rebias()


@pytest.mark.parametrize("name", [
    "Interpreter", "InterpreterPoolExecutor", "Box", "freeze", "heap_info", "current_gil",
    "dump", "explain", "when", "shared_module", "register_movable"])
def test_what_is_not_there_says_so(name):
    with pytest.raises(NotImplementedError, match=f"objtunnel.{name} is not there on a free-threaded build"):
        getattr(objtunnel, name)()


def test_each_public_name_is_there():
    assert [name for name in objtunnel.__all__ if not hasattr(objtunnel, name)] == []
