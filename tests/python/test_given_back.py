"""Memory that was freed goes back to the system within seconds, whoever made it and whoever freed it."""

import sys

import pytest

import objtunnel

pytestmark = pytest.mark.skipif(not objtunnel.heap_info().installed, reason="the process has another heap")

PROLOGUE = """
import os, sys, time
from objtunnel import Interpreter, Tunnel

ROWS = 200_000

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def build():
    return [{"a": i, "b": [i]} for i in range(ROWS)]

def send(tunnel):
    tunnel.send(build())

def drop(tunnel):
    tunnel.recv()

def goes_back(start, full, most=0.25, within=20):
    assert full - start > 30e6, "there was no tree"
    end = time.monotonic() + within
    while resident() - start > most * (full - start):
        assert time.monotonic() < end, f"{(resident() - start) / 1e6:.0f} MB left of {(full - start) / 1e6:.0f}"
        time.sleep(0.1)
        _ = [object() for _ in range(1000)]  # as a program that goes on
"""

CASES = {
    "made_and_freed_here": """
        start = resident()
        tree = build()
        full = resident()
        del tree
        goes_back(start, full)
    """,
    "the_program_goes_on_in_a_few_blocks": """
        statm = os.open("/proc/self/statm", os.O_RDONLY)

        def resident():  # an open file would have a buffer, which is too large to be among the few
            return int(os.pread(statm, 100, 0).split()[1]) * PAGE

        PAGE = os.sysconf("SC_PAGE_SIZE")
        start = resident()
        tree = build()
        full = resident()
        del tree
        end = time.monotonic() + 20
        while resident() - start > 0.25 * (full - start):
            assert time.monotonic() < end, f"{(resident() - start) / 1e6:.0f} MB left of {(full - start) / 1e6:.0f}"
            for _ in range(10_000):
                bytes(100)
    """,
    "one_in_four_thousand_is_kept": """
        start = resident()
        tree = build()
        full = resident()
        tree = tree[::4000]
        goes_back(start, full, most=0.5)
    """,
    "made_by_another_one_that_is_idle": """
        with Interpreter() as a:
            a.call(len, [])
            start = resident()
            a.call(send, tunnel)
            tree = tunnel.recv()
            full = resident()
            del tree
            goes_back(start, full)
            a.call(send, tunnel)  # it begins anew
            tree = tunnel.recv()
            assert len(tree) == ROWS and tree[-1] == {"a": ROWS - 1, "b": [ROWS - 1]}
            del tree
            goes_back(start, full)
    """,
    "made_here_and_freed_by_another_one": """
        with Interpreter() as a:
            a.call(len, [])
            start = resident()
            tunnel.send(build())
            full = resident()
            a.call(drop, tunnel)
            goes_back(start, full)
    """,
    "made_by_one_and_freed_by_another_one": """
        with Interpreter() as a, Interpreter() as b:
            a.call(len, [])
            b.call(len, [])
            start = resident()
            a.call(send, tunnel)
            full = resident()
            b.call(drop, tunnel)
            goes_back(start, full)
    """,
    "made_by_one_that_has_ended": """
        with Interpreter() as first:  # what an interpreter costs is there before
            first.call(len, [])
        start = resident()
        with Interpreter() as a:
            a.call(send, tunnel)
        full = resident()
        drop(tunnel)
        goes_back(start, full)
    """,
    "a_dead_thread_s": """
        import threading
        start = resident()
        trees = []
        thread = threading.Thread(target=lambda: trees.append(build()))
        thread.start()
        thread.join()
        full = resident()
        trees.clear()
        goes_back(start, full)
    """,
}


@pytest.mark.parametrize("case", CASES)
def test_memory_goes_back(run_script, case):
    run_script(PROLOGUE + "\nif __name__ == '__main__':\n    tunnel = Tunnel()\n" + CASES[case].replace("\n    ", "\n"))


def test_memory_of_a_process_that_sleeps_in_recv_goes_back(run_script):
    """Nothing is allocated any more: the thread itself gives back what is free before it sleeps for long."""
    run_script(PROLOGUE + """
if __name__ == "__main__":
    tunnel, answers = Tunnel(), []
    start = resident()
    tree = build()
    full = resident()
    del tree
    try:
        tunnel.recv(timeout=3)
    except TimeoutError:
        answers.append(resident())
    assert answers[0] - start < (full - start) / 4, [x // 10**6 for x in (start, full, answers[0])]
""")


def test_blocks_that_are_used_again_and_again_stay(run_script):
    """Giving back at once would cost a page fault for each page of each round: it was 15 times slower."""
    run_script("""
        import resource, objtunnel
        for _ in range(3):
            bytes(1_000_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(2000):
            bytes(1_000_000)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        assert faults < 2000 * 244 / 10, faults
        """)


PEAK = """
import io, sys, objtunnel

def kib(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))
"""
PIECES = 25_000 if hasattr(sys, "gettotalrefcount") else 1  # a debug build reads the whole str at each step
GROWING = {
    "list": ("[]", "value.append(None)", 8),
    "bytearray": ("bytearray()", "value += b'0123456789abcdef'", 16),
    "str": ("''", f"value += '0123456789abcdef' * {PIECES}", 16 * PIECES),
    "StringIO": ("io.StringIO()", "value.write('0123456789abcdef')", 16),
}


@pytest.mark.parametrize("name", GROWING)
def test_what_grows_is_not_copied(name, run_script):
    """Two places of a block at a time, and the memory of some before them for some milliseconds, were the peak of a program."""
    empty, grow, step = GROWING[name]
    run_script(PEAK + f"""
def main():
    value, start = {empty}, kib("VmHWM")
    for _ in range(40_000_000 // {step}):
        {grow}
    grown = (kib("VmHWM") - start) * 1024 / 40e6
    assert 0.9 < grown < 1.4, grown

main()
""")


def test_a_string_does_not_keep_the_buffer_that_it_was_formatted_in(run_script):
    """It has room for 100 characters more than the format, and the string is the shrunken buffer."""
    run_script(PEAK + """
start, n = kib("VmRSS"), 300_000
texts = [None] * n
for i in range(n):
    texts[i] = "(%s)" % ("a" * 40)
each = (kib("VmRSS") - start) * 1024 / n
assert sys.getsizeof(texts[-1]) == 83 and each < 120, each
""")


def test_what_ended_threads_left_serves_those_that_come(run_script):
    """The main thread gives memory back while it waits, and does not keep what others have left: a segment of the heap
    for each thread that has left a block would be 32 MiB of addresses, and its header and a page of memory."""
    run_script("""
        import threading
        from objtunnel import Tunnel, TunnelTimeout

        SEGMENT = 25  # the binary logarithm of its size
        tunnel, kept = Tunnel(), []

        def work():
            kept.append([[float(i)] for i in range(2000)][1000])

        for _ in range(4):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            try:
                tunnel.recv(timeout=1.2)  # longer than the second after which it gives back
            except TunnelTimeout:
                pass
        assert len({id(block) >> SEGMENT for block in kept}) == 1, [hex(id(block)) for block in kept]
        """)
