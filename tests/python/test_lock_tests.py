"""Locks and the like pass CPython's own tests, in the main interpreter and in another one."""

import pytest

pytest.importorskip("test.lock_tests", reason="this Python comes without its tests")

import lock_suite  # noqa: E402

NAMES = ["Lock", "RLock", "Condition as RLock", "Event", "Condition", "threading.Condition of RLock",
         "Semaphore", "BoundedSemaphore", "Barrier"]
AT_LEAST = [15, 18, 18, 5, 7, 7, 10, 10, 12]  # tests in 3.13

assert len(NAMES) == len(AT_LEAST) == len(lock_suite.SUITES)
each = pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)


@each
def test_here(number):
    ran, errors = lock_suite.run(number)
    assert not errors, "\n".join(errors)
    assert ran >= AT_LEAST[number]


@pytest.mark.slow
@each
def test_in_another_interpreter(number, worker):
    ran, errors = worker.call(lock_suite.run, number)
    assert not errors, "\n".join(errors)
    assert ran >= AT_LEAST[number]
