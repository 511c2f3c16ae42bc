"""Interpreter: its own GIL, calls, futures, errors, closing."""

import concurrent.futures
import contextlib
import gc
import math
import os
import signal
import sys
import threading
import time
import warnings

import pytest

import objtunnel
from objtunnel import Interpreter, InterpreterClosed, Tunnel, _core, current_gil

WAIT = 60


# ---- GILs ---------------------------------------------------------------------------------------

def test_each_interpreter_has_its_own_gil(worker):
    with Interpreter() as other:
        mine, theirs, third = current_gil(), worker.call(current_gil), other.call(current_gil)
    assert len({mine, theirs, third}) == 3
    assert mine.is_main and not theirs.is_main
    assert theirs.interpreter == worker.id and mine.interpreter == 0
    assert f"{theirs.address:#x}" in repr(theirs) and "(main)" in repr(mine)


def test_threads_of_one_interpreter_share_a_gil(worker):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(current_gil()))
    thread.start()
    thread.join()
    assert seen == [current_gil()]
    assert worker.call(gils_of_threads)


def gils_of_threads():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(current_gil()))
    thread.start()
    thread.join()
    return seen == [current_gil()]


# ---- calls --------------------------------------------------------------------------------------

def double(x, /, *, times=2):
    return x * times


class Callable:
    def __call__(self, x):
        return x + 1

    def method(self, x):
        return x + 2


class Problem(Exception):
    def __init__(self, what, *, code):
        super().__init__(what)
        self.code = code

    def __reduce__(self):
        return (make_problem, (self.args[0], self.code))


def make_problem(what, code):
    return Problem(what, code=code)


class Unpicklable(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def raise_problem():
    raise Problem("bad", code=7)


def raise_unpicklable():
    raise Unpicklable(1, 2)


def return_lambda():
    return lambda: 1


def test_run_executes_in_main(worker):
    assert worker.run("x = 6 * 7") is None
    worker.run("assert x == 42 and __name__ == '__main__'")
    with pytest.raises(ZeroDivisionError) as info:
        worker.run("1 / 0")
    assert "<test-worker>" in str(info.value.__cause__)
    with pytest.raises(SyntaxError):
        worker.run("1 +")
    with pytest.raises(TypeError, match="call"):
        worker.run(len)


def test_call(worker):
    assert worker.call(double, 4) == 8
    assert worker.call(double, [1.5], times=3) == [1.5] * 3
    assert worker.call(math.sqrt, 2.25) == 1.5
    assert worker.call(Callable(), 1) == 2
    assert worker.call(Callable().method, 1) == 3
    assert worker.call(dict, a=1) == {"a": 1}
    assert worker.call(os.getpid) == os.getpid()


def test_arguments_stay_with_the_caller(worker):
    x = [1.5, [2.5]]
    assert worker.call(double, x) == [1.5, [2.5]] * 2
    assert x == [1.5, [2.5]]


def test_temporary_arguments_and_results_are_moved(worker):
    there = worker.call(make_box)
    sent = worker.call(identity, make_box())
    assert sent[1] == sent[2], "a temporary argument was copied"
    assert there[1] == id(there[0]), "a result was copied"


def make_box():
    box = [[float("1.5")] * 10]
    box.append(id(box[0]))
    return box


def identity(box):
    box.append(id(box[0]))
    return box


def test_exceptions_arrive_as_they_are(worker):
    with pytest.raises(Problem) as info:
        worker.call(raise_problem)
    assert info.value.code == 7
    assert "raise_problem" in str(info.value.__cause__)
    with pytest.raises(Unpicklable, match="^1 and 2$") as info:
        worker.call(raise_unpicklable)
    assert "raise_unpicklable" in str(info.value.__cause__)
    with pytest.raises(SystemExit):
        worker.call(sys.exit, 3)
    assert worker.call(double, 1) == 2


def test_a_result_that_cannot_be_sent(worker):
    with pytest.raises(TypeError, match=r"^result: cannot send this function"):
        worker.call(return_lambda)
    assert worker.call(double, 1) == 2


def test_functions_that_cannot_travel(worker):
    local = 3
    with pytest.raises(TypeError, match="top level"):
        worker.call(lambda: 1)
    with pytest.raises(TypeError, match="top level"):
        worker.call(lambda: local)
    with pytest.raises(TypeError, match="not callable"):
        worker.call(3)
    with pytest.raises(TypeError, match=r"^args\[0\]: cannot send"):
        worker.call(double, open(__file__))
    with pytest.raises(TypeError, match=r"^kwargs\['times'\]\[0\]: cannot send"):
        worker.submit(double, 1, times=[open(__file__)])



def test_arguments_that_the_worker_cannot_rebuild(worker):
    module = type(sys)("only_here")
    sys.modules["only_here"] = module
    exec("class C: pass", module.__dict__)
    try:
        with pytest.raises(ImportError, match="instances of only_here.C: No module named"):
            worker.call(double, [module.C()])
        future = worker.submit(double, [module.C()])
        with pytest.raises(ImportError, match="instances of only_here.C: No module named"):
            future.result(WAIT)
    finally:
        del sys.modules["only_here"]
    assert worker.call(double, 2) == 4


def test_ctrl_c_interrupts_the_call_and_the_callee(worker):
    began = time.monotonic()
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        worker.call(spin_for_ever)
    assert worker.call(double, 1) == 2  # spin_for_ever has ended
    assert time.monotonic() - began < WAIT / 2


def test_ctrl_c_interrupts_a_callee_that_waits(worker):
    t = Tunnel()
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        worker.call(t.recv)
    assert worker.call(double, 1) == 2


def spin_for_ever():
    while True:
        pass


# ---- futures -------------------------------------------------------------------------------------

def test_submit(worker):
    futures = [worker.submit(double, i) for i in range(20)]
    done, pending = concurrent.futures.wait(futures, timeout=WAIT)
    assert not pending and [f.result() for f in futures] == [i * 2 for i in range(20)]
    assert all(isinstance(f, concurrent.futures.Future) for f in futures)
    failed = worker.submit(raise_problem)
    assert isinstance(failed.exception(WAIT), Problem)


def test_callbacks_and_as_completed(worker):
    seen = threading.Event()
    worker.submit(double, 1).add_done_callback(lambda f: f.result() == 2 and seen.set())
    assert seen.wait(WAIT)
    futures = {worker.submit(double, i): i for i in range(5)}
    for f in concurrent.futures.as_completed(futures, timeout=WAIT):
        assert f.result() == futures[f] * 2


def test_interpreters_run_at_the_same_time():
    """Two calls that each wait for the other's message: impossible one after the other."""
    a, b = Tunnel(), Tunnel()
    with Interpreter() as one, Interpreter() as two:
        f, g = one.submit(shake_hands, a, b), two.submit(shake_hands, b, a)
        assert f.result(WAIT) == g.result(WAIT) == "hello"


def shake_hands(mine, theirs):
    theirs.send("hello")
    return mine.recv(timeout=WAIT)


def test_cancel(worker):
    gate = Tunnel()
    first = worker.submit(gate.recv)
    second, third = worker.submit(double, 1), worker.submit(double, 2)
    while not first.running():
        time.sleep(0.001)
    assert not first.cancel() and second.cancel() and second.cancel()
    assert second.cancelled() and not third.running()
    with pytest.raises(concurrent.futures.CancelledError):
        second.result(0)
    gate.send("go")
    assert first.result(WAIT) == "go" and third.result(WAIT) == 4
    assert not third.cancel() and worker.call(double, 3) == 6


def test_threads_share_an_interpreter(worker):
    def many():
        results.extend(worker.call(double, i) for i in range(50))

    results = []
    threads = [threading.Thread(target=many) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(WAIT)
    assert sorted(results) == sorted(list(range(0, 100, 2)) * 4)


def test_interpreters_in_interpreters(worker):
    assert worker.call(use_another) == 8


def use_another():
    with Interpreter() as inner:
        assert inner.submit(double, 3).result(WAIT) == 6
        return inner.call(double, 4)


# ---- closing ---------------------------------------------------------------------------------------

def test_close_is_final_and_may_be_repeated():
    i = Interpreter("closing")
    assert repr(i) == f"<objtunnel.Interpreter 'closing' id {i.id}, running>"
    i.close()
    i.close()
    assert i.closed and "ended" in repr(i)
    for use in (lambda: i.call(double, 1), lambda: i.submit(double, 1), lambda: i.run("x = 1")):
        with pytest.raises(InterpreterClosed):
            use()


def test_close_does_what_is_queued():
    i = Interpreter()
    out = Tunnel()
    futures = [i.submit(slow_send, out, n) for n in range(5)]
    i.close()
    assert [out.recv(0) for _ in range(5)] == list(range(5))
    assert [f.result(WAIT) for f in futures] == list(range(5))


def slow_send(out, n):
    time.sleep(0.02)
    out.send(n)
    return n


@pytest.mark.parametrize("leave", [False, True])
def test_close_leaves_no_future_undone(leave):
    """The thread that sees to the answers is busy: with a callback of another interpreter's future."""
    gate, busy, go_on = Tunnel(), threading.Event(), threading.Event()
    with Interpreter() as other:
        first = other.submit(gate.recv)
        first.add_done_callback(lambda future: (busy.set(), go_on.wait(WAIT)))
        gate.send("go")
        assert busy.wait(WAIT)
        try:
            with pytest.raises(KeyError) if leave else contextlib.nullcontext(), Interpreter() as i:
                futures = [i.submit(pow, n, 2) for n in range(5)]
                if leave:
                    raise KeyError
            if leave:
                assert all(f.done() for f in futures)
            else:
                assert [f.result(0) for f in futures] == [0, 1, 4, 9, 16]
        finally:
            go_on.set()


def test_close_with_a_timeout():
    i = Interpreter()
    gate = Tunnel()
    f = i.submit(gate.recv)
    with pytest.raises(TimeoutError):
        i.close(timeout=0.1)
    gate.send("go")
    i.close(timeout=WAIT)
    assert f.result(WAIT) == "go"


def test_garbage_interpreters_end_by_themselves():
    out = Tunnel()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        i = Interpreter("forgotten")
        f = i.submit(slow_send, out, 5)
        del i
        gc.collect()
    assert any(issubclass(w.category, ResourceWarning) for w in caught)
    assert f.result(WAIT) == 5 and out.recv(WAIT) == 5


def test_an_interpreter_stays_where_it_is(worker):
    with pytest.raises(TypeError, match="send a Tunnel"):
        worker.call(double, [worker])


@pytest.mark.slow
def test_a_hundred_interpreters_come_and_go():
    def some():
        for _ in range(25):
            with Interpreter() as i:
                results.append(i.call(double, [1.5]))

    results = []
    threads = [threading.Thread(target=some) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(10 * WAIT)  # one after the other under a sanitizer on a busy machine
    assert results == [[1.5, 1.5]] * 100


def test_sys_path_is_the_callers(tmp_path):
    (tmp_path / "objtunnel_path_test.py").write_text("def answer(): return 42\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import objtunnel_path_test
        with Interpreter() as i:
            assert i.call(objtunnel_path_test.answer) == 42
    finally:
        sys.path.remove(str(tmp_path))


def test_the_types_of_an_interpreter_that_ends_can_be_collected(run_script):
    """The module's state held functions that held the module: 200 kB stayed behind for each interpreter."""
    run_script("""
        import gc, sys

        def use_and_forget():
            import objtunnel
            tunnel = objtunnel.Tunnel()
            tunnel.send([1])
            for name in [name for name in sys.modules if name.startswith("objtunnel")]:
                del sys.modules[name]
            sys.meta_path[:] = [f for f in sys.meta_path if not getattr(f, "__module__", "").startswith("objtunnel")]

        use_and_forget()
        gc.collect()
        gc.collect()
        left = [o.__name__ for o in gc.get_objects() if isinstance(o, type)
                and o.__name__ in ("Receipt", "Tunnel", "LockingDict")]  # they have lost their __module__
        assert left == [], left
        """)


def test_only_an_interpreter_that_may_be_older_than_the_heap_looks_for_old_blocks():
    with Interpreter() as worker:
        assert worker.call(_core._take_old_blocks) is None
    assert _core._take_old_blocks() >= 0


def test_a_signal_between_two_looks_at_a_worker_that_does_not_end_is_noticed(run_script):
    """close() sleeps for a tenth of a second at most, again and again. A signal that another thread takes ends none of
    these sleeps, nor does one that comes between two of them: on a busy machine that was one Ctrl-C in four."""
    out = run_script("""
        import os, signal, threading, time
        from objtunnel import Interpreter, Tunnel

        def spin(begun):
            begun.send(1)
            while True: pass

        def told(*_):
            raise RuntimeError("told")

        if __name__ == "__main__":
            begun, worker = Tunnel(), Interpreter()
            worker.submit(spin, begun)
            begun.recv()
            signal.signal(signal.SIGUSR1, told)
            threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
            threading.Timer(30, lambda: os._exit(1)).start()
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])  # for this thread: another one takes it
            try:
                worker.close()
            except RuntimeError as error:
                print(error, flush=True)
                os._exit(0)
    """, check=False, timeout=60).stdout
    assert out == "told\n"
