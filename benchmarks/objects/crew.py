"""Workers that begin at the same moment: in interpreters of their own, or in threads of this one.

Main invariant: a worker's functions and state live in this module, once in each interpreter, where
threads of several crews may be: a worker is known by its crew's number and its own. What is timed
begins when all of those who take part have arrived.
Threading: one call at a time.
"""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns

from objtunnel import Interpreter, SharedArray

from measure import pin, unpinned

HERE, THERE = "threads of one interpreter", "interpreters"  # where the workers are, in results

_state = {}  # {(crew, worker): what its prepare() returned}
_crews = itertools.count()


class Crew:
    """Crew(threads, cpus, all_cpus): two workers, each on its CPU (None: anywhere)."""

    def __init__(self, in_threads, cpus, all_cpus):
        self._numbers = SharedArray("q", 2)  # how many have arrived, and how many are done
        self._arrived = self._done = 0
        self._number = next(_crews)
        with unpinned(all_cpus):
            if in_threads:
                self._workers = [ThreadPoolExecutor(1) for _ in cpus]
            else:
                self._workers = [Interpreter(f"worker {n}") for n in range(len(cpus))]
            for job in [worker.submit(pin, cpu) for worker, cpu in zip(self._workers, cpus)]:
                job.result()

    def prepare(self, function, *args):
        """Each worker calls function(its number, *args) and keeps the result for run()."""
        for job in [worker.submit(_prepare, self._number, who, function, *args)
                    for who, worker in enumerate(self._workers)]:
            job.result()

    def run(self, count, function, *args):
        """The first `count` workers call function(what they keep, *args) at once; (seconds from the
        first's beginning to the last's end, [results])."""
        self._arrived += count
        jobs = [worker.submit(_run, (self._number, who), self._numbers, self._arrived, function, *args)
                for who, worker in enumerate(self._workers[:count])]
        done = [job.result() for job in jobs]
        began, ended, results = zip(*done)
        return (max(ended) - min(began)) / 1e9, list(results)

    def time_each(self, who, function, rounds):
        """The workers in `who` call function(what they keep, rounds[their number]) at once: seconds
        that each took. Who is done goes on until all are, so that nobody is timed alone."""
        self._arrived += len(who)
        self._done += len(who)
        jobs = [self._workers[n].submit(_run_and_go_on, (self._number, n), self._numbers,
                                        self._arrived, self._done, function, rounds[n])
                for n in who]
        return [job.result() / 1e9 for job in jobs]

    def close(self):
        for who, worker in enumerate(self._workers):
            worker.submit(_prepare, self._number, who, _nothing).result()
            worker.shutdown() if isinstance(worker, ThreadPoolExecutor) else worker.close()


def _nothing(_who):
    return None


def _prepare(crew, who, function, *args):
    _state[crew, who] = None  # what was there goes first: it may be large
    _state[crew, who] = function(who, *args)


def _arrive(numbers, expected):
    numbers.add(0, 1)
    while numbers[0] < expected:
        time.sleep(0)  # they may be threads of one interpreter


def _run_and_go_on(who, numbers, arrived, done, function, rounds):
    _arrive(numbers, arrived)
    began = perf_counter_ns()
    function(_state[who], rounds)
    took = perf_counter_ns() - began
    numbers.add(1, 1)
    while numbers[1] < done:
        function(_state[who], max(1, rounds // 64))
    return took


def _run(who, numbers, expected, function, *args):
    _arrive(numbers, expected)
    began = perf_counter_ns()
    result = function(_state[who], *args)
    return began, perf_counter_ns(), result
