"""CPython's own tests of executors, test.test_concurrent_futures, for InterpreterPoolExecutor.

What is left out or expected otherwise, each with its reason: see OMITTED and ERRORS.
"""

import unittest
from concurrent.futures.process import BrokenProcessPool
from pickle import UnpicklingError

from test.test_concurrent_futures import (
    executor,
    test_as_completed,
    test_deadlock,
    test_init,
    test_shutdown,
    test_wait,
    util,
)

import objtunnel

# test -> why it is not run
OMITTED = {
    "test_crash_at_task_unpickle": "a segmentation fault is the whole process's",
    "test_crash_during_func_exec_on_worker": "a segmentation fault is the whole process's",
    "test_crash_during_result_pickle_on_worker": "a segmentation fault is the whole process's",
    "test_shutdown_deadlock": "a segmentation fault is the whole process's",
    "test_crash_big_data": "a segmentation fault is the whole process's",
    "test_gh105829_should_not_deadlock_if_wakeup_pipe_full": "is about ProcessPoolExecutor's pipe",
    "test_cancel_futures": "submit() does not wait for a worker to begin, so all may be cancelled; "
                           "test_pool.py has its like",
    "test_shutdown_deadlock_pickle": "joins ProcessPoolExecutor's own thread; test_pool.py has its like",
}

# Where ProcessPoolExecutor loses a worker, a job here fails and its worker goes on. What cannot be
# pickled is a TypeError with the path, whatever pickle said (its __cause__).
ERRORS = {
    "test_error_at_task_pickle": TypeError,
    "test_error_during_result_pickle_on_worker": TypeError,
    "test_exit_at_task_unpickle": SystemExit,
    "test_error_at_task_unpickle": UnpicklingError,
    "test_error_during_result_unpickle_in_result_handler": UnpicklingError,
    "test_exit_during_result_unpickle_in_result_handler": SystemExit,
}


class PoolMixin(util.ExecutorMixin):
    executor_type = objtunnel.InterpreterPoolExecutor

    def create_event(self):
        return objtunnel.Event()


class DeadlockMixin(PoolMixin):
    def _check_error(self, error, func, *args, ignore_stderr=False):
        expected = ERRORS.get(self._testMethodName, error)
        assert expected is not BrokenProcessPool
        future = self.executor.submit(func, *args)
        with self.assertRaises(expected):
            future.result(timeout=60)
        assert self.executor.submit(pow, 2, 8).result(timeout=60) == 256  # nobody was lost

    _check_crash = _check_error  # as 3.13 calls it


def run_ours(*args, **options):
    """assert_python_ok, for scripts that import the executor from concurrent.futures."""
    *rest, source = args
    ours = source.replace("from concurrent.futures import InterpreterPool",
                          "from objtunnel import InterpreterPool")
    assert ours != source
    return assert_python_ok(*rest, ours, **options)


assert_python_ok = test_shutdown.assert_python_ok


def of(mixin, adapter=PoolMixin, **members):
    members |= {name: None for name in OMITTED if hasattr(mixin, name)}
    return type(mixin.__name__, (adapter, mixin, util.BaseTestCase), members)


SUITES = [
    of(executor.ExecutorTest),
    of(test_wait.WaitTests),
    of(test_as_completed.AsCompletedTests),
    of(test_shutdown.ExecutorShutdownTest),
    type("Initializer", (test_init.InitializerMixin, PoolMixin, util.BaseTestCase), {}),
    type("FailingInitializer", (test_init.FailingInitializerMixin, PoolMixin, util.BaseTestCase), {}),
    of(test_deadlock.ExecutorDeadlockTest, DeadlockMixin),
]


def run(number):
    """Runs a suite; (how many tests, texts of what went wrong, names of what was skipped)."""
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(SUITES[number])
    result = unittest.TestResult()
    test_shutdown.assert_python_ok = run_ours
    try:
        suite.run(result)
    finally:
        test_shutdown.assert_python_ok = assert_python_ok
    wrong = [text for _, text in result.errors + result.failures]
    return result.testsRun, wrong, [str(test) for test, _ in result.skipped]


if __name__ == "__main__":
    import sys
    for n in map(int, sys.argv[1:]) if sys.argv[1:] else range(len(SUITES)):
        ran, wrong, skipped = run(n)
        print(SUITES[n].__name__, ran, len(wrong), skipped)
        print("\n".join(wrong))
