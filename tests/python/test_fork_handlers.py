"""What is called at a fork: registered once, and not by an import; tests/c/test_fork_handlers.c is about the C side."""

import os

import pytest


def test_python_callables_are_registered_once_and_only_by_who_needs_them(run_script):
    """An interpreter keeps what it has registered until the process ends."""
    out = run_script("""
        import importlib, os

        def note_registrations():
            global ours
            ours, register = [], os.register_at_fork

            def noted(**callables):
                register(**callables)
                ours.extend((when, f.__module__) for when, f in callables.items()
                            if str(f.__module__).startswith("objtunnel"))
            os.register_at_fork = noted

        def import_and_count():
            note_registrations()
            for _ in range(3):
                import objtunnel
                importlib.reload(objtunnel)
            objtunnel.Tunnel().send([1])
            return len(ours)

        if __name__ == "__main__":
            assert import_and_count() == 0
            import objtunnel

            def use():
                with objtunnel.Interpreter() as worker:
                    assert worker.call(import_and_count) == 0
                    assert worker.submit(abs, -1).result() == 1
                with objtunnel.InterpreterPoolExecutor(1) as pool:
                    assert pool.submit(abs, -1).result() == 1
                box, arrived = objtunnel.Box([1]), objtunnel.Event()
                objtunnel.when(box)(lambda tree: arrived.set())
                assert arrived.wait(60)

            use()
            first = sorted(ours)
            for _ in range(3):
                importlib.reload(objtunnel)
                use()
            assert sorted(ours) == first
            print(*first)
        """)
    assert out.stdout.strip() == (
        "('after_in_child', 'objtunnel._behaviours') ('after_in_child', 'objtunnel._executor') "
        "('after_in_child', 'objtunnel._interpreter') ('before', 'objtunnel._behaviours') "
        "('before', 'objtunnel._executor') ('before', 'objtunnel._interpreter')")


@pytest.mark.noasan  # its build of CPython has no allocator but malloc, which needs no range
def test_an_import_that_fails_twice_leaves_a_process_that_can_fork(run_script):
    """The heap's range is set up and then found to be of no use: mimalloc takes nothing from it."""
    run_script("""
        import os
        for _ in range(2):
            try:
                import objtunnel
            except ImportError as e:
                assert "address range" in str(e), e
            else:
                raise AssertionError("imported")
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """, env={**os.environ, "PYTHONMALLOC": "default", "MIMALLOC_DISALLOW_ARENA_ALLOC": "1"}, timeout=60)
