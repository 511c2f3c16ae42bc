"""A build in another micro version of its CPython: each private layout is found to be the same, or the import refuses.

make check-micro runs the tests of a build there; here the proof is asked in the version that it was built for.
"""

import importlib.util
import platform
import sys

import pytest

from objtunnel import _core

NAMES = _core._layouts()


def test_all_layouts_of_the_own_version_are_found():
    assert len(NAMES) > 80
    for _ in range(3):  # it leaves nothing that it would stumble over
        assert _core._layouts(-1, 0) is None


def test_in_a_worker(worker):
    assert worker.call(_core_layouts) is None


def _core_layouts():
    return _core._layouts(-1, 0)


@pytest.mark.noasan  # what lies beside an object is read
@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_a_falsified_layout_is_named(number):
    """A field that lies 8 bytes further than was compiled: what is read there is not what must stand there."""
    assert _core._layouts(number, 8) == NAMES[number]


def test_nothing_is_left_behind():
    """No watcher, no asynchronous exception: what the proof borrows it gives back."""
    import gc
    before = gc.get_threshold(), gc.isenabled(), sys.getswitchinterval()
    for _ in range(20):  # a process has eight watchers
        assert _core._layouts(-1, 0) is None
    assert (gc.get_threshold(), gc.isenabled(), sys.getswitchinterval()) == before


def test_the_build_says_what_it_was_built_for():
    built, runs = _core._build_info()["python"], platform.python_version()
    assert built.rpartition(".")[0] == runs.rpartition(".")[0]


def test_another_minor_version_is_refused_by_the_file_name():
    """The loader looks for the minor version in the name, so that only micro versions meet each other's builds."""
    minor = f"cpython-3{sys.version_info.minor}"
    assert minor in _core.__file__
    assert all(suffix.count("cpython-") == 0 or minor in suffix for suffix in importlib.machinery.EXTENSION_SUFFIXES)
