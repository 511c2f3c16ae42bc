"""Records short random histories of containers that several interpreters use at the same time.

    python tests/python/histories.py --subject guarded --processes 3 --rounds 10000 --seed 1

A round is one history: the interpreters meet, then each does a few random operations as fast as it
can. Main invariant: what a round's operations concern, no other round touches.

The clock is a number that each look at it increments, atomically. Not the monotonic clock: a store may
still wait in its core's store buffer, unseen by the others, while the clock is read after it; a
read-modify-write instruction waits for that buffer.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

from linearizability import KEYED, Operation, SequentialDict, check_by_key, perform
from objtunnel import Interpreter, Lock, SharedArray

CLOCK, ARRIVED, FAILED = 0, 16, 32  # elements, each in a pair of cache lines of its own


# ---- random operations: (name, arguments) --------------------------------------------------------

def _one_key(rng, key):
    """An operation on one key. Values are few, so that exchanges find what they expect."""
    name = rng.choice(tuple(KEYED))
    value = rng.randrange(4)
    return name, {
        "setitem": (key, value), "setdefault": (key, value), "swap": (key, value),
        "add": (key, 1), "compare_exchange": (key, value, rng.randrange(4)),
        "get": (key, value), "pop": (key, value) if value > 1 else (key,),
    }.get(name, (key,))


def _guarded_plan(rng, number, length):
    return [_one_key(rng, 2 * number + rng.randrange(2)) for _ in range(length)]


# ---- what is recorded ----------------------------------------------------------------------------

class GuardedDict:
    """A dict from small ints to small ints, made of shared numbers, behind a Lock: what the recorder
    itself is tested with. between: a function to be called between reading and writing."""

    ABSENT = -1

    def __init__(self, size, lock=None):
        self.lock = lock
        self.numbers = SharedArray("q", source=[self.ABSENT] * size)

    def do(self, name, key, *args, between=None):
        with self.lock or nullcontext():
            return self._do(name, key, args, between)

    def _do(self, name, key, args, between):
        found = self.numbers[key]
        one = SequentialDict({} if found == self.ABSENT else {key: found})
        if between is not None:
            between()
        try:
            return KEYED[name](one, key, *args)
        finally:
            self.numbers[key] = one.get(key, self.ABSENT)


def _guarded_operation(name):
    return lambda d, *args: d.do(name, *args)


def _forget(d, key, value):
    d.do("swap", key, value)


def _fail(_d, key, _n):
    raise TypeError(f"no add of {key}")


GUARDED = {name: _guarded_operation(name) for name in KEYED}
FORGETFUL = {**GUARDED, "swap": _forget}
FAILING = {**GUARDED, "add": _fail}


class Subject(NamedTuple):
    make: Callable  # (rounds): the containers, of which round r uses that number r modulo their count
    operations: dict  # {name: function}
    plan: Callable  # (rng, number of the round, length): [(name, arguments)]
    check: Callable  # (history): raises NotLinearizable


def make_guarded(rounds):
    return [GuardedDict(2 * rounds, Lock())]


SUBJECTS = {
    "guarded": Subject(make_guarded, GUARDED, _guarded_plan, check_by_key),
    "forgetful": Subject(make_guarded, FORGETFUL, _guarded_plan, check_by_key),
    "failing": Subject(make_guarded, FAILING, _guarded_plan, check_by_key),
}


# ---- recording -----------------------------------------------------------------------------------

def record(processes, process, subject_name, containers, numbers, rounds, length, seed):
    """In each interpreter: [[(name, args, outcome, invoked, returned)] of each round]."""
    subject = SUBJECTS[subject_name]
    recorded = []
    try:
        for number in range(rounds):
            plan = subject.plan(random.Random(f"{seed} {number} {process}"), number, length)
            container = containers[number % len(containers)]
            if not _meet(numbers, (number + 1) * processes):
                break
            recorded.append([timed(numbers, subject.operations, container, name, args)
                             for name, args in plan])
    except BaseException:
        numbers[FAILED] = 1  # nobody is to wait for us
        raise
    return recorded


def _meet(numbers, expected):
    """Wait until so many have arrived; False if one of them never will."""
    numbers.add(ARRIVED, 1)
    looks = 0
    while numbers[ARRIVED] < expected:
        if numbers[FAILED]:
            return False
        looks += 1
        if looks % 200 == 0:
            time.sleep(0)  # there may be more interpreters than cores
    return True


def timed(numbers, operations, container, name, args):
    invoked = numbers.fetch_add(CLOCK, 1)
    outcome = perform(operations, container, name, args)
    return name, args, outcome, invoked, numbers.fetch_add(CLOCK, 1)


def record_all(subject_name, processes, rounds, length, seed):
    """Record; a list of histories."""
    containers = SUBJECTS[subject_name].make(rounds)
    numbers = SharedArray("q", 48)
    interpreters = [Interpreter() for _ in range(processes)]
    try:
        jobs = [interpreter.submit(record, processes, n, subject_name, containers, numbers, rounds,
                                   length, seed)
                for n, interpreter in enumerate(interpreters)]
        results = [job.result() for job in jobs]
    finally:
        for interpreter in interpreters:
            interpreter.close()
    return [[Operation(n, *op) for n, result in enumerate(results) for op in result[number]]
            for number in range(rounds)]


def record_and_check(subject_name, processes, rounds, length=8, seed=None):
    """Record and check; the histories. NotLinearizable, with the seed, if one is bad."""
    seed = random.randrange(2**32) if seed is None else seed
    recorded = record_all(subject_name, processes, rounds, length, seed)
    for number, history in enumerate(recorded):
        try:
            SUBJECTS[subject_name].check(history)
        except AssertionError as error:
            error.add_note(f"{subject_name}, {processes} interpreters, round {number}, seed {seed}")
            raise
    return recorded


def overlapping(history):
    """How many of the operations ran at the same time as another."""
    return sum(any(a.invoked < b.returned and b.invoked < a.returned
                   for b in history if b is not a) for a in history)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subject", choices=SUBJECTS, default="guarded")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--length", type=int, default=8, help="operations of each interpreter")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    recorded = record_and_check(options.subject, options.processes, options.rounds,
                                options.length, options.seed)
    operations = sum(map(len, recorded))
    print(f"{len(recorded):,} histories of {operations:,} operations are linearizable; "
          f"{sum(map(overlapping, recorded)) / operations:.0%} of the operations ran beside another")
    return 0


if __name__ == "__main__":
    import histories as by_name  # what is in __main__ goes to the workers by value, and lambdas don't

    sys.exit(by_name.main())
