"""Shared types beside the built-in type that each is modelled on: the same calls, the same results, the same
kinds of errors. Differences that are meant are named here."""

import array
import copy
import io
import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import objtunnel
from objtunnel import LockingDict, LockingList, SharedArray, freeze

BIG = [2**31, 2**63 - 1, 2**63, -2**63, -2**63 - 1, 10**30]
INDICES = st.integers(-6, 6) | st.sampled_from([*BIG, True, 1.0, None, "1"])
BOUNDS = st.none() | st.integers(-6, 6) | st.sampled_from(BIG)
SLICES = st.builds(slice, BOUNDS, BOUNDS, st.none() | st.integers(-3, 3) | st.sampled_from(BIG))
SCALARS = st.integers(-3, 3) | st.sampled_from([True, None, 1.0, "a", "b", b"a", 2**70, math.inf])
ITEMS = SCALARS | st.lists(st.integers(0, 3), max_size=2) | st.tuples(st.integers(0, 2))
LISTS = st.lists(ITEMS, max_size=5)


def outcome(call, *args):
    """What came of it: a result, made plain, or the type of the error."""
    try:
        result = call(*args)
    except Exception as error:
        return type(error)
    return plain(result)


def plain(o):
    if isinstance(o, (LockingList, SharedArray)):
        return list(o)
    if isinstance(o, LockingDict):
        return dict(o.items())
    if isinstance(o, (list, tuple)) and type(o) in (list, tuple):
        return type(o)(map(plain, o))
    if type(o).__name__.startswith("Frozen"):
        return o.thaw()
    return o


# ---- LockingList and list ---------------------------------------------------------------------------

LIST_STEPS = st.one_of(
    st.tuples(st.sampled_from(["append", "remove", "count", "index", "extend", "__contains__", "__iadd__"]),
              st.tuples(ITEMS | LISTS)),
    st.tuples(st.just("index"), st.tuples(ITEMS, INDICES, INDICES)),
    st.tuples(st.just("insert"), st.tuples(INDICES, ITEMS)),
    st.tuples(st.sampled_from(["pop", "__getitem__", "__delitem__"]), st.tuples(INDICES | SLICES)),
    st.tuples(st.just("__setitem__"), st.tuples(INDICES, ITEMS) | st.tuples(SLICES, LISTS | ITEMS)),
    st.tuples(st.sampled_from(["pop", "reverse", "sort", "copy", "clear", "__len__", "__reversed__"]), st.just(())),
    st.tuples(st.sampled_from(["__mul__", "__rmul__", "__imul__"]),
              st.tuples(st.integers(-1, 3) | st.sampled_from([True, 1.5, "a"]))),
    st.tuples(st.sampled_from(["__add__", "__eq__", "__lt__", "__ge__", "__ne__"]), st.tuples(LISTS | ITEMS)))


OPERATORS = {"__getitem__": operator.getitem, "__setitem__": operator.setitem, "__delitem__": operator.delitem,
             "__contains__": operator.contains, "__add__": operator.add, "__mul__": operator.mul,
             "__rmul__": lambda a, b: b * a, "__eq__": operator.eq, "__ne__": operator.ne,
             "__lt__": operator.lt, "__ge__": operator.ge, "__len__": len, "__or__": operator.or_,
             "__reversed__": lambda o: list(reversed(o))}


def step(o, name, args):
    if name in ("__iadd__", "__imul__", "__ior__"):
        inplace = {"__iadd__": operator.iadd, "__imul__": operator.imul, "__ior__": operator.ior}[name]
        return outcome(lambda: inplace(o, copy.deepcopy(args[0])) is o)
    args = copy.deepcopy(args)
    return outcome(lambda: OPERATORS[name](o, *args) if name in OPERATORS else getattr(o, name)(*args))


@given(LISTS, st.lists(LIST_STEPS, max_size=12))
def test_a_list(start, steps):
    ours, model = LockingList(start), copy.deepcopy(start)
    for name, args in steps:
        before = copy.deepcopy(model)
        theirs = step(model, name, args)
        if name == "sort" and isinstance(theirs, type):
            model = before  # ours is as it was, list's is not
        assert step(ours, name, args) == theirs, (before, name, args)
        assert list(ours) == model and [type(x) for x in ours] == [type(x) for x in model]
        assert repr(ours) == f"LockingList({model!r})" and len(ours) == len(model)


# ---- LockingDict and dict ---------------------------------------------------------------------------

KEYS = SCALARS | st.tuples(st.integers(0, 2), st.sampled_from(["a", 1.0]))
DICTS = st.dictionaries(KEYS, ITEMS, max_size=4)
DICT_STEPS = st.one_of(
    st.tuples(st.sampled_from(["get", "setdefault", "__getitem__", "__delitem__", "__contains__"]),
              st.tuples(KEYS | st.just([]))),
    st.tuples(st.just("pop"), st.tuples(KEYS) | st.tuples(KEYS, ITEMS)),  # an empty dict takes any key
    st.tuples(st.sampled_from(["get", "setdefault", "__setitem__"]), st.tuples(KEYS | st.just({}), ITEMS)),
    st.tuples(st.sampled_from(["update", "__or__", "__ior__", "__eq__", "__ne__"]),
              st.tuples(DICTS | st.lists(st.tuples(KEYS, ITEMS), max_size=3) | st.integers())),
    st.tuples(st.sampled_from(["popitem", "clear", "__len__", "__reversed__", "copy"]), st.just(())))


@given(DICTS, st.lists(DICT_STEPS, max_size=12))
def test_a_dict(start, steps):
    ours, model = LockingDict(start), copy.deepcopy(start)
    for name, args in steps:
        assert step(ours, name, args) == step(model, name, args), (model, name, args)
        assert list(ours) == list(model) and list(ours.items()) == list(model.items())
        assert [type(k) for k in ours] == [type(k) for k in model]
        assert repr(ours) == f"LockingDict({model!r})"


# ---- SharedArray and array --------------------------------------------------------------------------

CODES = st.sampled_from("bBhHiIlLqQfd")
NUMBERS = st.integers(-3, 300) | st.sampled_from([*BIG, True, 1.5, math.inf])
MAYBE_NUMBERS = NUMBERS | st.sampled_from([None, "x", b"x", [1]])


@given(CODES, st.lists(MAYBE_NUMBERS, max_size=5), st.sampled_from([list, iter, tuple]))
def test_an_array_of_values(code, values, kind):
    def ours():
        source = kind(values)
        return SharedArray(code, source=source) if kind is tuple else SharedArray(code, source)
    expected = outcome(lambda: list(array.array(code, kind(values))))
    assert outcome(ours) == expected or {outcome(ours), expected} <= {TypeError, OverflowError}


ARRAY_STEPS = st.one_of(
    st.tuples(st.just("__getitem__"), st.tuples(INDICES | SLICES)),
    st.tuples(st.just("__setitem__"), st.tuples(INDICES, MAYBE_NUMBERS)),
    st.tuples(st.sampled_from(["__contains__"]), st.tuples(NUMBERS)),
    st.tuples(st.sampled_from(["__len__", "__reversed__", "tolist"]), st.just(())))


@given(CODES, st.lists(st.integers(0, 100), min_size=1, max_size=5), st.lists(ARRAY_STEPS, max_size=8))
def test_an_array(code, start, steps):
    ours, model = SharedArray(code, start), array.array(code, start)
    for name, args in steps:
        expected = step(model, name, args)
        expected = list(expected) if isinstance(expected, array.array) else expected
        got = step(ours, name, args)
        assert got == expected or {got, expected} <= {TypeError, OverflowError}, (name, args)
        assert list(ours) == list(model)


@given(st.lists(MAYBE_NUMBERS, max_size=4), SLICES)
def test_a_failed_assignment_to_an_array_changes_nothing(values, part):
    ours = SharedArray("h", [7, 8, 9])
    try:
        ours[part] = values
    except (TypeError, ValueError, OverflowError):
        assert list(ours) == [7, 8, 9]
    else:
        model = [7, 8, 9]
        model[part] = values
        assert list(ours) == [int(x) for x in model]


class Raises:
    def __index__(self):
        raise ZeroDivisionError

    __float__ = __index__


@pytest.mark.parametrize("code", "iQfd")
def test_filling_converts_once(code):
    class Counts:
        n = 0

        def __index__(self):
            Counts.n += 1
            return 5

        __float__ = __index__ if code in "iQ" else lambda self: float(self.__index__())

    ours = SharedArray(code, (2, 3))
    ours[:] = Counts()
    assert ours.tolist() == [[5] * 3] * 2 and Counts.n == 1
    for bad in (Raises(), [[1, 2, 3], [4, 5, Raises()]], [[1, 2, 3], [4, 5]], [1, 2, 3], [1, 2, 3, 4, 5, Raises()]):
        with pytest.raises((ZeroDivisionError, ValueError)):
            ours[:] = bad
        assert ours.tolist() == [[5] * 3] * 2


def test_what_stands_in_the_second_place():
    for values in ([1, 2, 3], range(1, 4), iter([1, 2, 3]), array.array("d", [1, 2, 3]), memoryview(b"\1\2\3"),
                   b"\1\2\3", bytearray(b"\1\2\3"), {1: 1, 2: 2, 3: 3}, SharedArray("d", [1, 2, 3])):
        assert list(SharedArray("d", values)) == [1, 2, 3]
    assert SharedArray("d", (2, 3)).shape == (2, 3) == SharedArray("d", shape=[2, 3]).shape
    assert SharedArray("d", 2).shape == (2,) == SharedArray("d", True + 1).shape
    assert SharedArray("d", (2, 3), range(6)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert SharedArray("d", (2, 3), source=[[0, 1, 2], [3, 4, 5]])[1, 2] == 5
    assert SharedArray("d", (2, 2), source=[[1, 2], 3]).tolist() == [[1, 2], [3, 3]]
    assert SharedArray("d", []).shape == (0,)
    with pytest.raises(TypeError, match="a shape is an int or a tuple"):
        SharedArray("d", [2, 3], range(6))
    for shape, source in (((2, 3), range(5)), ((2, 3), range(7)), ((2, 3), [[1, 2, 3]])):
        with pytest.raises(ValueError, match="values for"):
            SharedArray("d", shape, source)


# ---- frozen views -----------------------------------------------------------------------------------

SEQUENCE_STEPS = st.one_of(
    st.tuples(st.sampled_from(["__getitem__"]), st.tuples(INDICES | SLICES)),
    st.tuples(st.sampled_from(["index", "count", "__contains__"]), st.tuples(ITEMS)),
    st.tuples(st.sampled_from(["__mul__", "__rmul__"]), st.tuples(st.integers(-1, 3) | st.just(1.5))),
    st.tuples(st.sampled_from(["__add__", "__eq__", "__lt__", "__ge__", "__ne__"]),
              st.tuples(LISTS | LISTS.map(tuple) | ITEMS)),
    st.tuples(st.sampled_from(["__len__", "__reversed__"]), st.just(())))


@given(LISTS | LISTS.map(tuple), st.lists(SEQUENCE_STEPS, max_size=8))
def test_a_frozen_sequence(model, steps):
    ours = freeze(model)
    for name, args in steps:
        assert step(ours, name, args) == step(model, name, args), (model, name, args)
    assert outcome(lambda: model + ours) == model + model and outcome(lambda: ours + ours) == model + model


@given(DICTS, DICTS, st.lists(DICT_STEPS.filter(lambda s: s[0] in ("get", "__getitem__", "__contains__", "__or__",
                                                                  "__eq__", "__ne__", "__len__")), max_size=8))
def test_a_frozen_dict(model, other, steps):
    ours = freeze(model)
    for name, args in steps:
        assert step(ours, name, args) == step(model, name, args), (model, name, args)
    assert plain(ours | other) == model | other and plain(other | ours) == other | model
    assert list(map(plain, ours)) == list(model) and plain(ours | freeze(other)) == model | other


NAN = math.nan
NANS = [NAN, complex(NAN, 1), (NAN,), (1, (NAN, "a"), NAN), -NAN]


@pytest.mark.parametrize("key", NANS, ids=str)
@pytest.mark.parametrize("make", [lambda k: {k: [1], 2: [3]}, lambda k: {k, 2}, lambda k: frozenset({k, "x"})])
def test_a_nan_is_found_in_a_frozen_tree(key, make):
    frozen = freeze(make(key))
    assert all(k in frozen for k in frozen) and key in frozen and len(frozen) == 2
    assert (NAN, 5) not in frozen and (NAN,) * 3 not in frozen
    if isinstance(make(key), dict):
        assert all(plain(frozen[k]) in ([1], [3]) for k in frozen) and frozen[key] == [1] and frozen.get((NAN, 5)) is None


# ---- others -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["r", "rb"])
@pytest.mark.parametrize("hint", [-1, 0, 1, 2, 3, 4, 5, 6, 100, None])
def test_readlines(mode, hint, tmp_path):
    path = tmp_path / "lines"
    path.write_text("a\nb\n\nc")
    with objtunnel.SharedFile(path, mode) as ours, io.open(path, mode) as theirs:
        assert ours.readlines(hint) == theirs.readlines(hint)
        assert ours.read() == theirs.read()


def test_an_event_that_does_not_come():
    assert objtunnel.Event().wait(0) is False and objtunnel.Event().wait(-1) is False
