"""ot_global_t, OT_MODULE_GLOBALS, registries and locks, used by interpreters with their own GIL."""

import pytest


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
