"""What newcomers stumbled over: programs as they write them first, and what they are told. CONTRIBUTING.md has the walk."""

import threading

import pytest

from objtunnel import InterpreterPoolExecutor, Interpreter, SharedArray, Tunnel

# As NumPy does: a screenful, and the reason is the cause's text.
ONLY_IN_MAIN = '''
import _interpreters
if _interpreters.get_current() != _interpreters.get_main():
    try:
        raise ImportError("module fake._core does not support loading in subinterpreters")
    except ImportError as error:
        raise ImportError("\\n\\nIMPORTANT: PLEASE READ THIS\\n" + "many lines\\n" * 20) from error
'''


@pytest.fixture
def fake(tmp_path):
    (tmp_path / "fake_numpy.py").write_text(ONLY_IN_MAIN)
    return tmp_path


def test_an_import_at_the_top_that_no_worker_can_do(run_script, fake):
    result = run_script("""
        import fake_numpy
        from objtunnel import InterpreterPoolExecutor

        def total(values):
            return sum(values)

        if __name__ == "__main__":
            with InterpreterPoolExecutor(1) as pool:
                print(pool.submit(total, [1, 2]).result())
        """, check=False)
    assert result.returncode == 1
    told = result.stderr[result.stderr.rindex("RuntimeError: "):]
    assert "'total': module fake._core does not support" in told.replace("ImportError: ", "") and len(told.splitlines()) == 5
    assert "if __name__ == '__main__':" in told and "many lines" not in told


def test_an_import_in_a_job_that_no_worker_can_do(run_script, fake):
    result = run_script("""
        from objtunnel import Interpreter, InterpreterPoolExecutor

        def total(values):
            import fake_numpy
            return sum(values)

        if __name__ == "__main__":
            with InterpreterPoolExecutor(1) as pool:
                print(pool.submit(total, [1, 2]).exception().__notes__)
            with Interpreter() as worker:
                worker.call(total, [1, 2])
        """, check=False)
    assert result.returncode == 1
    assert "can be imported in the main interpreter only" in result.stdout
    assert result.stderr.splitlines()[-1].startswith("objtunnel: this extension module can be imported in the main interpreter only")


def test_an_import_that_fails_for_another_reason_has_no_hint():
    with Interpreter() as worker, pytest.raises(ImportError) as error:
        worker.call(__import__, "no_such_module_anywhere")
    assert not hasattr(error.value, "__notes__")


def test_no_guard(run_script):
    result = run_script("""
        from objtunnel import InterpreterPoolExecutor

        def square(n):
            return n * n

        with InterpreterPoolExecutor(1) as pool:
            print(list(pool.map(square, range(3))))
        """, check=False)
    assert result.returncode == 1 and result.stderr.splitlines()[-3].strip() == "if __name__ == '__main__':"


@pytest.mark.parametrize("make", [threading.Lock, threading.RLock])
def test_a_lock_of_threading(make):
    with pytest.raises(TypeError, match=r"\$\['lock'\].*use objtunnel's Lock, RLock, Condition"):
        Tunnel().send({"lock": make()})


def test_a_thread():
    with pytest.raises(TypeError, match="start another one there"):
        Tunnel().send([threading.Thread()])


@pytest.mark.parametrize("wrong", [10, (2, 3), "float64", float, None, b"d"])
def test_a_shared_array_without_a_typecode(wrong):
    with pytest.raises(TypeError, match="a typecode is one of b B h H"):
        SharedArray(wrong, 3)


def test_a_shared_array_of_a_typecode_that_is_none():
    for wrong in ("x", "€"):
        with pytest.raises(ValueError, match="a typecode is one of b B h H"):
            SharedArray(wrong, 3)


def test_an_array_in_an_object_is_named_as_the_argument_that_it_is():
    np = pytest.importorskip("numpy", reason="no NumPy: pip install numpy into the venv")
    from instance_classes import Plain
    thing = Plain()
    thing.data = np.ones(3)
    with InterpreterPoolExecutor(1) as pool:
        error = pool.submit(len, [thing]).exception()
    assert type(error) is TypeError and str(error).startswith("args[0][0].data: this is a numpy.ndarray"), error


ENDS = """
    from objtunnel import {kind}

    def work(n):
        import time
        time.sleep(0.1)
        print(n, flush=True)

    if __name__ == "__main__":
        worker = {kind}({arguments})
        jobs = [worker.submit(work, n) for n in range(3)]
    """


def test_the_end_of_the_program_lets_a_pool_finish(run_script):
    assert run_script(ENDS.format(kind="InterpreterPoolExecutor", arguments="1")).stdout == "0\n1\n2\n"


def test_the_end_of_the_program_does_not_wait_for_what_an_interpreter_has_queued(run_script):
    assert "2" not in run_script(ENDS.format(kind="Interpreter", arguments="")).stdout
