"""What goes with frozen trees and needs no C: dict's views; and JSON of what interpreters share."""

from collections.abc import ItemsView, KeysView, ValuesView

from objtunnel._core import (FrozenArray, FrozenDict, FrozenList, FrozenSet, FrozenTuple, LockingDict, LockingList,
                             SharedArray)


class Keys(KeysView):
    __slots__ = ()

    def __iter__(self):
        return iter(self._mapping)


class Values(ValuesView):
    __slots__ = ()

    def __iter__(self):
        return self._mapping._iter_values()


class Items(ItemsView):
    __slots__ = ()

    def __iter__(self):
        return self._mapping._iter_items()


def frozen_default(o):
    """For json.dumps(x, default=frozen_default): a list for a FrozenList, FrozenTuple, FrozenArray,
    LockingList or SharedArray, a dict for a FrozenDict or LockingDict. Raises TypeError for anything else, as JSON has nothing for it.

        >>> json.dumps(freeze({"a": [1, 2]}), default=frozen_default)
        '{"a": [1, 2]}'
    """
    if isinstance(o, (FrozenDict, LockingDict)):
        return dict(o.items())
    if isinstance(o, (FrozenList, FrozenTuple, LockingList)):
        return list(o)
    if isinstance(o, (FrozenArray, SharedArray)):
        return o.tolist()
    thing = "set" if isinstance(o, FrozenSet) else type(o).__name__
    raise TypeError(f"Object of type {thing} is not JSON serializable")
