"""Hand live Python object trees between interpreters that each have their own GIL.

    >>> from objtunnel import Interpreter, Tunnel
    >>> with Interpreter() as worker:
    ...     worker.call(sorted, [3, 1, 2])
    [1, 2, 3]

A tree that only the sender's tunnel can reach is moved, not copied and not pickled.
See README.md for what moves, what is copied and what is pickled.
"""

from _collections_abc import MutableMapping  # collections.abc, which os has loaded already

from objtunnel import _core, _modules, _processes
from objtunnel._classes import register_movable
from objtunnel._core import (
    Barrier,
    BoundedSemaphore,
    Box,
    Condition,
    Event,
    FrozenArray,
    FrozenBytes,
    FrozenDict,
    FrozenList,
    FrozenSet,
    FrozenTuple,
    Gil,
    GlobalLock,
    HeapInfo,
    Held,
    LiveObject,
    Lock,
    LockingDict,
    LockingList,
    ProcessGlobal,
    Receipt,
    RLock,
    Semaphore,
    SharedArray,
    SharedFile,
    Tunnel,
    current_gil,
    explain,
    freeze,
    heap_info,
    live_objects,
    process_globals,
    select,
)
from objtunnel._errors import (
    InterpreterClosed,
    LockAbandonedError,
    RemoteError,
    SharedReferenceError,
    TunnelClosed,
    TunnelEmpty,
    TunnelFull,
    TunnelSendTimeout,
    TunnelTimeout,
)
from objtunnel._modules import module_namespace, shared_module

_FREE_THREADED = hasattr(_core, "rebias")  # what is offered there: docs/free-threading.md

if not _FREE_THREADED:
    _modules.install()
_processes.install()

MutableMapping.register(LockingDict)
del MutableMapping

TYPE_CHECKING = False  # type checkers know the name; typing itself is slow to import
if TYPE_CHECKING:
    from objtunnel._behaviours import BehaviourStatistics, behaviour_statistics, pin, pump, pump_fileno, start, wait, when
    from objtunnel._dump import dump, register_dump, unregister_dump
    from objtunnel._explain import Explanation, Finding
    from objtunnel._executor import BrokenInterpreterPool, InterpreterPoolExecutor
    from objtunnel._free_threaded import Owner, owner, rebias
    from objtunnel._frozen import frozen_default
    from objtunnel._globals import process_global
    from objtunnel._interpreter import Interpreter
    from objtunnel._pipeline import pipeline
    from objtunnel._thread_pool import ThreadPoolExecutor
    from objtunnel._trace import trace_copies

__version__ = "0.2.0"

__all__ = [
    "Barrier", "BehaviourStatistics", "BoundedSemaphore", "Box", "BrokenInterpreterPool", "Condition", "Event", "Explanation", "Finding", "FrozenArray", "FrozenBytes", "FrozenDict",
    "FrozenList", "FrozenSet", "FrozenTuple", "Gil", "GlobalLock", "HeapInfo", "Held",
    "Interpreter", "InterpreterClosed", "InterpreterPoolExecutor", "LiveObject", "Lock", "LockAbandonedError", "LockingDict",
    "LockingList", "Owner", "ProcessGlobal", "RLock", "Receipt", "RemoteError", "Semaphore", "SharedArray",
    "SharedFile", "SharedReferenceError", "ThreadPoolExecutor", "Tunnel", "TunnelClosed", "TunnelEmpty", "TunnelFull",
    "TunnelSendTimeout", "TunnelTimeout", "behaviour_statistics", "current_gil", "dump", "explain", "freeze", "frozen_default", "get_include", "heap_info", "live_objects", "module_namespace",
    "owner", "pin", "pipeline", "process_global", "process_globals", "pump", "pump_fileno", "rebias", "register_dump", "register_movable", "select", "shared_module", "start", "trace_copies", "unregister_dump",
    "wait", "when",
]


def get_include() -> str:
    """The folder with objtunnel.h and objtunnel_global.h, for compilers of extension modules."""
    import os.path
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# Imported when they are wanted: a worker needs neither Interpreter nor concurrent.futures, and starts
# in half the time without. Name -> module.
_LAZY = {
    "BehaviourStatistics": "_behaviours",
    "BrokenInterpreterPool": "_executor",
    "Explanation": "_explain",
    "Finding": "_explain",
    "Interpreter": "_interpreter",
    "InterpreterPoolExecutor": "_executor",
    "Owner": "_free_threaded",
    "ThreadPoolExecutor": "_thread_pool",
    "behaviour_statistics": "_behaviours",
    "dump": "_dump",
    "frozen_default": "_frozen",
    "owner": "_free_threaded",
    "pin": "_behaviours",
    "pipeline": "_pipeline",
    "process_global": "_globals",
    "pump": "_behaviours",
    "pump_fileno": "_behaviours",
    "rebias": "_free_threaded",
    "register_dump": "_dump",
    "start": "_behaviours",
    "trace_copies": "_trace",
    "unregister_dump": "_dump",
    "wait": "_behaviours",
    "when": "_behaviours",
}


if _FREE_THREADED:
    from objtunnel import _absent
    globals().update(_absent.classes(_LAZY))


def _import_lazily(name):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module
    globals()[name] = value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    return value


from os import environ as _environ  # loaded already

if _environ.get("OBJTUNNEL_TRACE_COPIES", "0") not in ("", "0"):
    from objtunnel import _trace

    _trace.start_by_environment()

# Last: what the import itself has freed is among them.
_core._take_old_blocks()

if not TYPE_CHECKING:  # or every name would be there for type checkers
    __getattr__ = _import_lazily
