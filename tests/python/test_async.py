"""Tunnels in event loops: recv_async, send_async, `async for` and fileno(); on asyncio alone and on uvloop."""

import asyncio
import errno
import gc
import os
import random
import select
import selectors
import sys
import threading
import time

import pytest

import async_users
from objtunnel import (
    Interpreter,
    SharedReferenceError,
    Tunnel,
    TunnelClosed,
    TunnelEmpty,
    TunnelFull,
    TunnelSendTimeout,
    TunnelTimeout,
)

SOON = 120  # seconds, for what takes milliseconds


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """run(coroutine) in a new loop of that kind."""
    if request.param == "asyncio":
        new_loop = asyncio.new_event_loop
    else:
        new_loop = pytest.importorskip("uvloop", reason="no uvloop for this Python: make check-asyncio installs it").new_event_loop

    def run(coroutine):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(asyncio.wait_for(coroutine, SOON))

    run.new_loop = new_loop
    run(asyncio.sleep(0))  # uvloop keeps two descriptors from its first loop on
    return run


def is_readable(what):
    return bool(select.select([what], [], [], 0)[0])


def count_descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def no_descriptor_left(tunnel):
    tunnel.fileno()  # goes with it
    before = count_descriptors()
    yield
    assert count_descriptors() == before


async def turns(n):
    for _ in range(n):
        await asyncio.sleep(0)


# ---- receiving and sending ------------------------------------------------------------------------

def test_what_another_interpreter_sends_is_awaited(run, tunnel, no_descriptor_left):
    async def main():
        with Interpreter() as w:
            job = w.submit(async_users.send_rows, tunnel, 0, 50)
            rows = [await tunnel.recv_async() for _ in range(50)]
            await asyncio.wrap_future(job)
        return rows

    for i, row in enumerate(run(main())):
        async_users.check_row(row, i)


def test_a_round_trip_between_two_loops(run):
    async def main():
        requests, answers = Tunnel(), Tunnel()
        with Interpreter() as w:
            job = w.submit(async_users.echo, requests, answers)
            for n in range(200):
                await requests.send_async([n, "text"])
                assert await answers.recv_async() == [[n, "text"]]
            requests.close()
            await asyncio.wrap_future(job)

    run(main())


def test_async_for_ends_when_the_tunnel_is_closed(run, tunnel):
    async def main():
        with Interpreter() as w:
            w.submit(async_users.send_rows, tunnel, 0, 30, close=True)
            return [row[0] async for row in tunnel]

    assert run(main()) == list(range(30))
    assert tunnel.__aiter__() is tunnel


def test_a_list_moves_and_is_left_empty(run, tunnel):
    async def main():
        rows = [[1.5], {"a": [2.5]}]
        inner = [id(x) for x in rows]
        receipt = await tunnel.send_async(rows)
        assert rows == [] and receipt.moved >= 4 and receipt.pickled == 0
        got = await tunnel.recv_async()
        assert got == [[1.5], {"a": [2.5]}] and [id(x) for x in got] == inner

    run(main())


def test_an_immutable_root_moves_if_nothing_else_refers_to_it(run, tunnel):
    """The coroutine alone has it when it is sent."""
    async def main():
        receipt = await tunnel.send_async(([n / 7 for n in range(100)], {"a": [1]}))
        assert receipt.moved > 100 and receipt.copied <= 2
        kept = ([1.5], [2.5])
        assert (await tunnel.send_async(kept)).copied >= 3
        assert kept == ([1.5], [2.5])

    run(main())
    assert tunnel.recv()[1] == {"a": [1]} and tunnel.recv() == ([1.5], [2.5])


def test_a_full_tunnel_is_waited_for(run):
    async def main():
        t = Tunnel(maxsize=2)
        sender = asyncio.create_task(send_all(t, 50))
        got = []
        while len(got) < 50:
            await turns(3)
            assert t.qsize() <= 2
            got.append(await t.recv_async())
        await sender
        assert got == [[n] for n in range(50)]

    async def send_all(t, count):
        for n in range(count):
            await t.send_async([n])

    run(main())


def test_a_place_that_another_interpreter_makes(run):
    async def main():
        t, results = Tunnel(maxsize=1), Tunnel()
        with Interpreter() as w:
            job = w.submit(async_users.gather, t, results, 2)
            for n in range(100):
                await t.send_async([n, {"name": f"row {n}", "values": [n + 0.5, n + 1.5]}])
            t.close()
            await asyncio.wrap_future(job)
            assert sorted(await results.recv_async()) == list(range(100))

    run(main())


def test_loops_of_two_interpreters_and_a_thread_share_a_tunnel(run):
    """Each message comes to one of them, whoever that is."""
    async def main():
        t, results = Tunnel(maxsize=4), Tunnel()
        mine, threads = [], []
        thread = threading.Thread(target=lambda: threads.extend(row[0] for row in t))
        with Interpreter() as a, Interpreter() as b, Interpreter() as source:
            jobs = [w.submit(async_users.gather, t, results, 3) for w in (a, b)]
            thread.start()
            jobs.append(source.submit(async_users.send_rows, t, 0, 600, close=True))
            async for row in t:
                mine.append(row[0])
                async_users.check_row(row, row[0])
            await asyncio.gather(*map(asyncio.wrap_future, jobs))
        await asyncio.to_thread(thread.join)
        theirs = results.recv() + results.recv()
        assert sorted(mine + theirs + threads) == list(range(600))

    run(main())


def test_who_waits_longest_is_first(run, tunnel):
    async def main():
        order = []

        async def take(name):
            order.append((name, await tunnel.recv_async()))

        tasks = []
        for name in range(5):
            tasks.append(asyncio.create_task(take(name)))
            await turns(1)
        for n in range(5):
            tunnel.send(n)
        await asyncio.gather(*tasks)
        assert order == [(n, n) for n in range(5)]

    run(main())


def test_other_tasks_get_their_turn(run, tunnel):
    """Also while there is always a message."""
    async def main():
        for n in range(5000):
            tunnel.send(n)
        ticks = 0

        async def tick():
            nonlocal ticks
            while tunnel.qsize():
                ticks += 1
                await asyncio.sleep(0)

        ticker = asyncio.create_task(tick())
        for _ in range(5000):
            await tunnel.recv_async()
        await ticker
        assert ticks > 20

    run(main())


def test_waiting_does_not_poll(run, tunnel):
    async def main():
        task = asyncio.create_task(tunnel.recv_async())
        await turns(5)
        before = time.thread_time()
        await asyncio.sleep(1)
        used = time.thread_time() - before
        tunnel.send(1)
        assert await task == 1
        return used

    assert run(main()) < 0.1


def test_the_loop_hears_of_it_at_once(run, tunnel):
    async def main():
        threading.Timer(0.1, lambda: tunnel.send(time.monotonic())).start()
        return time.monotonic() - await tunnel.recv_async()

    assert min(run(main()) for _ in range(3)) < 0.1


# ---- the end --------------------------------------------------------------------------------------

def test_close_wakes_all_who_wait(run, no_descriptor_left):
    async def main():
        t, full = Tunnel(), Tunnel(1)
        full.send(0)
        tasks = [asyncio.create_task(t.recv_async()) for _ in range(3)]
        tasks += [asyncio.create_task(full.send_async([n])) for n in range(3)]

        async def iterate():
            return [x async for x in t]

        tasks.append(asyncio.create_task(iterate()))
        await turns(3)
        await asyncio.to_thread(t.close)
        await asyncio.to_thread(full.close)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(r) for r in results] == [TunnelClosed] * 6 + [list] and results[-1] == []
        with pytest.raises(TunnelClosed):
            await full.send_async(1)
        assert await full.recv_async() == 0
        with pytest.raises(TunnelClosed):
            await full.recv_async()

    run(main())


def test_timeouts(run, tunnel):
    async def main():
        for timeout in (0, 0.02):
            with pytest.raises(TunnelTimeout) as caught:
                await tunnel.recv_async(timeout=timeout)
            assert isinstance(caught.value, TimeoutError)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await tunnel.recv_async()
        full = Tunnel(1)
        full.send(1)
        row = [1, [2]]
        with pytest.raises(TunnelSendTimeout):
            await full.send_async(row, timeout=0.02)
        assert row == [1, [2]]
        assert await full.recv_async(5) == 1
        await full.send_async(row, timeout=5)
        assert row == [] and full.recv() == [1, [2]]
        tunnel.send("late")
        assert await tunnel.recv_async(timeout=0) == "late"

    run(main())


def test_errors(run, tunnel):
    async def main():
        for arguments in [("x",), (1, 2)]:
            with pytest.raises(TypeError):
                tunnel.recv_async(*arguments)
        with pytest.raises(ValueError):
            tunnel.recv_async(timeout=-1)
        with pytest.raises(TypeError, match="missing 1 required argument: 'obj'"):
            tunnel.send_async()
        with pytest.raises(TypeError):
            tunnel.send_async(1, True)
        with pytest.raises(TypeError):
            tunnel.send_async(1, wait=True)
        with pytest.raises(TypeError, match="_send_now"):
            tunnel._send_now((1,), False)
        inner = [1.5]
        tree = [inner]
        with pytest.raises(SharedReferenceError):
            await tunnel.send_async(tree, strict=True)
        assert tree == [[1.5]] and tree[0] is inner and tunnel.qsize() == 0
        with pytest.raises(TypeError):
            await tunnel.send_async([main()])

    with pytest.warns(RuntimeWarning, match="never awaited"):
        run(main())
        gc.collect()


class Unloadable:
    def __reduce__(self):
        return fail, ()


def fail():
    raise LookupError("not here")


def test_a_message_that_cannot_be_rebuilt_stays(run, tunnel):
    async def main():
        task = asyncio.create_task(tunnel.recv_async())
        await turns(3)
        tunnel.send([Unloadable()])
        with pytest.raises(LookupError) as caught:
            await task
        assert tunnel.qsize() == 1
        assert caught.value.discard()
        tunnel.send(2)
        assert await tunnel.recv_async() == 2

    run(main())


# ---- cancelling -----------------------------------------------------------------------------------

@pytest.mark.parametrize("n", range(6))
def test_a_receive_that_is_cancelled_leaves_the_message(run, tunnel, n):
    """In each turn of the loop, from the sending to the step in which it would have the message."""
    async def main():
        first = asyncio.create_task(tunnel.recv_async())
        second = asyncio.create_task(tunnel.recv_async())
        await turns(3)
        tunnel.send([n])
        await turns(n)
        first.cancel()
        got = await asyncio.gather(first, return_exceptions=True)
        if got == [[n]]:
            tunnel.send("next")
            assert await second == "next"
        else:
            assert isinstance(got[0], asyncio.CancelledError) and await second == [n]
        assert tunnel.qsize() == 0

    run(main())


@pytest.mark.parametrize("n", range(6))
def test_a_send_that_is_cancelled_was_sent_or_not(run, n):
    async def main():
        t = Tunnel(1)
        t.send(0)
        row, other = [1, [2]], [3]
        first, second = asyncio.create_task(t.send_async(row)), asyncio.create_task(t.send_async(other))
        await turns(3)
        assert t.recv() == 0
        await turns(n)
        first.cancel()
        (result,) = await asyncio.gather(first, return_exceptions=True)
        if isinstance(result, asyncio.CancelledError):
            assert row == [1, [2]]
        else:
            assert row == [] and await t.recv_async() == [1, [2]]
        await second
        assert await t.recv_async() == [3] and other == []

    run(main())


@pytest.mark.slow
def test_nothing_is_lost_where_much_is_cancelled(run):
    """Receivers and senders that are cancelled at random, beside those of another interpreter."""
    async def main():
        rng = random.Random(int(os.environ.get("OT_TEST_SEED") or 1))
        t, back = Tunnel(maxsize=3), Tunnel(maxsize=2)
        got, rows = [], [[n] for n in range(2000)]

        async def receive(tunnel):
            row = await tunnel.recv_async()
            got.append(row[0])

        async def impatient(make):
            task = asyncio.create_task(make())
            await turns(rng.randrange(6))
            if rng.randrange(3) == 0:
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        with Interpreter() as w:
            job = w.submit(async_users.send_rows, t, 0, 3000)
            while len(got) < 3000:
                await asyncio.gather(*[impatient(lambda: receive(t)) for _ in range(min(8, 3000 - len(got)))])
            await asyncio.wrap_future(job)
        assert sorted(got) == list(range(3000)) and t.qsize() == 0
        got.clear()
        thread_got = []
        taker = threading.Thread(target=lambda: thread_got.extend(row[0] for row in back))
        taker.start()
        for start in range(0, 2000, 10):
            await asyncio.gather(*[impatient(lambda row=row: back.send_async(row)) for row in rows[start:start + 10]])
        back.close()
        await asyncio.to_thread(taker.join)
        unsent = sum(rows, [])
        assert sorted(thread_got + unsent) == list(range(2000)) and 100 < len(unsent) < 1900

    run(main())


# ---- loops that end -------------------------------------------------------------------------------

def test_a_loop_may_be_closed_while_it_waits(run, tunnel, no_descriptor_left):
    full = Tunnel(1)
    full.send(0)

    def leave():
        loop = run.new_loop()
        tasks = [loop.create_task(tunnel.recv_async()), loop.create_task(full.send_async(["unsent"]))]
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        for task in tasks:
            task._log_destroy_pending = False

    leave()
    gc.collect()
    tunnel.send([1])
    assert tunnel.recv() == [1] and full.recv() == 0 and full.qsize() == 0
    assert run(tunnel.send_async([2])).moved and run(tunnel.recv_async()) == [2]


def test_an_interpreter_may_end_with_a_loop_that_waits(tunnel, no_descriptor_left):
    with Interpreter() as w:
        w.call(async_users.leave_a_loop_behind, tunnel)
    tunnel.send([1])
    assert tunnel.recv() == [1]


def test_nothing_is_left_of_many_tunnels(run, no_descriptor_left):
    async def main():
        await asyncio.sleep(0)
        before = count_descriptors()
        for n in range(300):
            t = Tunnel()
            task = asyncio.create_task(t.recv_async())
            await turns(2)
            t.send(n)
            assert await task == n
        del t, task
        await turns(3)
        assert count_descriptors() == before

    run(main())


def test_a_program_without_descriptors(run_script):
    out = run_script("""
        import asyncio, os, resource
        import objtunnel._async  # reading the file takes a descriptor
        from objtunnel import Tunnel

        async def main():
            t = Tunnel()
            kept = []
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (40, limit[1]))
            try:
                while True:
                    kept.append(os.dup(0))
            except OSError:
                pass
            for call in (t.fileno, lambda: None):
                try:
                    call()
                    await t.recv_async()
                except OSError as error:
                    print(error.errno, error.strerror)
            os.close(kept.pop())
            os.close(kept.pop())
            asyncio.get_running_loop().call_later(0.01, t.send, "sent")
            print(await t.recv_async())

        asyncio.run(main())
        """).stdout.splitlines()
    assert out[2] == "sent" and len(out) == 3
    for line in out[:2]:
        assert line.startswith(f"{errno.EMFILE} no file descriptor for Tunnel ") and "ulimit -n" in line


# ---- fileno ---------------------------------------------------------------------------------------

def test_it_can_be_read_from_while_a_receive_would_not_wait():
    """A random walk; a model says what must be."""
    rng = random.Random(int(os.environ.get("OT_TEST_SEED") or 1))
    for _ in range(40):
        t, waiting, closed = Tunnel(maxsize=rng.choice([0, 3])), 0, False
        if rng.randrange(2):
            t.send(0)
            waiting = 1
        t.fileno()
        for _ in range(60):
            assert is_readable(t) == t._is_ready() == (waiting > 0 or closed)
            step = rng.randrange(12)
            if step < 5:
                try:
                    t.send_nowait([1])
                    waiting += 1
                except (TunnelFull, TunnelClosed):
                    assert closed or waiting == 3
            elif step < 10:
                try:
                    t.recv_nowait() if step < 8 else t.discard()
                    waiting -= 1
                except (TunnelEmpty, TunnelClosed) as error:
                    assert waiting == 0 and isinstance(error, TunnelClosed) == closed
            elif rng.randrange(12) == 0:
                immediate = rng.randrange(2)
                t.close(immediate)
                closed, waiting = True, 0 if immediate else waiting


def test_it_is_the_tunnels_and_goes_with_it(worker):
    t = Tunnel()
    other = Tunnel()
    t.send(t)
    same = t.recv()
    fd = t.fileno()
    assert same is not t and same.fileno() == fd != other.fileno() and not os.get_inheritable(fd)
    assert worker.call(Tunnel.fileno, t) == fd
    del t, same
    worker.run("import gc; gc.collect()")
    gc.collect()
    with pytest.raises(OSError):
        os.fstat(fd)


def test_selectors_wait_for_tunnels_and_other_files(worker):
    t, (read, write) = Tunnel(), os.pipe()
    with selectors.DefaultSelector() as selector:
        selector.register(t, selectors.EVENT_READ)
        selector.register(read, selectors.EVENT_READ)
        assert selector.select(0) == []
        worker.call(async_users.send_rows, t, 7, 1)
        assert [key.fileobj for key, _ in selector.select(SOON)] == [t]
        os.write(write, b"x")
        assert {key.fileobj for key, _ in selector.select(SOON)} == {t, read}
        async_users.check_row(t.recv(), 7)
        assert [key.fileobj for key, _ in selector.select(SOON)] == [read]
    os.close(read)
    os.close(write)


def test_a_callback_of_ones_own_beside_a_receive(run, tunnel):
    async def main():
        loop, heard = asyncio.get_running_loop(), []
        loop.add_reader(tunnel.fileno(), lambda: heard.append(tunnel.qsize()))
        task = asyncio.create_task(tunnel.recv_async())
        await turns(3)
        tunnel.send(1)
        assert await task == 1
        tunnel.send(2)
        while not heard or heard[-1] != 1:
            await asyncio.sleep(0.001)
        loop.remove_reader(tunnel.fileno())
        assert tunnel.recv() == 2

    run(main())


def test_a_forked_child_has_its_own(run_script):
    assert run_script("""
        import os, select
        from objtunnel import Tunnel

        def is_readable(what):
            return bool(select.select([what], [], [], 0)[0])

        tunnel, full = Tunnel(), Tunnel(1)
        full.send(1)
        fd, places = tunnel.fileno(), full._watch(True)
        tunnel.send("the parent's")
        assert not full._await_place(0)
        pid = os.fork()
        if pid == 0:
            assert not is_readable(tunnel) and tunnel.fileno() == fd
            tunnel.send("the child's")
            assert is_readable(fd) and tunnel.recv() == "the child's" and not is_readable(tunnel)
            full.send(2)
            assert not full._await_place(0) and full.recv() == 2 and full._await_place(0)
            print("child", flush=True)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert is_readable(tunnel) and tunnel.recv() == "the parent's" and not is_readable(tunnel)
        assert not is_readable(places)
        assert full.recv() == 1 and is_readable(places)
        print("parent")
        """).stdout == "child\nparent\n"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="loops may be told to run tasks at once from 3.12 on, and await asks for it from 3.14 on")
def test_eager_tasks(run, tunnel):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        task = asyncio.create_task(tunnel.recv_async())
        await asyncio.create_task(tunnel.send_async(([1.5], "x")))
        assert await task == ([1.5], "x")

    run(main())
