"""What goes with frozen trees and needs no C: dict's views, and JSON."""

from collections.abc import ItemsView, KeysView, ValuesView

from objtunnel._core import FrozenArray, FrozenDict, FrozenList, FrozenSet, FrozenTuple


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
    """For json.dumps(frozen, default=frozen_default): a list for a FrozenList, FrozenTuple or
    FrozenArray, a dict for a FrozenDict. Raises TypeError for anything else, as JSON has nothing for it.

        >>> json.dumps(freeze({"a": [1, 2]}), default=frozen_default)
        '{"a": [1, 2]}'
    """
    if isinstance(o, FrozenDict):
        return dict(o.items())
    if isinstance(o, (FrozenList, FrozenTuple)):
        return list(o)
    if isinstance(o, FrozenArray):
        return o.tolist()
    thing = "set" if isinstance(o, FrozenSet) else type(o).__name__
    raise TypeError(f"Object of type {thing} is not JSON serializable")
