"""Locks and the like between interpreters, or threads of a free-threaded build (workers.Worker): exclusion, waiting,
interrupts, holders that are gone."""

import pickle
import signal
import threading
import time

import pytest

from objtunnel import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    Interpreter,
    Lock,
    LockAbandonedError,
    RLock,
    Semaphore,
    SharedArray,
    Tunnel,
)
from workers import FREE_THREADED, Worker

WAIT = 60  # seconds that no test should ever wait

# ---- what workers do -----------------------------------------------------------------------------


def count_under(lock, numbers, n):
    """Not atomic without the lock."""
    for _ in range(n):
        with lock:
            seen = numbers[0]
            numbers[1] += 1
            numbers[0] = seen + 1


def hold(lock):
    lock.acquire()


def hold_twice(lock):
    lock.acquire()
    lock.acquire()


def try_release(lock):
    lock.release()


def is_free(lock):
    free = lock.acquire(False)
    if free:
        lock.release()
    return free


def wait_and_say(event, tunnel):
    tunnel.send(event.wait(WAIT))


def acquire_or_error(lock):
    try:
        return lock.acquire(timeout=WAIT)
    except LockAbandonedError as error:
        return str(error)


def consume(condition, numbers, n):
    got = 0
    while got < n:
        with condition:
            if not condition.wait_for(lambda: numbers[0] > 0, WAIT):
                return got
            numbers[0] -= 1
            got += 1
            condition.notify_all()
    return got


def meet(barrier, numbers, me, rounds):
    for i in range(rounds):
        numbers[me] = i
        barrier.wait(WAIT)
        assert list(numbers) == [i] * len(numbers)
        barrier.wait(WAIT)
    return barrier.n_waiting


def enter_few(semaphore, inside, n):
    most = 0
    for _ in range(n):
        with semaphore:
            most = max(most, inside.add(0, 1))
            inside.add(0, -1)
    return most


def note():
    """A Barrier's action."""


def fail():
    raise ZeroDivisionError


# ---- exclusion -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Lock, RLock, Condition, BoundedSemaphore])
def test_exclusion(make):
    lock, numbers, n = make(), SharedArray("q", 2), 3000
    with Worker() as a, Worker() as b:
        jobs = [i.submit(count_under, lock, numbers, n) for i in (a, b)]
        count_under(lock, numbers, n)
        for job in jobs:
            job.result()
    assert numbers.tolist() == [3 * n, 3 * n]


def test_a_semaphore_lets_in_so_many():
    semaphore, inside = Semaphore(2), SharedArray("i", 1)
    with Worker() as a, Worker() as b:
        jobs = [i.submit(enter_few, semaphore, inside, 2000) for i in (a, b)]
        assert max(enter_few(semaphore, inside, 2000), *(job.result() for job in jobs)) <= 2
    assert inside[0] == 0 and "value=2>" in repr(semaphore)


def test_held_elsewhere(beside):
    lock, rlock = Lock(), RLock()
    with lock, rlock:
        assert not beside.call(is_free, lock) and not beside.call(is_free, rlock)
        with pytest.raises(RuntimeError, match="un-acquired"):
            beside.call(try_release, rlock)
        assert "interpreter=0" in repr(lock) and "count=1" in repr(rlock)
    assert beside.call(is_free, lock) and beside.call(is_free, rlock)
    beside.call(hold, lock)
    assert lock.locked() and f"interpreter={beside.id}" in repr(lock)
    lock.release()  # a plain one may be released by anybody
    assert beside.call(is_free, lock)


def test_an_rlock_is_its_threads_in_every_interpreter(beside):
    rlock = RLock()
    beside.call(hold_twice, rlock)
    assert not rlock.acquire(False) and not rlock._is_owned()
    beside.call(try_release, rlock)
    assert not rlock.acquire(False)
    beside.call(try_release, rlock)
    assert rlock.acquire(False)
    rlock.release()


# ---- waiting -------------------------------------------------------------------------------------


def test_waiting_lets_others_run():
    """The holder is a thread of the same interpreter: it needs the GIL to let go."""
    for lock in (Lock(), RLock(), Condition()):
        held, done = threading.Event(), threading.Event()

        def holder(lock=lock, held=held, done=done):
            with lock:
                held.set()
                done.wait(WAIT)

        thread = threading.Thread(target=holder)
        thread.start()
        held.wait(WAIT)
        threading.Timer(0.05, done.set).start()
        assert lock.acquire(timeout=WAIT)
        lock.release()
        thread.join(WAIT)


def test_events(beside):
    event, answers = Event(), Tunnel()
    jobs = [beside.submit(wait_and_say, event, answers)]
    with Worker() as other:
        jobs.append(other.submit(wait_and_say, event, answers))
        time.sleep(0.05)
        assert answers.empty()
        event.set()
        assert answers.recv(WAIT) and answers.recv(WAIT)
        for job in jobs:
            job.result()
    event.clear()
    assert not event.wait(0.01) and not event.wait(0) and not event.wait(-1)


def test_conditions():
    condition, numbers, n = Condition(), SharedArray("q", 1), 300
    with Worker() as a, Worker() as b:
        jobs = [i.submit(consume, condition, numbers, n) for i in (a, b)]
        for _ in range(2 * n):
            with condition:
                assert condition.wait_for(lambda: numbers[0] < 3, WAIT)
                numbers[0] += 1
                condition.notify_all()
        assert [job.result() for job in jobs] == [n, n]
    assert numbers[0] == 0 and "0 waiting" in repr(condition)


def test_two_conditions_of_one_lock():
    lock = Lock()
    first, second = Condition(lock), Condition(lock)
    with first:
        assert not second.acquire(False) and lock.locked()
        first.notify()
        second.notify_all()
    with pytest.raises(RuntimeError, match="notify"):
        first.notify()
    with pytest.raises(RuntimeError, match="wait"):
        second.wait(0)
    number = lock.id
    del lock
    assert f"objtunnel.Lock object {number} " in repr(pickle.loads(pickle.dumps(second)))
    for wrong in (threading.Lock(), 5, Event()):
        with pytest.raises(TypeError):
            Condition(wrong)


def test_wait_for_returns_the_value():
    condition = Condition()
    values = iter([0, "", "found"])
    with condition:
        threading.Thread(target=notify_often, args=[condition]).start()
        assert condition.wait_for(lambda: next(values), WAIT) == "found"
        assert condition.wait_for(lambda: [], 0.01) == []
        with pytest.raises(ZeroDivisionError):
            condition.wait_for(fail)


def notify_often(condition):
    for _ in range(3):
        with condition:
            condition.notify()
        time.sleep(0.02)


def test_barriers():
    barrier, numbers = Barrier(3), SharedArray("i", source=[-1] * 3)
    with Worker() as a, Worker() as b:
        jobs = [i.submit(meet, barrier, numbers, k, 50) for k, i in enumerate((a, b))]
        meet(barrier, numbers, 2, 50)
        for job in jobs:
            job.result()


def test_an_action_travels_by_name(beside, tunnel):
    barrier = Barrier(1, note)
    tunnel.send([barrier])
    assert tunnel.recv()[0].wait() == 0
    failing = Barrier(1, fail)
    with pytest.raises(ZeroDivisionError):
        beside.call(Barrier.wait, failing)
    with pytest.raises(threading.BrokenBarrierError):
        failing.wait()
    failing.reset()
    assert not failing.broken
    if not FREE_THREADED:  # there a lambda is the same object for both sides
        with pytest.raises(TypeError, match="lambda"):
            tunnel.send([Barrier(1, lambda: None)])


def test_a_timeout_breaks_a_barrier(beside):
    barrier = Barrier(2, timeout=0.05)
    with pytest.raises(threading.BrokenBarrierError):
        beside.call(Barrier.wait, barrier)
    assert barrier.broken and barrier.parties == 2
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()


@pytest.mark.parametrize("call", [
    lambda: Lock().acquire(timeout="x"), lambda: Event().wait("x"), lambda: Lock(1),
    lambda: Semaphore("x"), lambda: Barrier("x"), lambda: Barrier(2, None, "x"), lambda: Event(1),
    lambda: RLock()._acquire_restore("x"),
])
def test_bad_types(call):
    with pytest.raises(TypeError):
        call()


@pytest.mark.parametrize("call", [
    lambda: Lock().acquire(timeout=float("nan")), lambda: Event().wait(float("nan")),
    lambda: Semaphore().release(0), lambda: Semaphore(-1), lambda: Barrier(0),
    lambda: Barrier(2, None, -1), lambda: RLock()._acquire_restore(0),
    lambda: BoundedSemaphore().release(2),
])
def test_bad_values(call):
    with pytest.raises(ValueError):
        call()


# ---- interrupts ----------------------------------------------------------------------------------

BLOCKED = {
    "Lock": "lock = Lock(); lock.acquire(); wait = lock.acquire",
    "with": "lock = Lock(); lock.acquire(); wait = lock.__enter__",
    "Semaphore": "wait = Semaphore(0).acquire",
    "Event": "wait = Event().wait",
    "Barrier": "wait = Barrier(2).wait",
    "Condition": "condition = Condition(); condition.acquire(); wait = condition.wait",
}


@pytest.mark.parametrize("what", BLOCKED)
@pytest.mark.parametrize("where", ["main", "worker"])
def test_ctrl_c(what, where, interrupt):
    assert interrupt(f"""
        from objtunnel import Barrier, Condition, Event, Lock, Semaphore
        def block():
            {BLOCKED[what]}
            print("ready", flush=True)
            try:
                wait()
            finally:
                if {what == "Condition"}:
                    condition.release()  # held again
        """, where) == "interrupted\n"


def test_a_signal_handler_that_returns_does_not_end_the_wait():
    hits = []
    old = signal.signal(signal.SIGALRM, lambda *a: hits.append(time.monotonic()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        began = time.monotonic()
        assert not Event().wait(0.3)
        assert not Semaphore(0).acquire(timeout=0.1)
        condition = Condition()
        with condition:
            assert not condition.wait(0.1)
        assert time.monotonic() - began >= 0.5 and len(hits) >= 3
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


# ---- holders that are gone -----------------------------------------------------------------------


@pytest.mark.parametrize("make", [Lock, RLock, Condition])
def test_a_holder_that_has_ended_is_reported(make):
    lock = make()
    with Interpreter() as i:
        i.call(hold, lock)
        number = i.id
        assert not lock.acquire(False)
    assert "abandoned" in repr(lock) and f"interpreter={number}" in repr(lock)
    for attempt in (lock.acquire, lock.__enter__, lambda: lock.acquire(False), lock.release):
        with pytest.raises(LockAbandonedError, match="has ended"):
            attempt()
    assert lock.locked() and lock.recover() and not lock.recover()
    assert lock.locked() and "locked" in repr(lock)
    lock.release()
    with lock:
        pass


def test_those_that_wait_learn_of_it():
    lock = Lock()
    other = Interpreter()
    with Interpreter() as waiting:
        other.call(hold, lock)
        jobs = [waiting.submit(acquire_or_error, lock)]
        errors = []
        thread = threading.Thread(target=lambda: errors.append(acquire_or_error(lock)))
        thread.start()
        time.sleep(0.1)
        other.close()
        thread.join(WAIT)
        assert "has ended" in jobs[0].result() and "has ended" in errors[0]


def test_a_condition_whose_lock_is_abandoned(worker):
    condition, ready = Condition(), Tunnel()
    job = worker.submit(wait_on, condition, ready)
    ready.recv(WAIT)
    with Interpreter() as i:
        i.call(notify_and_keep, condition)
    with pytest.raises(LockAbandonedError):
        job.result()


def wait_on(condition, ready):
    condition.acquire()
    ready.send(1)
    condition.wait(WAIT)


def notify_and_keep(condition):
    condition.acquire()
    condition.notify()


def test_a_holder_that_lives_is_not_abandoned(worker):
    lock = Lock()
    worker.call(hold, lock)
    with Interpreter():
        pass
    assert not lock.acquire(timeout=0.01)
    worker.call(try_release, lock)


def test_dropped_while_held():
    lock = Lock()
    with Interpreter() as i:
        i.call(hold, lock)
        del lock


# ---- fork ----------------------------------------------------------------------------------------


def test_fork(run_script):
    run_script("""
        import os, threading
        from objtunnel import Lock, RLock, Condition, Semaphore, Barrier, LockAbandonedError
        mine, others, condition, semaphore = RLock(), Lock(), Condition(), Semaphore(0)
        barrier = Barrier(2)
        done = threading.Event()
        def hold():
            others.acquire()
            semaphore.acquire(timeout=0.01)
            held.set()
            done.wait(60)
        def wait():
            with condition:
                condition.wait(60)
        held = threading.Event()
        threads = [threading.Thread(target=f) for f in (hold, wait, barrier.wait)]
        for t in threads: t.start()
        held.wait(60)
        while barrier.n_waiting == 0 or "1 waiting" not in repr(condition): pass
        mine.acquire()
        import warnings
        warnings.simplefilter("ignore")
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                mine.acquire(); mine.release(); mine.release()
                try:
                    others.acquire()
                except LockAbandonedError:
                    assert others.recover()
                    others.release()
                with condition:
                    condition.notify_all()
                    assert not condition.wait(0.01)
                semaphore.release()
                assert semaphore.acquire(False) and barrier.n_waiting == 0
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        assert not others.acquire(False) and barrier.n_waiting == 1
        done.set()
        with condition: condition.notify()
        barrier.wait()
        for t in threads: t.join(60)
        """)
