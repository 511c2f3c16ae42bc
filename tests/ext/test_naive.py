"""What goes wrong in hand-written variants, each time; and, by the same script, not in ours.

tests/ext/naive/ has the mistakes, docs/extension-authors.md goes through them. A misused library
ends the process with status 77 (tests/ext/library.h)."""

import pytest

MISUSED = 77

TWO_AT_ONCE = """
    import sys
    from worlds import World, threads
    a, b = World(), World()
    threads(*[lambda w=w: w.must(f"import {sys.argv[1]}") for w in (a, b)])
    a.end()
    b.end()
"""

FIRST_ENDS = """
    import sys
    from worlds import World
    a, b = World(), World()
    a.must(f"import {sys.argv[1]} as m; m.use()")
    b.must(f"import {sys.argv[1]} as m; m.use()")
    a.end()
    b.must("m.use()")
    b.end()
"""

ONE_FAILS = """
    import os, sys
    from worlds import World
    a, b = World(), World()
    a.must(f"import {sys.argv[1]} as m, os")
    a.must("os.environ['NAIVE_FAILS'] = '1'")
    b.run(f"import {sys.argv[1]}")
    b.end()
    a.must("m.use()")
    a.end()
"""

ONE_LEAKS = """
    import sys
    from worlds import World
    a = World()
    a.must(f"import {sys.argv[1]} as m; m.leak()")
    a.end()
"""

DIE_TOGETHER = """
    import gc, sys
    m = __import__(sys.argv[1])
    cycle = [m.Handle()]
    cycle.append(cycle)
    del cycle, m, sys.modules[sys.argv[1]]
    gc.collect()
"""

MISTAKES = [
    ("naive_flag", TWO_AT_ONCE, "init"),
    ("naive_lazy_lock", TWO_AT_ONCE, "init"),
    ("naive_first_leaver", FIRST_ENDS, "use while it is not initialised"),
    ("naive_failed_exec", ONE_FAILS, "use while it is not initialised"),
    ("naive_by_type", DIE_TOGETHER, "use while it is not initialised"),
]


@pytest.mark.parametrize("module, script, how", MISTAKES, ids=[m[0] for m in MISTAKES])
def test_mistake_misuses_the_library(module, script, how, run_python):
    result = run_python(script, module, code=MISUSED)
    assert result.stderr.startswith("library misused: " + how), result.stderr


@pytest.mark.parametrize("script", [m[1] for m in MISTAKES[1:]], ids=[m[0] for m in MISTAKES[1:]])
def test_same_script_with_ours_is_fine(script, variant, run_python):
    result = run_python(script, variant, env={"LIBRARY_REPORT": "1"})
    inits, exits = [int(word) for word in result.stderr.split() if word.isdigit()]
    assert inits == exits > 0, result.stderr


def test_leaked_module_never_leaves(run_python):
    result = run_python(ONE_LEAKS, "naive_counted", env={"LIBRARY_REPORT": "1"})
    assert result.stderr == "library: 1 inits, 0 exits\n"


def test_leaked_module_is_settled_by_ours(variant, run_python):
    result = run_python(ONE_LEAKS, variant, env={"LIBRARY_REPORT": "1"})
    assert result.stderr == "library: 1 inits, 1 exits\n"


def test_lock_held_with_a_gil_deadlocks(run_python, free_threaded):
    """The script's own watchdog ends it. Ours: test_waiting_threads_hold_no_gil_..."""
    if free_threaded:
        pytest.skip("without a GIL there is none to wait for")
    result = run_python("""
        import faulthandler, naive_held_lock, threading
        faulthandler.dump_traceback_later(3, exit=True)  # runs without the GIL
        both = [threading.Thread(target=naive_held_lock.use_lazily) for _ in range(2)]
        for t in both:
            t.start()
        for t in both:
            t.join()
    """, code=1)
    assert "Timeout (0:00:03)!" in result.stderr
