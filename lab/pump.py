"""For lab/worker.py's hand_over: what one interpreter allocates another frees."""

import os
from time import perf_counter_ns

SIZES = [17, 40, 70, 110, 170, 230, 310, 400, 470]
OBJECTS = 1800  # in a message


def send_many(tunnel, seconds):
    """Make and send messages for so long: [objects in a message, messages, nanoseconds, the same again],
    as worker.measure gives [result, runs, nanoseconds, of these on the CPU]: who waits for a place in
    the tunnel is not on the CPU, and that is no disturbance. The tunnel holds four, so the receiver
    cannot fall behind by more than those."""
    began = perf_counter_ns()
    end = began + int(seconds * 1e9)
    messages = 0
    while perf_counter_ns() < end:
        tunnel.send([bytes(size) for size in SIZES for _ in range(OBJECTS // len(SIZES))])
        messages += 1
    tunnel.close()
    took = perf_counter_ns() - began
    return [OBJECTS, messages, took, took]


def drop_all(tunnel, cpu):
    """Free what comes; how many messages it was."""
    os.sched_setaffinity(0, {cpu})
    messages = 0
    for message in tunnel:
        if len(message) != OBJECTS:
            raise AssertionError(f"a message of {len(message)} objects")
        del message
        messages += 1
    return messages
