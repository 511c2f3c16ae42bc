"""InterpreterPoolExecutor beside the standard library's pools, in one run. See benchmarks/README.md.

    make bench-pool BENCH_ARGS="--filter tiny --json out.json"
"""

import concurrent.futures
import gc
import multiprocessing
import sys
import time
from statistics import median

from objtunnel import InterpreterPoolExecutor
from objtunnel.demo.table import format_table, format_time

import command
import pool_jobs
import pool_targets

TINY = {"tiny_submit": 10_000, "tiny_map": 10_000, "tiny_wait": 1_000}  # jobs of ours a repetition
SLOW = 10  # pools of processes and the standard library's interpreters do so many times fewer
PARALLEL = {"json": 64, "nbody": 8}  # jobs a repetition
STEPS = 3000  # of one n-body job
NAMES = [*TINY, *PARALLEL]


def main():
    return command.main(command.parser_for(__doc__), NAMES, Run)


def make_pools(workers):
    """{way: a pool}; each is warm: all of its workers have done a job."""
    pools = {"objtunnel": InterpreterPoolExecutor(workers)}
    if hasattr(concurrent.futures, "InterpreterPoolExecutor"):
        pools["interpreters"] = concurrent.futures.InterpreterPoolExecutor(workers)
    pools["processes"] = concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"))
    pools["threads"] = concurrent.futures.ThreadPoolExecutor(workers)
    for pool in pools.values():
        list(pool.map(pool_jobs.simulate, [200] * 4 * workers))
        list(pool.map(pool_jobs.parse, range(4 * workers)))
    return pools


class Run(command.Run):
    def run(self, names):
        record = {**self.begin(), "json": pool_jobs.json_trees.SOURCE, "tiny": {}, "parallel": {}}
        pools = make_pools(self.workers)
        try:
            for name in names:
                if name in TINY:
                    record["tiny"][name] = self.run_tiny(name, pools)
                else:
                    record["parallel"][name] = self.run_parallel(name, pools)
        finally:
            for pool in pools.values():
                pool.shutdown()
        record["control"] = self.control.samples
        print_record(record)
        return record

    def alternate(self, ways):
        """The garbage is collected before each."""
        for way in command.alternate(ways, self.repeat):
            gc.collect()
            yield way

    def run_tiny(self, name, pools):
        """Seconds a job: {way: one of each repetition}."""
        times = {way: [] for way in pools}
        for way in self.alternate(pools):
            jobs = TINY[name] // (1 if way in ("objtunnel", "threads") else SLOW)
            jobs = max(2, jobs // (100 if self.smoke else 1))
            times[way].append(TINY_WAYS[name](pools[way], jobs) / jobs)
        return times

    def run_parallel(self, name, pools):
        """{way: seconds of each repetition}, "alone" without a pool; and the control beside it."""
        jobs = PARALLEL[name] // (8 if self.smoke else 1)
        function, arguments = {
            "json": (pool_jobs.parse, range(jobs)),
            "nbody": (pool_jobs.simulate, [100 if self.smoke else STEPS] * jobs)}[name]
        times = {way: [] for way in ("alone", *pools)}
        controls = []
        for way in self.alternate(times):
            if way == "alone":
                controls.append(self.control.sample())
                times[way].append(measure(map, function, arguments))
            else:
                times[way].append(measure(pools[way].map, function, arguments))
        return {"jobs": jobs, "times": times, "control": controls}


def measure(map_, function, arguments):
    begin = time.perf_counter()
    for result in map_(function, arguments):
        len(result)
        del result  # the caller has had it
    return time.perf_counter() - begin


def submit_all(pool, jobs):
    begin = time.perf_counter()
    futures = [pool.submit(pool_jobs.increment, n) for n in range(jobs)]
    total = sum(future.result() for future in futures)
    seconds = time.perf_counter() - begin
    assert total == jobs * (jobs + 1) // 2
    return seconds


def map_all(pool, jobs):
    begin = time.perf_counter()
    total = sum(pool.map(pool_jobs.increment, range(jobs)))
    seconds = time.perf_counter() - begin
    assert total == jobs * (jobs + 1) // 2
    return seconds


def one_by_one(pool, jobs):
    begin = time.perf_counter()
    for n in range(jobs):
        pool.submit(pool_jobs.increment, n).result()
    return time.perf_counter() - begin


TINY_WAYS = {"tiny_submit": submit_all, "tiny_map": map_all, "tiny_wait": one_by_one}


def print_record(record):
    rows = [[name, *(format_time(median(times[way])) if way in times else "-"
                     for way in pool_targets.WAYS)] for name, times in record["tiny"].items()]
    if rows:
        print("\n" + format_table(["a tiny job", *pool_targets.WAYS], rows))
    rows = [[f"{name} ({case['jobs']} jobs)", *pool_targets.speedups(case)]
            for name, case in record["parallel"].items()]
    if rows:
        print("\n" + format_table(
            ["times one interpreter's work", *pool_targets.WAYS, "control"], rows))
    if not record["smoke"]:
        print()
        for line in pool_targets.verdicts(record):
            print(line)


if __name__ == "__main__":
    sys.exit(main())
