"""InterpreterPoolExecutor passes CPython's own tests of executors; see pool_suite.py for what differs."""

import pytest

pytest.importorskip("test.test_concurrent_futures", reason="this Python comes without its tests")

import pool_suite  # noqa: E402

NAMES = ["executor", "wait", "as_completed", "shutdown", "init", "failing init", "deadlock"]
AT_LEAST = [9, 8, 5, 6, 1, 1, 9]  # tests in 3.13

assert len(NAMES) == len(AT_LEAST) == len(pool_suite.SUITES)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_suite(number):
    ran, wrong, skipped = pool_suite.run(number)
    assert not wrong, "\n".join(wrong)
    assert not skipped
    assert ran >= AT_LEAST[number]
