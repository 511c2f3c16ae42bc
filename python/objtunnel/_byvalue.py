"""Functions and classes that have no name elsewhere travel by value, by way of cloudpickle.

Only code that was marshalled is kept; globals, defaults and closures are packed at each call, as
they are then. What a function assigns to its globals on the other side goes with the message. Besides
the globals that it came with, it sees those of the other side's __main__.

A class has an id (cloudpickle's tracker id) by which an interpreter knows it again, so that its
instances come home as what they were.
"""

import marshal
import sys
import types
import weakref

from cloudpickle import cloudpickle

from objtunnel import _codes

# cloudpickle's reducers of what functions and classes are made of.
reducers = {t: r for t, r in cloudpickle.Pickler._dispatch_table.items()
            if t in (classmethod, staticmethod, property, types.CellType, types.GetSetDescriptorType,
                     weakref.WeakSet) or t.__module__ in ("abc", "typing", "dataclasses")}


def reduce_class(cls):
    if cls in cloudpickle._BUILTIN_TYPE_NAMES:
        return cloudpickle._builtin_type, (cloudpickle._BUILTIN_TYPE_NAMES[cls],)
    return cloudpickle._dynamic_class_reduce(cls)


def reduce_function(function, namespaces):
    """namespaces: a dict of the pickle's own, so that functions that share globals do so there."""
    code, own = function.__code__, function.__globals__
    base = namespaces.setdefault(id(own), _Namespace(own.get("__name__"), own.get("__package__")))
    cells = [cloudpickle._get_cell_contents(cell) for cell in function.__closure__ or ()]
    needed = {name: own[name] for name in _names_of(code) if name in own}
    attributes = {name: getattr(function, name) for name in _ATTRIBUTES}
    attributes["__annotations__"] = _annotations_of(function)
    submodules = cloudpickle._find_imported_submodules(code, [*needed.values(), *cells])
    state = function.__dict__, attributes, needed, cells, submodules
    return _make_function, (code, base, len(cells)), state, None, None, _set_state


_ATTRIBUTES = ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__",
               "__type_params__")


def _annotations_of(function):
    try:
        return dict(function.__annotations__)
    except Exception:  # from 3.14 on they are evaluated now, and may name what does not exist
        return {}


def _make_function(code, namespace, n_cells):
    cells = tuple(cloudpickle._make_empty_cell() for _ in range(n_cells))
    return types.FunctionType(code, namespace, None, None, cells or None)


def _set_state(function, state):
    """Fills a function after it was made: what it refers to may refer to the function."""
    own, attributes, needed, cells, _ = state
    function.__dict__.update(own)
    function.__globals__.update(needed)
    for cell, value in zip(function.__closure__ or (), cells):
        if value is not cloudpickle._empty_cell_value:
            cell.cell_contents = value
    for name, value in attributes.items():
        setattr(function, name, value)


class _Namespace:
    """Stands in a pickle for the globals of functions."""

    def __init__(self, name, package):
        self._args = name, package

    def __reduce__(self):
        return _make_namespace, self._args


def _make_namespace(name, package):
    main = sys.modules["__main__"].__dict__
    if name not in ("__main__", "__mp_main__"):
        return {"__builtins__": main["__builtins__"], "__name__": name, "__package__": package}
    return dict(main)


# ---- code ---------------------------------------------------------------------------------------

_kept = {}  # id(code) -> (weak reference, names of globals, marshalled): of living code objects


def _keep(code):
    kept = _kept.get(id(code))
    if kept is None or kept[0]() is not code:
        ref = weakref.ref(code, lambda _, key=id(code): _kept.pop(key, None))
        kept = _kept[id(code)] = ref, _codes.loaded(code), marshal.dumps(code)
    return kept


def _names_of(code):
    """What the code, and code inside it, loads as a global."""
    return _keep(code)[1]


def reduce_code(code):
    return load_code, (_keep(code)[2],)


_MOST = 256
_loaded = {}  # marshalled -> code: the same code object again is warm


def load_code(data):
    code = _loaded.get(data)
    if code is None:
        if len(_loaded) >= _MOST:
            _loaded.clear()
        code = _loaded[data] = marshal.loads(data)
    return code


reducers[types.CodeType] = reduce_code
