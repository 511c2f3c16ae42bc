"""What other interpreters do with a LockingDict; loads there."""

import random


class Point:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(other) is Point and self.x == other.x

    __hash__ = None


def recipes():
    """Everything that a value can consist of, fresh, in this interpreter."""
    import collections
    import datetime
    import decimal
    loop = [1]
    loop.append({"loop": loop})
    return {
        "list": [[i, str(i), i * 1.5, {"k": (i, b"b" * i)}] for i in range(30)],
        "dict": {f"key{i}": {"n": i, "t": (i, [i])} for i in range(30)},
        "loop": loop,
        "text": "日本" * 50,
        "bytes": bytes(range(256)) * 10,
        "numbers": [10**30, 2**61, 2**62, -(2**70), 2.5, 3j, True, None],
        "sets": [{1, "a", (2, 3)}, frozenset({"x", 2.5})],
        "others": [bytearray(b"x" * 100), range(5), slice(1, 2), ...],
        "point": [Point([1]), Point({"a": Point(2)})],
        "library": [collections.deque([1, [2]]), collections.OrderedDict(a=[1]), collections.Counter("abca"),
                    datetime.datetime(2020, 1, 2), decimal.Decimal("1.5")],
        "point alone": Point("alone"),
    }


def put_all(d):
    for key, value in recipes().items():
        d[key] = value
        d["twice", key] = value
        d.setdefault(("default", key), value)
        d.swap(("swapped", key), value, None)


def use_hard(value, seen=None):
    """Touches, changes and grows everything in a tree."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    repr(value)
    if isinstance(value, dict):
        for v in list(value.values()):
            use_hard(v, seen)
        value["added" + str(len(value))] = ["x" * 10]
        value.popitem()
        for i in range(20):
            value[str(i)] = i
    elif isinstance(value, list):
        for v in list(value):
            use_hard(v, seen)
        value.extend([[1], "x"] * 20)
        del value[::2]
    elif isinstance(value, tuple | frozenset):
        for v in value:
            use_hard(v, seen)
    elif isinstance(value, set):
        value.update(range(100))
        value.discard("a")
    elif isinstance(value, Point):
        use_hard(value.x, seen)
        value.y = [value]
        value.x = "changed"
    elif isinstance(value, str):
        assert value + "x" != value
        hash(value)
    elif isinstance(value, bytearray):
        value.extend(b"more" * 100)


def read_and_replace(d):
    for key in d.keys():
        use_hard(d[key])
        d[key] = 0


def count(d, n, seed):
    r = random.Random(seed)
    for _ in range(n):
        d.add(r.choice("abc"))
        d.add("total", 2)
        d.update_with("list", lambda t: t + [seed] if len(t) < 50 else t[25:], [])
        with d.checkout("tree") as tree:
            tree["n"] += 1
    return n


def churn(d, n, seed):
    """Inserts, replaces, reads, removes; returns what was put in less what was taken out."""
    r = random.Random(seed)
    worth = 0
    for i in range(n):
        key = r.randrange(40)
        what = r.randrange(8)
        if what == 0:
            worth += 1 if d.swap(key, [key, [seed, i]], None) is None else 0
        elif what == 1:
            worth -= d.pop(key, None) is not None
        elif what == 2:
            try:
                k, v = d.popitem()
                assert v[0] == k
                worth -= 1
            except KeyError:
                pass
        elif what == 3:
            for k, v in d.items():
                assert v[0] == k
        elif what == 4:
            assert 0 <= len(d) <= 40
        elif what == 5 and i % 50 == 0:
            assert sorted(d.copy().keys()) is not None
        else:
            v = d.get(key)
            if v is not None:
                assert v[0] == key
                v.append("mine")
    return worth


def once(d, name):
    return d.setdefault_with("k", lambda: [name])


def hold(d):
    import objtunnel
    objtunnel._held = d.checkout("k")
    return objtunnel._held.__enter__()


def hold_for_ever(d):
    import objtunnel
    objtunnel._held = d.checkout("k")
    objtunnel._held.__enter__()
    objtunnel._held_too = [objtunnel._held]
    objtunnel._held_too.append(objtunnel._held_too)


def look_at_all(d, begun, stop):
    while not stop.is_set():
        d.keys()
        begun.set()
