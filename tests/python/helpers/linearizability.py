"""Is a recorded concurrent history linearizable? Wing and Gong's search with Lowe's memoisation.

Each operation of a history has a moment at which it was invoked and one at which it had returned.
The history is linearizable if there is an order of all operations, which puts none before one that
had returned before it was invoked, and in which a sequential object (the model) answers each of
them as it was answered.

The search takes any operation that may come first of those left, asks the model, and goes on from
there; a set of done operations with the model's state is tried once (Lowe 2017). A dict's
operations on one key say nothing of the others, so a history may be cut up by keys, and is
linearizable if all parts are (P-compositionality: Horn and Kroening 2015). Histories are complete:
who records one waits until all has returned.

Main invariant: linearize() returns an order that verify() accepts, or raises.
Threading: none; histories are checked after they have been recorded.
"""

import math
from typing import NamedTuple


class Operation(NamedTuple):
    """outcome: ("returned", value) or ("raised", name of the exception's class).

    Moments are numbers of any clock that all processes share; of equal ones neither is earlier.
    """

    process: int
    name: str
    args: tuple
    outcome: tuple
    invoked: float
    returned: float

    def __str__(self):
        how, what = self.outcome
        return (f"[{self.invoked} .. {self.returned}] process {self.process}: "
                f"{self.name}{self.args!r} {how} {what!r}")


class NotLinearizable(AssertionError):
    """No order explains the history. explained: the longest that explains a part of it."""

    def __init__(self, history, explained):
        left = [op for op in history if op not in explained]
        super().__init__("\n".join(["no order explains this history; the longest that explains a "
                                    "part of it:", *map(str, explained), "but then none of:",
                                    *map(str, left)]))
        self.explained = explained


def linearize(history, model):
    """The operations in an order that explains them; NotLinearizable if there is none."""
    ops = sorted(history, key=lambda op: op.invoked)
    seen, order, longest = set(), [], []
    frames = [(0, _next_steps(ops, 0, model.initial, model))]
    while len(order) < len(ops):
        if not frames:
            raise NotLinearizable(ops, longest)
        done, steps = frames[-1]
        for i, state in steps:
            config = (done | 1 << i, state)
            if config not in seen:
                seen.add(config)
                order.append(ops[i])
                if len(order) > len(longest):
                    longest = order.copy()
                frames.append((config[0], _next_steps(ops, *config, model)))
                break
        else:
            frames.pop()
            if order:
                order.pop()
    return order


def _next_steps(ops, done, state, model):
    """(i, state after it) for each operation that may come next; ops by their invocation."""
    earliest_return = math.inf  # of those not done; who precedes ops[i] was invoked earlier, too
    first = (~done & (done + 1)).bit_length() - 1
    for i in range(first, len(ops)):
        if done >> i & 1:
            continue
        if ops[i].invoked > earliest_return:
            return
        earliest_return = min(earliest_return, ops[i].returned)
        after = model.step(state, ops[i])
        if after is not None:
            yield i, after


def verify(order, history, model):
    """Whether an order is one that linearize() may return; a second opinion, for tests."""
    state = model.initial
    for n, op in enumerate(order):
        if any(later.returned < op.invoked for later in order[n:]):
            return False
        state = model.step(state, op)
        if state is None:
            return False
    return sorted(order, key=repr) == sorted(history, key=repr)


# ---- models --------------------------------------------------------------------------------------

def perform(operations, subject, name, args):
    """Do an operation; its outcome. Only what a container may raise by its contract is an outcome."""
    try:
        return "returned", operations[name](subject, *args)
    except (KeyError, IndexError, ValueError) as error:
        return "raised", type(error).__name__


class Model:
    """The sequential object: a Python object that does the same operations.

    thaw(state) makes it, freeze(it) is its state, hashable; choices: {name: function} of
    operations that may answer in several ways: function(object, outcome) says whether it may
    answer so, and changes it.
    """

    def __init__(self, initial, operations, thaw, freeze, choices=None):
        self.initial = initial
        self._operations, self._thaw, self._freeze = operations, thaw, freeze
        self._choices = choices or {}

    def step(self, state, op):
        """The state after op, None if it cannot have had that outcome in this state."""
        subject = self._thaw(state)
        if op.name in self._choices:
            possible = self._choices[op.name](subject, op.outcome)
        else:
            possible = perform(self._operations, subject, op.name, op.args) == op.outcome
        return self._freeze(subject) if possible else None


class SequentialDict(dict):
    """dict, with what LockingDict has beside its interface."""

    def add(self, key, n):
        self[key] = self.get(key, 0) + n
        return self[key]

    def swap(self, key, value, *default):
        before = self.get(key, *default) if default else self[key]
        self[key] = value
        return before

    def compare_exchange(self, key, expected, value):
        if key not in self or self[key] != expected:
            return False
        self[key] = value
        return True


def _popped(subject, outcome):
    if outcome == ("raised", "KeyError"):
        return not subject
    key, value = outcome[1]
    return key in subject and subject.pop(key) == value


KEYED = {  # the operations on one key, which is their first argument
    "getitem": lambda d, k: d[k],
    "setitem": lambda d, k, v: d.__setitem__(k, v),
    "delitem": lambda d, k: d.__delitem__(k),
    "contains": lambda d, k: k in d,
    "get": lambda d, k, default=None: d.get(k, default),
    "setdefault": lambda d, k, v: d.setdefault(k, v),
    "pop": lambda d, k, *default: d.pop(k, *default),
    "add": lambda d, k, n: d.add(k, n),
    "swap": lambda d, k, v, *default: d.swap(k, v, *default),
    "compare_exchange": lambda d, k, old, new: d.compare_exchange(k, old, new),
}
WHOLE = {  # those on all of it
    "popitem": lambda d: d.popitem(),
    "clear": lambda d: d.clear(),
    "items": lambda d: tuple(sorted(d.items())),
    "len": lambda d: len(d),
}
_OF_PARTS = {  # what by_key() makes of those; no names of methods
    "cleared": lambda d, k: (d.pop(k, None), None)[1],
}

DICT = Model(frozenset(), {**KEYED, **WHOLE, **_OF_PARTS}, SequentialDict,
             lambda d: frozenset(d.items()), {"popitem": _popped})

LIST_OPERATIONS = {
    "append": lambda x, v: x.append(v),
    "insert": lambda x, i, v: x.insert(i, v),
    "extend": lambda x, vs: x.extend(vs),
    "pop": lambda x, *i: x.pop(*i),
    "getitem": lambda x, i: x[i],
    "setitem": lambda x, i, v: x.__setitem__(i, v),
    "index": lambda x, v: x.index(v),
    "count": lambda x, v: x.count(v),
    "contains": lambda x, v: v in x,
    "remove": lambda x, v: x.remove(v),
    "reverse": lambda x: x.reverse(),
    "sort": lambda x: x.sort(),
    "clear": lambda x: x.clear(),
    "all": lambda x: tuple(x[:]),
    "len": lambda x: len(x),
}
LIST = Model((), LIST_OPERATIONS, list, tuple)


# ---- parts ---------------------------------------------------------------------------------------

def by_key(history):
    """A dict's history cut into one for each key: {key: [operations on it]}.

    An operation on all of it becomes one on each key, as if it did its keys one after the other,
    each at a moment of its own between invocation and return. That is less than being atomic: a
    history whose parts are good may be bad as a whole. popitem() is a pop of what it returned; if
    there was nothing, each key was absent at some moment. len() says nothing of a key, and is refused:
    check a history with it as a whole.
    """
    keys = {key for op in history for key in _keys_of(op)}
    parts = {key: [] for key in keys}
    for op in history:
        if op.name in KEYED:
            parts[op.args[0]].append(op)
        elif op.name == "popitem" and op.outcome[0] == "returned":
            key, value = op.outcome[1]
            parts[key].append(op._replace(name="pop", args=(key,), outcome=("returned", value)))
        else:
            for key in keys:
                parts[key].append(_on_one_key(op, key))
    return parts


def _keys_of(op):
    if op.name in KEYED:
        return op.args[:1]
    if op.outcome[0] == "raised":
        return ()
    if op.name == "popitem":
        return op.outcome[1][:1]
    return [key for key, _ in op.outcome[1]] if op.name == "items" else ()


def _on_one_key(op, key):
    if op.name == "clear":
        return op._replace(name="cleared", args=(key,))
    absent = op._replace(name="contains", args=(key,), outcome=("returned", False))
    if op.name == "popitem":
        return absent
    if op.name == "items":
        found = dict(op.outcome[1])
        if key not in found:
            return absent
        return op._replace(name="getitem", args=(key,), outcome=("returned", found[key]))
    raise ValueError(f"{op.name} cannot be checked key by key")


def check_by_key(history):
    """NotLinearizable if a key's part of a dict's history is not linearizable."""
    for part in by_key(history).values():
        linearize(part, DICT)
