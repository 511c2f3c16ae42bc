"""Tests of objtunnel between the threads of a free-threaded CPython: tools/test_ft runs them."""

import sys
import sysconfig

import pytest

if not sysconfig.get_config_var("Py_GIL_DISABLED"):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def no_gil():
    """No test may put the GIL in force, as importing an extension that needs one would."""
    yield
    assert not sys._is_gil_enabled()
