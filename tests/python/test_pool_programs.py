"""InterpreterPoolExecutor in programs: what happens at their exit and at Ctrl-C."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pool_jobs as jobs
import pytest

import objtunnel


def run_until_ready(tmp_path, source, wait=0.2, timeout=60):
    """Runs a script that prints "ready", sends it Ctrl-C; (return code, stdout, stderr)."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent("""
        import signal, sys, threading, time
        import pool_jobs as jobs
        from objtunnel import Event, InterpreterPoolExecutor
        signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
        """) + textwrap.dedent(source))
    helpers = os.path.dirname(jobs.__file__)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(os.path.dirname(objtunnel.__file__)), helpers])}
    process = subprocess.Popen([sys.executable, "-X", "faulthandler", script], env=env, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout.readline() == "ready\n", process.communicate()
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, out, err


# ---- the exit ------------------------------------------------------------------------------------

def test_jobs_are_finished_at_exit(run_script):
    result = run_script("""
        import sys
        from objtunnel import InterpreterPoolExecutor
        pool = InterpreterPoolExecutor(2)
        for n in range(3):
            pool.submit(exec, f"import time; time.sleep(0.2); print('done {n}', flush=True)")
        """)
    assert sorted(result.stdout.split("\n")) == ["", "done 0", "done 1", "done 2"]
    assert result.stderr == ""


def test_an_exit_by_an_exception_finishes_them_too(run_script):
    result = run_script("""
        from objtunnel import InterpreterPoolExecutor
        pool = InterpreterPoolExecutor(2)
        pool.submit(exec, "import time; time.sleep(0.2); print('done', flush=True)")
        raise LookupError("in main")
        """, check=False)
    assert result.stdout == "done\n" and "LookupError: in main" in result.stderr
    assert result.stderr.count("Traceback") == 1


# ---- Ctrl-C --------------------------------------------------------------------------------------

SCRIPTS = {
    "in a with block": """
        if __name__ == "__main__":
            with InterpreterPoolExecutor(2) as pool:
                started = Event()
                futures = [pool.submit(jobs.spin, started)] + [pool.submit(jobs.spin, Event()) for _ in range(5)]
                started.wait()
                print("ready", flush=True)
                futures[0].result()
        """,
    "at the end of a with block": """
        if __name__ == "__main__":
            with InterpreterPoolExecutor(2) as pool:
                started = Event()
                futures = [pool.submit(jobs.spin, started)] + [pool.submit(jobs.spin, Event()) for _ in range(5)]
                started.wait()
                print("ready", flush=True)
        """,
    "without a block": """
        if __name__ == "__main__":
            pool = InterpreterPoolExecutor(1)
            started = Event()
            futures = [pool.submit(jobs.spin, started), pool.submit(print, "not this")]
            started.wait()
            print("ready", flush=True)
            futures[0].result()
        """,
    "in a tunnel": """
        if __name__ == "__main__":
            with InterpreterPoolExecutor(1) as pool:
                started = Event()
                pool.submit(jobs.block_in_tunnel, started)
                started.wait()
                print("ready", flush=True)
                time.sleep(60)
        """,
    "in C": """
        import objtunnel._exit
        objtunnel._exit.GRACE = 1  # test_scripts waits for as long as programs do
        if __name__ == "__main__":
            with InterpreterPoolExecutor(1) as pool:
                started = Event()
                pool.submit(jobs.sleep_in_c, started, 1000)
                started.wait()
                print("ready", flush=True)
                time.sleep(60)
        """,
}


@pytest.mark.parametrize("where", SCRIPTS)
def test_one_ctrl_c_ends_a_program(tmp_path, where):
    begin = time.monotonic()
    code, out, err = run_until_ready(tmp_path, SCRIPTS[where])
    assert code == -signal.SIGINT, err
    assert err.count("Traceback (most recent call last)") == 1 and "KeyboardInterrupt" in err
    assert "not this" not in out
    assert time.monotonic() - begin < 30


def test_ctrl_c_in_a_task_that_waits_for_a_job(tmp_path):
    """asyncio.run cancels the task, which leaves the block with a CancelledError."""
    code, out, err = run_until_ready(tmp_path, """
        import asyncio

        async def main():
            with InterpreterPoolExecutor(2) as pool:
                started = Event()
                jobs_of_pool = [asyncio.get_running_loop().run_in_executor(pool, jobs.spin, started) for _ in range(3)]
                await asyncio.to_thread(started.wait)
                print("ready", flush=True)
                await asyncio.gather(*jobs_of_pool)

        if __name__ == "__main__":
            asyncio.run(main())
        """, timeout=30)
    assert code == -signal.SIGINT, err
    assert "KeyboardInterrupt" in err and out == ""


def test_ctrl_c_while_the_exit_waits(tmp_path):
    code, out, err = run_until_ready(tmp_path, """
        if __name__ == "__main__":
            pool = InterpreterPoolExecutor(1)
            started = Event()
            pool.submit(jobs.spin, started)
            started.wait()
            print("ready", flush=True)
        """, wait=0.5)
    assert code == -signal.SIGINT, err
    assert "Fatal" not in err


def test_ctrl_c_just_before_the_exit_waits(tmp_path):
    """Then threading calls nobody."""
    code, out, err = run_until_ready(tmp_path, """
        import os
        def interrupt():
            print("ready", flush=True)
            time.sleep(60)
        if __name__ == "__main__":
            pool = InterpreterPoolExecutor(1)
            started = Event()
            pool.submit(jobs.spin, started)
            started.wait()
            threading._register_atexit(interrupt)  # runs before the pool's
        """, wait=0.5)
    assert code == -signal.SIGINT, err


def test_who_catches_ctrl_c_can_go_on(tmp_path):
    code, out, err = run_until_ready(tmp_path, """
        if __name__ == "__main__":
            with InterpreterPoolExecutor(1) as pool:
                started, event = Event(), Event()
                future = pool.submit(jobs.wait_for, started, event)
                started.wait()
                print("ready", flush=True)
                try:
                    future.result()
                except KeyboardInterrupt:
                    event.set()
                print(future.result())
        """)
    assert (code, out, err) == (0, "waited\n", "")
