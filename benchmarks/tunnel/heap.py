"""What it costs the heap that one thread builds trees and another one frees them.

Blocks that another thread frees come back to the thread that allocated them when it next looks for
some. So each round builds a tree, timed, and gets rid of it in one of two ways: the builder deletes
it, or the receiver does; the next round's build pays for how the last tree was freed. Two rounds
one way, the second counts; then two the other way.
"""

from time import perf_counter_ns

from measure import collect_garbage

WAYS = ("builder", "receiver")
_ROUNDS = 2


def measure(link, payload, size, way):
    """Nanoseconds of building and of deleting: {"build", "delete"}."""
    for _ in range(_ROUNDS):
        collect_garbage(link.collecting)
        began = perf_counter_ns()
        tree = payload.make(size)
        build = perf_counter_ns() - began
        if way == "receiver":
            delete = link.send_to_delete(payload, size, tree)
        else:
            began = perf_counter_ns()
            del tree
            delete = perf_counter_ns() - began
    return {"build": build, "delete": delete}
