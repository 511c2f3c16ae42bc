"""Which CPythons the C code lets in: a build for another one ends with a reason."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def preprocess(*options):
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    if not Path(sysconfig.get_path("include"), "internal", "pycore_pymem.h").exists():
        pytest.skip("needs CPython's headers")
    return subprocess.run(["cc", "-std=gnu11", "-E", "-D_GNU_SOURCE", f"-I{ROOT}", "-isystem", sysconfig.get_path("include"), *options,
                           "-o", "/dev/null", ROOT / "runtime/cpython/version.h"], stderr=subprocess.PIPE, text=True)


def test_this_one_is_let_in():
    done = preprocess(*(["-DOT_FREE_THREADED"] if FREE_THREADED else []))
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.version_info < (3, 14) or FREE_THREADED, reason="3.13 without a GIL is let in")
def test_newer_ones_without_a_gil_are_not():
    done = preprocess("-DPy_GIL_DISABLED=1", "-DOT_FREE_THREADED")
    assert done.returncode != 0
    assert "objtunnel knows CPython 3.13 only of those without a GIL" in done.stderr


def test_the_sources_of_other_builds_are_not():
    done = preprocess(*([] if FREE_THREADED else ["-DOT_FREE_THREADED"]))
    assert done.returncode != 0 and "these are the others" in done.stderr
