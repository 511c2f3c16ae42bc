"""objtunnel._failed_item: which object of a pickle cannot be rebuilt."""

import collections
import datetime
import enum
import functools
import pickle

import pytest

from objtunnel import _failed_item


class Color(enum.Enum):
    RED = 1


class Cyclic:
    def __init__(self):
        self.me = self


class OfTuple:
    """In a tuple that holds itself."""
    def __init__(self):
        self.pair = (1, [])
        self.pair[1].append(self.pair)
        self.four = (1, 2, 3, [])
        self.four[3].append(self.four)

    def __reduce__(self):
        return OfTuple, (), {"pair": self.pair, "four": self.four}


def refuse(*_):
    raise ValueError("not today")


class Refuses:
    """When: what of it fails, before or after something of it was built."""
    def __init__(self, when):
        self.when = when

    def __reduce__(self):
        return {"call": (refuse, ([1, {2: (3,)}],)), "state": (Stateless, (1.5,), {"x": [2]}),
                "items": (collections.deque, (), None, iter([[1], [2]]), iter([("a", 1)]))}[self.when]


class Stateless:
    def __init__(self, *_):
        pass

    __setstate__ = refuse


class Missing:
    pass


GOOD = [len, Color.RED, Cyclic(), OfTuple(), functools.partial(max, (1,), [2, {3: 4}], key=len), datetime.timezone.utc,
        b"x" * 100_000, {1: {2, 3}, "s": frozenset([4])}, (), [[]], ((1, 2), (3, 4, 5)), "\u20ac" * 50, bytearray(20), 10**50, 1.5, None]


def find(data):
    return _failed_item.failed_item(data, lambda find_class: find_class)


@pytest.mark.parametrize("protocol", range(1, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("when", ["call", "state", "items"])
def test_the_first_that_fails_is_found(when, protocol):
    for at in range(len(GOOD) + 1):
        objects = [*GOOD[:at], Refuses(when), *GOOD[at:], Refuses("call")]
        data = pickle.dumps(objects, protocol)
        with pytest.raises((ValueError, TypeError)):
            pickle.loads(data)
        assert find(data) == at


def test_a_class_that_is_gone(monkeypatch):
    data = pickle.dumps([len, [Missing()], Missing(), len])
    monkeypatch.delitem(globals(), "Missing")
    assert find(data) == 1


def test_after_thousands_of_others():
    """pickle appends a thousand at a time."""
    data = pickle.dumps([functools.partial(len, i) for i in range(2500)] + [Refuses("call")])
    assert find(data) == 2500


def test_no_saying():
    assert find(pickle.dumps(GOOD)) is None  # none of them fails
    assert find(pickle.dumps([b"x" * _failed_item.LONGEST, Refuses("call")])) is None
