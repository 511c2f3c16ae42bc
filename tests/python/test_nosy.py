"""Somebody looks at all lists and tuples by way of the collector while ours are being filled."""

import gc

import pytest

from nosy import Nosy, Reducing, Watcher
from objtunnel import LockingDict, LockingList, SharedFile

N = 8


def numbers(found):
    return [o.number for o in found]


def nosy_list():
    return LockingList([Nosy(i) for i in range(N)])


def nosy_dict():
    return LockingDict({i: Nosy(i) for i in range(N)})


USES = {
    "copy of a list": lambda: numbers(nosy_list().copy()),
    "slice": lambda: numbers(nosy_list()[:]),
    "iteration": lambda: numbers(nosy_list()),
    "sum of lists": lambda: numbers((nosy_list() + [])),
    "comparison": lambda: list(range(N)) if nosy_list() == nosy_list() else None,
    "values": lambda: numbers(nosy_dict().values()),
    "items": lambda: numbers(value for _, value in nosy_dict().items()),
    "copy of a dict": lambda: numbers(dict(nosy_dict().copy()).values()),
    "popitem": lambda: popped(nosy_dict()),
    "sort": lambda: sorted_list(nosy_list()),
}


def popped(d):
    return [d.popitem()[1].number for _ in range(N)][::-1]


def sorted_list(items):
    items.reverse()
    items.sort()
    return numbers(items)


@pytest.mark.parametrize("use", USES)
def test_reading_what_is_pickled(use, nothing_left):
    assert USES[use]() == list(range(N))


@pytest.mark.parametrize("use", USES)
def test_while_another_thread_looks(use, fast_switching, nothing_left):
    with Watcher():
        assert USES[use]() == list(range(N))


def test_what_was_read_is_known_to_the_collector():
    """A cycle through it is found."""
    d, items = nosy_dict(), nosy_list()
    for found in (d.values(), d.items(), d.keys(), d.popitem(), items.copy()):
        assert gc.is_tracked(found)


def test_printing(tmp_path):
    with SharedFile(tmp_path / "log", "w") as f:
        f.print("a", Nosy(1), Nosy(2), sep="-")
        said = "something said"
        f.print(said, Reducing(said), *[Reducing(said)] * 100, sep="")
    assert (tmp_path / "log").read_text() == "a-nosy 1-nosy 2\nsomething said" + "!" * 101 + "\n"
