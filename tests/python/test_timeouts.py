"""One convention for timeouts, as docs/sharing.md has it."""

import threading
import time

import pytest

import objtunnel
from objtunnel import (
    Barrier,
    Box,
    Condition,
    Event,
    GlobalLock,
    Interpreter,
    Lock,
    LockingDict,
    RLock,
    Semaphore,
    Tunnel,
)


def full_tunnel():
    t = Tunnel(1)
    t.send(1)
    return t


def taken(lock):
    lock.acquire()
    return lock


held = []  # checkouts


def checked_out():
    d = LockingDict(a=1)
    held.append(d.checkout("a"))
    held[-1].__enter__()
    return d


def wait_on(condition, timeout):
    with condition:
        return condition.wait(timeout)


# What never comes, made by the first, waited for by the second in another thread.
RAISING = {
    "send": (full_tunnel, lambda t, timeout: t.send(2, timeout=timeout)),
    "put": (full_tunnel, lambda t, timeout: t.put(2, timeout=timeout)),
    "recv": (Tunnel, lambda t, timeout: t.recv(timeout)),
    "get": (Tunnel, lambda t, timeout: t.get(timeout=timeout)),
    "box": (lambda: taken(Box([1])), lambda b, timeout: b.acquire(timeout=timeout)),
    "checkout": (checked_out, lambda d, timeout: d.checkout("a", timeout).__enter__()),
}
RETURNING = {
    "lock": (lambda: taken(Lock()), lambda lock, timeout: lock.acquire(timeout=timeout)),
    "rlock": (lambda: taken(RLock()), lambda lock, timeout: lock.acquire(timeout=timeout)),
    "global": (lambda: taken(GlobalLock("test_timeouts")), lambda lock, timeout: lock.acquire(timeout=timeout)),
    "semaphore": (lambda: Semaphore(0), lambda s, timeout: s.acquire(timeout=timeout)),
    "event": (Event, lambda e, timeout: e.wait(timeout)),
    "condition": (Condition, wait_on),
}
ALL = RAISING | RETURNING
THREADINGS = {"semaphore", "event", "condition"}  # less than no time is no time, as in threading


def outcome(name, timeout):
    """What a thread gets that waits so long: (seconds, what it returned or raised)."""
    make, wait = ALL[name]
    thing, got = make(), []

    def run():
        began = time.monotonic()
        try:
            result = wait(thing, timeout)
        except BaseException as error:
            result = error
        got.append((time.monotonic() - began, result))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    release(name, thing)
    return got[0]


def release(name, thing):
    if name in ("lock", "rlock", "global"):
        thing.release()
    if name == "checkout":
        held.pop().__exit__(None, None, None)


@pytest.mark.parametrize("timeout", [0, 0.05])
@pytest.mark.parametrize("name", ALL)
def test_after_the_timeout(name, timeout):
    seconds, result = outcome(name, timeout)
    assert seconds >= timeout
    if name in RAISING:
        assert isinstance(result, TimeoutError)
    else:
        assert result is False


@pytest.mark.parametrize("name", ALL)
def test_what_is_no_timeout(name):
    assert isinstance(outcome(name, "1")[1], TypeError)
    assert isinstance(outcome(name, float("nan"))[1], ValueError)
    if name in THREADINGS:
        assert outcome(name, -2)[1] is False
    else:
        assert isinstance(outcome(name, -2)[1], ValueError)


@pytest.mark.parametrize("make, wait, give", [
    (Tunnel, lambda t: t.recv(timeout=None), lambda t: t.send(5)),
    (lambda: taken(Lock()), lambda x: x.acquire(timeout=None), lambda x: x.release()),
    (lambda: Semaphore(0), lambda x: x.acquire(timeout=None), lambda x: x.release()),
    (Event, lambda x: x.wait(timeout=None), lambda x: x.set()),
], ids=["tunnel", "lock", "semaphore", "event"])
def test_none_is_for_ever(make, wait, give):
    thing, got = make(), []
    thread = threading.Thread(target=lambda: got.append(wait(thing)))
    thread.start()
    time.sleep(0.1)
    assert got == []
    give(thing)
    thread.join(30)
    assert got and got[0] in (5, True)


def test_a_box_waits_for_ever_for_none():
    box = Box([1])
    assert box.acquire(timeout=None) == [1]
    box.release()


def test_interpreters():
    w = Interpreter()
    job = w.submit(time.sleep, 1)
    with pytest.raises(TimeoutError):
        job.result(timeout=0.01)
    for bad in (-1, float("nan")):
        with pytest.raises(ValueError):
            w.close(timeout=bad)
    with pytest.raises(TimeoutError):
        w.close(timeout=0.01)
    w.close(timeout=60)


def test_a_barrier_breaks():
    barrier = Barrier(2)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.01)
    assert barrier.broken and objtunnel.Barrier is Barrier
