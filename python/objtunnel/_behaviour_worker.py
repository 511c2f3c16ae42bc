"""What runs in a worker for behaviours, see _behaviours.py: take one, make its function, run it, put its trees back.

Main invariant: each behaviour that is taken is ended, whatever it does: its boxes are free afterwards, and its result has a
value or a failure.
Threading: one thread, the worker's own. An interrupt may come within Worker.do and nowhere else.
"""

import builtins
import functools
import importlib
import marshal
import sys
import types

from objtunnel import _core, _failures, _functions, _main, _setup
from objtunnel._behaviours import forget_oldest
from objtunnel._errors import SharedReferenceError
from objtunnel._worker import rename_path


def main(worker, index):
    """The worker's life."""
    _core._crew_join(index)
    try:
        _serve(worker)
    finally:
        if _core._crew_leave():  # the last one has failed: what waits will never run
            _core._crew_drop()


def _serve(worker):
    take, do = _core._crew_take, worker.do
    open_work = make_opener()
    while (running := take()) is not None:
        try:
            do(1, running.execute, open_work, _fail)  # the number is nobody's: interrupts are for whatever runs
        except BaseException as error:  # an interrupt, or no memory
            _fail(running, error)


def execute_here(running, open_work):
    """By pump(). Ctrl-C is not the behaviour's own."""
    try:
        running.run(*open_work(running))
    except BaseException as error:
        _fail(running, error)
        if isinstance(error, KeyboardInterrupt):
            raise


def make_opener():
    return _Functions().open


def _fail(running, error):
    """The behaviour has failed, or its result or a tree cannot travel."""
    if running.ended:
        return  # an interrupt that came late
    handles = running.handles
    if running.where >= 0:
        rename_path(error, {"$": f"tree of {handles[running.where]!r}: $"})
        if isinstance(error, SharedReferenceError):
            error.args = (f"tree of {handles[running.where]!r}: {error}",)
        if running.stayed and error.args:
            error.args = (f"{error.args[0]} ({_tell_of_others(running.stayed)})", *error.args[1:])
    elif running.returned:
        rename_path(error, {"$": "result"})
    description = _failures.pack(error, _is_own)
    _forget_frames(error)
    text = description[1]
    try:
        running.put_back()
    except BaseException as stuck:
        text += (f"\nand the tree of {handles[running.where]!r} cannot travel, and stays in this worker: "
                 f"{_failures.pack_bare(stuck)[1]}: {stuck}\n")
    running.end(description, text)


def _tell_of_others(n):
    before = "the behaviour before this one" if n == 1 else f"each of the {n} behaviours before this one"
    return (f"{before} may have put it there: the tree stayed in this worker since, and is looked at only now. With "
            f"strict=True it is looked at after each behaviour")


def _forget_frames(error):
    """They hold on to parts of the trees, which would be copied for that."""
    todo, seen = [error], set()
    while todo:
        error = todo.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        error.__traceback__ = None
        todo += [error.__cause__, error.__context__]
        if isinstance(error, BaseExceptionGroup):
            todo += error.exceptions


def _is_own(code):
    return code.co_filename == __file__


KEPT = 1024  # code objects, and functions made of them, that a worker remembers


class _Functions:
    """The functions of behaviours, made from what _behaviours.py has described."""

    def __init__(self):
        self._parts = {}  # number of the code -> (code, name, how to get the globals)
        self._plain = {}  # the same -> function, of those that have nothing of their own

    def open(self, running):
        """[function, *arguments]."""
        work, handles = running.work(), running.handles
        if work is None:
            return [self._make_plain(running), *handles]
        shape, own = work
        if shape is not None:
            handles = [handles[i] if type(i) is int else type(i)([handles[j] for j in i]) for i in shape]
        return [self._make(running, own), *handles]

    def _make_plain(self, running):
        number = running.code_number
        function = self._plain.get(number)
        if function is None:
            function = self._make(running, [[], None, None])
            _remember(self._plain, number, function)
        else:
            running.remember(function)
        return function

    def _make(self, running, own):
        if own is None:
            return self._make_plain(running)
        if own[0] == "partial":
            return functools.partial(self._make(running, own[1]), *own[2], **own[3])
        if own[0] == "call":
            return _functions.unpack(own[1])
        *values, cells, defaults, keyword_defaults = own
        code, name, find_globals = self._parts.get(running.code_number) or self._load(running)
        closure = tuple(types.CellType(*content) for content in cells)
        namespace = find_globals()
        if values:
            namespace.update(values[0])
        function = types.FunctionType(code, namespace, code.co_name, defaults, closure or None)
        function.__qualname__ = name
        function.__kwdefaults__ = keyword_defaults
        if not values:
            running.remember(function)
        return function

    def _load(self, running):
        data, name, module, kind, detail, path = running.code()
        parts = marshal.loads(data), name, _globals_of(kind, detail, module, path)
        _remember(self._parts, running.code_number, parts)
        return parts


def _remember(entries, number, value):
    """Who schedules keeps more of them: what is forgotten here is made again when it is needed."""
    while len(entries) >= KEPT:
        forget_oldest(entries)
    entries[number] = value


def _globals_of(kind, detail, module, path):
    """A function that returns the globals for a function of that kind (_behaviours._Entry)."""
    if kind == "name":
        if not _core._is_main_interpreter():  # there it is the path
            _setup.follow_path([path])
        return lambda: importlib.import_module(detail).__dict__
    if kind == "script":
        def run_script():
            _main.run_script(detail)
            return sys.modules["__main__"].__dict__
        return run_script
    if kind == "modules":
        own = {"__builtins__": builtins, "__name__": module}
        own.update((name, importlib.import_module(of)) for name, of in detail.items())
        return lambda: own
    return lambda: {"__builtins__": builtins, "__name__": module}
