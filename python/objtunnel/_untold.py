"""Failures of jobs that nobody has asked for, told on stderr before somebody waits for ever because of one.

A job that fails leaves its exception in its future, and who waits for what the job was to send does not look there.
A failure is untold until result() or exception() of its future is called. While there is one, a thread watches whether
all threads of the process wait for each other; then it tells of it. The failure of an Interpreter's job is also told when
its future goes unasked, or the program ends; a pool's is not, as in the standard library.

Main invariant: a failure stands in _untold from before its future is done until it is told or asked for. The watching
thread runs only while there is one.
Threading: _lock, which is reentrant because a future may go anywhere; nothing is waited for under it.
"""

import functools
import itertools
import os
import threading
import traceback

from objtunnel import _core, _exit
from objtunnel._errors import InterpreterClosed, RemoteTraceback
from objtunnel._threads import start_thread

_UNASKED = "a job has failed, and nobody has asked its future"
_MOST = 16  # the newest failures; older ones are forgotten

_untold = {}  # number -> (whose job, the traceback as text, whether it is told at the end of the program)
_numbers = itertools.count(1)
_lock = threading.RLock()
_over = None  # the Tunnel whose end ends the watching thread
_exiting = False


class AskedFuture:
    """A Future that notes whether somebody has asked for its outcome. A base that stands before the standard library's."""

    _asked = False  # or somebody waits for it without a timeout
    _failure = None  # its number in _untold

    def result(self, timeout=None):
        """The call's result; what it raised, TimeoutError or CancelledError otherwise."""
        self._asked |= timeout is None
        try:
            return super().result(timeout)
        finally:
            if self._failure is not None:
                _is_told(self)

    def exception(self, timeout=None):
        """What the call raised, None if it returned; TimeoutError or CancelledError as result()."""
        self._asked |= timeout is None
        try:
            return super().exception(timeout)
        finally:
            if self._failure is not None:
                _is_told(self)

    def _get_snapshot(self):
        """What asyncio asks from 3.15 on."""
        snapshot = super()._get_snapshot()
        if self._failure is not None and snapshot[0]:
            _is_told(self)
        return snapshot


def note(future, error, whose, loud):
    """The future is about to be done with this error. loud: it is told at the end at the latest."""
    # Not isinstance(): that asks the error's __class__, which may be a property of the user's that raises.
    if future._asked or issubclass(type(error), (KeyboardInterrupt, SystemExit, InterpreterClosed)):
        return
    entry = (whose, _text_of(error), loud)
    with _lock:
        future._failure = number = next(_numbers)
        _untold[number] = entry
        while len(_untold) > _MOST:
            del _untold[next(iter(_untold))]
        _start_watching()


def _text_of(error):
    """The job's own traceback, if it came with one."""
    last = error
    for _ in range(100):
        if last is None or type(last) is RemoteTraceback:
            break
        last = BaseException.__cause__.__get__(last)
    if type(last) is RemoteTraceback:
        return last.text
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:  # its __str__ or __class__ is to blame; the future must be done all the same
        return f"{type(error).__qualname__}\n"


def _is_told(future):
    with _lock:
        entry = _untold.pop(future._failure, None)
        future._failure = None
        if not _untold:
            _stop_watching()
    return entry


def tell_of(future):
    """The future goes."""
    entry = _is_told(future)
    if entry is not None:
        _tell(_UNASKED, entry)


def _tell(what, entry):
    whose, text, _ = entry
    _exit.say(f"{what} ({whose}):\n{text.strip()}")


# ---- watching -----------------------------------------------------------------------------------

def _start_watching():
    global _over
    if _over is None and not _exiting:
        _register_fork()
        _over = _core.Tunnel()
        try:
            start_thread(functools.partial(_watch, _over), "objtunnel-watch")
        except RuntimeError:  # no thread is to be had
            _over = None


def _stop_watching():
    global _over
    if _over is not None:
        _over.close()
        _over = None


def _watch(over):
    while _core._wait_until_stuck(over):
        with _lock:
            entries = list(_untold.values()) if over is _over else []
            if entries:
                _untold.clear()
                _stop_watching()
        for entry in entries:
            _tell("all threads of the process wait, and a job has failed whose future nobody has asked", entry)


@functools.cache
def _register_fork():
    """At the first failure, not at the import: what an interpreter has registered to be called at a fork stays behind
    when it ends."""
    os.register_at_fork(after_in_child=_after_fork)


def _end_watching():
    global _exiting
    with _lock:
        _exiting = True
        _stop_watching()


def _tell_the_rest():
    with _lock:
        entries = [entry for entry in _untold.values() if entry[2]]
        _untold.clear()
    for entry in entries:
        _tell(_UNASKED, entry)


def _after_fork():
    """In the child: the futures are the parent's, and nobody watches."""
    global _over, _lock
    _over, _lock = None, threading.RLock()
    _untold.clear()


_exit.at_end(_end_watching)
_exit.at_very_end(_tell_the_rest)
