"""Random trees with instances through tunnels: types, values, attributes in their order, what is
shared; usable, and outside objects untouched."""

import enum
import functools
import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import instance_classes
import instances
import objtunnel
from instance_recipes import instance_recipes, recipes_and_lessons
from objtunnel import Interpreter, SharedReferenceError, Tunnel, _core

OUTSIDE = st.lists(st.integers(0, 19), max_size=3)


def has_pickled(recipe, receipt):
    """Whether something was pickled that may share its content with the rest of the tree, which
    pickling does not keep."""
    always = {id(node) for node in recipe if node[0] in ("member", "error")}
    return receipt.pickled > len(always)


def expected_of(recipe):
    return instances.build(recipe)[0]


@pytest.fixture(scope="module")
def other_worker(open_worker):
    yield from open_worker("other-worker")


@pytest.mark.parametrize("test", ["test_within_one_interpreter", "test_strict_either_moves_or_changes_nothing"])
def test_errors_keep_nothing_of_the_test(test):
    """In an instance that refers to itself by a dict that 3.13.0 does not track: it stays for ever."""
    recipe = [("none",), ("plain", "Plain", []), ("member", "Colour", "RED"), ("error", []),
              *[("plain", "Plain", [])] * 5, ("plain", f"FreshObject90{len(test)}", [("many", 11, 30, 0)])]
    before = _core._live_tunnels()
    for _ in range(3):
        globals()[test].hypothesis.inner_test(recipe)
    gc.collect()
    assert _core._live_tunnels() <= before


@given(instance_recipes())
def test_within_one_interpreter(recipe):
    t = Tunnel()
    tree, _ = instances.build(recipe)
    receipt = t.send(tree)
    assert tree == []
    gc.collect()
    got = t.recv()
    instances.assert_same(got, expected_of(recipe), not has_pickled(recipe, receipt))
    instances.abuse(got)


@given(instance_recipes(outside=True), OUTSIDE)
def test_outside_objects_stay_as_they_are(recipe, outside):
    t = Tunnel()
    tree, referring = instances.build(recipe)
    kept = [tree[i % len(tree)] for i in outside]
    before = [(ref, ref()) for ref in referring if isinstance(ref, weakref.ref)]
    t.send(tree)
    assert all(ref() is o for ref, o in before)
    expected = expected_of(recipe)
    instances.assert_same(kept, [expected[i % len(expected)] for i in outside], shape=False)
    got = t.recv()
    instances.assert_same(got, expected, shape=False)
    instances.abuse(got)
    del got, before
    instances.assert_same(kept, [expected[i % len(expected)] for i in outside], shape=False)
    instances.abuse(kept)


@given(recipes_and_lessons(outside=True), OUTSIDE, st.booleans())
def test_to_a_worker_that_knows_other_attributes(worker, drawn, outside, poking):
    recipe, lessons = drawn
    t = Tunnel()
    tree, referring = instances.build(recipe)
    kept = [tree[i % len(tree)] for i in outside]
    receipt = t.send(tree)
    del tree
    shape = not (outside or referring or has_pickled(recipe, receipt))
    assert worker.call(instances.receive_and_use, t, recipe, lessons, shape, poking)
    expected = expected_of(recipe)
    instances.assert_same(kept, [expected[i % len(expected)] for i in outside], shape=False)
    instances.abuse(kept)


@given(recipes_and_lessons(outside=True), recipes_and_lessons(), OUTSIDE)
def test_from_a_worker(worker, drawn, mine, outside):
    recipe, lessons = drawn
    instances.teach(mine[1])
    t = Tunnel()
    pickled = worker.call(instances.build_and_send, t, recipe, outside, lessons)
    worker.run("import gc; gc.collect()")
    got = t.recv(timeout=60)
    instances.poke(got)
    instances.assert_same(got, expected_of(recipe), shape=not pickled)
    instances.abuse(got)


@settings(max_examples=min(15, settings.default.max_examples))
@given(recipes_and_lessons(), OUTSIDE)
def test_sender_destroyed_before_the_tree_is_used(drawn, outside):
    recipe, lessons = drawn
    t = Tunnel()
    with Interpreter() as sender:
        pickled = sender.call(instances.build_and_send, t, recipe, outside, lessons)
    got = t.recv(timeout=60)
    instances.assert_same(got, expected_of(recipe), shape=not pickled)
    instances.abuse(got)


@given(recipes_and_lessons(), st.data())
def test_from_hand_to_hand(worker, other_worker, drawn, data):
    """Here, one worker, the other, and back; each with its own idea of the classes."""
    recipe, lessons = drawn
    reversed_lessons = [(name, names[::-1] + ["last"]) for name, names in lessons]
    tunnels = [Tunnel() for _ in range(3)]
    tree, _ = instances.build(recipe)
    receipt = tunnels[0].send(tree)
    first = worker.submit(instances.pass_on, tunnels[0], tunnels[1], lessons, 1)
    second = other_worker.submit(instances.pass_on, tunnels[1], tunnels[2], reversed_lessons, 1)
    assert first.result(timeout=60) and second.result(timeout=60)
    got = tunnels[2].recv(timeout=60)
    instances.assert_same(got, expected_of(recipe), not has_pickled(recipe, receipt))
    instances.abuse(got)


def test_instances_of_generic_classes_move(worker):
    """typing.Generic is no class statement's."""
    recipe = [("plain", "Boxed", [("many", 0, 8, 0)]), ("plain", "Registered", []), ("plain", "Plain", [])]
    t = Tunnel()
    assert t.send(instances.build(recipe)[0]).pickled == 0
    assert worker.call(instances.receive_and_use, t, recipe, [], True, False)
    t.send(instances.build(recipe)[0])
    with Interpreter() as stranger:
        stranger.run("import sys; sys.modules['instance_classes'] = None")
        stranger.call(Tunnel.discard, t)
    assert t.qsize() == 0


def test_instances_in_each_others_own_dicts(worker):
    """Both classes are full in the receiver, so each instance gets a dict, tracked while the other
    class's instances are still without a type."""
    recipe = [("plain", name, [("set", attribute + str(i), i) for i in range(2)])
              for name, attribute in (("FreshObject901", "a"), ("FreshChild901", "b"))]
    lessons = [(name, [f"z{n}" for n in range(40)]) for name in ("FreshObject901", "FreshChild901")]
    t = Tunnel()
    t.send(instances.build(recipe * 3)[0])
    assert worker.call(instances.receive_and_use, t, recipe * 3, lessons, True, False)


@pytest.mark.parametrize("kept", [False, True], ids=["moved", "copied"])
@pytest.mark.parametrize("full", [False, True], ids=["same names", "names that do not fit"])
def test_cycles_through_a_dict_that_was_looked_at(worker, kept, full):
    """3.13.0 does not track such a dict; who gets the instance has to collect it all the same."""
    a, b = instances.find("FreshObject902")(), instances.find("FreshObject902")()
    vars(a), vars(b)
    a.a = b.a = a
    outside = [a, b] if kept else []
    t = Tunnel()
    nodes = [a, b]
    del a, b
    t.send(nodes)
    lessons = [("FreshObject902", [f"z{n}" for n in range(40)])] if full else []
    assert worker.call(instances.collects_what_it_received, t, lessons)
    gone = [weakref.ref(o) for o in outside]
    outside.clear()
    gc.collect()
    assert all(ref() is None for ref in gone)


@settings(max_examples=min(15, settings.default.max_examples))
@given(recipes_and_lessons(outside=True), OUTSIDE)
def test_messages_never_received(worker, drawn, outside):
    recipe, lessons = drawn
    for close in (lambda t: t.close(immediate=True), lambda t: worker.call(Tunnel.discard, t)):
        t = Tunnel()
        with Interpreter() as sender:
            sender.call(instances.build_and_send, t, recipe, outside, lessons)
        gc.collect()
        close(t)
        assert t.qsize() == 0


@settings(max_examples=min(15, settings.default.max_examples))
@given(recipes_and_lessons())
def test_disposed_of_where_the_classes_cannot_be_had(drawn):
    recipe, _ = drawn
    t = Tunnel()
    t.send(instances.build(recipe)[0])
    with Interpreter() as stranger:
        stranger.run("import sys; sys.modules['instance_classes'] = None")
        stranger.call(Tunnel.discard, t)
    assert t.qsize() == 0


@settings(max_examples=min(15, settings.default.max_examples))
@given(recipes_and_lessons())
def test_a_message_that_cannot_be_received_is_kept(worker, drawn):
    recipe, lessons = drawn
    recipe = [*recipe, ("plain", "Plain", [("set", "a", 0)])]
    t = Tunnel()
    receipt = t.send(instances.build(recipe)[0])
    with Interpreter() as stranger:
        stranger.run("import sys; sys.modules['instance_classes'] = None")
        with pytest.raises(ImportError, match="instance_classes"):
            stranger.call(Tunnel.recv, t)
    assert t.qsize() == 1
    shape = not has_pickled(recipe, receipt)
    assert worker.call(instances.receive_and_use, t, recipe, lessons, shape, False)


@given(instance_recipes(outside=True))
def test_strict_either_moves_or_changes_nothing(recipe):
    t = Tunnel()
    tree, referring = instances.build(recipe)
    try:
        t.send(tree, strict=True)
    except SharedReferenceError as error:
        assert str(error).startswith("$")
        instances.assert_same(tree, expected_of(recipe))
        assert t.qsize() == 0
        t.send(tree)
    instances.assert_same(t.recv(), expected_of(recipe), shape=False)


def fresh_classes_left():
    """Those that were made for one test and are still there once nobody should need them."""
    classes = [weakref.ref(cls) for name, cls in vars(instance_classes).items()
               if name.startswith("Fresh")]
    instances.forget()
    return [ref for ref in classes if ref() is not None]


@settings(max_examples=min(15, settings.default.max_examples))
@given(recipes_and_lessons())
def test_classes_that_are_gone_afterwards(worker, drawn):
    """Nothing of a class is left in use when a message has been used up."""
    recipe, lessons = drawn
    instances.forget()  # those of other tests, which hypothesis may still hold
    t = Tunnel()
    t.send(instances.build(recipe)[0])
    assert worker.call(instances.receive_and_use, t, recipe, lessons, False, False)
    assert fresh_classes_left() == []
    assert worker.call(instances.forget)


@pytest.mark.slow
@settings(max_examples=500)
@given(recipes_and_lessons(outside=True, max_nodes=40), OUTSIDE, st.booleans())
def test_many_more(worker, drawn, outside, poking):
    recipe, lessons = drawn
    t = Tunnel()
    tree, referring = instances.build(recipe)
    kept = [tree[i % len(tree)] for i in outside]
    receipt = t.send(tree)
    shape = not (outside or referring or has_pickled(recipe, receipt))
    assert worker.call(instances.receive_and_use, t, recipe, lessons, shape, poking)
    expected = expected_of(recipe)
    instances.assert_same(kept, [expected[i % len(expected)] for i in outside], shape=False)


class Failure(Exception):
    pass


class Part(functools.partial):
    pass


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(("cls", "names"), [(Failure, "Exception"),
                                            (Part, "partial"), (Colour, "enum")])
def test_register_movable_refuses_what_cannot_move(cls, names):
    with pytest.raises(TypeError, match=f"{cls.__qualname__}.*{names}"):
        objtunnel.register_movable(cls)


class Changing:
    pass


def test_a_class_that_has_changed_very_often_is_looked_at_again(tunnel):
    """CPython gives a class no version tag any more after a thousand changes."""
    for i in range(1500):
        Changing.counter = i
        assert tunnel.send([Changing()]).pickled == 0
        assert type(tunnel.recv()[0]) is Changing
    Changing.__reduce__ = lambda self: (Changing, ())
    assert tunnel.send([Changing()]).pickled == 1
    del Changing.__reduce__
    assert tunnel.send([Changing()]).pickled == 0
