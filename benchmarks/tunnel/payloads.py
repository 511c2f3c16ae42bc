"""What is sent. Both interpreters import this: the sender builds, the receiver checks. What is
built how is in flat.py, rows.py, instances.py and json_trees.py; the targets are issue 4's."""

from dataclasses import dataclass, field
from typing import Callable

from flat import make_array, make_bytearray, make_bytes, make_floats
from instances import (
    make_matrices, make_samples, make_table_by_fields, make_table_by_type, touch_matrices,
    touch_samples,
)
from json_trees import make_json
from rows import keep_names, make_rows, touch_rows

SMOKE_DIVISOR, QUICK_DIVISOR = 1000, 10
MB, GB = 1_000_000, 1_000_000_000


@dataclass(frozen=True)
class Payload:
    """One case. make(size) builds a fresh tree.

    touch(tree) is one pass over it; None where that would only measure arithmetic.
    keep(tree) is what the sender goes on referring to.
    containers(size): how many of the tree's objects are no leaves, where the memory that send()
    takes is to be measured.
    """

    name: str
    size: int
    make: Callable
    touch: Callable | None = None
    keep: Callable | None = None
    containers: Callable | None = None
    # At least so many times faster than "pickle" and "queue", at most so many times "loop", and
    # less than so many "seconds".
    targets: dict = field(default_factory=dict)
    memory: int = 0  # bytes that must be free, where that is worth asking
    queue: bool = True  # whether to show concurrent.interpreters.Queue, too
    loop: bool = False  # made of lists, tuples and dicts, over which the bare loop goes
    warm_size: int = 8

    def scaled(self, divisor):
        return max(1, self.size // divisor)


def keep_all(tree):
    return list(tree)


def keep_1_percent(tree):
    return tree[::100]


def buffer(name, size, make, **more):
    return Payload(name, size, make, targets={"seconds": 5e-6}, **more)


# The payload, its pickle, what is loaded from that; and half as much to spare.
HUGE = {"memory": 4_500_000_000, "queue": False}

PAYLOADS = {p.name: p for p in (
    Payload("floats_1e6", 1_000_000, make_floats, touch=sum, containers=lambda n: 1, loop=True,
            targets={"pickle": 30, "queue": 100, "loop": 2}),
    Payload("rows_1e5", 100_000, make_rows, touch=touch_rows, containers=lambda n: 1 + 3 * n,
            loop=True, targets={"pickle": 30, "queue": 60}),
    Payload("matrices_2e5", 200_000, make_matrices, touch=touch_matrices,
            containers=lambda n: 1 + 6 * n, targets={"pickle": 15}, memory=1_500_000_000),
    Payload("dataclasses_1e5", 100_000, make_samples, touch=touch_samples,
            containers=lambda n: 1 + n, targets={"pickle": 20}),
    # What a receiver pays for keys whose hash depends on the class, beside such whose does not.
    Payload("keys_by_type_1e5", 100_000, make_table_by_type),
    Payload("keys_by_fields_1e5", 100_000, make_table_by_fields),
    Payload("json_files", 6, make_json, loop=True, targets={"pickle": 20}, warm_size=0),
    buffer("array_8MB", 8 * MB, make_array),
    buffer("bytes_8MB", 8 * MB, make_bytes),
    buffer("bytearray_8MB", 8 * MB, make_bytearray),
    buffer("array_1GB", GB, make_array, **HUGE),
    buffer("bytes_1GB", GB, make_bytes, **HUGE),
    buffer("bytearray_1GB", GB, make_bytearray, **HUGE),
    Payload("floats_1e6_1pct_kept", 1_000_000, make_floats, touch=sum, keep=keep_1_percent,
            loop=True, targets={"pickle": 15}),
    Payload("rows_1e5_1pct_kept", 100_000, make_rows, touch=touch_rows, keep=keep_1_percent,
            loop=True, targets={"pickle": 15}),
    Payload("rows_1e5_1pct_leaves_kept", 100_000, make_rows, touch=touch_rows, keep=keep_names,
            loop=True, targets={"pickle": 15}),
    Payload("floats_1e6_all_kept", 1_000_000, make_floats, touch=sum, keep=keep_all),
    Payload("rows_1e5_all_kept", 100_000, make_rows, touch=touch_rows, keep=keep_all),
)}
