"""Interpreter: a Python interpreter with its own GIL on its own thread.

Jobs go into the worker's inbox in the order of their numbers; one thread does them one by one.
call() waits for its answer itself; answers to submit() all come to one tunnel per calling
interpreter, the mailbox, where a thread hands them to their futures.
"""

import concurrent.futures
import contextlib
import itertools
import os
import sys
import threading
import time
import warnings
import weakref

from objtunnel import _exit, _failures, _functions, _main, _setup, _untold
from objtunnel._core import Tunnel, start_worker
from objtunnel._errors import InterpreterClosed, TunnelClosed, TunnelEmpty
from objtunnel._threads import start_thread
from objtunnel._worker import drop_jobs, rename_path, rename_where

_GRACE = 2.0  # seconds that interrupted jobs have before who waits for them goes on without
_AGAIN = 0.25  # seconds between two interrupts of a job that is to end


class Interpreter:
    """A new interpreter with its own GIL and its own thread: Interpreter(name=None).

    Functions and their arguments, results and exceptions travel through tunnels. Jobs run one
    after the other. close() (or leaving a with block) does what is queued, then ends it. Leaving a
    with block by an exception drops what is queued and interrupts the job that runs.

    >>> with Interpreter("parser") as i:
    ...     i.run("import json")
    ...     i.call(len, [1, 2, 3])
    3
    """

    def __init__(self, name=None):
        if _main.is_running():
            raise RuntimeError("an Interpreter is being made while the script is run for another "
                               "one, which needs its names")
        self._name = name
        self._remote = _Remote(name)
        self._finalizer = weakref.finalize(self, _abandon, self._remote, name)
        self._finalizer.atexit = False

    @property
    def id(self):
        """The interpreter's id; never reused in this process."""
        return self._remote.worker.id

    @property
    def name(self):
        return self._name

    @property
    def closed(self):
        """Whether close() was called."""
        return self._remote.inbox.closed

    def run(self, source, /):
        """Execute source code in the interpreter's __main__; wait for it.

        source: str. Raises what the code raises, with the remote traceback as __cause__.
        """
        if not isinstance(source, str):
            raise TypeError(f"run() takes source code as str, not {type(source).__name__}; use "
                            f"call() for functions")
        return self._remote.call(["run", source, f"<{self._name or f'interpreter {self.id}'}>"])

    def call(self, fn, /, *args, **kwargs):
        """Return fn(*args, **kwargs), executed in the interpreter; wait for it.

        Raises what fn raises. Ctrl-C interrupts fn as well. What only the arguments can reach
        is moved, the rest is copied: your own variables keep what they have.
        """
        box = ["call", _functions.pack(fn), list(args), kwargs]
        del args, kwargs
        return self._remote.call(box)

    def submit(self, fn, /, *args, **kwargs):
        """Schedule fn(*args, **kwargs); return a concurrent.futures.Future for its result."""
        box = ["call", _functions.pack(fn), list(args), kwargs]
        del args, kwargs
        return self._remote.submit(box)

    def stream(self, fn, /, *args, buffer=16, **kwargs):
        """Iterate over what fn(*args, **kwargs), a generator or another iterable, yields in the interpreter.

        buffer: how many items may wait for you; the generator waits then. It runs as a job: others wait until
        it has ended. Its exception is raised after the items before it. Closing the iterator, or leaving the loop,
        ends the generator: at its next yield (GeneratorExit), or by KeyboardInterrupt if none comes in a quarter of a
        second.

        >>> with Interpreter() as i:
        ...     sum(i.stream(range, 10))
        45
        """
        from objtunnel import _stream  # seldom needed
        work = [list(args), kwargs]
        del args, kwargs
        return _stream.stream(self, fn, work, buffer)

    def interrupt(self):
        """Raise KeyboardInterrupt in the job that runs; whether one does.

        A job inside C code gets it when that returns to Python; one that waits in a tunnel, a lock
        of objtunnel's or the like gets it at once. Queued jobs are not affected.
        """
        return self._remote.worker.interrupt(0)

    def close(self, timeout=None):
        """Do what is queued, end the interpreter, and wait for that.

        timeout: seconds; TimeoutError after that, and the interpreter still ends when it can.
        Closing twice is fine.
        """
        self._finalizer.detach()
        self._remote.close(timeout)

    def __enter__(self):
        return self

    def __exit__(self, error_type, error, tb):
        self._finalizer.detach()
        if error_type is not None:
            _exit.note_unwinding(error)
            self._remote.leave()
            return
        try:
            self._remote.close(None)
        except KeyboardInterrupt as interrupt:
            _exit.note_unwinding(interrupt)
            self._remote.leave()
            raise

    def __repr__(self):
        name = f" {self._name!r}" if self._name is not None else ""
        return f"<objtunnel.Interpreter{name} id {self.id}, {self._remote.state()}>"

    def __reduce__(self):
        raise TypeError("an Interpreter stays in the interpreter that made it")  # _pickling.py has the remedy


def _abandon(remote, name):
    """The Interpreter was garbage: as in ThreadPoolExecutor, what is queued is still done."""
    remote.inbox.close()
    warnings.warn(f"unclosed objtunnel.Interpreter {name or ''} (id {remote.worker.id})",
                  ResourceWarning, stacklevel=2)


class _Future(_untold.AskedFuture, concurrent.futures.Future):
    """A future whose job is cancelled by taking its work back (see _worker.py)."""

    def __init__(self, remote, reply):
        super().__init__()
        self._remote = remote
        self._reply = reply
        self._number = self._payload = None  # set once it is queued

    def cancel(self):
        if self.done():
            return self.cancelled()
        if not _take_back(self._payload):
            return False  # it has begun
        if super().cancel():
            self.set_running_or_notify_cancel()
        return self.cancelled()

    def running(self):
        return not self.done() and self._payload.empty()

    def _interrupt(self):
        """Tunnel.until's: raise KeyboardInterrupt in the job, if it runs."""
        self._remote.worker.interrupt(self._number)

    def _settle(self):
        """Take over the answer, which has come; if it cannot be rebuilt here, that is it."""
        try:
            value, error = self._remote.open_answer(self._reply.recv_nowait)
        except BaseException as e:
            self._fail(e)
            return
        if error is None:
            self._finish(self.set_result, value)
        else:  # never raised here: its traceback would hold this frame, and so the future that holds it
            self._fail(error)

    def _fail(self, error):
        if not (self._remote.inbox.closed and isinstance(error, TunnelClosed)):  # a loop that ends with its interpreter
            _untold.note(self, error, f"interpreter {self._remote.worker.id}", True)
        self._finish(self.set_exception, error)

    def __del__(self):
        if self._failure is not None:
            _untold.tell_of(self)

    def _finish(self, set_outcome, outcome):
        with contextlib.suppress(concurrent.futures.InvalidStateError):  # cancelled in time
            set_outcome(outcome)


def _take_back(payload):
    """Whether the work is the caller's again: the worker had not begun with it."""
    try:
        payload.discard()
    except (TunnelEmpty, TunnelClosed):
        return False
    return True


class _Remote:
    """A worker, and what its calling interpreter knows of it. Outlives its Interpreter while
    jobs are under way."""

    def __init__(self, name):
        self.inbox = Tunnel()
        self.status = Tunnel()  # says its id when the worker is up, is closed when it has ended
        self.calls = {}  # number -> (payload, reply), of call()s that wait
        self._order = threading.Lock()  # numbers go into the inbox in ascending order
        self._path = list(sys.path)
        self._path_changed = False
        with _lock:
            if _exiting:
                raise InterpreterClosed("this interpreter is exiting")
            _register_exit()
            _open.difference_update([r for r in _open if r.status.closed])  # abandoned ones
            _main.alias()
            self.inbox.send([_setup.describe()])
            self.worker = start_worker(name, self._path, self.inbox, self.status)
            _open.add(self)
        try:
            self.status.recv()
        except TunnelClosed:
            _forget(self)
            raise InterpreterClosed(
                f"the interpreter could not be started: {self.worker.error}") from None
        except BaseException:
            self.inbox.close()
            raise

    def state(self):
        if self.status.closed:
            return "ended"
        return "closing" if self.inbox.closed else "running"

    # ---- jobs

    def call(self, work):
        reply = Tunnel()
        number, payload = self._post(work, reply, None)
        self.calls[number] = payload, reply
        error = None
        try:
            value, error = self.open_answer(reply.recv)
            if error is not None:
                raise error
            return value
        except KeyboardInterrupt:
            if error is None and not _take_back(payload):
                self.worker.interrupt(number)
            raise
        finally:
            del self.calls[number], error  # which has this frame in its traceback

    def submit(self, work):
        reply = Tunnel()
        future = _Future(self, reply)
        self._post(work, reply, future)
        return future

    def _post(self, work, reply, future):
        """Put work into the inbox; its number and payload. Nothing is queued if it raises."""
        mailbox = None if future is None else _get_mailbox()
        payload = Tunnel()
        if self._path_changed or sys.path != self._path:
            self._path_changed = True
            work.append([entry for entry in sys.path if isinstance(entry, str)])
        try:
            payload.send(work)
        except TypeError as error:
            rename_path(error, {"$[1][1]": "the function", "$[2]": "args", "$[3]": "kwargs"})
            raise
        with self._order:
            number = next(_numbers)
            if future is not None:
                future._number, future._payload = number, payload
                mailbox.futures[number] = future
            try:
                self.inbox.send([number, reply, payload, mailbox and mailbox.tunnel])
            except BaseException as error:
                if future is not None:
                    del mailbox.futures[number]
                payload.close(immediate=True)
                if isinstance(error, TunnelClosed):
                    ended = self.state() == "ended"
                    raise InterpreterClosed(f"the interpreter {'has ended' if ended else 'is closing'}") from None
                raise
        return number, payload

    def open_answer(self, recv):
        """(result, None), or (None, what the job raised). recv() gives the answer."""
        try:
            _, kind, value = recv()
        except TunnelClosed:
            raise InterpreterClosed(self._why_no_answer()) from None
        except BaseException as error:
            rename_where(error, {"$[2]": "result"})
            raise
        if kind == "value":
            return value, None
        return None, _failures.unpack(value)

    def _why_no_answer(self):
        why = self.worker.error
        return "the interpreter ended before it could answer" + (f": {why}" if why else "")

    # ---- the end

    def close(self, timeout):
        self.inbox.close()
        self._wait_for_end(timeout)
        _forget(self)

    def _wait_for_end(self, timeout):
        """Wait until the interpreter has ended and all futures are done, as those of concurrent.futures are after shutdown()."""
        if timeout is None:
            self.worker.wait_for_end(self.status)
        else:
            try:
                self.status.recv(timeout)
            except TunnelClosed:
                pass
            except TunnelEmpty:
                raise TimeoutError(f"the interpreter did not end within {timeout} s") from None
        drop_jobs(self.inbox)  # a worker that failed for want of memory may have left some
        if _mailbox is not None:
            _mailbox.settle_all_of(self)

    def leave(self):
        """The with block ends by an exception: drop what is queued, interrupt what runs, and wait _GRACE seconds at most."""
        if self._drop_and_interrupt(_GRACE):
            _forget(self)
        else:
            warnings.warn(f"objtunnel.Interpreter (id {self.worker.id}) is left with a job that "
                          f"could not be interrupted (it is inside C code, say); the interpreter "
                          f"ends when the job does", ResourceWarning, stacklevel=3)

    def abort(self, timeout):
        """At exit: drop what is queued, interrupt what runs, wait for the end. Whether it has come."""
        ended = self._drop_and_interrupt(timeout)
        _forget(self)
        return ended

    def _drop_and_interrupt(self, timeout):
        """Drop what is queued, and interrupt what runs until the worker ends: a job may catch one interrupt and go on.
        Whether it has ended in time."""
        self.inbox.close()
        for future in _futures_of(self):
            future.cancel()
        for payload, reply in list(self.calls.values()):
            if _take_back(payload):
                reply.close()  # another thread waits for it
        end = None if timeout is None else time.monotonic() + timeout
        while end is None or time.monotonic() < end:
            self.worker.interrupt(0)
            with contextlib.suppress(TimeoutError):
                self._wait_for_end(_AGAIN)
                return True
        return False


class _Mailbox:
    """Where the answers to submitted jobs are announced, and the thread that sees to them."""

    def __init__(self):
        self.tunnel = Tunnel()
        self.futures = {}  # number -> future, of jobs not answered yet; who takes one out settles it
        self._in_hand = self._thread = None  # the serving thread's future and number
        self._join = start_thread(self._serve, "objtunnel-mailbox")

    def _serve(self):
        self._thread = threading.get_ident()
        for number in self.tunnel:
            self._in_hand = self.futures.get(number)  # before it is taken out: settle_all_of() looks here last
            self._settle(number)
            self._in_hand = None  # not until the next answer comes

    def _settle(self, number):
        future = self.futures.pop(number, None)
        if future is not None:
            try:
                future._settle()
            except BaseException:  # SystemExit of a callback, say: others wait for this thread
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), None)))

    def settle_all_of(self, remote):
        """Its worker has ended, so each answer has come, or never will; not each has been seen to."""
        for future in _futures_of(remote):
            self._settle(future._number)
        future = self._in_hand
        if future is not None and future._remote is remote and threading.get_ident() != self._thread:
            concurrent.futures.wait([future])

    def close(self):
        """At exit, when all workers have ended: no answer is outstanding that will still come."""
        self.tunnel.close()
        self._join()
        for future in self.futures.values():
            future._finish(future.set_exception,
                           InterpreterClosed("dropped: the calling interpreter is exiting"))


# ---- per calling interpreter --------------------------------------------------------------------

_numbers = itertools.count(1)  # of jobs
_open = set()  # _Remotes not known to have ended
_lock = threading.Lock()  # guards what follows and _open; never held while waiting for a worker
_mailbox = None
_exit_registered = False
_exiting = False


def _forget(remote):
    with _lock:
        _open.discard(remote)


def _futures_of(remote):
    if _mailbox is None:
        return []
    return [f for f in list(_mailbox.futures.values()) if f._remote is remote]


def _get_mailbox():
    global _mailbox
    with _lock:
        if _exiting:
            raise InterpreterClosed("this interpreter is exiting")
        if _mailbox is None:
            _mailbox = _Mailbox()
        return _mailbox


def _register_exit():
    """Have _shut_down run before the interpreter waits for its threads, as concurrent.futures
    does (the mailbox's thread would wait for ever otherwise)."""
    global _exit_registered
    if not _exit_registered:
        _exit.at_end(_shut_down)
        # Not at the import: what an interpreter has registered to be called at a fork stays behind when it ends.
        os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
        _exit_registered = True


def _shut_down():
    """What runs is waited for; but not for long if Ctrl-C is what ends the program."""
    global _exiting
    with _lock:
        _exiting = True
        remotes = list(_open)
    try:
        hurry = _exit.by_ctrl_c()
        for remote in remotes:
            if not remote.abort(_exit.grace() if hurry else None):
                _exit.die(f"a job did not end within {_exit.GRACE:.0f} s after Ctrl-C (it is inside C "
                          f"code); the process ends without it")
                remote.abort(None)
    except KeyboardInterrupt:
        _exit.note_ctrl_c()
        _exit.die("ended by Ctrl-C while a job was still running")
        raise
    if _mailbox is not None:
        _mailbox.close()


def _before_fork():
    """CPython (up to 3.15 at least) crashes in a child forked while other interpreters exist,
    whoever made them; nothing here can prevent that, so say it before it happens."""
    if _open:
        warnings.warn("os.fork() while objtunnel interpreters are open crashes the child in "
                      "CPython itself: close them first, or use the spawn start method",
                      RuntimeWarning, stacklevel=2)


def _after_fork():
    """In the child: the mailbox's thread exists in the parent only."""
    global _open, _mailbox, _lock
    _open, _mailbox, _lock = set(), None, threading.Lock()
