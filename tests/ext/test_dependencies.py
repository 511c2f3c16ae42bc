"""Globals whose inits enter others, extensions over one library, throwing inits, the end of everything."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
both = pytest.mark.parametrize("alone", ["_alone"] if FREE_THREADED else ["", "_alone"])


@both
def test_need_outlives_the_interpreter_that_made_it(alone, run_python):
    run_python("""
        import sys
        from worlds import World
        name = sys.argv[1]
        m = __import__(name)
        a, b = World(), World()
        for world in a, b:
            world.must(f"import {name} as m; m.enter(0, '011223')")
        a.end()
        assert m.counts(1) == (1, 0, 1)
        b.must("m.use(0); assert m.leave(1) == -1  # it is thing 0's")
        b.end()
        assert [m.counts(i) for i in range(4)] == [(1, 1, 0)] * 4
    """, "dependent" + alone)


@both
def test_one_interpreter_settles_in_order(alone, run_python):
    run_python("""
        import sys
        from worlds import World
        name = sys.argv[1]
        m = __import__(name)
        a = World()
        a.must(f"import {name} as m; m.enter(3, ''); m.enter(0, '01121323'); m.enter(1, '')")
        a.end()  # a thing's exit checks that what it needs is there
        assert [m.counts(i) for i in range(4)] == [(1, 1, 0)] * 4
    """, "dependent" + alone)


@both
def test_library_outlives_its_features(alone, run_python):
    run_python("""
        import sys
        from worlds import World
        name = sys.argv[1]
        m = __import__(name)
        a, b = World(), World()
        for world in a, b:
            world.must(f"import {name} as m; m.on('x')")
        a.end()
        b.must("m.on('y'); assert m.off('x') == 0 and m.off('x') == -1")
        assert m.library_counts() == (1, 0, 1)
        b.must("assert m.off('y') == 0")
        assert m.library_counts() == (1, 1, 0)
        b.end()
    """, "dependent" + alone)


@both
def test_failed_init_gives_back_what_it_entered(alone, run_python):
    run_python("""
        import sys
        m = __import__(sys.argv[1])
        try:
            m.enter(0, "010212!0")
        except OSError as error:
            assert str(error) == "init of thing 0 fails"
        else:
            raise AssertionError
        assert [m.counts(i) for i in (1, 2)] == [(1, 1, 0)] * 2
        try:
            m.enter(0, "0112!2")  # from below: 0 and 1 have needs of which one failed
        except OSError as error:
            assert str(error) == "init of thing 2 fails"
        assert m.leave(0) == m.leave(1) == m.leave(2) == -1
        m.enter(0, "01")
        assert m.leave(0) == 0 and m.counts(1) == (2, 2, 0)
    """, "dependent" + alone)


@both
def test_circle_is_named(alone, run_python):
    run_python("""
        import sys
        m = __import__(sys.argv[1])
        for plan, circle in [("010", None), ("00", "'thing 0' needs 'thing 0'"),
                             ("0110", "'thing 0' needs 'thing 1' needs 'thing 0'"),
                             ("011221", "'thing 1' needs 'thing 2' needs 'thing 1'")]:
            try:
                m.enter(0, plan)
            except RuntimeError as error:
                assert str(error).endswith("within its init or exit: " + circle), error
            else:
                assert circle is None and m.leave(0) == 0
            assert [m.counts(i)[2] for i in range(3)] == [0, 0, 0]
    """, "dependent" + alone)


@pytest.mark.skipif(FREE_THREADED, reason="objtunnel itself does not support free-threaded builds")
def test_inspection_shows_who_needs_what(run_python):
    run_python("""
        import dependent as m, objtunnel
        m.enter(0, "0112")
        m.on("x")
        shown = {(g.name, g.key): (g.users, g.needed_by) for g in objtunnel.process_globals()}
        assert shown["thing 0", None] == ({0: 1}, []), shown
        assert shown["thing 1", None] == ({}, ["thing 0"])
        assert shown["thing 2", None] == ({}, ["thing 1"])
        assert shown["library", None] == ({}, ["features['x']"])
        assert shown["thing 4", None] == ({}, ["dependent"])  # entered with the module, in its init
    """)


@both
def test_globals_nested_at_random(alone, run_python):
    """From several threads and interpreters; a thing's use and its exit check all that it needs."""
    result = run_python("""
        import random, sys, threading
        from worlds import World, threads
        name, rounds = sys.argv[1], int(sys.argv[2])
        m = __import__(name)

        def visit(seed):
            rng = random.Random(seed)
            for _ in range(rounds):
                world = World()
                plan = "".join(f"{i}{j}" for i in range(4) for j in range(i + 1, 4) if rng.random() < 0.4)
                if rng.random() < 0.3:
                    plan += f"!{rng.randrange(4)}"
                world.must(f'''
                    import random, {name} as m
                    rng, entered = random.Random({seed}), []
                    for _ in range({rng.randrange(6)}):
                        i = rng.randrange(4)
                        try:
                            m.enter(i, {plan!r})
                            entered.append(i)
                        except OSError:
                            pass
                        if rng.random() < 0.3:
                            m.on(rng.choice("xyz"))
                        for i in entered:
                            m.use(i)
                        if entered and rng.random() < 0.5:
                            assert m.leave(entered.pop()) == 0
                        if rng.random() < 0.2:
                            m.off("x")
                ''')
                world.end()

        threads(*[lambda i=i: visit(i) for i in range(3)])
        for i in range(4):
            inits, exits, live = m.counts(i)
            assert inits == exits > 0 and not live, (i, inits, exits)
        assert m.library_counts()[2] == 0
    """, "dependent" + alone, 8, timeout=300)
    assert result.stderr == ""


# ---- the end of an interpreter -------------------------------------------------------------------

KEPT = {
    "fork": "import os; os.register_at_fork(before=H, after_in_child=H)",
    "callbacks": "import gc; gc.callbacks.append(H)",
    "garbage": "import gc; gc.garbage.append(H)",
    "profile": "import sys; sys.setprofile(None); sys.monitoring.use_tool_id(3, 'late'); "
               "sys.monitoring.register_callback(3, sys.monitoring.events.LINE, H)",
}


@both
@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("of_module", [True, False])
@pytest.mark.parametrize("where", ["main", "other"])
def test_last_objects_find_their_library(alone, kept, of_module, where, run_python):
    source = f"import {'late' + alone} as m; H = m.Handle({of_module}); {KEPT[kept]}; del H"
    if not of_module:
        source += "; m.leak()"  # nobody leaves: it is settled
    if where == "main":
        result = run_python(source, env={"LIBRARY_REPORT": "1"})
    else:
        result = run_python("""
            import sys
            from worlds import World
            w = World()
            w.must(sys.argv[1])
            w.end()
        """, source, env={"LIBRARY_REPORT": "1"})
    told = [line for line in result.stderr.splitlines() if "uncollectable objects at shutdown" not in line]  # debug builds
    assert told == ["library: 1 inits, 1 exits"]


@both
def test_thread_that_ends_within_init_is_told(alone, run_python):
    run_python("""
        import os, sys
        m = __import__(sys.argv[1])
        m.end_within_init()
        for times in 1, 2:
            try:
                m.enter_fatal()
            except RuntimeError as error:
                assert "'fatal' cannot be entered here: the thread within its init or exit has ended" == str(error)
            else:
                raise AssertionError
        sys.stdout.flush()
        os._exit(0)  # that thread's state is still there, and Python would wait for it
    """, "late" + alone, timeout=60)


# ---- several shared objects -----------------------------------------------------------------------

def test_header_only_global_in_two_files_is_refused(run_python):
    run_python("""
        import common_a_alone as a, common_b_alone as b
        a.enter_common()
        for times in 1, 2:
            try:
                b.enter_common()
            except RuntimeError as error:
                assert "'common' cannot be entered here: another shared object has entered it" in str(error)
                assert "objtunnel.h" in str(error)
            else:
                raise AssertionError
            assert b.leave_common() == -1
        assert a.leave_common() == 0
    """)


@pytest.mark.skipif(FREE_THREADED, reason="objtunnel itself does not support free-threaded builds")
def test_capsule_global_in_two_files_is_one(run_python):
    run_python("""
        import common_a as a, common_b as b
        a.enter_common()
        b.enter_common()
        assert a.leave_common() == 0 and b.leave_common() == 0 and a.leave_common() == -1
    """)


@pytest.mark.skipif(FREE_THREADED, reason="objtunnel itself does not support free-threaded builds")
def test_two_extensions_share_a_library_by_name(run_python):
    run_python("""
        import objtunnel
        from worlds import World
        a, b, c = World(), World(), World()
        a.must("import common_a as m")
        b.must("import common_b as m")
        a.must("m.use()")
        (shown,) = [g for g in objtunnel.process_globals() if g.name == "a common library"]
        assert sorted(shown.users.values()) == [1, 1] and shown.inits == 1
        a.end()  # its exit does not run under the other
        b.must("m.use()")
        c.must("import common_a as m; m.use(); assert m.counts() == (0, 1)")
        b.end()
        c.must("m.use()")
        c.end()
        import common_a, common_b, common_c
        assert common_a.counts() == (1, 1)  # common_a's init ran, and so did its exit
        assert common_b.counts() == common_c.counts() == (0, 1)
    """)


# ---- C++ ------------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def build_cxx(tmp_path_factory):
    """build_cxx(source, name, *flags): the folder with that extension, made by a C++ compiler."""
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler here")

    def build(source, name, *flags):
        folder = tmp_path_factory.mktemp("cxx")
        subprocess.run(
            [compiler, "-shared", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-pthread",
             "-fvisibility=hidden", f"-I{HERE.parents[1] / 'include'}", f"-I{HERE}",
             "-isystem", sysconfig.get_path("include"), *flags, HERE / source,
             "-o", folder / (name + sysconfig.get_config_var("EXT_SUFFIX"))], check=True)
        return str(folder)

    return build


@pytest.fixture(params=["_alone"] if FREE_THREADED else ["", "_alone"], scope="session")
def thrower(request, build_cxx):
    flags = ["-DOT_TEST_ALONE"] if request.param else []
    return "thrower" + request.param, build_cxx("thrower.cc", "thrower" + request.param, *flags)


@pytest.mark.noasan  # its __cxa_throw is looked up before libstdc++ is loaded
def test_throwing_init_is_its_callers(thrower, run_python):
    run_python("""
        import sys
        from worlds import threads
        sys.path.append(sys.argv[2])
        m = __import__(sys.argv[1])

        def fails(what, *args):
            for times in 1, 2:
                try:
                    what(*args)
                except OSError as error:
                    assert str(error) == "device busy", error
                else:
                    raise AssertionError(what)

        m.throw(True)
        for what, args in (m.enter, ()), (m.get, ("k",)), (m.raii, ()):
            fails(what, *args)
            threads(lambda: fails(what, *args), lambda: fails(what, *args))
        try:
            m.raise_python()
        except KeyError as error:
            assert error.args == ("a Python exception",)
        m.throw(False)
        threads(m.enter, m.enter)
        m.get("k")
        assert m.raii() == 1 and m.raii() == 2, "each scope enters and leaves"
        assert m.counts() == (1, 0)
        assert m.leave() == 0 and m.leave() == 0 and m.leave() == -1
        assert m.put("k") == 0
    """, *thrower)


@pytest.mark.noasan
def test_throwing_exit_is_reported(thrower, run_python):
    result = run_python("""
        import sys
        from worlds import World
        sys.path.append(sys.argv[2])
        m = __import__(sys.argv[1])
        m.throw(False)
        m.enter()
        m.get("k")
        m.throw(True)
        assert m.leave() == 0 and m.put("k") == 0
        m.throw(False)
        m.enter()  # not wedged
        assert m.counts() == (2, 1)
        world = World()
        world.must(f"import {sys.argv[1]} as m; m.enter(); m.get('k')")
        assert m.leave() == 0
        m.throw(True)
        world.end()
        m.throw(False)
        m.enter()
        assert m.counts() == (3, 2)
    """, *thrower)
    for name, what in ("device", "device does not close"), ("resources", "resource does not close"):
        text = f"RuntimeError: a C++ exception: {what}"
        assert result.stderr.count(text) == 2, result.stderr
        assert f"objtunnel: the exit of '{name}' failed: {text}\n" in result.stderr  # by the one that ended


def test_locks_of_objtunnel_hpp(thrower, run_python):
    run_python("""
        import sys
        from worlds import threads
        sys.path.append(sys.argv[2])
        m = __import__(sys.argv[1])
        threads(*[lambda: m.count_locked(2000)] * 4)
        assert m.count_locked(0) == (8000, 8000)
        assert m.try_locks()
    """, *thrower)
