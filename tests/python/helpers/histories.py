"""Records short random histories of containers that several interpreters use at the same time, or
threads of a free-threaded build.

    python tests/python/helpers/histories.py --subject guarded --processes 3 --rounds 10000 --seed 1

A round is one history: the workers meet, then each does a few random operations as fast as it
can. Main invariant: what a round's operations concern, no other round touches.

The clock is a number that each look at it increments, atomically. Not the monotonic clock: a store may
still wait in its core's store buffer, unseen by the others, while the clock is read after it; a
read-modify-write instruction waits for that buffer.
"""

import argparse
import os
import random
import sys
import time

from history_subjects import SUBJECTS
from linearizability import Operation, perform
from objtunnel import SharedArray
from workers import Worker

CLOCK, ARRIVED, FAILED = 0, 16, 32  # elements, each in a pair of cache lines of its own


# ---- recording -----------------------------------------------------------------------------------

def record(processes, process, subject_name, containers, numbers, rounds, length, seed):
    """In each worker: [[(name, args, outcome, invoked, returned)] of each round]."""
    subject = SUBJECTS[subject_name]
    recorded = []
    looks = 20_000 if processes <= len(os.sched_getaffinity(0)) else 200
    try:
        for number in range(rounds):
            plan = subject.plan(random.Random(f"{seed} {number} {process}"), number, length)
            container = containers[number % len(containers)]
            if not _meet(numbers, (number + 1) * processes, looks):
                break
            recorded.append([timed(numbers, subject.operations, container, name, args)
                             for name, args in plan])
    except BaseException:
        numbers[FAILED] = 1  # nobody is to wait for us
        raise
    return recorded


def _meet(numbers, expected, looks):
    """Wait until so many have arrived; False if one of them never will. Gives up its core after so
    many looks: who gives it up begins late."""
    numbers.add(ARRIVED, 1)
    n = 0
    while numbers[ARRIVED] < expected:
        if numbers[FAILED]:
            return False
        n += 1
        if n % looks == 0:
            time.sleep(0)
    return True


def timed(numbers, operations, container, name, args):
    invoked = numbers.fetch_add(CLOCK, 1)
    outcome = perform(operations, container, name, args)
    return name, args, outcome, invoked, numbers.fetch_add(CLOCK, 1)


def record_all(subject_name, processes, rounds, length, seed):
    """Record; a list of histories."""
    containers = SUBJECTS[subject_name].make(rounds)
    numbers = SharedArray("q", 48)
    workers = [Worker() for _ in range(processes)]
    try:
        jobs = [worker.submit(record, processes, n, subject_name, containers, numbers, rounds,
                              length, seed)
                for n, worker in enumerate(workers)]
        results = [job.result() for job in jobs]
    finally:
        for worker in workers:
            worker.close()
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
            error.add_note(f"{subject_name}, {processes} workers, round {number}, seed {seed}")
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
    parser.add_argument("--length", type=int, default=8, help="operations of each worker")
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
