"""Handles belong to one process: pickling one for another process raises TypeError at once.

Otherwise it would be the other process that cannot find the object, and who is to answer then has
nothing to answer with. multiprocessing, and what is built on it, pickles with ForkingPickler, which
asks for reducers of its own; pickling by pickle itself, copy and concurrent.interpreters stay as they
are. Importing multiprocessing takes longer than importing objtunnel, so the reducers are registered
when somebody else imports it.
"""

import sys

from objtunnel import _core

_REDUCTION = "multiprocessing.reduction"


def _refuse(handle):
    name = type(handle).__name__
    raise TypeError(f"a {name} belongs to one process and cannot be pickled for another one: send what "
                    f"it holds, or use objtunnel.Interpreter instead of a process")


def _handle_types():
    values = (_core.Gil, _core.Receipt, _core.HeapInfo)  # numbers, true as such anywhere
    return [t for t in vars(_core).values()
            if isinstance(t, type) and "__reduce__" in vars(t) and t not in values]


def _register(reduction):
    for t in _handle_types():
        reduction.ForkingPickler.register(t, _refuse)


class _Loader:
    """Loads the module as its own loader does, and registers then."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if Finder in sys.meta_path:
            sys.meta_path.remove(Finder)
        _register(module)


class Finder:
    """On sys.meta_path, as the first, until the module was imported."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != _REDUCTION:
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if finder is not Finder else None
            if spec is not None:
                spec.loader = _Loader(spec.loader)
                return spec
        return None


def install():
    """Once in each interpreter."""
    reduction = sys.modules.get(_REDUCTION)
    if hasattr(reduction, "ForkingPickler"):
        _register(reduction)
    elif Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)
