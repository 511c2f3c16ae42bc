"""PoolFuture: a concurrent.futures.Future that is cheap until somebody waits for it.

The standard library's future makes a Condition and two lists at once; most futures of small jobs are
done before anybody looks. A PoolFuture makes them when they are first asked for. Until then it has no
condition of its own, and is settled under the lock of one that all such futures share, SETTLED.

Main invariant: `_condition` in a future's dict never changes once it is there; a future's state changes
only while the lock of that condition is held, so the standard library's functions (wait, as_completed,
asyncio) find what they expect.
Threading: dict.setdefault decides who makes the condition. A thread that holds SETTLED's lock never
waits for another condition's.
"""

import sys
import threading
from concurrent.futures import Future, InvalidStateError
from concurrent.futures.thread import BrokenThreadPool
from typing import NamedTuple

from objtunnel import _failures, _untold
from objtunnel._core import Receipt, Tunnel
from objtunnel._worker import rename_where

SETTLED = threading.Condition()


class _OnDemand:
    """An attribute that is made when it is first asked for."""

    def __init__(self, make):
        self._make = make

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, future, owner):
        if future is None:
            return self
        return future.__dict__.setdefault(self._name, self._make())


_ATTRIBUTES = {"_condition", "_state", "_result", "_exception", "_waiters", "_done_callbacks"}
_LEAN = set(vars(Future())) == _ATTRIBUTES  # else this Python's futures have more to be set up


class PoolReceipt(NamedTuple):
    """How a call travelled: a Receipt of its arguments, a Receipt of its result or None."""

    arguments: Receipt
    result: Receipt | None


class PoolFuture(_untold.AskedFuture, Future):
    """The future of a job in a pool. `receipt` says how its arguments and its result travelled."""

    if _LEAN:
        _condition = _OnDemand(threading.Condition)
        _waiters = _OnDemand(list)
        _done_callbacks = _OnDemand(list)
        _state = "PENDING"
        _result = _exception = None

    _sent = _received = None  # counts of what was sent, with its envelope; of what came
    # What the envelope held beside the arguments: function, keywords, kind; only the function's number if
    # that is all, and None if that is a small one.
    _frame = None

    def __init__(self, pool, number):
        if not _LEAN:
            super().__init__()
        self._pool = pool
        self._number = number

    def result(self, timeout=None):
        """The call's result; what it raised, TimeoutError or CancelledError otherwise."""
        if self._state == "FINISHED" and self._exception is None:
            return self._result
        self._serve(timeout)
        return super().result(timeout)

    def exception(self, timeout=None):
        """What the call raised, None if it returned; TimeoutError or CancelledError as result()."""
        self._serve(timeout)
        return super().exception(timeout)

    def _serve(self, timeout):
        """Callbacks run in the manager's thread, which settles futures. One that waits for a future does that work
        meanwhile."""
        if threading.current_thread() is self._pool.manager:
            self._pool.serve_until(self, timeout)

    def cancel(self):
        """Cancel the call unless it has begun; whether it is cancelled."""
        if self.done():
            return self.cancelled()
        pool, number = self._pool, self._number
        if not pool.claim(number, -1):
            return self.cancelled()
        pool.futures.pop(number, None)
        super().cancel()
        self.set_running_or_notify_cancel()  # the worker passes it by: wait() need not know
        return True

    def running(self):
        return not self.done() and self._pool.owner(self._number) > 0

    def _interrupt(self):
        """Tunnel.until's: raise KeyboardInterrupt in the call, if it runs."""
        member = self._pool.members.get(self._pool.owner(self._number))
        if member is not None:
            member.worker.interrupt(self._number)

    @property
    def receipt(self):
        """PoolReceipt(arguments, result): what was moved, copied and pickled on each way; result is
        None until there is one; None if the arguments could not be sent. A result that is one number, bool or None counts as nothing."""
        frame = self._frame
        if self._sent is None:  # the arguments could not be sent
            return None
        if frame is None:
            frame = 1  # as cheap to send as any small number
        envelope = Tunnel().send([self._number, frame] if type(frame) is int else
                                 [frame[0], [], dict.fromkeys(frame[1]), *frame[2:]])
        sent = Receipt(has - own for has, own in zip(self._sent, envelope))
        received = self._received
        if received is None and self._state == "FINISHED" and self._exception is None:
            received = (0, 0, 0)
        return PoolReceipt(sent, received and Receipt(received))

    # ---- the manager's side

    def _settle_result(self, value):
        try:
            self.set_result(value)
        except InvalidStateError:
            pass  # cancelled in time

    def _settle_error(self, error):
        """A callback may raise SystemExit, say. It is reported, and the caller goes on with the next future."""
        if not isinstance(error, BrokenThreadPool):
            _untold.note(self, error, f"pool {self._pool.prefix}", False)
        try:
            self.set_exception(error)
        except InvalidStateError:
            pass
        except BaseException:
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), None)))

    def _open(self, answer):
        """Take over an answer that came by a tunnel of its own; if it cannot be rebuilt here, that
        is the outcome."""
        error = None
        try:
            if len(answer) == 3:
                error = _failures.unpack(answer[2].recv_nowait())
            else:
                value = answer[1].recv_nowait().pop()
                self._received = answer[2:]
        except BaseException as e:
            rename_where(e, {"$[0]": "result"})
            self._settle_error(e)
            return
        if error is None:
            self._settle_result(value)
        else:  # never raised here: its traceback would hold this frame, and so the future that holds it
            self._settle_error(error)
