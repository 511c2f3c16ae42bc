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
    open_work = make_opener(_core._crew_table())
    while (running := take()) is not None:
        try:
            do(running.number, _execute, running, open_work)
        except BaseException as error:  # an interrupt, or no memory
            _fail(running, error)


def _execute(running, open_work):
    """Runs within Worker.do, so that all code of users can be interrupted."""
    try:
        running.run(*open_work(running.work(), running.handles))
    except BaseException as error:
        _fail(running, error)


def execute_here(running, open_work):
    """In the main interpreter, by pump(). Ctrl-C is not the behaviour's own."""
    try:
        running.run(*open_work(running.work(), running.handles))
    except BaseException as error:
        _fail(running, error)
        if isinstance(error, KeyboardInterrupt):
            raise


def make_opener(table):
    return _Functions(table).open


def _fail(running, error):
    """The behaviour has failed, or its result or a tree cannot travel."""
    if running.ended:
        return  # an interrupt that came late
    handles = running.handles
    if running.where >= 0:
        rename_path(error, {"$": f"tree of {handles[running.where]!r}: $"})
        if isinstance(error, SharedReferenceError):
            error.args = (f"tree of {handles[running.where]!r}: {error}",)
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


class _Functions:
    """The functions of behaviours, made from what _behaviours.py has described."""

    def __init__(self, table):
        self._table = table
        self._parts = {}  # number -> (code, name, how to get the globals)
        self._plain = {}  # number -> function, of those that have nothing of their own

    def open(self, work, handles):
        """[function, *arguments]."""
        if type(work) is int:
            return [self._make_plain(work), *handles]
        shape, work = work
        if shape is not None:
            handles = [handles[i] if type(i) is int else type(i)([handles[j] for j in i]) for i in shape]
        return [self._make(work), *handles]

    def _make_plain(self, number):
        function = self._plain.get(number)
        if function is None:
            function = self._plain[number] = self._make([number, [], None, None])
        return function

    def _make(self, work):
        if type(work) is int:
            return self._make_plain(work)
        if work[0] == "partial":
            return functools.partial(self._make(work[1]), *work[2], **work[3])
        if work[0] == "call":
            return _functions.unpack(work[1])
        number, *values, cells, defaults, keyword_defaults = work
        code, name, find_globals = self._parts.get(number) or self._load(number)
        closure = tuple(types.CellType(*content) for content in cells)
        namespace = find_globals()
        if values:
            namespace.update(values[0])
        function = types.FunctionType(code, namespace, code.co_name, defaults, closure or None)
        function.__qualname__ = name
        function.__kwdefaults__ = keyword_defaults
        return function

    def _load(self, number):
        data, name, module, kind, detail, path = self._table[number]
        code = marshal.loads(data)
        find_globals = _globals_of(kind, detail, module, path)
        parts = self._parts[number] = code, name, find_globals
        return parts


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
