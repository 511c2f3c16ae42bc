"""Interpreter: a Python interpreter with its own GIL on its own thread.

Jobs go into the worker's inbox in the order of their numbers; one thread does them one by one.
call() waits for its answer itself; answers to submit() all come to one tunnel per calling
interpreter, the mailbox, where a thread hands them to their futures.
"""

import concurrent.futures
import itertools
import os
import pickle
import sys
import threading
import warnings
import weakref

from objtunnel import _functions, _main
from objtunnel._core import Tunnel, start_worker
from objtunnel._errors import (
    InterpreterClosed,
    RemoteError,
    RemoteTraceback,
    TunnelClosed,
    TunnelEmpty,
)
from objtunnel._worker import rename_path


class Interpreter:
    """A new interpreter with its own GIL and its own thread: Interpreter(name=None).

    Functions and their arguments, results and exceptions travel through tunnels. Jobs run one
    after the other. close() (or leaving a with block) does what is queued, then ends it.

    >>> with Interpreter("parser") as i:
    ...     i.run("import json")
    ...     i.call(len, [1, 2, 3])
    3
    """

    def __init__(self, name=None):
        if _main.is_running():
            raise RuntimeError(
                "an Interpreter is being made while another one runs this file for the names in "
                "it: put what is to run only once under  if __name__ == '__main__':")
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

    def close(self, timeout=None):
        """Do what is queued, end the interpreter, and wait for that.

        timeout: seconds; TimeoutError after that, and the interpreter still ends when it can.
        Closing twice is fine.
        """
        self._finalizer.detach()
        self._remote.close(timeout)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __repr__(self):
        name = f" {self._name!r}" if self._name is not None else ""
        return f"<objtunnel.Interpreter{name} id {self.id}, {self._remote.state()}>"

    def __reduce__(self):
        raise TypeError("an Interpreter stays in the interpreter that made it; send a Tunnel "
                        "instead, or make another one there")


def _abandon(remote, name):
    """The Interpreter was garbage: as in ThreadPoolExecutor, what is queued is still done."""
    remote.inbox.close()
    warnings.warn(f"unclosed objtunnel.Interpreter {name or ''} (id {remote.worker.id})",
                  ResourceWarning, stacklevel=2)


class _Future(concurrent.futures.Future):
    """A future that knows from the worker whether its job has begun."""

    def __init__(self, remote, reply):
        super().__init__()
        self._remote = remote
        self._reply = reply
        self._number = None  # set once it is queued

    def cancel(self):
        if self.done():
            return self.cancelled()
        if not self._remote.worker.cancel(self._number):
            return False  # it has begun
        if super().cancel():
            self.set_running_or_notify_cancel()
        return self.cancelled()

    def running(self):
        return not self.done() and self._remote.worker.has_begun(self._number)

    def _settle(self):
        """Take over the answer, which has come; if it cannot be rebuilt here, that is it."""
        try:
            value = _open_answer(self._reply.recv_nowait())
        except BaseException as error:
            self._finish(self.set_exception, error)
        else:
            self._finish(self.set_result, value)

    def _finish(self, set_outcome, outcome):
        try:
            set_outcome(outcome)
        except concurrent.futures.InvalidStateError:
            pass  # cancelled in time


class _Remote:
    """A worker, and what its calling interpreter knows of it. Outlives its Interpreter while
    jobs are under way."""

    def __init__(self, name):
        self.inbox = Tunnel()
        self.status = Tunnel()  # says its id when the worker is up, is closed when it has ended
        self.replies = {}  # number -> tunnel, of jobs whose callers wait
        self._order = threading.Lock()  # numbers go into the inbox in ascending order
        with _lock:
            if _exiting:
                raise InterpreterClosed("this interpreter is exiting")
            _register_exit()
            _open.difference_update([r for r in _open if r.status.closed])  # abandoned ones
            self.inbox.send([_main.describe()])
            self.worker = start_worker(name, list(sys.path), self.inbox, self.status)
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
        number = self._post(work, reply, None)
        self.replies[number] = reply
        try:
            return _open_answer(reply.recv())
        except KeyboardInterrupt:
            self.worker.interrupt(number)
            raise
        except TunnelClosed:
            raise InterpreterClosed("the interpreter ended before it could answer") from None
        finally:
            del self.replies[number]

    def submit(self, work):
        reply = Tunnel()
        future = _Future(self, reply)
        self._post(work, reply, future)
        return future

    def _post(self, work, reply, future):
        """Put work into the inbox; its number. Nothing is queued if it raises."""
        mailbox = None if future is None else _get_mailbox()
        payload = Tunnel()
        try:
            payload.send(work)
        except TypeError as error:
            rename_path(error, {"$[1][1]": "the function", "$[2]": "args", "$[3]": "kwargs"})
            raise
        with self._order:
            number = next(_numbers)
            if future is not None:
                future._number = number
                mailbox.futures[number] = future
            try:
                self.inbox.send([number, reply, payload, mailbox and mailbox.tunnel])
            except BaseException as error:
                if future is not None:
                    del mailbox.futures[number]
                payload.close(immediate=True)
                if isinstance(error, TunnelClosed):
                    raise InterpreterClosed(f"the interpreter is {self.state()}") from None
                raise
        return number

    # ---- the end

    def close(self, timeout):
        self.inbox.close()
        self._wait_for_end(timeout)
        _forget(self)

    def _wait_for_end(self, timeout):
        try:
            self.status.recv(timeout)
        except TunnelClosed:
            pass
        except TunnelEmpty:
            raise TimeoutError(f"the interpreter did not end within {timeout} s") from None

    def abort(self):
        """At exit: drop what is queued, interrupt what runs, wait for the end."""
        self.inbox.close(immediate=True)
        self.worker.interrupt(0)
        self._wait_for_end(None)
        for reply in list(self.replies.values()):
            reply.close()  # threads that wait for dropped jobs
        _forget(self)


class _Mailbox:
    """Where the answers to submitted jobs are announced, and the thread that sees to them."""

    def __init__(self):
        self.tunnel = Tunnel()
        self.futures = {}  # number -> future, of jobs not answered yet
        self._thread = threading.Thread(target=self._serve, name="objtunnel-mailbox")
        self._thread.start()

    def _serve(self):
        for number in self.tunnel:
            future = self.futures.pop(number, None)
            if future is not None:
                future._settle()
            del future  # not until the next answer comes

    def close(self):
        """At exit, when all workers have ended: no answer is outstanding that will still come."""
        self.tunnel.close()
        self._thread.join()
        for future in self.futures.values():
            future._finish(future.set_exception,
                           InterpreterClosed("dropped: the calling interpreter is exiting"))


# ---- answers ------------------------------------------------------------------------------------

def _open_answer(answer):
    _, kind, value = answer
    if kind == "value":
        return value
    if kind == "error":
        raise _rebuild_error(*value)
    raise concurrent.futures.CancelledError


def _rebuild_error(data, type_name, text, remote_traceback):
    error = None
    if data is not None:
        try:
            error = pickle.loads(data)
        except Exception:
            pass  # RemoteError says what it was
    if not isinstance(error, BaseException):
        error = RemoteError(f"{type_name}: {text}" if text else type_name)
    error.__cause__ = RemoteTraceback(remote_traceback)
    return error


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
        threading._register_atexit(_shut_down)
        _exit_registered = True


def _shut_down():
    global _exiting
    with _lock:
        _exiting = True
        remotes = list(_open)
    for remote in remotes:
        remote.abort()
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


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
