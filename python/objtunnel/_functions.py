"""How a function travels to another interpreter.

By name where importing its module on the other side finds it. A function defined in __main__
(a script, the REPL) travels by value: its code and the global names that it uses, which are put
into the other interpreter's __main__. Everything else goes as an object through the tunnel.
"""

import importlib
import marshal
import sys
import types

_MAIN = "__main__"


# ---- packing (the caller's side) ---------------------------------------------------------------

def pack(fn):
    """Describe fn in plain objects; raise TypeError naming what stands in the way."""
    if isinstance(fn, types.FunctionType) and fn.__module__ == _MAIN:
        needed = {}
        return ("code", _pack_code(fn, needed), needed)
    if _is_importable(fn):
        return ("name", fn.__module__, fn.__qualname__)
    if isinstance(fn, types.FunctionType):
        raise TypeError(f"cannot call {fn.__qualname__} of module {fn.__module__} in another "
                        f"interpreter: it cannot be found there by name; define it at the top "
                        f"level of a module (or of __main__)")
    if not callable(fn):
        raise TypeError(f"{type(fn).__name__!r} object is not callable")
    return ("object", fn)


def _is_importable(o):
    module = sys.modules.get(getattr(o, "__module__", None) or "")
    found = module
    for part in getattr(o, "__qualname__", "<none>").split("."):
        found = getattr(found, part, None)
    return found is o and found is not None


def _pack_code(fn, needed):
    """The function by value; what its code refers to by global name is added to needed."""
    if fn.__closure__:
        free = ", ".join(fn.__code__.co_freevars)
        raise TypeError(f"cannot call {fn.__qualname__} in another interpreter: it is a closure "
                        f"over {free}; pass these as arguments, or define it at the top level")
    for name in sorted(_global_names(fn.__code__)):
        if name in fn.__globals__ and name not in needed:
            needed[name] = None  # a function may refer to itself
            needed[name] = _pack_global(fn, name, fn.__globals__[name], needed)
    return (marshal.dumps(fn.__code__), fn.__name__, fn.__qualname__, fn.__doc__,
            fn.__defaults__, fn.__kwdefaults__)


def _global_names(code):
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names |= _global_names(const)
    return names


def _pack_global(fn, name, value, needed):
    if isinstance(value, types.ModuleType):
        return ("module", value.__name__)
    if isinstance(value, types.FunctionType) and value.__module__ == _MAIN:
        return ("code", _pack_code(value, needed))
    if isinstance(value, type) and value.__module__ == _MAIN:
        return ("class", value.__qualname__)
    if _is_importable(value):
        return ("name", value.__module__, value.__qualname__)
    return ("object", value)


# ---- unpacking (the other side) -----------------------------------------------------------------

def unpack(packed, main):
    """The function that pack described; main stands for the caller's __main__ (see _main.py)."""
    kind = packed[0]
    if kind == "name":
        return _find(packed[1], packed[2])
    if kind == "object":
        return packed[1]
    namespace = sys.modules[_MAIN].__dict__
    for name, value in packed[2].items():
        _define_global(namespace, name, value, main)
    return _make_function(packed[1], namespace)


def _find(module, qualname):
    o = importlib.import_module(module)
    for part in qualname.split("."):
        o = getattr(o, part)
    return o


def _make_function(packed, namespace):
    code, name, qualname, doc, defaults, kwdefaults = packed
    fn = types.FunctionType(marshal.loads(code), namespace, name, defaults)
    fn.__qualname__, fn.__doc__, fn.__kwdefaults__ = qualname, doc, kwdefaults
    fn.__module__ = _MAIN
    return fn


def _define_global(namespace, name, value, main):
    """Code follows the caller's; data that is there already stays, it may have changed here."""
    kind = value[0]
    if kind == "code":
        namespace[name] = _make_function(value[1], namespace)
    elif kind == "module":
        namespace[name] = importlib.import_module(value[1])
    elif kind == "name":
        namespace[name] = _find(value[1], value[2])
    elif kind == "class":
        main.provide(value[1])
    else:
        namespace.setdefault(name, value[1])
