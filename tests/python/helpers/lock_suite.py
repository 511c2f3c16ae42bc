"""CPython's own tests of locks, test.lock_tests, for ours. Loads in subinterpreters too.

Left out, each with its reason: see OMITTED."""

import _thread
import threading
import types
import unittest

from test import lock_tests

import objtunnel

# (suite, test): an Event of threading has a Condition inside, _cond, and that has _waiters.
OMITTED = {("EventTests", "test_at_fork_reinit"), ("ConditionTests", "test_nan_timeout")}

# What the tests of Condition take a plain Lock from.
lock_tests.threading = types.SimpleNamespace(**{**vars(threading), "Lock": objtunnel.Lock})


def start_new_thread(function, args):
    """The tests' daemon threads are refused in interpreters with a GIL of their own."""
    _thread.start_joinable_thread(lambda: function(*args), daemon=False)


lock_tests.start_new_thread = start_new_thread


def of(base, **types_):
    members = {name: staticmethod(value) for name, value in types_.items()}
    members |= {name: None for suite, name in OMITTED if suite == base.__name__}
    return type("Test" + base.__name__, (base,), members)


SUITES = [
    of(lock_tests.LockTests, locktype=objtunnel.Lock),
    of(lock_tests.RLockTests, locktype=objtunnel.RLock),
    of(lock_tests.RLockTests, locktype=objtunnel.Condition),
    of(lock_tests.EventTests, eventtype=objtunnel.Event),
    of(lock_tests.ConditionTests, condtype=objtunnel.Condition),
    of(lock_tests.ConditionTests, condtype=lambda *a: threading.Condition(*a or [objtunnel.RLock()])),
    of(lock_tests.SemaphoreTests, semtype=objtunnel.Semaphore),
    of(lock_tests.BoundedSemaphoreTests, semtype=objtunnel.BoundedSemaphore),
    of(lock_tests.BarrierTests, barriertype=objtunnel.Barrier),
]


def run(number):
    """Runs a suite; [how many tests, texts of what went wrong]."""
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(SUITES[number])
    result = unittest.TestResult()
    suite.run(result)
    wrong = result.errors + result.failures + result.skipped
    return [result.testsRun, [text for _, text in wrong]]
