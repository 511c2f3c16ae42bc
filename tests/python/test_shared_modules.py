"""shared_module(): one set of attributes for all interpreters. Each test in a Python of its own: such
a module stays for as long as the process."""

import os
from pathlib import Path

import pytest

START = """
import sys
import shared_module_users as users
from objtunnel import Interpreter, LockingDict, SharedArray, Tunnel, module_namespace, shared_module
"""


@pytest.fixture
def run(run_script, tmp_path):
    """run(body) with two workers, a and b."""

    def run_body(body):
        import textwrap
        source = (START + "if __name__ == '__main__':\n"
                  "    with Interpreter() as a, Interpreter() as b:\n"
                  + textwrap.indent(textwrap.dedent(body), " " * 8))
        path = os.pathsep.join([str(Path(__file__).parent / "helpers"), str(tmp_path / "more")])
        return run_script(source, env={**os.environ, "PYTHONPATH": path})

    return run_body


def test_attributes_are_the_same_everywhere(run):
    run("""
    assert a.call(users.try_import, "config") == "ModuleNotFoundError"
    config = shared_module("config")
    import config as imported
    assert imported is config is shared_module("config") is sys.modules["config"]
    config.debug, config.limits = True, {"rows": [1, 2]}
    assert a.call(users.look, "debug") is True
    assert b.call(users.look, "limits") == {"rows": [1, 2]}
    config.limits["rows"].append(3)  # a copy's
    assert config.limits == a.call(users.look, "limits") == {"rows": [1, 2]}
    a.call(users.write, "debug", [None])
    assert config.debug == b.call(users.look, "debug") == [None]
    b.call(users.delete, "debug")
    assert not hasattr(config, "debug") and a.call(users.look, "debug") is None
    """)


def test_handles_stay_handles(run):
    run("""
    config = shared_module("config")
    config.numbers, config.inbox = SharedArray("q", 3), Tunnel()
    a.call(users.look, "inbox").send("hello")
    assert config.inbox.recv(timeout=60) == "hello"
    a.call(users.look, "numbers")[1] = 7
    assert config.numbers.tolist() == [0, 7, 0]
    """)


def test_any_interpreter_makes_it(run):
    run("""
    assert a.call(users.make, "config") == ["made"]
    assert b.call(users.make, "config") == ["made"]
    import config
    assert config.made is True
    a.close()  # the maker goes, the module stays
    assert b.call(users.look, "made") is True
    """)


def test_namespace_is_a_locking_dict(run):
    run("""
    config = shared_module("config")
    jobs = [worker.submit(users.count, 1000) for worker in (a, b)]
    for job in jobs:
        job.result()
    assert config.hits == 2000
    namespace = module_namespace(config)
    assert type(namespace) is LockingDict and dict(namespace) == {"hits": 2000}
    """)


def test_what_belongs_to_the_interpreter(run):
    run("""
    config = shared_module("config")
    config.x = config._hidden = 1
    assert config.__name__ == "config" and config.__spec__.origin == "shared"
    config.__doc__ = "mine"
    assert a.call(users.look, "__doc__") is None
    assert dir(config)[-2:] == ["_hidden", "x"] and a.call(users.star) == ["x"]
    assert repr(config) == "<module 'config' (shared by all interpreters)>"
    t = Tunnel()
    t.send([config])
    assert t.recv()[0] is config  # by name
    """)


def test_values_that_cannot_be_shared(run):
    run("""
    config = shared_module("config")
    config.x = 1
    import threading
    for wrong in (open(__file__), (i for i in ()), threading.Lock()):
        try:
            config.x = wrong
        except TypeError:
            assert config.x == 1
        else:
            raise AssertionError(wrong)
    """)


def test_names_that_are_taken(run, tmp_path):
    (tmp_path / "more" / "parent").mkdir(parents=True)
    (tmp_path / "more" / "parent" / "__init__.py").write_text("")
    (tmp_path / "more" / "taken.py").write_text("x = 1")
    run("""
    import parent
    for name in ("json", "sys", "__main__", "taken", "parent", "shared_module_users", "no.parent"):
        try:
            shared_module(name)
        except ImportError as error:
            assert error.name in (name, "no"), error
        else:
            raise AssertionError(name)
    child = shared_module("parent.child")
    child.x = 1
    assert parent.child is child and a.call(users.try_import, "parent.child") == "parent"
    try:
        shared_module(5)
    except TypeError as error:
        assert "a module's name is a str" in str(error)
    """)


def test_errors_name_the_attribute(run):
    run("""
    config = shared_module("config")
    for action in (lambda: config.missing, lambda: delattr(config, "missing")):
        try:
            action()
        except AttributeError as error:
            assert error.name == "missing" and error.obj is config
            assert str(error) == "module 'config' has no attribute 'missing'"
        else:
            raise AssertionError
    """)


def test_reload_changes_nothing(run):
    run("""
    import importlib
    config = shared_module("config")
    config.x = 1
    assert importlib.reload(config) is config and config.x == 1
    assert module_namespace(config) is not None
    """)
