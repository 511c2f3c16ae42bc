"""Tunnel.until(*futures): receive until the jobs that send are done, whatever becomes of them.

The C side counts: when the last future is done, _Until.stop() notes the last message that is in the
tunnel, and the iteration ends when everything up to it is taken. Here is what futures have to do
with that.
"""

import threading

from objtunnel._core import Tunnel, _Until


def until(tunnel, futures):
    """A generator over what comes; it has begun already, so that closing it does something."""
    for future in futures:
        if not callable(getattr(future, "add_done_callback", None)):
            raise TypeError(f"until() takes futures, as submit() returns them, not "
                            f"{type(future).__name__}" + (
                                ": put a * before it" if isinstance(future, (list, tuple, set))
                                else ""))
    received = _receive(_Jobs(_Until(tunnel), futures))
    next(received)
    return received


def _receive(jobs):
    try:
        yield
        yield from jobs.source
        jobs.wait()
    except BaseException:  # the consumer leaves: GeneratorExit, Ctrl-C, a message that cannot be had
        jobs.abandon()
        raise
    jobs.raise_first_error()


class _Jobs:
    """The jobs that send, and the iterator over what they send.

    Invariant, under the lock: _left of the futures are not done. Callbacks come in the order in
    which the futures were done.
    """

    def __init__(self, source, futures):
        self.source = source
        self._futures = futures
        self._failed = None  # the future that failed first
        self._left = len(futures)
        self._over = Tunnel()  # closed when all are done: who waits for that can be interrupted
        self._lock = threading.Lock()
        if futures:
            for future in futures:
                future.add_done_callback(self._one_is_done)
        else:
            self._all_are_done()

    def _one_is_done(self, future):
        with self._lock:
            self._left -= 1
            last = self._left == 0
            if self._failed is None and (future.cancelled() or future.exception() is not None):
                self._failed = future
        if last:
            self._all_are_done()

    def _all_are_done(self):
        self.source.stop()
        self._over.close()

    def wait(self):
        """Wait until all futures are done: they need not be when the iteration ends because the tunnel was closed."""
        for _ in self._over:
            pass

    def abandon(self):
        """Cancel queued jobs, then interrupt those that run: a worker takes the next job as soon as one is interrupted."""
        for future in [f for f in self._futures if not f.done() and not f.cancel()]:
            interrupt = getattr(future, "_interrupt", None)  # those of other executors run on
            if interrupt is not None:
                interrupt()

    def raise_first_error(self):
        failed, self._futures, self._failed = self._failed, (), None
        if failed is not None:
            try:
                failed.result()
            finally:
                del failed, self  # no cycle of the exception, its traceback and this frame
