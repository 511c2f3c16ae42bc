"""What test_kinds_stdlib.py and its workers share: subclasses, and a tree of every kind of the
standard library. Imported by both sides, so that classes are found by name."""

import gc
import sys
import zoneinfo
from collections import OrderedDict, defaultdict, deque
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from types import MappingProxyType, SimpleNamespace

import trees


class Line(deque):
    pass


class Groups(defaultdict):
    pass


class Ordered(OrderedDict):
    pass


class SlottedOrdered(OrderedDict):
    __slots__ = ("extra",)


class Moment(datetime):
    pass


class Day(date):
    __slots__ = ("note",)


class Span(timedelta):
    pass


class Money(Decimal):
    __slots__ = ("currency",)


class Zone(tzinfo):
    def __init__(self, hours=0):
        self.offset = timedelta(hours=hours)

    def utcoffset(self, dt):
        return self.offset

    def dst(self, dt):
        return timedelta(0)

    def tzname(self, dt):
        return "zone"


class Space(SimpleNamespace):
    pass


class SlottedSpace(SimpleNamespace):
    __slots__ = ("extra", "__weakref__")


class Plain(dict):
    pass


class Key:
    """Equal by value, and pickled where it stands."""

    def __init__(self, n):
        self.n = n

    def __eq__(self, other):
        return isinstance(other, Key) and self.n == other.n

    def __hash__(self):
        return hash(("Key", self.n))

    def __reduce__(self):
        return Key, (self.n,)


class ById:
    """Hashes by its address, which a copy does not share."""


def number(n):
    return (n + 10) / 7


def text(n):
    return f"text-{n}"


def with_attributes(o, **attributes):
    for name, value in attributes.items():
        setattr(o, name, value)
    return o


def rotated(n, by):
    o = deque([number(i)] for i in range(n))
    o.rotate(by)
    return o


def reordered(o):
    o.move_to_end(next(iter(o)))
    return o


MAKERS = {
    "deque": lambda: deque([[number(i)] for i in range(200)]),
    "short deque": lambda: deque([text(1)]),
    "empty deque": deque,
    "bounded deque": lambda: deque((number(i) for i in range(300)), maxlen=130),
    "deque of length 0": lambda: deque([1], maxlen=0),
    "rotated deque": lambda: rotated(130, 50),
    "deque subclass": lambda: with_attributes(Line([text(i) for i in range(70)], 90), name=text(0)),
    "defaultdict": lambda: defaultdict(list, {text(i): [number(i)] for i in range(20)}),
    "empty defaultdict": lambda: defaultdict(int),
    "defaultdict without factory": lambda: defaultdict(None, {number(1): text(1)}),
    "defaultdict of a class": lambda: defaultdict(Plain, {text(1): Plain()}),
    "defaultdict subclass": lambda: with_attributes(Groups(set, {text(1): {number(2)}}), n=text(2)),
    "OrderedDict": lambda: reordered(OrderedDict((text(i), [number(i)]) for i in range(40))),
    "OrderedDict of many keys": lambda: reordered(OrderedDict(
        [(number(1), 1), ((number(2), text(2)), 2), (text(3), 3), ("name", 4), (None, 5),
         (10**20, 6), (Decimal(7), 7), (date(2024, 2, 8), 8), (b"nine" * 3, 9)])),
    "empty OrderedDict": OrderedDict,
    "OrderedDict with attributes": lambda: with_attributes(OrderedDict({text(1): 1}), note=text(2)),
    "OrderedDict subclass": lambda: with_attributes(
        reordered(Ordered((text(i), number(i)) for i in range(9))), note=[text(2)]),
    "slotted OrderedDict": lambda: with_attributes(SlottedOrdered({text(1): 1}), extra=[text(2)]),
    "SimpleNamespace": lambda: SimpleNamespace(a=[number(1)], b=SimpleNamespace(c=text(2))),
    "empty SimpleNamespace": SimpleNamespace,
    "SimpleNamespace subclass": lambda: Space(a=[number(1)], b=text(2)),
    "slotted SimpleNamespace": lambda: with_attributes(SlottedSpace(a=text(1)), extra=[text(2)]),
    "Decimal": lambda: Decimal("12345.678"),
    "long Decimal": lambda: Decimal("7" * 200 + ".5"),
    "Decimal infinity": lambda: Decimal("-Infinity"),
    "Decimal subclass": lambda: with_attributes(Money("19.99"), currency=text(3)),
    "long Decimal subclass": lambda: with_attributes(Money("3" * 99), currency=text(3)),
    "date": lambda: date(2024, 2, 29),
    "date subclass": lambda: with_attributes(Day(2024, 2, 29), note=text(4)),
    "time": lambda: time(1, 2, 3, 4),
    "time with fold": lambda: time(1, 2, 3, 4, fold=1),
    "aware time": lambda: time(1, tzinfo=timezone(timedelta(hours=2), text(5))),
    "datetime": lambda: datetime(2024, 2, 29, 1, 2, 3, 4),
    "datetime in UTC": lambda: datetime(2024, 2, 29, tzinfo=timezone.utc),
    "datetime with fold": lambda: datetime(2024, 2, 29, fold=1, tzinfo=timezone(timedelta(1, -1))),
    "datetime in a ZoneInfo": lambda: datetime(2024, 2, 29, tzinfo=zoneinfo.ZoneInfo("UTC")),
    "datetime in a zone of ours": lambda: datetime(2024, 2, 29, tzinfo=Zone(3)),
    "datetime subclass": lambda: with_attributes(Moment(2024, 2, 29, tzinfo=Zone(1)), at=text(6)),
    "timedelta": lambda: timedelta(1, 2, 3),
    "timedelta of nothing": lambda: timedelta(0),
    "timedelta subclass": lambda: Span(5),
    "timezone": lambda: timezone(timedelta(hours=-3)),
    "timezone.utc": lambda: timezone.utc,
    "zone of ours": lambda: Zone(2),
    "view": lambda: memoryview(bytearray(range(100)))[10:90],
    "view of doubles": lambda: memoryview(bytearray(bytes(range(48)))).cast("d", [2, 3]),
    "view with a step": lambda: memoryview(bytearray(range(100)))[90:10:-3],
    "read-only view": lambda: memoryview(bytes(range(100)))[10:90],
    "mappingproxy": lambda: MappingProxyType({text(1): [number(1)]}),
    "mappingproxy of an OrderedDict": lambda: MappingProxyType(OrderedDict({text(1): number(1)})),
}


def attributes(o):
    found = dict(getattr(o, "__dict__", {}))
    for cls in type(o).__mro__:
        for name in cls.__dict__.get("__slots__", ()):
            found[name] = getattr(o, name)
    return found


def assert_same(got, expected):
    """As trees.assert_same, and what instances have besides."""
    if isinstance(expected, Zone):
        assert type(got) is Zone and got.offset == expected.offset
        return
    if isinstance(expected, (datetime, time)) and isinstance(expected.tzinfo, Zone):
        assert_same(got.tzinfo, expected.tzinfo)
        assert type(got) is type(expected) and got == expected
    else:
        trees.assert_same(got, expected)
    assert attributes(got) == attributes(expected)


def make_and_send(tunnel, names):
    """In a worker."""
    tunnel.send([MAKERS[name]() for name in names])
    return True


def receive_and_use(tunnel, names):
    """In a worker: what comes equals what is made here, and stands hard use."""
    got = tunnel.recv(timeout=60)
    for o, name in zip(got, names, strict=True):
        assert_same(o, MAKERS[name]())
    gc.collect()
    trees.abuse(got)
    del got, o
    gc.collect()
    return True


def receive_modules(tunnel):
    """In a worker: the names of modules that are the worker's own."""
    return [m.__name__ for m in tunnel.recv(timeout=60) if sys.modules[m.__name__] is m]


def use_circle(tunnel):
    """In a worker: a list with a namespace that refers to itself and to the list."""
    circle, space = tunnel.recv(timeout=60)
    assert circle[0] is space is space.me and space.list is circle
    space.more = [space] * 100
    name = space.name
    del circle, space
    gc.collect()
    return name


def use_arrays(tunnel):
    """In a worker, which has no NumPy: an array and a view."""
    flat, square = tunnel.recv(timeout=60)
    flat.append(4.0)
    return f"{flat} {square.tolist()}"


def grow_arrays(there, back):
    """In a worker: what came from NumPy grows and is sent back."""
    got = there.recv(timeout=60)
    for a in got.values():
        a.append(1)
    gc.collect()
    back.send(got)
    return True


def looks(a):
    """What a worker says of what arrives for an array."""
    kind = "array" if a.ndim == 1 and a.dtype.char in "bBhHiIlLqQfd" else "memoryview"
    return kind, memoryview(a).format, a.shape, a.tolist()


def look_at_array(there, back):
    """In a worker: sends it back after use."""
    tree = there.recv(timeout=60)
    a = memoryview(tree[0])
    look = type(tree[0]).__name__, a.format, a.shape, a.tolist()
    a.release()
    gc.collect()
    back.send(tree)
    return look


def try_to_write(tunnel):
    a, = tunnel.recv(timeout=60)
    try:
        a[0, 0] = 1
    except TypeError as error:
        return type(error).__name__


def total(a):
    return sum(memoryview(a).cast("B").cast(a.format))


def mark_and_return(there, back):
    tree = there.recv(timeout=60)
    tree[0][0, 0, 0] = 7
    return str(tuple(back.send(tree)))


def send_parts(there, back):
    view, = there.recv(timeout=60)
    tree = [view, view.cast("B"), view.toreadonly()]
    del view
    return str(tuple(back.send(tree)))


def receive_and_leave(tunnel):
    """The tree goes with the worker's module."""
    global left
    left = tunnel.recv(timeout=60)


def read_shared(d, items):
    assert type(d["both"][0]) is memoryview and d["both"][2:] == ["text", 2**62, 2**62 + 1]
    first, second = d["both"][:2]
    assert first is second and items[0]["a"].tolist() == d["a"].tolist()
    return d["a"].tolist()


def open_box(box):
    with box as tree:
        assert tree[0][1, 1] == 5
        tree[0][0, 0] = 2


class Holder:
    def __init__(self, a):
        self.a = a


def receive(tunnel):
    return len(tunnel.recv(timeout=60))


def call_it(tunnel):
    call, = tunnel.recv(timeout=60)
    return str(call())
