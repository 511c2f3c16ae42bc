"""How the function of a job travels to another interpreter.

By name, where importing its module on the other side finds it, or running the caller's script does
(_main.py). Everything else goes as an object through the tunnel: callable objects, and by value what
has no name (_byvalue.py).
"""

import importlib
import sys
import types

from objtunnel import _main


def pack(fn):
    """Describe fn in plain objects, or as itself; TypeError if it cannot be called."""
    kind = type(fn)
    if kind in _NAMED or isinstance(fn, type):
        if _main.is_main(fn):
            return ("script", fn.__qualname__) if _main.is_of_script(fn) else ("object", fn)
        if is_importable(fn):
            return ("name", fn.__module__, fn.__qualname__)
    if not callable(fn):
        raise TypeError(f"{kind.__name__!r} object is not callable")
    if hasattr(fn, "__wrapped__") and _main.is_main(fn) and _main.is_of_script(fn):
        return ("script", fn.__qualname__)  # what functools.lru_cache makes, say
    return ("object", fn)


_NAMED = frozenset([types.FunctionType, types.BuiltinFunctionType])


def is_importable(o):
    """Whether o is what its module and qualified name lead to."""
    found = sys.modules.get(getattr(o, "__module__", None) or "")
    for part in getattr(o, "__qualname__", "<none>").split("."):
        found = getattr(found, part, None)
    return found is o and found is not None


def unpack(packed):
    """The function that pack described."""
    if packed[0] == "name":
        o = importlib.import_module(packed[1])
        for part in packed[2].split("."):
            o = getattr(o, part)
        return o
    if packed[0] == "script":
        return _main.find(packed[1])
    return packed[1]
