"""Random object trees for tests: building, comparing by value and shape, hard use.

A recipe (see recipes.py) is a list of nodes; a node is (kind, arguments), children are given by
number. Building the same recipe twice gives two equal trees that share nothing, so that the
expected tree need not be copied from the one that is sent. This module is imported by the tests
and by their worker interpreters.
"""

import array
import gc
import math
import struct
import sys

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
    return range(*args)


def _hashable(nodes):
    good = []
    for node in nodes:
        try:
            hash(node)
        except TypeError:
            continue
        good.append(node)
    return good


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
            keys = _hashable([nodes[i] for i in args[0]])
            later.append((lambda v, d=o, k=keys: k and d.__setitem__(k.pop(), v), args[1]))
        elif kind == "tuple":
            o = tuple([nodes[i] for i in args[0]])
        elif kind == "set":
            o = set(_hashable([nodes[i] for i in args[0]]))
        elif kind == "frozenset":
            o = frozenset(_hashable([nodes[i] for i in args[0]]))
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

_SHARED_BY_IDENTITY = (list, dict, set, frozenset, bytearray, array.array)


def _equal_leaf(a, b):
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, complex):
        return (a == b) or (math.isnan(abs(a)) and math.isnan(abs(b)))
    if isinstance(a, slice):
        return True  # its parts are compared by the walk
    return a == b


def _children(o):
    if isinstance(o, (list, tuple)):
        return list(o)
    if isinstance(o, dict):
        return [x for item in o.items() for x in item]
    if isinstance(o, slice):
        return [o.start, o.stop, o.step]
    return []


def _canonical(o):
    """A set's element as something that compares by value, NaNs included."""
    if isinstance(o, float) and o != o:
        return "nan"
    if isinstance(o, tuple):
        return ("tuple",) + tuple(_canonical(x) for x in o)
    if isinstance(o, frozenset):
        return ("frozenset", tuple(sorted((repr(_canonical(x)) for x in o))))
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
        assert len(children) == len(others), (path, a, b)
        if isinstance(a, dict):
            assert all(k in a and a[k] is v for k, v in a.items()), (path, "a key is lost")
        stack.extend((x, y, f"{path}/{i}") for i, (x, y) in enumerate(zip(children, others)))


# ---- hard use -------------------------------------------------------------------------------

def containers(tree):
    found, stack = {}, [tree]
    while stack:
        o = stack.pop()
        if isinstance(o, (list, dict, set, frozenset, tuple, slice, bytearray, array.array)):
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
    return None


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
        elif isinstance(o, set):
            o.update(range(1000, 1040))
            o.discard(1001)
            o | {1}
        elif isinstance(o, (tuple, frozenset)):
            try:
                hash(o)
            except TypeError:
                pass
            o = o + o if isinstance(o, tuple) else o | {"y"}
        elif isinstance(o, bytearray):
            o.extend(b"x" * 100)
            del o[:3]
        elif isinstance(o, array.array):
            o.extend(array.array(o.typecode, [1] * 50))
            memoryview(o).release()
    gc.collect()
    for o in everything:
        if isinstance(o, (list, dict, set, bytearray)):
            o.clear()
        elif isinstance(o, array.array):
            del o[:]
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
