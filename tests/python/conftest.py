"""Shared fixtures."""

import gc
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import traceback

import pytest
from hypothesis import HealthCheck, settings

import objtunnel
from objtunnel import _core
from workers import FREE_THREADED, Worker

QUICK = "OT_TEST_QUICK" in os.environ  # make check
settings.register_profile(
    "objtunnel", deadline=None,
    max_examples=5 if QUICK else 20 if hasattr(sys, "gettotalrefcount") else 60,  # debug, sanitizers
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile("objtunnel")

# Programs that tests start print whole lines.
os.environ.pop("PYTHONUNBUFFERED", None)


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as background jobs of a shell have it
    signal.signal(signal.SIGINT, signal.default_int_handler)  # several tests send it


def pytest_collection_finish():
    """What pytest, hypothesis and the modules made so far stays to the end: no collection walks it again. There
    are two in each test, which took half of the suite's time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test of what a free-threaded build does not have is skipped there, and says what that is (tools/test_ft). The
    error is the test's own, or that of a program that it has run."""
    outcome = yield
    absent = call.excinfo and re.search(r"NotImplementedError: (objtunnel\.\w+ is not there on a free-threaded build)",
                                        f"{type(call.excinfo.value).__name__}: {call.excinfo.value}")
    if absent:
        traceback.clear_frames(call.excinfo.tb)  # or what the test had so far would live on
        report = outcome.get_result()
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1], absent[1])


@pytest.fixture
def fast_switching():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def tunnel():
    return objtunnel.Tunnel()


_workers = []


@pytest.fixture(scope="session")
def open_worker():
    """For fixtures: open_worker(name) yields an interpreter that garbage is looked for in, too."""

    def opened(name):
        with objtunnel.Interpreter(name) as interpreter:
            _workers.append(interpreter)
            yield interpreter
            _workers.remove(interpreter)

    return opened


@pytest.fixture(scope="module")
def worker(open_worker):
    yield from open_worker("test-worker")


@pytest.fixture(scope="module")
def beside(request):
    """An interpreter to call, or on a free-threaded build a thread (helpers/workers.py)."""
    if FREE_THREADED:
        with Worker() as thread:
            yield thread
    else:
        yield request.getfixturevalue("worker")


@pytest.fixture(autouse=True)
def no_leaked_tunnels():
    """Every channel that a test makes is gone after it, but for what fixtures and the mailbox
    keep."""
    gc.collect()
    before = _core._live_tunnels()
    yield
    allowed = before + 3  # a worker's inbox and status, the mailbox
    deadline = time.monotonic() + 20  # interpreters that end by themselves take their time
    gc.collect()
    while _core._live_tunnels() > allowed and time.monotonic() < deadline:
        for interpreter in _workers:  # the frames of a traceback may have kept their handles
            interpreter.run("import gc; gc.collect()")
        time.sleep(0.01)
        gc.collect()
    assert _core._live_tunnels() <= allowed


def _collect_shared():
    gc.collect()
    objtunnel.LockingDict()  # the last handle of a dict frees what was retired


@pytest.fixture
def nothing_left():
    """Every shared object that a test makes is gone after it."""
    _collect_shared()
    before = _core._live_shared()
    yield
    _collect_shared()
    deadline = time.monotonic() + 20  # a worker drops its arguments after it has answered
    while _core._live_shared() > before and time.monotonic() < deadline:
        time.sleep(0.001)
    assert _core._live_shared() == before


@pytest.fixture
def interrupt(tmp_path):
    """interrupt(source, wait): what a script of its own prints that prints "ready", waits, and is
    sent Ctrl-C `wait` seconds later; `source` defines block(), which is run here or, where="other",
    in another interpreter."""

    def run(source, where="main", wait=0.1, timeout=60):
        if FREE_THREADED and where != "main":
            pytest.skip("objtunnel.Interpreter is not there on a free-threaded build")
        beside = "contextlib.nullcontext" if FREE_THREADED else "objtunnel.Interpreter"
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(source) + textwrap.dedent(f"""
            if __name__ == "__main__":
                import contextlib, objtunnel, signal
                signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
                with {beside}() as i:
                    try:
                        block() if {where == "main"} else i.call(block)
                    except KeyboardInterrupt:
                        print("interrupted", flush=True)
            """))
        env = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(objtunnel.__file__))}
        process = subprocess.Popen([sys.executable, "-X", "faulthandler", script], env=env,
                                   text=True, stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(wait)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=timeout)
        finally:
            process.kill()
        assert process.returncode == 0
        return out

    return run


@pytest.fixture
def run_script(tmp_path):
    """run_script(source, *args, **options) runs a script in a Python of its own; its result."""

    def run(source, *args, python_args=(), env=None, timeout=120, check=True):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(source))
        result = subprocess.run([sys.executable, "-X", "faulthandler", *python_args, str(script),
                                 *args], capture_output=True, text=True, timeout=timeout, env=env)
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    return run
