"""Interpreter.stream(): a generator in another interpreter."""

import gc
import time

import pytest

import stream_users
from objtunnel import InterpreterClosed, LockingDict, Tunnel


def test_items_come_in_order(worker):
    assert list(worker.stream(stream_users.count, 1000)) == list(range(1000))
    assert list(worker.stream(range, 5, buffer=1)) == [0, 1, 2, 3, 4]
    assert list(worker.stream(stream_users.count, n=0)) == []


def test_trees_move(worker):
    for row in worker.stream(stream_users.rows, 3):
        assert row == {"row": [1.5, "text-%d" % row["n"]], "n": row["n"]}
        row["mine"] = True


def test_arguments_are_the_generators_own(worker):
    assert list(worker.stream(stream_users.consume, [[1, 2], [3]])) == [[1, 2], [3]]


def test_the_generator_waits_for_the_consumer(worker):
    made = LockingDict()
    stream = worker.stream(stream_users.note, made, 1000, buffer=3)
    assert next(stream) == 0
    time.sleep(0.1)
    assert made["made"] <= 6  # one is out, three wait, one is being sent
    assert sum(1 for _ in stream) == 999 and made["made"] == 1000


def test_what_it_returns(worker):
    def all_of(stream):
        returned.append((yield from stream))

    returned = []
    assert list(all_of(worker.stream(stream_users.returns, 5))) == [0] and returned == [5]


def test_an_exception_comes_after_the_items(worker):
    got = []
    with pytest.raises(ZeroDivisionError):
        for item in worker.stream(stream_users.fails_after, 3):
            got.append(item)
    assert got == [0, 1, 2]
    with pytest.raises(TypeError, match="not iterable"):
        list(worker.stream(len, "text"))
    with pytest.raises(TypeError, match="cannot send"):
        list(worker.stream(stream_users.yields_a_generator))
    assert worker.call(len, "still there") == 11


def test_a_wrong_buffer(worker):
    for buffer in (0, -1, 1.5):
        with pytest.raises(ValueError, match="buffer"):
            worker.stream(range, 3, buffer=buffer)


@pytest.mark.parametrize("leave", ["break", "close", "unused", "error"])
def test_leaving_ends_the_generator(worker, leave):
    log = LockingDict()
    stream = worker.stream(stream_users.endless, log)
    if leave == "break":
        for n in stream:
            if n == 10:
                break
    elif leave == "close":
        next(stream)
        stream.close()
        with pytest.raises(StopIteration):
            next(stream)
    elif leave == "error":
        with pytest.raises(LookupError):
            for _ in stream:
                raise LookupError
    del stream
    gc.collect()
    assert worker.call(stream_users.ended, log) in ("GeneratorExit", "KeyboardInterrupt", "never begun")
    assert worker.call(len, "text") == 4


def test_a_generator_that_yields_no_more_is_interrupted(worker):
    log, started = LockingDict(), Tunnel()
    stream = worker.stream(stream_users.busy, log, started)
    started.recv(timeout=60)
    stream.close()
    assert worker.call(stream_users.ended, log) == "KeyboardInterrupt"


def test_two_workers_at_once(worker, open_worker):
    for other in open_worker("second"):
        pairs = zip(worker.stream(stream_users.count, 50), other.stream(stream_users.count, 50), strict=True)
        assert list(pairs) == [(n, n) for n in range(50)]


def test_closing_the_interpreter_ends_a_stream(open_worker):
    for other in open_worker("ends"):
        stream = other.stream(stream_users.count, 10, buffer=100)
        assert next(stream) == 0
    assert list(stream) == list(range(1, 10))  # the job was done: what it sent is there


def test_a_stream_in_a_script(run_script):
    result = run_script("""
        from objtunnel import Interpreter

        def squares(n):
            for i in range(n):
                yield i * i

        if __name__ == "__main__":
            with Interpreter() as worker:
                print(list(worker.stream(squares, 4)), list(worker.stream(lambda n: [n] * 3, 7)))
                for n in worker.stream(squares, 10**9):
                    if n > 100:
                        break
            print(n)
        """)
    assert result.stdout == "[0, 1, 4, 9] [7, 7, 7]\n121\n"


def test_a_closed_interpreter(open_worker):
    for other in open_worker("closed"):
        pass
    with pytest.raises(InterpreterClosed):
        other.stream(range, 3)
