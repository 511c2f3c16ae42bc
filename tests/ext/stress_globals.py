"""Stress: interpreters come and go, in threads, around one process-wide library.

    python tests/ext/stress_globals.py MODULE [--threads N] [--rounds N] [--seed X]

MODULE is guarded or guarded_alone, on sys.path. Each thread makes interpreters, imports the module
in some of those that live (whose init fails at random, one time in three), uses it, leaks it at
random, gets and puts resources, enters and leaves other globals, and ends interpreters that any
thread has made, in random order. tests/ext/library.h ends the process at the first overlap, double
init or use after exit. At the end everything must have been given back.
"""

import argparse
import os
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from worlds import World, threads  # noqa: E402

os.environ["GUARDED_FAILURES"] = "33"

# What an interpreter does when it is visited. Names of earlier visits are still there.
VISIT = """
import random
rng = random.Random({seed})
try:
    import {module} as m
except OSError:
    m = None
if m:
    m.use()
    handles = [m.Handle() for _ in range(rng.randrange(5))]
    if rng.random() < 0.3:
        kept = handles, m.Handle  # to its end
    if rng.random() < 0.2:
        m.leak()
    for _ in range(rng.randrange(4)):
        key = rng.choice("abc")
        m.get(key, int)
        if rng.random() < 0.7:
            assert m.put(key) == 0
    i = rng.randrange(2)
    m.enter(i, int)
    if rng.random() < 0.5:
        assert m.leave(i) == 0
    if rng.random() < 0.2:
        import sys, gc  # the module goes before its interpreter does
        del sys.modules[{module!r}], handles
        m = kept = None
        gc.collect()
"""


class Pool:
    """Interpreters that nobody visits right now. Taking one out makes it the taker's alone."""

    def __init__(self, most):
        self._most, self._lock, self._worlds = most, threading.Lock(), []

    def take(self, rng):
        """One of them, or None if it is time for a new one."""
        with self._lock:
            if len(self._worlds) < rng.randint(1, self._most):
                return None
            return self._worlds.pop(rng.randrange(len(self._worlds)))

    def put(self, world):
        with self._lock:
            self._worlds.append(world)

    def end_all(self):
        for world in self._worlds:
            world.end()


def visitor(module, pool, rounds, rng):
    for _ in range(rounds):
        world = pool.take(rng) or World()
        world.must(VISIT.format(module=module, seed=rng.random()))
        if rng.random() < 0.5:
            world.end()
        else:
            pool.put(world)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=100, help="visits a thread")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1000000)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    pool = Pool(max(1, options.threads // 2))
    threads(*[lambda i=i: visitor(options.module, pool, options.rounds,
                                  random.Random(options.seed * 1000 + i))
              for i in range(options.threads)])
    pool.end_all()

    os.environ["GUARDED_FAILURES"] = "0"
    m = __import__(options.module)  # this interpreter's is the only use now
    counts = m.counts()
    made, destroyed = m.resource_counts()
    print(counts, made, destroyed)
    assert counts["live"] == 1 and counts["inits"] == counts["exits"] + 1, counts
    assert counts["inits"] > 1 and made == destroyed > 0
    for i in range(2):
        assert m.leave(i) == -1, "somebody is left in a global"
    print("ok")


if __name__ == "__main__":
    main()
