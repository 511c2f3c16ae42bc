"""What a worker sees of its caller's script or session; leaving a with block; Ctrl-C."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import types
import zipapp

import pytest

import objtunnel
from objtunnel import _exit

ROOT = os.path.dirname(os.path.dirname(objtunnel.__file__))
ENV = {**os.environ, "PYTHONPATH": ROOT}


def python(*args, cwd=None, text=None, check=True):
    result = subprocess.run([sys.executable, *map(str, args)], cwd=cwd, input=text, env=ENV, text=True,
                            capture_output=True, timeout=100)
    if check:
        assert result.returncode == 0, result.stdout + result.stderr
    return result


# ---- the script is run once ----------------------------------------------------------------------

PROGRAM = """
    import functools, threading, types, xml.etree.ElementTree
    import objtunnel

    COUNT, LOG, RUNS = 0, {}, []
    lock = threading.Lock()
    RUNS.append(__name__)

    class Counter:
        class Inner:
            pass
        def bump(self):
            global COUNT
            COUNT += 1
            LOG["n"] = LOG.get("n", 0) + 1

    def logged(fn):
        @functools.wraps(fn)
        def wrapper(*args):
            return ["logged", fn(*args)]
        return wrapper

    @logged
    @logged
    def decorated(x):
        return x + 1

    @functools.lru_cache
    def cached(x):
        return x * 2

    def work():
        Counter().bump()
        Counter().bump()
        return COUNT, LOG, RUNS, __file__

    def set_count(value):
        global COUNT
        COUNT = value

    def attribute(o):
        def inner():
            return o.lock
        return o.lock + inner()

    def tag():
        return xml.etree.ElementTree.fromstring("<a/>").tag

    def make():
        return [Counter(), Counter.Inner(), Counter, make]

    def deeper(x):
        with objtunnel.Interpreter() as v:
            return v.call(decorated, x)

    def get():
        return X

    if __name__ == "__main__":
        with objtunnel.Interpreter() as w:
            w.run("X = 99")
            assert w.call(get) == 99
            count, log, runs, file = w.call(work)
            assert (count, log, runs) == (2, {"n": 2}, ["__mp_main__"]), (count, log, runs)
            assert file and COUNT == 0 and RUNS == ["__main__"]
            w.call(set_count, 40)
            w.run("assert COUNT == 40 and X == 99 and decorated(1) == ['logged', ['logged', 2]]")
            w.run("COUNT = 50")
            assert w.call(work)[0] == 52
            assert w.call(decorated, 1) == ["logged", ["logged", 2]] and w.call(cached, 4) == 8
            assert w.call(attribute, types.SimpleNamespace(lock=1)) == 2 and w.call(tag) == "a"
            a, b, c, d = w.call(make)
            assert type(a) is Counter and type(b) is Counter.Inner and c is Counter and d is make
            assert w.call(isinstance, a, Counter) and w.call(deeper, 1) == ["logged", ["logged", 2]]
        print("done")
"""


@pytest.mark.parametrize("command", [["script.py"], ["./script.py"], ["-m", "script"], ["-m", "pack"],
                                     ["-m", "pack.mod"], ["app"], ["app.pyz"], ["-m", "app"],
                                     ["-m", "pdb", "-c", "c", "script.py"]], ids=" ".join)
def test_a_script_is_run_once_however_it_was_started(command, tmp_path):
    source = textwrap.dedent(PROGRAM)
    (tmp_path / "script.py").write_text(source)
    for name in ("pack", "app"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__main__.py").write_text(source)
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "mod.py").write_text(source)
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    assert "done" in python(*command, cwd=tmp_path, text="q\n").stdout


def test_children_of_multiprocessing(run_script):
    run_script("""
        import multiprocessing
        import objtunnel

        class Point:
            def __init__(self, x):
                self.x = x

        def make(x):
            return Point(x)

        def work(i):
            with objtunnel.Interpreter() as w:
                point = w.call(make, i)
                assert type(point) is Point
                return w.call(abs, -i) + point.x + w.submit(lambda: make(i).x).result()

        if __name__ == "__main__":
            for method in ("spawn", "forkserver"):
                with multiprocessing.get_context(method).Pool(1) as pool:
                    assert pool.map(work, [1, 2]) == [3, 6], method
        """, env=ENV)


FAILING = """
    import objtunnel
    MADE = 1
    {line}

    def f():
        return MADE

    class C:
        pass

    if __name__ == "__main__":
        with objtunnel.Interpreter() as w:
            w.run("MADE = 5")
            for job in (f, f, C):
                try:
                    w.call(job)
                except RuntimeError as error:
                    print(str(error).splitlines()[0])
                    assert "if __name__ == '__main__':" in str(error), error
                else:
                    print("no error")
            w.run("assert MADE == 5 and __name__ == '__main__' and 'f' not in globals()")
"""


@pytest.mark.parametrize("line, what", [
    ("if __name__ != '__main__': 1 / 0", "ZeroDivisionError: division by zero"),
    ("if __name__ != '__main__': raise SystemExit(3)", "it ends the program"),
    ("if __name__ != '__main__': import _nothing_of_that_name", "ModuleNotFoundError: No module named"),
    ("if __name__ != '__main__': objtunnel.Interpreter()", "RuntimeError: an Interpreter is being made"),
])
def test_a_script_that_cannot_be_run_says_so_each_time(run_script, line, what):
    lines = run_script(FAILING.format(line=line), env=ENV).stdout.splitlines()
    assert len(lines) == 3
    for line, name in zip(lines, "ffC"):
        assert f"script.py cannot be run in another interpreter, which needs its '{name}': {what}" in line


def test_a_name_that_the_script_makes_under_its_guard_only(run_script):
    result = run_script("""
        import objtunnel
        if __name__ == "__main__":
            def late():
                pass
            with objtunnel.Interpreter() as w:
                try:
                    w.call(late)
                except AttributeError as error:
                    print(error)
        """, env=ENV)
    assert "defines no 'late' when it is run for another interpreter" in result.stdout


# ---- by value ------------------------------------------------------------------------------------

def test_lambdas_and_closures_travel_as_they_are_at_each_call(run_script):
    run_script("""
        import math
        import objtunnel

        BASE, TABLE = 1, [1]

        def outer(t):
            count = 10
            def inner(x):
                t.send([x + count])
                return x
            return inner

        def recursive():
            def down(n):
                return [n] + (down(n - 1) if n else [])
            return down

        def local_class():
            class Local:
                def __init__(self, x): self.x = x
                def twice(self): return Local(self.x * 2)
            return Local

        def body():
            class Body:
                value = BASE       # LOAD_NAME
            return Body.value

        if __name__ == "__main__":
            with objtunnel.Interpreter() as w:
                assert [w.call(f, 2) for f in [lambda x, i=i: x * i for i in range(3)]] == [0, 2, 4]
                assert [w.call((lambda i: lambda x: x * i)(i), 2) for i in range(3)] == [0, 2, 4]
                t = objtunnel.Tunnel()
                assert w.call(outer(t), 1) == 1 and t.recv() == [11]
                assert w.call(recursive(), 2) == [2, 1, 0]
                for BASE in (5, 6):
                    assert w.call(lambda: BASE + math.floor(1.5)) == BASE + 1
                assert w.call(lambda: [TABLE.append(2), len(TABLE)][1]) == 2 and TABLE == [1]
                assert w.call(lambda: [TABLE.append(2), len(TABLE)][1]) == 2  # nothing stays
                w.run("FROM_RUN = 7")
                assert w.call(lambda: FROM_RUN) == 7
                Local = local_class()
                got = w.call(lambda o: [o, o.twice()], Local(4))
                assert type(got[0]) is Local and type(got[1]) is Local and got[1].x == 8
                exec(compile("def typed(): return BASE", "<typed>", "exec"))
                assert w.call(typed) == BASE == 6
                assert w.call(eval(compile(body.__code__.co_consts and "lambda: body()", "<e>", "eval"))) == 1
                t.send([lambda x: x + BASE])
                assert w.call(lambda t: t.recv()[0](1), t) == 7
        """, env=ENV)


SESSION = """
import sys
import objtunnel
LIMIT = 5
def get(): return LIMIT

class Point:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return type(self) is type(other) and self.x == other.x

class Empty: pass

def make(x): return [Point(x), Empty()]

w = objtunnel.Interpreter()
assert w.call(get) == 5
LIMIT = 6
assert w.call(get) == 6
p, e = w.call(make, 3)
assert type(p) is Point and p == Point(3) and type(e) is Empty
assert w.call(lambda q: q.x, p) == 3
Old = Point
class Point: pass

assert w.call(lambda a, b: type(a) is type(b), Old(1), Point()) is False
assert type(w.call(lambda o: o, Old(1))) is Old
w.close()
print("done")
"""


@pytest.mark.parametrize("args", [["-c", SESSION], ["-"], ["-i", "-q"]], ids=["-c", "-", "-i"])
def test_sessions(args):
    result = python(*args, text="" if args[0] == "-c" else SESSION, check=False)
    assert "done" in result.stdout, result.stderr


def test_a_notebook(run_script):
    """Its cells are compiled one by one, into a __main__ without a file."""
    script = "CELLS = " + repr([cell for cell in SESSION.split("\n\n")]) + textwrap.dedent("""
        import sys, types
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        for i, cell in enumerate(CELLS):
            exec(compile(cell, f"<cell {i}>", "exec"), main.__dict__)
        """)
    assert run_script(script, env=ENV).stdout == "done\n"


def test_a_session_after_a_script(tmp_path):
    script = tmp_path / "begin.py"
    script.write_text("import objtunnel\nBASE = 1\nclass Named: pass\ndef named(): return [BASE, Named()]\n")
    result = python("-i", "-q", script, check=False, text=textwrap.dedent("""
        class Typed: pass

        def typed(): return [BASE, Typed()]

        w = objtunnel.Interpreter()
        BASE = 2
        base, o = w.call(named)
        assert base == 1 and type(o) is Named, base
        base, o = w.call(typed)
        assert base == 2 and type(o) is Typed
        w.close()
        print("done")
        """))
    assert "done" in result.stdout, result.stderr


# ---- the end -------------------------------------------------------------------------------------

def test_an_error_in_the_with_block_is_seen(run_script):
    run_script("""
        import threading, time
        import objtunnel

        def consume(incoming):
            for _ in incoming:
                pass

        def stubborn(begun):
            begun.send(1)
            for _ in range(3):
                try:
                    while True: pass
                except KeyboardInterrupt:
                    pass

        def call(w):
            try:
                w.call(len, [1])
            except objtunnel.InterpreterClosed:
                dropped.append(1)

        dropped = []
        if __name__ == "__main__":
            incoming = objtunnel.Tunnel()
            for job in (consume, stubborn):
                try:
                    with objtunnel.Interpreter() as w:
                        first = w.submit(job, incoming)
                        queued = w.submit(len, [1])
                        if job is stubborn:
                            incoming.recv()
                        while not first.running(): time.sleep(0.001)
                        caller = threading.Thread(target=call, args=[w])
                        caller.start()
                        while not w._remote.calls: time.sleep(0.001)
                        raise ValueError("seen")
                except ValueError as error:
                    assert str(error) == "seen"
                else:
                    raise AssertionError("swallowed")
                assert queued.cancelled() and w.closed
                first.exception(10)
                caller.join(10)
            assert dropped == [1, 1]
        """, env=ENV, timeout=60)


def test_an_error_propagates_although_a_job_cannot_be_interrupted(run_script):
    result = run_script("""
        import time, warnings
        import objtunnel
        if __name__ == "__main__":
            warnings.simplefilter("always")
            start = time.monotonic()
            try:
                with objtunnel.Interpreter() as w:
                    f = w.submit(time.sleep, 5)
                    while not f.running(): time.sleep(0.001)
                    1 / 0
            except ZeroDivisionError:
                print("seen", time.monotonic() - start < 4.5)
        """, env=ENV)
    assert result.stdout == "seen True\n"
    assert "ResourceWarning: objtunnel.Interpreter" in result.stderr


CTRL_C = """
    import time
    import objtunnel
    def spin():
        while True: pass
    def recv(t):
        t.recv()
    if __name__ == "__main__":
        t = objtunnel.Tunnel()
        with objtunnel.Interpreter() as a, objtunnel.Interpreter() as b:
            jobs = [a.submit(spin), b.submit(recv, t), b.submit(spin)]
            while not (jobs[0].running() and jobs[1].running()): time.sleep(0.001)
            print("ready", flush=True)
            {wait}
"""


def interrupt_when_ready(script, *options, again_after=None):
    """Runs a script that prints "ready", sends it Ctrl-C; (return code, stderr)."""
    process = subprocess.Popen([sys.executable, *options, script], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=ENV,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        if again_after is not None:
            time.sleep(again_after)
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, err


@pytest.mark.parametrize("wait", ["jobs[0].result()", "pass", "time.sleep(100)", "a.call(spin)",
                                  "[j.result() for j in jobs]", "t2 = objtunnel.Tunnel(); t2.recv()"])
def test_one_ctrl_c_ends_a_program_with_running_jobs(tmp_path, wait):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(CTRL_C).replace("{wait}", wait))
    code, err = interrupt_when_ready(script)
    assert code == -signal.SIGINT
    assert err.count("Traceback") == 1 and err.rstrip().endswith("KeyboardInterrupt"), err


WITHOUT_A_BLOCK = """
    import time
    import objtunnel
    import objtunnel._exit
    objtunnel._exit.GRACE = {grace}
    def job(t):
        import dataclasses, traceback  # both call eval() or exec(), and so does the job
        t.send(1)
        exec("while True: pass")
    def sleep(t):
        t.send(1)
        time.sleep(60)
    if __name__ == "__main__":
        t = objtunnel.Tunnel()
        worker = objtunnel.Interpreter()
        future = worker.submit({job}, t)
        t.recv()
        print("ready", flush=True)
        {wait}
"""


@pytest.mark.parametrize("job", ["job", "sleep"])
@pytest.mark.parametrize("wait", ["future.result()", "time.sleep(100)", "worker.call(len, [])"])
def test_ctrl_c_without_a_with_block(tmp_path, wait, job):
    script = tmp_path / "script.py"
    grace = 5 if wait == "time.sleep(100)" else 1  # one of them waits for as long as programs do
    script.write_text(textwrap.dedent(WITHOUT_A_BLOCK).replace("{wait}", wait).replace("{job}", job).replace(
        "{grace}", "objtunnel._exit.GRACE" if grace == 5 else str(grace)))
    begin = time.monotonic()
    code, err = interrupt_when_ready(script)
    assert code == -signal.SIGINT
    assert err.count("Traceback") == 1 and ("\nKeyboardInterrupt\n" in err), err
    assert (f"a job did not end within {grace} s" in err) == (job == "sleep")
    assert time.monotonic() - begin < 30


def test_a_job_has_its_time_once_although_several_wait_for_it(tmp_path):
    """The with block of a pool that Ctrl-C leaves, the end of that pool, the end of an Interpreter."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent("""
        import sys
        import time
        import objtunnel
        from objtunnel import _executor, _interpreter
        def sleep(t):
            t.send(1)
            time.sleep(60)
        def noted(cls):
            abort = cls.abort
            def noted_abort(self, *seconds):
                print(cls.__name__, *("long" if s > 1 else "short" for s in seconds), file=sys.stderr)
                return abort(self, *seconds)
            cls.abort = noted_abort
        if __name__ == "__main__":
            noted(_executor._Pool)
            noted(_interpreter._Remote)
            t = objtunnel.Tunnel()
            worker = objtunnel.Interpreter()
            worker.submit(sleep, t)
            with objtunnel.InterpreterPoolExecutor(1) as pool:
                future = pool.submit(sleep, t)
                t.recv()
                t.recv()
                print("ready", flush=True)
                future.result()
        """))
    code, err = interrupt_when_ready(script)
    assert code == -signal.SIGINT and err.count("a job did not end within 5 s") == 1
    waits = [line for line in err.splitlines() if line.startswith(("_Pool", "_Remote"))]
    assert waits[0] == "_Pool" and sorted(waits[1:]) == ["_Pool short", "_Remote short"], err


def test_the_end_waits_as_long_as_is_left(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(_exit, "time", types.SimpleNamespace(monotonic=lambda: now))
    for name in ("_grace_end", "_unwinding"):
        monkeypatch.setattr(_exit, name, None)
    caught, last = KeyboardInterrupt(), KeyboardInterrupt()
    monkeypatch.setattr(sys, "last_exc", last, raising=False)
    _exit.note_unwinding(caught)  # and the program goes on
    now += 1
    assert _exit.grace() == _exit.GRACE == 5.0
    now += 2
    assert _exit.grace() == 3
    monkeypatch.setattr(_exit, "_grace_end", None)
    _exit.note_unwinding(last)
    now += 1
    _exit.note_unwinding(last)  # a block around that one
    assert _exit.grace() == 4
    now += 60
    assert _exit.grace() == 0.25


def test_a_second_ctrl_c_ends_the_process_at_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(WITHOUT_A_BLOCK).replace("{wait}", "time.sleep(100)").replace(
        "{job}", "sleep").replace("{grace}", "objtunnel._exit.GRACE"))
    begin = time.monotonic()
    code, err = interrupt_when_ready(script, again_after=1)
    assert code == -signal.SIGINT and "ended by Ctrl-C while a job was still running" in err
    assert time.monotonic() - begin < 6


@pytest.mark.parametrize("end, code", [("", 0), ("sys.exit(3)", 3), ("raise ValueError", 1)])
def test_an_interrupt_in_a_worker_is_not_the_programs_end(run_script, end, code):
    """CPython takes a KeyboardInterrupt that ends exec() of a str for the end of the script."""
    result = run_script(f"""
        import sys, time
        import objtunnel
        if __name__ == "__main__":
            worker = objtunnel.Interpreter()
            for _ in range(2):  # the modules that the first one imports call exec()
                future = worker.submit(exec, "while True: pass")
                while not future.running(): time.sleep(0.001)
                time.sleep(0.1)
                worker.interrupt()
                assert type(future.exception(30)) is KeyboardInterrupt
            worker.close()
            {end}
        """, env=ENV, check=False)
    assert result.returncode == code, result.stderr


def test_gevents_patches(run_script):
    pytest.importorskip("gevent")
    run_script("""
        if __name__ == "__main__":  # gevent cannot be loaded by workers
            from gevent import monkey
            monkey.patch_all()
            import gevent
        import objtunnel

        def add(x):
            return x + 1

        if __name__ == "__main__":
            with objtunnel.Interpreter() as w:
                assert w.call(add, 1) == 2
                assert w.submit(add, 1).result(20) == 2
                jobs = [gevent.spawn(lambda i=i: w.submit(add, i).result(20)) for i in range(20)]
                gevent.joinall(jobs, timeout=30)
                assert [j.value for j in jobs] == list(range(1, 21))
        """, env=ENV, timeout=60)
