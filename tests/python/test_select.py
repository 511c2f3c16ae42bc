"""select(): several tunnels at once."""

import threading
import time

import pytest

import async_users
from objtunnel import Interpreter, Tunnel, TunnelClosed, select
from workers import FREE_THREADED


def test_the_ready_ones_in_their_order(worker):
    a, b, c = Tunnel(), Tunnel(1), Tunnel()
    assert select(a, b, c, timeout=0) == []
    worker.call(async_users.send_rows, c, 0, 2)
    assert select(a, b, c) == [c] == select(c)
    a.send(1)
    assert select(a, b, c, timeout=None) == [a, c] and select(c, a) == [c, a]
    found = select(a)
    assert found[0] is a
    a.recv()
    assert select(a, c, a) == [c]
    for i in range(2):
        async_users.check_row(c.recv(), i)
    assert select(a, b, c, timeout=0.01) == []


def test_a_closed_one_is_ready():
    a, b = Tunnel(), Tunnel()
    b.close()
    assert select(a, b) == [b]
    a.send(1)
    a.close()
    assert select(a) == [a] and a.recv() == 1 and select(a) == [a]


# Between threads of a free-threaded build no receive fails, so none puts its message back.
@pytest.mark.parametrize("do", ["send", "close", *(() if FREE_THREADED else ("put back",))])
def test_it_waits(do):
    a, b = Tunnel(), Tunnel()
    if do == "put back":
        b.send([Unloadable()])

    def act():
        if do == "send":
            b.send(1)
        elif do == "close":
            b.close()
        else:
            time.sleep(0.05)
            b.send(2)

    if do == "put back":
        with pytest.raises(LookupError):
            b.recv()
        assert select(a, b) == [b]
        b.discard()
    timer = threading.Timer(0.05, act)
    timer.start()
    assert select(a, b, timeout=20) == [b]
    timer.join()


class Unloadable:
    def __reduce__(self):
        return fail, ()


def fail():
    raise LookupError("not here")


def test_a_timeout_is_kept():
    begin = time.monotonic()
    assert select(Tunnel(), Tunnel(), timeout=0.1) == []
    assert 0.1 <= time.monotonic() - begin < 5


def test_receivers_are_woken_all_the_same():
    """Who selects takes nothing, and keeps nobody from it."""
    t, got = Tunnel(), []
    threads = [threading.Thread(target=lambda: select(t, timeout=20)) for _ in range(3)]
    threads += [threading.Thread(target=lambda: got.append(t.recv(timeout=20))) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    for n in range(3):
        t.send(n)
    for thread in threads[3:]:
        thread.join()
    t.close()
    for thread in threads:
        thread.join()
    assert sorted(got) == [0, 1, 2]


def test_many_who_select_from_many():
    tunnels, results = [Tunnel(maxsize=2) for _ in range(3)], Tunnel()
    with Interpreter() as a, Interpreter() as b:
        jobs = [w.submit(async_users.take_by_select, tunnels, results) for w in (a, b)]
        senders = [threading.Thread(target=async_users.send_rows, args=(t, 1000 * i, 300), kwargs={"close": True})
                   for i, t in enumerate(tunnels)]
        for sender in senders:
            sender.start()
        async_users.take_by_select(tunnels, results)
        for job in jobs:
            job.result()
        for sender in senders:
            sender.join()
    numbers = sum((results.recv() for _ in range(3)), [])
    assert sorted(numbers) == [1000 * i + n for i in range(3) for n in range(300)]


def test_interrupt(interrupt):
    out = interrupt("""
        from objtunnel import Tunnel, select
        def block():
            print("ready", flush=True)
            select(Tunnel(), Tunnel())
        """)
    assert out == "interrupted\n"
    out = interrupt("""
        from objtunnel import Tunnel, select
        def block():
            print("ready", flush=True)
            select(Tunnel(), Tunnel())
        """, where="other")
    assert out == "interrupted\n"


def test_a_job_that_selects_is_interrupted():
    ready = Tunnel()
    with Interpreter() as w:
        job = w.submit(async_users.select_for_ever, ready, Tunnel(), Tunnel())
        ready.recv()
        while not job.done():
            w.interrupt()
            time.sleep(0.01)
        assert isinstance(job.exception(), KeyboardInterrupt)


def test_closing_an_interpreter_ends_what_nobody_can_end():
    ready = Tunnel()
    with Interpreter() as w:
        job = w.submit(async_users.select_for_ever, ready, Tunnel(), Tunnel())
        ready.recv()
    with pytest.raises(TunnelClosed, match="nobody is left to send"):
        job.result(timeout=0)


def test_errors(tunnel):
    for arguments in [(), (1,), (tunnel, "x")]:
        with pytest.raises(TypeError):
            select(*arguments)
    with pytest.raises(TypeError):
        select(tunnel, wait=1)
    with pytest.raises(TypeError):
        select(tunnel, timeout="x")
    with pytest.raises(ValueError):
        select(tunnel, timeout=-1)
