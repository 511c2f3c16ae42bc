"""Tunnel.until, and interpreters that are closed while their jobs wait in a tunnel: whoever leaves, and
whatever fails, nobody waits for ever and nothing is lost."""

import concurrent.futures
import gc
import sys
import threading
import time

import pytest

from objtunnel import Interpreter, InterpreterPoolExecutor, Tunnel, TunnelClosed

WAIT = 60  # seconds that no test should ever wait


@pytest.fixture(scope="module")
def pair():
    with Interpreter("until-a") as a, Interpreter("until-b") as b:
        yield a, b


@pytest.fixture(params=[0, 1, 4])
def results(request):
    return Tunnel(request.param)


def produce(results, name, n, pause=0.0):
    import time
    for i in range(n):
        results.send([name, i])
        time.sleep(pause)
    return n


def fail(results, n, error, pause=0.0):
    import time
    produce(results, "f", n)
    time.sleep(pause)
    raise error


def forever(results):
    i = 0
    while True:
        results.send([i])
        i += 1


def test_one_producer(pair, results):
    got = [i for _, i in results.until(pair[0].submit(produce, results, "a", 500))]
    assert got == list(range(500))


def test_nothing_is_lost_when_the_first_of_two_is_done(pair, results):
    a, b = pair
    jobs = [a.submit(produce, results, "a", 3), b.submit(produce, results, "b", 60, 0.001)]
    got = list(results.until(*jobs))
    assert [i for name, i in got if name == "a"] == list(range(3))
    assert [i for name, i in got if name == "b"] == list(range(60))


def test_many_rounds(pair):
    """The last message and the end of the job come in any order to whoever waits."""
    a, b = pair
    results = Tunnel(2)
    for n in range(150):
        jobs = [a.submit(produce, results, "a", n % 3), b.submit(produce, results, "b", n % 5)]
        assert len(list(results.until(*jobs))) == n % 3 + n % 5
    assert results.empty()


def test_jobs_that_send_nothing(pair, results):
    assert list(results.until(pair[0].submit(int))) == []
    assert list(results.until(pair[0].submit(int), pair[1].submit(time.sleep, 0.05))) == []


def test_jobs_that_are_done_already(pair):
    results = Tunnel()
    jobs = [w.submit(produce, results, "a", 5) for w in pair]
    concurrent.futures.wait(jobs, WAIT)
    until = results.until(*jobs)
    results.send("not theirs")
    assert len(list(until)) == 10
    assert results.recv_nowait() == "not theirs"


def test_without_futures_it_takes_what_is_there(tunnel):
    tunnel.send(1)
    tunnel.send(2)
    until = tunnel.until()
    tunnel.send(3)
    assert list(until) == [1, 2] and tunnel.recv_nowait() == 3
    assert list(tunnel.until()) == []


def test_the_messages_of_another_producer_are_not_lost(pair):
    """One whose job is not among the futures goes on; what it sends later stays in the tunnel."""
    a, b = pair
    results = Tunnel()
    other = b.submit(produce, results, "b", 200, 0.001)
    got = list(results.until(a.submit(produce, results, "a", 20)))
    assert [i for name, i in got if name == "a"] == list(range(20))
    other.result(WAIT)
    rest = list(results.until())
    assert [i for name, i in got + rest if name == "b"] == list(range(200))


def test_an_error_is_raised_after_all_that_was_sent(pair, results):
    a, b = pair
    got = []
    with pytest.raises(FileNotFoundError, match="no such input"):
        for x in results.until(a.submit(produce, results, "a", 30, 0.001),
                               b.submit(fail, results, 4, FileNotFoundError("no such input"))):
            got.append(x)
    assert len(got) == 34


def test_the_error_that_came_first_is_raised(pair, results):
    a, b = pair
    with pytest.raises(KeyError):
        list(results.until(a.submit(fail, results, 1, ValueError("late"), 0.3),
                           b.submit(fail, results, 1, KeyError("early"))))


def test_a_job_that_was_cancelled(pair):
    a, _ = pair
    results = Tunnel()
    blocker = a.submit(time.sleep, 0.2)
    job = a.submit(produce, results, "a", 3)
    assert job.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        list(results.until(job))
    blocker.result(WAIT)


def test_a_missing_file(pair):
    results = Tunnel(2)
    with pytest.raises(FileNotFoundError):
        list(results.until(pair[0].submit(read, ["/dev/null", "/no/such/file"], results)))


def read(paths, results):
    for path in paths:
        with open(path, encoding="utf-8") as f:
            results.send([path, f.read()])


def test_a_producer_that_closes_the_tunnel(pair):
    """As one writes it for a single producer: the other one fails, and that is said."""
    a, b = pair
    results = Tunnel(2)
    with pytest.raises(TunnelClosed):
        list(results.until(a.submit(send_and_close, results), b.submit(forever, results)))
    results = Tunnel()
    assert list(results.until(a.submit(send_and_close, results))) == [[0], [1], [2]]
    slow = Tunnel()
    began = time.monotonic()
    assert list(slow.until(a.submit(send_and_close, slow), b.submit(time.sleep, 0.3))) == [[0], [1], [2]]
    assert time.monotonic() - began > 0.25


def send_and_close(results):
    for i in range(3):
        results.send([i])
    results.close()


@pytest.mark.parametrize("leave", ["break", "raise", "close", "del"])
def test_leaving_early_ends_the_producers(pair, leave):
    a, b = pair
    results = Tunnel(2)
    jobs = [a.submit(forever, results), b.submit(forever, results), a.submit(forever, results)]
    until = results.until(*jobs)
    assert isinstance(next(until), list)
    while not (jobs[0].running() and jobs[1].running()):
        time.sleep(0.001)
    if leave == "close":
        until.close()
    elif leave == "del":
        del until
        gc.collect()
    else:
        with pytest.raises(ZeroDivisionError):
            for _ in until:
                del until
                if leave == "break":
                    break
                raise ZeroDivisionError
            raise ZeroDivisionError
    concurrent.futures.wait(jobs, WAIT)
    assert [type(job.exception(0)) for job in jobs[:2]] == [KeyboardInterrupt] * 2
    assert jobs[2].cancelled()
    assert a.call(len, "abc") == b.call(len, "abc") == 3


def test_leaving_before_the_first_message(pair):
    """Also one that was never asked for a message: the producers fill the tunnel and wait."""
    results = Tunnel(2)
    job = pair[0].submit(forever, results)
    until = results.until(job)
    while not results.full():
        time.sleep(0.001)
    del until
    assert isinstance(job.exception(WAIT), KeyboardInterrupt)


def test_ctrl_c_while_waiting(pair, run_script):
    out = run_script("""
        import os, signal, threading, time
        from objtunnel import Interpreter, Tunnel

        def forever(t, started):
            started.send(1)
            t.recv()

        if __name__ == "__main__":
            results, never, started = Tunnel(), Tunnel(), Tunnel()
            with Interpreter() as a, Interpreter() as b:
                jobs = [w.submit(forever, never, started) for w in (a, b)]
                for _ in jobs:
                    started.recv(60)
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
                try:
                    for x in results.until(*jobs):
                        pass
                except KeyboardInterrupt:
                    print("interrupted")
            print([type(job.exception()).__name__ for job in jobs])
    """).stdout
    assert out == "interrupted\n['KeyboardInterrupt', 'KeyboardInterrupt']\n"


def test_two_consumers(pair):
    """Everything up to the last message is taken by whomever; both end."""
    a, b = pair
    results = Tunnel(3)
    jobs = [a.submit(produce, results, "a", 300), b.submit(produce, results, "b", 300)]
    got = [[], []]
    threads = [threading.Thread(target=lambda mine=mine: mine.extend(results.until(*jobs))) for mine in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
    assert sorted(map(tuple, got[0] + got[1])) == [(n, i) for n in "ab" for i in range(300)]


def test_a_message_that_cannot_be_received_is_not_lost(pair):
    results = Tunnel()
    job = pair[0].submit(send_strange, results)
    until = results.until(job)
    with pytest.raises(ImportError):
        next(until)
    concurrent.futures.wait([job], WAIT)  # it may have been interrupted: the consumer has left
    with pytest.raises(ImportError):
        results.recv()
    results.send("after")
    results.discard()
    assert results.recv() == "after"


def send_strange(results):
    import types
    module = types.ModuleType("only_here")
    exec("class Strange:\n    def __reduce__(self): return Strange, ()", module.__dict__)
    module.Strange.__module__ = "only_here"
    sys.modules["only_here"] = module
    results.send([module.Strange()])


def test_futures_of_other_executors(results):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(produce, results, n, 40) for n in "ab"]
        assert len(list(results.until(*jobs))) == 80
        with pytest.raises(ValueError):
            list(results.until(pool.submit(fail, results, 2, ValueError())))


def test_a_pool():
    results = Tunnel(2)
    with InterpreterPoolExecutor(2) as pool:
        jobs = [pool.submit(produce, results, n, 40) for n in "abc"]
        assert len(list(results.until(*jobs))) == 120
        jobs = [pool.submit(forever, results) for _ in range(4)]
        for _ in results.until(*jobs):
            break
        concurrent.futures.wait(jobs, WAIT)
        assert all(job.cancelled() or isinstance(job.exception(0), KeyboardInterrupt) for job in jobs)
        assert pool.submit(len, "abc").result(WAIT) == 3


@pytest.mark.parametrize("bad, hint", [([], "list"), (None, "NoneType"), (5, "int")])
def test_what_is_no_future(tunnel, bad, hint):
    with pytest.raises(TypeError, match=f"until.. takes futures.*{hint}"):
        tunnel.until(bad)


def test_a_list_of_futures_needs_a_star(tunnel):
    with pytest.raises(TypeError, match=r"put a \* before it"):
        tunnel.until([concurrent.futures.Future()])


def test_no_garbage_is_left(pair):
    """until holds on to nothing once it has ended."""
    import weakref
    results = Tunnel()
    job = pair[0].submit(produce, results, "a", 3)
    until = results.until(job)
    assert len(list(until)) == 3
    seen = [weakref.ref(results), weakref.ref(job)]
    gc.disable()
    try:
        del results, job, until
        deadline = time.monotonic() + 10  # the mailbox's thread lets go of the future a little later
        while any(ref() is not None for ref in seen) and time.monotonic() < deadline:
            pair[0].submit(int).result(WAIT)
        assert [ref() for ref in seen] == [None, None]
    finally:
        gc.enable()


# ---- closing an interpreter whose job waits in a tunnel -----------------------------------------

def script(run_script, body, **kwargs):
    """In a process of its own: whether anybody else is busy is a question about the whole process."""
    return run_script("""
        import sys, threading, time
        from objtunnel import Interpreter, Tunnel, TunnelClosed

        def produce(results, n=10**9):
            for i in range(n):
                results.send([i])

        def consume(t, done=None):
            n = sum(1 for _ in t)
            if done is not None:
                done.send(n)
            return n

        def relay(source, sink):
            for x in source:
                sink.send(x)

        def sleep(s):
            import time
            time.sleep(s)

        def close_inner():
            results = Tunnel(1)
            with Interpreter() as inner:
                job = inner.submit(produce, results)
                results.recv()
            return type(job.exception(0)).__name__

        def careful(results):
            try:
                produce(results)
            except TunnelClosed:
                return "closed"

        if __name__ == "__main__":
    """ + "\n".join(" " * 12 + line for line in body.splitlines()), **kwargs).stdout


def test_the_consumer_left_its_loop(run_script):
    assert script(run_script, """
results = Tunnel(2)
with Interpreter() as a, Interpreter() as b:
    jobs = [a.submit(produce, results), b.submit(produce, results), b.submit(produce, results)]
    for x in results:
        break
for job in jobs:
    assert isinstance(job.exception(0), TunnelClosed), job.exception(0)
    assert "nobody is left to receive" in str(job.exception(0))
assert not results.closed
print("ended")
""") == "ended\n"


def test_the_generator_lives_on_in_a_variable(run_script):
    assert script(run_script, """
results = Tunnel(2)
with Interpreter() as a:
    job = a.submit(produce, results)
    until = results.until(job)
    for x in until:
        break
assert isinstance(job.exception(0), TunnelClosed)
assert len(list(until.gi_frame and iter([0]) or [])) <= 1
print("ended")
""") == "ended\n"


def test_a_tunnel_that_was_not_closed(run_script):
    """A job that receives: its loop ends as if the tunnel had been closed."""
    assert script(run_script, """
source, done = Tunnel(), Tunnel()
with Interpreter() as a:
    job = a.submit(consume, source, done)
    for i in range(5):
        source.send([i])
try:
    print(job.result(0), done.recv(0))
except TunnelClosed as error:
    print("nobody is left to send" in str(error), source.qsize())
""") in ("5 5\n", "True 0\n")


def test_a_chain_of_jobs(run_script):
    assert script(run_script, """
first, second = Tunnel(2), Tunnel(2)
with Interpreter() as a, Interpreter() as b:
    jobs = [a.submit(produce, first), b.submit(relay, first, second)]
    print(second.recv())
for job in jobs:
    assert isinstance(job.exception(0), TunnelClosed)
print("ended")
""") == "[0]\nended\n"


@pytest.mark.parametrize("allocator", ["", "malloc"])  # ours, and one that is left in place
@pytest.mark.parametrize("beside", [
    "ThreadPoolExecutor(1).submit(len, []).result()",
    "thread = threading.Thread(target=threading.Event().wait, daemon=True); thread.start()",
    "thread = threading.Thread(target=queue.Queue().get, daemon=True); thread.start()",
    "lock = threading.Lock(); lock.acquire(); threading.Thread(target=lock.acquire, daemon=True).start()",
    "own = objtunnel.Lock(); own.acquire(); threading.Thread(target=own.acquire, daemon=True).start()",
])
def test_a_consumer_that_leaves_beside_a_thread_that_waits_for_a_lock(run_script, beside, allocator, monkeypatch):
    """Nobody is left who could wake that thread."""
    if allocator:
        monkeypatch.setenv("PYTHONMALLOC", allocator)
    assert script(run_script, """
import objtunnel, queue
from concurrent.futures import ThreadPoolExecutor
results = Tunnel(2)
""" + beside + """
with Interpreter() as a:
    job = a.submit(produce, results)
    for x in results:
        break
assert isinstance(job.exception(0), TunnelClosed)
print("ended")
import os, sys
sys.stdout.flush(); os._exit(0)
""") == "ended\n"


def test_a_main_thread_that_waits_for_a_lock_is_not_waited_for(run_script):
    """Its sleep is cut into slices, between which it looks for signals."""
    assert script(run_script, """
import objtunnel, os
own = objtunnel.Lock()
own.acquire()
def leave():
    results = Tunnel(2)
    with Interpreter() as a:
        job = a.submit(produce, results)
        for x in results:
            break
    assert isinstance(job.exception(0), TunnelClosed)
    os.write(1, b"ended\\n")
    os._exit(0)
threading.Thread(target=leave).start()
own.acquire()
""") == "ended\n"


@pytest.mark.parametrize("wait", ["time.sleep(1)", "threading.Event().wait(1)", "read.recv(1)", "os.read(pipe, 1)"])
def test_a_thread_that_waits_for_something_else_is_waited_for(run_script, wait):
    """Only then does it receive."""
    assert script(run_script, """
import os, socket
results, got = Tunnel(2), []
read, write = socket.socketpair()
pipe, pipe_in = os.pipe()
def slowly():
    """ + wait + """
    got.extend(results)
thread = threading.Thread(target=slowly)
thread.start()
def wake():
    time.sleep(1)
    write.send(b"x")
    os.write(pipe_in, b"x")
threading.Thread(target=wake).start()
with Interpreter() as a:
    job = a.submit(produce, results, 30)
assert job.exception(0) is None
results.close()
thread.join()
print(len(got))
""") == "30\n"


def test_locks_that_go_round_are_waited_for(run_script):
    """Two threads wake each other all the time; one of them receives in the end."""
    assert script(run_script, """
results, got, turns = Tunnel(2), [], [threading.Semaphore(1), threading.Semaphore(0)]
def play(me):
    for i in range(20_000):
        turns[me].acquire()
        turns[not me].release()
    if me:
        got.extend(results)
threads = [threading.Thread(target=play, args=[i]) for i in (0, 1)]
for thread in threads: thread.start()
with Interpreter() as a:
    job = a.submit(produce, results, 30)
assert job.exception(0) is None
results.close()
for thread in threads: thread.join()
print(len(got))
""") == "30\n"


def test_another_thread_still_receives(run_script):
    """Then nobody is woken, however slow it is: all results arrive."""
    assert script(run_script, """
results, got = Tunnel(2), []
def slowly():
    for x in results:
        got.append(x)
        time.sleep(0.01 if len(got) > 5 else 0.3)
thread = threading.Thread(target=slowly)
thread.start()
with Interpreter() as a:
    job = a.submit(produce, results, 100)
assert job.exception(0) is None
results.close()
thread.join()
print(len(got))
""") == "100\n"


def test_another_interpreter_still_receives(run_script):
    assert script(run_script, """
results = Tunnel(2)
with Interpreter() as b:
    sleeping = b.submit(sleep, 1.0)
    receiving = b.submit(consume, results)
    with Interpreter() as a:
        job = a.submit(produce, results, 100)
    assert job.exception(0) is None
    results.close()
    print(receiving.result())
""") == "100\n"


def test_a_job_that_will_receive_is_waited_for(run_script):
    """The queue of another interpreter counts: its job has not begun when the first one is full."""
    assert script(run_script, """
results = Tunnel(2)
b = Interpreter()
b.submit(sleep, 0.5)
receiving = b.submit(consume, results)
a = Interpreter()
job = a.submit(produce, results, 50)
a.close()
results.close()
print(job.exception(0), receiving.result())
b.close()
""") == "None 50\n"


def test_interpreters_that_start_and_end_meanwhile(run_script):
    assert script(run_script, """
results = Tunnel(2)
def come_and_go():
    for _ in range(8):
        with Interpreter() as i:
            i.run("pass")
    for x in results:
        got.append(x)
got = []
thread = threading.Thread(target=come_and_go)
thread.start()
with Interpreter() as a:
    job = a.submit(produce, results, 30)
results.close()
thread.join()
print(job.exception(0), len(got))
""") == "None 30\n"


def test_closing_with_a_timeout_wakes_nobody(run_script):
    assert script(run_script, """
results = Tunnel(2)
a = Interpreter()
job = a.submit(produce, results, 20)
try:
    a.close(timeout=0.3)
except TimeoutError:
    print("timeout")
results.recv()
assert len(list(results.until(job))) == 19
print(job.exception(0))
""") == "timeout\nNone\n"


def test_an_interpreter_inside_an_interpreter(run_script):
    assert script(run_script, """
with Interpreter() as a:
    print(a.call(close_inner))
""") == "TunnelClosed\n"


def test_the_job_may_go_on_after_it_was_woken(run_script):
    assert script(run_script, """
results = Tunnel(1)
with Interpreter() as a:
    job = a.submit(careful, results)
print(job.result(0))
""") == "closed\n"
