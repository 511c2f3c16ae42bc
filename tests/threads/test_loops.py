"""Event loops and select() between the threads of a free-threaded build. tests/python/test_async.py has the rest."""

import asyncio
import threading

import pytest

from objtunnel import Tunnel, TunnelClosed, TunnelTimeout, owner, select


def test_loops_of_several_threads_share_a_tunnel():
    t, got = Tunnel(maxsize=3), []

    async def take():
        numbers = []
        async for row in t:
            assert owner(row).is_mine and row[1] == {"n": row[0]}
            row.append(row[0])
            numbers.append(row[0])
        return numbers

    async def take_in_two_tasks():
        got.extend(sum(await asyncio.gather(take(), take()), []))

    async def send(first):
        for n in range(first, first + 500):
            await t.send_async([n, {"n": n}])

    takers = [threading.Thread(target=asyncio.run, args=(take_in_two_tasks(),)) for _ in range(3)]
    senders = [threading.Thread(target=asyncio.run, args=(send(first),)) for first in (0, 500, 1000)]
    for thread in takers + senders:
        thread.start()
    for thread in senders:
        thread.join()
    t.close()
    for thread in takers:
        thread.join()
    assert sorted(got) == list(range(1500))


def test_a_receive_that_is_cancelled_leaves_the_message():
    async def main():
        t = Tunnel()
        for turns in range(6):
            task = asyncio.create_task(t.recv_async())
            for _ in range(3):
                await asyncio.sleep(0)
            sender = threading.Thread(target=t.send, args=([turns],))
            sender.start()
            sender.join()
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            (result,) = await asyncio.gather(task, return_exceptions=True)
            assert result == [turns] or await t.recv_async() == [turns]
        with pytest.raises(TunnelTimeout):
            await t.recv_async(timeout=0.01)

    asyncio.run(main())


def test_select():
    tunnels, got = [Tunnel(maxsize=2) for _ in range(3)], []

    def send(t, first):
        for n in range(first, first + 300):
            t.send(n)
        t.close()

    def take():
        open_ones, numbers = list(tunnels), []
        while open_ones:
            for t in select(*open_ones):
                try:
                    numbers.append(t._recv_or(None))
                except TunnelClosed:
                    open_ones.remove(t)
        got.extend(n for n in numbers if n is not None)

    threads = [threading.Thread(target=take) for _ in range(3)]
    threads += [threading.Thread(target=send, args=(t, 1000 * i)) for i, t in enumerate(tunnels)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [1000 * i + n for i in range(3) for n in range(300)]


def test_messages_are_not_weighed():
    with pytest.raises(NotImplementedError, match="maxbytes"):
        Tunnel(maxbytes=1000)
