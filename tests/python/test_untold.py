"""Failures of jobs that nobody has asked for are told on stderr (python/objtunnel/_untold.py)."""

import signal
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
    import os, signal, sys, time
    from objtunnel import Event, Interpreter, InterpreterPoolExecutor, Tunnel

    def fail(t):
        raise LookupError("the reason")

    def wait(t):
        return t.recv()

    def be_late(t):
        time.sleep(2)
        t.send(["late"])

    if __name__ == "__main__":
        t = Tunnel()
        {}
"""


def program(body):
    return textwrap.dedent(PROGRAM).replace("{}", textwrap.dedent(body).strip().replace("\n", "\n    "))


WAITS = {
    "the main thread in recv": """
        with Interpreter() as a:
            job = a.submit(fail, t)
            t.recv()
    """,
    "the main thread in get, of a pool's job": """
        with InterpreterPoolExecutor(1) as pool:
            pool.submit(fail, t)
            t.get()
    """,
    "a job in recv, the main thread for that job": """
        with Interpreter() as a, Interpreter() as b:
            jobs = [b.submit(wait, t), a.submit(fail, t)]
            for job in jobs:
                job.result()
    """,
    "a job of the same pool, and the pool's manager looks after it": """
        with InterpreterPoolExecutor(2) as pool:
            jobs = [pool.submit(wait, t), pool.submit(fail, t)]
            t.recv()
    """,
    "for a job whose arguments cannot be sent": """
        with InterpreterPoolExecutor(1) as pool:
            pool.submit(fail, (LookupError("the reason"), (i for i in t)))
            Event().wait()
    """,
}


@pytest.mark.parametrize("who", WAITS)
def test_who_waits_for_ever_reads_why(tmp_path, who):
    """SIGINT ends the program once stderr has said it."""
    script = tmp_path / "script.py"
    script.write_text(program(WAITS[who]))
    with subprocess.Popen([sys.executable, "-X", "faulthandler", script], stderr=subprocess.PIPE, text=True) as process:
        first = process.stderr.readline()
        told = ""
        for line in process.stderr:
            told += line
            if line.startswith(("LookupError", "TypeError: args")):
                break
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    assert first.startswith("objtunnel: all threads of the process wait, and a job has failed"), first + told
    assert "the reason" in told or "args[0][1]" in told
    assert "KeyboardInterrupt" in rest and "the reason" not in rest and process.returncode == -signal.SIGINT


def test_nothing_is_told_while_somebody_may_send(run_script):
    result = run_script(program("""
        with InterpreterPoolExecutor(2) as pool:
            jobs = [pool.submit(be_late, t), pool.submit(fail, t)]
            assert t.recv() == ["late"]
    """))
    assert result.stderr == ""


@pytest.mark.parametrize("program_end", ["a.submit(fail, t)", "jobs.append(a.submit(fail, t))"], ids=["the future goes", "the end"])
def test_an_interpreters_failure_is_told_once_in_the_end(run_script, program_end):
    result = run_script(program(f"""
        jobs = []
        with Interpreter() as a:
            {program_end}
        print("closed")
    """))
    assert result.stdout == "closed\n"
    assert result.stderr.startswith("objtunnel: a job has failed, and nobody has asked its future (interpreter 1):\n")
    assert result.stderr.count("LookupError: the reason") == 1 == result.stderr.count("objtunnel:")


def test_what_was_asked_for_is_not_told(run_script):
    result = run_script(program("""
        import asyncio, concurrent.futures
        with Interpreter() as a, InterpreterPoolExecutor(1) as pool:
            for executor in a, pool:
                for ask in (lambda job: job.result(), lambda job: list(t.until(job)),
                            lambda job: job.result(60), lambda job: job.exception(60).args[1],
                            lambda job: next(concurrent.futures.as_completed([job])).result()):
                    try:
                        ask(executor.submit(fail, t))
                    except (LookupError, IndexError):
                        pass
                    else:
                        raise AssertionError
                job = executor.submit(fail, t)
                job.add_done_callback(lambda job: print(type(job.exception()).__name__))
                concurrent.futures.wait([job])
                async def wrapped():
                    await asyncio.wrap_future(executor.submit(fail, t))
                try:
                    asyncio.run(wrapped())
                except LookupError:
                    print("wrapped")
            import threading
            while [thread for thread in threading.enumerate() if thread.name == "objtunnel-watch"]:
                time.sleep(0.01)
            pool.submit(fail, t)  # a pool is silent, as the standard library's
    """))
    assert result.stderr == "" and sorted(result.stdout.split()) == ["LookupError"] * 2 + ["wrapped"] * 2


def test_the_ends_of_jobs_that_are_told_to_end_are_no_failures(run_script):
    result = run_script(program("""
        with Interpreter() as a, Interpreter() as b:
            a.submit(wait, t)                   # is woken with TunnelClosed
            b.submit(sys.exit, 3)
        try:
            with Interpreter() as a:
                a.submit(time.sleep, 0.01)
                a.submit(wait, t)               # is interrupted
                raise ValueError
        except ValueError:
            pass
        a = Interpreter()
        for _ in range(3):
            a.submit(time.sleep, 0.1)           # are dropped
    """))
    assert result.stderr == ""
