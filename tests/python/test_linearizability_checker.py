"""The checker itself: histories written by hand, good and bad, and all orders of small ones."""

from itertools import permutations

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from linearizability import (
    DICT,
    KEYED,
    LIST,
    NotLinearizable,
    Operation,
    SequentialDict,
    by_key,
    check_by_key,
    linearize,
    perform,
    verify,
)

KEY_ERROR = ("raised", "KeyError")


def history(*lines):
    """Operations from (invoked, returned, name, args, outcome): a value, or ("raised", name)."""
    return [Operation(i, name, args,
                      outcome if isinstance(outcome, tuple) and outcome[:1] == ("raised",)
                      else ("returned", outcome), invoked, returned)
            for i, (invoked, returned, name, args, outcome) in enumerate(lines)]


GOOD = {
    "one after the other": history(
        (0, 1, "setitem", ("a", 1), None), (2, 3, "getitem", ("a",), 1),
        (4, 5, "delitem", ("a",), None), (6, 7, "getitem", ("a",), KEY_ERROR)),
    "a read beside a write sees the new value": history(
        (0, 9, "setitem", ("a", 1), None), (2, 3, "getitem", ("a",), 1)),
    "a read beside a write sees the old value": history(
        (0, 9, "setitem", ("a", 1), None), (2, 3, "getitem", ("a",), KEY_ERROR)),
    "old, then new, beside one write": history(
        (0, 9, "setitem", ("a", 1), None), (1, 2, "contains", ("a",), False),
        (3, 4, "contains", ("a",), True)),
    "the later invoked of two writes is the earlier": history(
        (0, 9, "setitem", ("a", 1), None), (1, 8, "setitem", ("a", 2), None),
        (10, 11, "getitem", ("a",), 1)),
    "the first choice of the search is wrong": history(
        (0, 9, "pop", ("a", None), None), (1, 10, "setitem", ("a", 1), None),
        (2, 11, "pop", ("a", None), 1), (12, 13, "contains", ("a",), False)),
    "two adds at once": history(
        (0, 9, "add", ("a", 1), 2), (1, 8, "add", ("a", 1), 1)),
    "one of two exchanges": history(
        (0, 1, "setitem", ("a", 1), None), (2, 9, "compare_exchange", ("a", 1, 2), True),
        (3, 8, "compare_exchange", ("a", 1, 3), False), (10, 11, "getitem", ("a",), 2)),
    "swaps hand values on": history(
        (0, 9, "swap", ("a", 1), 2), (1, 8, "swap", ("a", 2, 0), 0), (10, 11, "get", ("a",), 1)),
    "moments that are equal are not in order": history(
        (0, 1, "setitem", ("a", 1), None), (1, 2, "getitem", ("a",), KEY_ERROR)),
    "popitem takes any": history(
        (0, 1, "setitem", ("a", 1), None), (2, 3, "setitem", ("b", 2), None),
        (4, 5, "popitem", (), ("a", 1)), (6, 7, "popitem", (), ("b", 2)),
        (8, 9, "popitem", (), KEY_ERROR)),
    "clear beside a write": history(
        (0, 9, "setitem", ("a", 1), None), (1, 8, "clear", (), None),
        (10, 11, "items", (), (("a", 1),))),
    "nothing at all": [],
}

BAD = {
    "a write is not seen": history(
        (0, 1, "setitem", ("a", 1), None), (2, 3, "getitem", ("a",), KEY_ERROR)),
    "a write is undone": history(
        (0, 9, "setitem", ("a", 1), None), (1, 2, "contains", ("a",), True),
        (3, 4, "contains", ("a",), False)),
    "a value out of nowhere": history(
        (0, 1, "setitem", ("a", 1), None), (2, 3, "getitem", ("a",), 2)),
    "readers see two writes in different orders": history(
        (0, 9, "setitem", ("a", 1), None), (0, 9, "setitem", ("a", 2), None),
        (1, 2, "getitem", ("a",), 1), (3, 4, "getitem", ("a",), 2),
        (5, 6, "getitem", ("a",), 1)),
    "an add is lost": history(
        (0, 9, "add", ("a", 1), 1), (1, 8, "add", ("a", 1), 1)),
    "a key is popped twice": history(
        (0, 1, "setitem", ("a", 1), None), (2, 9, "pop", ("a",), 1), (3, 8, "pop", ("a",), 1)),
    "two setdefaults that both set": history(
        (0, 9, "setdefault", ("a", 1), 1), (1, 8, "setdefault", ("a", 2), 2)),
    "two exchanges of one value": history(
        (0, 1, "setitem", ("a", 1), None), (2, 9, "compare_exchange", ("a", 1, 2), True),
        (3, 8, "compare_exchange", ("a", 1, 3), True)),
    "a refused exchange that should not have been": history(
        (0, 1, "setitem", ("a", 1), None), (2, 3, "compare_exchange", ("a", 1, 2), False)),
    "two deletes": history(
        (0, 1, "setitem", ("a", 1), None), (2, 9, "delitem", ("a",), None),
        (3, 8, "delitem", ("a",), None)),
    "popitem raises, and there was something": history(
        (0, 1, "setitem", ("a", 1), None), (2, 3, "popitem", (), KEY_ERROR)),
    "popitem twice the same": history(
        (0, 1, "setitem", ("a", 1), None), (2, 9, "popitem", (), ("a", 1)),
        (3, 8, "popitem", (), ("a", 1))),
    "a snapshot misses what was there": history(
        (0, 1, "setitem", ("a", 1), None), (2, 3, "items", (), ())),
    "something outlives clear": history(
        (0, 1, "setitem", ("a", 1), None), (2, 3, "clear", (), None),
        (4, 5, "contains", ("a",), True)),
}

# Good key by key, and not as a whole: the price of cutting up.
BAD_AS_A_WHOLE = {
    "a snapshot has the second of two writes only": history(
        (0, 9, "items", (), (("b", 2),)), (1, 2, "setitem", ("a", 1), None),
        (3, 4, "setitem", ("b", 2), None)),
    "popitem finds nothing while there is always something": history(
        (0, 1, "setitem", ("a", 1), None), (2, 9, "popitem", (), KEY_ERROR),
        (3, 4, "setitem", ("b", 2), None), (5, 6, "delitem", ("a",), None)),
    "clear takes the second of two writes only": history(
        (0, 9, "clear", (), None), (1, 2, "setitem", ("a", 1), None),
        (3, 4, "setitem", ("b", 2), None), (10, 11, "items", (), (("a", 1),))),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_history(name):
    assert verify(linearize(GOOD[name], DICT), GOOD[name], DICT)
    check_by_key(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_bad_history(name):
    with pytest.raises(NotLinearizable, match="no order explains"):
        linearize(BAD[name], DICT)
    with pytest.raises(NotLinearizable):
        check_by_key(BAD[name])


@pytest.mark.parametrize("name", BAD_AS_A_WHOLE)
def test_parts_say_less_than_the_whole(name):
    with pytest.raises(NotLinearizable):
        linearize(BAD_AS_A_WHOLE[name], DICT)
    check_by_key(BAD_AS_A_WHOLE[name])


def test_len_needs_the_whole():
    sizes = history((0, 1, "setitem", ("a", 1), None), (2, 3, "len", (), 1))
    linearize(sizes, DICT)
    with pytest.raises(ValueError, match="len"):
        by_key(sizes)
    with pytest.raises(NotLinearizable):
        linearize(sizes + history((4, 5, "len", (), 0)), DICT)


def test_list():
    appends = history((0, 9, "append", (1,), None), (1, 8, "append", (2,), None),
                      (10, 11, "all", (), (2, 1)), (12, 20, "pop", (), 1),
                      (13, 19, "index", (1,), ("raised", "ValueError")),
                      (21, 22, "getitem", (1,), ("raised", "IndexError")))
    assert verify(linearize(appends, LIST), appends, LIST)
    twice = history((0, 1, "append", (1,), None), (2, 9, "pop", (), 1), (3, 8, "pop", (), 1))
    with pytest.raises(NotLinearizable):
        linearize(twice, LIST)


def test_the_error_names_what_fits_nowhere():
    with pytest.raises(NotLinearizable) as caught:
        linearize(BAD["a write is not seen"], DICT)
    assert [op.name for op in caught.value.explained] == ["setitem"]
    assert str(caught.value).endswith("process 1: getitem('a',) raised 'KeyError'")


def test_long_history_with_many_at_once():
    """Without remembering what was tried this takes about 8 ** 50 steps."""
    rounds = []
    for r in range(50):
        rounds += [(10 * r, 10 * r + 9, "add", ("a", 0), 0) for _ in range(8)]
    linearize(history(*rounds), DICT)
    with pytest.raises(NotLinearizable):
        linearize(history(*rounds, (1000, 1001, "getitem", ("a",), 1)), DICT)


# ---- random ones, against all orders ---------------------------------------------------------------

ARGUMENTS = {"getitem": (), "delitem": (), "contains": (), "get": (), "pop": (), "setitem": (1,),
             "setdefault": (2,), "add": (1,), "swap": (2,), "compare_exchange": (1, 2)}


@st.composite
def small_histories(draw, around):
    """Up to five operations that were done one after the other, at 10, 20, ... around: whether the
    intervals that they are given lie around these moments, or anywhere."""
    subject, ops = SequentialDict(), []
    for process in range(draw(st.integers(1, 5))):
        name = draw(st.sampled_from(sorted(KEYED)))
        args = (draw(st.sampled_from("ab")), *ARGUMENTS[name])
        outcome = perform(KEYED, subject, name, args)
        if around:
            moment = 10 * (process + 1)
            invoked = moment - draw(st.integers(0, 30))
            returned = moment + draw(st.integers(0, 30))
        else:
            invoked = draw(st.integers(0, 40))
            returned = invoked + draw(st.integers(1, 30))
        ops.append(Operation(process, name, args, outcome, invoked, returned))
    return draw(st.permutations(ops))


@given(small_histories(around=True))
def test_accepts_what_really_happened(ops):
    assert verify(linearize(ops, DICT), ops, DICT)
    check_by_key(ops)


@given(small_histories(around=False))
def test_agrees_with_trying_all_orders(ops):
    exists = any(verify(order, ops, DICT) for order in permutations(ops))
    event("good" if exists else "bad")
    if exists:
        assert verify(linearize(ops, DICT), ops, DICT)
        check_by_key(ops)
    else:
        with pytest.raises(NotLinearizable):
            linearize(ops, DICT)
        with pytest.raises(NotLinearizable):
            check_by_key(ops)
