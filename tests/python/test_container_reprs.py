"""Looking at a container, as a log line or a debugger does, waits for nobody and works in any state."""

import gc
import threading

import pytest
from objtunnel import Interpreter, LockAbandonedError, LockingDict, LockingList, _core

pytestmark = pytest.mark.usefixtures("nothing_left")


def in_time(function):
    """The result of a call in a thread that may not take long."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(20)
    assert results, "waits"
    return results[0]


class Held:
    """A thread that is within a with block until it is told to leave it."""

    def __init__(self, block):
        self.block, self.inside, self.leave = block, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with self.block():
            self.inside.set()
            self.leave.wait()

    def __enter__(self):
        self.thread.start()
        self.inside.wait()

    def __exit__(self, *args):
        self.leave.set()
        self.thread.join()


def test_a_key_that_is_checked_out():
    d = LockingDict(a=[1], b=2)
    with Held(lambda: d.checkout("a")):
        assert in_time(lambda: repr(d)) == "LockingDict({'a': <checked out>, 'b': 2})"
        assert in_time(lambda: repr([d])) == "[LockingDict({'a': <checked out>, 'b': 2})]"
    assert repr(d) == "LockingDict({'a': [1], 'b': 2})"
    with d.checkout("a"):
        assert repr(d) == "LockingDict({'a': <checked out>, 'b': 2})"


def test_a_key_that_is_being_computed_is_missing_as_to_any_reader():
    d = LockingDict(b=2)
    seen = []
    d.setdefault_with("a", lambda: seen.append(repr(d)))
    assert seen == ["LockingDict({'b': 2})"]


def test_a_key_that_was_abandoned(worker):
    d = LockingDict(a=[1], b=2)
    thread = threading.Thread(target=lambda: d.checkout("a").__enter__())
    thread.start()
    thread.join()
    gc.collect()
    assert repr(d) == "LockingDict({'a': <abandoned>, 'b': 2})"
    assert worker.call(repr, d) == repr(d)
    for read in (d.items, d.values, d.copy, lambda: d == {}):
        with pytest.raises(LockAbandonedError):
            read()
    d["a"] = 1
    assert repr(d) == "LockingDict({'a': 1, 'b': 2})"


def abandon(items):
    items.locked().acquire()


def test_a_list_that_somebody_holds_or_is_gone_with():
    items = LockingList([1, [2]])
    with Held(items.locked):
        assert in_time(lambda: repr(items)) == "LockingList([1, [2]])"
    with Interpreter() as other:
        other.call(abandon, items)
    assert repr(items) == "LockingList([1, [2]])"
    with pytest.raises(LockAbandonedError):
        len(items)
    assert items.locked().recover()
    items.locked().release()


class Slow:
    """While one of these is pickled its value cannot be read by others."""

    started, go_on = threading.Event(), threading.Event()

    def __reduce__(self):
        if Slow.started is not None:
            Slow.started.set()
            Slow.go_on.wait()
        return (Slow, ())

    def __repr__(self):
        return "Slow()"


@pytest.mark.skipif(hasattr(_core, "rebias"), reason="on a free-threaded build any number of threads copy a value at once")
def test_a_value_that_somebody_copies_just_now():
    Slow.started.clear()
    Slow.go_on.set()
    d, items = LockingDict(a=[Slow()], b=2), LockingList([Slow()])
    for container, text in ((d, "LockingDict({'a': <in use>, 'b': 2})"), (items, "LockingList([<in use>])")):
        Slow.started.clear()
        Slow.go_on.clear()
        thread = threading.Thread(target=lambda: container.copy() if container is items else container["a"])
        thread.start()
        Slow.started.wait()
        try:
            assert in_time(lambda: repr(container)) == text
        finally:
            Slow.go_on.set()
            thread.join()
        assert "Slow()" in repr(container)
    del container


def test_containers_within_themselves():
    d, items = LockingDict(), LockingList()
    d["items"], d["d"] = items, d
    items.append(d)
    assert repr(d) == "LockingDict({'items': LockingList([LockingDict({...})]), 'd': LockingDict({...})})"
    assert repr(items) == "LockingList([LockingDict({'items': LockingList([...]), 'd': LockingDict({...})})])"
    items.clear()
    d.clear()


class Angry:
    def __repr__(self):
        raise ValueError("angry")


def test_a_repr_that_raises_leaves_nothing_behind():
    for container in (LockingDict(a=Angry()), LockingList([Angry()])):
        for _ in range(2):
            with pytest.raises(ValueError, match="angry"):
                repr(container)
