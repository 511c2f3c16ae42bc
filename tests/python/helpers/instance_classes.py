"""Classes of all shapes for test_instances.py and its workers, who find them here by name.

Fresh<Base><number> is made when it is first asked for, in each interpreter for itself: a class that
has learnt nothing yet about its instances' attributes.
"""

import abc
import array
import collections
import dataclasses
import enum
from typing import Any, Generic, NamedTuple, TypeVar

from objtunnel import register_movable

# ---- with a dict ------------------------------------------------------------------------------


class Plain:
    pass


class Child(Plain):
    colour = "a class attribute"


class Initialised:
    def __init__(self):
        self.first = self.second = self.third = None


class WithProperty:
    """Nobody but a program's own assignments may run the setter."""

    @property
    def a(self):
        return self.__dict__.get("a", "none")

    @a.setter
    def a(self, value):
        self.__dict__["a"] = value


class OfTwoKinds:
    """Of test_layouts.py, whose worker has another one."""

    __slots__ = ("one", "two")


class Closed:
    """Attributes go into its dict only."""

    def __setattr__(self, name, value):
        raise AttributeError(name)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return f"no {name}"


class Meta(type):
    def __call__(cls, *args):
        o = super().__call__(*args)
        o.__dict__["made"] = "by its metaclass"
        return o


class Made(metaclass=Meta):
    pass


class Outer:
    class Inner:
        pass


class Abstract(abc.ABC):
    @abc.abstractmethod
    def method(self):
        """Nothing."""


class Concrete(Abstract):
    def method(self):
        return 1


class Boxed(Generic[TypeVar("T")]):
    pass


@register_movable
class Registered:
    """Pickled only as part of something that is."""

    def __reduce__(self):
        return Registered, (), self.__dict__

    def __reduce_ex__(self, protocol):
        return self.__reduce__()


class ById:
    """A key by its address."""


class ByValue:
    def __eq__(self, other):
        return type(other) is type(self) and vars(self) == vars(other)

    def __hash__(self):
        return hash("ByValue")


class Mortal:
    """Counts its deaths."""

    deaths = 0

    def __del__(self):
        Mortal.deaths += 1


# ---- with slots -------------------------------------------------------------------------------


class Slots:
    __slots__ = ("a", "b", "c")


class MoreSlots(Slots):
    __slots__ = ("d", "e")


class SlotsAndDict(Slots):
    pass


class DictInSlots:
    __slots__ = ("a", "__dict__")


class WeakSlots:
    __slots__ = ("a", "b", "__weakref__")


class Hidden:
    __slots__ = ("__a", "b")


@dataclasses.dataclass(slots=True)
class SlotPoint:
    a: Any = None
    b: Any = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Point:
    a: Any = None
    b: Any = dataclasses.field(default_factory=list)


# ---- made of their contents -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class FrozenPoint:
    a: Any
    b: Any


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlotPoint:
    a: Any
    b: Any


Pair = collections.namedtuple("Pair", "left right")


class Triple(NamedTuple):
    one: Any
    two: Any
    three: Any = "default"


class PairWithDict(Pair):
    pass


class PairWithout(Pair):
    __slots__ = ()


# ---- subclasses of built-in types -------------------------------------------------------------


class List(list):
    pass


class SlottedList(list):
    __slots__ = ("a", "b")


class Dict(dict):
    pass


class SlottedDict(dict):
    __slots__ = ("a",)


class Tuple(tuple):
    pass


class Set(set):
    pass


class Frozenset(frozenset):
    pass


class Int(int):
    pass


class Str(str):
    pass


class SlottedStr(str):
    __slots__ = ("a", "b")


class Float(float):
    pass


class Complex(complex):
    pass


class Bytes(bytes):
    pass


class Bytearray(bytearray):
    pass


class Array(array.array):
    pass


@register_movable
class Count(collections.Counter):
    """Counter's own __reduce__ forgets attributes."""

    def __reduce__(self):
        return type(self), (dict(self),), self.__dict__


# ---- by reference, or pickled -----------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1000
    HIGH = 2000


class Flags(enum.Flag):
    A = 1
    B = 2


class Error(Exception):
    pass


class Reduced:
    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return Reduced, (self.value,)


class Stateful:
    def __init__(self, value):
        self.value = value

    def __getstate__(self):
        return {"kept": self.value}

    def __setstate__(self, state):
        self.value = state["kept"]


# ---- fresh ------------------------------------------------------------------------------------

FRESH = {"Object": (), "List": (list,), "Dict": (dict,), "Tuple": (tuple,), "Int": (int,),
         "Str": (str,), "Set": (set,), "Child": (Plain,)}


def __getattr__(name):
    base = name.removeprefix("Fresh").rstrip("0123456789")
    if not name.startswith("Fresh") or base not in FRESH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = type(name, FRESH[base], {"__module__": __name__})
    globals()[name] = made
    return made


def forget():
    """Let go of the fresh classes."""
    for name in [name for name in globals() if name.startswith("Fresh")]:
        del globals()[name]


def find(name):
    """The class of that qualified name."""
    found = globals().get(name)
    if found is None:
        first, *rest = name.split(".")
        found = globals().get(first) or __getattr__(first)
        for part in rest:
            found = getattr(found, part)
    return found
