"""NumPy's objects, where they cannot move: no interpreter but the main one can import NumPy, so
that they arrive as what the standard library has for them.

An array of one dimension whose items array.array can hold does not come here: tunnel/kinds/ndarray.c
makes an array.array of it. This module is imported where NumPy has been.
"""

import sys

from objtunnel._pickling import _HEAPTYPE, rebuild_view


_built_in = {}  # the part of the table that stays the same


def reducers():
    """Pickle's dispatch table for the NumPy types that there are now."""
    numpy = sys.modules["numpy"]
    if getattr(getattr(numpy, "__spec__", None), "_initializing", False):
        return {}  # is being imported: there are no arrays to send yet
    if not _is_real(numpy):
        return {}
    if not _built_in:
        _built_in.update(dict.fromkeys(_subclasses(numpy.generic), _reduce_scalar))
        _built_in.update(dict.fromkeys((numpy.dtype, *_subclasses(numpy.dtype)), _reduce_dtype))
        _built_in[numpy.ndarray] = _reduce_array
    return _built_in | dict.fromkeys(_subclasses(numpy.ndarray), _reduce_subclass)


def _is_real(numpy):
    """Whether sys.modules has NumPy: None there blocks the import, and a user's own module may have the name."""
    ndarray = getattr(numpy, "ndarray", None)
    return type(ndarray) is type and not ndarray.__flags__ & _HEAPTYPE and ndarray.__module__ == "numpy"


def _subclasses(cls):
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _reduce_array(a):
    """A memoryview of a copy, with native formats; the array's own order of axes."""
    try:
        layout = memoryview(a[(slice(0, 0),) * a.ndim]).format
    except (ValueError, BufferError):
        layout = ""
    if not a.dtype.isnative or layout.lstrip("@") not in _CASTABLE:
        raise TypeError(f"no memoryview can hold items of {a.dtype!r}")
    if a.size == 0 and a.ndim > 1:
        raise TypeError(f"no memoryview can have the shape {a.shape}")
    data = a.tobytes()
    return rebuild_view, (bytearray(data) if a.flags.writeable else data, layout, a.shape)


_CASTABLE = frozenset("bB?hHiIlLqQfde")


def _reduce_subclass(a):
    raise TypeError(f"{type(a).__qualname__} exists only with NumPy: send numpy.asarray(it)")


def _reduce_dtype(dtype):
    raise TypeError(f"dtypes exist only with NumPy: send its name, {dtype.str!r}")


def _reduce_scalar(scalar):
    """The Python object that it equals."""
    o = scalar.item()
    if type(o).__module__ == "numpy":
        raise TypeError(f"Python has no number like {type(scalar).__qualname__}")
    return _same, (o,)


def _same(o):
    return o
