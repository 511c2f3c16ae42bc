"""Random object trees for tests: building, comparing by value and shape, hard use.

A recipe (see recipes.py) is a list of nodes; a node is (kind, arguments), children are given by
number. Building the same recipe twice gives two equal trees that share nothing, so that the
expected tree need not be copied from the one that is sent. This module is imported by the tests
and by their worker interpreters.
"""

import array
import copy
import gc
import math
import pickle
import struct
import sys
import zoneinfo
from collections import OrderedDict, defaultdict, deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType

# ---- building -------------------------------------------------------------------------------

def _atom(kind, *args):
    if kind == "none":
        return None
    if kind == "bool":
        return args[0]
    if kind == "int":
        return int(str(args[0]))
    if kind == "huge":
        return (1 << args[0]) - 12345
    if kind == "float":
        return struct.unpack("d", struct.pack("d", args[0]))[0]
    if kind == "nan":
        return float("nan")
    if kind == "complex":
        return complex(*args)
    if kind in ("str", "name"):
        return "".join(list(args[0])) if kind == "str" else sys.intern(args[0])
    if kind == "interned":
        return sys.intern("".join(list(args[0])))
    if kind == "bytes":
        return bytes(bytearray(args[0]))
    if kind == "bytearray":
        return bytearray(args[0])
    if kind == "array":
        return array.array(args[0], [i % 100 for i in range(args[1])])
    if kind == "view":
        return _view(*args)
    if kind in _STDLIB_ATOMS:
        return _STDLIB_ATOMS[kind](*args)
    return range(*args)


def _view(layout, shape, readonly, step):
    size = array.array(layout).itemsize * math.prod(shape)
    data = bytearray(i % 100 for i in range(size))
    view = memoryview(bytes(data) if readonly else data).cast(layout, shape=shape)
    return view[::step] if shape else view


def _zone(name):
    if name in (None, "utc"):
        return name and timezone.utc
    if name == "zoneinfo":
        return zoneinfo.ZoneInfo("UTC")
    return timezone(timedelta(minutes=name), *([f"{name} min"] if name % 2 else []))


_STDLIB_ATOMS = {
    "decimal": Decimal,
    "date": date,
    "time": lambda *args: time(*args[:4], tzinfo=_zone(args[4]), fold=args[5]),
    "datetime": lambda *args: datetime(*args[:4], tzinfo=_zone(args[4]), fold=args[5]),
    "timedelta": timedelta,
    "timezone": _zone,
}


def hashable(nodes):
    good = []
    for node in nodes:
        try:
            hash(node)
        except (TypeError, ValueError):  # ValueError: a memoryview that may be written to
            continue
        good.append(node)
    return good


def _setter(o, keys):
    """Appends a value under the next of the keys, as long as there are some."""
    return lambda value: keys and o.__setitem__(keys.pop(), value)


def build(recipe):
    """The tree: a list of all nodes' objects, none of which refers to that list."""
    nodes, later = [], []
    for kind, *args in recipe:
        if kind == "list":
            o = []
            later.append((o.append, args[0]))
        elif kind == "strdict":
            o = {}
            later.append((lambda v, d=o: d.__setitem__(f"k{len(d)}", v), args[0]))
        elif kind == "dict":
            o = {}
            keys = hashable([nodes[i] for i in args[0]])
            later.append((lambda v, d=o, k=keys: k and d.__setitem__(k.pop(), v), args[1]))
        elif kind == "tuple":
            o = tuple([nodes[i] for i in args[0]])
        elif kind == "set":
            o = set(hashable([nodes[i] for i in args[0]]))
        elif kind == "frozenset":
            o = frozenset(hashable([nodes[i] for i in args[0]]))
        elif kind == "deque":
            o = deque(maxlen=args[1])
            later.append((o.append, args[0]))
        elif kind == "defaultdict":
            o = defaultdict(args[2] and {"list": list, "int": int}[args[2]])
            later.append((_setter(o, hashable([nodes[i] for i in args[0]])), args[1]))
        elif kind == "odict":
            o = OrderedDict()
            keys = hashable([nodes[i] for i in args[0]])
            o.update(dict.fromkeys(keys))
            if o and args[2]:
                o.move_to_end(next(iter(o)))
                o.popitem(last=False)
            later.append((_setter(o, keys), args[1]))
        elif kind == "mappingproxy":
            o = MappingProxyType({f"k{i}": nodes[i] for i in args[0]})
        elif kind == "slice":
            o = slice(*(([nodes[i] for i in args[0]] + [None] * 3)[:3]))
        else:
            o = _atom(kind, *args)
        nodes.append(o)
    for add, children in later:
        for i in children:
            add(nodes[i % len(nodes)])
    return nodes


# ---- comparing ------------------------------------------------------------------------------

_SHARED_BY_IDENTITY = (list, dict, set, frozenset, bytearray, array.array, deque)


def _equal_leaf(a, b):
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, complex):
        return (a == b) or (math.isnan(abs(a)) and math.isnan(abs(b)))
    if isinstance(a, slice):
        return True  # its parts are compared by the walk
    if isinstance(a, Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, memoryview):
        return _view_state(a) == _view_state(b)
    if isinstance(a, (date, time, timedelta, timezone)):
        same_zone = type(getattr(a, "tzinfo", None)) is type(getattr(b, "tzinfo", None))
        return a == b and repr(a) == repr(b) and hash(a) == hash(b) and same_zone
    return a == b


def _view_state(v):
    return v.tobytes(), v.tolist(), v.format, v.shape, v.readonly, type(v.obj)


def _form(o):
    """What a container has besides its content."""
    if isinstance(o, deque):
        return o.maxlen
    return o.default_factory if isinstance(o, defaultdict) else None


def _children(o):
    if isinstance(o, (list, tuple, deque)):
        return list(o)
    if isinstance(o, (dict, MappingProxyType)):
        return [x for item in o.items() for x in item]
    if isinstance(o, slice):
        return [o.start, o.stop, o.step]
    return []


def _canonical(o):
    """A set's element as something that compares by value, NaNs included, without addresses. What
    _children and _equal_leaf tell apart is different here, too."""
    if isinstance(o, float):
        return ("float", struct.pack("d", o))
    if isinstance(o, (tuple, slice)):
        return (type(o).__name__, *map(_canonical, _children(o)))
    if isinstance(o, frozenset):
        return ("frozenset", tuple(sorted((repr(_canonical(x)) for x in o))))
    if isinstance(o, memoryview):
        return ("memoryview", _view_state(o))
    return (type(o).__name__, repr(o))


def assert_same(got, expected):
    """Equal in type, value and shape of sharing; also every dict and set finds its own keys."""
    forth, back, stack = {}, {}, [(got, expected, "$")]
    while stack:
        a, b, path = stack.pop()
        assert type(a) is type(b), (path, a, b)
        if isinstance(a, _SHARED_BY_IDENTITY):
            assert forth.setdefault(id(a), id(b)) == id(b), (path, "shared differently")
            assert back.setdefault(id(b), id(a)) == id(a), (path, "shared differently")
        seen = (id(a), id(b))
        if seen in forth:
            continue
        forth[seen] = True
        if isinstance(a, (set, frozenset)):
            assert len(a) == len(b), path
            assert sorted(map(repr, map(_canonical, a))) == sorted(map(repr, map(_canonical, b)))
            assert all(x in a for x in a), (path, "an element does not find itself")
            continue
        children = _children(a)
        if not children:
            assert _equal_leaf(a, b), (path, a, b)
        others = _children(b)
        assert _form(a) == _form(b), (path, a, b)
        assert len(children) == len(others), (path, a, b)
        if isinstance(a, dict):
            assert all(k in a and a[k] is v for k, v in a.items()), (path, "a key is lost")
        stack.extend((x, y, f"{path}/{i}") for i, (x, y) in enumerate(zip(children, others)))


# ---- hard use -------------------------------------------------------------------------------

def containers(tree):
    found, stack = {}, [tree]
    while stack:
        o = stack.pop()
        if isinstance(o, (list, dict, set, frozenset, tuple, slice, bytearray, array.array, deque,
                          MappingProxyType, memoryview)):
            if id(o) in found:
                continue
            found[id(o)] = o
            stack.extend(_children(o))
            if isinstance(o, (set, frozenset)):
                stack.extend(o)
    return list(found.values())


def _leaf_work(o):
    if isinstance(o, str):
        return sys.intern(o + "x"), (o * 3).encode("utf-8", "surrogatepass"), hash(o), {o: 1}[o]
    if isinstance(o, (int, float, complex)):
        return o + 1, o * 2, hash(o), repr(o)
    if isinstance(o, (bytes, range)):
        return hash(o), len(o) if not isinstance(o, range) else o[:1], repr(o)
    if isinstance(o, Decimal) and o.is_finite():
        return o + 1, o * o, hash(o), -o, repr(o), copy.copy(o), pickle.loads(pickle.dumps(o))
    if isinstance(o, (date, time, timedelta, timezone)):
        assert pickle.loads(pickle.dumps(o)) == o == copy.deepcopy(o)
        return hash(o), repr(o), {o: 1}[o], [o] < [o], _date_work(o)
    return None


def _date_work(o):
    if isinstance(o, timedelta):
        return abs(o) // 2, -o, o.total_seconds()
    if isinstance(o, datetime) and o.tzinfo is not None and 2 < o.year < 9998:
        assert o.astimezone(timezone.utc) == o.astimezone(timezone(timedelta(hours=3)))
    return o.isoformat() if isinstance(o, (date, time)) else o.utcoffset(None)


def _abuse_dict_type(o):
    if isinstance(o, OrderedDict):
        first, last = next(iter(o)), next(reversed(o))
        o.move_to_end(first)
        o.move_to_end(last, last=False)
        assert next(iter(o)) is last and next(reversed(o)) is first
        assert o.popitem()[0] is first
        o.pop(last)
        o |= {"more": 1}
        assert len(list(o)) == len(o) == len(o.copy())
    elif isinstance(o, defaultdict):
        try:
            assert o["missing"] == o.default_factory() and "missing" in o
        except KeyError:
            assert o.default_factory is None


def _abuse_deque(o):
    o.rotate(2)
    o.rotate(-2)
    o.extend(range(300))
    o.extendleft([{"fresh": [1.5]}])
    o.append(o)
    if o:
        o.popleft()
        o.appendleft(o.pop())
        o.insert(0, o.pop())
    list(reversed(o)), o.copy(), o.count(7)
    if o.maxlen is None:
        del o[150]
        for _ in range(200):
            o.popleft()


def _abuse_view(v):
    data, before = v.obj, v.tobytes()
    with memoryview(v) as again:
        assert again == v and again.tobytes() == before
    if v.c_contiguous and 0 not in v.shape:
        with v.cast("B") as flat:
            assert bytes(flat) == before
            if not v.readonly:
                flat[-1] ^= 1
    if v.readonly:
        hash(bytes(data))
        return
    try:
        data.append(1)
    except BufferError:
        return
    raise AssertionError("a bytearray grew below its view")


def abuse(tree):
    """Use everything as a program would: read, hash, mutate, grow, collect, shrink, delete."""
    everything = containers(tree)
    for o in everything:
        for child in _children(o):
            _leaf_work(child)
    gc.collect()
    for o in everything:
        if isinstance(o, list):
            o.append(o)
            o.extend(range(100))
            o[1:1] = [{"fresh": [1.5]}]
            o.reverse()
        elif isinstance(o, dict):
            for i in range(40):
                o[f"new{i}"] = [i]
            o.update({i: str(i) for i in range(20)})
            o["self"] = o
            list(o.items())
            o.copy()
            _abuse_dict_type(o)
        elif isinstance(o, deque):
            _abuse_deque(o)
        elif isinstance(o, MappingProxyType):
            repr(o), o | {"y": 1}, o.copy(), "x" in o
        elif isinstance(o, set):
            o.update(range(1000, 1040))
            o.discard(1001)
            o | {1}
        elif isinstance(o, (tuple, frozenset)):
            try:
                hash(o)
            except (TypeError, ValueError):
                pass
            o = o + o if isinstance(o, tuple) else o | {"y"}
        elif isinstance(o, bytearray):
            o.extend(b"x" * 100)
            del o[:3]
        elif isinstance(o, array.array):
            o.extend(array.array(o.typecode, [1] * 50))
            memoryview(o).release()
        elif isinstance(o, memoryview):
            _abuse_view(o)
    gc.collect()
    for o in everything:
        if isinstance(o, (list, dict, set, bytearray, deque)):
            o.clear()
        elif isinstance(o, array.array):
            del o[:]
        elif isinstance(o, memoryview):
            o.release()
    del everything, o
    gc.collect()


# ---- the worker's side ------------------------------------------------------------------------

def receive_and_use(tunnel, recipe):
    """In a worker: receive, compare with a tree of this interpreter's own, use it hard."""
    got = tunnel.recv(timeout=60)
    assert_same(got, build(recipe))
    gc.collect()
    abuse(got)
    return True


def build_and_send(tunnel, recipe, outside=()):
    """In a worker: send a tree; keep some of its nodes, which must stay as they were."""
    tree = build(recipe)
    kept = [tree[i % len(tree)] for i in outside]
    tunnel.send(tree)
    assert tree == []
    expected = build(recipe)
    assert_same(kept, [expected[i % len(expected)] for i in outside])
    return True


def echo(there, back):
    """In a worker: hand back what comes until the tunnel is closed."""
    for message in there:
        box = [message]
        del message
        back.send(box)
