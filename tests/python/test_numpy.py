"""NumPy arrays, which exist in the main interpreter only. Their data travel: see tunnel/ndata.h."""

import array
import dataclasses
import functools
import gc
import os
import re
import sys
import sysconfig
import threading
import tracemalloc
import weakref

import pytest

import stdlib_kinds
from objtunnel import Box, LockingDict, LockingList, SharedReferenceError, Tunnel, freeze

np = pytest.importorskip("numpy", reason="no NumPy: pip install numpy into the venv")


def sent(o, **options):
    t = Tunnel()
    receipt = t.send(o, **options)
    return t.recv(), receipt


def assert_same(got, expected):
    assert type(got) is np.ndarray and got.dtype == expected.dtype and got.shape == expected.shape
    assert np.array_equal(got, expected) and got.flags.c_contiguous and got.flags.owndata
    assert got.flags.writeable == expected.flags.writeable


ARRAYS = {
    "flat": lambda: np.arange(20.0),
    "steps": lambda: np.arange(20, dtype="i2")[::3],
    "backwards": lambda: np.arange(20, dtype="u8")[::-2],
    "square": lambda: np.arange(6).reshape(2, 3),
    "frame": lambda: np.arange(24, dtype="u1").reshape(2, 4, 3),
    "number": lambda: np.array(3.5),
    "bools": lambda: np.array([True, False]),
    "halves": lambda: np.float16([[1.5, 2]]),
    "Fortran's order": lambda: np.asfortranarray(np.arange(6.0).reshape(3, 2)),
    "transposed": lambda: np.arange(24, dtype="i4").reshape(2, 3, 4).transpose(2, 0, 1),
    "part": lambda: np.arange(24, dtype="u1").reshape(2, 3, 4)[:, ::2],
    "broadcast": lambda: np.broadcast_to(np.arange(3.0), (4, 3)),
    "empty": lambda: np.zeros(0),
    "empty rows": lambda: np.zeros((3, 0, 2), "i4"),
    "64 dimensions": lambda: np.ones((1,) * np.MAXDIMS if hasattr(np, "MAXDIMS") else (1,) * 64),
}


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_arrive_as_arrays_where_numpy_is(make):
    a = make()
    (got, again), receipt = sent([a, a])
    assert_same(got, a)
    assert again is got and receipt == (1, 1, 0)
    (moved,), receipt = sent([make()])
    assert_same(moved, a)
    assert receipt.moved + receipt.copied == 2 and receipt.pickled == 0


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_arrive_as_views_elsewhere(make, worker):
    """And come back as arrays. Those of one dimension are array.array there, if that has the items."""
    there, back = Tunnel(), Tunnel()
    there.send([make()])
    assert worker.call(stdlib_kinds.look_at_array, there, back) == stdlib_kinds.looks(make())
    got, = back.recv()
    if type(got) is array.array:
        got = np.asarray(got)
        assert got.ndim == 1
    assert got.dtype == make().dtype and got.shape == make().shape and np.array_equal(got, make())


def test_read_only_stays_read_only():
    for shape in (6, (2, 3)):
        a = np.arange(6).reshape(shape)
        a.flags.writeable = False
        assert_same(sent([a])[0][0], a)
    assert np.array_equal(a, np.arange(6).reshape(2, 3))


def test_a_read_only_view_elsewhere(worker):
    t = Tunnel()
    a = np.zeros((2, 3))
    a.flags.writeable = False
    t.send([a])
    assert worker.call(stdlib_kinds.try_to_write, t) == "TypeError"


def test_as_a_root():
    a = np.arange(1000.0)
    got, receipt = sent(a)
    assert_same(got, a)
    assert receipt == (0, 1, 0)
    t = Tunnel()
    temporary = t.send(np.arange(1000.0).reshape(10, 100))
    assert temporary == ((1, 0, 0) if sys.version_info >= (3, 14) else (0, 1, 0))
    assert_same(t.recv(), np.arange(1000.0).reshape(10, 100))


@pytest.mark.parametrize("a", [
    np.array([object()]), np.array(["text"]), np.array(["2024-01-01"], dtype="M8[D]"),
    np.array([1 + 2j]), np.arange(3, dtype=">i4"), np.ma.array([1, 2]),
    np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), np.longdouble(1), np.dtype("f8"),
    np.datetime64("2024-01-01"), np.datetime64("NaT"), np.datetime64(3, "ns"), np.timedelta64(3, "M"),
], ids=lambda a: f"{type(a).__name__}-{getattr(a, 'dtype', '')}")
def test_what_only_numpy_has(a):
    with pytest.raises(TypeError, match=r"^\$\['x'\]: cannot send this .*; send "):
        sent({"x": a})


def test_scalars():
    got, _ = sent([np.float64(1.5), np.int8(3), np.bool_(True), np.str_("x"), np.complex64(1j)])
    assert got == [1.5, 3, True, "x", 1j]
    assert list(map(type, got)) == [float, int, bool, str, complex]


def test_to_a_worker(worker):
    t = Tunnel()
    t.send([np.arange(4.0), np.arange(6).reshape(2, 3)])
    assert worker.call(stdlib_kinds.use_arrays, t) == \
        "array('d', [0.0, 1.0, 2.0, 3.0, 4.0]) [[0, 1, 2], [3, 4, 5]]"
    assert worker.call(stdlib_kinds.total, np.arange(6).reshape(2, 3)) == 15


def test_strict():
    a = np.arange(3)
    with pytest.raises(SharedReferenceError, match=r"^\$\[0\]"):
        sent([a], strict=True)
    assert a.tolist() == [0, 1, 2]
    with pytest.raises(SharedReferenceError, match="never moves"):
        sent([np.arange(9)[::2]], strict=True)
    with pytest.raises(SharedReferenceError, match=r"^\$"):
        sent(a, strict=True)
    assert sent([np.ones((2, 2))], strict=True)[1] == (2, 0, 0)


# ---- data that move ---------------------------------------------------------------------------

def address(a):
    return a.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [1, 100, 10**5, 10**7, (10, 10), (100, 50, 3), (1, 1, 1)])
@pytest.mark.parametrize("typecode", "b?Hqefd")
def test_data_of_its_own_move(shape, typecode):
    a = np.ones(shape, typecode)
    where, tree = address(a), [a, {"again": a}]
    del a
    t = Tunnel()
    assert t.send(tree) == (3, 1, 0)  # the key "again" is the copy
    del tree
    gc.collect()
    first, second = t.recv()
    assert second["again"] is first and address(first) == where
    assert_same(first, np.ones(shape, typecode))
    del second
    first.resize(7, refcheck=False)  # has the data for its own
    first[-1] = 1
    gc.collect()


@pytest.mark.parametrize("make", [
    lambda: np.arange(24.0).reshape(2, 3, 4), lambda: np.zeros((2, 5)).reshape(10), lambda: np.arange(8.0)[:],
    lambda: np.arange(24.0).reshape(2, 12).reshape(3, 8),
], ids=["reshaped", "flattened", "all", "twice"])
def test_data_of_a_base_that_nobody_sees_move(make):
    tree, t = [make()], Tunnel()
    where, expected = address(tree[0]), make()
    assert t.send(tree) == (2, 0, 0)
    got, = t.recv()
    assert address(got) == where
    assert_same(got, expected)


def test_data_move_through_a_worker_and_back(worker):
    there, back = Tunnel(), Tunnel()
    tree = [np.ones((50, 60, 3), "u1")]
    where = address(tree[0])
    there.send(tree)
    assert worker.call(stdlib_kinds.mark_and_return, there, back) == "(2, 0, 0)"
    got, = back.recv()
    assert type(got) is np.ndarray and address(got) == where and got[0, 0, 0] == 7 and got.sum() == 9006


@pytest.mark.parametrize("hold", [
    lambda a: a, lambda a: a[1:], memoryview, weakref.ref, lambda a: a.flat, np.asarray, np.transpose,
], ids=["itself", "view", "memoryview", "weakref", "iterator", "asarray", "transposed"])
@pytest.mark.parametrize("shape", [50, (10, 5)])
def test_data_that_others_see_stay(hold, shape):
    tree = [np.arange(50.0).reshape(shape).copy()]
    held, where = hold(tree[0]), address(tree[0])
    t = Tunnel()
    assert t.send(tree) == (1, 1, 0)
    got, = t.recv()
    assert address(got) != where
    assert_same(got, np.arange(50.0).reshape(shape))
    got.flat[0] = 9
    if not isinstance(held, weakref.ref):
        assert np.asarray(held).flat[0] < 6


@pytest.mark.parametrize("make", [
    lambda: np.frombuffer(bytearray(80)), lambda: np.frombuffer(bytes(80)),
    lambda: np.arange(20.0)[::2], lambda: np.arange(20.0)[5:15], lambda: np.arange(20.0)[:10],
    lambda: np.ndarray(10, "d", array.array("d", range(10))),
], ids=["bytearray", "bytes", "steps", "slice", "first part", "array"])
def test_data_of_somebody_elses_are_copied(make):
    expected, t = make(), Tunnel()
    assert t.send([make()]) == (1, 1, 0)
    assert_same(t.recv()[0], expected)


def test_a_base_that_has_other_references_keeps_its_data():
    base = np.arange(6.0)
    (got,), receipt = sent([base.reshape(2, 3)])
    assert receipt == (1, 1, 0)
    got[0, 0] = 9
    assert base[0] == 0
    marked = np.arange(6.0)
    ref, view = weakref.ref(marked), marked.reshape(3, 2)
    del marked
    assert sent([view.reshape(2, 3)])[1].copied == 1 and ref() is not None


def test_parts_of_a_view_in_a_worker_are_ordinary_views(worker):
    there, back = Tunnel(), Tunnel()
    there.send([np.arange(24, dtype="u1").reshape(4, 6)])
    assert worker.call(stdlib_kinds.send_parts, there, back) == "(1, 3, 0)"
    whole, cast, read_only = back.recv()
    assert whole.shape == (4, 6) and type(cast) is memoryview and type(read_only) is memoryview
    assert cast.shape == (24,) and cast.tolist() == list(range(24)) and read_only.readonly


def test_data_go_on_from_worker_to_worker(worker):
    there, back = Tunnel(), Tunnel()
    there.send({"a": np.arange(10**5, dtype="i4"), "b": np.full(10, 2.5)})
    assert worker.call(stdlib_kinds.grow_arrays, there, back)
    got = back.recv()
    assert got["a"][:-1] == array.array("i", range(10**5)) and got["b"].tolist() == [2.5] * 10 + [1]
    got["a"].extend(got["a"])
    got["b"].append(2)
    gc.collect()


def test_a_message_with_data_never_received(worker):
    t = Tunnel()
    t.send([np.ones((10, 10**5)) for _ in range(3)])
    t.close(immediate=True)
    t = Tunnel()
    t.send(np.ones(10**6))
    del t
    gc.collect()
    t = Tunnel()
    t.send([np.ones((10, 10))])
    worker.call(stdlib_kinds.receive_and_leave, t)


def test_a_send_that_fails_leaves_the_data():
    a, t = np.arange(10.0), Tunnel()
    tree = [np.arange(10.0), np.ones((3, 3)), lambda: 0]
    where = address(tree[0])
    with pytest.raises(TypeError, match=r"^\$\[2\]"):
        t.send(tree)
    assert address(tree[0]) == where and (tree[0] == a).all() and tree[0].flags.owndata
    assert tree[1].shape == (3, 3) and tree[1].flags.owndata
    tree[0].resize(100)
    del tree[2]
    assert t.send(tree) == (3, 0, 0)


def test_traced_data_move():
    """NumPy tells tracemalloc of its data: the receiver's are traced once, the sender's no more."""
    tracemalloc.start()
    try:
        got = None
        for _ in range(10):
            got, _ = sent([np.ones((10, 10**5))])
        traced, _ = tracemalloc.get_traced_memory()
        assert 8 * 10**6 <= traced < 9 * 10**6, traced
        del got
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert traced < 10**6


def test_many_threads_send_arrays():
    t, rounds = Tunnel(maxsize=8), 200
    threads = [threading.Thread(target=lambda: [t.send([np.full((4, 5), i)]) for i in range(rounds)])
               for _ in range(3)]
    for thread in threads:
        thread.start()
    total = sum(int(t.recv()[0][3, 4]) for _ in range(3 * rounds))
    for thread in threads:
        thread.join()
    assert total == 3 * sum(range(rounds))


# ---- arrays at rest ---------------------------------------------------------------------------

def test_in_shared_containers(worker):
    d, items, a = LockingDict(), LockingList(), np.arange(6.0).reshape(2, 3)
    d["a"], d["both"] = a, [a, a, "text", 2**62, 2**62 + 1]
    items.append({"a": a})
    for _ in range(3):
        assert_same(d["a"], a)
        first, second, *rest = d["both"]
        assert first is second and rest == ["text", 2**62, 2**62 + 1]
        assert_same(first, a)
        assert_same(items[0]["a"], a)
    assert worker.call(stdlib_kinds.read_shared, d, items) == [[0, 1, 2], [3, 4, 5]]
    with d.checkout("both") as live:
        assert_same(live[0], a)
        live[0][0, 0] = 7
    assert d["both"][1][0, 0] == 7
    assert_same(items.pop()["a"], a)


def test_in_a_box(worker):
    box = Box([np.ones((20, 30))])
    with box as tree:
        where = address(tree[0])
        tree[0][1, 1] = 5
    worker.call(stdlib_kinds.open_box, box)
    with box as tree:
        assert address(tree[0]) == where and tree[0].sum() == 604 + 1


def test_are_not_frozen():
    with pytest.raises(TypeError, match=r"^\$\['a'\]: this numpy.ndarray cannot be frozen"):
        freeze({"a": np.ones((2, 3))})


# ---- objects that hold arrays -----------------------------------------------------------------

Holder = stdlib_kinds.Holder


@dataclasses.dataclass
class Frame:
    pixels: object
    number: int


def test_in_attributes():
    for make in (Holder, lambda a: Frame(a, 3)):
        tree = [make(np.ones((2, 3))), make(np.arange(3))]
        got, receipt = sent(tree)
        assert receipt.copied == receipt.pickled == 0
        assert_same(next(iter(vars(got[0]).values())), np.ones((2, 3)))
        assert_same(next(iter(vars(got[1]).values())), np.arange(3))


@pytest.mark.parametrize("prepare", [lambda o: o, vars, lambda o: setattr(o, "more", 1)], ids=["values", "dict", "more"])
def test_in_attributes_where_numpy_is_not(worker, prepare):
    """A class expects an ndarray: the message stays for somebody who has NumPy."""
    t, holder = Tunnel(), Holder(np.ones((2, 3)))
    prepare(holder)
    t.send([[], holder])
    with pytest.raises(TypeError, match=r"\$\[1\]\.a: this is a numpy.ndarray .* the message is kept"):
        worker.call(stdlib_kinds.receive, t)
    assert_same(t.recv()[1].a, np.ones((2, 3)))
    t.send([np.ones((2, 3)), Holder(memoryview(np.ones((2, 3))))])
    assert worker.call(stdlib_kinds.receive, t) == 2


def test_inside_of_pickled_objects(worker):
    """They stay NumPy's, and the receiver must have it."""
    call = functools.partial(np.add, np.arange(3).reshape(1, 3), out=None)
    t = Tunnel()
    got, receipt = sent([call])
    assert receipt.pickled == 1
    assert type(got[0].args[0]) is np.ndarray and got[0].args[0].tolist() == [[0, 1, 2]]
    t.send([call])
    with pytest.raises(TypeError, match=re.escape("$[0]: cannot receive this object: it needs numpy.")):
        worker.call(stdlib_kinds.receive, t)
    assert t.recv()[0].args[0].tolist() == [[0, 1, 2]]


def test_numbers_inside_of_pickled_objects(worker):
    call = functools.partial(max, np.float64(1.5), np.int8(3), np.datetime64(3, "ns"))
    got, _ = sent([call])
    assert list(map(type, got[0].args)) == [np.float64, np.int8, np.datetime64] and got[0].args == call.args
    t = Tunnel()
    t.send([functools.partial(max, np.float64(1.5), np.int8(3))])
    assert worker.call(stdlib_kinds.call_it, t) == "3"


def test_data_frames(worker):
    pandas = pytest.importorskip("pandas", reason="no pandas: pip install pandas into the venv")
    frame = pandas.DataFrame({"x": np.arange(5.0), "y": list("abcde"), "t": pandas.date_range("2024", periods=5)})
    got, _ = sent([frame, frame["x"], frame.index])
    pandas.testing.assert_frame_equal(got[0], frame)
    pandas.testing.assert_series_equal(got[1], frame["x"])
    assert got[2].equals(frame.index)
    assert got[0].assign(z=got[0].x * 2).z.tolist() == [0, 2, 4, 6, 8]
    t = Tunnel()
    t.send([frame])
    with pytest.raises(TypeError, match="NumPy is not imported in this interpreter; send the arrays themselves"):
        worker.call(stdlib_kinds.receive, t)
    pandas.testing.assert_frame_equal(t.recv()[0], frame)


def test_random_generators_are_refused_by_path(worker):
    generator = np.random.default_rng(7)
    got, _ = sent([generator])
    assert got[0].random() == np.random.default_rng(7).random()
    for arguments, path in (({"a": [1, generator]},), "args[0]['a'][1]"), ((len, [generator, generator.bit_generator]), "args[1][0]"):
        error = worker.submit(list, *arguments).exception(30)
        assert type(error) is TypeError and error.where == path
        assert str(error) == (f"{path}: cannot receive this object: it needs numpy.random._pickle.__generator_ctor, and NumPy is not imported "
                              "in this interpreter; send a seed, and make a random.Random(seed) of it")


@pytest.mark.parametrize("malloc", ["debug", "malloc", "malloc_debug", pytest.param(
    "pymalloc", marks=pytest.mark.skipif(not sysconfig.get_config_var("WITH_PYMALLOC"), reason="no pymalloc here"))])
def test_whatever_python_allocates_with(malloc, run_script):
    """A block from malloc is given to PyMem_Free only where that may be."""
    result = run_script("""
        from objtunnel import Interpreter, Tunnel

        def use(t):
            a = t.recv()
            a.extend(a)
            return sum(a)

        if __name__ == "__main__":
            import numpy as np
            t = Tunnel()
            with Interpreter() as worker:
                t.send(np.ones(10**5))
                print(worker.call(use, t))
            a = t.send([np.ones((10, 10))]) and t.recv()[0]
            a.resize(101, refcheck=False)
            a[-1] = 1
            print(a.sum())
        """, env={**os.environ, "PYTHONMALLOC": malloc})
    assert result.stdout == "200000.0\n101.0\n"
