"""The last reference to a SharedFile whose pipe is full: whatever holds it, closing waits without the GIL,
and Ctrl-C ends the wait."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

HOLDERS = {
    "plain": "f",
    "dict": "LockingDict(f=f)",
    "list": "LockingList([f])",
    "box": "Box(f)",
    "frozen tree in a box": "Box([[f]])",
    "instance in a dict": "LockingDict(f=[Holder(f)])",
    "list in a dict in a box": "Box([LockingDict(l=LockingList([f]))])",
    "message": "sent(f)",
    "message in an instance": "sent([Holder(f)])",
    "replaced value": "Replaced(f)",
}

PRELUDE = """
import gc, os, sys, threading, time
from objtunnel import Box, Interpreter, LockingDict, LockingList, SharedFile, Tunnel

class Holder:
    def __init__(self, held):
        self.held = held

def sent(o):
    t = Tunnel()
    t.send(o)
    return t

class Replaced(dict):
    def __init__(self, f):
        self.d = LockingDict(f=f)
    def __del__(self):
        self.d["f"] = None

def full_pipe():
    read_end, write_end = os.pipe()
    f = SharedFile(write_end, "wb", buffering=1 << 20)
    f.write(b"x" * 500_000)
    return f, read_end, write_end
"""

DROPPED = PRELUDE + """
f, read_end, write_end = full_pipe()
holder = {how}
del f

def read():
    time.sleep(.2)
    n = 0
    while n < 500_000:
        n += len(os.read(read_end, 65536))
thread = threading.Thread(target=read, daemon=True)
thread.start()
del holder
gc.collect()
LockingDict()
thread.join()
try:
    os.fstat(write_end)
except OSError:
    print("all read, closed")
"""

INTERRUPTED = PRELUDE + """
f, read_end, write_end = full_pipe()
holder = {how}
del f
print("ready", flush=True)
try:
    del holder
    gc.collect()
    LockingDict()
    for i in range(10**7):  # the exception comes with one of the next bytecodes
        pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

INTERRUPTED_JOB = PRELUDE + """
import signal

def job(t):
    f, read_end, write_end = full_pipe()
    holder = {how}
    del f
    t.send(1)
    try:
        del holder
        gc.collect()
        for i in range(10**7):
            pass
    except KeyboardInterrupt:
        print("job interrupted", flush=True)
        raise

if __name__ == "__main__":
    with Interpreter() as i:
        t = Tunnel()
        def interrupt():
            t.recv()
            time.sleep(.3)
            os.kill(os.getpid(), signal.SIGINT)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=interrupt).start()
        try:
            i.call(job, t)
        except KeyboardInterrupt:
            print("interrupted")
"""


def run(source, tmp_path, interrupted=False):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(source))
    process = subprocess.Popen([sys.executable, "-X", "faulthandler", script], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        if interrupted:
            assert process.stdout.readline() == "ready\n"
            time.sleep(.3)
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, (process.returncode, err)
    return out, err


@pytest.mark.parametrize("how", HOLDERS)
def test_the_reader_is_a_thread_of_the_same_interpreter(how, tmp_path):
    assert run(DROPPED.format(how=HOLDERS[how]), tmp_path) == ("all read, closed\n", "")


@pytest.mark.parametrize("how", HOLDERS)
def test_ctrl_c_ends_the_wait(how, tmp_path):
    source = INTERRUPTED.format(how=HOLDERS[how])
    out, err = run(source.replace("import gc", "import signal; signal.signal(signal.SIGINT, "
                                  "signal.default_int_handler)\nimport gc", 1), tmp_path, True)
    assert out == "interrupted\n"
    assert "closed by its last handle: interrupted" in err and "Exception ignored" not in err


def test_an_interrupt_of_a_job_ends_the_wait(tmp_path):
    out, err = run(INTERRUPTED_JOB.format(how="LockingDict(f=f)"), tmp_path)
    assert out == "job interrupted\ninterrupted\n" and "closed by its last handle: interrupted" in err
