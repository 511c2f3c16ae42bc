"""Two machines' worth of interpreters: a scheduler of dask.distributed and two worker processes on loopback, each with a
pool of interpreters in which the tasks run.

    python cluster.py                                     scheduler, two workers and a client
    python cluster.py worker tcp://HOST:PORT              one more worker, on this or another machine
"""

import asyncio
import os
import subprocess
import sys

from distributed import Client, LocalCluster, Worker

from objtunnel import current_gil
from objtunnel.dask import WorkerExecutor


def count_primes(start, stop):
    """A task: plain Python, on a core of its own."""
    count = sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(start, 2), stop))
    return {"count": count, "process": os.getpid(), "interpreter": current_gil().interpreter}


async def work(address, interpreters=2):
    """A worker process: it ends when the scheduler does."""
    with WorkerExecutor(interpreters) as pool:
        async with Worker(address, executor=pool, nthreads=interpreters) as worker:
            await worker.finished()


def main():
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as cluster, Client(cluster) as client:
        command = [sys.executable, os.path.abspath(__file__), "worker", cluster.scheduler_address]
        workers = [subprocess.Popen(command) for _ in range(2)]
        try:
            client.wait_for_workers(2)
            parts = client.gather(client.map(count_primes, range(0, 40_000, 1000), range(1000, 41_000, 1000)))
            print("primes below 40,000:", sum(part["count"] for part in parts))
            places = {(part["process"], part["interpreter"]) for part in parts}
            print("processes:", len({process for process, _ in places}))
            print("tasks in a main interpreter:", sum(part["interpreter"] == 0 for part in parts))
            client.shutdown()  # the workers end with the scheduler
        finally:
            for worker in workers:
                try:
                    worker.wait(60)
                except subprocess.TimeoutExpired:
                    worker.kill()


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        asyncio.run(work(sys.argv[2]))
    else:
        main()
