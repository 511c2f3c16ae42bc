"""The containers of recorded histories: what is done to them, at random, and what they should be like.

Main invariant: what a round's plan concerns (keys, or a container), no other round touches.
Threading: everything here is imported by each interpreter for itself.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

from linearizability import (
    DICT,
    KEYED,
    LIST,
    LIST_OPERATIONS,
    WHOLE,
    Model,
    SequentialDict,
    check_by_key,
    linearize,
)
from objtunnel import Lock, LockingDict, LockingList, SharedArray

# ---- random operations: (name, arguments) --------------------------------------------------------

def _one_key(rng, key):
    """An operation on one key. Values are few, so that exchanges find what they expect."""
    name = rng.choice(tuple(KEYED))
    value = rng.randrange(4)
    return name, {
        "setitem": (key, value), "setdefault": (key, value), "add": (key, 1),
        "compare_exchange": (key, value, rng.randrange(4)), "get": (key, value),
        "swap": (key, value, None) if value > 1 else (key, value),
        "pop": (key, value) if value > 1 else (key,),
    }.get(name, (key,))


def _guarded_plan(rng, number, length):
    return [_one_key(rng, 2 * number + rng.randrange(2)) for _ in range(length)]


KINDS = (str, int, float, "{} of the longer keys".format, lambda i: (i, "a"), lambda i: b"%d" % i)


def _keys(number):
    """Two keys of each round's own."""
    kind = KINDS[number % len(KINDS)]
    return [kind(2 * number), kind(2 * number + 1)]


def _dict_plan(rng, number, length):
    keys = _keys(number)
    return [_one_key(rng, rng.choice(keys)) for _ in range(length)]


def _mixed_plan(rng, _number, length):
    """With operations on all of a dict of the round's own."""
    return [(rng.choice(("popitem", "clear", "items")), ()) if rng.random() < 0.3 else
            _one_key(rng, rng.choice("ab")) for _ in range(length)]


def _len_plan(rng, _number, length):
    return [("len", ()) if rng.random() < 0.3 else _one_key(rng, rng.choice("abc"))
            for _ in range(length)]


def _trees_plan(rng, number, length):
    return [(name, (f"{number}", (rng.randrange(4),)) if name in ("set", "extend", "swap") else
             (f"{number}",)) for name in rng.choices(tuple(TREES), k=length)]


def _list_plan(rng, _number, length):
    plan = []
    for name in rng.choices(tuple(LIST_OPERATIONS), k=length):
        value = rng.randrange(4)
        plan.append((name, {
            "append": (value,), "insert": (value, value), "extend": ((value, 3 - value),),
            "pop": (0,) if value > 1 else (), "getitem": (value - 1,), "setitem": (value - 1, value),
        }.get(name, (value,) if name in ("index", "count", "contains", "remove") else ())))
    return plan


# ---- what is recorded ----------------------------------------------------------------------------

class GuardedDict:
    """A dict from small ints to small ints, made of shared numbers, behind a Lock: what the recorder
    itself is tested with. between: a function to be called between reading and writing."""

    ABSENT = -1

    def __init__(self, size, lock=None):
        self.lock = lock
        self.numbers = SharedArray("q", source=[self.ABSENT] * size)

    def do(self, name, key, *args, between=None):
        with self.lock or nullcontext():
            return self._do(name, key, args, between)

    def _do(self, name, key, args, between):
        found = self.numbers[key]
        one = SequentialDict({} if found == self.ABSENT else {key: found})
        if between is not None:
            between()
        try:
            return KEYED[name](one, key, *args)
        finally:
            self.numbers[key] = one.get(key, self.ABSENT)


def _guarded_operation(name):
    return lambda d, *args: d.do(name, *args)


def _forget(d, *args):
    d.do("swap", *args)


def _fail(_d, key, _n):
    raise TypeError(f"no add of {key}")


GUARDED = {name: _guarded_operation(name) for name in KEYED}
FORGETFUL = {**GUARDED, "swap": _forget}
FAILING = {**GUARDED, "add": _fail}


# A LockingDict whose values are trees: lists, that travel as tuples in the history.

def _extend(d, key, values):
    with d.checkout(key) as tree:
        tree.extend(values)
        return tuple(tree)


def _extend_by_function(d, key):
    d.update_with(key, lambda tree: [*tree, 9], [])


TREES = {
    "get": lambda d, k: tuple(d.get(k, ())),
    "set": lambda d, k, vs: d.__setitem__(k, [*vs]),
    "pop": lambda d, k: tuple(d.pop(k)),
    "swap": lambda d, k, vs: tuple(d.swap(k, [*vs], ())),
    "extend": _extend,
    "update_with": _extend_by_function,
    "setdefault_with": lambda d, k: tuple(d.setdefault_with(k, lambda: [7])),
}


class SequentialTrees(dict):
    """A plain dict with the operations of a LockingDict that it lacks."""

    def swap(self, key, value, default):
        before = self.get(key, default)
        self[key] = value
        return before

    def checkout(self, key):
        return nullcontext(self[key])

    def update_with(self, key, fn, default):
        self[key] = fn(self.get(key, default))

    def setdefault_with(self, key, fn):
        return self[key] if key in self else self.setdefault(key, fn())


TREE_MODEL = Model(frozenset(), TREES,
                   lambda state: SequentialTrees((k, list(v)) for k, v in state),
                   lambda d: frozenset((k, tuple(v)) for k, v in d.items()))


class Subject(NamedTuple):
    make: Callable  # (rounds): the containers, of which round r uses that number r modulo their count
    operations: dict  # {name: function}
    plan: Callable  # (rng, number of the round, length): [(name, arguments)]
    check: Callable  # (history): raises NotLinearizable


def make_guarded(rounds):
    return [GuardedDict(2 * rounds, Lock())]


def make_dict(_rounds):
    return [LockingDict()]


def make_dicts(rounds):
    return [LockingDict() for _ in range(rounds)]


def make_lists(rounds):
    return [LockingList() for _ in range(rounds)]


def check_as_a_whole(history):
    linearize(history, DICT)


def check_list(history):
    linearize(history, LIST)


def check_trees(history):
    linearize(history, TREE_MODEL)


SUBJECTS = {
    "guarded": Subject(make_guarded, GUARDED, _guarded_plan, check_by_key),
    "forgetful": Subject(make_guarded, FORGETFUL, _guarded_plan, check_by_key),
    "failing": Subject(make_guarded, FAILING, _guarded_plan, check_by_key),
    "dict": Subject(make_dict, KEYED, _dict_plan, check_by_key),
    "dict_whole": Subject(make_dicts, {**KEYED, **WHOLE}, _mixed_plan, check_by_key),
    "dict_len": Subject(make_dicts, {**KEYED, **WHOLE}, _len_plan, check_as_a_whole),
    "list": Subject(make_lists, LIST_OPERATIONS, _list_plan, check_list),
    "dict_trees": Subject(make_dict, TREES, _trees_plan, check_trees),
}
