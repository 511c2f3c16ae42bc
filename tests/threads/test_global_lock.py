"""GlobalLock: threads that use one handle at once."""

import os
import threading

from helpers.threads import Task
from objtunnel import GlobalLock, LockAbandonedError

HOLDS = 2_000 if os.environ.get("OT_TEST_QUICK") else 20_000


def test_each_hold_is_given_back_once():
    """Any thread may release. Of several that do, one gives the hold back, and the others are told that there is none;
    nobody finds it abandoned while it begins."""
    lock, done = GlobalLock("given back once"), threading.Event()

    def release():
        n = 0
        while not done.is_set():
            try:
                lock.release()
            except LockAbandonedError:
                raise
            except RuntimeError:
                continue
            n += 1
        return n

    tasks = [Task(release) for _ in range(3)]
    try:
        for _ in range(HOLDS):
            assert lock.acquire(timeout=60)
        assert lock.acquire(timeout=60)  # so all before are given back
    finally:
        done.set()
    given_back = sum(task.done() for task in tasks)
    if "held" in repr(lock):
        lock.release()
        given_back += 1
    assert given_back == HOLDS + 1
