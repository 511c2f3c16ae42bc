"""What is sent. Both interpreters import this: the sender builds, the receiver checks."""

from array import array
from dataclasses import dataclass
from typing import Callable

SMOKE_DIVISOR = 1000


@dataclass(frozen=True)
class Payload:
    """One case. make(size) builds a fresh tree; touch(tree) is one pass over it, None where that
    would only measure arithmetic; kept: whether the sender keeps references into what it sends."""

    name: str
    size: int
    make: Callable
    touch: Callable | None = None
    kept: bool = False
    target_ratio: float | None = None  # times faster than pickle
    target_seconds: float | None = None
    memory: int = 0  # bytes that must be free, where that is worth asking
    queue: bool = True  # whether to show concurrent.interpreters.Queue, too

    def scaled(self, smoke):
        return max(1, self.size // SMOKE_DIVISOR) if smoke else self.size


def make_floats(n):
    return [i / 7 for i in range(n)]


def make_rows(n):
    """Nothing but the keys and None is shared between rows, nor known beforehand."""
    return [{"id": i + 1000, "name": f"row {i}", "xs": [i / 3, i / 7],
             "t": (i / 11, None, b"%d bytes" % i)} for i in range(n)]


def make_array(n):
    return array("d", [0.5]) * n


def touch_rows(rows):
    return sum(row["id"] + row["xs"][1] + row["t"][0] + len(row["name"]) for row in rows)


PAYLOADS = {p.name: p for p in (
    Payload("floats_1e6", 1_000_000, make_floats, touch=sum, target_ratio=15),
    Payload("rows_1e5", 100_000, make_rows, touch=touch_rows, target_ratio=15),
    Payload("array_8MB", 1_000_000, make_array, target_seconds=20e-6),
    # The payload, its pickle, and what is loaded from that; half as much to spare.
    Payload("array_800MB", 100_000_000, make_array, target_seconds=20e-6,
            memory=3_600_000_000, queue=False),
    Payload("floats_1e6_copied", 1_000_000, make_floats, touch=sum, kept=True),
    Payload("rows_1e5_copied", 100_000, make_rows, touch=touch_rows, kept=True),
)}
