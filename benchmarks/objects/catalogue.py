"""The cases: what is measured beside what, and the targets of issue 6."""

import threading
from array import array

from objtunnel import Lock, SharedArray

import c_tables
import dicts
import lists
import trees
from cases import Case
from crew import HERE, THERE
from handoff import contended, hand_off
from loops import Statement


# ---- locks ---------------------------------------------------------------------------------------

def free_locks(_options):
    return {f"{kind}": Statement("with lock: pass", lock=make()) for kind, make in
            (("threading.Lock", threading.Lock), ("Lock", Lock))}


def locks_between(make_way):
    def make(options):
        return {f"threading.Lock, {HERE}": make_way(threading.Lock, True, options),
                f"Lock, {HERE}": make_way(Lock, True, options),
                f"Lock, {THERE}": make_way(Lock, False, options)}
    return make


# ---- SharedArray ---------------------------------------------------------------------------------

def reads(_options):
    numbers = SharedArray("q", source=range(1000, 1064))
    return {"list": Statement("x[5]", x=list(numbers)),
            "array.array": Statement("x[5]", x=array("q", numbers)),
            "memoryview of a SharedArray": Statement("x[5]", x=memoryview(numbers)),
            "SharedArray": Statement("x[5]", x=numbers)}


def writes(_options):
    numbers = SharedArray("q", 64)
    return {"list": Statement("x[5] = 1000", x=[0] * 64),
            "array.array": Statement("x[5] = 1000", x=array("q", numbers)),
            "memoryview of a SharedArray": Statement("x[5] = 1000", x=memoryview(numbers)),
            "SharedArray": Statement("x[5] = 1000", x=numbers)}


def counts(_options):
    return {"list under threading.Lock": Statement("with lock: x[5] += 1", lock=threading.Lock(),
                                                   x=[0] * 64),
            "SharedArray.add": Statement("x.add(5, 1)", x=SharedArray("q", 64)),
            "SharedArray.fetch_add": Statement("x.fetch_add(5, 1)", x=SharedArray("q", 64))}


CASES = [
    Case("lock_free", "acquire and release a lock that nobody else wants", free_locks),
    Case("lock_hand_off", "one hand-off of a lock between two workers", locks_between(hand_off)),
    Case("lock_contended", "acquire and release, two workers at once", locks_between(contended)),
    Case("array_read", "x[5] of 64-bit integers", reads),
    Case("array_write", "x[5] = 1000", writes),
    Case("array_add", "count one up", counts),
    *dicts.CASES,
    *lists.CASES,
    *trees.CASES,
    *c_tables.CASES,
]
SCALINGS = [*dicts.SCALINGS]
