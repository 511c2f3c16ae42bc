"""queue.Queue's methods on a Tunnel, for those who have a queue.Queue and change one line."""

import inspect
import logging
import logging.config
import logging.handlers
import queue
import sys
import sysconfig
import threading
import time

import pytest

from objtunnel import (
    Interpreter,
    Tunnel,
    TunnelClosed,
    TunnelEmpty,
    TunnelFull,
    TunnelSendTimeout,
    TunnelTimeout,
)


def test_put_keeps_what_the_caller_has(tunnel):
    inner = [2.5]
    batch, row = [1, inner], (inner, {"a": inner})
    tunnel.put(batch)
    tunnel.put_nowait(item=row)
    assert batch == [1, [2.5]] and row == ([2.5], {"a": [2.5]})
    got, row_got = tunnel.get(), tunnel.get_nowait()
    assert got == batch and row_got == row
    assert got is not batch and got[1] is not inner and row_got[0] is row_got[1]["a"]
    batch[1].append(3)
    assert got == [1, [2.5]]


@pytest.mark.parametrize("item", [None, 5, "text", b"bytes", (), [], {}, set(), bytearray(b"x"), [[]], {"a": [1]}])
def test_put_leaves_the_item_as_it_is(tunnel, item):
    before = repr(item)
    tunnel.put(item)
    assert repr(item) == before
    got = tunnel.get()
    assert repr(got) == before and type(got) is type(item)


def make_rows():
    return [{"n": i + 1000.5, "s": [f"row {i}"]} for i in range(500)]


def test_what_was_put_outlives_the_interpreter_that_put_it(tunnel):
    with Interpreter() as w:
        w.call(put_rows, tunnel, 20)
    rows = [tunnel.get(timeout=5) for _ in range(20)]
    for got in rows:
        got.append(got[0])
        got.sort(key=lambda r: -r["n"])
        for row in got:
            row["s"].append(row["n"])
        assert len(got) == 501 and got[-1]["s"][0] == "row 0"


def make_and_tell(told):
    tree = [[1.5, "text"], {"a": [2]}]
    told += map(id, tree)
    return tree


def test_what_only_the_call_refers_to_moves(tunnel):
    """By the rule of arguments; a tree that the caller names is copied."""
    moved, copied = [], []
    tunnel.put(make_and_tell(moved))
    tree = make_and_tell(copied)
    tunnel.put(tree)
    got = tunnel.get()
    assert got == tree and ([id(x) for x in got] == moved or sys.version_info < (3, 14))
    assert not set(map(id, tunnel.get())) & set(copied)
    assert [id(x) for x in tree] == copied


def put_rows(t, n):
    kept = make_rows()
    for _ in range(n):
        t.put(make_rows() if n % 2 else kept)
        t.put(make_rows())
        t.get()
    assert kept == make_rows()


def test_full_and_empty(tunnel):
    t = Tunnel(maxsize=1)
    assert t.empty() and not t.full() and t.qsize() == 0 and t.maxsize == 1
    with pytest.raises(queue.Empty) as nothing:
        t.get_nowait()
    assert not isinstance(nothing.value, TimeoutError)
    with pytest.raises(queue.Empty):
        t.get(False)
    with pytest.raises(queue.Empty):
        t.get(block=False, timeout=-5)  # as in queue.Queue: not looked at
    t.put([1])
    assert t.full() and t.qsize() == 1
    for put in (t.put_nowait, lambda x: t.put(x, False), lambda x: t.put(x, block=False)):
        with pytest.raises(queue.Full) as full:
            put([2])
        assert not isinstance(full.value, TimeoutError)
    with pytest.raises(ValueError):
        t.get(timeout=-1)
    with pytest.raises(ValueError):
        t.put(1, timeout=-1)


def test_a_timeout_is_a_timeout_error():
    t = Tunnel(1)
    t.put(1)
    for put in (t.send, t.put):
        for timeout in (0, 0.02):
            began = time.monotonic()
            with pytest.raises(TimeoutError) as error:
                put([2], timeout=timeout)
            assert time.monotonic() - began >= timeout
            assert type(error.value) is TunnelSendTimeout and isinstance(error.value, queue.Full)
            assert isinstance(error.value, TunnelFull) and "full" in str(error.value)
    t.get()
    for get in (t.recv, t.get):
        for timeout in (0, 0.02):
            with pytest.raises(TimeoutError) as error:
                get(timeout=timeout)
            assert type(error.value) is TunnelTimeout and isinstance(error.value, queue.Empty)
            assert isinstance(error.value, TunnelEmpty) and "empty" in str(error.value)
    with pytest.raises(queue.Full) as error:
        [t.send_nowait(i) for i in range(2)]
    assert type(error.value) is TunnelFull
    t.recv()
    with pytest.raises(queue.Empty) as error:
        t.recv_nowait()
    assert type(error.value) is TunnelEmpty


@pytest.mark.parametrize("make", [lambda: queue.Queue(2), lambda: Tunnel(2)])
def test_shutdown(make):
    """The same body for both: what 3.13's queue.Queue does."""
    q = make()
    q.put(1)
    q.put(2)
    woken = []
    threads = [threading.Thread(target=lambda: woken.append(try_put(q))) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    q.shutdown()
    for thread in threads:
        thread.join(20)
    assert [isinstance(e, queue.ShutDown) for e in woken] == [True, True]
    with pytest.raises(queue.ShutDown):
        q.put(3)
    with pytest.raises(queue.ShutDown):
        q.put_nowait(3)
    assert q.get() == 1 and q.get_nowait() == 2
    for get in (q.get, q.get_nowait, lambda: q.get(timeout=5)):
        with pytest.raises(queue.ShutDown):
            get()
    q = make()
    q.put(1)
    q.shutdown(immediate=True)
    with pytest.raises(queue.ShutDown):
        q.get()
    q.shutdown()


def try_put(q):
    try:
        q.put(3)
    except queue.ShutDown as error:
        return error


def test_the_parameters_are_queues():
    for name in ("put", "get", "put_nowait", "get_nowait", "qsize", "empty", "full", "shutdown"):
        ours, theirs = [list(inspect.signature(getattr(c, name)).parameters.values())[1:]
                        for c in (Tunnel, queue.Queue)]
        assert ours == theirs, name


@pytest.mark.parametrize("call", [
    lambda t: t.put(), lambda t: t.put(1, True, 2, 3), lambda t: t.put(1, item=2),
    lambda t: t.put(1, wait=3), lambda t: t.put_nowait(), lambda t: t.put_nowait(1, 2),
    lambda t: t.put_nowait(1, timeout=2), lambda t: t.get(True, 1, 2), lambda t: t.get(True, block=True),
    lambda t: t.get(wait=1), lambda t: t.get(timeout="1"), lambda t: t.shutdown(1, 2)])
def test_bad_arguments(tunnel, call):
    with pytest.raises(TypeError, match="put|get|real number|shutdown"):
        call(tunnel)
    assert tunnel.empty()


@pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="threads have functions in common")
def test_a_put_that_fails_gives_its_place_back():
    t = Tunnel(1)
    item = [1, [lambda: 2]]
    for _ in range(3):
        with pytest.raises(TypeError, match=r"\$\[1\]\[0\]"):
            t.put(item)
        assert len(item) == 2
    t.put_nowait(1)


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


def log_records(records, n):
    import logging
    import logging.handlers
    log = logging.getLogger("worker")
    handler = logging.handlers.QueueHandler(records)
    log.addHandler(handler)
    log.setLevel("INFO")
    for i in range(n):
        try:
            raise ValueError(f"problem {i}")
        except ValueError:
            log.exception("record %d", i, extra={"list": [i]})
    log.removeHandler(handler)


def test_loggings_queue_handler_and_listener():
    records, kept = Tunnel(), Kept()
    listener = logging.handlers.QueueListener(records, kept)
    listener.start()
    with Interpreter() as a, Interpreter() as b:
        jobs = [w.submit(log_records, records, 50) for w in (a, b)]
        for job in jobs:
            job.result(60)
    listener.stop()
    assert sorted(r.list[0] for r in kept.records) == sorted([*range(50)] * 2)
    assert all(f"problem {r.list[0]}" in r.getMessage() for r in kept.records)


def test_logging_config_takes_one_for_its_queue(tunnel):
    """By a factory: the object itself would need task_done and join, on 3.13 at least."""
    logging.config.dictConfig({
        "version": 1, "disable_existing_loggers": False,
        "handlers": {"q": {"class": "logging.handlers.QueueHandler", "queue": {"()": lambda: tunnel}}},
        "loggers": {"objtunnel.test": {"handlers": ["q"], "level": "INFO"}}})
    log = logging.getLogger("objtunnel.test")
    log.info("hello")
    assert tunnel.get(timeout=5).getMessage() == "hello"
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()


def consume(jobs, results):
    """What one writes with queue.Queue: a sentinel ends each worker."""
    while (job := jobs.get()) is not None:
        results.put((job, job * job))


def test_the_program_with_sentinels():
    jobs, results = Tunnel(), Tunnel(maxsize=3)
    with Interpreter() as a, Interpreter() as b:
        workers = [w.submit(consume, jobs, results) for w in (a, b)]
        for i in range(100):
            jobs.put(i)
        for _ in workers:
            jobs.put(None)
        assert sorted(results.get(timeout=60) for _ in range(100)) == [(i, i * i) for i in range(100)]
        for worker in workers:
            worker.result(60)


def test_closed_is_closed(tunnel):
    tunnel.close()
    with pytest.raises(TunnelClosed):
        tunnel.put(1)
    with pytest.raises(TunnelClosed):
        tunnel.get(timeout=1)
