"""How the process ends after Ctrl-C: by SIGINT, as Python does, so that a shell sees why.

CPython remembers in one flag of the process that KeyboardInterrupt ended the script. On 3.13 each eval() or exec()
of a str sets or clears the flag, in any interpreter (collections.namedtuple calls eval()). So a
worker that imports something meanwhile clears it, and a job that is interrupted within exec() sets it.
settle_flag() puts it right when all workers have ended. Ctrl-C that comes while the end waits for jobs counts, too.

Main invariant: only the main interpreter touches the flag. Nothing is imported here after this module was: sys.path may
lead nowhere by then, as where a program embeds Python.
Threading: the thread that ends the interpreter.
"""

import atexit
import os
import signal
import sys
import threading
import time

from objtunnel import _core

GRACE = 5.0  # seconds that an interrupted job has to end before the process ends without it
_LEAST = 0.25  # seconds that it has in any case

_unwinding = None  # the id of the last exception that a with block was left by, and the time when the first one was
_grace_end = None  # of the process: it waits once, however many pools, interpreters and behaviours it has
_told = False  # that it ends without some job
_interrupted = False  # Ctrl-C came while the end waited for jobs


def by_ctrl_c():
    """Whether KeyboardInterrupt is what ends the program."""
    last = getattr(sys, "last_exc", None)
    return not hasattr(sys, "ps1") and (_interrupted or type(last) is KeyboardInterrupt)


def note_ctrl_c():
    """Ctrl-C came while the end of the program waits for jobs."""
    global _interrupted
    _interrupted = True


def note_unwinding(error):
    """A with block is left by this exception, and interrupts what runs: if nobody catches it, the end has begun."""
    global _unwinding
    if error is not None and (_unwinding is None or _unwinding[0] != id(error)):
        _unwinding = id(error), time.monotonic()


def grace():
    """How long the program's end, which Ctrl-C has begun, still waits for jobs that it interrupts."""
    global _grace_end
    if _grace_end is None:
        same = _unwinding is not None and _unwinding[0] == id(getattr(sys, "last_exc", None))
        _grace_end = (_unwinding[1] if same else time.monotonic()) + GRACE
    return max(_LEAST, _grace_end - time.monotonic())


def at_end(function):
    """Have function() run before the interpreter waits for its threads; or after that, if Ctrl-C has kept
    threading from calling it."""
    _left.append(function)

    def run():
        _left.remove(function)  # first: die() runs what is left
        function()

    threading._register_atexit(run)


_left = []  # what at_end() was given, as far as it has not begun
_last_of_all = []  # what at_very_end() was given


def at_very_end(function):
    """Have function() run when the interpreter's threads have ended, too."""
    _last_of_all.append(function)


def _last():
    while _left:
        note_ctrl_c()
        _left.pop()()
    for function in _last_of_all:
        function()
    settle_flag()


def settle_flag():
    """At exit, when no worker runs any more."""
    if _core._is_main_interpreter() and not hasattr(sys, "ps1"):
        _core._end_by_sigint(by_ctrl_c())


def die(why):
    """End the process although a job runs that nothing can interrupt: what Python does last, done now.

    why: a line for stderr, unless there was one. Returns if only the main thread could do it, and this is another one."""
    global _told
    if threading.current_thread() is not threading.main_thread() or not _core._is_main_interpreter():
        return
    if not _told:
        _told = True
        say(why)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # closed or broken: nothing is left to flush it for
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


def say(text):
    """A line for stderr."""
    try:
        sys.stderr.write(f"objtunnel: {text}\n")
    except Exception:
        pass  # there is no stderr to say it on


atexit.register(_last)
