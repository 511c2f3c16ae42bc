"""Random trees with instances for test_instances.py and its workers: building, comparing, hard use.

As in trees.py a recipe is a list of nodes, (kind, arguments), children are given by number, and
building it twice gives two equal trees that share nothing. An instance's node tells what is done to
it, as a program might: attributes set, deleted, set again, its dict looked at, replaced, referred to.
"""

import copy
import gc
import pickle
import sys
import weakref
from enum import Enum

import instance_classes
import trees
from instance_classes import find

# ---- building -----------------------------------------------------------------------------------


def _raised(args):
    """Its traceback leads to no frame but the generator's. Otherwise it would lead to the test's frame: where
    3.13.0 forgets to track a dict with the error (see _add_odd_key), that stayed for ever, with its tunnels."""

    def raising():
        try:
            raise instance_classes.Error(*args)
        except instance_classes.Error as error:
            error.__context__ = None  # what the caller handles, if anything
            raised.append(error)
        yield  # has left its caller's frame when it ends

    raised = []
    next(raising())
    return raised.pop()


def _make(kind, args, earlier):
    """A node's object. What may refer to later nodes is filled later: see _fill."""
    if kind in ("list", "strdict"):
        return [] if kind == "list" else {}
    if kind == "dict":
        return dict.fromkeys(trees.hashable(earlier[i] for i in args[0]))
    if kind == "tuple":
        return tuple([earlier[i] for i in args[0]])
    if kind in ("set", "frozenset"):
        return {"set": set, "frozenset": frozenset}[kind](trees.hashable(earlier[i] for i in args[0]))
    if kind == "plain":
        return find(args[0])()
    if kind == "filled":  # a frozen dataclass, a namedtuple
        return find(args[0])(*[earlier[i] for i in args[1]])
    if kind == "container":
        return find(args[0])(trees.hashable(earlier[i] for i in args[1]) if args[2]
                             else [earlier[i] for i in args[1]])
    if kind == "mapping":
        return find(args[0])(_make("dict", args[1:], earlier))
    if kind == "value":
        return find(args[0])(*args[1])
    if kind == "member":
        return getattr(find(args[0]), args[1])
    if kind == "error":
        return _raised(args[0])
    return trees.build([(kind, *args)])[0]


def _fill(o, kind, args, nodes):
    if kind == "list":
        o.extend(nodes[i % len(nodes)] for i in args[0])
    elif kind == "strdict":
        o.update((f"k{n}", nodes[i % len(nodes)]) for n, i in enumerate(args[0]))
    elif kind in ("dict", "mapping"):
        for key, i in zip(list(o), args[-2] if kind == "mapping" else args[1]):
            o[key] = nodes[i % len(nodes)]


def build(recipe):
    """(the tree: a list of all nodes' objects; what refers to them from outside)."""
    nodes, outside = [], []
    for kind, *args in recipe:
        nodes.append(_make(kind, args, nodes))
    for o, (kind, *args) in zip(nodes, recipe):
        _fill(o, kind, args, nodes)
        if kind in ("plain", "filled", "container", "mapping", "value"):
            for what, *more in args[-1]:
                _OPERATIONS[what](o, nodes, outside, *more)
    return nodes, outside


# ---- what is done to an instance ------------------------------------------------------------------

def _dict_of(o):
    return getattr(o, "__dict__", None)


def _set(o, nodes, _outside, name, i):
    attributes = _dict_of(o)
    try:
        setattr(o, name, nodes[i % len(nodes)])
    except AttributeError:  # it has no such slot, or is frozen
        if attributes is not None:
            attributes[name] = nodes[i % len(nodes)]


def _delete(o, _nodes, _outside, name):
    try:
        delattr(o, name)
    except AttributeError:
        pass


def _many(o, nodes, outside, start, count, i):
    for n in range(start, start + count):
        _set(o, nodes, outside, f"n{n}", i + n)


def _look(o, _nodes, _outside):
    _dict_of(o)


def _replace(o, _nodes, _outside):
    old = _dict_of(o)
    if old is not None:
        object.__setattr__(o, "__dict__", dict(old))
        if not gc.is_tracked(old):  # 3.13.0 forgets it, and somebody may hold it: a cycle for ever
            old["passing by"] = []
            del old["passing by"]


def _add_odd_key(o, nodes, _outside, i):
    """Such a key ends the sharing of keys."""
    if _dict_of(o) is not None:
        vars(o)[i] = []  # 3.13.0 forgets to track the dict, and with it a cycle, if not for this
        vars(o)[i] = nodes[i % len(nodes)]


def _hold_dict(o, _nodes, outside):
    if _dict_of(o) is not None:
        outside.append(vars(o))


def _refer_weakly(o, _nodes, outside):
    try:
        outside.append(weakref.ref(o))
    except TypeError:
        pass


_OPERATIONS = {"set": _set, "delete": _delete, "many": _many, "look": _look, "replace": _replace,
               "odd": _add_odd_key, "hold": _hold_dict, "weak": _refer_weakly}
OUTSIDE = {"hold", "weak"}


# ---- comparing ------------------------------------------------------------------------------------

def _slots(o):
    for cls in reversed(type(o).__mro__):
        for name in cls.__dict__.get("__slots__", ()):
            if not name.startswith("__") or name == "__a":
                yield f"_{cls.__name__}{name}" if name == "__a" else name


def attributes(o):
    """[(name, value)] of an object's slots and dict, in order; of an exception's dict, too."""
    if isinstance(o, Enum):
        return []
    found = [(name, getattr(o, name)) for name in _slots(o) if hasattr(o, name)]
    return found + list((_dict_of(o) or {}).items())


def _items(o):
    if isinstance(o, (list, tuple)):
        return list(o)
    if isinstance(o, dict):
        return [x for item in o.items() for x in item]
    return list(o.args) if isinstance(o, BaseException) else []


def _is_container(o):
    module = type(o).__module__
    return isinstance(o, (list, tuple, dict, set, frozenset, bytearray)) or module == "instance_classes"


def _value(o, depth=3):
    """What a set's element is, comparable; addresses left out. Trees may have cycles."""
    if depth == 0:
        return type(o).__name__
    if isinstance(o, Enum):
        return str(o)
    if isinstance(o, (set, frozenset)):
        content = sorted(repr(_value(x, depth - 1)) for x in o)
    else:
        content = [_value(x, depth - 1) for x in _items(o)] or _plain_repr(o)
    return type(o).__name__, content, [(k, _value(v, depth - 1)) for k, v in attributes(o)]


def _plain_repr(o):
    for base in (int, float, complex, str, bytes):
        if isinstance(o, base):
            return base.__repr__(o)
    if isinstance(o, memoryview):
        return o.hex()
    return "" if _is_container(o) else repr(o)


def assert_same(got, expected, shape=True):
    """Equal in types, values, attributes and their order; shape: and in what is shared."""
    pairs, back, stack = {}, {}, [(got, expected, "$")]
    while stack:
        a, b, path = stack.pop()
        assert type(a) is type(b), (path, type(a), type(b))
        _assert_own_class(a, path)
        if isinstance(b, Enum):
            assert a is b, path
            continue
        if (id(a), id(b)) in pairs:
            continue
        pairs[id(a), id(b)] = a, b  # alive, so that no address is used again
        if shape and _is_container(b) and b not in _STATIC:
            assert back.setdefault(("got", id(a)), id(b)) == id(b), (path, "shared differently")
            assert back.setdefault(("expected", id(b)), id(a)) == id(a), (path, "shared differently")
        _assert_same_leaf(a, b, path)
        mine, theirs = attributes(a), attributes(b)
        assert [name for name, _ in mine] == [name for name, _ in theirs], path
        stack += [(x, y, f"{path}.{name}") for (name, x), (_, y) in zip(mine, theirs)]
        mine, theirs = _items(a), _items(b)
        assert len(mine) == len(theirs), (path, mine, theirs)
        stack += [(x, y, f"{path}[{i}]") for i, (x, y) in enumerate(zip(mine, theirs))]


class _Static:
    """The empty tuple and the like are one object, or are not, as CPython pleases."""

    def __contains__(self, o):
        return type(o) in (tuple, frozenset) and not o


_STATIC = _Static()


def _assert_own_class(o, path):
    if type(o).__module__ == "instance_classes":
        assert type(o) is find(type(o).__qualname__), (path, "of a class of that name only")


def _assert_same_leaf(a, b, path):
    if isinstance(a, (set, frozenset)):
        assert sorted(map(repr, map(_value, a))) == sorted(map(repr, map(_value, b))), path
        assert all(x in a for x in a), (path, "an element does not find itself")
    elif isinstance(a, dict):
        assert all(k in a and a[k] is v for k, v in a.items()), (path, "a key is lost")
    elif not _items(b) and not (type(b).__module__ == "instance_classes" and _plain_repr(b) == ""):
        trees.assert_same(_bare(a), _bare(b))


def _bare(o):
    """A subclass's value as one of its base."""
    for base in (int, float, complex, str, bytes, bytearray):
        if isinstance(o, base) and not isinstance(o, (bool, Enum)):
            return base.__add__(o, base(0) if base in (int, float, complex) else base())
    return o


# ---- hard use ---------------------------------------------------------------------------------------

def everything(tree):
    """All objects with contents that a tree reaches."""
    found, stack = {}, [tree]
    while stack:
        o = stack.pop()
        if id(o) not in found and _is_container(o):
            found[id(o)] = o
            stack += _items(o) + [value for _, value in attributes(o)]
            if isinstance(o, (set, frozenset)):
                stack += o
    return list(found.values())


def poke(tree):
    """Reads and writes attributes without looking at dicts, as most programs do; changes nothing."""
    for o in everything_by_slots(tree):
        for name in ("a", "b", "first", "n0", "n7", "nothing"):
            getattr(o, name, None)
        try:
            o.passing_by = 1
            del o.passing_by
        except (AttributeError, TypeError):  # TypeError: python/cpython#90562
            pass


def everything_by_slots(tree):
    """Instances of the tree's top level only: nobody's dict is made to be looked at."""
    return [o for o in tree if type(o).__module__ == "instance_classes"]


def _use_instance(o):
    for name, value in attributes(o):
        if not isinstance(name, str):
            continue
        assert getattr(o, name, value) is value or type(o) is instance_classes.WithProperty
    if isinstance(o, BaseException):
        o.add_note("received")
    if _dict_of(o) is None or isinstance(o, Enum):
        return
    for n in range(40):
        vars(o)[f"new{n}"] = n
        if not isinstance(o, (instance_classes.Closed, instance_classes.FrozenPoint)):
            setattr(o, f"more{n}", [n])
    for n in range(0, 40, 3):
        del vars(o)[f"new{n}"]
    o.__dict__["itself"] = o
    sys.getsizeof(o)


def _copy(o):
    """As copy and pickle do it; of what cannot be pickled in itself, nothing is asked."""
    try:
        copy.copy(o)
        copy.deepcopy(o)
        pickle.loads(pickle.dumps(o, 5))
    except (TypeError, pickle.PicklingError, AttributeError, RecursionError) as error:
        assert not isinstance(error, RecursionError) or "recursion" in str(error)


def _compute(o):
    """What subclasses of built-in types do besides."""
    if isinstance(o, (int, float, complex)) and not isinstance(o, Enum):
        return o + 1, hash(o)
    if isinstance(o, (str, bytes)):
        return o + o, hash(o), o * 3, {o: 1}[o]
    if isinstance(o, bytearray):
        return o.extend(b"x" * 100)
    if isinstance(o, instance_classes.Array):
        return o.extend(o)
    return None


def abuse(tree, clear=True):
    """Use everything as a program would, then take it apart in pieces."""
    objects = everything(tree)
    gc.collect()
    for o in objects:
        _copy(o)
        _compute(o)
    for o in objects:
        if type(o).__module__ == "instance_classes":
            _use_instance(o)
        if isinstance(o, list):
            o.extend([o, {"fresh": [1.5]}])
        elif isinstance(o, dict):
            o["itself"] = o
            for i in range(40):
                o[f"new{i}"] = i
        elif isinstance(o, set):
            o.update(range(1000, 1040))
    gc.collect()
    for o in objects if clear else ():
        _take_apart(o)
    del objects, o
    gc.collect()


def _take_apart(o):
    for name, _ in attributes(o):
        try:
            delattr(o, name)
        except (AttributeError, TypeError):  # read-only, or no str
            vars(o).pop(name, None) if _dict_of(o) is not None else None
    if isinstance(o, (list, dict, set, bytearray)):
        o.clear()
    elif _dict_of(o) is not None and not isinstance(o, Enum):
        vars(o).clear()
        object.__setattr__(o, "__dict__", {}) if not isinstance(o, BaseException) else None


# ---- the worker's side ------------------------------------------------------------------------------

def teach(lessons):
    """Has classes learn names of attributes in an order of this interpreter's own."""
    for class_name, names in lessons:
        cls = find(class_name)
        pupils = [cls() for _ in range(2)]
        for name in names:
            for o in pupils:
                _set(o, [None], [], name, 0)


def receive_and_use(tunnel, recipe, lessons, shape, poking):
    """In a worker: receive, compare with a tree of this interpreter's own, use it hard."""
    teach(lessons)
    got = tunnel.recv(timeout=60)
    if poking:
        poke(got)
    expected, _ = build(recipe)
    assert_same(got, expected, shape)
    gc.collect()
    abuse(got)
    del got
    abuse(expected)
    return True


def build_and_send(tunnel, recipe, outside, lessons):
    """In a worker: send a tree; keep some of its nodes, which must stay as they were."""
    teach(lessons)
    tree, referring = build(recipe)
    kept = [tree[i % len(tree)] for i in outside]
    receipt = tunnel.send(tree)
    expected, _ = build(recipe)
    assert tree == []
    assert_same(kept, [expected[i % len(expected)] for i in outside], shape=False)
    assert referring is not None
    return receipt.pickled


def pass_on(there, back, lessons, count):
    """In a worker: receive, look, hand on."""
    teach(lessons)
    for _ in range(count):
        got = there.recv(timeout=60)
        poke(got)
        back.send(got)
        assert got == []
    return True


def collects_what_it_received(tunnel, lessons):
    """In a worker: two instances, of which one refers to itself and the other to that."""
    teach(lessons)
    nodes = tunnel.recv(timeout=60)
    assert nodes[0].a is nodes[1].a is nodes[0]
    gone = [weakref.ref(o) for o in nodes]
    del nodes
    gc.collect()
    return [ref() is None for ref in gone] == [True, True]


def forget():
    instance_classes.forget()
    gc.collect()
    return True
