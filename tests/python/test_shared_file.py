"""SharedFile: pieces stay whole, every line and record is accounted for, and it is a file as io's."""

import collections
import io
import os
import pickle
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import objtunnel
from file_users import (
    closing,
    hold,
    keep,
    print_lines,
    print_to_stdout,
    print_with_method,
    read_lines,
    read_records,
    read_some,
    write_and_leave,
    write_at,
    write_kept,
    write_lines,
    write_many,
    write_records,
    write_under_lock,
)
from objtunnel import Interpreter, LockAbandonedError, SharedFile
from workers import FREE_THREADED, Worker

WAIT = 60
pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def together(function, *args, workers=3):
    """function(f, ..., who) in so many workers and here, at once; the results."""
    workers = [Worker() for _ in range(workers)]
    try:
        jobs = [w.submit(function, *args, str(i)) for i, w in enumerate(workers)]
        return [function(*args, "here"), *(job.result() for job in jobs)]
    finally:
        for w in workers:
            w.close()


# ---- what is written is in one piece -------------------------------------------------------------


def check_lines(text, n, whos=("here", "0", "1", "2")):
    seen = collections.defaultdict(list)
    for line in text.replace(".\n +\n", ".\n").splitlines():
        who, i, rest = line.split(" ")
        assert rest == who[0] * (len(rest) - 1) + "."
        seen[who].append(int(i))
    assert seen == {who: list(range(n)) for who in whos}
    for who in whos:
        rng = random.Random(who)
        lengths = [len(line.split(" ")[2]) - 1 for line in text.splitlines()
                   if line.startswith(who + " ")]
        assert lengths == [rng.randrange(300) for _ in range(n)]


WRITERS = [write_lines, print_lines, print_with_method, write_under_lock, write_many]
if not FREE_THREADED:
    WRITERS.append(print_to_stdout)  # each interpreter has a sys.stdout of its own, threads have one in common


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("options", [{}, {"buffering": 61}, {"buffering": 1}, {"mode": "a"}],
                         ids=str)
def test_lines_stay_whole(path, writer, options):
    n = 400
    with SharedFile(path, **{"mode": "w", **options}) as f:
        together(writer, f, n)
    check_lines(path.read_text(), n)


@pytest.mark.parametrize("buffering", [0, 100, -1])
def test_records_stay_whole(path, buffering):
    n = 800
    with SharedFile(path, "wb", buffering) as f:
        together(write_records, f, n)
    records = path.read_bytes().removeprefix(b"<").removesuffix(b">").split(b"><")
    assert len(records) == 4 * n
    expected = {f"{who} {i} ".encode() + who[0].encode() * (i % 700)
                for who in ("here", "0", "1", "2") for i in range(n)}
    assert set(records) == expected


def test_through_a_pipe(path):
    """More than fits: writers wait in the kernel, without a GIL; the reader is a thread here."""
    source, sink = os.pipe()
    parts = []
    thread = threading.Thread(target=lambda: parts.extend(iter(lambda: os.read(source, 1000), b"")))
    thread.start()
    with SharedFile(sink, "w", buffering=5000) as f:
        together(print_lines, f, 500, workers=2)
    thread.join(WAIT)
    os.close(source)
    check_lines(b"".join(parts).decode(), 500, ("here", "0", "1"))


def test_other_processes_append(path):
    """They find whole records, too, as long as the kernel takes all that is given."""
    script = """
import sys
from objtunnel import SharedFile
with SharedFile(sys.argv[1], "a", buffering=1000) as f:
    for i in range(2000):
        print(sys.argv[2], i, sys.argv[2] * 20 + ".", file=f)
"""
    env = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(objtunnel.__file__))}
    processes = [subprocess.Popen([sys.executable, "-c", script, path, name], env=env)
                 for name in "xy"]
    assert [p.wait(WAIT) for p in processes] == [0, 0]
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(f"{n} {i} {n * 20}." for n in "xy" for i in range(2000))


def test_held_lines(path):
    """What does not end a line waits for its thread, not for others, and is never lost."""
    with SharedFile(path, "w+") as f:
        f.write("mine ")
        thread = threading.Thread(target=lambda: (f.write("other\n"), f.write("left behind")))
        thread.start()
        thread.join(WAIT)
        f.flush()
        f.write("too\n")
        assert f.tell() == 15
        f.write("and this")
        assert f.seek(0) == 0
        assert f.read() == "other\nmine too\nand this"
    assert path.read_text() == "other\nmine too\nand thisleft behind"


# ---- what is read ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", [read_lines, read_some])
def test_each_line_goes_to_one_reader(path, reader):
    lines = [f"{i} {'x' * (i % 97)} é\n" for i in range(20000)]
    path.write_text("".join(lines), encoding="utf-8")
    with SharedFile(path, encoding="utf-8") as f:
        parts = together(reader, f)
    for part in parts:
        numbers = [int(line.split()[0]) for line in part]
        assert numbers == sorted(numbers)
    assert sorted((line for part in parts for line in part),
                  key=lambda line: int(line.split()[0])) == lines


def test_each_record_goes_to_one_reader(path):
    records = [f"{i:020}" for i in range(20000)]
    path.write_text("".join(records))
    with SharedFile(path, "rb") as f:
        parts = together(read_records, f)
    assert sorted(r for part in parts for r in part) == records


def test_at_offsets(path):
    with SharedFile(path, "w+b") as f:
        f.write(b"start")
        together(write_at, f, 300)
        assert f.tell() == 5 and f.read_at(10**9, 11990) == b"\4" * 10 and f.read_at(3, 10**9) == b""
        assert f.read(7) == b"\1" * 5 + b"\2" * 2
        assert f.write_at(b"!", 12) == 1 and f.read(2) == b"!\2"  # was read ahead
        for wrong in ((-1, 0), (1, -1)):
            with pytest.raises(ValueError):
                f.read_at(*wrong)
        with pytest.raises(ValueError):
            f.write_at(b"", -1)
    assert len(path.read_bytes()) == 12000
    with SharedFile(path, "a+b") as f, pytest.raises(io.UnsupportedOperation):
        f.write_at(b"x", 0)


def test_a_log_that_is_read_while_it_grows(path):
    f = SharedFile(path, "w+")
    with Worker() as writer:
        job = writer.submit(write_lines, f, 300, "0")
        done = job.done
        seen = []
        while not done() or len(seen) < 300:
            with f.locked():
                end = f.tell()
            line = f.read_at(end, 0).decode()
            seen = line.splitlines()
        job.result()
    assert len(seen) == 300
    f.close()


# ---- it is a file as io's -----------------------------------------------------------------------------

TEXTS = st.text(alphabet="ab\n\ré😀", max_size=30)


@given(TEXTS, st.sampled_from([None, "", "\n", "\r", "\r\n"]),
       st.lists(st.tuples(st.sampled_from(["read", "readline", "next", "write", "seek", "tell",
                                           "truncate"]), st.integers(-1, 9), TEXTS), max_size=12))
def test_like_open(tmp_path_factory, text, newline, steps):
    """The same calls on an io file, with the same results. (Its tell is no number of bytes in the
    middle of a line, and is not compared there.)"""
    folder = tmp_path_factory.mktemp("files")
    files = []
    for name, opener in (("a", open), ("b", SharedFile)):
        (folder / name).write_bytes(text.encode())
        files.append(opener(folder / name, "r+", encoding="utf-8", newline=newline))
    theirs, ours = files
    with theirs, ours:
        for what, n, more in steps:
            results = []
            for f in files:
                results.append(step(f, what, n, more))
            assert results[0] == results[1], (what, n, more)
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


def step(f, what, n, text):
    if what == "next":
        return next(iter([f.readline()]))
    if what == "write":
        f.seek(0, 2)  # theirs writes after what it has decoded ahead otherwise
        return f.write(text), f.flush()
    if what == "seek":
        return f.seek(0)
    if what == "tell":
        return f.seek(0, 2)
    if what == "truncate":
        if n != 0:
            return None
        f.seek(0)
        half = Path(f.name).read_bytes()[:f.seek(0, 2) // 2]
        # In the middle of a letter they differ: theirs decodes more than it is asked for.
        return f.truncate(len(half.decode(errors="ignore").encode()))
    return getattr(f, what)(n)


@pytest.mark.parametrize("mode", ["rb", "r+b", "ab", "a+b", "wb", "w+b", "r", "a", "w", "w+"])
def test_abilities(path, mode):
    path.write_text("text\n")
    with open(path, mode) as theirs, SharedFile(path, mode) as ours:
        for name in ("readable", "writable", "seekable", "isatty", "tell"):
            assert getattr(ours, name)() == getattr(theirs, name)(), name
        assert ours.mode == mode and ours.name == str(path) and not ours.closed
        assert isinstance(ours, io.IOBase)
        for name, call in (("readable", "read"), ("writable", "flush"), ("readable", "readline")):
            if not getattr(theirs, name)() and call != "flush":
                with pytest.raises(io.UnsupportedOperation):
                    getattr(ours, call)()
        if not theirs.writable():
            with pytest.raises(io.UnsupportedOperation):
                ours.write(b"" if "b" in mode else "")


def test_binary(path):
    with SharedFile(path, "x+b") as f:
        assert f.write(bytearray(b"one\ntwo\r\nthree")) == 14
        f.writelines([b"4\n", memoryview(b"5")])
        f.seek(0)
        assert f.readlines() == [b"one\n", b"two\r\n", b"three4\n", b"5"]
        assert f.seek(-3, 2) == 14 and f.read1(2) == b"4\n" and f.read1() == b"5" and f.read1() == b""
        f.seek(1)
        into = bytearray(5)
        assert f.readinto(into) == 5 and into == b"ne\ntw" and f.seek(-1, 1) == 5
        assert f.readline(3) == b"wo\r" and f.readlines(1) == [b"\n", b"three4\n"]  # as io's
        assert f.seek(9) == 9 and f.tell() == 9
        assert f.truncate() == 9 and f.truncate(12) == 12
    assert path.read_bytes() == b"one\ntwo\r\n\0\0\0"
    with pytest.raises(FileExistsError):
        SharedFile(path, "x")
    with pytest.raises(TypeError):
        SharedFile(path, "wb").write("text")
    with pytest.raises(TypeError):
        SharedFile(path, "w").write(b"bytes")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii", "gbk", "cp1252", "shift_jis"])
def test_encodings(path, encoding):
    text = {"gbk": "汉字\nb漢\n", "shift_jis": "漢字\nテ\n", "ascii": "a\nb\n"}.get(encoding, "é\nü\n")
    with SharedFile(path, "w+", encoding=encoding) as f:
        f.write(text)
        assert path.read_bytes() == b""
        f.seek(0)
        assert path.read_bytes() == text.encode(encoding)
        assert [f.read(1), f.readline(1), f.readline(), f.read()] == [
            text[0], text[1], text[2:].splitlines(True)[0] if text[1] == "\n" else "\n",
            "" if text[1] == "\n" else text[3:]]
        assert f.encoding == encoding and f.errors == "strict" and f.newlines is None


def test_what_cannot_be_coded(path):
    with SharedFile(path, "w", encoding="ascii") as f, pytest.raises(UnicodeEncodeError):
        f.write("é\n")
    assert path.read_bytes() == b""
    with SharedFile(path, "w", encoding="ascii", errors="backslashreplace") as f:
        f.write("é\n")
    assert path.read_bytes() == b"\\xe9\n"
    path.write_bytes(b"a\n\xff\nb\n\xe2\x82")
    with SharedFile(path, encoding="utf-8") as f:
        assert f.readline() == "a\n"
        with pytest.raises(UnicodeDecodeError):
            f.readline()
        assert f.readline() == "b\n"
    with SharedFile(path, encoding="utf-8", errors="replace") as f:
        assert f.read(3) + f.read(9) == "a\n\ufffd\nb\n\ufffd"


@pytest.mark.parametrize(("args", "error"), [
    (("rw",), ValueError), (("",), ValueError), (("q",), ValueError), (("rr",), ValueError),
    (("rbt",), ValueError), (("w", 0), ValueError), (("w", -2), ValueError),
    (("rb", -1, "ascii"), ValueError), (("w", -1, "utf-16"), ValueError),
    (("w", -1, "utf-8-sig"), ValueError), (("w", -1, "none such"), LookupError),
    (("w", -1, "rot13"), LookupError), (("w", -1, None, "none such"), LookupError),
    (("w", -1, None, None, "x"), ValueError), (("w", -1, None, None, None, False), ValueError),
    ((5,), TypeError),
])
def test_bad_arguments(path, args, error):
    with pytest.raises(error):
        SharedFile(path, *args)
    assert not path.exists()


def test_errors_of_open(tmp_path):
    with pytest.raises(IsADirectoryError):
        SharedFile(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        SharedFile(tmp_path / "none" / "such")
    assert caught.value.filename == tmp_path / "none" / "such"
    with pytest.raises(OSError, match="descriptor"):
        SharedFile(10**6)
    with pytest.raises(TypeError):
        SharedFile(2.5)
    source, sink = os.pipe()
    with SharedFile(source, "rb") as f:
        assert not f.seekable()
        for call in (f.tell, lambda: f.seek(0)):
            with pytest.raises(io.UnsupportedOperation):
                call()
        with pytest.raises(io.UnsupportedOperation, match="seekable"):
            SharedFile(source, "r+", closefd=False)
    os.close(sink)
    with pytest.raises(OSError):
        os.close(source)  # was closed


def test_an_error_while_writing():
    with SharedFile("/dev/full", "wb", 10) as f:
        assert f.write(b"1234") == 4
        for _ in range(3):
            with pytest.raises(OSError, match="space"):
                f.write(b"12345678")
        with pytest.raises(OSError, match="space"):
            f.flush()
        with pytest.raises(OSError, match="space"):
            f.close()
        assert f.closed


# ---- handles -------------------------------------------------------------------------------------


def test_closed_for_all(path, beside):
    f = SharedFile(path, "w+")
    f.write("text")
    beside.call(keep, f)
    beside.call(closing, f)
    assert f.closed and path.read_text() == "text" and "closed" in repr(f)
    f.close()
    for call in (f.read, f.readline, f.flush, f.tell, f.fileno, f.isatty, f.readable, f.writable,
                 f.seekable, f.truncate, f.__enter__, lambda: f.write("x"), lambda: f.print("x"),
                 lambda: f.seek(0), lambda: list(f), lambda: f.read_at(1, 1),
                 lambda: f.write_at(b"", 1), lambda: f.writelines([])):
        with pytest.raises(ValueError, match="closed file"):
            call()
    with pytest.raises(ValueError, match="closed file"):
        beside.call(write_kept)
    beside.call(keep, None)


def test_the_last_handle_closes(path, beside):
    f = SharedFile(path, "w")
    fd = f.fileno()
    f.write("here\n")
    beside.call(keep, f)
    beside.call(write_and_leave, f)
    del f
    os.fstat(fd)
    beside.call(write_kept)
    beside.call(keep, None)
    assert path.read_text() == "here\nfrom therelater\n"
    with pytest.raises(OSError):
        os.fstat(fd)


def test_the_last_handle_dies_with_its_interpreter(path):
    other = Interpreter()
    f = SharedFile(path, "w")
    other.call(keep, f)
    other.call(write_and_leave, f)
    del f
    assert path.read_text() == ""
    other.close()
    assert path.read_text() == "from there"


def test_what_the_last_handle_cannot_write_is_told(run_script):
    result = run_script("""
        from objtunnel import SharedFile
        f = SharedFile("/dev/full", "w")
        f.write("lost")
        del f
        print("goes on")
    """)
    assert result.stdout == "goes on\n" and "/dev/full" in result.stderr and "space" in result.stderr


def test_handles(path, tunnel):
    f = SharedFile(path, "w")
    tunnel.send([f, f.buffer])
    same, buffer = tunnel.recv()
    assert same == f and hash(same) == hash(f) and {f: 1}[same] == 1 and same.id == f.id
    same.write("text ")
    buffer.write(b"bytes ")
    assert pickle.loads(pickle.dumps(buffer)).write(b"more") == 4
    f.close()
    assert path.read_text() == "text bytes more" and buffer.closed
    assert not hasattr(buffer, "encoding") and not hasattr(buffer, "buffer")
    assert f != SharedFile(path) and SharedFile(path) != path
    with pytest.raises(io.UnsupportedOperation):
        f.detach()


def test_a_descriptor_that_stays_open(path):
    with open(path, "w") as theirs:
        with SharedFile(theirs.fileno(), "w", closefd=False) as f:
            assert f.name == theirs.fileno()
            f.write("text")
        theirs.write("!")
    assert path.read_text() == "text!"


def test_stdout_of_several_interpreters(run_script):
    result = run_script("""
        import sys
        from objtunnel import Interpreter, SharedFile

        def speak(out, who):
            sys.stdout = out
            for i in range(300):
                print(who, i, who * 100)

        if __name__ == "__main__":
            out = sys.stdout = SharedFile(1, "w", closefd=False)
            with Interpreter() as a, Interpreter() as b:
                jobs = [a.submit(speak, out, "a"), b.submit(speak, out, "b")]
                speak(out, "m")
                for job in jobs:
                    job.result()
            print("unfinished", end="")
    """)
    *lines, last = result.stdout.split("\n")
    assert last == "unfinished"
    assert sorted(lines) == sorted(f"{w} {i} {w * 100}" for w in "abm" for i in range(300))


# ---- holders that are gone, interrupts, forks -----------------------------------------------------------


def test_an_abandoned_file(path):
    f = SharedFile(path, "w")
    with Interpreter() as other:
        other.call(hold, f)
        assert not f.locked().acquire(timeout=0.01)
    for call in (lambda: f.write("x\n"), f.flush, f.tell, f.close, f.locked().acquire):
        with pytest.raises(LockAbandonedError, match="ended"):
            call()
    assert f.locked().recover()
    f.write("whole\n")
    f.locked().release()
    f.close()
    assert path.read_text() == "whole\nhalf "


def test_waiting_for_an_abandoned_file(path):
    f = SharedFile(path, "w")
    other = Interpreter()
    other.call(hold, f)
    errors = []

    def wait():
        try:
            f.write("x\n")
        except LockAbandonedError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    other.close()
    thread.join(WAIT)
    assert len(errors) == 1
    f.locked().recover()
    f.locked().release()


def test_waiting_lets_others_run(path):
    with SharedFile(path, "w") as f:
        lock = f.locked()
        lock.acquire()
        thread = threading.Thread(target=lambda: print("other", file=f))
        thread.start()
        time.sleep(0.05)
        f.write("first\n")
        lock.release()
        thread.join(WAIT)
    assert path.read_text() == "first\nother\n"


@pytest.mark.parametrize("what", ["lock", "read", "readline", "write"])
@pytest.mark.parametrize("where", ["main", "worker"])
def test_ctrl_c(what, where, interrupt):
    out = interrupt(f"""
        import os, threading
        from objtunnel import SharedFile
        def block():
            source, sink = os.pipe()
            reader, writer = SharedFile(source, "rb"), SharedFile(sink, "wb")
            writer.write(b"there"); writer.flush()
            if {what == "lock"}:
                thread = threading.Thread(target=writer.locked().acquire)
                thread.start(); thread.join()
            print("ready", flush=True)
            try:
                if {what == "read"}: reader.read(10)
                elif {what == "readline"}: reader.readline()
                elif {what == "lock"}: writer.write(b"x")
                else: writer.write(bytes(10**6))
            finally:
                if {what != "lock"}:
                    assert reader.read(5) == b"there"  # nothing was lost
                    if {what == "write"}:
                        thread = threading.Thread(target=writer.close)
                        thread.start()
                        assert reader.read() == bytes(10**6)
                        thread.join()
                    print("all there", flush=True)
        """, where, wait=0.2)
    expected = ["interrupted"] if what == "lock" else ["all there", "interrupted"]
    assert sorted(out.splitlines()) == expected


def test_a_signal_handler_in_the_middle(run_script):
    """It may not write into the file that is being written; into others it may."""
    run_script("""
        import os, signal, threading
        from objtunnel import SharedFile
        source, sink = os.pipe()
        f = SharedFile(sink, "wb")
        errors = []
        def handler(*_):
            try:
                f.write(b"x")
            except RuntimeError as error:
                errors.append(str(error))
                threading.Thread(target=drain).start()
        got = []
        def drain():
            got.append(sum(iter(lambda: len(os.read(source, 5000)), 0)))
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        assert f.write(bytes(10**6)) == 10**6
        f.close()
        [error] = errors
        assert "reentrant" in error
    """)


def test_after_fork(run_script):
    run_script("""
        import os, tempfile, threading
        from objtunnel import LockAbandonedError, SharedFile
        f = SharedFile(os.path.join(tempfile.mkdtemp(), "f"), "w+")
        f.write("before\\n")
        f.flush()
        def hold():
            f.locked().acquire()
        thread = threading.Thread(target=hold)
        thread.start()
        thread.join()
        pid = os.fork()
        if pid == 0:
            try:
                f.write("child\\n")
            except LockAbandonedError:
                f.locked().recover()
                f.write("child\\n")
                f.flush()
                os._exit(0)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        assert f.fileno() and os.pread(f.fileno(), 100, 0) == b"before\\nchild\\n"
    """)


def test_no_memory(path):
    """Nothing changes when there is none for what is read."""
    path.write_text("12345")
    with SharedFile(path) as f:
        with pytest.raises((MemoryError, OverflowError)):
            f.read(10**30)
        assert f.read_at(sys.maxsize, 1) == b"2345" and f.read(sys.maxsize) == "12345"


def test_concurrent_interpreters(path):
    interpreters = pytest.importorskip("concurrent.interpreters")
    interpreter = interpreters.create()
    with SharedFile(path, "w") as f:
        interpreter.prepare_main(f=f)
        interpreter.exec("f.print('there')")
    interpreter.close()
    assert path.read_text() == "there\n"
