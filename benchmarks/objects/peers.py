"""Dictionaries of others that several threads or processes may use at once."""

import importlib
import multiprocessing

from loops import Statement

# What `make bench-objects` gets from PyPI. For threads of one interpreter.
_MODULES = {"cereggii.AtomicDict": ("cereggii", "AtomicDict"),
            "ft_utils.ConcurrentDict": ("ft_utils.concurrency", "ConcurrentDict")}


def find():
    """({name: class}, {name: why it is not to be had})."""
    found, missing = {}, {}
    for name, (module, attribute) in _MODULES.items():
        try:
            found[name] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            missing[name] = str(error)
    return found, missing


FOUND, MISSING = find()


class ManagerStatement(Statement):
    """A statement on `d`, a dict in a process of its own, reached by pickles through a socket."""

    def __init__(self, statement, content, **names):
        self._manager = multiprocessing.get_context("spawn").Manager()
        super().__init__(statement, d=self._manager.dict(content), **names)

    def close(self):
        self._manager.shutdown()
