"""Interpreter.stream(): iterate here over what a generator yields in another interpreter.

The generator runs as one job, which sends what it yields through a tunnel of bounded size. Main invariant: the job has
ended, or has been told to, when the iteration is over, however it ends.
"""

import concurrent.futures

from objtunnel import _functions
from objtunnel._core import Tunnel
from objtunnel._errors import TunnelClosed
from objtunnel._worker import drain

_PATIENCE = 0.25  # seconds that a generator has to end by itself before it is interrupted


def stream(interpreter, fn, work, buffer):
    """The iterator. It has begun, so that closing it does something. work: [args, kwargs], which is emptied."""
    if not isinstance(buffer, int) or buffer < 1:
        raise ValueError(f"buffer must be an int of 1 or more, not {buffer!r}")
    tunnel = Tunnel(maxsize=buffer)
    job = interpreter.submit(feed, tunnel, _functions.pack(fn), work.pop(0), work.pop())
    items = _receive(tunnel, job)
    next(items)
    return items


def _receive(tunnel, job):
    messages = tunnel.until(job)
    try:
        yield
        for message in messages:
            yield message.pop()
    except BaseException:  # the consumer leaves: the generator ends at its next yield, or is interrupted
        tunnel.close(immediate=True)
        concurrent.futures.wait([job], _PATIENCE)
        messages.close()
        raise
    return job.result()


def feed(tunnel, packed, args, kwargs):
    """In the worker. What is yielded has no name here, so that it moves."""
    iterator = iter(_functions.unpack(packed)(*drain(args), **kwargs))
    try:
        while True:
            try:
                message = [next(iterator)]
            except StopIteration as end:
                return end.value
            tunnel.send(message)
    except TunnelClosed:
        return None
    finally:
        close = getattr(iterator, "close", None)  # a generator's
        if close is not None:
            close()
