"""The caller's __main__, as far as other interpreters need it.

A worker runs the caller's script (or `-m` module, folder or zip file) once, the first time that a job
needs something of it, under the name __mp_main__, as multiprocessing does: what must not run twice
stands under `if __name__ == "__main__":`. The names that the script makes are the worker's __main__
from then on. __main__ and __mp_main__ are two names of one module on either side.

What of __main__ did not come from that script has no name that another interpreter could find it by:
what a session defines (python -i, -c, a notebook), lambdas, what is local to a function. It travels by
value (_byvalue.py).

Main invariant: a script that failed has changed nothing, and is not run again; the error is kept.
Threading: `_lock` is held while the script runs; other threads of the worker that need it wait.
"""

import os.path
import sys
import types
from _thread import RLock

NAMES = ("__main__", "__mp_main__")
_RUN_NAME = "__mp_main__"


# ---- which script ---------------------------------------------------------------------------------

_source = None  # in a worker: its caller's; elsewhere found out when asked for
_is_worker = False


def describe():
    """What a worker runs to have the names of this interpreter's __main__: (kind, place, file), or
    None for a session without a file. file is what the code of its functions says it is from."""
    if _is_worker:
        return _source
    main = sys.modules.get("__main__")
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if type(file) is not str or file.startswith("<"):
        return None
    if spec is not None and spec.name is not None and spec.name not in NAMES:
        return "module", spec.name, _code_file(spec.loader, spec.name, file)
    if spec is not None and os.path.basename(file).startswith("__main__.py"):
        place = os.path.dirname(file)  # a folder or a zip file
        return "folder", os.path.abspath(place), _code_file(spec.loader, "__main__", file)
    return "path", os.path.abspath(file), _code_file(getattr(main, "__loader__", None), "__main__", file)


def _code_file(loader, name, file):
    if not file.endswith("c"):  # .py and scripts of any name
        return file
    try:
        return loader.get_code(name).co_filename
    except Exception:
        return file


def _read(source):
    """(code, spec, file, package) of the script."""
    import importlib.util
    import pkgutil  # both seldom needed, slow to import

    kind, place, _ = source
    if kind == "path":
        import io
        with io.open_code(place) as f:
            code = pkgutil.read_code(f)
        if code is None:
            with io.open_code(place) as f:
                code = compile(f.read(), place, "exec")
        return code, None, place, None
    if kind == "folder":
        spec = pkgutil.get_importer(place).find_spec("__main__")
    else:
        spec = importlib.util.find_spec(place)
    if spec is None:
        raise ImportError(f"there is no {place} any more")
    return spec.loader.get_code(spec.name), spec, spec.origin, spec.parent


# ---- what is the script's ---------------------------------------------------------------------

def is_main(o):
    """Whether a function or class belongs to __main__."""
    return getattr(o, "__module__", None) in NAMES


def is_of_script(o):
    """Whether a function or class of __main__ is found by its qualified name where the script has
    been run."""
    qualname = getattr(o, "__qualname__", None)
    if type(qualname) is not str or look(qualname) is not o:
        return False
    if _is_worker:
        top = qualname.partition(".")[0]
        return top in _script_names and _script_names[top] is sys.modules["__main__"].__dict__.get(top)
    source = describe()
    if source is None:
        return False
    files = set(_files_of(o))
    if files:
        return any(_is_same_file(file, source[2]) for file in files)
    return not _is_session() or _is_in_code(qualname, getattr(o, "__firstlineno__", 0))


def look(qualname):
    """What __main__ has under the name, None if nothing; runs no script."""
    names = qualname.split(".")
    o = sys.modules["__main__"].__dict__.get(names[0])
    for part in names[1:]:
        o = getattr(o, sys.intern(part), None)  # type caches keep the name asked for
    return o


def _files_of(o):
    """The files that the code of a function (below its decorators), or of a class's own functions,
    is from."""
    if not isinstance(o, type):
        code = getattr(_innermost(o), "__code__", None)
        return [code.co_filename] if isinstance(code, types.CodeType) else []
    functions = [getattr(f, "__func__", f) for f in vars(o).values()]
    functions += [f.fget for f in vars(o).values() if isinstance(f, property)]
    codes = [f.__code__ for f in map(_innermost, functions) if isinstance(f, types.FunctionType)]
    return [code.co_filename for code in codes
            if code.co_qualname.startswith(o.__qualname__ + ".") and code.co_filename != "<string>"]


def _innermost(f):
    for _ in range(100):
        wrapped = getattr(f, "__dict__", {}).get("__wrapped__")
        if wrapped is None:
            break
        f = wrapped
    return f


def _is_same_file(a, b):
    return a == b or os.path.abspath(a) == os.path.abspath(b)


def _is_session():
    return hasattr(sys, "ps1") or sys.flags.inspect or sys.flags.interactive


_places_in_code = None


def _is_in_code(qualname, line):
    """Whether the script's code has a class statement of that name in that line."""
    global _places_in_code
    if _places_in_code is None:
        _places_in_code = set(_places_of(_read(describe())[0]))
    return (qualname, line) in _places_in_code


def _places_of(code):
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield const.co_qualname, const.co_firstlineno
            yield from _places_of(const)


# ---- the worker's side ------------------------------------------------------------------------------

_lock = RLock()
_is_running = False
_has_run = False
_failure = None  # why it could not be run
_problem = None  # what was looked for in vain last; pickle hides the exception
_script_names = {}  # what the script made


def alias():
    """Has sys.modules know __main__ as __mp_main__, too, as multiprocessing does."""
    sys.modules.setdefault(_RUN_NAME, sys.modules["__main__"])


def become_worker(source):
    """Have this interpreter's __main__ find the names of the caller's."""
    global _source, _is_worker
    _source, _is_worker = source, True
    alias()
    sys.modules["__main__"].__class__ = _MainModule


def is_running():
    """Whether this interpreter is just running the caller's script for its names."""
    return _is_running


def find(qualname):
    """The object of that name in the caller's __main__. AttributeError if there is none here,
    RuntimeError if the script could not be run."""
    run_script(qualname)
    names = qualname.split(".")
    o = getattr(sys.modules["__main__"], names[0])
    for part in names[1:]:
        o = getattr(o, part)
    return o


def forget_problem():
    """What _MainModule looked for in vain since the last call, as a text, or None."""
    global _problem
    problem, _problem = _problem, None
    return problem


class _MainModule(types.ModuleType):
    """A module whose missing attributes come from the caller's __main__."""

    def __getattr__(self, name):
        global _problem
        if name.startswith("__"):
            raise AttributeError(f"module '__main__' has no attribute {name!r}")
        run_script(name)
        try:
            return self.__dict__[name]
        except KeyError:
            _problem = _explain(name)
            raise AttributeError(_problem) from None


def _explain(name):
    if _source is None:
        return (f"__main__ has no {name!r} here: it belongs to a session without a file, and was not "
                f"sent along")
    return (f"{_source[1]} defines no {name!r} when it is run for another interpreter: define it "
            f"outside of  if __name__ == '__main__':")


def run_script(wanted):
    """Has the script's names in __main__, if there is a script. wanted: the name it is run for."""
    global _has_run, _failure
    if _has_run or _source is None:
        return
    with _lock:
        if _has_run or _is_running:  # by this thread: the script needs names of its own
            return
        if _failure is not None:
            raise _new_failure(wanted)
        try:
            _run(*_read(_source))
        except KeyboardInterrupt:
            raise  # the job's; the next one that needs the script runs it
        except BaseException as error:
            _failure = error
            raise _new_failure(wanted)
        _has_run = True


def _in_short(error):
    """What NumPy says of a failed import fills a screen; the reason is its cause's text."""
    while type(error) is ImportError and "\n" in str(error) and type(error.__cause__) is ImportError:
        error = error.__cause__
    return str(error)


def _new_failure(wanted):
    cause = _failure
    what = "it ends the program" if isinstance(cause, SystemExit) else f"{type(cause).__name__}: {_in_short(cause)}"
    error = RuntimeError(
        f"{_source[1]} cannot be run in another interpreter, which needs its {wanted!r}: {what}\n"
        f"An interpreter that needs a name of the script runs it once, without what stands under\n"
        f"  if __name__ == '__main__':\n"
        f"Put there what is to run only once. Import modules that cannot be loaded here (as NumPy)\n"
        f"there or inside the functions that use them, or move the functions that others run into a "
        f"module.")
    error.__cause__ = cause
    return error


def _run(code, spec, file, package):
    """In place, since functions keep the dict as their globals; put back if it fails. What run() or a
    job has set before stays."""
    global _is_running
    namespace = sys.modules["__main__"].__dict__
    before = dict(namespace)
    namespace.update(__name__=_RUN_NAME, __file__=file, __spec__=spec, __package__=package,
                     __loader__=getattr(spec, "loader", None), __cached__=None)
    _is_running = True
    try:
        exec(code, namespace)
    except BaseException:
        namespace.clear()
        namespace.update(before)
        raise
    finally:
        _is_running = False
    made = {k: v for k, v in namespace.items() if not _is_dunder(k) and before.get(k, made_now) is not v}
    _script_names.update(made)
    namespace.update((k, v) for k, v in before.items() if not _is_dunder(k))
    namespace["__name__"] = "__main__"
    for value in made.values():
        _rename(value, set())


made_now = object()


def _is_dunder(name):
    return name.startswith("__") and name.endswith("__")


def _rename(o, seen):
    """Functions and classes say that they are of __main__, as they do at the caller's."""
    if getattr(o, "__module__", None) != _RUN_NAME or id(o) in seen:
        return
    seen.add(id(o))
    try:
        if isinstance(o, types.FunctionType):
            o.__module__ = "__main__"
        elif isinstance(o, type):
            o.__module__ = "__main__"
            for value in list(vars(o).values()):
                _rename(getattr(value, "__func__", value), seen)
    except (AttributeError, TypeError):
        pass  # it stays __mp_main__, which is the same module
