"""What the tunnel has no row for travels as a pickle: how, and what to do where it cannot.

The C side calls dumps_all() and loads() once per message, with a list of such objects, and remedy()
where one cannot be pickled. dumps() is pickle's, but knows some types more; a table of reducers
asks nothing of Python code for the objects of all other types. Only where that fails, or where
something of __main__ is in it, everything is pickled again with an eye on each function and class:
those of __main__ that have no name elsewhere go by value.
"""

import _pickle  # pickle's part in C, which is all that is used: pickle itself imports re
import copyreg
import io
import sys
import types

from objtunnel import _functions, _main


def dumps_all(objects, only=False):
    """The pickle of a list of objects that stand in the tree themselves; only: of the one in it, without the list.
    NumPy's scalars become what they equal there, since only objects that hold others ask for NumPy's own types."""
    if "numpy" in sys.modules:
        from objtunnel import _numpy
        objects = _numpy.plain(objects)
    return dumps(objects[0] if only else objects)


def dumps(o, protocol=5):
    failure = None
    try:
        data = _dump(_pickle.Pickler, o, protocol)
        if b"main__" not in data:  # no function or class of __main__ or __mp_main__
            return data
    except (AttributeError, TypeError, _pickle.PicklingError) as error:
        failure = error
    try:
        return _dump(_ByValue, o, protocol)
    except ModuleNotFoundError as error:
        if failure is None or error.name != "cloudpickle":
            raise
        raise failure from None
    finally:
        del failure  # its traceback holds this frame: a cycle that would keep o


def _dump(pickler_type, o, protocol):
    buffer = io.BytesIO()
    pickler = pickler_type(buffer, protocol)
    pickler.dispatch_table = copyreg.dispatch_table | _REDUCERS
    if "numpy" in sys.modules:
        from objtunnel import _numpy
        pickler.dispatch_table |= _numpy.reducers()
    pickler.dump(o)
    return buffer.getvalue()


def loads(data):
    """Unpickles. Raises TypeError where the pickle needs NumPy and this interpreter has none."""
    if data.find(b"numpy") >= 0 and "numpy" not in sys.modules and not _is_main_interpreter():
        return _WithoutNumPy(io.BytesIO(data)).load()
    try:
        return _pickle.loads(data)
    except AttributeError as error:
        problem = _main.forget_problem()
        if problem is None:
            raise
        raise AttributeError(problem) from error


def _is_main_interpreter():
    from objtunnel import _core  # imports us
    return _core._is_main_interpreter()


class _WithoutNumPy(_pickle.Unpickler):
    """Says what is missing, instead of starting an import that can only fail."""

    def find_class(self, module, name):
        return _find_without_numpy(super().find_class, module, name)


def _find_without_numpy(find_class, module, name):
    if module.partition(".")[0] == "numpy":
        raise TypeError(_needs_numpy(f"{module}.{name}"))
    try:
        return find_class(module, name)
    except ImportError as error:
        raise TypeError(_needs_numpy(f"{module}.{name} ({error})")) from error


def _needs_numpy(name):
    """The C side puts the path before a text that begins so."""
    if name.startswith("numpy.random."):
        remedy = "send a seed, and make a random.Random(seed) of it"
    else:
        remedy = "send the arrays themselves, which arrive as memoryviews, or what tolist() gives"
    return f"cannot receive this object: it needs {name}, and NumPy is not imported in this interpreter; {remedy}"


def failed_item(data):
    """The index of the object that loads(data) could not rebuild, of the list that data is a pickle of, or None."""
    from objtunnel import _failed_item
    if "numpy" in sys.modules or _is_main_interpreter():
        return _failed_item.failed_item(data, lambda find: find)
    return _failed_item.failed_item(data, lambda find: lambda module, name: _find_without_numpy(find, module, name))


def ndarray(layout, shape):
    """An ndarray for the C side to fill; None where NumPy is not imported."""
    if "numpy" not in sys.modules:
        return None
    from objtunnel import _numpy
    return _numpy.empty(layout, shape)


def number(value, typecode):
    """A NumPy scalar that was in a pickled object; where NumPy is not imported, the Python object it equals."""
    if "numpy" not in sys.modules:
        return value
    from objtunnel import _numpy
    return _numpy.scalar(value, typecode)


class _ByValue(_pickle.Pickler):
    """Decides for each function and class of __main__ whether it has a name elsewhere; if not, it goes
    by value, and with it what it refers to and what has no name either."""

    def __init__(self, buffer, protocol):
        super().__init__(buffer, protocol)
        self._reducers = {}  # by type, once something has gone by value: cells, code ...
        self._namespaces = {}

    def reducer_override(self, o):
        kind = type(o)
        if kind is types.FunctionType:
            if not self._has_name(o):
                return self._byvalue().reduce_function(o, self._namespaces)
        elif issubclass(kind, type):
            if kind.__module__ == "_ctypes" and (made := _made_by_ctypes(o)):
                return made
            if not self._has_name(o):
                return self._byvalue().reduce_class(o)
        elif kind in self._reducers:
            return self._reducers[kind](o)
        return NotImplemented

    def _has_name(self, o):
        """Whether the function or class is left to pickle, which finds its name or refuses it."""
        if _main.is_main(o):
            return _main.is_of_script(o)
        if not self._reducers or isinstance(o, type) and not o.__flags__ & _HEAPTYPE:
            return True
        return _functions.is_importable(o)

    def _byvalue(self):
        from objtunnel import _byvalue  # seldom needed, slow to import
        self._reducers = _byvalue.reducers
        return _byvalue


def _made_by_ctypes(cls):
    """How to make `ctypes.c_int * 3` or POINTER(c_int) again: ctypes keeps such a class, which has no name. None for any
    other class."""
    import ctypes
    if cls.__bases__ == (ctypes.Array,):
        import operator
        return operator.mul, (cls._type_, cls._length_)
    if cls.__bases__ == (ctypes._Pointer,):
        return ctypes.POINTER, (cls._type_,)
    return None


_HEAPTYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, or for each interpreter anew


# ---- reducers -----------------------------------------------------------------------------------

def _reduce_module(module):
    name = module.__name__
    if sys.modules.get(name) is not module:
        raise TypeError(f"module {name} cannot be imported by that name")
    from importlib import import_module
    return import_module, (name,)


def _reduce_proxy(proxy):
    return make_proxy, (proxy.copy(),)


def make_proxy(mapping):
    return types.MappingProxyType(mapping)  # which calls itself builtins.mappingproxy, in vain


def _reduce_view(view):
    """A view of a copy of the data."""
    return rebuild_view, view_state(view)


_NATIVE = frozenset("cbB?hHiIlLqQnNfdeP")


def view_state(view):
    if view.format.removeprefix("@") not in _NATIVE or 0 in view.shape and view.ndim > 1:
        raise TypeError(f"a memoryview of format {view.format!r} and shape {view.shape} cannot be "
                        f"made anew")
    data = view.tobytes()
    return (data if view.readonly else bytearray(data)), view.format, view.shape


def rebuild_view(data, layout, shape):
    view = memoryview(data)
    if 0 in shape:
        return view.cast(layout)  # of one dimension: cast() takes no shape with a 0
    return view.cast(layout, shape=shape)


_REDUCERS = {
    types.ModuleType: _reduce_module,
    types.MappingProxyType: _reduce_proxy,
    memoryview: _reduce_view,
}


# ---- remedies -----------------------------------------------------------------------------------

_TOP_LEVEL = "define it at the top level of a module"
_SHARED_LOCK = ("a lock belongs to one interpreter: use objtunnel's Lock, RLock, Condition, Semaphore, Event or Barrier, "
                "which interpreters share, and Tunnel in place of queue.Queue")
_PROCESS_LOCK = "it is for processes: use objtunnel's Lock, RLock, Condition, Semaphore, Event or Barrier"
_TUNNEL = "it is for processes: send a Tunnel instead"
_SEND_RESULTS = "a running computation cannot change interpreters: send its results, say list(it)"

# Types by name: most of their modules need not be imported for this.
_REMEDIES = {
    "generator": _SEND_RESULTS,
    "coroutine": _SEND_RESULTS,
    "async_generator": _SEND_RESULTS,
    "frame": "send what you need of its locals",
    "traceback": "send traceback.format_exception(...), or the exception without it",
    "code": "send marshal.dumps(it), and marshal.loads on the other side",
    "cell": "send its contents",
    "dict_keys": "send list(it)",
    "dict_values": "send list(it)",
    "dict_items": "send list(it)",
    "_io.TextIOWrapper": "send its name and open it on the other side, or os.dup(it.fileno())",
    "_io.BufferedReader": "send its name and open it on the other side, or os.dup(it.fileno())",
    "_io.BufferedWriter": "send its name and open it on the other side, or os.dup(it.fileno())",
    "_io.BufferedRandom": "send its name and open it on the other side, or os.dup(it.fileno())",
    "_io.FileIO": "send its name and open it on the other side, or os.dup(it.fileno())",
    "socket.socket": "send it.detach(), a number, and make socket.socket(fileno=number) of it",
    "sqlite3.Connection": "send the database's path and connect on the other side",
    "_thread.lock": _SHARED_LOCK,
    "_thread.RLock": _SHARED_LOCK,
    "_thread._ThreadHandle": "a thread stays in its interpreter: start another one there",
    "_queue.SimpleQueue": "it belongs to one interpreter: send a Tunnel instead",
    "multiprocessing.queues.Queue": _TUNNEL,
    "multiprocessing.queues.SimpleQueue": _TUNNEL,
    "multiprocessing.synchronize.Condition": _PROCESS_LOCK,
    "multiprocessing.synchronize.SemLock": _PROCESS_LOCK,
    "multiprocessing.sharedctypes.SynchronizedBase": "it is for processes: send a SharedArray instead",
    "objtunnel._interpreter.Interpreter": "send a Tunnel instead, or make another one there",
    "objtunnel._executor.InterpreterPoolExecutor": "return what is to be done next, or make another pool there",
    "re.Match": "send what it matched: groups(), groupdict(), span()",
    "memoryview": "send its bytes: tobytes()",
    "module": "send the module's name and import it on the other side",
    "weakref.ReferenceType": "send what it refers to",
    "numpy.ndarray": "send its tolist(), or its tobytes() with dtype.str and shape",
    "numpy.datetime64": "send str(it), or item() where that loses nothing",
    "numpy.timedelta64": "send its astype(int) and its unit, or item() where that loses nothing",
}

_OTHERWISE = ("send what it holds instead (numbers, strings, containers), or make it picklable "
              "with __reduce__")


def remedy(o):
    """What the user can do about an object that cannot be sent."""
    if isinstance(o, types.FunctionType):
        return _remedy_for_function(o)
    if isinstance(o, type):
        return f"a class travels by name, and this one cannot be found by its: {_TOP_LEVEL}"
    if isinstance(o, types.MethodType):
        return "a method travels with its object, by name: both must be picklable"
    for cls in type(o).__mro__:
        if isinstance(o, type(sys)):
            return _REMEDIES["module"]
        qualified = cls.__qualname__ if cls.__module__ == "builtins" else \
            f"{cls.__module__}.{cls.__qualname__}"
        if qualified in _REMEDIES:
            return _REMEDIES[qualified]
    if "<locals>" in type(o).__qualname__:
        return f"its class is local to a function and cannot be found by name: {_TOP_LEVEL}"
    return _OTHERWISE


def _remedy_for_function(function):
    only = "only functions that can be imported by name travel"
    if function.__name__ == "<lambda>":
        return f"{only}: use def, at the top level of a module"
    if function.__closure__:
        names = ", ".join(function.__code__.co_freevars)
        return (f"{only}, and this is a closure over {names}: {_TOP_LEVEL} and pass {names} as "
                f"arguments (functools.partial travels)")
    return f"{only}: {_TOP_LEVEL}"
