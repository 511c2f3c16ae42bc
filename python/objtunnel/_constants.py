"""What freeze() asks of Python: an equal tree in which dates, Decimals and the like are constants
(tunnel/constant.h), and frozen views are what they show."""

import copyreg
import io
import pickle
import sys

from objtunnel import _core
from objtunnel._pickling import _REDUCERS

_NAMES = {"datetime": ("date", "time", "datetime", "timedelta"), "decimal": ("Decimal",), "fractions": ("Fraction",),
          "uuid": ("UUID",)}
_VIEWS = (_core.FrozenList, _core.FrozenTuple, _core.FrozenDict, _core.FrozenSet, _core.FrozenBytes,
          _core.FrozenArray)


def simplified(tree):
    """The copy; None if the tree has nothing of that kind, or cannot be pickled. Raises RecursionError for a tree
    that is too deep for pickle."""
    reducers = {_type(module, name): _reduce_constant for module, names in _NAMES.items() if module in sys.modules
                for name in names}
    reducers.pop(None, None)
    reducers |= dict.fromkeys(_VIEWS, _reduce_view)
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, 5)
    pickler.dispatch_table = copyreg.dispatch_table | _REDUCERS | reducers
    try:
        pickler.dump(tree)
    except RecursionError:
        raise
    except Exception:
        return None
    data = buffer.getvalue()
    return pickle.loads(data) if b"_constant" in data or b"_same" in data else None


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
