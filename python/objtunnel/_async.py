"""Tunnel.recv_async, send_async and `async for`: coroutines of an event loop wait for a tunnel, and nothing polls.

A coroutine that has to wait enters the line that its loop has for that tunnel. While somebody is in a line the loop watches
a descriptor that the channel rings (tunnel/channel_watch.c).

Main invariants: a coroutine takes or sends in a step of its own, after which it does not wait any more. So one that is
cancelled has neither taken nor sent anything, and whoever is told next finds the message or the place. A line that nobody
waits in is given up one turn of the loop later, and nothing is left of it.
"""

import asyncio
import os
import weakref
from collections import deque

from objtunnel._errors import TunnelClosed, TunnelSendTimeout, TunnelTimeout

_IN_A_ROW = 64  # messages without a wait after which other tasks of the loop get their turn
_NOTHING = object()

_done = 0  # of them; of all loops of the interpreter together, which is good enough
_lines = weakref.WeakValueDictionary()  # (id of the loop, id of the tunnel, class) -> line, which keeps its loop


async def recv(tunnel, timeout):
    """Tunnel.recv_async."""
    global _done
    if _done >= _IN_A_ROW:
        _done = 0
        await asyncio.sleep(0)  # before anything is taken
    message = tunnel._recv_or(_NOTHING)
    if message is not _NOTHING:
        _done += 1
        return message
    return await _in_line(tunnel, _Receivers, timeout, lambda _: tunnel._recv_or(_NOTHING), message)


async def next_message(tunnel):
    """Tunnel.__anext__."""
    try:
        return await recv(tunnel, None)
    except TunnelClosed:
        raise StopAsyncIteration from None


async def send(tunnel, cell, strict, timeout):
    """Tunnel.send_async. cell: a list of the object, which nothing here has a name for, so that it moves."""
    global _done
    if _done >= _IN_A_ROW:
        _done = 0
        await asyncio.sleep(0)
    receipt = tunnel._send_now(cell, strict, 0)
    if not isinstance(receipt, int):
        _done += 1
        return receipt
    return await _in_line(tunnel, _Senders, timeout, lambda size: tunnel._send_now(cell, strict, size), receipt)


async def _in_line(tunnel, kind, timeout, attempt, answer):
    """attempt(its last answer), whenever the line says that another is worth it, until one was not in vain. answer: the first
    attempt's; a sender's says how many bytes of room the message wants."""
    global _done
    end = None if timeout is None else asyncio.get_running_loop().time() + timeout
    while True:
        in_time = await _line(tunnel, kind).wait(end, answer)
        _done = 0
        answer = attempt(answer)
        if not kind.in_vain(answer):
            return answer
        if not in_time:
            error, text = kind.late
            raise error(text)


# ---- lines ----------------------------------------------------------------------------------------

class _Descriptor:
    """A file descriptor that is closed with its owner, in whatever state an ended loop leaves that."""

    def __init__(self, number):
        self.number = number

    def close(self, close=os.close):
        number, self.number = self.number, None
        if number is not None:
            close(number)

    __del__ = close


class _Line:
    """Coroutines of one loop that wait for one tunnel, in their order. The loop's thread alone comes here.

    Invariant: whoever was told is not in _waiters. The loop watches while somebody waits, and until _leave_if_idle.
    """

    places = None  # whether for a place; else for a message
    late = None  # the exception of those whose time is over, and its text

    def __init__(self, tunnel, loop):
        self._tunnel = tunnel
        self._loop = loop
        self._waiters = deque()
        self._descriptor = None  # the loop watches it
        self._leaving = False  # _leave_if_idle will be called

    async def wait(self, end, size):
        """Wait until it is worth another try: True; or until the loop's time is `end`: False. size: of the message that wants
        a place."""
        timer, woken, waiter = None, False, self._loop.create_future()
        self._waiters.append((waiter, size))
        try:
            self._watch()
            if self._is_over(size):
                return True
            if end is not None:
                timer = self._loop.call_at(end, _give_up, waiter)
            woken = await waiter
            return woken
        finally:
            if timer is not None:
                timer.cancel()
            if not woken and (waiter, size) in self._waiters:
                self._waiters.remove((waiter, size))
            if not self._waiters and not self._leaving:
                self._leave_soon()

    def _watch(self):
        if self._descriptor is None:
            descriptor = _Descriptor(self._tunnel._watch(self.places))
            self._loop.add_reader(descriptor.number, self._look)
            self._descriptor = descriptor

    def _look(self):
        """The loop's, in each turn in which the descriptor can be read from."""
        n = self._count()
        while n > 0 and self._waiters:
            waiter, _ = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(True)
                n -= 1

    def _leave_soon(self):
        """A loop that goes on receiving need not be told twice for each message."""
        if self._loop.is_closed():
            self._leave()
            return
        self._leaving = True
        if asyncio._get_running_loop() is self._loop:
            self._loop.call_soon(self._leave_if_idle)
        else:  # the collector found the coroutine in some other thread
            self._loop.call_soon_threadsafe(self._leave_if_idle)

    def _leave_if_idle(self):
        self._leaving = False
        if not self._waiters:
            self._leave()

    def _leave(self):
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(descriptor.number)
            descriptor.close()


class _Receivers(_Line):
    places = False
    late = TunnelTimeout, "the tunnel is empty"

    @staticmethod
    def in_vain(answer):
        return answer is _NOTHING

    def _is_over(self, size):
        return False  # the descriptor says so

    def _count(self):
        if not self._tunnel._is_ready():
            return 0
        return self._tunnel.qsize() or len(self._waiters)  # none: closed


class _Senders(_Line):
    places = True
    late = TunnelSendTimeout, "the tunnel is full"

    @staticmethod
    def in_vain(answer):
        return isinstance(answer, int)

    def _is_over(self, size):
        return self._tunnel._await_place(size)

    def _count(self):
        if not self._waiters or not self._tunnel._await_place(self._waiters[0][1]):
            return 0
        if self._tunnel.closed:
            return len(self._waiters)
        return 1 if self._tunnel.maxbytes else max(1, self._tunnel.maxsize - self._tunnel.qsize())


def _line(tunnel, kind):
    loop = asyncio.get_running_loop()
    key = (id(loop), tunnel.id, kind)
    line = _lines.get(key)
    if line is None:
        line = _lines[key] = kind(tunnel, loop)
    return line


def _give_up(waiter):
    if not waiter.done():
        waiter.set_result(False)
