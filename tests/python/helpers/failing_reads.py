"""Objects whose copying fails, for test_failed_reads; loads in other interpreters, too."""

import gc

from objtunnel import LockingDict, register_movable

stash = []


@register_movable
class Number(int):
    def __reduce_ex__(self, protocol):
        raise TypeError("not picklable")


@register_movable
class Stashing(int):
    """Keeps a reference to itself when somebody tries to copy it."""

    def __reduce_ex__(self, protocol):
        stash.append(self)
        raise TypeError("not picklable")


@register_movable
class Temperamental(int):
    angry = False

    def __reduce_ex__(self, protocol):
        if Temperamental.angry:
            raise ValueError("angry")
        return (Temperamental, (int(self),))


def fail_to_read(container):
    key = "k" if hasattr(container, "keys") else 0
    try:
        container[key]
    except TypeError:
        return
    raise AssertionError("was read")


def pop_type(container):
    tree = container.pop("k") if hasattr(container, "keys") else container.pop()
    return type(tree[1]).__name__


def store_something():
    LockingDict(a=1.5)


def watched():
    stash.clear()
    gc.collect()
    return sum(type(o).__name__ == "Stashing" for o in gc.get_objects())
