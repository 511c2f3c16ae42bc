"""Classes for test_typed_slots.py and its workers: what is pickled and arrives as something else."""

import collections
import datetime
import gc


class Plain:
    pass


class Slotted:
    __slots__ = ("a", "__dict__")


class List(list):
    """Its dict is managed, its attributes never lie in the object."""


class Ordered(collections.OrderedDict):
    pass


class Mortal:
    """Says what it has where it dies."""

    said = []

    def __del__(self):
        Mortal.said.append(dict(self.__dict__))


class ReducedDict(dict):
    """Pickled, and arrives as what it was."""

    def __reduce__(self):
        return ReducedDict, (), None, None, iter(list(self.items()))


class SharedDict(dict):
    """Pickled, and arrives as the __dict__ of an object of the receiver's."""

    def __reduce__(self):
        return _dict_of_another, (dict(self),)


others = []


def _dict_of_another(items):
    other = Plain()
    for name, value in items.items():
        setattr(other, name, value)
    others.append(other)
    return other.__dict__


class ArrivesAs:
    """Makes subclasses whose instances arrive as something else."""

    def __class_getitem__(cls, what):
        base, arrives = what
        return type(f"ArrivesAs{arrives}", (base,), {"__reduce__": lambda self: (_make, (arrives,))})


def _make(arrives):
    return {"list": [1], "int": 7, "object": object(), "str": "s", "dict": {"y": 1},
            "timedelta": datetime.timedelta(hours=1), "None": None, "class": Plain}[arrives]


class Zone(datetime.tzinfo):
    """Moves, and needs its attribute."""

    def __init__(self, hours):
        self.hours = hours

    def utcoffset(self, when):
        return datetime.timedelta(hours=self.hours)


class OffsetOf(datetime.timedelta):
    """Pickled, and arrives as it was."""

    def __reduce__(self):
        return OffsetOf, (self.days, self.seconds)


# ---- for both sides ------------------------------------------------------------------------------

def with_dict(cls, dict_of):
    o = cls()
    o.__dict__ = dict_of()
    vars(o)["x"] = [1]  # o.x = ... would pass an OrderedDict's methods by
    return o


def check_with_dict(o, cls, dict_of):
    # getattr: debug builds of CPython assert that a specialised o.x finds a plain dict.
    assert type(o) is cls and type(o.__dict__) is dict_of and getattr(o, "x") == [1]
    getattr(o, "x").append(2)
    vars(o)["y"] = o
    del vars(o)["x"]
    assert set(vars(o)) == {"y"} and getattr(o, "y") is o


def use(tree, cls, dict_of):
    for o in tree:
        check_with_dict(o, find(cls), find(dict_of))
    gc.collect()
    return len(tree)


def find(name):
    return globals().get(name) or getattr(collections, name, dict)


def send_some(t):
    t.send([with_dict(Plain, collections.OrderedDict) for _ in range(100)])
    t.send([datetime.timezone(OffsetOf(hours=3))])


def aware(tzinfo):
    return datetime.datetime(2024, 2, 29, tzinfo=tzinfo)


def shape(tree):
    return [(type(o).__name__, o.utcoffset(), o.tzname() if type(o.tzinfo) is not Zone else "")
            if type(o) is datetime.datetime
            else (type(o).__name__, type(getattr(o, "__dict__")).__name__, getattr(o, "number"),
                  [tree.index(r) for r in getattr(o, "refers", [])
                   if type(r) is not datetime.datetime])
            for o in tree]


def answer(tree):
    gc.collect()
    seen = shape(tree)
    for o in tree:
        if type(o) is not datetime.datetime:
            vars(o)["touched"] = True
    return seen
