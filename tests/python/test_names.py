"""What tab completion, help() and annotations find. (The stubs: make check-types.)"""

import pydoc
import subprocess
import sys

import pytest

import objtunnel


def test_dir_knows_everything_public():
    assert set(objtunnel.__all__) <= set(dir(objtunnel))
    assert len(objtunnel.__all__) == len(set(objtunnel.__all__))
    assert all(hasattr(objtunnel, name) for name in objtunnel.__all__)


@pytest.mark.parametrize("question", ["dir(objtunnel)", "pydoc.plain(pydoc.render_doc(objtunnel))"])
def test_also_before_a_name_was_used(question):
    code = f"import objtunnel, pydoc; answer = {question}; print([n for n in objtunnel.__all__ if n not in answer])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"


def test_help_has_the_class():
    text = pydoc.plain(pydoc.render_doc(objtunnel))
    assert "class Interpreter" in text and "class Tunnel" in text


def test_an_import_loads_nothing_of_what_is_lazy():
    code = "import objtunnel, sys; print('concurrent.futures' in sys.modules, 'objtunnel._interpreter' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "False False\n"


def test_a_name_that_is_none():
    with pytest.raises(AttributeError, match="module 'objtunnel' has no attribute 'Tunel'"):
        objtunnel.Tunel
    with pytest.raises(ImportError, match="cannot import name"):
        from objtunnel import Interprter  # noqa: F401


@pytest.mark.parametrize("name", ["Tunnel", "Box", "LockingDict", "LockingList", "SharedFile"])
def test_types_that_stubs_call_generic_take_an_index(name):
    cls = getattr(objtunnel, name)
    assert cls[int].__origin__ is cls
