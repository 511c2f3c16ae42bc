"""What tests of frozen trees do in interpreters that cannot import hypothesis."""

import collections
import gc
import hashlib
import types
from collections.abc import Mapping, Sequence, Set

import pytest

from objtunnel import FrozenBytes, FrozenDict, FrozenList, FrozenSet, FrozenTuple, freeze

LONG = b"0123456789" * 1000


def build():
    return {
        "list": [1, 2.5, "text", "\u20ac", None, True, 10**30, 1j, b"short", ..., [], [[7]]],
        "tuple": (1, (2, "x"), [3]), "set": {1, "b", (1, 2), frozenset("z")}, "empty": {},
        "frozenset": frozenset(f"e{i}" for i in range(100)), "long": LONG,
        "bytearray": bytearray(b"abc"), "range": range(10**20, 10**20 + 3), "slice": slice(1, None),
        "rows": [{"id": i, "name": f"row {i}"} for i in range(50)], 1: "int", (1, "k"): "tuple",
        2.5: "float", None: "none", b"k": "bytes", 10**25: "long int", frozenset("q"): "set",
        "ordered": collections.OrderedDict((f"k{i}", i) for i in (3, 1, 2)),
        "proxy": types.MappingProxyType({"p": [1]}),
    }


def check_same(view, o):
    """Every way of reading that the original has says the same of both."""
    if isinstance(o, types.MappingProxyType):
        o = dict(o)
    assert view == o and not view != o and o == view
    if isinstance(o, (list, tuple)):
        assert isinstance(view, FrozenList if isinstance(o, list) else FrozenTuple)
        assert len(view) == len(o) and isinstance(view, Sequence)
        for a, b in zip(view, o, strict=True):
            check_same(a, b)
        for i in range(-len(o), len(o)):
            assert view[i] == o[i] and view.index(o[i]) == o.index(o[i])
            assert o[i] in view and view.count(o[i]) == o.count(o[i])
        assert type(view[::2]) is type(o) and view[::2] == o[::2] and view[5:1:-1] == o[5:1:-1]
        assert list(reversed(view)) == list(reversed(o))
        with pytest.raises(IndexError):
            view[len(o)]
    elif isinstance(o, dict):
        assert isinstance(view, FrozenDict) and isinstance(view, Mapping) and len(view) == len(o)
        assert list(view) == list(o) == list(view.keys()) and view.keys() == o.keys()
        assert list(view.values()) == [view[k] for k in o] == list(o.values())
        assert list(view.items()) == list(o.items()) and view.items() >= {}.items()
        for k, v in o.items():
            check_same(view[k], v)
            assert k in view and view.get(k) == v and (k, v) in view.items()
        assert view.get("nothing") is None and view.get("nothing", 7) == 7
        with pytest.raises(KeyError, match="nothing"):
            view["nothing"]
    elif isinstance(o, (set, frozenset)):
        assert isinstance(view, FrozenSet) and isinstance(view, Set) and len(view) == len(o)
        assert set(view) == o and all(e in view for e in o) and "nothing" not in view
        assert view & {1, "x"} == o & {1, "x"} and {1, "x"} - view == {1, "x"} - o
        assert view | {1} == o | {1} and view ^ {1} == o ^ {1} and view <= o <= view
        assert not view < o and view.isdisjoint({"nothing"}) and view >= set(list(o)[:2])
    elif isinstance(o, (bytes, bytearray)) and type(view) is FrozenBytes:
        assert bytes(view) == o and len(view) == len(o) and view[:5] == o[:5] and view[-1] == o[-1]
        assert memoryview(view).readonly and bytes(memoryview(view)[1:3]) == o[1:3]
    else:
        assert type(view) is type(o)
    if not isinstance(o, FrozenBytes) and hasattr(view, "thaw"):
        thawed = view.thaw()
        assert thawed == o and thawed is not o and view == thawed


def check_all(view):
    check_same(view, build())


def freeze_there():
    return freeze(build())


def describe(parts):
    return [len(p) for p in parts]


def digest(buffer):
    return hashlib.sha256(buffer).hexdigest()


def from_a_box(box):
    with box as (view, part):
        return part["id"], len(view)


def keep(view):
    global kept
    kept = view["rows"][3]


def read_a_lot(view, rounds):
    """Sums, by all ways of reading."""
    total = 0
    for i in range(rounds):
        total += sum(row["id"] for row in view["rows"]) + len(view["long"][:i])
        total += len(view["set"] | {i}) + view[1.0].count("i") + (f"e{i % 100}" in view["frozenset"])
        total += len(view.thaw()["rows"]) + hash(view["tuple"][1]) % 2 + (view["rows"][3] == view[
            "rows"][3].thaw())
        total += sum(1 for k, v in view.items() if k == "rows" or v == 1)
    gc.collect()
    return total


def read_arrays(view):
    a = view["a"]
    thawed = view["again"].thaw()
    thawed[0] += 1
    assert thawed[0] == 2.5 and a[0] == 1.5
    return a[0], list(memoryview(a)[1:]), view["i"].tolist(), len(view["text"])
