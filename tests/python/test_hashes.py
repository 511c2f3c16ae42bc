"""Keys that hash otherwise in the receiver: what is looked up by them is built anew, in bounded time,
and if that fails the message stays."""

import collections
import gc
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hash_classes
from hash_classes import (
    CLASSY,
    CONTAINERS,
    MAKERS,
    STEADY,
    ByAddress,
    Classy,
    Failing,
    Holder,
    LooksSteady,
    Meddling,
    OnceOnly,
    Owned,
    Pair,
    Rebuilt,
    RebuiltUnstable,
    Unstable,
    found,
    look_up,
)
from objtunnel import Box, Interpreter, LockingDict, LockingList, Tunnel
from objtunnel._hashes import hash_stays


def through_tunnel(tree):
    t = Tunnel()
    t.send(tree)
    return t.recv()


def make_containers(name, n=20):
    return [make([MAKERS[name](x) for x in range(n)]) for make in CONTAINERS.values()]


# ---- hashes that depend on the class -----------------------------------------------------------------

@pytest.mark.parametrize("name", MAKERS)
def test_keys_are_found_by_equal_ones(worker, name):
    assert worker.call(look_up, make_containers(name), name, 20) == [found(20)] * len(CONTAINERS)
    outside = make_containers(name)
    assert worker.call(look_up, [outside][0], name, 20) == [found(20)] * len(CONTAINERS)
    assert look_up(outside, name, 20) == [found(20)] * len(CONTAINERS)


@pytest.mark.parametrize("name", MAKERS)
def test_to_a_worker_and_back(worker, name):
    tree = make_containers(name)
    for _ in range(3):
        tree = worker.call(hash_classes.use_hard, tree)
    assert look_up(tree, name, 20) == [found(20)] * len(CONTAINERS)
    hash_classes.use_hard(tree)
    gc.collect()


def test_the_sender_may_be_gone():
    t = Tunnel()
    with Interpreter() as sender:
        sender.call(hash_classes.send_keys, t)
    for name in MAKERS:
        assert look_up([t.recv()], name, 50) == [found(50)]



@pytest.mark.parametrize("name", ["Classy", "Holder", "frozenset in all"])
def test_in_values_of_shared_objects(worker, name):
    box, d, items = Box(make_containers(name)), LockingDict(), LockingList()
    d["keys"] = make_containers(name)
    items.append(make_containers(name))
    assert worker.call(hash_classes.look_into, box, d, items, name, 20) == [
        [found(20)] * len(CONTAINERS)] * 3


@pytest.mark.parametrize("name", STEADY)
def test_recognised_hashes_are_not_asked_for(name):
    """One that has changed its value is still where it was put: nothing was rehashed."""
    make = STEADY[name]
    assert hash_stays(type(make(1)))
    key = make(1)
    table = {key: 1, make(2): 2}
    assert all(found in table for found in table)
    got = through_tunnel([table])[0]
    assert [got[key] for key in got] == [1, 2]


def test_recognised_hashes_leave_tables_as_they_are():
    one, other = hash_classes.ByHand(1), Classy(1)
    tree = [{one: 1}, Pair(1, 2)]
    one.x = 2
    del one
    got = through_tunnel(tree)[0]
    assert list(got)[0] not in got
    tree.extend([got, other])
    del got
    got = through_tunnel(tree)[0]
    assert list(got)[0] in got, "an unknown class in the tree may be a field's"


@pytest.mark.parametrize("cls", [*CLASSY, *(c for c in vars(LooksSteady).values() if type(c) is type)])
def test_what_only_looks_steady_is_not_trusted(cls):
    assert not hash_stays(cls)


def test_a_function_that_was_replaced_is_not_trusted(monkeypatch):
    import uuid
    assert hash_stays(uuid.UUID)
    monkeypatch.setattr(uuid.UUID, "__hash__", lambda self: id(type(self)))
    assert not hash_stays(uuid.UUID)
    monkeypatch.setattr(hash_classes, "hash", lambda o: id(type(o)), raising=False)
    assert not hash_stays(hash_classes.ByHand)


# ---- bounds ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cls", [Unstable, RebuiltUnstable])
def test_an_unstable_hash_is_asked_for_once(cls):
    made = frozenset([cls(0), 1]), {frozenset([cls(1)]): 2}, {cls(2), cls(3)}
    before = Unstable.count
    got = through_tunnel([made])[0]
    assert Unstable.count - before == 4
    assert len(got[0]) == 2 and len(got[1]) == 1 and len(got[2]) == 2


def nested(depth, key):
    inner = frozenset([key])
    for i in range(depth):
        inner = frozenset([inner, i])
    return inner


@pytest.mark.parametrize("make", [Rebuilt, Classy])
def test_takes_time_linear_in_the_depth(make):
    def seconds(depth):
        tree, t = [nested(depth, make(1))], Tunnel()
        t.send(tree)
        start = time.perf_counter()
        got = t.recv()
        took = time.perf_counter() - start
        assert hash(got[0]) == hash(nested(depth, make(1)))  # == would recurse
        return took

    few = min(seconds(3_000) for _ in range(3))
    assert min(seconds(48_000) for _ in range(3)) < 16 * 5 * few + 0.05


def test_in_any_order_of_nesting():
    """What lies deepest is put right first, wherever it was met first."""
    n = 200
    sets = [frozenset([Classy(0)])]
    for i in range(1, n):
        sets.append(frozenset([sets[i // 2], sets[i - 1], (sets[i // 3], i)]))
    order = list(range(n))
    random.Random(5).shuffle(order)
    got = through_tunnel([{sets[i]: i for i in order}, [sets[i] for i in order]])
    assert [got[0][key] for key in got[1]] == order
    fresh = [frozenset([Classy(0)])]
    for i in range(1, n):
        fresh.append(frozenset([fresh[i // 2], fresh[i - 1], (fresh[i // 3], i)]))
    received = dict(zip(order, got[1], strict=True))
    assert all(hash(fresh[i]) == hash(received[i]) for i in order)  # == would take exponential time


def test_keys_that_refer_to_what_holds_them():
    tree = {}
    for x in range(50):
        key = Classy(x)
        key.holder = tree
        key.set = {key, (key, x)}
        tree[key] = [tree]
    got = through_tunnel([tree])[0]
    for x in range(50):
        assert got[Classy(x)][0] is got
    for key in got:
        assert key.holder is got and key in key.set and (key, key.x) in key.set and Classy(-1) not in key.set


def owned_key():
    key = Owned([ByAddress()])
    key.owner = {key: 1}
    return [*key, key, key.owner]


def owner_of_an_element():
    node = ByAddress()
    node.tags = frozenset([node])
    node.sets = {frozenset([node.tags]): 1, node.tags: 2}
    return [node, node.tags, node.sets]


def graph(make):
    """Edges are keys, nodes know the graph; faces are sets of edges."""
    nodes = [make(i) for i in range(4)]
    edges = [frozenset([nodes[i], nodes[i - 1]]) for i in range(4)]
    faces = [frozenset([edges[i], edges[i - 1]]) for i in range(4)]
    pairs = [(edges[i], Holder(faces[i])) for i in range(4)]
    tables = [dict.fromkeys(edges, 1), dict.fromkeys(faces, 2), set(edges), dict.fromkeys(pairs, 3),
              {frozenset(pairs)}]
    for node in nodes:
        node.graph = tables
    return [*nodes, *edges, *faces, *tables]


CYCLES = {"attribute of a key": owned_key, "attribute of an element": owner_of_an_element,
          "graph, by address": lambda: graph(lambda _: ByAddress()), "graph, by class": lambda: graph(Classy)}


@pytest.mark.parametrize("kept", [False, True], ids=["moved", "copied"])
@pytest.mark.parametrize("name", CYCLES)
def test_keys_whose_elements_refer_to_what_holds_them(worker, name, kept):
    """Wherever the sender begins."""
    n = len(CYCLES[name]())
    for order in [*(range(i, i + n) for i in range(n)), *(range(i, i - n, -1) for i in range(n))]:
        nodes = CYCLES[name]()
        tree = [nodes[i % n] for i in order]
        outside = list(nodes) if kept else None
        del nodes
        got = through_tunnel(tree)
        assert hash_classes.not_found(got) == []
        assert worker.call(hash_classes.not_found, got) == []
        assert not kept or hash_classes.not_found(outside) == []


BLOCK = """
    class Slow:
        def __init__(self, x):
            self.x = x

        def __hash__(self):
            return Slow.answer(self)

        def answer(self):
            return self.x

        def __eq__(self, other):
            return self is other

    def block():
        import time
        from __main__ import Slow
        from objtunnel import Tunnel
        t = Tunnel()
        {make}
        Slow.answer = lambda self: {answer}
        print("ready", flush=True)
        try:
            t.recv()
        finally:
            assert t.qsize() == 1, "the message is gone"
            Slow.answer = lambda self: self.x
            assert len(t.recv()[0]) > 0
"""


@pytest.mark.parametrize("where", ["main", "other"])
@pytest.mark.parametrize("answer", ["time.sleep(0.01) or 1", "1"])
def test_can_be_interrupted(interrupt, where, answer):
    make = "t.send([{Slow(x): x for x in range(20_000)}])"
    assert interrupt(BLOCK.format(make=make, answer=answer), where) == "interrupted\n"


# ---- failures ----------------------------------------------------------------------------------------

@pytest.fixture
def failing():
    yield Failing
    Failing.left, Failing.compared = 0, False


@pytest.mark.parametrize("compared", [False, True])
@pytest.mark.parametrize("name", CONTAINERS)
def test_the_message_stays(worker, failing, name, compared):
    """Hashing or comparing raises, here and elsewhere; then it arrives, unharmed."""
    rows = [{"name": "x", "row": i} for i in range(10)]
    tree = {"rows": rows, "deep": [(CONTAINERS[name]([Failing(x) for x in range(20)]), Rebuilt(5))],
            "others": {(Classy(x), nested(3, Classy(x))): x for x in range(20)}}
    del rows
    kept = tree["others"]
    t = Tunnel()
    t.send(tree)
    failing.compared = compared
    for _ in range(3):
        failing.left = 1
        with pytest.raises(ValueError, match="no hash of|not compared") as info:
            t.recv()
        assert not getattr(info.value, "__notes__", None) and t.qsize() == 1
    failing.left = 0
    worker.run("import hash_classes; hash_classes.Failing.left = 1")
    with pytest.raises(ValueError, match="no hash of"):
        worker.call(Tunnel.recv, t)
    assert t.qsize() == 1
    got = t.recv()
    [(container, rebuilt)] = got["deep"]
    assert type(container) is type(CONTAINERS[name]([])) and rebuilt == Rebuilt(5)
    assert [Failing(x) in container for x in range(-1, 21)] == found(20)
    assert got["rows"] == [{"name": "x", "row": i} for i in range(10)]
    assert all(got["others"][Classy(x), nested(3, Classy(x))] == x for x in range(20))
    assert kept == got["others"] and kept is not got["others"]


def test_the_error_offers_to_discard_the_message(failing):
    """The first one, too: it is about the same message, though that was made anew since."""
    t, errors = Tunnel(), []
    t.send([{Failing(1)}])
    t.send("next")
    for _ in range(3):
        failing.left = 1
        with pytest.raises(ValueError, match="no hash of") as info:
            t.recv()
        errors.append(info.value)
    failing.left = 0
    assert errors[0].discard() is True and errors[2].discard() is False and t.recv() == "next"


def test_who_drops_the_tunnel_frees_the_message(failing):
    t = Tunnel()
    t.send([{Failing(1), (Failing(2), 3)}, t])
    failing.left = 1
    with pytest.raises(ValueError):
        t.recv()
    t.discard()
    assert t.qsize() == 0
    del t
    gc.collect()


def test_a_message_that_is_lost_says_so(failing):
    """It would have to be pickled again, and cannot be."""
    t = Tunnel()
    OnceOnly.left = 1
    t.send([{OnceOnly(1)}])
    failing.left = 1
    with pytest.raises(ValueError, match="no hash of") as info:
        t.recv()
    [note] = info.value.__notes__
    assert note.startswith("The message is lost") and "not again" in note
    assert t.qsize() == 0


def test_values_of_shared_objects_stay(failing):
    box, d, items = Box([{Failing(1)}]), LockingDict(), LockingList()
    d["x"] = [{Failing(1): 2}]
    items.append([frozenset([Failing(1)])])
    for read in (box.acquire, lambda: d["x"], lambda: d.pop("x"), lambda: items[0], items.pop):
        failing.left = 1
        with pytest.raises(ValueError, match="no hash of"):
            read()
        failing.left = 0
    with box as value:
        assert value == [{Failing(1)}]
    assert d["x"] == [{Failing(1): 2}] and items[0] == [frozenset([Failing(1)])]


def test_hashes_that_change_the_tree():
    for make in (dict.fromkeys, set, collections.OrderedDict.fromkeys):
        inner = [make([Meddling(x) for x in range(30)]) for _ in range(3)]
        tree = [Holder(frozenset([Meddling(1)]), inner), inner, {Meddling(x): inner for x in range(10)}]
        t = Tunnel()
        t.send(tree)
        del inner, tree
        Meddling.victims = [[1], {}]
        got = t.recv()
        Meddling.victims = got[1]
        hash(next(iter(got[2])))
        Meddling.victims = []
        assert got[1] == [make([])] * 3 and got[0].other is got[1]
        del got
        gc.collect()


# ---- random trees ------------------------------------------------------------------------------------

LEAVES = st.integers(0, 5) | st.sampled_from(["a", "b", None, 2.5])
KEYS = st.recursive(
    LEAVES | st.builds(Classy, LEAVES) | st.builds(Rebuilt, LEAVES) | st.builds(hash_classes.ByHand, LEAVES),
    lambda keys: st.builds(lambda *k: tuple(k), keys, keys) | st.frozensets(keys, max_size=3)
    | st.builds(Classy, keys) | st.builds(Holder, keys, keys) | st.builds(Pair, keys, keys)
    | st.builds(hash_classes.Slotted, keys), max_leaves=8)
TREES = st.recursive(
    KEYS, lambda trees: st.lists(trees, max_size=4) | st.dictionaries(KEYS, trees, max_size=4)
    | st.sets(KEYS, max_size=4) | st.builds(collections.OrderedDict, st.dictionaries(KEYS, trees, max_size=3)),
    max_leaves=12)


def copy_of(o):
    """An equal tree of objects of its own."""
    if isinstance(o, dict):
        return type(o)((copy_of(k), copy_of(v)) for k, v in o.items())
    if isinstance(o, tuple) and type(o) is not tuple:
        return type(o)(*map(copy_of, o))
    if isinstance(o, (list, tuple, set, frozenset)):
        return type(o)(map(copy_of, o))
    if type(o) is Holder:
        return Holder(copy_of(o.field), copy_of(o.other))
    if hasattr(o, "x"):
        return type(o)(copy_of(o.x))
    return o


@given(st.lists(TREES, max_size=4), st.booleans())
def test_random_trees(worker, tree, keep):
    expected = copy_of(tree)
    kept = list(tree) if keep else None
    got = through_tunnel(tree)
    assert got == expected
    back = worker.call(hash_classes.use_hard, got)
    assert back == expected
    if keep:
        assert kept == expected


KINDS = ["ByAddress", "ByAddress", "Classy", "Classy", "tuple", "frozenset", "frozenset", "Owned", "dict", "set",
         "list"]
CYCLIC = st.lists(st.tuples(st.sampled_from(KINDS), st.lists(st.integers(0, 14), max_size=3)),
                  min_size=1, max_size=15)
OWNERS = st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=12)


@given(CYCLIC, OWNERS, st.randoms(use_true_random=False), st.booleans())
def test_random_cycles(worker, recipe, owners, random_order, keep):
    tree = hash_classes.build_cycles(recipe, owners)
    random_order.shuffle(tree)
    kept = list(tree) if keep else None
    got = through_tunnel(tree)
    assert hash_classes.not_found(got) == []
    assert worker.call(hash_classes.not_found, got) == []
    assert hash_classes.not_found(kept) == []
