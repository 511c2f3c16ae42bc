"""Modules whose attributes all interpreters share: shared_module(), module_namespace().

Invariants: the process has one LockingDict for each shared module and for each module that asked for
a namespace; the directory of them is a LockingDict, too, and lives as long as an interpreter that
has asked for it. What a module's own __dict__ has (dunder names; functions and types of an
extension) is the interpreter's own, and comes first.
Threading: any interpreter, any thread; LockingDict does the rest.
"""

import sys
from _frozen_importlib import ModuleSpec  # importlib.machinery's, without its import time

from objtunnel._core import LockingDict, process_globals

_DIRECTORY = "objtunnel.shared_modules"  # key of a process_global: {name, or (name,): LockingDict}

ModuleType = type(sys)


def shared_module(name, /):
    """Return the module of that name, whose attributes are the same in every interpreter.

    The first call in the process makes it; from then on `import name` finds it in each interpreter
    that has imported objtunnel. Attributes are kept in a LockingDict: getting one gives an equal
    object of your own, setting one moves or copies it in, and both are atomic. Names with two
    underscores at both ends stay in the interpreter.

    Raises ImportError if there is another module of that name, ModuleNotFoundError if a parent of
    a dotted name is missing.

    >>> shared_module("config").debug = True
    >>> import config
    >>> config.debug
    True
    """
    from importlib import import_module

    if not isinstance(name, str):
        raise TypeError(f"a module's name is a str, not {type(name).__name__!r}")
    _check_free(name)
    _directory().setdefault(name, LockingDict())
    module = import_module(name)
    if not _is_ours(module.__spec__):
        raise ImportError(f"another module {name!r} came first", name=name)
    return module


def module_namespace(module, /):
    """Return the LockingDict with the attributes of a module that all interpreters share.

    Of a module by shared_module() it is what holds its attributes, for operations that these do not
    have: module_namespace(config).add("hits"). Any other module becomes such a module: what it has
    of plain data (None, numbers, str, bytes and containers of these) moves into the LockingDict,
    unless an earlier interpreter's is there already, and is looked up there from now on; functions,
    types, modules and names with two underscores at both ends stay the interpreter's own.

    Call it while the module is initialised, in each interpreter. Raises TypeError for what is no
    module, or one of a class of its own.
    """
    if not isinstance(module, ModuleType):
        raise TypeError(f"a module is wanted, not {type(module).__name__!r}")
    if not isinstance(module, SharedModule):
        _share(module)
    return module.__dict__["__namespace__"]


def _share(module):
    """Give a module a namespace. Nothing has changed if it raises, but for what is in the namespace."""
    if type(module) is not ModuleType:
        raise TypeError(f"module {module.__name__!r} has a class of its own")
    namespace = _directory().setdefault((module.__name__,), LockingDict())
    own = module.__dict__
    data = [name for name, value in own.items() if not _is_dunder(name) and _is_data(value)]
    for name in data:
        namespace.setdefault(name, own[name])
    own["__namespace__"] = namespace
    module.__class__ = SharedModule
    for name in data:
        del own[name]


_DATA = (type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set,
         frozenset, range)


def _is_data(value):
    return type(value) in _DATA


def _is_dunder(name):
    return name[:2] == "__" == name[-2:]


# ---- the module ----------------------------------------------------------------------------------

class SharedModule(ModuleType):
    """A module, some of whose attributes are in a LockingDict."""

    __getattribute__ = object.__getattribute__  # a module's own takes long to find nothing

    def __getattr__(self, name):
        """Called for names that are not the interpreter's own: the shared namespace may have them."""
        namespace = self.__dict__.get("__namespace__")
        if namespace is not None:  # None: the interpreter ends
            try:
                return namespace[name]
            except KeyError:
                pass
            if name == "__all__":
                return [key for key in namespace.keys() if key[:1] != "_"]
        if "__getattr__" in self.__dict__:  # PEP 562
            return self.__dict__["__getattr__"](name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name,
                             obj=self)

    def __setattr__(self, name, value):
        if _is_own(self, name):
            super().__setattr__(name, value)
        else:
            self.__namespace__[name] = value

    def __delattr__(self, name):
        if _is_own(self, name):
            super().__delattr__(name)
            return
        try:
            del self.__namespace__[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}",
                                 name=name, obj=self) from None

    def __dir__(self):
        return sorted({*self.__dict__, *self.__namespace__.keys()})

    def __reduce__(self):
        from importlib import import_module

        return import_module, (self.__name__,)

    def __repr__(self):
        return f"<module {self.__name__!r} (shared by all interpreters)>"


def _is_own(module, name):
    return _is_dunder(name) or name in module.__dict__


# ---- finding it ----------------------------------------------------------------------------------

def _directory():
    from objtunnel._globals import process_global  # imports threading

    return process_global(_DIRECTORY, LockingDict)


def _look_up(name):
    """The shared module's LockingDict, or None. Makes no directory."""
    if any(entry.key == _DIRECTORY for entry in process_globals()):
        return _directory().get(name)
    return None


def _check_free(name):
    """ImportError if another module of that name is there or can be found."""
    from importlib.util import find_spec

    try:
        spec = find_spec(name)
        taken = spec is not None and not _is_ours(spec)
    except ValueError:  # it is there, and has no spec
        taken = True
    if taken:
        raise ImportError(f"there is another module {name!r}", name=name)


def _is_ours(spec):
    return isinstance(getattr(spec, "loader", None), Finder)


class Finder:
    """On sys.meta_path, as the last: finds shared modules that any interpreter has made."""

    def __init__(self, namespace=None):
        self._namespace = namespace

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        namespace = _look_up(name)
        return None if namespace is None else ModuleSpec(name, cls(namespace), origin="shared")

    def create_module(self, spec):
        module = SharedModule(spec.name)
        module.__dict__["__namespace__"] = self._namespace
        return module

    def exec_module(self, module):
        """Nothing to run."""


def install():
    """Once in each interpreter."""
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)
