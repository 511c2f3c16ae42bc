"""InterpreterPoolExecutor: what is promised beyond and beside concurrent.futures' own tests
(test_pool_suites.py)."""

import asyncio
import concurrent.futures
import gc
import os
import sys
import threading
import time
import weakref

import pool_jobs as jobs
import pytest

import objtunnel
from objtunnel import (
    BrokenInterpreterPool,
    Event,
    Interpreter,
    InterpreterPoolExecutor,
    SharedArray,
    SharedReferenceError,
    Tunnel,
)


@pytest.fixture
def pool():
    with InterpreterPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def busy():
    """A pool of one worker, which has begun a job that ends when the event is set."""
    started, event = Event(), Event()
    with InterpreterPoolExecutor(1) as executor:
        future = executor.submit(jobs.wait_for, started, event)
        try:
            started.wait()
            yield executor, future, event
        finally:
            event.set()


# ---- calls -------------------------------------------------------------------------------------

def test_calls_run_in_other_interpreters(pool):
    ids = {f.result() for f in [pool.submit(jobs.interpreter_id) for _ in range(20)]}
    assert ids and jobs.interpreter_id() not in ids
    assert pool.submit(jobs.capture, 1, "a", None, 2.5, b"x", 1j, key=[3]).result() == (
        (1, "a", None, 2.5, b"x", 1j), {"key": [3]})
    assert pool.submit(jobs.capture, 1, (2, [3])).result() == ((1, (2, [3])), {})


@pytest.mark.parametrize("value", [None, True, 0, 300, 2**70, 2.5, float("inf"), 1j, "", "é" * 1000, b"x",
                                   (), (1,), [], [[2.5]], {"a": {1}}, range(3)])
def test_values_come_back(pool, value):
    result = pool.submit(jobs.identity, value).result()
    assert result == value and type(result) is type(value)


def test_lambdas_are_refused_by_the_future_or_run(pool):
    """As in the standard library, submit() itself does not raise."""
    future = pool.submit(jobs.identity, sys._getframe())
    with pytest.raises(TypeError, match="args|frame"):
        future.result()
    with pytest.raises(TypeError):
        pool.submit(3).result()
    assert pool.submit(pow, 2, 3).result() == 8


def test_arguments_are_kept_by_the_caller_and_moved_otherwise(pool):
    tree = [[1.5, {"a": 2}]]
    future = pool.submit(jobs.identity, tree)
    assert future.result() == tree == [[1.5, {"a": 2}]]
    assert future.receipt.arguments.moved == 0 and future.receipt.arguments.copied >= 3
    future = pool.submit(jobs.identity, [float(n) for n in range(10)])
    future.result()
    assert future.receipt == ((11, 0, 0), (11, 0, 0))
    future = pool.submit(jobs.identity, x=[float(n) for n in range(10)])
    future.result()
    assert future.receipt == ((11, 0, 0), (11, 0, 0))


def test_receipt(pool):
    future = pool.submit(jobs.increment, 1)
    future.result()
    assert future.receipt == ((0, 0, 0), (0, 0, 0))
    future = pool.submit(jobs.identity, [int])
    assert future.result() == [int]
    assert future.receipt.arguments.moved == 1
    future = pool.submit(jobs.identity, [os.path.join])  # a function goes by name
    assert future.result() == [os.path.join]
    assert future.receipt == ((1, 0, 1), (1, 0, 1))
    future = pool.submit(jobs.fail)
    assert future.exception() is not None
    assert future.receipt.result is None
    future = pool.submit(jobs.identity, sys._getframe())
    assert future.receipt is None


def test_a_tree_is_used_hard_after_its_makers_are_gone():
    with InterpreterPoolExecutor(2) as pool:
        trees = [pool.submit(jobs.make_tree, 200).result() for _ in range(20)]
        assert pool.submit(jobs.count_rows, trees[0]).result() == (200, 9950.0)
    gc.collect()
    for tree in trees:
        assert type(tree) is jobs.Tree and len(tree.rows) == 200
        tree.rows.append({**tree.rows[0], "more": [tree.rows[-1]["text"] * 2]})
        tree.rows.sort(key=lambda row: -row["half"])
        assert tree.rows[0]["text"] == "text 199"
        tree.rows.clear()
    gc.collect()


def test_strict_refuses_copies():
    with InterpreterPoolExecutor(1, strict=True) as pool:
        tree = [[1.5]]
        with pytest.raises(SharedReferenceError):
            pool.submit(jobs.identity, tree).result()
        assert tree == [[1.5]]
        future = pool.submit(jobs.identity, [[n / 2] for n in range(2)])
        assert future.result() == [[0.0], [0.5]]
        jobs.set_state([1.5])
        pool.submit(jobs.set_state, [[n / 2] for n in range(2)]).result()
        with pytest.raises(SharedReferenceError):
            pool.submit(jobs.get_state).result()
    jobs.set_state()


def test_a_name_is_looked_up_at_each_call(pool, monkeypatch):
    def other(x):
        return x * 100

    other.__module__, other.__qualname__ = "pool_jobs", "increment"
    assert pool.submit(jobs.increment, 1).result() == 2
    old = jobs.increment
    monkeypatch.setattr(jobs, "increment", other)
    assert isinstance(pool.submit(old, 1).exception(), TypeError)  # not found by its name any more
    assert pool.submit(other, 1).result() == 2  # by name, as pickle has it: the worker's own


def test_a_worker_sees_a_name_that_a_job_has_changed():
    with InterpreterPoolExecutor(1) as pool:
        assert pool.submit(jobs.increment, -5).result() == -4
        pool.submit(exec, "import pool_jobs; pool_jobs.increment = abs").result()
        assert pool.submit(jobs.increment, -5).result() == 5


# ---- map ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("chunksize", [1, 2, 3, 100])
@pytest.mark.parametrize("buffersize", [None, 1, 3, 100])
def test_map(pool, chunksize, buffersize):
    results = pool.map(divmod, range(10), [3] * 12, chunksize=chunksize, buffersize=buffersize)
    assert list(results) == [divmod(n, 3) for n in range(10)]


def test_map_moves_its_arguments():
    with InterpreterPoolExecutor(1, strict=True) as pool:
        rows = ([float(n), [n + 0.5]] for n in range(5))
        assert list(pool.map(jobs.identity, rows)) == [[float(n), [n + 0.5]] for n in range(5)]
        rows = ([float(n), [n + 0.5]] for n in range(5))
        assert list(pool.map(jobs.identity, rows, chunksize=2)) == [
            [float(n), [n + 0.5]] for n in range(5)]


def test_map_checks_its_arguments(pool):
    with pytest.raises(ValueError, match="chunksize"):
        pool.map(abs, [1], chunksize=0)
    with pytest.raises(ValueError, match="buffersize"):
        pool.map(abs, [1], buffersize=0)
    with pytest.raises(TypeError, match="buffersize"):
        pool.map(abs, [1], buffersize="1")
    assert list(pool.map(abs)) == []


def test_map_fails_where_an_iterable_or_a_call_does(pool):
    def numbers():
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError):
        pool.map(abs, numbers())
    results = pool.map(divmod, [1, 1], [1, 0])
    assert next(results) == (1, 0)
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_times_out_and_cancels(busy):
    executor, first, event = busy
    results = executor.map(abs, [-1, -2], timeout=0.05)
    with pytest.raises(TimeoutError):
        next(results)
    event.set()
    assert first.result() == "waited"


def test_map_with_a_buffer_reads_no_further(pool):
    numbers = iter(range(10))
    results = pool.map(abs, numbers, buffersize=2)
    assert next(numbers) == 2
    assert next(results) == 0
    assert next(numbers) == 4


# ---- failures ----------------------------------------------------------------------------------

def test_an_exception_arrives_with_its_traceback(pool):
    with pytest.raises(ZeroDivisionError) as caught:
        pool.submit(divmod, 1, 0).result()
    assert "ZeroDivisionError" in str(caught.value.__cause__)
    assert isinstance(pool.submit(jobs.fail).exception(), Exception)
    assert pool.submit(abs, -1).result() == 1


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "raise KeyboardInterrupt", "import sys; sys.exit()"])
def test_an_exit_in_a_job_is_its_outcome(pool, code):
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        pool.submit(exec, code).result(timeout=60)
    assert pool.submit(abs, -1).result(timeout=60) == 1


def test_a_result_that_cannot_travel(pool):
    with pytest.raises(TypeError, match="result"):
        pool.submit(jobs.make_lock, 1).result(timeout=60)
    with pytest.raises(TypeError):
        list(pool.map(jobs.make_lock, range(3), chunksize=2))
    assert pool.submit(abs, -1).result(timeout=60) == 1


def test_an_argument_that_cannot_travel_stays(pool):
    lock = threading.Lock()
    tree = [[1], lock]
    with pytest.raises(TypeError, match=r"args.*\[1\]"):
        pool.submit(jobs.identity, tree).result()
    assert tree == [[1], lock]


def test_an_initializer_runs_first_in_each_worker():
    with InterpreterPoolExecutor(2, initializer=jobs.set_state, initargs=(1, [2])) as pool:
        assert [f.result() for f in [pool.submit(jobs.get_state) for _ in range(10)]] == [[1, [2]]] * 10


def test_a_failing_initializer_breaks_the_pool(caplog):
    pool = InterpreterPoolExecutor(2, initializer=jobs.fail)
    futures = [pool.submit(abs, -1)]
    with pytest.raises(BrokenInterpreterPool, match="initializer"):
        futures[0].result(timeout=60)
    with pytest.raises(concurrent.futures.BrokenExecutor):
        while True:
            pool.submit(abs, -1)
    pool.shutdown()
    assert "SplitError" in caplog.text and "1 and 2" in caplog.text


def test_an_initializer_that_fails_later_leaves_running_jobs_alone(caplog):
    flag, started, event = SharedArray("q", 1), Event(), Event()
    pool = InterpreterPoolExecutor(2, initializer=jobs.fail_first, initargs=(flag,))
    first = pool.submit(jobs.wait_for, started, event)
    started.wait()
    others = [pool.submit(abs, -1) for _ in range(5)]
    for other in others:
        assert isinstance(other.exception(timeout=60), BrokenInterpreterPool)
    assert not first.done()
    event.set()
    assert first.result(timeout=60) == "waited"
    pool.shutdown()


def test_a_worker_that_dies_breaks_the_pool():
    pool = InterpreterPoolExecutor(1)
    future = pool.submit(jobs.die)
    later = [pool.submit(abs, -1) for _ in range(5)]
    for future in [future, *later]:
        with pytest.raises(BrokenInterpreterPool, match="abruptly"):
            future.result(timeout=60)
    with pytest.raises(BrokenInterpreterPool):
        pool.submit(abs, -1)
    pool.shutdown()


def test_a_worker_that_cannot_start_breaks_the_pool(monkeypatch):
    from objtunnel import _executor
    original = _executor.start_worker
    monkeypatch.setattr(_executor, "start_worker",
                        lambda name, path, *rest: original(name, ["/nowhere"], *rest))
    pool = InterpreterPoolExecutor(1)
    future = pool.submit(abs, -1)
    with pytest.raises(BrokenInterpreterPool):
        future.result(timeout=60)
    pool.shutdown()


def test_a_thread_that_cannot_start_leaves_the_pool_usable(monkeypatch):
    from objtunnel import _executor
    original = _executor.start_worker

    def fail(*args):
        raise RuntimeError("cannot start a thread for a new interpreter")

    monkeypatch.setattr(_executor, "start_worker", fail)
    pool = InterpreterPoolExecutor(1)
    with pytest.raises(RuntimeError, match="cannot start"):
        pool.submit(abs, -1)
    monkeypatch.setattr(_executor, "start_worker", original)
    assert pool.submit(abs, -2).result(timeout=60) == 2
    pool.shutdown()


def test_cleared_modules_lose_no_answer():
    pool = InterpreterPoolExecutor(1)
    future = pool.submit(jobs.clear_modules)
    assert concurrent.futures.wait([future], timeout=60).done == {future}
    pool.shutdown()


# ---- cancelling and ending -----------------------------------------------------------------------

def test_cancel(busy):
    executor, first, event = busy
    queued = [executor.submit(jobs.identity, [n]) for n in range(5)]
    assert first.running() and not first.cancel() and not first.cancelled()
    assert not queued[2].running()
    assert queued[2].cancel() and queued[2].cancelled() and queued[2].done() and queued[2].cancel()
    event.set()
    assert first.result() == "waited"
    assert [f.result() for f in queued if f is not queued[2]] == [[0], [1], [3], [4]]
    with pytest.raises(concurrent.futures.CancelledError):
        queued[2].result()
    assert not queued[0].cancel()


def test_cancelled_futures_are_seen_by_wait(busy):
    executor, first, event = busy
    queued = executor.submit(abs, -1)
    threading.Timer(0.05, queued.cancel).start()
    assert concurrent.futures.wait([queued], timeout=60).done == {queued}
    assert next(concurrent.futures.as_completed([queued], timeout=60)) is queued


def test_shutdown_cancels_what_is_queued(busy):
    executor, first, event = busy
    queued = [executor.submit(abs, -1) for _ in range(50)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(f.cancelled() for f in queued)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(abs, -1)
    event.set()
    executor.shutdown()
    assert first.result(timeout=0) == "waited"


def test_shutdown_does_what_is_queued():
    pool = InterpreterPoolExecutor(2)
    futures = [pool.submit(jobs.identity, [n]) for n in range(200)]
    pool.shutdown(wait=False)
    pool.shutdown()
    assert [f.result(timeout=0) for f in futures] == [[n] for n in range(200)]
    pool.shutdown(wait=True, cancel_futures=True)


def test_an_unused_pool_ends():
    pool = InterpreterPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(abs, -1)
    with InterpreterPoolExecutor(1):
        pass
    InterpreterPoolExecutor(1)


def test_a_failed_argument_after_shutdown_deadlocks_nobody():
    with InterpreterPoolExecutor(2) as pool:
        pool.submit(id, 42).result()
        future = pool.submit(id, threading.Lock())
        pool.shutdown(wait=False)
        with pytest.raises(TypeError):
            future.result(timeout=60)


def test_a_pool_that_is_garbage_finishes_its_jobs_and_ends():
    pool = InterpreterPoolExecutor(2)
    futures = [pool.submit(jobs.identity, n) for n in range(100)]
    results = pool.map(jobs.identity, range(100))
    manager, ref = pool._pool.manager, weakref.ref(pool)
    del pool
    gc.collect()
    assert ref() is None
    assert [f.result(timeout=60) for f in futures] == list(range(100)) == list(results)
    manager.join(60)
    assert not manager.is_alive()


def test_an_exception_in_the_block_waits_for_the_jobs():
    with pytest.raises(LookupError):
        with InterpreterPoolExecutor(2) as pool:
            futures = [pool.submit(time.sleep, 0.02) for _ in range(5)]
            raise LookupError
    assert all(f.done() and not f.cancelled() for f in futures)


def test_max_tasks_per_child():
    with InterpreterPoolExecutor(2, max_tasks_per_child=3) as pool:
        futures = [pool.submit(jobs.interpreter_id) for _ in range(30)]
        ids = [f.result(timeout=60) for f in futures]
    assert all(ids.count(i) <= 3 for i in ids)
    assert len(set(ids)) >= 10
    with InterpreterPoolExecutor(1, max_tasks_per_child=1) as pool:
        futures = [pool.submit(jobs.identity, [n]) for n in range(4)]
        pool.shutdown(wait=False)
        assert [f.result(timeout=60) for f in futures] == [[0], [1], [2], [3]]


def test_arguments_of_the_constructor():
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="max_workers must be greater than 0"):
            InterpreterPoolExecutor(max_workers=wrong)
        with pytest.raises(ValueError, match="max_tasks_per_child"):
            InterpreterPoolExecutor(max_tasks_per_child=wrong)
    with pytest.raises(TypeError, match="max_tasks_per_child"):
        InterpreterPoolExecutor(max_tasks_per_child="1")
    with pytest.raises(TypeError, match="initializer"):
        InterpreterPoolExecutor(initializer=3)
    assert InterpreterPoolExecutor()._max_workers == min(32, (os.process_cpu_count() or 1) + 4)
    with InterpreterPoolExecutor(1, "Pool") as pool:
        assert pool.submit(jobs.thread_name).result() == "Pool_0"


@pytest.mark.parametrize("method", ["terminate_workers", "kill_workers"])
def test_terminate_workers(method):
    started = [Event(), Event()]
    pool = InterpreterPoolExecutor(2)
    running = [pool.submit(jobs.spin, started[0]), pool.submit(jobs.block_in_tunnel, started[1])]
    for event in started:
        event.wait()
    queued = [pool.submit(abs, -1) for _ in range(10)]
    getattr(pool, method)()
    assert all(f.cancelled() for f in queued)
    for future in running:
        with pytest.raises(BrokenInterpreterPool):
            future.result(timeout=0)
    with pytest.raises(RuntimeError):
        pool.submit(abs, -1)
    pool.shutdown()  # the jobs were interrupted, so it ends


def test_terminate_interrupts_once_and_kill_until_the_end():
    started, caught = Event(), SharedArray("q", 1)
    pool = InterpreterPoolExecutor(1)
    pool.submit(jobs.catch_interrupts, started, 5, caught)
    started.wait()
    pool.terminate_workers()
    time.sleep(1)
    assert caught[0] == 1  # the job caught it, and goes on
    pool.kill_workers()
    pool.shutdown()
    assert caught[0] == 5


def test_terminate_finds_a_job_that_has_just_begun():
    for _ in range(30):
        pool = InterpreterPoolExecutor(1)
        pool.submit(abs, -1).result()
        future = pool.submit(jobs.spin, Event())
        while not future.running():
            pass
        pool.terminate_workers()
        with pytest.raises(BrokenInterpreterPool):
            future.result(timeout=0)
        pool.shutdown()


def test_a_failed_future_is_in_no_cycle(pool):
    with Interpreter() as worker:
        for submit in (pool.submit, worker.submit):
            future = submit(jobs.fail)
            error = weakref.ref(future.exception())
            gone = weakref.ref(future)
            time.sleep(0.1)  # the thread that settled it lets go
            gc.disable()
            try:
                del future
                assert gone() is None and error() is None
            finally:
                gc.enable()
        with pytest.raises(ValueError) as caught:
            worker.call(jobs.fail)
        error = weakref.ref(caught.value)
        gc.disable()
        try:
            del caught
            assert error() is None
        finally:
            gc.enable()


def test_receipts_count_the_arguments_alone_however_many_functions_there_are(pool):
    futures = [pool.submit(function, 1.5) for function in jobs.many_functions]
    assert {future.result() for future in futures} == {2.5}
    assert len({future.receipt for future in futures}) == 1 and len(futures) == 300


POOL_ENDS = """
    import pool_jobs as jobs
    from objtunnel import InterpreterPoolExecutor, Tunnel, TunnelClosed
    if __name__ == "__main__":
        results, empty = Tunnel(2), Tunnel()
        {pool}
            futures = [pool.submit(jobs.produce, results, 100), pool.submit(jobs.produce, results, 100),
                       pool.submit(jobs.receive, empty), pool.submit(abs, -1)]
            for x in results:
                break
            assert futures[3].result() == 1
        {end}
        for future in futures[:3]:
            assert isinstance(future.exception(0), TunnelClosed), future
        print("ended")
"""


@pytest.mark.parametrize("pool, end", [
    ("with InterpreterPoolExecutor(4) as pool:", ""),
    ("if pool := InterpreterPoolExecutor(4, max_tasks_per_child=1):", "pool.shutdown()"),
    ("if pool := InterpreterPoolExecutor(4):",
     "import threading; t = threading.Thread(target=pool.shutdown); t.start(); pool.shutdown(); t.join()"),
    ("with InterpreterPoolExecutor(4) as other, InterpreterPoolExecutor(4) as pool:", ""),
], ids=["with", "max_tasks", "two threads", "beside another pool"])
def test_a_shutdown_wakes_jobs_that_nobody_else_can(run_script, pool, end):
    helpers = os.path.dirname(jobs.__file__)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(os.path.dirname(objtunnel.__file__)), helpers])}
    source = POOL_ENDS.replace("{pool}", pool).replace("{end}", end)
    assert run_script(source, env=env, timeout=60).stdout == "ended\n"


def test_a_shutdown_waits_for_jobs_that_others_can_wake(pool):
    tunnel = Tunnel(2)
    future = pool.submit(jobs.produce, tunnel, 30)
    received = []

    def receive():
        time.sleep(1)
        received.extend(tunnel)

    thread = threading.Thread(target=receive)
    thread.start()
    pool.shutdown()
    assert future.result(0) == 30
    tunnel.close()
    thread.join()
    assert len(received) == 30


# ---- threads, callbacks, asyncio -------------------------------------------------------------------

def test_many_threads_submit(pool):
    wrong = []

    def submit(start):
        futures = [pool.submit(jobs.increment, n) for n in range(start, start + 500)]
        if [f.result() for f in futures] != list(range(start + 1, start + 501)):
            wrong.append(start)

    threads = [threading.Thread(target=submit, args=(k * 1000,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_threads_wait_while_futures_are_settled(pool):
    """A future that is settled at the moment somebody begins to wait for it loses nobody."""
    for _ in range(30):
        futures = [pool.submit(jobs.increment, n) for n in range(100)]
        threads = [threading.Thread(target=lambda: [f.result(60) for f in futures[k::4]]) for k in range(4)]
        for thread in threads:
            thread.start()
        assert concurrent.futures.wait(futures, timeout=60).not_done == set()
        assert len(list(concurrent.futures.as_completed(futures, timeout=60))) == 100
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()


def test_callbacks(pool, caplog):
    seen = []

    def fail(future):
        raise LookupError("in a callback")

    future = pool.submit(jobs.increment, 1)
    future.add_done_callback(fail)
    future.add_done_callback(lambda f: seen.append(f.result()))
    future.result()
    other = pool.submit(jobs.identity, [1])
    other.add_done_callback(lambda f: seen.append(f.result()))
    assert other.result() == [1]
    deadline = time.monotonic() + 60
    while len(seen) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert seen == [2, [1]]
    assert "in a callback" in caplog.text
    future.add_done_callback(lambda f: seen.append("at once"))
    assert seen[-1] == "at once"


def test_a_callback_that_exits_stops_nobody(pool):
    def leave(future):
        raise SystemExit

    for _ in range(3):
        pool.submit(jobs.identity, [1]).add_done_callback(leave)
    assert pool.submit(abs, -1).result(timeout=60) == 1


def test_a_callback_may_use_the_pool():
    with InterpreterPoolExecutor(1) as pool:
        outcome = concurrent.futures.Future()
        future = pool.submit(jobs.identity, [1])
        future.add_done_callback(lambda f: outcome.set_result(pool.submit(jobs.increment, f.result()[0]).result(60)))
        assert outcome.result(timeout=60) == 2
        ended = concurrent.futures.Future()
        pool.submit(jobs.identity, [1]).add_done_callback(lambda f: ended.set_result(pool.shutdown()))
        assert ended.result(timeout=60) is None


def test_asyncio(pool):
    async def main():
        loop = asyncio.get_running_loop()
        results = await asyncio.gather(*(loop.run_in_executor(pool, jobs.increment, n) for n in range(50)))
        assert results == list(range(1, 51))
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(pool, divmod, 1, 0)
        assert await loop.run_in_executor(pool, jobs.identity, [2.5]) == [2.5]
        started, event = Event(), Event()
        blockers = [loop.run_in_executor(pool, jobs.wait_for, started, event) for _ in range(2)]
        queued = loop.run_in_executor(pool, abs, -1)
        queued.cancel()
        with pytest.raises(asyncio.CancelledError):
            await queued
        event.set()
        assert await asyncio.gather(*blockers) == ["waited", "waited"]

    asyncio.run(main())


def test_asyncio_takes_it_as_the_default_executor():
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(InterpreterPoolExecutor(1))
        return await loop.run_in_executor(None, jobs.interpreter_id)

    assert asyncio.run(main()) != jobs.interpreter_id()


# ---- recursion and size -----------------------------------------------------------------------------

def test_a_job_cannot_submit_to_its_own_pool(pool):
    with pytest.raises(TypeError, match="cannot submit to its own pool"):
        pool.submit(jobs.submit_again, pool).result(timeout=60)
    with pytest.raises(TypeError, match="cannot submit to its own pool"):
        pool.submit(pool.submit, abs, -1).result(timeout=60)


def test_a_job_can_have_a_pool_of_its_own(pool):
    assert pool.submit(jobs.own_pool, 1).result(timeout=60) == 2


@pytest.mark.slow
def test_many_tiny_jobs_take_bounded_memory():
    def resident():
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    with InterpreterPoolExecutor(2) as pool:
        for _ in range(2):
            assert sum(pool.map(jobs.increment, range(100_000), buffersize=1000)) == 5_000_050_000
        before = resident()
        for _ in range(2):
            assert sum(pool.map(jobs.increment, range(100_000), buffersize=1000)) == 5_000_050_000
        assert resident() - before < 8_000_000
        futures = [pool.submit(jobs.increment, n) for n in range(100_000)]
        assert sum(f.result() for f in futures) == 5_000_050_000
        assert len(pool._pool.page_words) <= 100_000 // 4096 + 3
        assert not pool._pool.futures
