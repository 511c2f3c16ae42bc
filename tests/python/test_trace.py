"""trace_copies(): which lines send what is copied, and who refers to it."""

import gc
import io
import os
import threading

import pytest

from objtunnel import Box, LockingDict, Tunnel, trace_copies


def number(i):
    return (i + 10) / 7


def rows(n=3):
    return [[number(i), "text-%d" % i] for i in range(n)]


def test_a_line_that_copies_silently():
    t = Tunnel()
    with trace_copies(file=None) as trace:
        held = rows()
        receipt = t.send([1, held])
        t.send([1, rows()])
    line, = trace.lines
    assert line.filename == __file__ and line.function == "test_a_line_that_copies_silently"
    assert (line.sends, line.copied, line.pickled) == (1, receipt.copied, 0) and line.bytes > 100
    finding = line.findings[0]
    assert finding.path == "$[1]" and any("held" in holder for holder in finding.holders)
    assert f"{__file__}:{line.lineno}" in str(trace) and "held" in str(trace)
    assert t.recv() == [1, rows()] == t.recv()


def test_sends_of_a_loop_are_one_line():
    t, kept = Tunnel(), rows(2)
    with trace_copies(file=None) as trace:
        for _ in range(5):
            t.send([kept])
    line, = trace.lines
    assert line.sends == 5 and len(line.findings) == 1 and line.copied == 5 * 7


def test_costliest_lines_come_first():
    t, few, many = Tunnel(), rows(1), rows(100)
    with trace_copies(file=None) as trace:
        t.send([few])
        t.send([many])
        t.send({"a": few, "b": [few]})
    assert [line.lineno - trace.lines[0].lineno for line in trace.lines][0:1] == [0]
    assert trace.lines[0].bytes > trace.lines[1].bytes >= trace.lines[2].bytes


def test_what_is_pickled():
    t = Tunnel()
    with trace_copies(file=None) as trace:
        t.send([ValueError("x"), len])
    line, = trace.lines
    assert line.pickled == 2 and any(f.what == "pickled" and "ValueError" in f.type for f in line.findings)
    t.recv()


def test_nothing_is_changed(worker):
    """What is sent moves, is copied and arrives as it is without tracing."""
    t, held = Tunnel(), rows()
    with trace_copies(file=None):
        tree = [rows(), {"a": held}]
        where = id(tree[0])
        traced = t.send(tree)
        assert tree == []
    got = t.recv()
    assert id(got[0]) == where and got[1]["a"] is not held and got[1]["a"] == held
    assert traced == t.send([rows(), {"a": held}])


def test_arguments_boxes_and_containers_are_seen(worker):
    held, d = rows(), LockingDict()
    with trace_copies(file=None) as trace:
        worker.call(len, held)
        d["a"] = held
        Box(held)
        worker.submit(len, held).result()
    assert len(trace.lines) == 4 and all(line.filename == __file__ for line in trace.lines)


def test_roots_that_stay():
    t = Tunnel()
    with trace_copies(file=None) as trace:
        t.send(b"x" * 10**5)
        t.send(None)
    line, = trace.lines
    assert line.copied == 1 and line.bytes >= 10**5


def test_other_threads_and_nested_traces():
    t, held = Tunnel(), rows()
    with trace_copies(file=None) as outer:
        with trace_copies(file=None) as inner:
            thread = threading.Thread(target=lambda: t.send([held]))
            thread.start()
            thread.join()
        t.send([held])
    assert len(inner.lines) == 1 and len(outer.lines) == 2
    t.send([held])
    assert len(outer.lines) == 2


def test_the_report(capsys):
    t, held, file = Tunnel(), rows(), io.StringIO()
    with trace_copies():
        t.send([held])
    assert "held" in capsys.readouterr().err
    with trace_copies(file=file):
        t.send([1])
    assert file.getvalue() == "objtunnel: nothing was copied or pickled\n"


def test_errors_of_the_send_stay_the_same():
    t = Tunnel()
    with trace_copies(file=None):
        with pytest.raises(TypeError, match=r"^\$\[0\]: cannot send"):
            t.send([(i for i in "x")])
        with pytest.raises(ZeroDivisionError):
            1 / 0
    gc.collect()
    assert t.empty()


def test_by_environment(run_script):
    result = run_script("""
        from objtunnel import Interpreter, Tunnel

        def answer(rows):
            return kept

        kept = [[n / 7] for n in range(100)]

        if __name__ == "__main__":
            t = Tunnel()
            t.send([kept])
            with Interpreter() as worker:
                worker.call(answer, 1)
        """, env={**os.environ, "OBJTUNNEL_TRACE_COPIES": "1"})
    main, worker = result.stderr.index("copied or pickled, by line"), result.stderr.index("copied or pickled in a worker")
    assert "script.py:" in result.stderr[main:] and "kept" in result.stderr and worker >= 0
    quiet = run_script("from objtunnel import Tunnel\nTunnel().send([list(map(float, '12'))])\n",
                       env={**os.environ, "OBJTUNNEL_TRACE_COPIES": "0"})
    assert quiet.stderr == ""
