"""when(), start(), wait(): functions that run once their boxes are free, see docs/behaviours.md.

C code (objects/behaviour/) decides which behaviour runs when and where. Python's part is to describe the function, here,
and to make it again in the worker that runs it (_behaviour_worker.py).

A behaviour's function has no name that another interpreter could find it by: the name below the decorator is the result's.
So its code goes by value, once, as a _core._Code (the code and what its globals are), which has a number and lives as long
as it is remembered here or a behaviour that is still to run has it. Beside it goes, if there are such, what the function's
cells, defaults and keyword defaults hold.

Main invariant: `_members` has all workers that were started and are not known to have ended.
Threading: `_lock` guards starting; when() takes no lock but those of the boxes.
"""

import atexit
import builtins
import functools
import marshal
import os
import sys
import threading
import time
import types
import warnings
from typing import NamedTuple

from objtunnel import _codes, _core, _exit, _functions, _main, _setup
from objtunnel._core import Box, Tunnel, start_worker
from objtunnel._errors import TunnelClosed, TunnelEmpty
from objtunnel._worker import rename_path

MOST = 64  # workers
_KEPT = 4096  # code objects that are remembered by who schedules them
_AGAIN = 0.2  # seconds between two interrupts of a behaviour that is to end


# ---- when ---------------------------------------------------------------------------------------

def when(*boxes, read=(), strict=False):
    """Schedule the function below once all the boxes are free: @when(a, b, [c, d], read=[e, f]).

    boxes: Boxes, and lists or tuples of Boxes. The function gets a Held for each, in the same shape; `held.value` is the
    live tree, which moves into the interpreter that runs the function and back when it ends. A box that is named twice has
    one Held. Without boxes it is a task.

    read: a Box, or a list or tuple of what may stand in `boxes`; their Helds are the function's last parameters. Their trees stay
    where they are: `held.value` is a frozen view (a FrozenDict, say), as freeze() has it, and `held.copy()` a tree of your own.
    Behaviours that read a box run at the same time, after those that were scheduled before on it and before later ones that do
    not only read it. A box that also stands in `boxes` is not only read.

    What stands for the function afterwards is a Box for its result. Acquiring that waits for this one result only, and
    raises what the function raised. Two behaviours that share a box run in the order in which they were scheduled, as far
    as there is one. All boxes are acquired in one step, so behaviours cannot deadlock.

    The function's cells, defaults and keyword defaults are sent as they are now. Raises TypeError, naming the variable,
    for what cannot be sent; ValueError if a pinned box is to be read.

    strict=True: the result raises SharedReferenceError if something of a tree had to be copied on its way back, because
    the function left a reference to it behind.

    >>> account = Box({"balance": 0})
    >>> @when(account)
    ... def _(account):
    ...     account.value["balance"] += 10
    """
    if type(read) is tuple and not read:
        scheduler = _core._scheduler(boxes, bool(strict), _schedule, _main.is_running)
        if scheduler is not None:
            return scheduler
    named, shape, reads = _arrange(boxes, read)

    def schedule(fn):
        return _schedule(fn, named, shape, strict, reads)

    return schedule


def _arrange(parameters, read):
    """(boxes, shape, how many of them are only read): each box stands in `boxes` once, those that are only read last. The
    shape is a list with a place in `boxes` for each parameter of the function, or a list or tuple of places; it is None if the
    parameters are the boxes in their order."""
    if type(read) is Box:
        read = (read,)
    elif type(read) not in (list, tuple):
        raise TypeError(f"read= takes a box, or a list or tuple of boxes, not {type(read).__name__!r}")
    places = {}
    shape = [_place(parameter, places, "when() takes boxes", f"parameter {i}") for i, parameter in enumerate(parameters, 1)]
    written = len(places)
    plain = written == len(parameters) and not read and all(type(place) is int for place in shape)
    shape += [_place(parameter, places, "read= takes boxes", f"item {i}") for i, parameter in enumerate(read)]
    return tuple(places), None if plain else shape, len(places) - written


def _place(parameter, places, rule, which):
    """The box's place in `places`, where it is entered if need be; for a list or tuple of boxes, one of places."""
    if type(parameter) is Box:
        return places.setdefault(parameter, len(places))
    if type(parameter) not in (list, tuple):
        raise TypeError(f"{rule}, and lists or tuples of boxes: {which} is {type(parameter).__name__!r}")
    for box in parameter:
        if type(box) is not Box:
            raise TypeError(f"{rule}, and lists or tuples of boxes: {which} has {type(box).__name__!r} in it")
    return type(parameter)([places.setdefault(box, len(places)) for box in parameter])


def _schedule(fn, boxes, shape=None, strict=False, reads=0):
    if _main.is_running():
        raise RuntimeError("a behaviour is being scheduled while the script is run for another interpreter, which needs its "
                           "names: put it under  if __name__ == '__main__':")
    if not _core._crew_size():
        start()
    code, own = _describe(fn)
    if shape is None and own is None:
        return _core._schedule(boxes, code, None, strict, reads)
    try:
        return _core._schedule(boxes, code, [shape, own], strict, reads)
    except TypeError as error:
        _name_variable(error, fn)
        raise


# ---- the function -------------------------------------------------------------------------------

def _describe(fn):
    """(a _Code or None, own): `own` is what the function has beside its code, one of

    None                                                        nothing
    [cells, defaults, keyword defaults]                         and its globals before them, if they go by value
    ["partial", own, arguments, keyword arguments]              with the `own` of the partial's function
    ["call", packed function]                                   of another callable, which has no _Code
    """
    if type(fn) is types.FunctionType:
        entry = _entry_of(fn)
        if entry.kind == "values":
            own = [entry._find_needed()]
        elif fn.__closure__ is None and fn.__defaults__ is None and fn.__kwdefaults__ is None:
            return entry.packed, None
        else:
            own = []
        own += [_content(cell) for cell in fn.__closure__ or ()], fn.__defaults__, fn.__kwdefaults__
        return entry.packed, own
    if type(fn) is functools.partial:
        code, own = _describe(fn.func)
        return code, ["partial", own, fn.args, fn.keywords]
    return None, ["call", _functions.pack(fn)]


def _content(cell):
    """[what the cell holds], [] if it is empty."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


def _is_dunder(name):
    return name.startswith("__") and name.endswith("__")


class _Entry:
    """A code object with its globals, packed for workers."""

    def __init__(self, fn):
        self.code, self.own = fn.__code__, fn.__globals__  # alive, so that their ids stay theirs
        self.name = self.own.get("__name__")
        self.names = sorted(name for name in _codes.loaded(self.code) if not _is_dunder(name))
        self.stores = bool(_codes.stored(self.code))
        self.needed = self._find_needed()
        self.kind, detail = self._classify()
        path = [entry for entry in sys.path if isinstance(entry, str)]
        absent = None if self.kind in ("name", "script") else tuple(name for name in self.names if name not in self.needed)
        self.packed = _core._Code([marshal.dumps(self.code), fn.__qualname__, self.name, self.kind, detail, path],
                                  self.code, self.own, absent)

    def _find_needed(self):
        return {name: self.own[name] for name in self.names if name in self.own}

    def is_valid(self):
        """Whether the globals are of the kind still. Only those are compared that were sent by name."""
        if self.kind in ("name", "script"):
            return True
        own = self.own
        for name in self.names:
            if (name in own) != (name in self.needed):
                return False
        return self.kind != "modules" or all(own[name] is o for name, o in self.needed.items())

    def _classify(self):
        """How a worker gets the globals: (kind, what it needs for that)."""
        main = sys.modules.get("__main__")
        is_main = main is not None and self.own is main.__dict__
        if not is_main:
            module = sys.modules.get(self.name or "")
            if module is not None and getattr(module, "__dict__", None) is self.own:
                return "name", self.name
        # A name that is not there yet may be by the time that the script has run.
        is_complete = is_main and all(name in self.needed or hasattr(builtins, name) for name in self.names)
        if not self.needed and not self.stores and (is_complete or not is_main):
            return "none", None
        modules = {name: o.__name__ for name, o in self.needed.items()
                   if type(o) is types.ModuleType and sys.modules.get(o.__name__) is o and o is not main}
        if len(modules) == len(self.needed) and not self.stores and (is_complete or not is_main):
            return "modules", modules
        if is_main and _main.describe() is not None:
            return "script", next((name for name in self.names if name not in modules), self.code.co_name)
        return "values", None


_entries = {}  # (id(code), id(globals)) -> _Entry, the newest last


def _entry_of(fn):
    key = id(fn.__code__), id(fn.__globals__)
    entry = _entries.get(key)
    if entry is None or not entry.is_valid():
        entry = _Entry(fn)
        _entries.pop(key, None)
        while len(_entries) >= _KEPT:
            forget_oldest(_entries)
        _entries[key] = entry
    if entry.kind in ("name", "script", "none"):
        _core._recall(entry.packed)
    return entry


def forget_oldest(entries):
    """Drops the oldest entry of a dict, which other threads may change meanwhile."""
    try:
        entries.pop(next(iter(entries)), None)
    except (StopIteration, RuntimeError):
        pass


def _name_variable(error, fn):
    """The path in a TypeError of sending, as the user knows the variable."""
    if type(fn) is functools.partial:
        rename_path(error, {"$[1][2]": "the partial's arguments", "$[1][3]": "the partial's keyword arguments"})
        return
    if type(fn) is not types.FunctionType:
        rename_path(error, {"$[1][1]": "the function"})
        return
    code, names = fn.__code__, {}
    shift = int(_entry_of(fn).kind == "values")
    if shift:
        names |= {f"$[1][0][{name!r}]": f"global variable {name!r}" for name in fn.__globals__}
    names |= {f"$[1][{shift}][{i}][0]": f"variable {name!r}" for i, name in enumerate(code.co_freevars)}
    n = len(fn.__defaults__ or ())
    defaults = code.co_varnames[code.co_argcount - n:code.co_argcount]
    names |= {f"$[1][{shift + 1}][{i}]": f"default of {name!r}" for i, name in enumerate(defaults)}
    names |= {f"$[1][{shift + 2}][{name!r}]": f"default of {name!r}" for name in fn.__kwdefaults__ or ()}
    rename_path(error, names)


# ---- the workers --------------------------------------------------------------------------------

_lock = threading.Lock()
_members = []  # (worker, its status tunnel)
_exiting = False


def start(workers=None):
    """Start the interpreters that run behaviours; when() does it if need be.

    workers: how many, at most 64; by default as many as there are cores, and at least two. Returns when they are up. Does
    nothing if they run already. Raises RuntimeError if other numbers of workers run, or in an interpreter that is not the
    main one.
    """
    if workers is not None and (type(workers) is not int or not 1 <= workers <= MOST):
        raise ValueError(f"workers must be a number from 1 to {MOST}, not {workers!r}")
    with _lock:
        running = _core._crew_size()
        if running:
            if workers not in (None, running):
                raise RuntimeError(f"{running} workers for behaviours run already")
            return
        if _main.is_running():
            raise RuntimeError("start() is called while the script is run for another interpreter, which needs its names: "
                               "put it under  if __name__ == '__main__':")
        if not _core._is_main_interpreter():
            raise RuntimeError("the workers for behaviours are the main interpreter's: call objtunnel.start() there")
        if _exiting:
            raise RuntimeError("behaviours cannot be scheduled any more: the process ends")
        _start(workers or min(MOST, max(2, os.process_cpu_count() or 1)))


def _start(n):
    _register()
    _main.alias()
    _core._crew_start(n)
    path, setup = list(sys.path), _setup.describe()
    for index in range(n):
        inbox, status = Tunnel(), Tunnel()
        inbox.send([setup, "behaviours", index])
        _members.append((start_worker(f"objtunnel-behaviours_{index}", path, inbox, status), status))
    for worker, status in list(_members):
        try:
            status.recv()
        except TunnelClosed:
            _core._crew_stop()
            _wait_for_ends(None)
            _core._crew_forget()
            _members.clear()
            raise RuntimeError(f"a worker for behaviours could not be started: {worker.error}") from None


@functools.cache
def _register():
    _exit.at_end(_finish)
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def _before_fork():
    if _members:
        warnings.warn("os.fork() while objtunnel's workers for behaviours run crashes the child in CPython itself: use the "
                      "spawn start method", RuntimeWarning, stacklevel=2)


def _after_fork():
    """In the child there are no workers."""
    global _lock, _open_work
    _open_work = None
    _core._crew_forget()
    _members.clear()
    _entries.clear()
    _lock = threading.Lock()


def wait(timeout=None):
    """Wait until all behaviours are done, those that they schedule included.

    timeout: seconds; TimeoutError after that, and nothing has changed. Nothing is torn down: schedule more afterwards. Any
    thread may wait; inside a behaviour it raises RuntimeError. The thread that runs what is bound to pinned trees (see pin())
    pumps meanwhile.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while (done := _core._crew_wait(timeout)) is None:
        pump()
        timeout = None if end is None else max(0, end - time.monotonic())
    if not done:
        scheduled, done, *_ = _core._crew_counts()
        raise TimeoutError(f"{scheduled - done} behaviours are not done after {timeout} s")


class BehaviourStatistics(NamedTuple):
    """Counts of behaviours, since the process began.

    scheduled, run; waiting (for boxes or a worker) and running: behaviours. moved, copied, pickled: objects of trees that
    went back into their boxes. stayed: how often a tree was where the next behaviour on its box ran, and did not move at all.
    """

    scheduled: int
    run: int
    waiting: int
    running: int
    moved: int
    copied: int
    pickled: int
    stayed: int


def behaviour_statistics():
    """BehaviourStatistics of this moment.

    >>> behaviour_statistics().waiting
    0
    """
    scheduled, done, running, *objects = _core._crew_counts()
    return BehaviourStatistics(scheduled, done, max(0, scheduled - done - running), running, *objects)


# ---- trees that stay where they are -----------------------------------------------------------------

def pin(tree):
    """A Box whose tree stays in the calling interpreter, whatever it is: a window, an open file, a NumPy array.

    Behaviours on it run in this interpreter, in the thread that has pinned it, or in the one that has called pump() last:
    whenever that thread calls pump() or wait(), or waits for a Box or a result. With `with box as tree:` the interpreter's
    threads have it as any other. Within a behaviour it is the worker's interpreter, which runs what is pinned to it by itself.

    The tree is lost when its interpreter ends. Raises RuntimeError if the workers for behaviours don't run, and cannot be
    started, because this is not the main interpreter; or if there are 64 interpreters with pinned trees.
    """
    if not _core._crew_size():
        start()
    _register_host()
    return _core._pin(tree)


@functools.cache
def _register_host():
    if not _core._is_main_interpreter():  # _finish does it there
        atexit.register(_core._host_end)


def pump(timeout=0):
    """Run the behaviours on boxes that are pinned to this interpreter, as far as they are ready, in this thread; return how
    many.

    timeout: seconds to wait for the first one; None: for ever. Call it where whatever the trees are for asks for it: in a
    GUI's timer or idle handler, or from asyncio: loop.add_reader(pump_fileno(), pump). Raises RuntimeError within a behaviour.
    """
    from objtunnel import _behaviour_worker

    global _open_work
    if timeout != 0:
        _register_host()
    count = 0
    try:
        while (running := _core._host_take(timeout if count == 0 else 0)) is not None:
            if _open_work is None:
                _open_work = _behaviour_worker.make_opener()
            count += 1
            _behaviour_worker.execute_here(running, _open_work)
            _core._host_leave()
    finally:
        _core._host_leave()
    return count


_open_work = None


def pump_fileno():
    """A file descriptor (an eventfd) that can be read from while pump() has something to run in this interpreter, for select
    and the like. Do not read from it, and do not close it."""
    if not _core._crew_size():
        start()
    _register_host()
    return _core._host_fileno()


# ---- the end of the process ---------------------------------------------------------------------

def _wait_for_ends(seconds):
    """Whether all workers have ended in time."""
    end = None if seconds is None else time.monotonic() + seconds
    for member in list(_members):
        try:
            while True:
                member[1].recv(None if end is None else max(0, end - time.monotonic()))
        except TunnelClosed:
            _members.remove(member)
        except TunnelEmpty:
            return False
    return True


def _interrupt_all(seconds):
    """A behaviour may catch one interrupt and go on."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for worker, _ in list(_members):
            worker.interrupt(0)
        if _wait_for_ends(_AGAIN):
            return True
    return False


def _finish():
    """What runs has some seconds to end; then it is interrupted. What waits is dropped, and counted."""
    global _exiting
    _exiting = True
    if not _core._crew_size():
        return
    _core._crew_stop()
    try:
        hurry = _exit.by_ctrl_c()
        if not (not hurry and _wait_for_ends(_exit.GRACE)) and not _interrupt_all(_exit.grace() if hurry else _exit.GRACE):
            _exit.die(f"a behaviour did not end within {_exit.GRACE:.0f} s (it is inside C code); the process ends "
                      f"without it")
    except KeyboardInterrupt:
        _exit.note_ctrl_c()
        _exit.die("ended by Ctrl-C while a behaviour was still running")
        raise
    dropped = _core._crew_drop()
    _core._host_end()
    if dropped:
        _exit.say(f"{dropped} behaviour{'s were' if dropped > 1 else ' was'} dropped: the program ended before they could "
                  f"run; objtunnel.wait() waits for them")
