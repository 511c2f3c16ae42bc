"""Tunnel between threads: what moves, what is copied, and that a failure changes nothing."""

import array
import collections
import datetime
import decimal
import gc
import io
import threading
import weakref

import pytest

from helpers.threads import Task, elsewhere, nodes
from objtunnel import SharedReferenceError, Tunnel, TunnelClosed, TunnelEmpty, TunnelFull, owner


def make(n=50):
    return [{"i": i * 1000, "x": i + 0.5, "s": f"text {i}", "t": (i + 1000, [i + 0.25]), "b": {i + 5000}} for i in range(n)]


def is_mine(o):
    return owner(o).is_mine or "immortal" in owner(o).flags


def foreign(root):
    return [o for o in nodes(root) if not is_mine(o)]


def send_from_elsewhere(t, build, **kwargs):
    """build() runs in another thread, which sends the result, ends, and returns the receipt."""
    return elsewhere(lambda: t.send(build(), **kwargs))


# ---- what moves -------------------------------------------------------------------------------------

def test_a_tree_moves_and_is_the_receivers_own():
    t = Tunnel()
    receipt = send_from_elsewhere(t, make)
    tree = t.recv()
    assert tree == make() and foreign(tree) == []
    assert receipt.moved > 400 and receipt.copied == receipt.pickled == 0


def test_objects_keep_their_identity():
    t, ids = Tunnel(), []

    def other():
        tree = make(3)
        ids.extend(id(o) for o in tree)
        t.send(tree)
        return tree

    assert elsewhere(other) == []
    assert [id(o) for o in t.recv()] == ids


@pytest.mark.parametrize("root", [[1.5, "a" * 40], {"k": [1.5]}])
def test_a_list_or_dict_is_left_empty(root):
    t, was = Tunnel(), root.copy()
    t.send(root)
    assert len(root) == 0 and t.recv() == was


def test_a_set_is_left_empty_too():
    t, n = Tunnel(), len("ab")
    root = {n + 0.5, "a" * 20 * n}
    assert t.send(root).moved == 3
    assert root == set() and t.recv() == {2.5, "a" * 40}


def test_what_the_tree_shares_within_itself_stays_shared():
    def build():
        part, text = [1.5], "x" * 50
        return [part, {"p": part, "s": text}, (part, text), text]

    t = Tunnel()
    receipt = send_from_elsewhere(t, build)
    a, b, c, text = tree = t.recv()
    assert a is b["p"] is c[0] and text is b["s"] is c[1]
    assert foreign(tree) == [] and receipt.copied == 0


def test_a_tree_goes_on_from_thread_to_thread():
    first, second = Tunnel(), Tunnel()
    send_from_elsewhere(first, make)

    def stage():
        tree = first.recv()
        for row in tree:
            row["more"] = [row["x"]]
        del row  # or the last one would be copied
        return second.send(tree)

    receipt = elsewhere(stage)
    tree = second.recv()
    assert receipt.copied == 0 and receipt.moved > 400
    assert foreign(tree) == [] and all(row["more"] == [row["x"]] for row in tree)


def test_a_collection_gives_containers_back_and_the_next_send_takes_them_over_again():
    first, second = Tunnel(), Tunnel()
    go = threading.Event()
    sender = Task(lambda: (first.send(make()), go.wait(60)))
    tree = first.recv()
    gc.collect()
    assert owner(tree[0]).thread == sender.ident  # it owns the memory
    assert owner(tree[0]["x"]).is_mine  # the collector does not look at numbers
    receipt = second.send(tree)
    assert receipt.copied == 0 and receipt.moved > 400
    tree = elsewhere(second.recv)
    assert tree == make()
    go.set()
    sender.done()


def test_what_another_thread_has_read_before_moves_all_the_same():
    """Reading flags the objects, and a container's items then look as if they could be referred to weakly."""
    t, told, go, box = Tunnel(), threading.Event(), threading.Event(), []

    def other():
        inner = [i + 0.5 for i in range(100)]
        box.append(inner)
        told.set()
        go.wait(60)
        box.clear()
        tree = [inner]
        del inner
        return t.send(tree)

    task = Task(other)
    assert told.wait(60)
    assert sum(box[0][i] for i in range(100)) == 5000
    go.set()
    receipt = task.done()
    tree = t.recv()
    assert tree == [[i + 0.5 for i in range(100)]]
    assert receipt.moved + receipt.copied >= 2


def test_messages_that_nobody_receives_are_freed():
    class Watched:
        pass

    t, refs = Tunnel(), []
    for _ in range(3):
        o = Watched()
        refs.append(weakref.ref(o))
        t.send([o, make(3)], share=True)
    del o
    t.close(immediate=True)
    gc.collect()
    assert [ref() for ref in refs] == [None] * 3
    with pytest.raises(TunnelClosed):
        t.recv()


def test_depth_costs_no_stack():
    def build():
        tree = []
        for _ in range(200_000):
            tree = [tree]
        return tree

    t = Tunnel()
    assert send_from_elsewhere(t, build).moved == 200_001
    tree = t.recv()
    while tree:
        tree = tree.pop()


def test_the_collector_sees_what_has_arrived_and_nothing_before():
    t = Tunnel()
    send_from_elsewhere(t, lambda: [["marked", [1.5]]])
    assert not [o for o in gc.get_objects() if type(o) is list and o[:1] == ["marked"]]
    tree = t.recv()
    assert [o for o in gc.get_objects() if type(o) is list and o[:1] == ["marked"]] == [tree[0]]
    tree[0].append(tree)
    marker = tree[0][1]
    marker.append(tree)
    del tree, marker
    assert gc.collect() > 0


# ---- what is copied ---------------------------------------------------------------------------------

def test_what_something_else_refers_to_is_copied_with_all_below_it():
    t, kept = Tunnel(), {"inner": [1.5, "s" * 40]}
    receipt = t.send([kept, [kept], "t" * 40])
    a, b, _ = t.recv()
    assert a is b[0] and a == kept and a is not kept and a["inner"] is not kept["inner"]
    assert receipt.copied == 2
    a["inner"].append(1)
    assert kept == {"inner": [1.5, "s" * 40]}


def test_what_never_changes_stays_with_both():
    t, text, number, frozen = Tunnel(), "s" * 40, 1.25 * len("ab"), frozenset([2.5])
    receipt = t.send([text, number, (text, number), frozen])
    a, b, c, d = t.recv()
    assert a is text and b is number and c == (text, number) and d is frozen
    assert receipt.copied == 0
    assert text == "s" * 40 and number == 2.5


def test_cycles_are_copied():
    def build():
        a = [1.5]
        a.append({"back": a})
        return [a]

    t = Tunnel()
    receipt = send_from_elsewhere(t, build)
    (a,) = t.recv()
    assert a[0] == 1.5 and a[1]["back"] is a and receipt.copied == 2
    a.clear()


def test_a_copy_is_the_receivers_own():
    def build():
        a = [[1.5] for _ in range(10)]
        a.append(a)
        return [a]

    t = Tunnel()
    send_from_elsewhere(t, build)
    (a,) = t.recv()
    assert all(owner(o).is_mine for o in [a, *a[:10]])
    a.clear()


def test_what_has_a_weak_reference_is_copied():
    t, s = Tunnel(), {1.5}
    ref = weakref.ref(s)
    tree = [s]
    del s
    t.send(tree)
    (copy,) = t.recv()
    assert copy == {1.5} and ref() is None


def test_instances_move():
    def build():
        p = Point(1.5)
        s = Slotted([2.5], {"k": [3.5]})
        d = Dictful(4.5)
        return [p, s, d, {"again": p}]

    t = Tunnel()
    receipt = send_from_elsewhere(t, build)
    p, s, d, again = t.recv()
    assert (p.x, p.y, s.a, s.b, d.x, d.more) == ([1.5], "y" * 40, [2.5], {"k": [3.5]}, [4.5], [5.5])
    assert again["again"] is p and (receipt.copied, receipt.pickled) == (0, 0)
    assert all(owner(o).is_mine for o in (p, p.x, s, s.a, s.b, s.b["k"], d, d.x, d.more))
    p.z = 1
    assert vars(p) == {"x": [1.5], "y": "y" * 40, "z": 1}


def test_buffers_and_other_objects_without_containers_move():
    t, kept = Tunnel(), bytearray(b"kept")
    tree = [bytearray(b"x" * 1000), array.array("d", [1.5]), decimal.Decimal("1.5"), datetime.date(2000, 1, 2), kept]
    ids = [id(o) for o in tree]
    receipt = t.send(tree)
    got = t.recv()
    assert got == [b"x" * 1000, array.array("d", [1.5]), decimal.Decimal("1.5"), datetime.date(2000, 1, 2), b"kept"]
    assert [id(o) for o in got[:4]] == ids[:4] and got[4] is not kept and receipt.pickled == 1


class Point:
    def __init__(self, x):
        self.x = [x]
        self.y = "y" * len("y" * 40)


class Slotted:
    __slots__ = ("a", "b", "c", "__weakref__")

    def __init__(self, a, b):
        self.a, self.b = a, b


class Dictful(Point):
    """Its attributes are in a dict of its own: it was replaced."""

    def __init__(self, x):
        self.__dict__ = {"x": [x], "more": [x + 1]}


def test_a_part_of_an_instance_that_something_else_refers_to_is_copied():
    t, kept = Tunnel(), [1.5]
    tree = [Slotted(kept, None), Point(1)]
    tree[1].x = kept
    receipt = t.send(tree)
    s, p = t.recv()
    assert s.a is p.x and s.a == [1.5] and s.a is not kept and receipt.copied == 1 and receipt.pickled == 0


def test_an_instance_whose_dict_somebody_has_is_copied():
    t, p = Tunnel(), Point(1.5)
    attributes = p.__dict__
    tree = [p]
    del p
    receipt = t.send(tree)
    (q,) = t.recv()
    q.x.append(2.5)
    assert attributes["x"] == [1.5] and receipt.pickled == 1


def test_other_instances_are_copied_by_deepcopy_and_classes_stay():
    t, p = Tunnel(), Point(1.5)
    receipt = t.send([p, p, Point, len, collections.OrderedDict(a=[1.5])])
    a, b, cls, function, ordered = t.recv()
    assert a is b and a is not p and a.x == [1.5] and a.x is not p.x
    assert cls is Point and function is len and ordered == {"a": [1.5]}
    assert receipt.pickled == 2


def test_tunnels_and_locks_are_the_same_on_both_sides():
    from objtunnel import Lock
    t, reply, lock = Tunnel(), Tunnel(), Lock()
    t.send([reply, lock])
    a, b = t.recv()
    assert a == reply and b == lock


def test_keys_and_elements_are_never_replaced():
    class Key:
        pass

    t, key = Tunnel(), Key()
    t.send([{key: [1.5]}, {key}])
    d, s = t.recv()
    assert d[key] == [1.5] and key in s


def test_an_instances_dict_is_copied():
    t, p = Tunnel(), Point(1.5)
    t.send([p.__dict__])
    (d,) = t.recv()
    d["x"].append(2)
    assert d["x"] == [1.5, 2] and p.x == [1.5]


def test_a_tuple_itself_is_copied_in_a_list_it_moves():
    t = Tunnel()
    assert send_from_elsewhere(t, lambda: ([1.5], "a")).moved == 0
    assert t.recv() == ([1.5], "a")
    receipt = send_from_elsewhere(t, lambda: [([1.5], "a")])
    assert receipt.moved >= 3 and receipt.copied == 0 and t.recv() == [([1.5], "a")]


def test_put_keeps_the_callers_objects():
    t, x = Tunnel(), [[1.5]]
    t.put(x)
    y = t.get()
    assert x == y == [[1.5]] and x is not y and x[0] is not y[0]


def test_share_passes_the_pointer():
    t, x = Tunnel(), [[1.5]]
    assert t.send(x, share=True) == (0, 0, 0)
    assert t.recv() is x and x == [[1.5]]


@pytest.mark.parametrize("kind", [list, lambda rows: {i: row for i, row in enumerate(rows)}, lambda rows: {tuple(row) for row in rows}],
                         ids=["list", "dict", "set"])
def test_a_root_that_another_thread_reads_is_emptied_and_its_content_moves(kind):
    """Its memory stays where it is: readers may be in it."""
    t, told, go, box = Tunnel(), threading.Event(), threading.Event(), []

    def other():
        root = kind([[i + 0.5] for i in range(100)])
        box.append(root)
        told.set()
        go.wait(60)
        return t.send(root), len(root)

    task = Task(other)
    assert told.wait(60)
    assert len(list(box[0])) == 100 and box[0] == kind([[i + 0.5] for i in range(100)])
    go.set()
    receipt, left = task.done()
    assert left == 0 and receipt.copied == 0 and len(box[0]) == 0
    assert t.recv() == kind([[i + 0.5] for i in range(100)])


# ---- failures ---------------------------------------------------------------------------------------

def test_strict_refuses_and_changes_nothing():
    t, kept = Tunnel(), [1.5]
    tree = make(2) + [{"k": [kept]}]
    with pytest.raises(SharedReferenceError, match=r"\$\[2\]\['k'\]\[0\], a list") as caught:
        t.send(tree, strict=True)
    assert caught.value.path == "$[2]['k'][0]" and caught.value.count == 1
    assert tree == make(2) + [{"k": [[1.5]]}] and tree[2]["k"][0] is kept and t.empty()
    assert all(gc.is_tracked(o) for o in (tree, tree[0], tree[2]))
    del kept
    assert t.send(tree, strict=True).copied == 0


def test_what_cannot_be_copied_raises_and_changes_nothing():
    t, kept, file = Tunnel(), [1.5], io.TextIOWrapper(io.BytesIO())
    tree = [kept, {"f": [file]}]
    with pytest.raises(TypeError) as caught:
        t.send(tree)
    assert "$[1]['f'][0]" in caught.value.__notes__[0]
    assert tree == [[1.5], {"f": [file]}] and tree[0] is kept and t.empty()
    assert all(gc.is_tracked(o) for o in (tree, tree[1], tree[1]["f"]))


class Refuses:
    def __deepcopy__(self, memo):
        raise ZeroDivisionError("refused")


def test_an_error_of_deepcopy_changes_nothing():
    t, kept, refuses = Tunnel(), {"k": [1.5]}, Refuses()
    for tree in ([kept, refuses], {"a": kept, "b": refuses}, (kept, refuses), refuses):
        was = repr(tree)
        with pytest.raises(ZeroDivisionError):
            t.send(tree)
        assert repr(tree) == was and t.empty()


def test_what_comes_into_the_root_meanwhile_stays():
    class Adds:
        def __deepcopy__(self, memo):
            tree.append("added")
            raise ZeroDivisionError

    t, adds = Tunnel(), Adds()
    tree = [1.5, adds]
    with pytest.raises(ZeroDivisionError):
        t.send(tree)
    assert tree == [1.5, adds, "added"]


def test_a_full_tunnel_leaves_the_tree_untouched():
    t, x = Tunnel(maxsize=1), [1.5]
    t.send([0])
    with pytest.raises(TunnelFull):
        t.send_nowait(x)
    with pytest.raises(TunnelFull):
        t.send(x, timeout=0.01)
    assert x == [1.5]
    t.recv()
    with pytest.raises(TunnelEmpty):
        t.recv_nowait()


def test_deepcopy_cannot_come_by_what_moves():
    """It runs Python code in the middle of a send: even the collector's list does not have the tree then."""
    found = []

    class Looks:
        def __deepcopy__(self, memo):
            found.extend(o for o in gc.get_objects() if type(o) is dict and o.get("mark") == "moves")
            return self

    t, looks = Tunnel(), Looks()
    t.send([{"mark": "moves", "l": [1.5]}, looks])
    assert found == [] and t.recv()[0]["mark"] == "moves"


def test_until():
    from concurrent.futures import ThreadPoolExecutor

    t = Tunnel()

    def work(n):
        for i in range(n):
            t.send([i, [i + 0.5]])

    with ThreadPoolExecutor(2) as pool:
        got = sorted(t.until(pool.submit(work, 20), pool.submit(work, 20)))
    assert got == sorted([[i, [i + 0.5]] for i in range(20)] * 2)
