"""Random trees through tunnels: equal in value and shape, usable, outside objects untouched."""

import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trees
from objtunnel import Interpreter, Tunnel
from recipes import recipes

OUTSIDE = st.lists(st.integers(0, 23), max_size=3)


@given(recipes())
def test_within_one_interpreter(recipe):
    t = Tunnel()
    tree = trees.build(recipe)
    t.send(tree)
    assert tree == []
    gc.collect()
    got = t.recv()
    trees.assert_same(got, trees.build(recipe))
    trees.abuse(got)


def test_elements_of_sets_are_compared_by_value():
    """What _canonical says has no address in it, and tells apart what differs."""
    view = ("view", "b", [3], True, 1)
    for recipe in ([view, ("slice", [0]), ("tuple", [1]), ("frozenset", [2])],
                   [view, ("slice", [0]), ("set", [1, 0])], [("nan",), ("slice", [0]), ("set", [0, 1])]):
        trees.assert_same(trees.build(recipe), trees.build(recipe))
        t = Tunnel()
        t.send(trees.build(recipe))
        trees.assert_same(t.recv(), trees.build(recipe))
    for a, b in [(view, ("view", "B", [3], True, 1)), (view, ("view", "b", [3], True, -1)),
                 (("float", 0.0), ("float", -0.0)), (("int", 1), ("float", 1.0)), (("int", 1), ("bool", True))]:
        one, other = ([node, ("tuple", [0]), ("set", [1])] for node in (a, b))
        with pytest.raises(AssertionError):
            trees.assert_same(trees.build(one)[2], trees.build(other)[2])


@given(recipes(), OUTSIDE)
def test_outside_objects_stay_as_they_are(recipe, outside):
    t = Tunnel()
    tree = trees.build(recipe)
    kept = [tree[i % len(tree)] for i in outside]
    t.send(tree)
    expected = trees.build(recipe)
    trees.assert_same(kept, [expected[i % len(expected)] for i in outside])
    got = t.recv()
    trees.assert_same(got, trees.build(recipe))
    trees.abuse(got)
    trees.assert_same(kept, [expected[i % len(expected)] for i in outside])


@given(recipes(), OUTSIDE)
def test_to_a_worker(worker, recipe, outside):
    t = Tunnel()
    tree = trees.build(recipe)
    kept = [tree[i % len(tree)] for i in outside]
    t.send(tree)
    del tree
    assert worker.call(trees.receive_and_use, t, recipe)
    expected = trees.build(recipe)
    trees.assert_same(kept, [expected[i % len(expected)] for i in outside])
    trees.abuse(kept)


@given(recipes(), OUTSIDE)
def test_from_a_worker(worker, recipe, outside):
    t = Tunnel()
    assert worker.call(trees.build_and_send, t, recipe, outside)
    worker.run("import gc; gc.collect()")
    got = t.recv(timeout=60)
    trees.assert_same(got, trees.build(recipe))
    trees.abuse(got)


@settings(max_examples=min(15, settings.default.max_examples))
@given(recipes(), OUTSIDE)
def test_sender_destroyed_before_the_tree_is_used(recipe, outside):
    t = Tunnel()
    with Interpreter() as sender:
        sender.call(trees.build_and_send, t, recipe, outside)
    got = t.recv(timeout=60)
    trees.assert_same(got, trees.build(recipe))
    trees.abuse(got)


@settings(max_examples=min(15, settings.default.max_examples))
@given(recipes(), OUTSIDE)
def test_messages_never_received_are_freed_by_the_last_handle(recipe, outside):
    t = Tunnel()
    with Interpreter() as sender:
        sender.call(trees.build_and_send, t, recipe, outside)
    gc.collect()
    t.close(immediate=True)
    assert t.qsize() == 0


@given(recipes())
def test_there_and_back_again(worker, recipe):
    there, back = Tunnel(), Tunnel()
    future = worker.submit(trees.echo, there, back)
    for _ in range(3):
        tree = trees.build(recipe)
        there.send(tree)
        (got,) = back.recv(timeout=60)
        trees.assert_same(got, trees.build(recipe))
        there.send(got)
        (got,) = back.recv(timeout=60)
        trees.assert_same(got, trees.build(recipe))
        trees.abuse(got)
    there.close()
    future.result(timeout=60)


@given(recipes())
def test_strict_either_moves_or_changes_nothing(recipe):
    from objtunnel import SharedReferenceError
    t = Tunnel()
    tree = trees.build(recipe)
    try:
        receipt = t.send(tree, strict=True)
    except SharedReferenceError as error:
        assert str(error).startswith("$")
        trees.assert_same(tree, trees.build(recipe))
        assert t.qsize() == 0
        t.send(tree)
    else:
        assert receipt.pickled == 0
    trees.assert_same(t.recv(), trees.build(recipe))


@pytest.mark.slow
@settings(max_examples=500)
@given(recipes(max_nodes=40), OUTSIDE)
def test_many_more(worker, recipe, outside):
    t = Tunnel()
    tree = trees.build(recipe)
    kept = [tree[i % len(tree)] for i in outside]
    t.send(tree)
    assert worker.call(trees.receive_and_use, t, recipe)
    expected = trees.build(recipe)
    trees.assert_same(kept, [expected[i % len(expected)] for i in outside])
