"""ot_module_namespace: C code that uses its module's attributes shares them between interpreters."""

import sysconfig

import pytest

pytestmark = pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
                                reason="objtunnel itself does not support free-threaded builds")

START = """
    import settings, settings_users as users
    from objtunnel import Interpreter, LockingDict, module_namespace
"""


def test_attributes_are_shared_and_functions_are_not(run_python):
    run_python(START + """
    with Interpreter() as a, Interpreter() as b:
        assert settings.bump() == 101
        assert a.call(users.bump, 3, False) == 104  # its own 100 came too late
        assert b.call(users.look) == (104, "m", None) and settings.count == 104
        a.call(users.set_names, ["x", "y"])
        assert b.call(users.look)[2] == settings.names == ["x", "y"]
        settings.names.append("mine alone")
        assert settings.names == ["x", "y"]
        settings.forget_names()
        assert b.call(users.look)[2] is None
        try:
            settings.forget_names()
        except AttributeError as error:
            assert "no attribute 'names'" in str(error)
        else:
            raise AssertionError
        settings.unit = "ft"  # from Python, too
        assert a.call(users.look)[1] == "ft"
    own = vars(settings)
    assert {"bump", "Error"} <= own.keys() and not {"count", "unit"} & own.keys()
    assert {"bump", "count", "unit"} <= set(dir(settings))
    namespace = module_namespace(settings)
    assert type(namespace) is LockingDict and sorted(namespace) == ["count", "unit"]
    """)


def test_no_atomic_count_is_lost(run_python):
    run_python(START + """
    with Interpreter() as a, Interpreter() as b, Interpreter() as c:
        jobs = [i.submit(users.bump, 2000, True) for i in (a, b, c)]
        for job in jobs:
            job.result()
    assert settings.count == 100 + 3 * 2000
    """)


def test_classes_are_each_interpreters_own(run_python):
    run_python(START + """
    with Interpreter() as a:
        try:
            a.call(users.misbehave)
        except settings.Error as error:
            assert "own" in str(error)
        else:
            raise AssertionError
    """)


def test_namespace_outlives_the_interpreter_that_made_it(run_python):
    run_python("""
    from objtunnel import Interpreter
    import settings_users_late as late
    with Interpreter() as b:
        with Interpreter() as a:
            assert a.call(late.bump) == 101
            assert b.call(late.bump) == 102
        assert b.call(late.bump) == 103
    with Interpreter() as c:  # nobody was left who used it
        assert c.call(late.bump) == 101
    """)


def test_what_is_no_plain_module_is_refused(run_python):
    run_python("""
    import sys
    from objtunnel import module_namespace

    class Own(type(sys)):
        pass

    for wrong in (1, {}, None, Own("own")):
        try:
            module_namespace(wrong)
        except TypeError:
            pass
        else:
            raise AssertionError(wrong)
    """)
