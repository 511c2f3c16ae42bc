"""ot_global_t, OT_MODULE_GLOBALS, registries and locks, used by interpreters with their own GIL."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_first_initialises_and_last_gives_back(variant, run_python):
    run_python("""
        import sys
        from worlds import World
        name = sys.argv[1]
        a, b = World(), World()
        a.must(f"import {name} as m; assert m.counts()['inits'] == 1")
        b.must(f"import {name} as m; h = m.Handle(); assert m.counts()['inits'] == 1")
        a.end()
        b.must("m.use(); assert m.counts()['exits'] == 0")
        b.end()
        m = __import__(name)
        counts = m.counts()
        assert (counts["inits"], counts["exits"]) == (2, 1), counts
        assert counts["uses"] == 3, counts  # Handle made, use, Handle freed
    """, variant)


def test_failed_init_is_its_callers_and_the_next_one_tries(variant, run_python):
    run_python("""
        import sys
        name = sys.argv[1]
        from worlds import World
        import os
        a, b, c = World(), World(), World()
        a.must(f"import os; os.environ['GUARDED_FAILURES'] = '100'")  # of the process: putenv
        error = a.run(f"import {name}")
        assert "init failed, as the dice would have it" in error, error
        a.must("os.environ['GUARDED_FAILURES'] = '0'")
        b.must(f"import {name} as m; assert m.counts()['inits'] == 1")
        a.end()  # its failed module is freed: that must not take b's library away
        b.must("m.use()")
        c.must(f"import {name} as m; m.use(); assert m.counts()['inits'] == 1")
        b.end()
        c.must("m.use()")
        c.end()
    """, variant)


def test_module_that_fails_later_has_left(variant, run_python):
    run_python("""
        import sys
        name = sys.argv[1]
        from worlds import World
        a = World()
        a.must("import os; os.environ['GUARDED_EXEC_FAILS'] = '1'")
        error = a.run(f"import {name}")
        assert "after the library was entered" in error, error
        a.must("import gc; gc.collect(); del os.environ['GUARDED_EXEC_FAILS']")
        m = __import__(name)
        counts = m.counts()
        assert (counts["inits"], counts["exits"]) == (2, 1), counts
        a.end()
        m.use()
    """, variant)


def test_interpreter_that_never_leaves_is_settled(variant, run_python):
    result = run_python("""
        import sys
        name = sys.argv[1]
        from worlds import World
        a = World()
        a.must(f"import {name} as m; m.leak(); m.enter(0, int); m.enter(0, int); m.get('k', int)")
        a.end()
        m = __import__(name)
        counts = m.counts()
        assert (counts["inits"], counts["exits"], counts["live"]) == (2, 1, 1), counts
        assert m.exits_of(0) == 1
        assert m.resource_counts() == (1, 1)
    """, variant, env={"OBJTUNNEL_DEBUG_GLOBALS": "1"})
    assert "ended without leaving 'scripted 0': 2" in result.stderr
    assert "ended without leaving 'resources' ['k']: 1" in result.stderr
    assert "ended without leaving 'guarded': 1" in result.stderr


def test_main_interpreter_leaves_at_the_end_of_the_process(variant, run_python):
    result = run_python("__import__(__import__('sys').argv[1]).Handle()", variant,
                        env={"LIBRARY_REPORT": "1", "OBJTUNNEL_DEBUG_GLOBALS": "1"})
    assert result.stderr == "library: 1 inits, 1 exits\n"


def test_debug_mode_names_imbalances(variant, run_python):
    result = run_python("""
        import sys
        m = __import__(sys.argv[1])
        m.enter(0, int)
        assert m.leave(0) == 0 and m.leave(0) == -1 and m.leave(1) == -1
        assert m.put("nothing") == -1
        m.enter(1, int)
    """, variant, env={"OBJTUNNEL_DEBUG_GLOBALS": "1"})
    assert result.stderr.splitlines() == [
        "objtunnel: interpreter 0 leaves without having entered 'scripted 0': 1",
        "objtunnel: interpreter 0 leaves without having entered 'scripted 1': 1",
        "objtunnel: interpreter 0 puts 'resources' ['nothing'], which nobody has",
        "objtunnel: interpreter 0 ended without leaving 'scripted 1': 1",
    ]


def test_executing_a_module_again_does_not_count_twice(variant, run_python):
    result = run_python("""
        import importlib, sys
        m = __import__(sys.argv[1])
        importlib.reload(m)
    """, variant, env={"LIBRARY_REPORT": "1", "OBJTUNNEL_DEBUG_GLOBALS": "1"})
    assert result.stderr == "library: 1 inits, 1 exits\n"


def test_two_files_of_an_extension_share_their_globals(variant, run_python):
    run_python("""
        import sys
        m = __import__(sys.argv[1])
        m.enter(0, int)
        m.enter(0, int)
        assert m.leave_elsewhere(0) == 0 and m.exits_of(0) == 0
        assert m.leave_elsewhere(0) == 0 and m.exits_of(0) == 1
        assert m.leave_elsewhere(0) == -1
    """, variant)


def test_exit_that_raises_is_reported_not_raised(variant, run_python):
    result = run_python("""
        import sys
        m = __import__(sys.argv[1])
        for times in 1, 2:
            m.enter(2, int)
            assert m.leave(2) == 0 and m.exits_of(2) == times
    """, variant)
    assert result.stderr.count("ValueError: from exit") == 2


def test_nested_globals_and_recursion(variant, run_python):
    run_python("""
        import sys
        m = __import__(sys.argv[1])
        m.enter(0, lambda: m.enter(1, int))  # another one from within: fine
        for enter in (lambda: m.enter(0, int), lambda: m.get("a", int)):
            enter()
        try:
            m.enter(2, lambda: m.enter(2, int))
        except RuntimeError as error:
            assert "'scripted 2' cannot be entered here: this thread is within its init" in str(error)
        else:
            raise AssertionError("entered from within its own init")
        try:
            m.get("b", lambda: m.get("b", int))
        except RuntimeError as error:
            assert "'resources' ['b'] cannot be entered here" in str(error), error
        assert m.get("c", lambda: m.get("d", int)) > m.get("d", int)
    """, variant)


def test_waiting_threads_hold_no_gil_and_share_the_result(variant, run_python):
    run_python("""
        import sys, threading
        from worlds import threads
        m = __import__(sys.argv[1])
        calls, go, about_to = [], threading.Event(), threading.Semaphore(0)

        def init():
            calls.append(1)
            go.wait()

        def enter():
            about_to.release()
            m.enter(0, init)

        def main():
            for _ in range(5):
                about_to.acquire()
            go.set()  # needs the GIL, which none of those who wait may hold

        threads(main, *[enter] * 5)
        assert len(calls) == 1
        assert [m.leave(0) for _ in range(6)] == [0] * 5 + [-1] and m.exits_of(0) == 1
    """, variant)


def test_failed_init_is_retried_by_who_waits(variant, run_python):
    run_python("""
        import sys, threading
        from worlds import threads
        m = __import__(sys.argv[1])
        entered, calls, failed = [], [], []

        def init():
            calls.append(1)
            if len(calls) < 4:
                raise ValueError(len(calls))

        def enter():
            try:
                m.enter(0, init)
                entered.append(1)
            except ValueError as error:
                failed.append(error.args[0])

        threads(*[enter] * 6)
        assert sorted(failed) == [1, 2, 3] and len(entered) == 3 and len(calls) == 4
    """, variant)


def test_circle_of_inits_is_refused(variant, run_python):
    run_python("""
        import sys, threading
        from worlds import threads
        m = __import__(sys.argv[1])
        both = threading.Barrier(2)
        refused = []

        def enter(mine, other):
            def init():
                both.wait()
                try:
                    m.enter(other, int)
                except RuntimeError as error:
                    refused.append(str(error))
            m.enter(mine, init)

        threads(lambda: enter(0, 1), lambda: enter(1, 0))
        # The first one waits, the second one would close the circle, goes on, and frees the first.
        assert len(refused) == 1 and "waits for this one" in refused[0], refused
    """, variant)


@pytest.mark.parametrize("who_first", ["importer", "initialiser"])
def test_circle_of_init_and_import_is_refused(variant, run_python, tmp_path, who_first):
    """One thread's init imports a module that another thread is importing, which waits for that
    init. Without importlib's help nobody could see that."""
    (tmp_path / "needs_global.py").write_text("import __main__\n__main__.body()\n")
    run_python("""
        import sys, threading, time
        from worlds import threads
        m = __import__(sys.argv[1])
        who_first = sys.argv[2]
        sys.path.insert(0, sys.argv[3])
        importing, initialising = threading.Event(), threading.Event()
        errors = []

        def waits(thread_id):
            "Whether importlib knows that the thread waits."
            import importlib._bootstrap as b
            return bool(b._blocking_on.get(thread_id))

        def until(condition):
            while not condition():
                time.sleep(0.001)

        def attempt(what):
            try:
                what()
            except RuntimeError as error:  # importlib's _DeadlockError is one too
                errors.append(str(error))

        def body():  # of the module, in the importer's thread
            importing.set()
            initialising.wait()
            if who_first == "initialiser":
                until(lambda: waits(ids["initialiser"]))
            attempt(lambda: m.enter(0, int))

        def init():
            initialising.set()
            if who_first == "importer":
                until(lambda: waits(ids["importer"]))
            attempt(lambda: __import__("needs_global"))

        ids = {}

        def importer():
            ids["importer"] = threading.get_ident()
            import needs_global

        def initialiser():
            ids["initialiser"] = threading.get_ident()
            importing.wait()
            m.enter(0, init)

        threads(importer, initialiser)
        if who_first == "importer":  # importlib finds it, and lets the init have half a module
            assert errors == [], errors
        else:
            assert len(errors) == 1 and "is importing" in errors[0], errors
    """, variant, who_first, tmp_path)


def test_ctrl_c_ends_the_wait(variant, run_python):
    run_python("""
        import os, signal, sys, threading
        m = __import__(sys.argv[1])
        begun, done = threading.Event(), threading.Event()

        def interrupt(*_):  # more signals may come than are needed
            if begun.is_set() and not done.is_set():
                done.set()
                raise KeyboardInterrupt

        def init():
            begun.set()
            while not done.wait(0.01):
                os.kill(os.getpid(), signal.SIGINT)

        signal.signal(signal.SIGINT, interrupt)
        other = threading.Thread(target=lambda: m.enter(0, init))
        try:
            other.start()
            while not begun.is_set():
                pass
            m.enter(0, int)
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError("entered")
        other.join()
        assert m.leave(0) == 0 and m.leave(0) == -1, "the interrupted one has not entered"
    """, variant)


def test_resources_by_key(variant, run_python):
    """The discussion's case: one interpreter uses 1, another 2; 1 goes when the first is done."""
    run_python("""
        import sys
        from worlds import World
        name = sys.argv[1]
        m = __import__(name)
        a, b = World(), World()
        a.must(f"import {name} as m; first = m.get('1', int); assert m.get('1', int) == first")
        b.must(f"import {name} as m; m.get('2', int); m.get('both', int)")
        a.must("m.get('both', int)")
        assert m.resource_counts() == (3, 0)
        a.must("assert m.put('1') == 0")
        assert m.resource_counts() == (3, 0)
        a.must("assert m.put('1') == 0")
        assert m.resource_counts() == (3, 1)
        a.must("assert m.put('1') == -1 and m.put('2') == -1  # b's")
        b.end()  # without putting anything back
        assert m.resource_counts() == (3, 2)
        a.must("assert m.put('both') == 0")
        assert m.resource_counts() == (3, 3)
        a.must('''
            try:
                m.get('1', lambda: 1 / 0)
            except ZeroDivisionError:
                assert m.put('1') == -1
            else:
                raise AssertionError
            assert m.get('1', int) == 4
        ''')
        a.end()
    """, variant)


def test_locks_exclude_across_interpreters(variant, run_python):
    run_python("""
        import sys
        from worlds import World, threads
        name, n, rounds = sys.argv[1], 3, 300
        m = __import__(name)
        all_of_them = [World() for _ in range(n)]
        work = (f"import {name} as m, time\\n"
                f"m.count_locked({rounds}, lambda: time.sleep(0))\\n"
                f"m.count_rwlocked({rounds}, lambda: time.sleep(0))")
        # Two threads of this interpreter as well: they wait for each other with one GIL.
        def here():
            exec(work, {})
        threads(here, here, *[lambda w=w: w.must(work) for w in all_of_them])
        assert m.count_locked(0, int) is not None
        assert m.count_locked(1, int) == (n + 2) * rounds + 1
        assert m.count_rwlocked(1, int) == (n + 2) * rounds + 1
        for w in all_of_them:
            w.end()
    """, variant)


def test_lock_taken_twice_says_so(variant, run_python):
    result = run_python("__import__(__import__('sys').argv[1]).lock_twice()", variant, code=-6)
    assert "acquiring the global lock 'guarded lock'" in result.stderr


def test_child_of_a_fork_uses_and_leaves(variant, run_python):
    result = run_python("""
        import os, sys
        m = __import__(sys.argv[1])
        m.get("k", int)
        pid = os.fork()
        m.use()
        assert m.get("k", int) == 1 and m.put("k") == 0
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
    """, variant, env={"LIBRARY_REPORT": "1"})
    assert result.stderr == "library: 1 inits, 1 exits\n" * 2


@pytest.mark.parametrize("header", ["objtunnel.h", "objtunnel_global.h"])
@pytest.mark.parametrize("language", ["c11", "c++17"])
def test_headers_alone_compile(header, language, tmp_path):
    compiler = shutil.which("g++" if language == "c++17" else "gcc")
    if compiler is None:
        pytest.skip(f"no compiler for {language} here")
    source = tmp_path / ("source.cpp" if language == "c++17" else "source.c")
    source.write_text(f"""
        #include "{header}"
        static void give_back(void) {{}}
        static int take(void *arg) {{ return arg == NULL; }}
        OT_MODULE_GLOBALS(thing, take, give_back)
        static void destroy(const char *key, void *value) {{ (void)key; (void)value; }}
        static ot_registry_t registry = OT_REGISTRY_INIT("things", destroy);
        static ot_global_lock_t lock = OT_GLOBAL_LOCK_INIT("lock");
        static ot_global_rwlock_t rwlock = OT_GLOBAL_RWLOCK_INIT("rwlock");
        int all(PyObject *module);
        int all(PyObject *module)
        {{
            ot_global_lock_acquire(&lock);
            ot_global_lock_release(&lock);
            ot_global_rwlock_acquire_read(&rwlock);
            ot_global_rwlock_release(&rwlock);
            thing_leave(module);
            return thing_enter(module) + ot_registry_put(&registry, "key");
        }}
    """)
    include = [f"-I{HERE.parents[1] / 'include'}", "-isystem", sysconfig.get_path("include")]
    base = sysconfig.get_config_var("INCLUDEPY")
    subprocess.run([compiler, f"-std={language}", "-Wall", "-Wextra", "-Werror", "-pedantic",
                    *include, "-isystem", base, "-fsyntax-only", source], check=True)


@pytest.mark.parametrize("rounds", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_stress(variant, run_python, rounds):
    result = run_python("import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')",
                        HERE / "stress_globals.py", variant, "--rounds", rounds, timeout=500)
    assert result.stdout.endswith("ok\n"), result.stdout
