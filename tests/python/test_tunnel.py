"""The Tunnel as a queue: what users of queue.Queue expect, between threads and interpreters."""

import gc
import os
import pickle
import queue
import random
import signal
import sys
import threading
import time

import pytest

import objtunnel
from objtunnel import Interpreter, Tunnel, TunnelClosed, TunnelEmpty, TunnelFull

WAIT = 60  # seconds that no test should ever wait


def test_first_in_first_out(tunnel):
    for i in range(100):
        tunnel.send([i])
    assert tunnel.qsize() == 100 and not tunnel.empty() and not tunnel.full()
    assert [tunnel.recv()[0] for _ in range(100)] == list(range(100))
    assert tunnel.empty()


def test_empty(tunnel):
    with pytest.raises(TunnelEmpty):
        tunnel.recv_nowait()
    began = time.monotonic()
    with pytest.raises(queue.Empty):
        tunnel.recv(timeout=0.2)
    assert time.monotonic() - began >= 0.2
    with pytest.raises(TunnelEmpty):
        tunnel.recv(0)


def test_full():
    t = Tunnel(maxsize=2)
    t.send(1)
    t.send_nowait(2)
    assert t.full() and t.maxsize == 2
    x = [1.5]
    with pytest.raises(TunnelFull):
        t.send_nowait(x)
    began = time.monotonic()
    with pytest.raises(queue.Full):
        t.send(x, timeout=0.2)
    assert time.monotonic() - began >= 0.2
    assert x == [1.5]  # not sent, not emptied
    assert t.recv() == 1
    t.send(x)
    assert x == []


def test_a_failed_send_gives_its_place_back():
    t = Tunnel(maxsize=1)
    for _ in range(3):
        with pytest.raises(TypeError):
            t.send([lambda: 1])
    t.send_nowait(1)


def test_a_timeout_of_zero_does_not_wait():
    t = Tunnel(1)
    for timeout in (0, 0.0, 1e-300):
        with pytest.raises(TunnelEmpty):
            t.recv(timeout=timeout)
    t.send(1, timeout=0)
    for timeout in (0, 0.0, 1e-300):
        with pytest.raises(TunnelFull):
            t.send(2, timeout=timeout)
    assert t.recv(timeout=0) == 1


@pytest.mark.parametrize("maxsize", [0, 1])
def test_short_timeouts_lose_nothing(worker, maxsize):
    """Waits that end while watching, while falling asleep, asleep."""
    t = Tunnel(maxsize)
    count = 3000
    sending = worker.submit(send_impatiently, t, count)
    received = []
    seed = random.Random(4)
    while len(received) < count:
        try:
            received.append(t.recv(timeout=seed.uniform(0, 4e-5)))
        except TunnelEmpty:
            pass
    assert received == list(range(count))
    sending.result()


def send_impatiently(t, count):
    seed = random.Random(5)
    for i in range(count):
        while True:
            try:
                t.send(i, timeout=seed.uniform(0, 4e-5))
                break
            except TunnelFull:
                pass


def test_another_thread_runs_while_one_watches(tunnel):
    """Each answer comes from a thread of the same interpreter, which needs the GIL for it."""
    back = Tunnel()

    def echo():
        for message in tunnel:
            back.send(message)

    thread = threading.Thread(target=echo)
    thread.start()
    for i in range(2000):
        tunnel.send(i)
        assert back.recv() == i
    tunnel.close()
    thread.join()


@pytest.mark.parametrize("leaf", [None, True, 0, 7, 10**30, 1.5, 2j, b"", b"x", b"bytes" * 9, "",
                                  "x", "text" * 9, "\u20ac", int, ...], ids=repr)
def test_leaves_as_messages(worker, leaf):
    t, back = Tunnel(), Tunnel()
    for strict in (False, True):
        receipt = t.send(leaf, strict=strict)
        worker.call(pass_on, t, back)
        again = back.recv()
        assert again == leaf and type(again) is type(leaf)
        assert receipt.moved == receipt.pickled == 0 and receipt.copied == (again is not leaf)


def pass_on(t, back):
    back.send(t.recv())


def test_a_send_within_a_send(tunnel):
    """Pickling runs Python code, which may send: both have tables of their own."""
    inner = Tunnel()
    x = [i * 1000 for i in range(40)]
    for _ in range(3):
        tunnel.send([x, x, SendsWhenPickled(inner), {"key": x}])
        outer = tunnel.recv()
        assert outer[0] == x and outer[1] is outer[0] and outer[3]["key"] is outer[0]
        assert inner.recv() == [[1000], {"a": 2000}]


class SendsWhenPickled:
    def __init__(self, t):
        self.t = t

    def __reduce__(self):
        shared = [1000]
        self.t.send([shared, {"a": 2000}])
        return int, (5,)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "soon"])
def test_bad_timeouts(tunnel, timeout):
    error = TypeError if timeout == "soon" else ValueError
    with pytest.raises(error):
        tunnel.recv(timeout=timeout)
    with pytest.raises(error):
        tunnel.send(1, timeout=timeout)
    assert tunnel.qsize() == 0


def test_bad_arguments(tunnel):
    with pytest.raises(TypeError, match="missing"):
        tunnel.send()
    with pytest.raises(TypeError, match="positional"):
        tunnel.send(1, 2)
    with pytest.raises(TypeError, match="unexpected"):
        tunnel.send(1, block=True)
    with pytest.raises(TypeError, match="unexpected"):
        tunnel.send_nowait(1, timeout=3)
    tunnel.send(obj=1)
    assert tunnel.recv() == 1


def test_close(tunnel):
    tunnel.send(1)
    tunnel.close()
    tunnel.close()
    assert tunnel.closed
    with pytest.raises(TunnelClosed):
        tunnel.send(2)
    assert tunnel.recv() == 1
    with pytest.raises(queue.ShutDown):
        tunnel.recv()
    with pytest.raises(TunnelClosed):
        tunnel.recv_nowait()


def test_close_immediately(tunnel):
    tunnel.send([1])
    tunnel.close(immediate=True)
    with pytest.raises(TunnelClosed):
        tunnel.recv()


def test_close_wakes_everybody():
    t = Tunnel(maxsize=1)
    outcomes = []

    def blocked(operation):
        try:
            operation()
        except TunnelClosed:
            outcomes.append("closed")

    empty = Tunnel()
    t.send(1)
    threads = [threading.Thread(target=blocked, args=[empty.recv]) for _ in range(3)]
    threads += [threading.Thread(target=blocked, args=[lambda: t.send(2)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    assert outcomes == []
    empty.close()
    t.close()
    for thread in threads:
        thread.join(WAIT)
    assert outcomes == ["closed"] * 6


def test_iteration_ends_when_closed():
    with Tunnel() as t:
        for i in range(3):
            t.send(i)
    assert list(t) == [0, 1, 2] and list(t) == []


def test_a_blocked_recv_lets_others_run(tunnel):
    got = []
    thread = threading.Thread(target=lambda: got.append(tunnel.recv()))
    thread.start()
    time.sleep(0.05)
    tunnel.send(["x"])
    thread.join(WAIT)
    assert got == [["x"]]


def test_a_blocked_send_waits_for_a_place():
    t = Tunnel(maxsize=1)
    t.send(1)
    thread = threading.Thread(target=t.send, args=[2])
    thread.start()
    time.sleep(0.05)
    assert t.qsize() == 1
    assert [t.recv(WAIT), t.recv(WAIT)] == [1, 2]
    thread.join(WAIT)


@pytest.mark.parametrize("maxsize", [0, 1, 7])
def test_many_senders_and_receivers_in_many_interpreters(maxsize):
    """Every message arrives once, and each sender's in order."""
    t, results = Tunnel(maxsize), Tunnel()
    senders = [Interpreter() for _ in range(3)]
    receivers = [Interpreter() for _ in range(3)]
    futures = [r.submit(take_all, t, results) for r in receivers]
    sending = [s.submit(send_numbers, t, n, 500) for n, s in enumerate(senders)]
    send_numbers(t, 3, 500)
    for f in sending:
        f.result(WAIT)
    t.close()
    for f in futures:
        f.result(WAIT)
    got = [results.recv(WAIT) for _ in receivers]
    for one in got:
        for n in range(4):
            mine = [i for sender, i, _ in one if sender == n]
            assert mine == sorted(mine)
    assert sorted((s, i) for one in got for s, i, _ in one) == \
        [(s, i) for s in range(4) for i in range(500)]
    assert all(row == [s, [i * 0.5]] for one in got for s, i, row in one)
    for i in senders + receivers:
        i.close()


def send_numbers(t, n, count):
    for i in range(count):
        t.send([n, i, [n, [i * 0.5]]])


def take_all(t, results):
    results.send([list(message) for message in t])


# ---- handles -----------------------------------------------------------------------------------

def test_handles_compare_and_print(tunnel):
    tunnel.send([tunnel, (tunnel,), {"t": tunnel}])
    a, (b,), c = tunnel.recv()
    assert a == b == c["t"] == tunnel and hash(a) == hash(tunnel)
    assert a is b is c["t"] and a.id == tunnel.id
    assert a != Tunnel() and a != 3
    assert repr(tunnel) == f"<objtunnel.Tunnel {tunnel.id}, 0 queued, maxsize 0>"
    a.close()
    assert tunnel.closed and "closed" in repr(tunnel)


def test_a_tunnel_travels_to_a_worker_and_back(worker):
    inner = Tunnel()
    inner.send(["before"])
    answer = worker.call(use_inner, inner)
    assert answer == inner
    assert answer.recv() == ["before", "and after"]


def use_inner(inner):
    message = inner.recv()
    message.append("and after")
    inner.send(message)
    return inner


def test_a_tunnel_keeps_its_messages_while_it_travels():
    outer = Tunnel()
    inner = Tunnel()
    inner.send([1.5])
    outer.send([inner])
    del inner
    gc.collect()
    assert outer.recv()[0].recv() == [1.5]


def test_tunnels_in_tunnels_die_with_the_outermost():
    from objtunnel import _core
    before = _core._live_tunnels()
    t = Tunnel()
    for _ in range(10_000):
        inner, t = t, Tunnel()
        t.send([inner, [1.5]])
    del inner
    # Of those before, some may be an ended interpreter's that are about to go.
    assert 10_001 <= _core._live_tunnels() <= before + 10_001
    del t
    assert _core._live_tunnels() <= before


class Holder:
    def __init__(self, t):
        self.t = t


def test_a_tunnel_inside_a_pickled_object(tunnel):
    inner = Tunnel()
    inner.send("kept alive by the message")
    tunnel.send([Holder(inner)])
    del inner
    gc.collect()
    assert tunnel.recv()[0].t.recv() == "kept alive by the message"


def test_pickling_a_tunnel_by_hand(tunnel):
    data = pickle.dumps(tunnel)
    assert pickle.loads(data) == tunnel
    other = Tunnel()
    data = pickle.dumps(other)
    del other
    with pytest.raises(LookupError, match="no shared object"):
        pickle.loads(data)


def test_interpreters_of_the_standard_library(tunnel):
    low = pytest.importorskip("_interpreters")
    there = Tunnel()
    interp = low.create("isolated")
    try:
        there.send([1.5, {"k": "v"}])
        error = low.exec(interp, f"import sys; sys.path[:] = {sys.path!r}\n"
                                 "import objtunnel\n")
        assert error is None, error
        error = low.exec(interp, "tree = there.recv()\ntree.append(there)\nback.send(tree)\n"
                                 "del tree, there, back", {"there": there, "back": tunnel})
        assert error is None, error
    finally:
        low.destroy(interp)
    assert tunnel.recv() == [1.5, {"k": "v"}, there]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="concurrent.interpreters is new in 3.14")
def test_concurrent_interpreters(tunnel):
    from concurrent import interpreters
    interp = interpreters.create()
    q = interpreters.create_queue()
    try:
        interp.prepare_main(t=tunnel, q=q)
        interp.exec(f"import sys; sys.path[:] = {sys.path!r}\n"
                    "import objtunnel\n"
                    "assert type(t) is objtunnel.Tunnel\n"
                    "t.send(['hello']); q.put(t); del t")
        assert q.get() == tunnel
        assert tunnel.recv() == ["hello"]
    finally:
        interp.close()


def test_an_interpreter_ends_with_full_tunnels_in_a_cycle(worker):
    """The last collection may clear the Tunnel type before the tunnels."""
    with Interpreter() as i:
        i.call(leave_garbage)


def leave_garbage():
    import builtins
    t = Tunnel()
    t.send([[1.5], {"k": t}])
    cycle = [t, Tunnel]
    cycle.append(cycle)
    builtins.kept = cycle
    sys.modules["kept too"] = cycle


def test_receipts_that_are_kept_stay_as_they_are(tunnel):
    kept = [tunnel.send([float(i)] * n) for n in range(3) for i in range(3)]
    for n in (1, 2):
        tunnel.send([[] for _ in range(n)])
    last = tunnel.send([])
    assert [r.moved for r in kept] == [1] * 3 + [2] * 6 and last.moved == 1
    # Equal ones may be one object, which nothing changes (test_move.py).
    assert len(set(kept)) == 2 and len({id(r) for r in kept}) >= 2


# ---- signals and fork ----------------------------------------------------------------------------

def test_ctrl_c_ends_a_blocked_recv(tunnel):
    began = time.monotonic()
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        tunnel.recv(timeout=WAIT)
    assert time.monotonic() - began < WAIT / 2
    tunnel.send("still works")
    assert tunnel.recv() == "still works"


def test_ctrl_c_ends_a_blocked_send():
    t = Tunnel(maxsize=1)
    t.send(1)
    x = [1.5]
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        t.send(x, timeout=WAIT)
    assert x == [1.5]


def test_a_handled_signal_does_not_end_the_wait(tunnel):
    seen = []
    old = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        timers = [threading.Timer(0.05 * i, os.kill, [os.getpid(), signal.SIGUSR1])
                  for i in range(1, 4)]
        for timer in timers:
            timer.start()
        with pytest.raises(TunnelEmpty):
            tunnel.recv(timeout=0.5)
        assert len(seen) == 3
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_after_fork_the_child_has_empty_tunnels(run_script):
    """In a process without open interpreters: CPython's own fork crashes where there are some."""
    run_script("""
        import os, sys, threading, warnings
        from objtunnel import Interpreter, Tunnel, TunnelEmpty

        def double(x):
            return x * 2

        def main():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads
            with Interpreter() as i:
                assert i.submit(double, 2).result() == 4  # starts the mailbox
            t, busy = Tunnel(), Tunnel()
            t.send(["the parent's"])
            waiting = threading.Thread(target=busy.recv)
            waiting.start()
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    assert t.qsize() == 0
                    t.send(["the child's"])
                    assert t.recv() == ["the child's"]
                    try:
                        t.recv(timeout=0.01)
                        assert False
                    except TunnelEmpty:
                        pass
                    busy.send(1)
                    assert busy.recv(1) == 1
                    with Interpreter() as own:
                        assert own.submit(double, 3).result() == 6
                    code = 0
                except BaseException:
                    sys.excepthook(*sys.exc_info())
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            busy.send(1)
            waiting.join()
            assert t.recv() == ["the parent's"]

        if __name__ == "__main__":
            main()
        """)


@pytest.mark.parametrize("begin, end", [
    ("it = objtunnel.Interpreter()", "it.close()"),
    ("it = objtunnel.InterpreterPoolExecutor(1); it.submit(abs, 1).result()", "it.shutdown()"),
    ("objtunnel.start(workers=1)", "pass")])
def test_forking_beside_open_interpreters_warns(run_script, begin, end):
    result = run_script(f"""
        import objtunnel, os, sys
        {begin}
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        {end}
        """)
    assert result.stderr.count("crashes the child in CPython itself") == 1
    if "shutdown" in end:
        result = run_script(f"""
            import objtunnel, os
            {begin}
            {end}
            if os.fork() == 0:
                os._exit(0)
            os.wait()
            """)
        assert "crashes" not in result.stderr


@pytest.mark.parametrize("wait", ["Tunnel().recv()", "lock.acquire()", "busy.close()"])
def test_a_signal_that_did_not_end_the_sleep_is_noticed(run_script, wait):
    """It came just before the sleep began, or ran in another thread: the main thread looks once a second or later."""
    out = run_script(f"""
        import os, signal, threading, time
        from objtunnel import Interpreter, Lock, Tunnel
        if "busy" in {wait!r}:
            busy = Interpreter()
            busy.submit(time.sleep, 60)
        def told(*_):
            raise RuntimeError("told")
        lock = Lock()
        threading.Thread(target=lambda: lock.acquire() and time.sleep(60), daemon=True).start()
        while not lock.locked(): time.sleep(0.001)
        signal.signal(signal.SIGUSR1, told)
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])  # for this thread: another one takes it
        begin = time.monotonic()
        try:
            {wait}
        except RuntimeError as error:
            print(error, time.monotonic() - begin < 20, flush=True)
            os._exit(0)
    """, check=False, timeout=60).stdout
    assert out == "told True\n"
