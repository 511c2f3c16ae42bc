"""Hand live Python object trees between interpreters that each have their own GIL.

    >>> from objtunnel import Interpreter, Tunnel
    >>> with Interpreter() as worker:
    ...     worker.call(sorted, [3, 1, 2])
    [1, 2, 3]

A tree that only the sender's tunnel can reach is moved, not copied and not pickled.
See README.md for what moves, what is copied and what is pickled.
"""

from objtunnel._classes import register_movable
from objtunnel._core import Gil, HeapInfo, Receipt, Tunnel, current_gil, heap_info
from objtunnel._errors import (
    InterpreterClosed,
    RemoteError,
    SharedReferenceError,
    TunnelClosed,
    TunnelEmpty,
    TunnelFull,
)

TYPE_CHECKING = False  # type checkers know the name; typing itself is slow to import
if TYPE_CHECKING:
    from objtunnel._interpreter import Interpreter

__version__ = "0.1.0"

__all__ = [
    "Gil", "HeapInfo", "Interpreter", "InterpreterClosed", "Receipt", "RemoteError",
    "SharedReferenceError", "Tunnel", "TunnelClosed", "TunnelEmpty", "TunnelFull",
    "current_gil", "heap_info", "register_movable",
]


def __getattr__(name):
    """Interpreter, imported when it is wanted: a worker needs neither it nor concurrent.futures,
    and starts in half the time without."""
    if name == "Interpreter":
        from objtunnel._interpreter import Interpreter
        globals()[name] = Interpreter
        return Interpreter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
