"""objtunnel.dump, its signal, faulthandler in workers and the names of threads: each hang in a process of
its own, which is asked where it stands."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import objtunnel

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(objtunnel.__file__))}
HEAD = "objtunnel: all interpreters of process"


@pytest.fixture
def hanging(tmp_path):
    """hanging(source, expect): what a script dumps on SIGUSR1 that hangs sooner or later: the first dump in
    which all of the regular expressions are found."""
    processes = []

    def run(source, *expect, timeout=60):
        script, output = tmp_path / "hangs.py", tmp_path / "dump.txt"
        script.write_text("import objtunnel, os, signal, sys, threading, time\n"
                          f"objtunnel.register_dump(signal.SIGUSR1, open({str(output)!r}, 'a'))\n"
                          + textwrap.dedent(source))
        process = subprocess.Popen([sys.executable, script], env=ENVIRONMENT, stdout=subprocess.PIPE,
                                   text=True)
        processes.append(process)
        assert process.stdout.readline() == "ready\n"
        deadline = time.monotonic() + timeout
        while True:
            output.write_text("")
            process.send_signal(signal.SIGUSR1)
            time.sleep(0.2)
            text = output.read_text()
            if all(re.search(e, text) for e in expect):
                assert process.poll() is None
                return text
            assert process.poll() is None and time.monotonic() < deadline, text

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def paragraph(text, pattern):
    """The lines of the thread whose stack or wait matches."""
    threads = re.split(r"^(?=\w)", text, flags=re.M)
    found = [t for t in threads if re.search(pattern, t)]
    assert len(found) == 1, text
    return found[0]


# ---- who waits for what -------------------------------------------------------------------------

def test_deadlock_of_two_locks_names_both(hanging):
    text = hanging("""
        def cross(first, second, meet):
            with first:
                meet.wait()
                with second:
                    raise AssertionError

        if __name__ == "__main__":
            a, b, meet = objtunnel.Lock(), objtunnel.Lock(), objtunnel.Barrier(2)
            one, other = objtunnel.Interpreter("one"), objtunnel.Interpreter("other")
            futures = one.submit(cross, a, b, meet), other.submit(cross, b, a, meet)
            print("ready", flush=True)
            futures[0].result()
        """, "These threads wait for each other")
    circle = text[text.index("These threads wait for each other"):].splitlines()
    assert len(circle) == 3
    one = re.fullmatch(r'  thread (0x\w+) \((\d+) "(\w+)"\) waits to acquire Lock id (\d+), which thread '
                       r'(0x\w+) \((\d+) "(\w+)"\) of interpreter (\d+) has', circle[1]).groups()
    other = re.fullmatch(r'  thread (0x\w+) \((\d+) "(\w+)"\) waits to acquire Lock id (\d+), which thread '
                         r'(0x\w+) \((\d+) "(\w+)"\) of interpreter (\d+) has', circle[2]).groups()
    assert one[:3] == other[4:7] and other[:3] == one[4:7] and one[3] != other[3]
    assert {one[2], other[2]} == {"one", "other"}
    for name in ("one", "other"):
        assert "line 7 in cross" in paragraph(text, rf'^Interpreter \d, thread 0x\w+ \(\d+ "{name}"\)')


def test_worker_that_receives(hanging):
    text = hanging("""
        def consume(tunnel):
            return tunnel.recv()

        if __name__ == "__main__":
            worker, tunnel = objtunnel.Interpreter("consumer"), objtunnel.Tunnel()
            tunnel.send(0)
            worker.call(consume, tunnel)
            future = worker.submit(consume, tunnel)
            print("ready", flush=True)
            future.result()
        """, r"receive from[^\n]*\n[^\n]*consume")
    assert re.search(r'waits for \d+\.\d{3} s to receive from Tunnel id \d+\n    File ".*hangs.py", line 5 in '
                     'consume\n', paragraph(text, '"consumer"'))


def test_key_that_is_checked_out_and_who_has_it(hanging):
    text = hanging("""
        def change(d, has):
            with d.checkout("some key") as tree:
                has.set()
                time.sleep(1000)

        def look(d, key):
            return d[key]

        if __name__ == "__main__":
            d = objtunnel.LockingDict()
            d["some key"] = [1]
            changer, looker = objtunnel.Interpreter("changer"), objtunnel.Interpreter("looker")
            has = objtunnel.Event()
            futures = [changer.submit(change, d, has)]
            has.wait()
            futures.append(looker.submit(look, d, "some key"))
            print("ready", flush=True)
            futures[0].result()
        """, "get a key of LockingDict")
    assert re.search(r"s to get a key of LockingDict id \d+ key 'some key', which thread 0x\w+ "
                     r'\(\d+ "changer"\) of interpreter \d+ has\n', paragraph(text, '^Interp.*"looker"'))


@pytest.mark.parametrize("make, use, said", [
    ("objtunnel.RLock()", "o.acquire()", r"acquire RLock id \d+, which .* of interpreter 0 has"),
    ("objtunnel.Box([1])", "o.acquire()", r"acquire Box id \d+, which .* of interpreter 0 has"),
    ("objtunnel.Semaphore(1)", "o.acquire()", r"acquire Semaphore id \d+\n"),
    ("objtunnel.Event()", "o.wait()", r"wait for Event id \d+\n"),
    ("objtunnel.Barrier(3)", "o.wait()", r"wait at Barrier id \d+\n"),
    ("objtunnel.Tunnel(maxsize=1)", "o.send(1), o.send(2)", r"send to Tunnel id \d+\n"),
    ("objtunnel.Condition()", "o.acquire(), o.release(), o.acquire(), o.wait()", r"wait for Condition id \d+"),
])
def test_each_kind_is_named(hanging, make, use, said):
    has = "o.acquire()" if "which" in said or "Semaphore" in make else "None"
    hanging(f"""
        def use(o):
            {use}

        if __name__ == "__main__":
            o = {make}
            {has}
            worker = objtunnel.Interpreter()
            future = worker.submit(use, o)
            print("ready", flush=True)
            future.result()
        """, rf"waits for .* to {said}")


def test_reader_of_a_pipe(hanging):
    hanging("""
        if __name__ == "__main__":
            r, w = os.pipe()
            file = objtunnel.SharedFile(r, "rb")
            print("ready", flush=True)
            file.read(1)
        """, r"waits for .* to use SharedFile id \d+")


# ---- the signal ---------------------------------------------------------------------------------

def test_signal_during_a_long_c_call(hanging):
    """Python's own handlers would run when it returns: in an hour."""
    text = hanging("""
        if __name__ == "__main__":
            print("ready", flush=True)
            sum(range(10**15))
        """, "has the GIL, dumps")
    assert re.search(r'has the GIL, dumps .*:\n    File ".*hangs.py", line \d+ in <module>', text)


def test_signal_registered_unregistered_and_refused(run_script, tmp_path):
    out = run_script(f"""
        import objtunnel, os, signal
        got = []
        signal.signal(signal.SIGUSR2, lambda *_: got.append(1))
        assert objtunnel.unregister_dump(signal.SIGUSR2) is False
        path = {str(tmp_path / "dump")!r}
        with open(path, "w") as file:
            objtunnel.register_dump(signal.SIGUSR2, file)
            objtunnel.register_dump(signal.SIGUSR2, file)
        os.kill(os.getpid(), signal.SIGUSR2)  # the file is closed, its duplicate is not
        with open(path) as file:
            assert file.read().count({HEAD!r}) == 1 and not got
        objtunnel.register_dump(signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR2)  # to stderr
        assert objtunnel.unregister_dump(signal.SIGUSR2) is True
        os.kill(os.getpid(), signal.SIGUSR2)
        assert got == [1]
        for signum, error in [(signal.SIGSEGV, ValueError), (signal.SIGKILL, OSError), (0, OSError),
                              (1000, OSError), (-1, OSError)]:
            try:
                objtunnel.register_dump(signum)
            except error:
                pass
            else:
                raise AssertionError(signum)
        """)
    assert out.stderr.count(HEAD) == 1


def test_blocked_system_calls_go_on(run_script, tmp_path):
    """A recv with a timeout and a sleep are neither ended nor prolonged by dumps."""
    run_script(f"""
        import objtunnel, os, signal, threading, time
        objtunnel.register_dump(signal.SIGUSR1, open({str(tmp_path / "dump")!r}, "w"))
        main = threading.main_thread().ident
        def poke():
            for _ in range(20):
                time.sleep(0.01)
                signal.pthread_kill(main, signal.SIGUSR1)
        poker = threading.Thread(target=poke)
        poker.start()
        start = time.monotonic()
        try:
            objtunnel.Tunnel().recv(timeout=0.5)
        except objtunnel.TunnelTimeout:
            pass
        assert 0.5 <= time.monotonic() - start < 5
        poker.join()
        """)
    assert 2 <= (tmp_path / "dump").read_text().count(HEAD) <= 20  # a signal that comes while one waits is one with it


# ---- the function -------------------------------------------------------------------------------

def test_dump_to_files_and_descriptors(tmp_path, capfd):
    path = tmp_path / "dump"
    with open(path, "w") as file:
        file.write("before\n")
        objtunnel.dump(file)
        objtunnel.dump(file.fileno())
    text = path.read_text()
    assert text.startswith("before\n" + HEAD) and text.count(HEAD) == 2
    assert "in test_dump_to_files_and_descriptors\n" in text
    with pytest.raises(AttributeError):
        objtunnel.dump("name")


def test_lines_and_names_are_those_of_the_traceback(tmp_path):
    """Lines of all forms of the table: long jumps, several lines, none; names beyond ASCII and too long."""
    lines = ["def größe(𝕏):" + " " * 70, "    return (", *["        0 +"] * 300, "        𝕏()", "    )", "",
             "class C:", "    def __getattr__(self, name):", "        return len([x for x in [1] if largest()])",
             "def " + "n" * 600 + "():", "    return C().attribute", "", "def largest():",
             "    import traceback", "    found.append(traceback.extract_stack())",
             "    objtunnel.dump(file)", "größe(" + "n" * 600 + ")"]
    found, path = [], tmp_path / "dump"
    with open(path, "w") as file:
        exec(compile("\n".join(lines), "/tmp/größe.py", "exec"),
             {"found": found, "file": file, "objtunnel": objtunnel})
    dumped = re.findall(r'    File "/tmp/gr\\xf6\\xdfe.py", line (\d+) in (\S+)\n', path.read_text())
    stack = [f for f in found[0] if f.filename == "/tmp/größe.py"]
    expected = [f.lineno for f in reversed(stack)]
    expected[0] += 1  # largest: dump's line
    assert [int(line) for line, _ in dumped] == expected
    assert [name for _, name in dumped] == ["largest", "C.__getattr__", "n" * 512 + "...", r"gr\xf6\xdfe",
                                            "<module>"]


def test_deep_stacks_are_cut_off(tmp_path):
    path = tmp_path / "dump"

    def down(n):
        if n == 0:
            with open(path, "w") as file:
                objtunnel.dump(file)
        else:
            down(n - 1)

    down(300)
    own = paragraph(path.read_text(), "has the GIL, dumps")
    assert own.count("in test_deep_stacks_are_cut_off.<locals>.down") > 80
    assert own.endswith("    ...\n") and own.count("\n") < 110


def test_waits_of_a_signal_handler_and_of_what_it_interrupts(run_script, tmp_path):
    """A handler that waits shows its own wait; afterwards the outer one is there again."""
    out = run_script("""
        import objtunnel, os, re, signal, threading, time
        outer, inner, got = objtunnel.Lock(), objtunnel.Lock(), []
        outer.acquire(), inner.acquire()
        def dumped():
            r, w = os.pipe()
            objtunnel.dump(w)
            os.close(w)
            with open(r) as f:
                return f.read()
        def awaited():
            return re.findall(r" s to acquire Lock id (\\d+)", dumped())
        def until(expected):
            deadline = time.monotonic() + 30
            while awaited() != expected:
                assert time.monotonic() < deadline or os._exit(3)
                time.sleep(0.01)
        ids = [str(outer.id), str(inner.id)]
        def watch():
            until([ids[0]])
            while not got:  # one that comes just before the wait does not end it
                os.kill(os.getpid(), signal.SIGUSR1)
                time.sleep(0.1)
            until([ids[1]])
            inner.release()
            until([ids[0]])
            outer.release()
        signal.signal(signal.SIGUSR1, lambda *_: got or (got.append(1), inner.acquire()))
        watcher = threading.Thread(target=watch)
        watcher.start()
        outer.acquire()
        watcher.join()
        assert awaited() == []
        print("done")
        """)
    assert out.stdout == "done\n"


# ---- under load ---------------------------------------------------------------------------------

@pytest.mark.parametrize("seconds", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_signals_at_100_hz_under_load(run_script, tmp_path, seconds):
    """Interpreters come and go, frames are made and freed, locks change hands while dumps read all of it."""
    path = tmp_path / "dump"
    run_script(f"""
        import objtunnel, os, signal, threading, time

        def deep(n):
            return 0 if n == 0 else 1 + deep(n - 1)

        def work(lock, d, until):
            rounds = 0
            while time.monotonic() < until:
                deep(rounds % 200)
                with lock:
                    rounds += 1
                with d.checkout("key") as tree:
                    tree[0] += 1
                exec(compile(f"def f{{rounds}}(): return [x for x in range(3)]\\nf{{rounds}}()", "x", "exec"))
            return rounds

        if __name__ == "__main__":
            objtunnel.register_dump(signal.SIGUSR1, os.open({str(path)!r}, os.O_WRONLY | os.O_CREAT))
            lock, d, until = objtunnel.Lock(), objtunnel.LockingDict(), time.monotonic() + {seconds}
            d["key"] = [0]
            def send():
                while time.monotonic() < until:
                    time.sleep(0.01)
                    os.kill(os.getpid(), signal.SIGUSR1)
            sender = threading.Thread(target=send)
            sender.start()
            total = 0
            with objtunnel.Interpreter() as i, objtunnel.Interpreter() as j:
                futures = [i.submit(work, lock, d, until), j.submit(work, lock, d, until)]
                while time.monotonic() < until:
                    with objtunnel.Interpreter() as short:
                        short.call(deep, 50)
                    thread = threading.Thread(target=deep, args=(100,))
                    thread.start()
                    thread.join()
                total = sum(f.result() for f in futures)
            sender.join()
            with d.checkout("key") as tree:
                assert tree == [total]
        """, timeout=seconds + 120)
    text = path.read_text()
    assert text.count(HEAD) >= 20 * seconds
    assert text.count("in work\n") > 20


THREAD = r'thread 0x[0-9a-f]{16} \(-?\d+ ".*"\)'
WHAT = r"[a-z ]+ [A-Z]\w+( id \d+)?( key .+)?"
OWNER = rf"(, which ({THREAD}( of interpreter \d+)? has|a thread has that has ended))?"
LINE = re.compile("|".join([
    rf"Interpreter -?\d+, {THREAD}(, has the GIL)?(, dumps)? \(most recent call first\):", r"Interpreter -?\d+: no threads",
    rf"No interpreter, {THREAD}:", rf"  waits for \d+\.\d{{3}} s to {WHAT}{OWNER}",
    r'    File ".*", line (\d+|\?\?\?) in .+', r"    no Python code", r"    \?\?\?( \(it has changed meanwhile\))?", r"    \.\.\.",
    "These threads wait for each other:", rf"  {THREAD} waits to {WHAT}{OWNER}"]))


def dumps_in(path, pid):
    """What each dump of the process says, all of whose lines are of a known form."""
    head, *dumps = path.read_text(encoding="ascii").split(f"{HEAD} {pid}\n")
    assert head == ""
    for dump in dumps:
        assert [line for line in dump.splitlines() if not LINE.fullmatch(line)] == []
        assert dump.endswith("\n")
    return dumps


@pytest.mark.parametrize("rounds", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_dumps_while_interpreters_send_wait_come_and_go(run_script, tmp_path, rounds):
    """Dumps from a thread and by the signal while trees go through interpreters that live for a moment. Nothing gets
    lost, each dump is whole, and when no interpreter comes or goes any more each tells exactly who is there."""
    by_call, by_signal, last = (tmp_path / name for name in ("call", "signal", "last"))
    out = run_script(f"""
        import objtunnel, os, signal, sys, threading
        from objtunnel import Box, Event, Interpreter, Lock, LockingDict, Tunnel

        def deep(n):
            return 0 if n == 0 else 1 + deep(n - 1)

        def hand_on(source, target, lock, d, box):
            done = 0
            for tree in source:
                deep(tree["n"] % 100)
                with lock, d.checkout("key") as total:
                    total[0] += tree["n"]
                with box as seen:
                    seen.add(tree["n"])
                tree["path"].append(("handed on", str(tree["n"])))
                target.send(tree)
                done += 1
            target.close()
            return done

        def dump_on(path, stop, counts):
            with open(path, "w") as file:
                n = 0
                while n == 0 or not stop.wait(0.001):
                    objtunnel.dump(file)
                    n += 1
            counts.append(n)

        def signal_on(stop, counts):
            n = 0
            while n == 0 or not stop.wait(0.003):
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
                n += 1
            counts.append(n)

        if __name__ == "__main__":
            rounds, messages = {rounds}, 40
            objtunnel.register_dump(signal.SIGUSR1, os.open({str(by_signal)!r}, os.O_WRONLY | os.O_CREAT))
            lock, d, box, never = Lock(), LockingDict(key=[0]), Box(set()), Event()
            stop, dumped, signalled = threading.Event(), [], []
            threads = [threading.Thread(target=dump_on, args=({str(by_call)!r}, stop, dumped)),
                       threading.Thread(target=signal_on, args=(stop, signalled)),
                       threading.Thread(target=never.wait)]
            for thread in threads:
                thread.start()
            for r in range(rounds):
                first, middle, end = Tunnel(), Tunnel(maxsize=2), Tunnel()
                with Interpreter("left") as left, Interpreter("right") as right:
                    jobs = [left.submit(hand_on, first, middle, lock, d, box),
                            right.submit(hand_on, middle, end, lock, d, box)]
                    for n in range(messages):
                        first.send({{"n": r * messages + n, "path": [("sent", [n])]}})
                    first.close()
                    for n, tree in enumerate(end):
                        number = r * messages + n
                        assert tree == {{"n": number, "path": [("sent", [n])] + 2 * [("handed on", str(number))]}}
                    assert [job.result() for job in jobs] == [messages, messages] and n == messages - 1
            stop.set()
            for thread in threads[:2]:
                thread.join()
            everything = range(rounds * messages)
            with d.checkout("key") as total, box as seen:
                assert total == [2 * sum(everything)] and seen == set(everything)
            with Interpreter("stays") as worker:
                assert worker.call(deep, 10) == 10
                with open({str(last)!r}, "w") as file:
                    for _ in range(20):
                        objtunnel.dump(file)
                print(os.getpid(), dumped[0], signalled[0], never.id, worker.id, flush=True)
            never.set()
        """, timeout=120 + 10 * rounds)
    pid, dumped, signalled, event, worker = map(int, out.stdout.split())
    assert len(dumps_in(by_call, pid)) == dumped
    assert 0 < len(dumps_in(by_signal, pid)) <= signalled  # a signal that comes while one waits is one with it
    dumps = dumps_in(last, pid)
    assert len(dumps) == 20
    for dump in dumps:
        assert set(re.findall(r"^Interpreter (-?\d+)", dump, re.M)) == {"0", str(worker)}
        assert len(re.findall(r", dumps \(most", dump)) == 1 and "in <module>\n" in dump
        assert len(re.findall(rf"s to wait for Event id {event}\n", dump)) == 1


# ---- faulthandler and names -----------------------------------------------------------------------

@pytest.mark.noasan  # it takes the signal itself
def test_faulthandler_tells_of_a_crash_in_a_worker(run_script):
    """Enabled in the main interpreter, as 3.13's cannot be imported in another one."""
    result = run_script("""
        import objtunnel, signal, sys, threading
        def fall():
            signal.pthread_kill(threading.get_ident(), signal.SIGSEGV)
        if __name__ == "__main__":
            import faulthandler
            faulthandler.enable()
            with objtunnel.Interpreter("crashes") as worker:
                worker.call(fall)
        """, check=False)
    assert result.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in result.stderr
    current = result.stderr[result.stderr.index("Current thread"):]
    assert re.match(r'Current thread 0x\w+( \[crashes\])? \(most recent call first\):\n  File ".*script.py", line 4 '
                    'in fall\n', current)
    assert "_worker.py" in current


def thread_names():
    return {open(f"/proc/self/task/{tid}/comm").read().strip() for tid in os.listdir("/proc/self/task")}


def test_native_names_of_worker_threads():
    with objtunnel.Interpreter() as unnamed, objtunnel.Interpreter("reads-the-files-of-the-month"):
        unnamed.run("pass")
        deadline = time.monotonic() + 20
        expected = {f"objtunnel-{unnamed.id}", "reads-the-files"}
        while not expected <= thread_names() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert expected <= thread_names()


def test_native_names_of_a_pool():
    with objtunnel.InterpreterPoolExecutor(2, thread_name_prefix="squares-of-numbers") as pool:
        assert list(pool.map(abs, range(-20, 0))) == list(range(20, 0, -1))
        deadline = time.monotonic() + 20  # a thread begins under the name of who has made it
        while "squares-of-nu_0" not in thread_names() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "squares-of-nu_0" in thread_names()
