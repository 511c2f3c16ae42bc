"""LockingDict against dict, by hypothesis."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from objtunnel import LockingDict

some_keys = st.one_of(st.integers(-3, 3), st.sampled_from([0.0, -0.0, 1.0, True, False, None, 2.0**64, 2**64]),
                      st.sampled_from(["", "a", "b", b"", b"a", (), (1,), (1.0,), ("a", 0)]))
some_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
                           lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=2), v, max_size=3),
                           max_leaves=6)


class AgainstDict(RuleBasedStateMachine):
    @initialize(items=st.lists(st.tuples(some_keys, some_values), max_size=8))
    def start(self, items):
        self.d, self.model = LockingDict(items), dict(items)

    @rule(k=some_keys, v=some_values)
    def set(self, k, v):
        self.d[k] = v
        self.model[k] = v

    @rule(k=some_keys)
    def delete(self, k):
        self.same(lambda d: d.__delitem__(k))

    @rule(k=some_keys, v=some_values)
    def pop(self, k, v):
        self.same(lambda d: d.pop(k))
        self.same(lambda d: d.pop(k, v))

    @rule()
    def popitem(self):
        self.same(lambda d: d.popitem())

    @rule(k=some_keys, v=some_values)
    def setdefault(self, k, v):
        self.same(lambda d: d.setdefault(k, v))

    @rule(items=st.dictionaries(some_keys, some_values, max_size=4))
    def update(self, items):
        self.d.update(items)
        self.model.update(items)

    @rule(k=some_keys, n=st.integers() | st.floats(allow_nan=False, allow_infinity=False))
    def add(self, k, n):
        if type(self.model.get(k, 0)) in (int, float, bool) and abs(n) < 1e300 > abs(self.model.get(k, 0)):
            self.model[k] = self.model.get(k, 0) + n
            assert self.d.add(k, n) == self.model[k]
        else:
            before = self.d.get(k)
            try:
                self.d.add(k, n)
            except (TypeError, OverflowError):
                assert self.d.get(k) == before
            else:
                self.model[k] = self.d[k]

    @rule(k=some_keys, v=some_values)
    def swap(self, k, v):
        assert self.d.swap(k, v, "missing") == self.model.get(k, "missing")
        self.model[k] = v

    @rule(k=some_keys, v=some_values)
    def replace(self, k, v):
        if k in self.model:
            self.d.update_with(k, lambda old: [old, v])
            self.model[k] = [self.model[k], v]

    @rule(k=some_keys, v=some_values)
    def check_out(self, k, v):
        if isinstance(self.model.get(k), list):
            with self.d.checkout(k) as tree:
                tree.append(v)
            self.model[k].append(v)

    @rule(n=st.integers(0, 200))
    def many_come_and_go(self, n):
        for i in range(1000, 1000 + n):
            self.d[i] = i
        for i in range(1000, 1000 + n):
            assert self.d.pop(i) == i

    @rule()
    def clear(self):
        self.d.clear()
        self.model.clear()

    @rule()
    def copy(self):
        self.d = self.d.copy()

    def same(self, operation):
        results = []
        for d in (self.d, self.model):
            try:
                results.append(operation(d))
            except KeyError as e:
                results.append((KeyError, e.args))
        assert results[0] == results[1]
        assert repr(results[0]) == repr(results[1])

    @invariant()
    def is_the_same(self):
        if hasattr(self, "d"):
            assert len(self.d) == len(self.model) and repr(self.d) == f"LockingDict({self.model!r})"
            assert self.d == self.model and all(k in self.d for k in self.model)


AgainstDict.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAgainstDict = AgainstDict.TestCase


@given(st.recursive(st.integers() | st.floats() | st.text() | st.binary() | st.none() | st.booleans(),
                    lambda k: st.tuples(k) | st.tuples(k, k), max_leaves=8))
def test_any_key_comes_back(key):
    [back] = LockingDict({key: 1})
    assert repr(back) == repr(key)
