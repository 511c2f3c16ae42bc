"""What the tunnel has no row for travels as a pickle: how, and what to do where it cannot.

The C side calls dumps() and loads() once per message, with a list of such objects, and remedy()
where one cannot be pickled. dumps() is pickle's, but knows some types more; a table of reducers
asks nothing of Python code for the objects of all other types.
"""

import copyreg
import importlib
import io
import pickle
import sys
import types
from pickle import loads  # noqa: F401 (the C side finds it here)


def dumps(o, protocol=5):
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol)
    pickler.dispatch_table = copyreg.dispatch_table | _REDUCERS
    if "numpy" in sys.modules:
        from objtunnel import _numpy
        pickler.dispatch_table |= _numpy.reducers()
    pickler.dump(o)
    return buffer.getvalue()


# ---- reducers -----------------------------------------------------------------------------------

def _reduce_module(module):
    name = module.__name__
    if sys.modules.get(name) is not module:
        raise TypeError(f"module {name} cannot be imported by that name")
    return importlib.import_module, (name,)


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
    "_thread.lock": "a lock belongs to one interpreter: use a Tunnel to hand over or to signal",
    "_thread.RLock": "a lock belongs to one interpreter: use a Tunnel to hand over or to signal",
    "_queue.SimpleQueue": "it belongs to one interpreter: send a Tunnel instead",
    "re.Match": "send what it matched: groups(), groupdict(), span()",
    "memoryview": "send its bytes: tobytes()",
    "module": "send the module's name and import it on the other side",
    "weakref.ReferenceType": "send what it refers to",
    "numpy.ndarray": "send its tolist(), or its tobytes() with dtype.str and shape",
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
