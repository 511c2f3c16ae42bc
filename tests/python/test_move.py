"""What moves, what is copied, what is pickled; the hazards of the design, one test each."""

import array
import collections
import enum
import gc
import math
import pathlib
import pickle
import subprocess
import sys
import types
import weakref

import pytest

import objtunnel
import trees
from objtunnel import SharedReferenceError, Tunnel, _core


def through(tree):
    t = Tunnel()
    t.send(tree)
    return t.recv()


def fresh(text):
    """A str that nothing interned or cached."""
    return "".join(list(text))


# ---- moved: the same object at the same address -------------------------------------------------

def movable_objects():
    return {
        "list": [1.5], "dict": {fresh("k"): 2.5}, "tuple": tuple([float("1.5")]),
        "set": {float("3.5")}, "frozenset": frozenset([float("4.5")]), "str": fresh("text"),
        "non-ascii": fresh("tëxt€"), "int": int("123456789"), "huge": 1 << int("700"),
        "float": float("2.25"), "complex": complex(float("1"), 2), "bytes": bytes(bytearray(99)),
        "bytearray": bytearray(b"abc"), "array": array.array("d", [1, 2]),
        "range": range(int("1000"), int("10000")), "slice": slice(float("1"), [2], None),
    }


@pytest.mark.parametrize("kind", movable_objects())
def test_an_exclusive_object_keeps_its_address(kind):
    older = [[] for _ in range(100)]  # those of CPython's free lists, from before our heap
    box = [movable_objects()[kind]]
    address = id(box[0])
    t = Tunnel()
    receipt = t.send(box)
    (got,) = t.recv()
    assert id(got) == address and len(older) == 100
    assert receipt.pickled == 0
    assert _core._owns(got)
    expected = movable_objects()[kind]
    assert got == expected and type(got) is type(expected)


@pytest.mark.parametrize("kind", movable_objects())
def test_a_referenced_object_is_copied_and_stays(kind):
    kept = movable_objects()[kind]
    (got,) = through([kept])
    assert got is not kept
    trees.assert_same(got, kept)
    trees.assert_same(kept, movable_objects()[kind])


@pytest.mark.parametrize("root", [[1, [2]], {"a": [1]}, {1.5, "x"}, bytearray(b"abc"),
                                  array.array("i", [1, 2])])
def test_a_mutable_root_is_left_empty_and_usable(root):
    expected = pickle.loads(pickle.dumps(root))
    got = through(root)
    assert got == expected and got is not root
    assert len(root) == 0 and type(root) is type(expected)
    trees.abuse(root)
    trees.abuse(got)


@pytest.mark.parametrize("root", [(1, [2.5]), frozenset([1.5, "x"]), "text", b"bytes", 12345, 1.5,
                                  None, True, (), range(5, 10**9), slice(1, 2), 1j])
def test_an_immutable_root_stays_with_the_sender(root):
    got = through(root)
    trees.assert_same(got, root)


def test_inner_sharing_and_cycles_move():
    a, b = [float("1.5")], {}
    b["a"], b["self"] = a, b
    root = [a, a, b, b]
    addresses = id(a), id(b)
    del a, b
    t = Tunnel()
    t.send(root)
    got = t.recv()
    assert got[0] is got[1] is got[2]["a"] and got[2] is got[3] is got[2]["self"]
    assert (id(got[0]), id(got[2])) == addresses


def test_a_cycle_through_the_root():
    x = [float("1.5")]
    x.append([x])
    got = through(x)
    assert x == [] and got[1][0] is got and got[0] == 1.5


def test_a_cycle_held_from_outside_is_copied_whole():
    a = [float("1.5")]
    b = [a]
    a.append(b)
    got = through([a])
    assert got[0] is not a and got[0][1][0] is got[0] and got[0][1] is not b
    assert a[1] is b and b[0] is a


def test_what_hangs_below_an_outsider_is_copied_once():
    shared = [float("1.5")]
    inner = {"deep": [shared]}
    outsider = [inner]
    del inner
    got = through([outsider, shared, [shared]])
    assert got[0][0]["deep"][0] is got[1] is got[2][0]
    assert got[1] is not shared and outsider[0]["deep"][0] is shared


def test_refcounts_are_exact_afterwards():
    box = [[fresh("abc")] * 3, {fresh("k"): 1.5}]
    got = through(box)
    counts = [sys.getrefcount(got[0][0]), sys.getrefcount(got[0]), sys.getrefcount(got[1])]
    model = [[fresh("abc")] * 3, {fresh("k"): 1.5}]
    assert counts == [sys.getrefcount(model[0][0]), sys.getrefcount(model[0]),
                      sys.getrefcount(model[1])]


# ---- depth and size ------------------------------------------------------------------------------

DEPTH = 50_000 if hasattr(sys, "gettotalrefcount") else 1_000_000  # debug builds take minutes

@pytest.mark.parametrize("wrap", [lambda o: [o], lambda o: (o,), lambda o: {"k": o}],
                         ids=["list", "tuple", "dict"])
def test_a_million_levels_deep(worker, wrap):
    t = Tunnel()
    deep = 1.5
    for _ in range(DEPTH):
        deep = wrap(deep)
    box = [deep]
    del deep
    t.send(box)
    assert worker.call(depth_of, t) == DEPTH


def depth_of(t):
    (o,) = t.recv()
    depth = 0
    while type(o) is not float:
        o = o["k"] if type(o) is dict else o[0]
        depth += 1
    return depth


def test_a_million_levels_copied():
    deep = []
    for _ in range(DEPTH):
        deep = [deep]
    kept = deep
    (got,) = through([deep])
    depth = 0
    while got:
        assert got is not kept
        (got,), (kept,) = got, kept
        depth += 1
    assert depth == DEPTH and kept == []


@pytest.mark.parametrize("make", [lambda n: array.array("d", bytes(n)), bytearray, bytes],
                         ids=["array", "bytearray", "bytes"])
def test_a_big_block_moves(worker, make):
    t = Tunnel()
    box = [make(200_000_000)]
    address = id(box[0])
    t.send(box)
    assert worker.call(look_at_block, t) == (address, 200_000_000)


def look_at_block(t):
    (o,) = t.recv()
    size = memoryview(o).nbytes
    if not isinstance(o, bytes):
        o[-1] = 7
        o.append(1)
    return id(o), size


# ---- hazards ---------------------------------------------------------------------------------------

def test_interned_keys_are_interned_again(worker):
    t = Tunnel()
    key = sys.intern(fresh("objtunnel test key"))
    box = [{key: 1.5, fresh("plain"): 2}, {key: 2.5}]
    t.send(box)
    del key
    assert worker.call(check_interned, t)


def check_interned(t):
    rows = t.recv()
    mine = sys.intern("".join(["objtunnel test", " key"]))
    return all(any(k is mine for k in row) and row[mine] for row in rows)


def test_interned_strings_do_not_travel(worker):
    t = Tunnel()
    text = sys.intern(fresh("objtunnel interned value"))
    t.send([text, (text,), {text}, {1: text}])
    got = worker.call(ids_of, t)
    assert id(text) not in got


def ids_of(t):
    a, (b,), (c,), d = t.recv()
    assert a == b == c == d[1] == "objtunnel interned value"
    return [id(a), id(b), id(c), id(d[1])]


def test_a_dict_used_as_globals_on_both_sides(worker):
    """dk_version: code specialised on the dict here must not hit there, nor the reverse."""
    names = {"x": 1}
    exec("def f():\n    return x\nfor _ in range(100): f()", names)
    del names["f"], names["__builtins__"]
    assert worker.call(specialise, [names])
    t = Tunnel()
    t.send([names])
    (got,) = t.recv()
    exec("def f():\n    return x\nr = [f() for _ in range(100)]", got)
    assert got["r"] == [1] * 100


def specialise(box):
    (names,) = box
    names["x"] = 2
    exec("def f():\n    return x\nr = [f() for _ in range(100)]", names)
    names["x"] = 3
    exec("r += [f() for _ in range(100)]", names)
    return names["r"] == [2] * 100 + [3] * 100


class Plain:
    def __init__(self, a):
        self.a = a
        self.b = [a]


def test_an_instances_dict_is_copied():
    o = Plain(1.5)
    got = through([vars(o)])[0]
    assert got == {"a": 1.5, "b": [1.5]} and got is not vars(o)
    trees.abuse(got)
    assert vars(o) == {"a": 1.5, "b": [1.5]}


def test_an_orphaned_split_dict():
    o = Plain(2.5)
    box = [vars(o)]
    del o
    (got,) = through(box)
    assert got == {"a": 2.5, "b": [2.5]}
    trees.abuse(got)
    assert Plain(1).a == 1


def test_a_root_that_is_an_instances_dict_stays():
    o = Plain(1.5)
    assert through(vars(o)) == {"a": 1.5, "b": [1.5]}
    assert o.a == 1.5


def test_a_modules_globals_stay():
    module = types.ModuleType("m")
    exec("def f(): return y\ny = 5\nfor _ in range(100): f()", module.__dict__)
    del module.__dict__["__builtins__"], module.__dict__["f"], module.__dict__["__loader__"]
    del module.__dict__["__spec__"]
    got = through([module.__dict__])[0]
    assert got["y"] == 5 and module.y == 5


def test_nan_keys_find_themselves():
    nan = float("nan")
    kept = {nan: 1, (nan, 2): 3}
    got, moved = through([kept, {float("nan"): 1}])
    for d in (got, moved, kept):
        assert all(k in d for k in d)
    assert math.isnan(next(iter(got))) and kept[nan] == 1


def test_sets_of_frozensets_with_nan_are_rehashed():
    nan = float("nan")
    inner = frozenset([nan, 1])
    kept = {frozenset([inner, (nan, inner)]), inner}
    (got,) = through([kept])
    assert all(x in got for x in got) and len(got) == 2
    assert all(y in x for x in got for y in x)


@pytest.mark.parametrize("make", [lambda: bytearray(b"abc"), lambda: array.array("i", [1, 2, 3])],
                         ids=["bytearray", "array"])
def test_an_exported_buffer_stays(make):
    kept = make()
    view = memoryview(kept)
    (got,) = through([kept])
    assert got == kept and got is not kept
    assert through(kept) == make() and kept == make()
    if isinstance(kept, bytearray):
        view[0] = 7
        assert kept[0] == 7 and got[0] != 7


@pytest.mark.parametrize("make", [lambda: {1.5}, lambda: frozenset([1.5]),
                                  lambda: array.array("i", [1])], ids=["set", "frozenset", "array"])
def test_a_weakly_referenced_object_stays_while_something_holds_it(make):
    box = [make()]
    died = []
    ref = weakref.ref(box[0], lambda _: died.append(1))
    address = id(box[0])
    t = Tunnel()
    t.send(box)
    (got,) = t.recv()
    assert got == make() and id(got) != address
    assert ref() is None and died == [1]  # only the tree held it, so the original has died here


def test_an_iterator_over_the_root_ends():
    t = Tunnel()
    x = [1.5, 2.5, 3.5]
    for _ in x:
        t.send(x)
    assert t.qsize() == 1 and t.recv() == [1.5, 2.5, 3.5]


def test_sending_a_list_that_is_being_sorted():
    t = Tunnel()
    x = [3, 1, 2]
    x.sort(key=lambda v: (t.send(x), v)[1])
    assert x == [1, 2, 3] and t.recv() == []


def test_a_local_variable_keeps_its_tuple():
    """3.14 borrows references on its stack: a refcount of 1 proves nothing for the root."""
    t = Tunnel()

    def send():
        local = (float("1.5"), [float("2.5")])
        t.send(local)
        gc.collect()
        return local

    kept = send()
    got = t.recv()
    assert got == kept == (1.5, [2.5]) and got[1] is not kept[1]
    got[1].append(1)
    assert kept == (1.5, [2.5])


def test_partial_keeps_its_tuple():
    import functools
    t = Tunnel()
    send = functools.partial(t.send, (float("1.5"), [2.5]))
    send()
    send()
    assert t.recv() == t.recv() == (1.5, [2.5]) == send.args[0]


def test_a_temporary_tuple():
    t = Tunnel()
    receipt = t.send((float("1.5"), [float("2.5")]))
    assert t.recv() == (1.5, [2.5])
    if sys.version_info >= (3, 14):
        assert receipt.copied == 0  # 3.13 cannot tell, and copies


def test_a_receipt_never_changes():
    """Equal ones may be the same object; one that a program holds keeps its counts, whatever is sent after it."""
    t = Tunnel()
    kept = [t.send(tree) for tree in (None, [1000], None, [[1.5], [2.5]], [1000], None)]
    seen = [tuple(receipt) for receipt in kept]
    assert seen[0] == seen[2] == seen[5] and seen[1] == seen[4] and len(set(seen)) == 3
    with pytest.raises(TypeError, match="generator"):
        t.send([i for i in range(3)] + [(i for i in "x")])
    for i in range(50):
        t.send([0.5] * i)
    gc.collect()
    assert [tuple(receipt) for receipt in kept] == seen
    assert all(hash(receipt) == hash(tuple(receipt)) for receipt in kept)


def test_receipts_hash_as_tuples():
    t = Tunnel()
    r = t.send([1.5])
    hash(r)
    del r
    r = t.send([1.5, 2.5, [3.5]])
    assert hash(r) == hash(tuple(r)) and tuple(r) in {r}


@pytest.mark.skipif("array" in sys.builtin_module_names, reason="no file can hide a built-in module")
def test_a_module_array_of_the_users(tmp_path):
    """It hides the standard library's: ImportError if that is not imported yet, no crash."""
    root = pathlib.Path(objtunnel.__file__).parent.parent
    tmp_path.joinpath("array.py").write_text("array = 1\n")
    tmp_path.joinpath("main.py").write_text(f"import sys; sys.path.append({str(root)!r})\n"
                                            "import array, objtunnel\n")
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 1 and "ImportError: objtunnel: array.array" in done.stderr, done.stderr


class SendsInFinaliser:
    def __init__(self, t, x):
        self.t, self.x, self.me = t, x, self

    def __del__(self):
        self.t.send(self.x)


@pytest.mark.parametrize("cyclic", [False, True])
def test_sending_from_a_finaliser(cyclic):
    t = Tunnel()
    x = [[1.5], {"k": [2.5]}]
    o = SendsInFinaliser(t, x)
    if not cyclic:
        o.me = None
    del o, x
    gc.collect()
    got = t.recv(timeout=0)
    assert got == [[1.5], {"k": [2.5]}]
    trees.abuse(got)


def test_sending_garbage_from_its_own_finaliser():
    t = Tunnel()
    x = [[float("1.5")]]
    x.append(SendsInFinaliser(t, x))
    x[1].x = x[0]
    x[0].append(x)
    del x
    gc.collect()
    assert t.qsize() == 1
    t.close(immediate=True)


def test_objects_older_than_the_import(run_script):
    run_script("""
        import array, gc
        if __name__ == "__main__":
            old = {"list": [[1.5, "abc", 2**70] for _ in range(100)],
                   "dicts": [{"k" + str(i): [float(i)], float(i): i} for i in range(100)],
                   "sets": [{float(i), str(i)} for i in range(50)] + [set(map(float, range(50)))],
                   "bytes": [bytes([i, i]) for i in range(50)], "array": array.array("d", [1, 2]),
                   "ba": bytearray(b"x" * 1000), "utf8": ["ä" * i for i in range(20)],
                   "tuples": [(float(i), [i]) for i in range(50)], "range": range(10**9, 2 * 10**9),
                   "slice": slice([1], 2.5, None), "complex": complex(1.5, 2)}
            import copy
            before = copy.deepcopy(old)
            [s.encode() for s in old["utf8"]]
            import objtunnel
            from objtunnel import _core
            # Where Python runs on malloc (PYTHONMALLOC, sanitizers) there is no older heap.
            assert _core._owns(old["list"]) == (not objtunnel.heap_info().installed)
            t = objtunnel.Tunnel()
            t.send(old)
            got = t.recv()
            assert got == before, got

            def check(o, path="$"):
                assert _core._owns(o) or o is None or isinstance(o, (int, str, bytes)) , (path, o)
                if isinstance(o, (list, tuple, set)):
                    [check(x, path + "[]") for x in o]
                if isinstance(o, dict):
                    [check(x, path + "{}") for x in o.values()]

            check(got)
            t.send(got)
            with objtunnel.Interpreter() as i:
                i.call(work, t)
            gc.collect()
        """.replace("import array, gc", '''import array, gc
        def work(t):
            import gc
            x = t.recv()
            x["list"].append(1); x["ba"] += b"y"; x["array"].append(3)
            for d in x["dicts"]: d["n"] = 1
            gc.collect()
            del x
            gc.collect()
        '''))


# ---- pickled ------------------------------------------------------------------------------------------

class Colour(enum.Enum):
    RED = 1


class ByIdentity:
    """Default hash and eq: the hash changes when it is rebuilt."""

    def __init__(self, n=0):
        self.n = n


def test_unknown_types_are_pickled_in_place():
    box = [1.5, [Plain(2.5)], {"k": collections.OrderedDict(a=1)}, Colour.RED, len, Plain]
    receipt_of = Tunnel()
    receipt = receipt_of.send(box)
    got = receipt_of.recv()
    assert receipt.pickled == 3
    assert type(got[1][0]) is Plain and got[1][0].b == [2.5]
    assert got[2]["k"] == collections.OrderedDict(a=1) and got[3] is Colour.RED
    assert got[4] is len and got[5] is Plain


def test_pickled_objects_share_among_each_other():
    a = Plain(1.5)
    b = Plain(a)
    got = through([a, [b], a])
    assert got[0] is got[2] is got[1][0].a


def test_rebuilt_keys_are_found():
    a = ByIdentity()
    box = [{a: 1, (a, 2): 3}, {a, frozenset([a])}]
    got = through(box)
    d, s = got
    assert all(k in d for k in d) and all(x in s for x in s)
    assert len(d) == 2 and len(s) == 2
    assert all(y in x for x in s if isinstance(x, frozenset) for y in x)


def test_pickling_may_change_the_tree():
    class Grows:
        def __reduce__(self):
            target.append([float("9.5")])
            return (int, (7,))

    target = [float("1.5")]
    root = [Grows(), target]
    got = through(root)
    assert got[0] == 7 and got[1][0] == 1.5 and 2 <= len(got[1]) <= 4


def test_pickling_that_never_ends_is_refused():
    class Hydra:
        def __reduce__(self):
            root.append(Hydra())
            return (int, ())

    root = [Hydra()]
    with pytest.raises(RuntimeError, match="kept changing"):
        Tunnel().send(root)
    assert root


@pytest.mark.parametrize("make, path", [
    (lambda bad: [1, 2, {"rows": [bad]}], r"\$\[2\]\['rows'\]\[0\]"),
    (lambda bad: bad, r"\$"),
    (lambda bad: [(1, {3: (bad,)})], r"\$\[0\]\[1\]\[3\]\[0\]"),
    (lambda bad: {"a": slice(None, bad)}, r"\$\['a'\]\.stop"),
])
def test_what_cannot_be_sent_is_named(make, path):
    bad = (i for i in range(3))
    tree = make(bad)
    expected = repr(tree)
    t = Tunnel()
    with pytest.raises(TypeError, match="^" + path + ": cannot send this generator"):
        t.send(tree)
    assert repr(tree) == expected and t.qsize() == 0
    assert list(bad) == [0, 1, 2]


@pytest.mark.parametrize("bad", [lambda: 1, open(__file__), sys._getframe(), {}.keys()])
def test_other_things_that_cannot_be_sent(bad):
    tree = [[bad]]
    with pytest.raises(TypeError, match=r"^\$\[0\]\[0\]: cannot send"):
        Tunnel().send(tree)
    assert tree == [[bad]]


def test_errors_that_are_not_about_the_object_pass_through():
    class Interrupts:
        def __reduce__(self):
            raise KeyboardInterrupt

    tree = [Interrupts()]
    with pytest.raises(KeyboardInterrupt):
        Tunnel().send(tree)
    assert len(tree) == 1


class FailsToLoad:
    def __reduce__(self):
        return (fail_to_load, ())


def fail_to_load():
    if not FailsToLoad.works:
        raise ImportError("no module named 'elsewhere'")
    return "loaded"


def test_a_message_that_cannot_be_rebuilt_is_kept():
    t = Tunnel()
    t.send([FailsToLoad(), [1.5]])
    t.send("next")
    FailsToLoad.works = False
    for _ in range(3):
        with pytest.raises(ImportError, match="elsewhere"):
            t.recv()
    assert t.qsize() == 2
    FailsToLoad.works = True
    assert t.recv() == ["loaded", [1.5]]
    FailsToLoad.works = False
    t.send([FailsToLoad(), {"k": [1.5]}])
    assert t.recv() == "next"
    t.discard()
    assert t.empty()


# ---- strict ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("make, message", [
    (lambda o: [[o]], r"^\$\[0\]\[0\]: this list .* 1 time"),
    (lambda o: {"a": (o, o)}, r"^\$\['a'\]\[0\]: this list .* 1 time"),
])
def test_strict_names_the_outside_reference(make, message):
    kept = [float("1.5")]
    tree = make(kept)
    with pytest.raises(SharedReferenceError, match=message):
        Tunnel().send(tree, strict=True)
    assert tree == make(kept)


def test_strict_lets_exclusive_trees_pass():
    t = Tunnel()
    receipt = t.send([[float("1.5")], {fresh("kk"): float("2.5")}], strict=True)
    assert receipt.copied == 0 and receipt.moved == 6


def test_strict_refuses_a_pinned_object():
    box = [{1.5}]
    ref = weakref.ref(box[0])
    with pytest.raises(SharedReferenceError, match="weak reference"):
        Tunnel().send(box, strict=True)
    assert ref() == {1.5}


def test_strict_refuses_an_immutable_root():
    x = (1.5, [2])
    with pytest.raises(SharedReferenceError, match=r"^\$: this tuple"):
        Tunnel().send(x, strict=True)
    assert x == (1.5, [2])


class CountsItsPicklings:
    """Each pickling changes the class, so that what was learnt about it holds no more."""

    times = 0

    def __reduce__(self):
        CountsItsPicklings.times += 1
        return CountsItsPicklings, ()


def test_a_class_that_pickling_changes():
    got = through([CountsItsPicklings(), [CountsItsPicklings()]])
    assert type(got[0]) is type(got[1][0]) is CountsItsPicklings
    assert CountsItsPicklings.times >= 2


@pytest.mark.parametrize("listed", [True, False])
def test_a_live_modules_namespace_is_never_emptied(tunnel, listed):
    """Also of a module that is not in sys.modules, and without the names that cannot be pickled."""
    module = types.ModuleType("live_module_of_a_test")
    module.x = [1.5]
    if listed:
        sys.modules[module.__name__] = module
    try:
        for name in ("__loader__", "__spec__"):
            vars(module).pop(name, None)
        before = dict(vars(module))
        receipt = tunnel.send(vars(module))
        assert vars(module) == before and module.x == [1.5] and receipt.moved == 0
        assert tunnel.recv() == before
    finally:
        sys.modules.pop(module.__name__, None)


def test_a_dict_with_a_name_is_emptied_as_any_other(tunnel):
    ordinary = {"__name__": "x", "values": [1.5]}
    tunnel.send(ordinary)
    assert ordinary == {} and tunnel.recv() == {"__name__": "x", "values": [1.5]}
