"""freeze(): a constant tree that all interpreters read at once. What is read equals what went in, in
whichever interpreter, and nothing is written."""

import array
import collections
import copy
import datetime
import decimal
import gc
import json
import math
import pickle
import sys
import threading
import weakref

import pytest
from frozen_trees import (
    LONG,
    build,
    check_all,
    check_same,
    describe,
    digest,
    freeze_there,
    from_a_box,
    keep,
    read_a_lot,
    read_arrays,
)
from hypothesis import given
from hypothesis import strategies as st

import objtunnel
from objtunnel import (
    FrozenArray,
    FrozenBytes,
    FrozenDict,
    FrozenList,
    FrozenSet,
    FrozenTuple,
    Interpreter,
    LockingDict,
    LockingList,
    SharedArray,
    Tunnel,
    _core,
    freeze,
    frozen_default,
)

pytestmark = pytest.mark.usefixtures("nothing_left")


# ---- one by one, the same as the original --------------------------------------------------------


def test_reads_as_the_original_does():
    check_all(freeze(build()))
    name = build()
    check_all(freeze(name))
    assert name == build()  # what the caller holds is never emptied


def test_another_interpreter_reads_what_its_maker_left():
    with Interpreter() as maker:
        view = maker.call(freeze_there)
        with Interpreter() as reader:
            reader.call(check_all, view)
    gc.collect()
    check_all(view)
    parts = [view["rows"], view["long"], view["set"], view["tuple"][1], view]
    del view
    with Interpreter() as reader:
        assert reader.call(describe, parts) == [50, 10000, 4, 2, 19]


KEYS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() |
    st.binary(), lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=4)
TREES = st.recursive(
    KEYS, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner) |
    st.sets(KEYS), max_leaves=30)


@given(TREES)
def test_any_tree(tree):
    view = freeze(tree)
    if hasattr(view, "thaw"):
        check_same(view, tree)
        assert repr(view.thaw()) == repr(tree) or isinstance(tree, (set, dict, list, tuple))
    else:
        assert view == tree and type(view) is type(tree)


@given(st.dictionaries(KEYS, st.integers(), max_size=200), st.lists(KEYS))
def test_lookups_agree_with_dicts(d, others):
    view, keys = freeze(d), freeze(set(d))
    for k in [*d, *others, *map(str, d), 1, 1.0, True, 0, -0.0, "", b""]:
        assert view.get(k, "no") == d.get(k, "no") and (k in view) == (k in d) == (k in keys)


def test_keys_of_equal_hash_are_told_apart():
    """-1 and -2 have one hash; so have numbers that are apart by 2**61 - 1."""
    d = {-2: "two", -1: "one", 5: "five", 5 + 2**61 - 1: "far"}
    frozen, elements = freeze(d), freeze(set(d))
    assert all(frozen[key] == value for key, value in d.items())
    assert all(key in elements for key in d)
    first = freeze({-2: "two", 5: "five"})
    assert -1 not in first and 5 + 2**61 - 1 not in first and first[-2] == "two"
    assert -1 not in freeze({-2})


def test_tables_with_holes_and_of_every_width():
    for n in (5, 100, 200, 40000):
        d = {f"k{i}": i for i in range(n)}
        for i in range(0, n, 3):
            del d[f"k{i}"]
        d |= {i: i for i in range(0, n, 7)}
        s = set(d)
        for i in range(0, n, 5):
            s.discard(f"k{i}")
        view, keys = freeze(d), freeze(s)
        assert list(view) == list(d) and all(view[k] == v for k, v in d.items())
        assert sum(f"k{i}" in view for i in range(n)) == sum(f"k{i}" in d for i in range(n))
        assert set(keys) == s and all((f"k{i}" in keys) == (f"k{i}" in s) for i in range(n))


class Word(str):
    def __eq__(self, other):
        return str.__eq__(self, other) or other == "other"

    def __hash__(self):
        return hash("other") if self == "x" else str.__hash__(self)


def test_keys_of_the_readers_own_types():
    d = {1: "one", "a": "str", (1, "k"): "tuple", "other": "other", frozenset("z"): "set"}
    view = freeze(d)
    assert view[decimal.Decimal(1)] == view[True] == view[1.0] == "one"
    assert view[freeze((1, "k"))] == "tuple" and view[freeze(frozenset("z"))] == "set"
    assert view[Word("a")] == "str" and view[Word("x")] == "other"
    for bad in ([], {}, freeze([])):
        with pytest.raises(TypeError, match="unhashable"):
            view[bad]
        with pytest.raises(TypeError, match="unhashable"):
            bad in freeze({1})


def test_hashes():
    for o in ((1, ("a", 2.5)), frozenset([1, (2, 3)]), LONG):
        assert hash(freeze(o)) == hash(o) and {freeze(o): 1}[o] == 1 and {o: 1}[freeze(o)] == 1
    for o in ([1], {1: 2}, {1}, bytearray(b"x"), ([1],)):
        with pytest.raises(TypeError, match="unhashable"):
            hash(freeze(o))


def test_comparisons():
    a, b = freeze([1, [2]]), freeze([1, [2]])
    assert a == b and a[1] == b[1] and a != freeze([1, [3]]) and a != freeze([1]) and a != (1, [2])
    assert a != freeze((1, [2])) and a < freeze([1, [3]]) and freeze((1, 2)) >= (1, 1)
    assert freeze({"a": [1]}) == freeze({"a": [1]}) != freeze({"b": [1]}) and freeze({}) != []
    assert freeze({1, 2}) == freeze(frozenset([1, 2])) and freeze({1}) < freeze({1, 2})
    nan = freeze([float("nan")])
    assert nan == nan and math.isnan(nan[0])
    with pytest.raises(TypeError):
        freeze({}) < freeze({})
    assert (freeze({1, 2}) == [1, 2]) is False and (freeze(LONG) == "text") is False


def test_cycles_and_sharing():
    tree = [[1], 2]
    tree += [tree[0], {"self": tree}]
    view = freeze(tree)
    assert view[3]["self"][3]["self"][0] == [1]
    thawed = view.thaw()
    assert thawed[3]["self"] is thawed and thawed[0] is thawed[2]
    assert repr(view).startswith("FrozenList([[1], 2, [1], {'self': [...]}])")
    with pytest.raises(RecursionError):
        view == freeze(tree)


def test_a_deep_tree():
    tree = []
    for _ in range(200000):
        tree = [tree]
    view = freeze(tree)
    n = 0
    while len(view):
        view, n = view[0], n + 1
    assert n == 200000


def test_json():
    tree = {"a": [1, 2.5, None, True, {"b": ["x"]}], "t": (1, [2])}
    assert json.dumps(freeze(tree), default=frozen_default) == json.dumps(tree)
    assert json.loads(json.dumps(freeze(tree), default=frozen_default, indent=1)) == \
        json.loads(json.dumps(tree))
    shared = {"d": LockingDict(a=[1]), "l": LockingList([2, {"b": 3}]), "s": SharedArray("i", [4, 5])}
    assert json.dumps(shared, default=frozen_default) == '{"d": {"a": [1]}, "l": [2, {"b": 3}], "s": [4, 5]}'
    for bad in ({"s": {1}}, [LONG]):
        with pytest.raises(TypeError, match="not JSON serializable"):
            json.dumps(freeze(bad), default=frozen_default)


def test_pattern_matching():
    match freeze({"kind": "point", "at": (1, [2, 3]), "more": 1}):
        case {"kind": "point", "at": (x, [y, *z]), **rest}:
            assert (x, y, z, rest) == (1, 2, [3], {"more": 1})
        case _:
            pytest.fail("no match")
    match freeze([LONG]):
        case [FrozenBytes() as b]:
            assert b == LONG
        case _:
            pytest.fail("no match")


def test_arrays():
    original = array.array("d", [1.5, 2.5, -3])
    view = freeze({"a": original, "again": original, "i": array.array("H", range(9)),
                   "empty": array.array("q"), "text": array.array("w", "abc")})
    with Interpreter() as reader:
        assert reader.call(read_arrays, view) == (1.5, [2.5, -3.0], list(range(9)), 3)
    a = view["a"]
    assert isinstance(a, FrozenArray) and a == original == a and a != original[:2] and len(a) == 3
    assert list(a) == a.tolist() == [1.5, 2.5, -3] and (a.typecode, a.itemsize) == ("d", 8)
    assert a[-1] == -3 and a[1:] == original[1:] and view["i"][::4].tolist() == [0, 4, 8]
    assert a.count(2.5) == 1 and a.count("x") == 0 and a.index(-3) == 2 and a.index(-3, 1) == 2
    with pytest.raises(ValueError):
        a.index(1.5, 1)
    assert view["empty"].tolist() == [] and memoryview(a).format == "d" and memoryview(a).readonly
    assert json.dumps(a, default=frozen_default) == "[1.5, 2.5, -3.0]"
    thawed = view.thaw()
    assert thawed["a"] is thawed["again"] and type(thawed["a"]) is array.array
    thawed["a"].append(4)
    assert thawed["a"].tolist() == [1.5, 2.5, -3, 4] and a.thaw() == original == a
    assert view["text"].thaw() == array.array("w", "abc") and repr(a).startswith("FrozenArray(arr")
    with pytest.raises(IndexError):
        a[3]
    with pytest.raises(TypeError):
        a[0] = 1
    with pytest.raises(TypeError):
        hash(a)
    assert freeze(array.array("i", [7]))[0] == 7


def test_buffers_are_not_copied():
    view = freeze([LONG, bytearray(LONG)])
    for part in view:
        first = memoryview(part)
        assert first.readonly and first.nbytes == len(LONG)
        with pytest.raises(TypeError):
            first[0] = 1
    with Interpreter() as reader:
        assert reader.call(digest, view[0]) == digest(LONG)
    memory = memoryview(view[0])
    before = _core._live_shared()
    del view, part, first
    gc.collect()
    assert _core._live_shared() == before and bytes(memory) == LONG  # it keeps the tree


# ---- what cannot be ------------------------------------------------------------------------------


class Thing:
    pass


@pytest.mark.parametrize("bad, kind", [
    (Thing, "Thing"), (objtunnel.Lock, "Lock"), (lambda: collections.deque(), "deque"), (Tunnel, "Tunnel"),
    (lambda: len, "builtin"), (lambda: type("Own", (datetime.date,), {})(2024, 2, 29), "Own")])
def test_other_types_are_refused_by_their_place(bad, kind):
    tree = {"a": [1, (2, {"b": bad()})]}
    with pytest.raises(TypeError, match=rf"\['a'\]\[1\]\[1\]\['b'\].*{kind}"):
        freeze(tree)
    assert tree["a"][0] == 1
    with pytest.raises(TypeError, match=kind):
        freeze(bad())
    with pytest.raises(TypeError, match=rf"\[1\].*{kind}"):
        freeze([datetime.date(2024, 2, 29), bad()])
    with pytest.raises(TypeError, match="generator"):
        freeze([i for i in [(i for i in "x")]])


def test_what_is_constant_anyway_is_not_shown_by_a_view():
    for o in (1, 10**30, "text", 2.5, None, True, b"short", 1j, ..., range(3), "x"):
        same = freeze(o)
        assert same == o and type(same) is type(o)
    view = freeze([1])
    assert freeze(view) is view


def test_views_are_read_only_and_final():
    view = freeze(build())
    for name in ("list", "tuple", "set", "long"):
        with pytest.raises(TypeError):
            view[name][0] = 1
    with pytest.raises(TypeError):
        view["list"] = 1
    with pytest.raises(TypeError):
        del view["list"]
    with pytest.raises(AttributeError):
        view.x = 1
    for t in (FrozenList, FrozenTuple, FrozenDict, FrozenSet, FrozenBytes):
        with pytest.raises(TypeError):
            t()
        with pytest.raises(TypeError):
            type("Sub", (t,), {})


# ---- travelling, life ----------------------------------------------------------------------------


def test_travels_every_way(tunnel):
    view = freeze(build())
    part = view["rows"][7]
    tunnel.send([view, part, {"again": part}])
    a, b, c = tunnel.recv()
    assert a == view and b == part == c["again"] and b is c["again"] and a.id == b.id == view.id
    for travel in (copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))):
        assert travel(part) == part and type(travel(view["set"])) is FrozenSet
    box = objtunnel.Box([view, part])
    with Interpreter() as reader:
        assert reader.call(from_a_box, box) == (7, 19)


def test_a_pickle_that_was_tampered_with():
    view = freeze([[1], [2]])
    find, (pid, number, place) = view[1].__reduce__()
    assert find(pid, number, place) == [2] and find(pid, number, None) == [[1], [2]]
    for bad in (place[:-1], bytes(16), place[:8] + bytes(8), b"\1" + place[1:], 7, "x"):
        with pytest.raises(ValueError):
            find(pid, number, bad)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="concurrent.interpreters")
def test_through_concurrent_interpreters():
    from concurrent import interpreters

    view, queue = freeze(build()), interpreters.create_queue()
    interpreter = interpreters.create()
    try:
        interpreter.prepare_main(view=view, part=view["rows"], queue=queue)
        interpreter.exec("import objtunnel; queue.put((view['rows'] == part, part[3]['name']))")
        assert queue.get() == (True, "row 3")
    finally:
        interpreter.close()


def test_the_last_view_frees_the_tree():
    before = _core._live_shared()
    view = freeze(build())
    ref = weakref.ref(view)
    rows = iter(view["rows"])
    assert _core._live_shared() == before + 1
    del view
    assert ref() is None and next(rows)["id"] == 0 and _core._live_shared() == before + 1
    del rows
    assert _core._live_shared() == before
    with Interpreter() as keeper:
        keeper.call(keep, freeze(build()))
        gc.collect()
        assert _core._live_shared() == before + 1
    assert _core._live_shared() == before


# ---- what is read again and again ----------------------------------------------------------------

MIXED = [1000, 2**40, 1.5, "name", "x" * 300, b"bytes", b"y" * 300, None, True, 7, -5000, 10**30, 2j,
         [1000, "in"], {"k": [2.5, 3000]}, (4000,), {5000, 6000}, bytearray(b"z"), range(3)]


def test_a_view_that_is_used_a_lot_reads_the_same():
    view = freeze(list(MIXED))
    by_key = freeze(dict(enumerate(MIXED)))
    for _ in range(100):
        for i, expected in enumerate(MIXED):
            for got in (view[i], view[i - len(MIXED)], by_key[i], by_key.get(i)):
                assert got == expected and type(getattr(got, "thaw", lambda g=got: g)()) in (
                    type(expected), bytearray)
    many = freeze([f"{i}" for i in range(5000)])
    assert [many[i % 5000] for i in range(15000)] == [f"{i % 5000}" for i in range(15000)]


def test_a_view_dies_with_its_last_reference_and_the_tree_with_its_last_view():
    before = _core._live_shared()
    view = freeze({"a": {"b": [{"c": 1000}]}})
    for _ in range(50):
        assert view["a"]["b"][0]["c"] == 1000
    inner = view["a"]["b"]
    part = inner[0]
    refs = [weakref.ref(view), weakref.ref(inner), weakref.ref(part)]
    del view, inner
    assert refs[0]() is refs[1]() is None and refs[2]() is part and part["c"] == 1000
    del part
    assert refs[2]() is None and _core._live_shared() == before  # at once, without gc.collect()


def test_numbers_of_a_loop_are_objects_of_their_own():
    numbers = [1000 + i for i in range(50)] + [2**29, 2**30, -2**29, -1000, 5, 0, 10**30, 1.5, True]
    for view in (freeze(list(numbers)), freeze(tuple(numbers)), freeze(dict.fromkeys(numbers)),
                 freeze(dict(enumerate(numbers))).values()):
        assert list(view) == numbers and [*zip(view, view)] == [*zip(numbers, numbers)]
        kept, hashes = [], []
        for i, n in enumerate(view):
            hashes.append(hash(n))
            if i % 3 == 0:
                kept.append(n)
        assert kept == numbers[::3] and hashes == [hash(n) for n in numbers]
        it = iter(view)
        a, b, c = next(it), next(it), next(it)
        d = [next(it), next(it)]
        assert [a, b, c, *d] == numbers[:5]
        del a, c
        assert next(it) == numbers[5] and b == numbers[1] and d == numbers[3:5]
        assert sum(view) == sum(numbers) and max(view) == 10**30
        found = {n: str(n) for n in view if type(n) is int}
        assert all(found[n] == str(n) for n in numbers if type(n) is int)


def test_many_read_at_once():
    view = freeze(build())
    expected = read_a_lot(view, 150)
    with Interpreter() as a, Interpreter() as b:
        jobs = [i.submit(read_a_lot, view, 150) for i in (a, b)]
        results = []
        threads = [threading.Thread(target=lambda: results.append(read_a_lot(view, 150)))
                   for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert results == [expected] * 2 and [j.result() for j in jobs] == [expected] * 2
    check_all(view)
