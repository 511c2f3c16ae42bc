"""A small message to somebody else and back, as an event loop waits for it.

Each way: run(n) makes n round trips, one after the other, and returns the seconds; close().
"""

import asyncio
import time

from objtunnel import Interpreter, Tunnel, TunnelEmpty

ITEMS, SMALL = 3000, 20
PAUSE = 0.001  # seconds that who polls sleeps


def answer_blocking(requests, answers):
    for message in requests:
        answers.send(message)


def answer_in_a_loop(requests, answers, kind):
    asyncio.run(answer_all(requests, answers))


async def answer_all(requests, answers):
    async for message in requests:
        await answers.send_async(message)


class _Loop:
    """Round trips of a coroutine in a loop that is made once."""

    def __init__(self, new_loop=asyncio.new_event_loop):
        self.runner = asyncio.Runner(loop_factory=new_loop)

    def run(self, n):
        return self.runner.run(self._time(n))

    async def _time(self, n):
        begin = time.perf_counter()
        await self._go(n)
        return time.perf_counter() - begin

    def close(self):
        self.runner.close()


class Async(_Loop):
    """Loops in two interpreters with GILs of their own."""

    answer, extra = staticmethod(answer_in_a_loop), ("asyncio",)

    def __init__(self, new_loop=asyncio.new_event_loop):
        super().__init__(new_loop)
        self.requests, self.answers = Tunnel(), Tunnel()
        self.interpreter = Interpreter("answers")
        self.job = self.interpreter.submit(self.answer, self.requests, self.answers, *self.extra)

    async def _go(self, n):
        for i in range(n):
            await self.requests.send_async([i])
            if (await self.answers.recv_async()) != [i]:
                raise AssertionError("another message has come back")

    def close(self):
        self.requests.close()
        self.job.result()
        self.interpreter.close()
        super().close()


class AsyncAndThread(Async):
    """A loop here, and a thread there that blocks in recv."""

    answer, extra = staticmethod(answer_blocking), ()


class Uvloop(AsyncAndThread):
    def __init__(self):
        import uvloop
        super().__init__(uvloop.new_event_loop)


class Executor(AsyncAndThread):
    """As before there was recv_async: a thread of the loop's executor blocks."""

    async def _go(self, n):
        loop = asyncio.get_running_loop()
        for i in range(n):
            self.requests.send([i])
            if (await loop.run_in_executor(None, self.answers.recv)) != [i]:
                raise AssertionError("another message has come back")


class Polling(AsyncAndThread):
    """As before, too: the loop looks every millisecond. Fewer trips, for they are slow."""

    async def _go(self, n):
        for i in range(n):
            self.requests.send([i])
            while True:
                try:
                    message = self.answers.recv_nowait()
                    break
                except TunnelEmpty:
                    await asyncio.sleep(PAUSE)
            if message != [i]:
                raise AssertionError("another message has come back")


class Queues(_Loop):
    """Two tasks of one loop and asyncio.Queue: nothing is handed to another interpreter."""

    async def _go(self, n):
        requests, answers = asyncio.Queue(), asyncio.Queue()

        async def answer():
            for _ in range(n):
                await answers.put(await requests.get())

        task = asyncio.create_task(answer())
        for i in range(n):
            await requests.put([i])
            if (await answers.get()) != [i]:
                raise AssertionError("another message has come back")
        await task


class Blocking:
    """No loop at all: two threads, each with an interpreter, block in recv."""

    def __init__(self):
        self.requests, self.answers = Tunnel(), Tunnel()
        self.interpreter = Interpreter("answers")
        self.job = self.interpreter.submit(answer_blocking, self.requests, self.answers)

    def run(self, n):
        begin = time.perf_counter()
        for i in range(n):
            self.requests.send([i])
            if self.answers.recv() != [i]:
                raise AssertionError("another message has come back")
        return time.perf_counter() - begin

    def close(self):
        self.requests.close()
        self.job.result()
        self.interpreter.close()


WAYS = {"recv_async, loops on both sides": Async, "recv_async, a thread answers": AsyncAndThread,
        "recv_async on uvloop, a thread answers": Uvloop, "run_in_executor(recv)": Executor, "polling each ms": Polling,
        "asyncio.Queue in one interpreter": Queues, "recv, no loop": Blocking}
