"""objtunnel.explain: the same verdicts as a send's, nothing changed, and who holds what."""

import gc
import json
import pickle
import sys
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

import objtunnel
import stdlib_kinds
import trees
from objtunnel import Tunnel, explain
from recipes import recipes

OUTSIDE = st.lists(st.integers(0, 23), max_size=3)


def number(i):
    return (i + 10) / 7


def copied_by(explanation):
    return sum(f.objects for f in explanation.findings if f.what == "copied")


def assert_explained_as_sent(tree):
    """explain() counts what send() counts, and each copy has a cause."""
    explanation = explain(tree)
    text, size = str(explanation), len(explanation.findings)
    receipt = Tunnel().send(tree)
    assert explanation.receipt == receipt and explanation.refused == 0
    assert copied_by(explanation) == receipt.copied
    assert sum(f.objects for f in explanation.findings if f.what == "pickled") <= receipt.pickled
    assert text.count("\n") >= size
    return explanation


# ---- the same verdicts as a send's --------------------------------------------------------------

@pytest.mark.parametrize("name", list(stdlib_kinds.MAKERS))
def test_every_kind(name):
    make = stdlib_kinds.MAKERS[name]
    make()
    assert_explained_as_sent([make()])
    kept = make()
    assert_explained_as_sent([kept, [kept]])
    assert_explained_as_sent(make())
    stdlib_kinds.assert_same(kept, make())


@given(recipes(), OUTSIDE)
def test_random_trees(recipe, outside):
    tree = trees.build(recipe)
    kept = [tree[i % len(tree)] for i in outside]
    before = explain(tree).receipt
    assert_explained_as_sent(tree)
    del kept
    assert sum(before) >= 0


@given(recipes(), OUTSIDE)
def test_nothing_is_changed(recipe, outside):
    """What was explained is sent, used hard and freed as if it had not been."""
    tree = trees.build(recipe)
    kept = [tree[i % len(tree)] for i in outside]
    gc.collect()  # which untracks tuples; between the two looks there shall be none
    gc.disable()
    try:
        tracked = [gc.is_tracked(o) for o in tree]
        explain(tree)
        assert [gc.is_tracked(o) for o in tree] == tracked
    finally:
        gc.enable()
    trees.assert_same(tree, trees.build(recipe))
    gc.collect()
    t = Tunnel()
    t.send(tree)
    got = t.recv()
    trees.assert_same(got, trees.build(recipe))
    trees.abuse(got)
    del kept


def test_refcounts_stay():
    row, text = [number(1)], "".join(["a", "b"])
    tree = [row, {"k": text}, (row, text), {text}]
    before = [sys.getrefcount(o) for o in (row, text, *tree)]
    explain(tree)
    explain(tree)
    assert [sys.getrefcount(o) for o in (row, text, *tree)] == before


def test_what_is_returned_refers_to_nothing_of_the_tree():
    class Node:
        pass
    node = Node()
    alive = weakref.ref(node)
    explanation = explain([node])
    del node
    gc.collect()
    assert alive() is None and explanation.findings


@pytest.mark.parametrize("leaf", [None, 5, 10**30, 0.5, "text", "a text", b"bytes", (), (1, 2), frozenset({1.5}), print, int])
def test_roots_that_stay(leaf):
    assert explain(leaf).receipt == Tunnel().send(leaf)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="3.13 cannot tell that a root is a temporary")
def test_a_temporary_is_explained_as_one():
    t = Tunnel()
    explanation = explain((number(1), [number(2)]))  # pytest gives what stands in an assert a name
    receipt = t.send((number(1), [number(2)]))
    assert explanation.receipt == receipt == (4, 0, 0)
    kept = (number(1), [number(2)])
    assert explain(kept).receipt == t.send(kept) and explain(kept).findings[0].path == "$"


def test_cycles_and_what_hangs_below():
    inner = [number(3)]
    ring = [inner]
    ring.append(ring)
    explanation = assert_explained_as_sent([[inner], ring])
    assert {f.path for f in explanation.findings} == {"$[1]", "$[0][0]"}
    tree = [[ring], [inner]]
    del ring, inner
    assert {f.why for f in assert_explained_as_sent(tree).findings} == set()


def test_a_million_numbers_that_something_holds():
    numbers = [number(i) for i in range(50_000)]
    explanation = assert_explained_as_sent([numbers[:], []])
    shown, counted = explanation.findings
    assert (shown.count, counted.count) == (20, 49_980)
    assert shown.holders[0].startswith("`numbers[0]` in ")
    assert explanation.copied_bytes == 50_000 * sys.getsizeof(0.5)


def test_types_that_are_met_first(worker):
    fresh = type("Fresh", (), {"__module__": __name__})
    globals()["Fresh"] = fresh
    o = fresh()
    o.a = [number(1)]
    assert_explained_as_sent([o, fresh()])


# ---- who holds what -----------------------------------------------------------------------------

at_top = [number(1)]  # a global
LINE_OF_AT_TOP = sys._getframe().f_lineno - 1


def only(explanation):
    [finding] = explanation.findings
    assert finding.what == "copied"
    return finding


def holders(tree):
    return only(explain(tree)).holders


def test_a_local_variable_and_its_line():
    rows = [number(1)]
    line = sys._getframe().f_lineno - 1
    finding = only(explain([1, rows]))
    assert (finding.path, finding.type, finding.references, finding.objects) == ("$[1]", "list", 1, 2)
    [holder] = finding.holders
    assert holder.startswith("`rows` in ") and f"test_explain.py:{line}, in test_a_local_variable" in holder
    assert finding.why == "1 reference from outside of the tree"
    rows = None


def test_a_global_variable_and_its_line():
    [holder] = holders([at_top])
    assert holder.startswith("`at_top` in ") and holder.endswith(f"test_explain.py:{LINE_OF_AT_TOP}")


def test_items_of_named_containers():
    table = {"rows": [number(1)], "more": {(1, 2): [number(2)]}}
    assert any(h.startswith("`table['rows']` in ") for h in holders([table["rows"]]))
    assert any("[(1, 2)] of a dict of 1" in h for h in holders([table["more"][1, 2]]))


def test_attributes_closures_defaults_generators_constants():
    class Owner:
        pass

    def kept_by_owner():
        owner.rows = [number(1)]
        return owner.rows

    owner = Owner()
    assert any(h.startswith("`owner.rows` in ") for h in holders([kept_by_owner()]))
    assert "rows" not in owner.__dict__ or vars(owner)["rows"] == [number(1)]

    def closure():
        hidden = [number(2)]
        return (lambda: hidden), hidden
    function, value = closure()
    tree = [value]
    del value
    assert any("`hidden`, which" in h and "closure.<locals>.<lambda>()" in h for h in holders(tree))

    def defaults(rows=[number(3)]):
        return rows
    assert any("a default of" in h and "defaults()" in h for h in holders([defaults()]))

    def suspended():
        mine = [number(4)]
        yield mine
    running = suspended()
    assert any("`mine` of" in h and "suspended()" in h for h in holders([next(running)]))

    assert any("a constant in the code of" in h for h in holders([b"some constant bytes"]))


class Seen:
    pass


def test_weak_references_and_buffers():
    tree = [Seen()]
    seen = weakref.ref(tree[0])
    assert only(explain(tree)).why == "1 weak reference can look into it" and seen() is tree[0]
    data = [bytearray(1000)]
    view = memoryview(data[0])
    assert only(explain(data)).why.startswith("something can look into it") and len(view) == 1000


def test_what_only_c_code_holds():
    hidden = iter([b"a thousand bytes " * 60])
    tree = [next(hidden)]
    tuple_of_it = (tree[0],)
    gc.collect()  # the collector lets go of a tuple without containers
    finding = only(explain(tree))
    assert finding.holders and tuple_of_it


def test_limit():
    rows = [[number(i)] for i in range(30)]
    explanation = explain([list(rows)], limit=3)
    assert [f.count for f in explanation.findings] == [3, 27] and explanation.findings[1].path is None
    assert explain([list(rows)], limit=0).findings[0].count == 30
    for wrong in (-1, "3", 1.5):
        with pytest.raises(ValueError, match="limit must be"):
            explain([], limit=wrong)
    for arguments in ((), (1, 2)):
        with pytest.raises(TypeError):
            explain(*arguments)
    with pytest.raises(TypeError):
        explain([], strict=True)


# ---- pickled and refused ------------------------------------------------------------------------

def test_pickled_things_and_their_size():
    key = stdlib_kinds.Key(5)
    explanation = explain([key, [key], print])
    assert explanation.receipt == Tunnel().send([key, [key], print]) == (2, 0, 2)
    by_path = {f.path: f for f in explanation.findings}
    assert by_path["$[0]"].bytes == len(pickle.dumps(key, 5)) and by_path["$[0]"].what == "pickled"
    assert by_path[None].why == "goes by its name, or by value where it has none"


def test_what_is_refused_is_said_and_not_raised():
    tree = [[], {"f": lambda: None}, [open]]
    with open(__file__) as file:
        tree[0].append(file)
        explanation = explain(tree)
        assert explanation.refused == 2
        refused = {f.path: f for f in explanation.findings if f.what == "refused"}
        assert set(refused) == {"$[0][0]", "$[1]['f']"}
        assert "os.dup" in refused["$[0][0]"].why
        with pytest.raises(TypeError, match=r"\$\[0\]\[0\]"):
            Tunnel().send(tree)
        assert "2 cannot be sent: send raises TypeError" in str(explanation)


def test_an_interrupt_while_pickling_is_raised():
    class Interrupts:
        def __reduce__(self):
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        explain([Interrupts()])


class Odd(list):
    def __sizeof__(self):
        raise ValueError


def test_a_sizeof_that_fails():
    odd = Odd([number(1)])
    assert only(explain([odd])).objects == 2


def test_tunnels_in_the_tree():
    t = Tunnel()
    assert_explained_as_sent([t, [t], number(1)])


def test_texts_and_json():
    rows = [number(1)]
    explanation = explain([rows])
    record = json.loads(json.dumps(explanation.to_dict()))
    assert record["copied"] == 2 and record["findings"][0]["path"] == "$[0]"
    assert repr(explanation) == "<Explanation: 1 moved, 2 copied, 0 pickled, 0 refused>"
    assert repr(explanation.findings[0]).startswith("<Finding: copied $[0] list, 2 objects")
    assert isinstance(explanation, objtunnel.Explanation)
    assert isinstance(explanation.findings[0], objtunnel.Finding)


def test_in_a_worker(worker):
    worker.run("""if True:
        from objtunnel import explain
        rows = [0.5 * len(__name__)]
        explanation = explain([[rows], rows])
        assert list(explanation.receipt) == [2, 2, 0]
        assert explanation.findings[0].holders[0].startswith("`rows` in "), explanation.findings[0].holders
    """)


def test_arrays_of_numpy():
    np = pytest.importorskip("numpy", reason="no NumPy: pip install numpy into the venv")
    kept = np.ones((2, 3))
    found = explain([np.ones((2, 3)), kept])
    assert [(f.what, f.path, f.objects) for f in found.findings] == [("copied", "$[1]", 1)]
    assert found.receipt == (2, 1, 0) and "kept" in str(found)
