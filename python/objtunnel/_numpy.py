"""NumPy's objects. One interpreter of a process can import NumPy, the others get what the standard library has.

Arrays whose items struct has a character for do not come here: their data travel by themselves (tunnel/ndata.h). What
comes is pickled. An object that stands in the tree itself becomes a Python object that equals it, or raises TypeError.
What is inside of a pickled object (a DataFrame's arrays) stays NumPy's, and needs NumPy in the receiver.

This module is imported where NumPy has been.
"""

import sys

from objtunnel._pickling import _HEAPTYPE, number


def _here():
    """The module numpy, None while it is being imported or if the name is a module's of the user's own."""
    numpy = sys.modules.get("numpy")
    if getattr(getattr(numpy, "__spec__", None), "_initializing", False):
        return None
    ndarray = getattr(numpy, "ndarray", None)
    real = type(ndarray) is type and not ndarray.__flags__ & _HEAPTYPE and ndarray.__module__ == "numpy"
    return numpy if real else None


def empty(layout, shape):
    """An array with any items; None where there is no NumPy."""
    numpy = _here()
    return None if numpy is None else numpy.empty(shape, layout)


def scalar(value, typecode):
    numpy = _here()
    return value if numpy is None else numpy.dtype(typecode).type(value)


# ---- what stands in the tree itself ---------------------------------------------------------------

def plain(objects):
    """The same objects with Python's in place of NumPy's. Raises TypeError for what has no equal."""
    numpy = _here()
    if numpy is None:
        return objects
    kinds = numpy.generic, numpy.ndarray, numpy.dtype
    return [_plain(numpy, o) if isinstance(o, kinds) else o for o in objects]


def _plain(numpy, o):
    if isinstance(o, numpy.generic):
        return _item(numpy, o)
    if isinstance(o, numpy.dtype):
        raise TypeError(f"dtypes exist only with NumPy: send its name, {o.str!r}")
    if type(o) is not numpy.ndarray:
        raise TypeError(f"{type(o).__qualname__} exists only with NumPy: send numpy.asarray(it)")
    raise TypeError(f"neither a memoryview nor array.array can hold items of {o.dtype!r}")


def _item(numpy, scalar):
    """The Python object that it equals, of which no part is lost."""
    if isinstance(scalar, (numpy.datetime64, numpy.timedelta64)):
        raise TypeError(f"Python has no time with the unit of {scalar.dtype}")
    o = scalar.item()
    if type(o).__module__ == "numpy":
        raise TypeError(f"Python has no number like {type(scalar).__qualname__}")
    return o


# ---- what is inside of pickled objects ------------------------------------------------------------

_reducers = {}


def reducers():
    """Pickle's dispatch table for scalars: a number is pickled so that a receiver without NumPy can read it."""
    numpy = _here()
    if numpy is None:
        return {}
    if not _reducers:
        numbers = numpy.bool_, numpy.integer, numpy.floating, numpy.complexfloating, numpy.str_, numpy.bytes_
        _reducers.update((cls, _reduce_scalar) for cls in _subclasses(numpy.generic)
                         if issubclass(cls, numbers) and not issubclass(cls, numpy.timedelta64))
    return _reducers


def _subclasses(cls):
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _reduce_scalar(scalar):
    o = scalar.item()
    if type(o).__module__ == "numpy":
        return scalar.__reduce__()  # longdouble
    return number, (o, scalar.dtype.char)
