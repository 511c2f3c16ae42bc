"""Workers that begin at the same moment: in interpreters of their own, or in threads of this one.

Main invariant: a worker's functions and state live in this module, once in each interpreter; what
is timed begins when all of those who take part have arrived.
Threading: one call at a time.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns

from objtunnel import Interpreter, SharedArray

from measure import pin, unpinned

_state = {}  # {worker's number: what its prepare() returned}


class Crew:
    """Crew(threads, cpus, all_cpus): two workers, each on its CPU (None: anywhere)."""

    def __init__(self, in_threads, cpus, all_cpus):
        self._numbers = SharedArray("q", 1)  # how many have arrived
        self._arrived = 0
        with unpinned(all_cpus):
            if in_threads:
                self._workers = [ThreadPoolExecutor(1) for _ in cpus]
            else:
                self._workers = [Interpreter(f"worker {n}") for n in range(len(cpus))]
            for job in [worker.submit(pin, cpu) for worker, cpu in zip(self._workers, cpus)]:
                job.result()

    def prepare(self, function, *args):
        """Each worker calls function(its number, *args) and keeps the result for run()."""
        for job in [worker.submit(_prepare, who, function, *args)
                    for who, worker in enumerate(self._workers)]:
            job.result()

    def run(self, count, function, *args):
        """The first `count` workers call function(what they keep, *args) at once; (seconds from the
        first's beginning to the last's end, [results])."""
        self._arrived += count
        jobs = [worker.submit(_run, who, self._numbers, self._arrived, function, *args)
                for who, worker in enumerate(self._workers[:count])]
        done = [job.result() for job in jobs]
        began, ended, results = zip(*done)
        return (max(ended) - min(began)) / 1e9, list(results)

    def close(self):
        for who, worker in enumerate(self._workers):
            worker.submit(_prepare, who, _nothing).result()
            worker.shutdown() if isinstance(worker, ThreadPoolExecutor) else worker.close()


def _nothing(_who):
    return None


def _prepare(who, function, *args):
    _state[who] = None  # what was there goes first: it may be large
    _state[who] = function(who, *args)


def _run(who, numbers, expected, function, *args):
    numbers.add(0, 1)
    while numbers[0] < expected:
        time.sleep(0)  # they may be threads of one interpreter
    began = perf_counter_ns()
    result = function(_state[who], *args)
    return began, perf_counter_ns(), result
