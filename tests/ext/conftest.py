"""Tests of extensions that use our headers. Nothing here needs objtunnel itself: with a free-threaded
CPython (tools/check_nogil) the extensions of the header-only variant run these tests too."""

import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def _folder():
    if "OT_TEST_EXT" in os.environ:
        return os.environ["OT_TEST_EXT"]
    import objtunnel
    return str(Path(objtunnel.__file__).parents[2] / "ext")


FOLDER = _folder()


@pytest.fixture(params=["guarded_alone"] if FREE_THREADED else ["guarded", "guarded_alone"])
def variant(request):
    """The extension by the capsule, and by the header-only variant."""
    return request.param


@pytest.fixture
def run_python():
    """run_python(source, *args, ...) runs source in a Python of its own, with the extensions and
    tests/ext/worlds.py on its path; its result. `code`: its expected exit status, None for any."""

    def run(source, *args, env=None, timeout=120, code=0):
        path = os.pathsep.join([FOLDER, str(HERE)])
        result = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source), *map(str, args)],
            capture_output=True, text=True, timeout=timeout,
            env={**os.environ, "PYTHONPATH": path, **(env or {})})
        if code is not None:
            assert result.returncode == code, result.stdout + result.stderr
        return result

    return run


@pytest.fixture
def ext_folder():
    """Where the extensions were built to."""
    return FOLDER


@pytest.fixture
def free_threaded():
    return FREE_THREADED
