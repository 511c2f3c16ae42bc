"""Whether a class or function is the standard library's. A name does not tell: a user's file may have the
name of one of its modules and come first on sys.path."""

import os
import sys

_FOLDER = os.path.dirname(getattr(os, "__file__", None) or "")


def module_of(name):
    """The standard library's module of that name if it is in sys.modules, else None."""
    module = sys.modules.get(name)
    origin = getattr(getattr(module, "__spec__", None), "origin", None)
    if type(origin) is not str:
        return None
    if origin in ("built-in", "frozen"):
        return module
    path = os.path.join(_FOLDER, *name.split("."))
    return module if _FOLDER and os.path.splitext(origin)[0] in (path, os.path.join(path, "__init__")) else None


def is_class(cls, names):
    """Whether cls is the class of the standard library that has one of these (module, qualified name)."""
    name = cls.__module__, cls.__qualname__
    return name in names and getattr(module_of(name[0]), name[1], None) is cls


def is_of(function, name):
    """Whether the function's code was written in the standard library's module of that name."""
    module = module_of(name)
    return module is not None and getattr(function, "__globals__", None) is module.__dict__
