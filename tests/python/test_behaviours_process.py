"""Behaviours in programs of their own: scripts without a guard, their ends, Ctrl-C, sessions without a file."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import objtunnel

ENV = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(objtunnel.__file__))}


def run_lines(run_script, source, **options):
    return run_script(source, env=ENV, **options)


def test_ten_lines_without_a_guard(run_script):
    result = run_lines(run_script, """
        import math
        import objtunnel
        from objtunnel import Box

        account = Box({"balance": 1})

        @objtunnel.when(account)
        def result(account):
            account.value["balance"] += math.floor(10.5)
            return list(account.value)

        with account as tree, result as keys:
            print(tree, keys)
        """)
    assert result.stdout == "{'balance': 11} ['balance']\n" and result.stderr == ""


def test_globals_of_a_script_are_those_that_its_top_level_makes(run_script):
    result = run_lines(run_script, """
        import objtunnel
        LIMIT, seen = 10, []

        class Account:
            pass

        def helper(account):
            account.balance += LIMIT
            seen.append(account.balance)

        if __name__ == "__main__":
            LIMIT = 1000  # not what a worker's run of the script makes
            objtunnel.start(1)
            account = Account()
            account.balance = 1
            box = objtunnel.Box(account)

            @objtunnel.when(box)
            def first(box):
                helper(box.value)
                return [type(box.value).__name__, box.value.balance, list(seen)]

            @objtunnel.when(box)
            def second(box):
                return list(seen), later(1)

            def later(n):
                return n

            with first as a:
                print(a, seen)
            try:
                with second as b:
                    print(b)
            except NameError as error:
                print(error)
        """)
    assert result.stdout == "['Account', 11, [11]] []\nname 'later' is not defined\n", result.stderr


def test_a_script_that_needs_a_guard_says_so(run_script):
    result = run_lines(run_script, """
        import objtunnel
        FACTOR = 3
        box = objtunnel.Box(2)

        @objtunnel.when(box)
        def result(box):
            return box.value * FACTOR

        result.acquire()
        """, check=False)
    assert result.returncode == 1
    assert "if __name__ == '__main__':" in result.stderr and "'FACTOR'" in result.stderr


@pytest.mark.parametrize("how", ["-c", "stdin"])
def test_a_session_without_a_file(how):
    source = textwrap.dedent("""
        import objtunnel, json
        LIMIT = [5]
        def helper(n): return n + LIMIT[0]
        box = objtunnel.Box([1])
        @objtunnel.when(box)
        def result(box):
            box.value.append(helper(1))
            return json.dumps(box.value)
        with result as value: print(value)
        LIMIT[0] = 7
        @objtunnel.when(box)
        def result(box):
            return helper(1)
        with result as value: print(value)
        """)
    args = [sys.executable, "-c", source] if how == "-c" else [sys.executable, "-"]
    result = subprocess.run(args, input=None if how == "-c" else source, capture_output=True, text=True, env=ENV,
                            timeout=120)
    assert result.stdout == "[1, 6]\n8\n", result.stderr


# ---- what has been seen to go wrong elsewhere --------------------------------------------------------


def test_a_thread_that_schedules(run_script):
    result = run_lines(run_script, """
        import objtunnel, threading
        box = objtunnel.Box({"n": 0})
        def schedule():
            for _ in range(100):
                @objtunnel.when(box)
                def _(box):
                    box.value["n"] += 1
        threads = [threading.Thread(target=schedule) for _ in range(3)]
        for t in threads: t.start()
        for t in threads: t.join()
        with box as tree: print(tree)
        """)
    assert result.stdout == "{'n': 300}\n"


def test_exit_without_wait(run_script):
    """What runs has some seconds to end."""
    result = run_lines(run_script, """
        import objtunnel
        begun = objtunnel.Event()
        box = objtunnel.Box([begun])
        @objtunnel.when(box)
        def _(box):
            import time
            box.value[0].set()
            time.sleep(0.6)
            print("ended", flush=True)
        assert begun.wait(60)
        """)
    assert result.stdout == "ended\n" and result.stderr == ""


def test_waiting_behaviours_are_dropped_with_a_count(run_script):
    result = run_lines(run_script, """
        import objtunnel
        objtunnel.start(2)
        begun = [objtunnel.Event() for _ in range(2)]
        boxes = [objtunnel.Box([event]) for event in begun]
        def sleep(box):
            import time
            box.value[0].set()
            time.sleep(0.6)
        def never(box):
            print("never")
        for box in boxes:
            objtunnel.when(box)(sleep)
        for _ in range(7):
            objtunnel.when(boxes[0])(never)
        assert all(event.wait(60) for event in begun)
        """)
    assert result.stdout == ""
    assert "7 behaviours were dropped" in result.stderr and "objtunnel.wait()" in result.stderr


def test_an_exception_in_main(run_script):
    result = run_lines(run_script, """
        import objtunnel
        box = objtunnel.Box([0])
        for _ in range(10):
            @objtunnel.when(box)
            def _(box):
                box.value[0] += 1
        raise SystemError("main fails")
        """, check=False)
    assert result.returncode == 1 and "SystemError: main fails" in result.stderr


def test_wait_with_a_timeout(run_script):
    result = run_lines(run_script, """
        import objtunnel
        box = objtunnel.Box([])
        @objtunnel.when(box)
        def _(box):
            import time
            time.sleep(0.5)
            box.value.append("done")
        try:
            objtunnel.wait(timeout=0.05)
        except TimeoutError as error:
            print(error)
        objtunnel.wait(timeout=60)
        with box as tree: print(tree)
        """)
    assert result.stdout == "1 behaviours are not done after 0.05 s\n['done']\n"


def test_a_value_that_cannot_travel(run_script):
    result = run_lines(run_script, """
        import objtunnel
        box = objtunnel.Box([1])
        @objtunnel.when(box)
        def result(box):
            box.value.append(open("/dev/null"))
        try:
            result.acquire()
        except TypeError as error:
            print(error)
        @objtunnel.when(box)
        def _(box):
            box.value.pop().close()
        with box as tree: print(tree)
        """)
    assert "[1]: " in result.stdout and result.stdout.endswith("\n[1]\n"), result.stdout


def test_the_whole_traceback_of_an_exception_is_printed(run_script):
    result = run_lines(run_script, """
        import objtunnel
        def deeper(n):
            return n // 0
        if __name__ == "__main__":
            @objtunnel.when()
            def _():
                deeper(1)
            objtunnel.wait()
        """)
    assert "nobody has opened its result" in result.stderr
    assert "return n // 0" in result.stderr and "deeper(1)" in result.stderr and "ZeroDivisionError" in result.stderr


def test_a_failure_that_is_alive_at_the_end_is_reported(run_script):
    result = run_lines(run_script, """
        import objtunnel
        kept = {}
        @objtunnel.when()
        def result():
            raise LookupError("kept")
        kept["result"], kept["self"] = result, kept
        objtunnel.wait()
        """)
    assert "LookupError: kept" in result.stderr


def test_a_worker_that_fails_gives_its_boxes_back(run_script):
    """Something in our own code fails, as for want of memory; the other worker goes on, and after the last one nothing hangs."""
    result = run_lines(run_script, """
        import objtunnel, time
        objtunnel.start(2)
        box = objtunnel.Box([0])

        def fail(box):
            import objtunnel._behaviour_worker as own
            own._failures = None
            box.value.append("failed")
            1 / 0

        def work(box):
            box.value[0] += 1
            return "worked"

        results = [objtunnel.when(box)(fail), objtunnel.when(box)(work), objtunnel.when(box)(fail)]
        for result in results:
            try:
                with result as value:
                    print(value)
            except RuntimeError as error:
                print(error)
        objtunnel.wait()
        with box as tree:
            print(tree)
            try:
                while True:  # the last worker ends about now
                    objtunnel.when(box)(work)
                    time.sleep(0.01)
            except RuntimeError as error:
                print(error)
        """)
    ended = "RuntimeError: the worker ended before the behaviour had"
    assert result.stdout.splitlines() == [
        ended, "worked", ended, "[1, 'failed', 'failed']",
        "behaviours cannot be scheduled any more: their workers have ended, or the program ends"], result.stderr


# ---- Ctrl-C ------------------------------------------------------------------------------------------


def interrupted(tmp_path, source, said=("ready",)):
    """Sends Ctrl-C half a second after the script has said each of these lines."""
    script = tmp_path / "script.py"
    script.write_text("import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + textwrap.dedent(source))
    process = subprocess.Popen([sys.executable, "-X", "faulthandler", script], env=ENV, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        for line in said:
            assert process.stdout.readline() == f"{line}\n"
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize("wait", ["objtunnel.wait()", "result.acquire()"])
def test_ctrl_c_ends_a_wait_and_interrupts_what_runs(tmp_path, wait):
    code, _, err = interrupted(tmp_path, f"""
        import objtunnel
        @objtunnel.when()
        def result():
            import time
            print("ready", flush=True)
            while True:
                time.sleep(0.01)
        {wait}
        """)
    assert code == -signal.SIGINT and "KeyboardInterrupt" in err


def test_a_second_ctrl_c_ends_a_process_whose_behaviour_hears_nothing(tmp_path):
    code, out, err = interrupted(tmp_path, """
        import objtunnel
        @objtunnel.when()
        def _():
            import time
            print("ready", flush=True)
            time.sleep(1000)
        try:
            objtunnel.wait()
        except KeyboardInterrupt:
            print("noticed", flush=True)
            raise
        """, said=("ready", "noticed"))
    assert code == -signal.SIGINT and "while a behaviour was still running" in err
