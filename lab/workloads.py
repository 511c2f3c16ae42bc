"""What the variants are measured with: small programs in pure Python, in the style of pyperformance.

Each is a function that builds its data and returns a function run(), which takes about a
millisecond and returns a number that is the same in every variant: a variant that computes
something else is caught, not measured. Nothing here imports anything but the standard library;
subinterpreters run it too.

PARALLEL are the ones that interpreters and threads run side by side. They differ in what they
count references of: None (one object for the whole process), small ints (some, a few cache
lines), objects of their own (nobody else's cache lines).
"""

import json
import random
import re


def fib():
    """Recursive calls: frames, small ints, code objects."""
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)
    return lambda: fib(15)


def nbody():
    """Floats in lists: short-lived objects of its own."""
    def run():
        bodies = [[float(i), i * 0.5, 1.0 / (i + 1), 0.0, 0.0, 0.0, 1.0 + i] for i in range(5)]
        for _ in range(40):
            for i, a in enumerate(bodies):
                for b in bodies[i + 1:]:
                    dx, dy, dz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
                    mag = 0.001 / (dx * dx + dy * dy + dz * dz + 0.01) ** 1.5
                    a[3] -= dx * b[6] * mag
                    a[4] -= dy * b[6] * mag
                    a[5] -= dz * b[6] * mag
                    b[3] += dx * a[6] * mag
                    b[4] += dy * a[6] * mag
                    b[5] += dz * a[6] * mag
            for body in bodies:
                body[0] += 0.001 * body[3]
                body[1] += 0.001 * body[4]
                body[2] += 0.001 * body[5]
        return round(bodies[0][0] * 1e9)
    return run


class _Task:
    """For richards: a task that handles packets, in a ring."""

    __slots__ = ("name", "work", "next", "state")

    def __init__(self, name):
        self.name = name
        self.work = []
        self.next = None
        self.state = 0

    def take(self, packet):
        self.work.append(packet)
        return self

    def step(self):
        if not self.work:
            return None
        packet = self.work.pop()
        self.state = (self.state * 31 + packet.kind + self.name) & 0xffff
        packet.kind = (packet.kind + 1) % 7
        packet.hops += 1
        return self.next.take(packet) if packet.hops % 5 else self.next.next.take(packet)


class _Packet:
    def __init__(self, kind):
        self.kind = kind
        self.hops = 0


def richards():
    """Objects with methods and attributes that hand each other work, as in Richards."""
    def run():
        tasks = [_Task(i) for i in range(6)]
        for i, task in enumerate(tasks):
            task.next = tasks[(i + 1) % len(tasks)]
        for kind in range(30):
            tasks[kind % len(tasks)].take(_Packet(kind % 7))
        for _ in range(300):
            for task in tasks:
                task.step()
        return sum(task.state for task in tasks)
    return run


def _copies_of(items):
    def run():
        n = 0
        for _ in range(100):
            n += len(items[:])
        return n
    return run


def list_copy_none():
    """Copies of a list of a thousand Nones: nothing but counting one object."""
    return _copies_of([None] * 1000)


def list_copy_objects():
    """Copies of a list of a thousand different floats."""
    return _copies_of([float(i) for i in range(1000)])


def dict_iteration():
    """A dict's items, looked up again."""
    table = {f"key{i}": float(i) for i in range(1000)}

    def run():
        total = 0.0
        for _ in range(10):
            for key, value in table.items():
                total += value if key in table else 0.0
        return round(total)
    return run


def json_round_trip():
    """The standard library's json: its C encoder and decoder."""
    rows = [{"id": i, "name": f"row {i}", "tags": ["a", "b", None, True], "x": i / 7}
            for i in range(60)]

    def run():
        n = 0
        for _ in range(3):
            n += len(json.loads(json.dumps(rows)))
        return n
    return run


def regex():
    """The re module: matching in C, results in Python."""
    text = " ".join(f"{i:04d}-{i % 12 + 1:02d} name{i}@host{i % 5}.example" for i in range(120))
    address = re.compile(r"(\w+)@(\w+)\.example")
    date = re.compile(r"\d{4}-(\d\d)")

    def run():
        n = 0
        for _ in range(3):
            n += sum(len(match.group(1)) for match in address.finditer(text))
            n += len(date.sub(r"\1", text))
        return n
    return run


def string_building():
    """Strings formatted, split, joined."""
    def run():
        n = 0
        for _ in range(10):
            text = ",".join(f"{i}:{i * i}" for i in range(100))
            n += len("".join(part.upper() for part in text.split(",")))
        return n
    return run


def sorting():
    """Comparisons and moves of ints of its own."""
    numbers = random.Random(1).sample(range(1000, 1_000_000), 2000)
    return lambda: sorted(numbers)[1000]


def none_heavy():
    """Functions that return None, arguments that are None, lists of None."""
    def nothing(a=None, b=None):
        return None if a is None else b

    def run():
        found = 0
        held = [None] * 50
        for _ in range(60):
            for item in held:
                if nothing(item, None) is None:
                    found += 1
            held = held[:]
        return found
    return run


def small_ints():
    """Arithmetic within -5 to 256, which every interpreter has in common."""
    def run():
        total = 0
        table = list(range(200))
        for _ in range(25):
            for i in table:
                total = (total + i) % 251
            table = table[:]
        return total
    return run


def private_objects():
    """Floats, tuples and lists that only this interpreter knows."""
    def run():
        rows = [(i * 1.5, [i + 1000.5]) for i in range(500)]
        total = 0.0
        for _ in range(4):
            for x, cell in rows:
                total += x + cell[0]
            rows = rows[:]
        return round(total)
    return run


_SHARED = [float(i) for i in range(1000)]


def shared_objects():
    """Copies of one list of floats that all *threads* of an interpreter have in common. (In another
    interpreter it is another list.)"""
    def run():
        n = 0
        for _ in range(100):
            n += len(_SHARED[:])
        return n
    return run


def allocation():
    """Objects of many sizes made and dropped: the object heap, and little else."""
    sizes = [17, 40, 70, 110, 170, 230, 310, 400, 470]

    def run():
        n = 0
        for _ in range(15):
            kept = [bytes(size) for size in sizes for _ in range(10)]
            n += len(kept)
        return n
    return run


SINGLE = (fib, nbody, richards, list_copy_none, list_copy_objects, dict_iteration,
          json_round_trip, regex, string_building, sorting, none_heavy, small_ints,
          private_objects)
PARALLEL = (none_heavy, small_ints, private_objects, fib)
ALL = {make.__name__: make for make in (*SINGLE, shared_objects, allocation)}
