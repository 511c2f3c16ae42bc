"""What a LockingDict costs that was large once, or whose keys somebody has chosen."""

import random
import subprocess
import sys
import threading
import time

import pytest
from objtunnel import Event, LockingDict
from workers import Worker

WAIT = 60  # seconds that no test should ever wait


def cpu(fn):
    """The least of several, in seconds of CPU."""
    times = []
    for _ in range(5):
        start = time.process_time()
        fn()
        times.append(time.process_time() - start)
    return min(times)


def undone(hashed):
    """The int that splitmix64, the hash of ints once, sends there."""
    mask = (1 << 64) - 1

    def unshifted(y, bits):
        x = y
        for _ in range(64 // bits + 1):
            x = y ^ x >> bits
        return x & mask

    z = unshifted(hashed, 31) * pow(0x94D049BB133111EB, -1, 1 << 64) & mask
    z = unshifted(z, 27) * pow(0xBF58476D1CE4E5B9, -1, 1 << 64) & mask
    x = unshifted(z, 30) - 0x9E3779B97F4A7C15 & mask
    return x - (1 << 64) if x >> 63 else x


CHOSEN = {"ints": lambda i: undone(i << 27), "floats": lambda i: float(undone(i << 27)),
          "tuples": lambda i: (undone(i << 27),), "multiples": lambda i: i * (2**61 - 1),
          "long": lambda i: 2**200 + i * (2**61 - 1)}


@pytest.mark.parametrize("kind", CHOSEN)
def test_chosen_keys_cost_what_others_do(kind):
    """All in one bucket, 20,000 ints took 200 s: a thousand times what others take."""
    def fill(keys):  # not by way of a dict: multiples of 2**61 - 1 have one hash there
        d = LockingDict()
        for k in keys:
            d[k] = 1

    keys = [CHOSEN[kind](i) for i in range(1, 8001)]
    ordinary = cpu(lambda: fill(range(8000)))
    assert cpu(lambda: fill(keys)) < 12 * ordinary + 0.02


def test_a_dict_that_was_large_costs_what_a_small_one_does():
    small, once = LockingDict(x=1), LockingDict.fromkeys(range(100_000))
    for i in range(100_000):
        del once[i]
    once["x"] = 1
    for fn in (list, repr, LockingDict.copy, LockingDict.items):
        assert cpu(lambda: fn(once)) < 20 * cpu(lambda: fn(small)) + 0.0005
    for i in range(20_000):
        once[i] = i
    once.clear()
    assert cpu(lambda: list(once)) < 20 * cpu(lambda: list(small)) + 0.0005 and len(once) == 0


FILLED = """
import os
from objtunnel import LockingDict

def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

d = LockingDict()
def fill():
    for i in range(200_000):
        d[i] = i

before = resident()
fill()
full = resident() - before
EMPTY
empty = resident() - before
assert len(d) == 0
fill()
print(full, empty, resident() - before)
"""


@pytest.mark.noasan  # which keeps freed memory for a while
@pytest.mark.notsan  # whose shadow of freed memory stays
@pytest.mark.parametrize("empty", ["d.clear()", "for i in range(200_000): d.pop(i)",
                                   "for i in range(200_000): d.popitem()"])
def test_memory_is_given_back(empty):
    """In a process of its own, where nothing else comes and goes. What is left lies between other
    things' memory. Filled again the dict takes what it took."""
    out = subprocess.run([sys.executable, "-c", FILLED.replace("EMPTY", empty)],
                         check=True, capture_output=True, text=True, timeout=WAIT).stdout
    full, left, again = map(int, out.split())
    assert left < full / 2
    assert again < full * 1.25


def test_clear_removes_what_is_there_and_waits_for_checkouts():
    d = LockingDict.fromkeys(range(5000))
    held = [d.checkout(k) for k in (0, 1, 2500, 4999)]
    for c in held:
        c.__enter__()
    cleared = threading.Thread(target=d.clear)
    cleared.start()
    while len(d) > len(held):
        time.sleep(0.001)
    assert sorted(d) == [0, 1, 2500, 4999] and cleared.is_alive()
    for c in held:
        c.__exit__(None, None, None)
    cleared.join(WAIT)
    assert len(d) == 0 and not cleared.is_alive()


def test_clear_ends_although_others_insert():
    d, stop = LockingDict.fromkeys(range(3000)), threading.Event()

    def insert():
        i = 10_000
        while not stop.is_set():
            d[i] = i
            i += 1

    other = threading.Thread(target=insert)
    other.start()
    try:
        d.clear()
        assert not any(k < 3000 for k in d)
    finally:
        stop.set()
        other.join(WAIT)


def test_a_computed_key_becomes_the_newest():
    d = LockingDict(first=1)
    d.setdefault_with("computed", lambda: d.update({f"meanwhile {i}": i for i in range(50)}) or "value")
    assert list(d)[-1] == "computed" and list(d)[0] == "first"
    assert d.popitem() == ("computed", "value") and d.popitem() == ("meanwhile 49", 49)


def test_what_is_there_all_the_time_is_found_while_tables_grow_and_shrink():
    """A reader that knew an older table took the next entrance for the end of its keys."""
    d, begun, stop = LockingDict({("steady", i): i for i in range(200)}), Event(), Event()
    with Worker() as one, Worker() as two:
        jobs = [i.submit(grow_and_shrink, d, n, begun, stop) for n, i in enumerate((one, two))]
        assert begun.wait(WAIT)
        try:
            rng, until = random.Random(1), time.monotonic() + 2
            while time.monotonic() < until:
                for _ in range(300):
                    i = rng.randrange(200)
                    assert d["steady", i] == i
                assert len([k for k in d if k[0] == "steady"]) == 200
        finally:
            stop.set()
        assert min(job.result(WAIT) for job in jobs) > 0
    assert sorted(d.values()) == list(range(200))


def grow_and_shrink(d, n, begun, stop):
    """A worker's side."""
    rounds = 0
    while not stop.is_set():
        for i in range(4000):
            d[i, n] = i
        begun.set()
        for i in range(4000):
            del d[i, n]
        rounds += 1
    return rounds
