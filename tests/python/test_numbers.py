"""Ints and floats that have several references: tunnel/numbers.c."""

import sys

import pytest

from objtunnel import SharedReferenceError, Tunnel


# CPython's free lists hold some from before our heap, which are copied.
OLDER = [[[], {}, i / 3, i + 10**6] for i in range(200)]


def numbers(n):
    """Floats, ints of one digit and of several."""
    return [make(i) for i in range(n) for make in (lambda i: i / 7, lambda i: i + 2000,
                                                   lambda i: 1 << (100 + i % 50))]


@pytest.mark.parametrize("times", [2, 3])
def test_numbers_that_only_the_tree_refers_to_move(times):
    tree = numbers(50) * times
    addresses = list(map(id, tree))
    t = Tunnel()
    assert t.send(tree, strict=True) == (151, 0, 0)
    assert list(map(id, (got := t.recv()))) == addresses and got == numbers(50) * times


@pytest.mark.parametrize("kept", [slice(None), slice(0, None, 7), slice(3, 4)])
def test_numbers_that_others_refer_to_are_copied_once(kept):
    # The free lists may hold floats and lists that pytest made before objtunnel's heap was there; such are copied.
    drained = [[i / 3] for i in range(300)]
    tree = [numbers(100), {"again": None, 1.5: []}]
    tree[1]["again"] = tree[0] + tree[0][::-1]
    del drained
    held = tree[0][kept]
    counts = [sys.getrefcount(o) for o in held]
    t = Tunnel()
    receipt = t.send(tree)
    assert receipt.copied == len(held) + 2  # the constants "again" and 1.5
    assert [sys.getrefcount(o) for o in held] == [count - 3 for count in counts]
    first, second = t.recv()
    assert first == numbers(100) and second["again"] == first + first[::-1]
    assert all(a is b for a, b in zip(first + first[::-1], second["again"], strict=True))
    assert held == numbers(100)[kept] and not {id(o) for o in held} & {id(o) for o in first}
    first.clear()
    second["again"].sort()
    assert second["again"][::2] == sorted(numbers(100))


def test_copied_containers_share_their_numbers_with_moved_ones():
    x, y = float("1.25"), int("123456")
    inner = [x, y, x]
    tree = [inner, x, {"k": (y, x)}, [x, inner]]
    t = Tunnel()
    t.send(tree)
    (a, b, c), one, d, (two, again) = t.recv()
    assert a is c is one is two is d["k"][1] and b is d["k"][0] and again == [a, b, c]
    assert (a, b) == (1.25, 123456) and inner == [x, y, x] and a is not x and b is not y


def test_numbers_as_keys_and_members():
    nan, big, x = float("nan"), 1 << 200, float("7.5")
    tree = [{nan: 1, big: nan, x: big}, {nan, big, x}, {big: [x]}]
    t = Tunnel()
    t.send(tree)
    by_key, members, (back) = t.recv()
    (other_nan,) = [o for o in members if o != o]
    assert other_nan is not nan and by_key[other_nan] == 1 and by_key[big] is other_nan
    assert by_key[x] == big and {big, x, other_nan} == members and back[big] == [x]
    members.discard(other_nan)
    assert members == {big, x}


def test_few_numbers_in_many_places():
    x, tree = float("2.5"), []
    tree.extend([x, 12345678] * 10**5)
    del x
    t = Tunnel()
    assert t.send(tree).copied == 1  # the constant
    got = t.recv()
    assert len(set(map(id, got))) == 2 and sum(got) == (2.5 + 12345678) * 10**5


def test_strict_names_the_number():
    x = float("2.5")
    tree = [numbers(3), {"rows": [1, x]}]
    with pytest.raises(SharedReferenceError, match=r"^\$\[1\]\['rows'\]\[1\]: this float .* 1 time"):
        Tunnel().send(tree, strict=True)
    assert tree == [numbers(3), {"rows": [1, x]}] and tree[1]["rows"][1] is x
