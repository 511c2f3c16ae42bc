"""Which classes' instances may move, and how another interpreter finds the class.

The C side asks describe() once for each class that it meets; see tunnel/class.h. A move carries an
instance's attributes over and runs none of its class's code: that is what unpickling does, too,
for a class that does not say otherwise. Where a class does say otherwise, its instances are pickled
in place, unless it was registered as movable.
"""

import copyreg
import importlib
import sys

from objtunnel import _main, _standard
from objtunnel._hashes import hash_stays

# Classes of the standard library that customise pickling only to say what a move does anyway; that
# holds for subclasses which leave it at that, and move with attributes that pickling would drop.
_STANDARD = {
    ("collections", "Counter"), ("fractions", "Fraction"), ("uuid", "UUID"),
    ("ipaddress", "IPv4Address"), ("ipaddress", "IPv6Address"),
    ("ipaddress", "IPv4Network"), ("ipaddress", "IPv6Network"),
    ("ipaddress", "IPv4Interface"), ("ipaddress", "IPv6Interface"),
    *((module, name) for module in ("pathlib", "pathlib._local")
      for name in ("PurePath", "PurePosixPath", "PureWindowsPath", "Path", "PosixPath")),
}

_registered = set()


def register_movable(cls):
    """Have instances of cls move although it customises pickling; usable as a decorator.

    A move carries the attributes (__dict__, __slots__, and what a built-in base holds) over as
    they are and runs none of __reduce__, __reduce_ex__, __getstate__, __setstate__, __new__,
    __getnewargs__. Register a class if that is right for it, in the interpreter that sends.
    Raises TypeError for a class whose instances cannot move all the same: enums, and subclasses of
    types in C that objtunnel does not know (exceptions, partial).

    >>> @register_movable
    ... class Money:
    ...     def __reduce__(self):  # for another protocol; a move need not run it
    ...         return Money, ()
    """
    if not isinstance(cls, type):
        raise TypeError(f"register_movable takes a class, not a {type(cls).__name__}")
    if isinstance(cls, _enum_type()):
        raise TypeError(f"{cls.__qualname__}: enum members go by name, so that there is one of each in "
                        "every interpreter; they cannot move")
    from objtunnel import _core  # which imports this module
    base = _core._immovable_base(cls)
    if base is not None:
        raise TypeError(f"{cls.__qualname__}: its instances cannot move: they hold data of {base.__qualname__}, "
                        "which is written in C and which objtunnel does not know; leave them to "
                        "pickle, or keep what is to move in an attribute of another class")
    _registered.add(cls)
    cls.__module__ = cls.__module__  # whatever was learnt about it before holds no more
    return cls


def describe(cls, base):
    """(module, qualname, whether their hashes stay) if cls's instances may move and others find it
    there, else None.

    base: the first of its bases (or itself) that no class statement made."""
    module, name = cls.__module__, cls.__qualname__
    if type(module) is not str or type(name) is not str:
        return None
    if module in _main.NAMES:
        module = "__main__"
        if not _main.is_of_script(cls):
            return None
    elif _look(module, name) is not cls:
        return None
    if cls is base or cls in _registered or _moves_as_it_is(cls, base):
        return module, name, hash_stays(cls)
    return None


def _look(module, name):
    o = sys.modules.get(module)
    for part in name.split("."):
        o = getattr(o, sys.intern(part), None)  # type caches keep the name asked for
    return o


def _moves_as_it_is(cls, base):
    if cls in copyreg.dispatch_table or isinstance(cls, _enum_type()):
        return False
    for name, is_plain in _HOOKS.items():  # no generator: 3.13 dies making one without memory
        if not _same(cls, base, name, is_plain):
            return False
    return True


def _enum_type():
    return getattr(_standard.module_of("enum"), "EnumType", ())


def _is_namedtuple_function(f):
    """Whether collections.namedtuple made the function for its class."""
    namespace = getattr(f, "__globals__", {})
    return _standard.is_of(f, "collections") or (
        "_tuple_new" in namespace and namespace.get("__builtins__") == {})


def _is_dataclass_function(f):
    """Whether @dataclass(slots=True) made the function: it copies the fields, as a move does."""
    return _standard.is_of(f, "dataclasses")


def _never(f):
    return False


# What pickling asks a class for, and how to tell definitions that a move need not run.
_HOOKS = {
    "__reduce__": _never,
    "__reduce_ex__": _never,
    "__getstate__": _is_dataclass_function,
    "__setstate__": _is_dataclass_function,
    "__new__": _is_namedtuple_function,
    "__getnewargs__": _is_namedtuple_function,
    "__getnewargs_ex__": _never,
}


def _same(cls, base, name, is_plain):
    owner, mine = _lookup(cls, name)
    return (mine is _lookup(base, name)[1] or is_plain(getattr(mine, "__func__", mine))
            or _standard.is_class(owner, _STANDARD))


def _lookup(cls, name):
    """(class that has it, what it is), as type(instance) is searched, without running a
    metaclass's code."""
    for c in cls.__mro__:
        if name in c.__dict__:
            return c, c.__dict__[name]
    return cls, None


def find(module, qualname):
    """The class of that name in this interpreter. Raises ImportError or AttributeError."""
    try:
        o = sys.modules["__main__"] if module in _main.NAMES else importlib.import_module(module)
        for part in qualname.split("."):
            o = getattr(o, sys.intern(part))
        return o
    except ImportError as error:
        raise ImportError(f"cannot receive instances of {module}.{qualname}: {error}",
                          name=error.name, path=error.path) from error
    except AttributeError as error:
        raise AttributeError(f"cannot receive instances of {module}.{qualname}: {error}",
                             name=error.name, obj=error.obj) from error


def stand_in(base, slots, has_dict, has_weakref):
    """A class whose instances are laid out as those of a class that cannot be had here; they are
    only going to be freed."""
    names = [f"slot{i}" for i in range(slots)]
    names += ["__dict__"] if has_dict else []
    names += ["__weakref__"] if has_weakref else []
    return type("Unreceived", (base,), {"__slots__": tuple(names), "__module__": __name__})
