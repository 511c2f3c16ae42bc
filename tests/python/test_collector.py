"""What the receiver's collector is told of a tree that arrives, and the sender's of one that leaves."""

import gc
import pickle

import pytest

import objtunnel

N = 3000


def acyclic():
    return [{"a": i + 0.5, "b": [i]} for i in range(N)]


def cyclic():
    tree = acyclic()
    tree.append(tree)
    return tree


def cyclic_within():
    tree = acyclic()
    tree[0]["b"].append(tree[0])
    return tree


def sharing():
    tree = acyclic()
    tree.append(tree[0])
    return tree


def is_in(generation, o):
    return any(o is other for other in gc.get_objects(generation))


@pytest.fixture
def tunnel_without_collections():
    gc.collect()
    gc.disable()
    yield objtunnel.Tunnel()
    gc.enable()


@pytest.mark.parametrize(("make", "generation"), [
    (acyclic, 2), (cyclic, 0), (cyclic_within, 0), (sharing, 0), (lambda: [[1.5]], 0)])
def test_which_generation_it_joins(make, generation, tunnel_without_collections):
    """A large tree without cycles waits for a full collection, as what has survived two does."""
    tunnel = tunnel_without_collections
    tree = make()
    tunnel.send(tree)
    got = tunnel.recv()
    assert is_in(generation, got) and not is_in(2 - generation, got)
    inner = got[0]
    assert is_in(generation, inner)
    del got, inner
    gc.collect()


def test_counts(tunnel_without_collections):
    tunnel = tunnel_without_collections
    before = gc.get_count()[0]
    tree = cyclic()
    made = gc.get_count()[0]
    assert made - before > N
    tunnel.send(tree)
    left = gc.get_count()[0]
    assert left < before + N / 10, "the sender's collector still counts what has left"
    got = tunnel.recv()
    assert gc.get_count()[0] - left > N, "the receiver's collector does not count what has come"
    got.clear()


def drop(incoming, count):
    """How many containers are left of the trees that were dropped, and how many collections ran."""
    gc.collect()
    before, ran = len(gc.get_objects()), gc.get_stats()[0]["collections"]
    for _ in range(count):
        tree = incoming.recv()
        if isinstance(tree, bytes):
            tree = pickle.loads(tree)
        tree = None
    return len(gc.get_objects()) - before, gc.get_stats()[0]["collections"] - ran


@pytest.mark.parametrize("pack", [lambda tree: tree, pickle.dumps], ids=["moved", "pickled"])
def test_cyclic_garbage_is_found_in_time(pack, worker):
    """Without the receiver allocating anything itself. Pickles show what is usual."""
    incoming, count = objtunnel.Tunnel(maxsize=4), 50
    job = worker.submit(drop, incoming, count)
    for _ in range(count):
        incoming.send(pack(cyclic()))
    left, collections = job.result()
    assert left < 10 * 2 * N and collections >= 10


def test_a_tree_that_becomes_cyclic_later_is_found_by_a_full_collection():
    tunnel = objtunnel.Tunnel()
    tunnel.send(acyclic())
    got = tunnel.recv()
    before = len(gc.get_objects())
    got.append(got)
    del got
    gc.collect()
    assert before - len(gc.get_objects()) >= 2 * N


def test_a_failed_send_leaves_the_count(tunnel_without_collections):
    tree = acyclic()
    before = gc.get_count()[0]
    with pytest.raises(TypeError):
        tunnel_without_collections.send(tree + [open(__file__)])
    assert abs(gc.get_count()[0] - before) < N
