"""Whose objects are: owner() and rebias(), which _core of free-threaded builds has.

On builds with a GIL an object has one count and no owner: rebias() has nothing to do there, and owner() nothing to tell.
"""

__all__ = ["Owner", "owner", "rebias"]

try:
    from objtunnel._core import Owner, owner, rebias
except ImportError:
    from collections import namedtuple

    Owner = namedtuple("Owner", ["thread", "is_mine", "local", "shared", "flags"], module="objtunnel")
    Owner.__doc__ = "Whose an object is, and how often it is referred to, on a free-threaded build."

    def owner(obj, /):
        """Which thread counts references to obj without atomics: on free-threaded builds only, else NotImplementedError."""
        raise NotImplementedError("objects have owners on free-threaded builds of CPython only: this one has a GIL")

    def rebias(obj, /):
        """Make the calling thread the owner of obj and all that it leads to: 0 objects on this build, which has a GIL."""
        return 0
