"""process_global(): a value made once in the process, a copy for each interpreter that asks."""

import threading

from objtunnel._core import _process_value

_values = {}  # key -> this interpreter's copy
_lock = threading.Lock()  # guards _values; never held while anything runs or waits


def process_global(key, factory, /):
    """Return the process's value for key; the first interpreter to ask makes it by factory().

    key: str. Others, in any interpreter, wait for a factory that runs; if it raises, that is its
    caller's, and the next one tries. An interpreter gets a copy of its own, by the rules of
    Tunnel.send, and the same one each time. So change nothing in it: nobody else would see that.
    What is a handle on something of the process, a Tunnel or a GlobalLock, is that same thing
    everywhere. The value is dropped when the last interpreter that asked for it has ended.

    Raises what factory() raises, TypeError for what cannot be sent, and RuntimeError for a factory
    that asks for its own key. What is pickled in its place is pickled again for each interpreter; if
    that fails the one who asked gets the exception, and the value stays for others.

    >>> process_global("limits", lambda: {"rows": 1000})
    {'rows': 1000}
    """
    with _lock:
        if key in _values:
            return _values[key]

    value = _process_value(key, factory)
    with _lock:
        return _values.setdefault(key, value)  # another thread may have been first
