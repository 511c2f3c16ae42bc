"""As many interpreters as asked for, doing jobs from one tunnel and answering into another.

How long a result is under way is measured where that happens: around send() in the worker (with
pickle.dumps before it, if the results are to travel as pickles) and around recv() here (and
pickle.loads). A worker announces each result after sending it, so recv() never waits.
"""

import pickle
from time import perf_counter

from objtunnel import Interpreter, Tunnel, TunnelClosed


class Pool:
    """Pool(workers): so many interpreters with a GIL each; a context manager."""

    def __init__(self, workers):
        self._interpreters = []
        try:
            for i in range(workers):
                self._interpreters.append(Interpreter(f"demo-{i}"))
        except BaseException:
            self.close()
            raise

    def map(self, step, jobs, pickled=False):
        """step(*job) of each job in the workers; return a Run.

        step: a function of an importable module. Whoever is free takes the next job. Raises what
        a step raises.
        """
        run = Run(len(jobs))
        began = perf_counter()
        queue, results, notes = Tunnel(), Tunnel(), Tunnel()
        for numbered in enumerate(jobs):
            queue.send(numbered)
        queue.close()
        futures = [interpreter.submit(_serve, step, queue, results, notes, pickled)
                   for interpreter in self._interpreters]
        try:
            for _ in jobs:
                run.receive(results, notes, pickled)
        except TunnelClosed:
            raise _first_failure(futures) from None
        except BaseException:
            queue.close(immediate=True)  # Ctrl-C: no worker is to begin another job
            raise
        run.elapsed = perf_counter() - began
        for future in futures:
            future.result()
        return run

    def call_each(self, step, job):
        """step(*job) in every worker, results dropped: imports are done, code is specialised."""
        for interpreter in self._interpreters:
            interpreter.call(step, *job)

    def close(self):
        for interpreter in self._interpreters:
            interpreter.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Run:
    """The results of one map() in the order of the jobs, and what moving them has cost.

    elapsed: seconds from the first job's sending to the last result's arrival. underway: seconds
    spent in send and recv (dumps and loads), summed over all threads and results.
    moved, copied: numbers of objects, as send() said.
    """

    def __init__(self, count):
        self.results = [None] * count
        self.elapsed = self.underway = 0.0
        self.moved = self.copied = 0

    def receive(self, results, notes, pickled):
        sending, moved, copied = notes.recv()
        began = perf_counter()
        number, value = results.recv()
        if pickled:
            value = pickle.loads(value)
        self.underway += sending + perf_counter() - began
        self.results[number] = value
        self.moved += moved
        self.copied += copied


def _serve(step, queue, results, notes, pickled):
    """In a worker. A result has no name here but its place in the box, so that it can move."""
    try:
        for number, job in queue:
            box = [number, step(*job)]
            began = perf_counter()
            if pickled:
                box[1] = pickle.dumps(box[1], 5)
            receipt = results.send(box)
            notes.send((perf_counter() - began, receipt.moved, receipt.copied))
    except BaseException:
        queue.close(immediate=True)
        notes.close()  # the receiver would wait for ever
        raise


def _first_failure(futures):
    """The exception of the worker that failed first; the others found the tunnel closed."""
    errors = [future.exception() for future in futures]
    return next((e for e in errors if e is not None and not isinstance(e, TunnelClosed)),
                next(e for e in errors if e is not None))
