"""What freeze() asks of Python: an equal tree in which dates, Decimals and the like are constants
(tunnel/constant.h), and frozen views are what they show."""

import builtins
import collections
import io
import pickle
import sys
import types

from objtunnel import _core
from objtunnel._pickling import _REDUCERS

_NAMES = {"datetime": ("date", "time", "datetime", "timedelta", "timezone"), "decimal": ("Decimal",), "fractions": ("Fraction",),
          "uuid": ("UUID",)}
_VIEWS = (_core.FrozenList, _core.FrozenTuple, _core.FrozenDict, _core.FrozenSet, _core.FrozenBytes,
          _core.FrozenArray)


def simplified(tree):
    """The copy; None if the tree has nothing of that kind, or something that cannot be frozen. Raises RecursionError for
    a tree that is too deep for pickle."""
    reducers = {_type(module, name): _reduce_constant for module, names in _NAMES.items() if module in sys.modules
                for name in names}
    reducers.pop(None, None)
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, 5)
    pickler.reducers = reducers | dict.fromkeys(_VIEWS, _reduce_view) | _REDUCERS
    try:
        pickler.dump(tree)
    except RecursionError:
        raise
    except Exception:
        return None
    data = buffer.getvalue()
    return pickle.loads(data) if b"_constant" in data or b"_same" in data else None


class _Pickler(pickle.Pickler):
    """Stops at what cannot be frozen: its class, rebuilt from a pickle, would meet a constant where it wants a date."""

    def reducer_override(self, o):
        cls = type(o)
        reduce = self.reducers.get(cls)
        if reduce is not None:
            return reduce(o)
        if cls not in _PLAIN and not (cls.__module__ == "array" and cls.__name__ == "array"):
            raise TypeError(f"this {cls.__name__} cannot be frozen")
        return NotImplemented


# What pickle asks about beside the containers, numbers and strings that it knows itself: what freeze() takes, and what
# their own reducers name.
_PLAIN = {complex, range, slice, collections.OrderedDict, type, types.FunctionType, types.BuiltinFunctionType,
          getattr(builtins, "frozendict", None)}


def _type(module, name):
    found = getattr(sys.modules[module], name, None)
    return found if isinstance(found, type) else None


def _reduce_constant(o):
    nan = hasattr(o, "is_nan") and o.is_nan()
    return _core._constant, (hash(o), nan, pickle.dumps(o, 5))


def _reduce_view(view):
    return _same, (view.thaw(),)


def _same(o):
    return o
