"""What the workers of test_async.py run."""

import asyncio

from objtunnel import TunnelClosed, select


def send_rows(tunnel, first, n, close=False):
    for i in range(first, first + n):
        tunnel.send([i, {"name": f"row {i}", "values": [i + 0.5, i + 1.5]}])
    if close:
        tunnel.close()


def check_row(row, i):
    """Uses it hard: what has moved is changed, hashed, sorted and sent on."""
    assert row == [i, {"name": f"row {i}", "values": [i + 0.5, i + 1.5]}]
    row.append({row[1]["name"]: row})
    row[1]["values"].sort(reverse=True)
    row[1].update({f"key {n}": [n] for n in range(20)})
    assert row[1]["values"] == [i + 1.5, i + 0.5] and len(row[1]) == 22
    del row[2]


def echo(requests, answers):
    """A loop of the worker's own."""

    async def main():
        async for message in requests:
            await answers.send_async([message])

    asyncio.run(main())


def gather(tunnel, results, tasks):
    """Takes what comes, by several tasks of one loop; how many."""

    async def take():
        numbers = []
        async for row in tunnel:
            number = row[0]
            check_row(row, number)
            numbers.append(number)
        return numbers

    async def main():
        return sum(await asyncio.gather(*[take() for _ in range(tasks)]), [])

    numbers = asyncio.run(main())
    results.send(numbers)


def leave_a_loop_behind(tunnel):
    """A loop that waits for the tunnel, is never closed, and whose task is never cancelled."""
    loop = asyncio.new_event_loop()
    globals()["left"] = loop, loop.create_task(tunnel.recv_async())
    loop.run_until_complete(asyncio.sleep(0.01))


def select_for_ever(ready, *tunnels):
    ready.send(1)
    return len(select(*tunnels))


def take_by_select(tunnels, results):
    open_ones, numbers = list(tunnels), []
    while open_ones:
        for tunnel in select(*open_ones):
            try:
                numbers.append(tunnel._recv_or([None])[0])
            except TunnelClosed:
                open_ones.remove(tunnel)
    results.send([n for n in numbers if n is not None])
