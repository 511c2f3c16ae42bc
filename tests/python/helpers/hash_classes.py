"""Keys for test_hashes.py and its workers: what their hashes depend on."""

import collections
import dataclasses
import fractions
import ipaddress
import pathlib
import uuid
from typing import Any, NamedTuple


class _Valued:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(self) is type(other) and self.x == other.x

    def __repr__(self):
        return f"{type(self).__name__}({self.x!r})"


# ---- hashes that depend on the class -----------------------------------------------------------------

class Classy(_Valued):
    def __hash__(self):
        return hash((type(self), self.x))


class ByDunder(_Valued):
    def __hash__(self):
        return hash((self.__class__, self.x))


class ByAddressOfClass(_Valued):
    def __hash__(self):
        return id(type(self)) ^ hash(self.x)


class ByProperty(_Valued):
    """Looks as if it asked for attributes only."""

    @property
    def mark(self):
        return type(self)

    def __hash__(self):
        return hash((self.mark, self.x))


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(self) is type(other) and self.x == other.x

    def __hash__(self):
        return hash((Slotted, self.x))


class ClassyTuple(tuple):
    def __hash__(self):
        return hash((type(self), *self))


class ClassyFrozenset(frozenset):
    def __hash__(self):
        return hash(type(self)) ^ frozenset.__hash__(self)


class ClassyPath(pathlib.PurePosixPath):
    def __hash__(self):
        return hash((type(self), str(self)))


@dataclasses.dataclass(frozen=True)
class Holder:
    """Its own hash is recognised; its field's class may not be."""

    field: Any
    other: Any = None


class Pair(NamedTuple):
    left: Any
    right: Any


class ByAddress:
    """Hashes as object does."""


class Owned(frozenset):
    """Has attributes, which its hash does not ask for."""


class ByContent:
    """Asks a dict and a set of its own, which are to be put right before."""

    def __init__(self, key):
        self.table = {key: 1, (key, 2): 3}
        self.elements = {key}
        self.key = key

    def __hash__(self):
        return hash((self.table[self.key], self.table[self.key, 2], self.key in self.elements))

    def __eq__(self, other):
        return type(self) is type(other) and self.key == other.key


CLASSY = [Classy, ByDunder, ByAddressOfClass, ByProperty, Slotted]
MAKERS = {
    **{cls.__name__: cls for cls in CLASSY},
    "ClassyTuple": lambda x: ClassyTuple([x, 1]),
    "ClassyFrozenset": lambda x: ClassyFrozenset([x, 1]),
    "ClassyPath": lambda x: ClassyPath(f"/{x}"),
    "Holder": lambda x: Holder(Classy(x), ByDunder(x)),
    "Pair": lambda x: Pair(Classy(x), "right"),
    "ByContent": lambda x: ByContent(Classy(x)),
    "tuple": lambda x: (Classy(x), x),
    "tuple of tuples": lambda x: ((x, (Classy(x),)), x),
    "frozenset": lambda x: frozenset([Classy(x), x]),
    "frozenset in all": lambda x: (frozenset([(frozenset([Holder(frozenset([Classy(x)]))]), x)]), x),
}


# ---- hashes that do not ------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Point:
    x: Any
    y: Any = 0


@dataclasses.dataclass(frozen=True, slots=True)
class SlotPoint:
    x: Any
    y: Any = ()


@dataclasses.dataclass(frozen=True)
class ChildPoint(Point):
    z: type = int


class ByHand:
    def __init__(self, x):
        self.x, self.y = x, 1

    def __hash__(self):
        return hash((self.x, self.y))

    def __eq__(self, other):
        return self.x == other.x


class ByOne:
    def __init__(self, x):
        self.x = x

    def __hash__(self):
        return hash(self.x)


class Str(str):
    pass


class Path(pathlib.PurePosixPath):
    pass


class MyFraction(fractions.Fraction):
    pass


STEADY = {
    "Point": Point, "SlotPoint": SlotPoint, "ChildPoint": ChildPoint, "ByHand": ByHand, "ByOne": ByOne,
    "Str": Str, "Path": lambda x: Path(f"/{x}"), "MyFraction": lambda x: MyFraction(x, 1000),
    "Fraction": lambda x: fractions.Fraction(x, 1000), "UUID": lambda x: uuid.UUID(int=x),
    "PurePath": lambda x: pathlib.PurePath(f"/{x}"), "Windows": lambda x: pathlib.PureWindowsPath(f"{x}"),
    "address": lambda x: ipaddress.ip_address(x), "network": lambda x: ipaddress.ip_network(x),
    "interface": lambda x: ipaddress.ip_interface(x), "address6": lambda x: ipaddress.IPv6Address(x),
    "Pair": lambda x: Pair(x, "right"), "object": lambda x: object.__new__(ByIdentity),
}


class ByIdentity:
    pass


class LooksSteady:
    """Subclasses of what is trusted that are not."""

    class Path(pathlib.PurePosixPath):
        def __str__(self):
            return f"{type(self)}"

    class Initial:
        x = Classy

        def __hash__(self):
            return hash(self.x)

    class Getting:
        def __getattribute__(self, name):
            return type(self)

        def __hash__(self):
            return hash(self.x)

    class Missing:
        def __getattr__(self, name):
            return type(self)

        def __hash__(self):
            return hash((self.x,))

    class Dunder:
        def __hash__(self):
            return hash(self.__class__)

    @dataclasses.dataclass(frozen=True)
    class Default:
        x: type = dataclasses.field(default=Classy, init=False)


# ---- hashes that fail, or change ---------------------------------------------------------------------

class Failing(_Valued):
    """Raises, hashed or compared, as often as it is told to."""

    left = 0
    compared = False

    def __hash__(self):
        if Failing.left > 0 and not Failing.compared:
            Failing.left -= 1
            raise ValueError(f"no hash of {self!r}")
        return hash((type(self), "same"))

    def __eq__(self, other):
        if Failing.left > 0 and Failing.compared:
            Failing.left -= 1
            raise ValueError(f"{self!r} is not compared")
        return type(self) is type(other) and self.x == other.x


class Unstable(_Valued):
    count = 0

    def __hash__(self):
        Unstable.count += 1
        return Unstable.count


class Rebuilt(_Valued):
    """Pickled, and hashable by value."""

    def __reduce__(self):
        return type(self), (self.x,)

    def __hash__(self):
        return hash(self.x)


class RebuiltUnstable(Rebuilt):
    def __hash__(self):
        return Unstable.__hash__(self)


class OnceOnly(Rebuilt):
    """Can be pickled a limited number of times."""

    left = 1

    def __reduce__(self):
        OnceOnly.left -= 1
        if OnceOnly.left < 0:
            raise ValueError("not again")
        return OnceOnly, (self.x,)

    def __hash__(self):
        return Failing.__hash__(self)


class Meddling(_Valued):
    """Its hash changes what it lies in."""

    victims = []

    def __hash__(self):
        for victim in Meddling.victims:
            victim.clear()
        return hash((type(self), self.x))


# ---- for both sides ------------------------------------------------------------------------------------

CONTAINERS = {
    "dict": dict.fromkeys, "set": set, "frozenset": frozenset,
    "OrderedDict": collections.OrderedDict.fromkeys, "Counter": collections.Counter,
    "defaultdict": lambda keys: collections.defaultdict(None, dict.fromkeys(keys)),
}


def look_up(tree, name, n):
    """Whether each key is found by an equal one that is made here, in each container, and nothing else."""
    make = MAKERS[name]
    return [[make(x) in container for x in range(-1, n + 1)] for container in tree]


def found(n):
    return [False] + [True] * n + [False]


def find(name):
    return globals()[name]


def send_keys(t):
    for name in MAKERS:
        t.send(dict.fromkeys(MAKERS[name](x) for x in range(50)))


def look_into(box, d, items, name, n):
    with box as value:
        seen = [look_up(value, name, n)]
    return seen + [look_up(d["keys"], name, n), look_up(items[0], name, n)]


def use_hard(tree):
    """Finds every key of every container, takes it out and puts it back; returns the tree."""
    stack = list(tree)
    while stack:
        o = stack.pop()
        if isinstance(o, dict):
            for key in list(o):
                o[key] = o.pop(key)
            stack += [*o, *o.values()]
        elif isinstance(o, set):
            for key in list(o):
                o.remove(key)
                o.add(key)
            stack += o
        elif isinstance(o, frozenset):
            assert all(key in o for key in o)
            stack += o
        elif isinstance(o, (list, tuple)):
            stack += o
        elif isinstance(o, Holder):
            stack += [o.field, o.other]
        elif hasattr(o, "x"):
            stack.append(o.x)
    return tree


# ---- what refers to its keys and is referred to by them ----------------------------------------------

def _attributes(o):
    if isinstance(o, dict):
        return [*o, *o.values()]
    if isinstance(o, (list, tuple, set, frozenset)):
        return [*o, *getattr(o, "__dict__", {}).values()]
    return list(getattr(o, "__dict__", {}).values())


def not_found(tree):
    """The keys and elements in a tree that are not found where they are."""
    lost, seen, stack = [], {}, [tree]
    while stack:
        o = stack.pop()
        if id(o) in seen or isinstance(o, type):
            continue
        seen[id(o)] = o
        if isinstance(o, (dict, set, frozenset)):
            lost += [f"{type(key).__name__} in a {type(o).__name__}" for key in o if key not in o]
        stack += _attributes(o)
    return lost


def build_cycles(recipe, owners):
    """recipe: (kind, numbers of earlier nodes); owners: (node, its attribute). The list of the nodes."""
    nodes = []
    for kind, children in recipe:
        children = [nodes[i % len(nodes)] for i in children if nodes]
        keys = [o for o in children if type(o).__hash__]
        if kind in ("dict", "list"):
            nodes.append(dict.fromkeys(keys) if kind == "dict" else children)
        elif kind == "Classy":
            nodes.append(Classy(keys[0] if keys else len(nodes)))
        elif kind == "ByAddress":
            nodes.append(ByAddress())
        else:
            nodes.append({"set": set, "tuple": tuple, "frozenset": frozenset, "Owned": Owned}[kind](keys))
    for i, j in owners:
        owner, o = nodes[i % len(nodes)], nodes[j % len(nodes)]
        if isinstance(o, (ByAddress, Classy, Owned)):
            # Where all of the way back can be hashed, nobody knows which hash asks for which.
            if type(o) is not Classy or not type(owner).__hash__ or type(owner) is ByAddress:
                o.owner = owner
    return nodes
