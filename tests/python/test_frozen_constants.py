"""Frozen trees with dates, Decimals, Fractions, UUIDs and frozen views in them."""

import datetime
import decimal
import gc
import uuid
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction

import pytest

import constant_users
from objtunnel import FrozenList, _core, freeze

ZONE = datetime.timezone(datetime.timedelta(hours=-3), "west")
CONSTANTS = [
    Decimal("1.50"), Decimal(10) ** 300, Fraction(1, 3), datetime.date(2024, 2, 29), datetime.time(1, 2, 3, tzinfo=ZONE),
    datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC), datetime.datetime(2024, 1, 1, fold=1), datetime.timedelta(1, 2, 3),
    uuid.UUID(int=7), ZONE, datetime.UTC,
]


@pytest.mark.parametrize("o", CONSTANTS, ids=lambda o: type(o).__name__)
def test_each_comes_out_as_it_went_in(o):
    view = freeze({"a": [o, (o, 1)], o: "key", "set": {o, 2}})
    assert type(view["a"][0]) is type(o) and view["a"][0] == o and str(view["a"][0]) == str(o)
    assert view[o] == "key" and o in view["set"] and view["a"][1] == (o, 1)
    assert view == {"a": [o, (o, 1)], o: "key", "set": {o, 2}} and {"a": 1} != view
    assert set(view) == {"a", o, "set"} and view.thaw() == {"a": [o, (o, 1)], o: "key", "set": {o, 2}}
    assert getattr(view["a"][0], "tzinfo", None) == getattr(o, "tzinfo", None)


def test_a_constant_itself_is_constant_anyway():
    for o in CONSTANTS:
        same = freeze(o)
        assert type(same) is type(o) and str(same) == str(o)


def test_others_read_them(worker):
    view = freeze({"rows": [{"day": datetime.date(2024, 1, n), "price": Decimal(n)} for n in range(1, 32)]})
    assert worker.call(constant_users.total, view, datetime.date(2024, 1, 10)) == str(sum(range(10, 32)))
    assert worker.call(constant_users.find, freeze({o: i for i, o in enumerate(CONSTANTS)}), CONSTANTS) == \
        list(range(len(CONSTANTS)))


def test_sharing_and_cycles_stay():
    day = datetime.date(2024, 1, 1)
    tree = [day, [day]]
    tree.append(tree)
    view = freeze(tree)
    thawed = view.thaw()
    assert thawed[0] == day and thawed[2] is thawed and view[2][2][0] == day


def test_what_is_moved_in_comes_back_if_it_cannot_be_frozen():
    with pytest.raises(TypeError, match=r"\$\[1\].*object"):
        freeze([datetime.date(2024, 1, 1), object()])


class Dates(list):
    pass


class Lesson:
    """Its pickle has a date in it; whoever rebuilds it wants a date."""

    rebuilt = []

    def __init__(self, day):
        self.day = day

    def __reduce__(self):
        return Lesson.rebuild, (self.day,)

    @staticmethod
    def rebuild(day):
        Lesson.rebuilt.append(day)
        return Lesson(day + datetime.timedelta(0))


@pytest.mark.parametrize("o", [Lesson(datetime.date(2024, 1, 1)), OrderedDict(a=object()),
                               Dates([datetime.date(2024, 1, 1)])], ids=lambda o: type(o).__name__)
def test_an_object_that_cannot_be_frozen_is_not_rebuilt_with_constants_in_it(o):
    with pytest.raises(TypeError, match=r"^\$\['lessons'\]\[0\].*cannot be frozen: only"):
        freeze({"lessons": [o], "day": datetime.date(2024, 1, 1)})
    assert all(type(day) is datetime.date for day in Lesson.rebuilt)


def test_a_list_that_is_no_constant_is_left_alone():
    tree = [datetime.date(2024, 1, 1), [1.5]]
    inner = tree[1]
    view = freeze(tree)
    tree[1].append(2)
    assert view == [datetime.date(2024, 1, 1), [1.5]] and tree[1] is inner


def test_views_nest():
    inner = freeze({"a": [1, 2], "day": datetime.date(2024, 1, 1)})
    outer = freeze([inner, {"part": inner["a"], "both": (inner, inner["a"])}, "text"])
    assert type(outer[1]["part"]) is FrozenList
    expected = {"a": [1, 2], "day": datetime.date(2024, 1, 1)}
    assert outer == [expected, {"part": [1, 2], "both": (expected, [1, 2])}, "text"]
    del inner
    gc.collect()
    assert freeze([outer])[0][1]["both"][0]["day"] == datetime.date(2024, 1, 1)
    long = freeze({"long": b"x" * 10_000})
    assert bytes(freeze([long["long"]])[0]) == b"x" * 10_000
    assert outer.thaw()[0] == expected and type(outer.thaw()[0]) is dict


def test_nan_keys_are_found_again():
    nans = [float("nan"), complex("nan+1j"), Decimal("nan")]
    for nan in nans:
        view = freeze({nan: 1, (2, nan): 2, "day": datetime.date(2024, 1, 1)})
        for key in list(view)[:2]:
            assert view[key] in (1, 2)
        assert view[nan] == 1 and view[2, nan] == 2 and view.get((3, nan)) is None
        others = [other for other in nans if other is not nan]
        assert not any(other in view for other in others)
    with decimal.localcontext() as context:
        context.traps[decimal.InvalidOperation] = False
        assert freeze({Decimal("nan5"): 1})[Decimal("nan")] == 1


def test_orders_and_other_kinds_beside_them():
    ordered = OrderedDict([(datetime.date(2024, 1, n), n) for n in (3, 1, 2)])
    ordered.move_to_end(datetime.date(2024, 1, 3))
    view = freeze([ordered, range(3), slice(1, 2), frozenset({1}), b"bytes", None])
    assert list(view[0].values()) == [1, 2, 3] and view[1] == range(3) and view[2] == slice(1, 2)


def test_nothing_is_left():
    gc.collect()
    before = _core._live_shared()
    view = freeze([datetime.date(2024, 1, 1)] * 3)
    part = view[0]
    del view
    gc.collect()
    assert _core._live_shared() == before and part.year == 2024


def test_a_tree_that_is_too_deep_says_so():
    tree = [datetime.date(2024, 1, 1)]
    for _ in range(100_000):
        tree = [tree]
    with pytest.raises(RecursionError):
        freeze(tree)
