"""CPython's own tests of its containers, on containers that came through a tunnel: see
travelled.py. What differs, and why, is in DEVIATIONS; nothing else is left out but what CPython
itself skips.
"""

import functools
import gc
import unittest

import pytest

import travelled

pytestmark = pytest.mark.slow  # half a minute in all

SUITES = ("test_list", "test_tuple", "test_dict", "test_set", "test_array", "test_deque",
          "test_ordered_dict", "test_defaultdict", "test_userdict", "test_userlist")

# Tests that fail for what has travelled, and why that is right. One that passes is an error.
DEVIATIONS = {
    "test_tuple_TupleTest.test_constructors":
        "tuple(t) is t; but t is still referred to, so that a copy of it travels",
    "test_set_TestFrozenSet.test_constructor_identity":
        "frozenset(f) is f; but f is still referred to, so that a copy of it travels",
}


@pytest.fixture(autouse=True)
def no_leaked_tunnels():
    """Instead of conftest's, whose collections are too much for thousands of tests: these make no
    tunnels."""


@pytest.fixture(scope="module", autouse=True)
def journey():
    gc.collect()
    gc.freeze()  # these tests collect a lot; pytest's own objects need not be looked at each time
    with travelled.start() as under_way:
        try:
            yield under_way
        finally:
            travelled.stop()
            gc.unfreeze()
    print("".join(f"\n{kind}: {what} {n:,}" for (kind, what), n in
                  sorted(under_way.counts.items())))


@pytest.fixture(autouse=True)
def one_test(journey):
    journey.begin_test()


def find_cases(name):
    """The module's test classes as `module_Class`."""
    module = travelled.load(name)
    for key, cls in list(vars(module).items()):
        if isinstance(cls, type) and issubclass(cls, unittest.TestCase):
            yield f"{name}_{key}", expect_deviations(f"{name}_{key}", cls)


def expect_deviations(name, cls):
    tests = [key.rpartition(".")[2] for key in DEVIATIONS if key.rpartition(".")[0] == name]
    failing = {test: unittest.expectedFailure(copy_function(getattr(cls, test)))
               for test in tests}
    return type(cls.__name__, (cls,), failing) if failing else cls


def copy_function(f):
    """expectedFailure marks the function itself, which other classes share."""
    @functools.wraps(f)
    def test(self):
        f(self)
    return test


def add_suites():
    unavailable = []
    for name in SUITES:
        try:
            globals().update(find_cases(name))
        except ImportError as error:
            unavailable.append(str(error))
    return unavailable


UNAVAILABLE = add_suites()


def test_suites_are_there():
    if UNAVAILABLE:
        pytest.skip("; ".join(UNAVAILABLE))
    assert len(SUITES) <= sum(name.startswith("test_") for name in globals())


def test_what_is_made_travels(journey):
    before = journey.counts.copy()
    assert travelled.travel([1.5, "a"], "here") == [1.5, "a"]
    assert journey.counts - before == {("list", "full"): 1}
    o = object()
    assert travelled.travel({o: o}, "here") == {o: o}
    assert travelled.travel((o,), "here") == (o,)
    assert journey.counts - before == {("list", "full"): 1, ("dict", "empty"): 1,
                                       ("tuple", "stayed"): 1}
