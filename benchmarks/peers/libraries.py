"""The ways of bench_peers.py that are libraries from PyPI: bocpy and extrainterpreters.

`make bench-peers` gets them; what it does not get is left out. memhive's release does not compile on 3.14.
"""

import queue
import threading

import ways
import peer_workloads


class Bocpy(ways.Way):
    """Behaviours: each item in a cown of its own, state in a cown that all of them want, a big dict in one for each worker."""

    def __init__(self, workers, smoke):
        super().__init__(workers, smoke)
        try:
            import bocpy
            import bocpy_jobs
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.bocpy, self.jobs = bocpy, bocpy_jobs
        bocpy.start(worker_count=workers, module=(bocpy_jobs.__name__, bocpy_jobs.__file__))

    def __exit__(self, *_):
        self.bocpy.wait()

    def _answer(self):
        return self.bocpy.receive("done")[1]

    def map(self, function, items):
        return ways.in_order(self._results(function, items))

    def _results(self, function, items):
        """Some items are under way at once, not all."""
        under_way = 0
        for index, item in enumerate(items):
            answer = self._answer() if under_way == 4 * self.workers else None
            self.jobs.schedule(function, item, index)
            if answer is None:
                under_way += 1
            else:
                yield answer
        for _ in range(under_way):
            yield self._answer()

    def with_config(self, function, starts):
        starts = list(starts)
        configs = [self.bocpy.Cown(peer_workloads.make_config()) for _ in range(self.workers)]
        for index, start in enumerate(starts):
            self.jobs.schedule_with_config(configs[index % self.workers], function, start, index)
        return [self._answer()[1] for _ in starts]

    def count(self, n):
        counter = self.bocpy.Cown(0)
        for _ in range(n):
            self.jobs.schedule_increment(counter)
        return self._value(counter)

    def cached(self, function, n):
        cache, total = self.bocpy.Cown({}), self.bocpy.Cown(0)
        for i in range(n):
            self.jobs.schedule_use(cache, total, function, i % max(1, n // 100))
        return self._value(total)

    def _value(self, held):
        self.jobs.schedule_answer(held)
        return self._answer()[1]


class ExtraInterpreters(ways.Way):
    """The library has no pool, so a thread stands beside each of its interpreters. It pickles into 10 MB of memory."""

    def __init__(self, workers, smoke):
        super().__init__(workers, smoke)
        try:
            import extrainterpreters
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.interpreters = [extrainterpreters.Interpreter().start() for _ in range(workers)]
        self.jobs, self.answers = queue.SimpleQueue(), queue.SimpleQueue()
        self.threads = [threading.Thread(target=self._work, args=(interpreter,)) for interpreter in self.interpreters]
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_):
        ways.end(self.jobs, self.threads, self.interpreters)

    def _work(self, interpreter):
        while (job := self.jobs.get()) is not None:
            index, function, item = job
            try:
                self.answers.put((index, interpreter.run(function, item), None))
            except Exception as error:
                self.answers.put((index, None, error))

    def map(self, function, items):
        return ways.in_order(self._results(function, items))

    def _results(self, function, items):
        n = 0
        for item in items:
            self.jobs.put((n, function, item))
            n += 1
        for _ in range(n):
            index, answer, error = self.answers.get()
            if error is not None:
                raise error
            yield index, answer


WAYS = {"bocpy": Bocpy, "extrainterpreters": ExtraInterpreters}
