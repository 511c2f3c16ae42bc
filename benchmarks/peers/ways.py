"""The ways of bench_peers.py to use several cores: each does the workloads as its own manual would have it.

A way that cannot do a workload says so by NotImplementedError: it is left out there, not emulated.
"""

import concurrent.futures
import multiprocessing
import threading
import time
from multiprocessing import shared_memory

import peer_workloads


def _frame(size, i):
    return bytes([i % 256, *b"frame"]) + bytes(size - 6)


class Way:
    """Invariant: open from __enter__ to __exit__, and then all of its workers have done a job."""

    pool = None

    def __init__(self, workers, smoke):
        self.workers = workers
        self.smoke = smoke

    def __enter__(self):
        self.wake(self.map)
        return self

    def wake(self, run):
        """Until each worker has done a job. A pool may start a worker only when a job finds no idle one."""
        seen, deadline = set(), time.monotonic() + 60
        while len(seen) < self.workers:
            seen.update(run(peer_workloads.who, range(4 * self.workers)))
            if time.monotonic() > deadline:
                raise RuntimeError(f"of {self.workers} workers only {len(seen)} work")

    def __exit__(self, *_):
        if self.pool is not None:
            self.pool.shutdown()

    def map(self, function, items):
        return self.pool.map(function, items, chunksize=self.chunk(function))

    def chunk(self, function):
        """Items in one job: a hundred where an item is too small for a job of its own. Pools of threads, and 3.14's of
        interpreters, ignore it."""
        return 100 if function is peer_workloads.increment else 1

    def prepare(self, workload):
        """Before the time is taken: pools that this workload needs, with all of their workers at hand."""

    def frames(self, size, n):
        return self.map(peer_workloads.invert, (_frame(size, i) for i in range(n)))

    def with_config(self, function, starts):
        raise NotImplementedError("nothing to share a dict with")

    def count(self, n):
        raise NotImplementedError("nothing to count on together")

    def cached(self, function, n):
        raise NotImplementedError("nothing to cache in together")


class Serial(Way):
    def __init__(self, workers, smoke):
        super().__init__(1, smoke)

    def map(self, function, items):
        return map(function, items)

    def with_config(self, function, starts):
        config = peer_workloads.make_config()
        return [function(config, start) for start in starts]

    def count(self, n):
        total = 0
        for _ in range(n):
            total += 1
        return total

    def cached(self, function, n):
        known = {}
        return sum(known[k] if (k := i % max(1, n // 100)) in known else known.setdefault(k, function(k)) for i in range(n))


class Threads(Way):
    """Also for a free-threaded build."""

    def __init__(self, workers, smoke):
        super().__init__(workers, smoke)
        self.pool = concurrent.futures.ThreadPoolExecutor(workers)

    def with_config(self, function, starts):
        config = peer_workloads.make_config()
        return list(self.pool.map(lambda start: function(config, start), starts))

    def _shares(self, n):
        return [len(range(i, n, self.workers)) for i in range(self.workers)]

    def count(self, n):
        total, lock = 0, threading.Lock()

        def add(times):
            nonlocal total
            for _ in range(times):
                with lock:
                    total += 1
        list(self.pool.map(add, self._shares(n)))
        return total

    def cached(self, function, n):
        known, lock = {}, threading.Lock()

        def use(first):
            total = 0
            for i in range(first, n, self.workers):
                k = i % max(1, n // 100)
                with lock:
                    if k not in known:
                        known[k] = function(k)
                    total += known[k]
            return total
        return sum(self.pool.map(use, range(self.workers)))


# ---- processes ----------------------------------------------------------------------------------

_config = _counter = _cache = None


def _take(config, counter, cache):
    import ways  # by name: 3.14's pool of interpreters may run a function with other globals than its module's
    ways._config, ways._counter, ways._cache = config, counter, cache


def _with_config(function, start):
    import ways
    return function(ways._config, start)


def _add(times):
    for _ in range(times):
        with _counter.get_lock():
            _counter.value += 1


def _use_cache(function, first, n, step):
    total = 0
    for i in range(first, n, step):
        k = i % max(1, n // 100)
        value = _cache.get(k)
        if value is None:
            _cache[k] = value = function(k)
        total += value
    return total


def _invert_in_place(name, size):
    block = shared_memory.SharedMemory(name)
    block.buf[:size] = peer_workloads.invert(block.buf[:size])
    block.close()
    return name


class Processes(Way):
    """Pickles through pipes; frames by multiprocessing.shared_memory."""

    def __init__(self, workers, smoke):
        super().__init__(workers, smoke)
        self.pool = self._make()
        self.sharing = self.counter = self.cache = self.manager = None

    def prepare(self, workload):
        spawn = multiprocessing.get_context("spawn")
        if workload == "counter":
            self.counter = spawn.Value("q", 0)
        elif workload == "cache":
            self.manager = spawn.Manager()
            self.cache = self.manager.dict()
        else:
            return
        self.sharing = self._make(counter=self.counter, cache=self.cache)
        self.wake(self.sharing.map)

    def __exit__(self, *error):
        super().__exit__(*error)
        if self.sharing is not None:
            self.sharing.shutdown()
        if self.manager is not None:
            self.manager.shutdown()

    def _make(self, config=None, counter=None, cache=None):
        return concurrent.futures.ProcessPoolExecutor(
            self.workers, mp_context=multiprocessing.get_context("spawn"), initializer=_take, initargs=(config, counter, cache))

    def frames(self, size, n):
        for first in range(0, n, 4 * self.workers):  # so many blocks at once
            blocks = []
            for i in range(first, min(n, first + 4 * self.workers)):
                blocks.append(shared_memory.SharedMemory(create=True, size=size))
                blocks[-1].buf[:size] = _frame(size, i)
            list(self.pool.map(_invert_in_place, [block.name for block in blocks], [size] * len(blocks)))
            for block in blocks:
                yield bytes(block.buf[:size])
                block.close()
                block.unlink()

    def with_config(self, function, starts):
        with self._make(config=peer_workloads.make_config()) as pool:  # each process gets a copy, once
            return list(pool.map(_with_config, [function] * len(starts), starts))

    def count(self, n):
        list(self.sharing.map(_add, [len(range(i, n, self.workers)) for i in range(self.workers)]))
        return self.counter.value

    def cached(self, function, n):
        return sum(self.sharing.map(_use_cache, [function] * self.workers, range(self.workers), [n] * self.workers,
                                    [self.workers] * self.workers))


# ---- interpreters -------------------------------------------------------------------------------

class Interpreters(Way):
    """3.14's own pool: pickles."""

    def __init__(self, workers, smoke):
        super().__init__(workers, smoke)
        if not hasattr(concurrent.futures, "InterpreterPoolExecutor"):
            raise NotImplementedError("this Python has no InterpreterPoolExecutor")
        self.pool = concurrent.futures.InterpreterPoolExecutor(workers)

    def with_config(self, function, starts):
        config = peer_workloads.make_config()  # once for each interpreter
        with concurrent.futures.InterpreterPoolExecutor(self.workers, initializer=_take, initargs=(config, None, None)) as pool:
            return list(pool.map(_with_config, [function] * len(starts), starts))


def _who(item):
    return peer_workloads.who(item)


def _add_to(counter, times):
    for _ in range(times):
        counter.add("n")


def _use_locking_dict(cache, function, first, n, step):
    total = 0
    for i in range(first, n, step):
        k = i % max(1, n // 100)
        total += cache.setdefault_with(k, lambda: function(k))
    return total


class Objtunnel(Way):
    def __init__(self, workers, smoke):
        super().__init__(workers, smoke)
        import objtunnel
        self.objtunnel = objtunnel
        self.pool = objtunnel.InterpreterPoolExecutor(workers)

    def prepare(self, workload):
        """The workers import this module, as those of Processes have, when the first job from it comes."""
        self.wake(lambda _, items: self.pool.map(_who, items))

    def with_config(self, function, starts):
        config = self.objtunnel.freeze(peer_workloads.make_config())
        return list(self.pool.map(function, [config] * len(starts), starts))

    def count(self, n):
        counter = self.objtunnel.LockingDict()
        list(self.pool.map(_add_to, [counter] * self.workers,
                           [len(range(i, n, self.workers)) for i in range(self.workers)]))
        return counter["n"]

    def cached(self, function, n):
        cache = self.objtunnel.LockingDict()
        return sum(self.pool.map(_use_locking_dict, [cache] * self.workers, [function] * self.workers,
                                 range(self.workers), [n] * self.workers, [self.workers] * self.workers))


# ---- two queues: jobs for all workers, and results -----------------------------------------------

def in_order(numbered):
    """Results by their numbers, 0, 1, ..., each when it and those before it are there."""
    early, wanted = {}, 0
    for number, result in numbered:
        early[number] = result
        del result  # whoever gets it has the only reference
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1


def end(jobs, threads, interpreters):
    """For threads that each end at a None in the queue of jobs."""
    for _ in threads:
        jobs.put(None)
    for thread in threads:
        thread.join()
    for interpreter in interpreters:
        interpreter.close()


class Queued(Way):

    def map(self, function, items):
        return in_order(self._results(function, items))

    def _results(self, function, items):
        """Only so many items are given out at once."""
        most = 1000 if function is peer_workloads.increment else 2 * self.workers
        waiting, given = 0, 0
        for item in items:
            job = [function.__name__, given, item]
            del item  # or the tunnel would have to copy it
            self.give(job)
            given += 1
            waiting += 1
            if waiting == most:
                yield self.take()
                waiting -= 1
        for _ in range(waiting):
            yield self.take()


def _serve_tunnel(jobs, results):
    for name, number, item in jobs:
        results.send([number, getattr(peer_workloads, name)(item)])


class Tunnels(Queued):
    def __init__(self, workers, smoke):
        super().__init__(workers, smoke)
        import objtunnel
        self.jobs, self.results = objtunnel.Tunnel(), objtunnel.Tunnel()
        self.interpreters = [objtunnel.Interpreter() for _ in range(workers)]
        for interpreter in self.interpreters:
            interpreter.submit(_serve_tunnel, self.jobs, self.results)

    def __exit__(self, *_):
        self.jobs.close()
        for interpreter in self.interpreters:
            interpreter.close()

    def give(self, job):
        self.jobs.send(job)

    def take(self):
        return self.results.recv()


def _serve_queue(jobs, results):
    while (job := jobs.get()) is not None:
        name, number, item = job
        results.put((number, getattr(peer_workloads, name)(item)))


class Queues(Queued):
    """3.14's own interpreters and queues."""

    def __init__(self, workers, smoke):
        super().__init__(workers, smoke)
        try:
            from concurrent import interpreters
        except ImportError:
            raise NotImplementedError("this Python has no concurrent.interpreters") from None
        self.jobs, self.results = interpreters.create_queue(), interpreters.create_queue()
        self.interpreters = [interpreters.create() for _ in range(workers)]
        self.threads = [interpreter.call_in_thread(_serve_queue, self.jobs, self.results) for interpreter in self.interpreters]

    def __exit__(self, *_):
        end(self.jobs, self.threads, self.interpreters)

    def give(self, job):
        self.jobs.put(job)

    def take(self):
        return self.results.get()


WAYS = {"serial": Serial, "objtunnel": Objtunnel, "tunnels": Tunnels, "interpreters": Interpreters, "queues": Queues,
        "processes": Processes, "threads": Threads}
