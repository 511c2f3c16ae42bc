"""NumPy arrays, which exist in the main interpreter only."""

import array
import datetime
import gc
import os
import tracemalloc
import weakref

import pytest

import stdlib_kinds
from objtunnel import SharedReferenceError, Tunnel

np = pytest.importorskip("numpy", reason="no NumPy: pip install numpy into the venv")


def sent(o, **options):
    t = Tunnel()
    receipt = t.send(o, **options)
    return t.recv(), receipt


@pytest.mark.parametrize("typecode", "bBhHiIlLqQfd")
@pytest.mark.parametrize("step", [1, 3, -2])
def test_arrays_of_one_dimension(typecode, step):
    a = np.arange(20, dtype=typecode)[::step]
    (got, again), receipt = sent([a, a])
    assert type(got) is array.array and got.itemsize == a.itemsize and got.tolist() == a.tolist()
    assert again is got and receipt == (1, 1, 0)
    assert a.tolist() == np.arange(20, dtype=typecode)[::step].tolist()
    got.append(7)
    del got[0]
    gc.collect()


def test_no_items():
    (got,), _ = sent([np.zeros(0)])
    assert got == array.array("d")
    got.append(1.5)


def test_as_a_root_and_never_received():
    a = np.arange(1000.0)
    got, receipt = sent(a)
    assert got == array.array("d", range(1000)) and receipt == (0, 1, 0) and len(a) == 1000
    t = Tunnel()
    t.send({"a": a})
    t.close(immediate=True)


@pytest.mark.parametrize("a", [
    np.arange(6).reshape(2, 3), np.array(3.5), np.array([True, False]), np.float16([1.5, 2]),
    np.asfortranarray(np.arange(6.0).reshape(3, 2)), np.arange(24, dtype="u1").reshape(2, 3, 4)[:, ::2],
], ids=lambda a: f"{a.dtype}{a.shape}")
def test_other_shapes_and_items(a):
    (got,), receipt = sent([a])
    assert type(got) is memoryview and got.tolist() == a.tolist() and got.shape == a.shape
    assert got.format == memoryview(a).format and not got.readonly and receipt.pickled == 1
    a.flags.writeable = False
    assert sent([a])[0][0].readonly


@pytest.mark.parametrize("a", [
    np.array([object()]), np.array(["text"]), np.array(["2024-01-01"], dtype="M8[D]"),
    np.array([1 + 2j]), np.zeros((0, 3)), np.arange(3, dtype=">i4"), np.ma.array([1, 2]),
    np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), np.longdouble(1), np.dtype("f8"),
], ids=lambda a: f"{type(a).__name__}-{getattr(a, 'dtype', '')}")
def test_what_only_numpy_has(a):
    with pytest.raises(TypeError, match=r"^\$\['x'\]: cannot send this .*; send "):
        sent({"x": a})


def test_scalars():
    got, _ = sent([np.float64(1.5), np.int8(3), np.bool_(True), np.datetime64("2024-01-01"), np.str_("x")])
    assert got == [1.5, 3, True, datetime.date(2024, 1, 1), "x"]
    assert list(map(type, got)) == [float, int, bool, datetime.date, str]


def test_to_a_worker(worker):
    t = Tunnel()
    t.send([np.arange(4.0), np.arange(6).reshape(2, 3)])
    assert worker.call(stdlib_kinds.use_arrays, t) == \
        "array('d', [0.0, 1.0, 2.0, 3.0, 4.0]) [[0, 1, 2], [3, 4, 5]]"


def test_strict():
    a = np.arange(3)
    with pytest.raises(SharedReferenceError, match=r"^\$\[0\]"):
        sent([a], strict=True)
    assert a.tolist() == [0, 1, 2]
    with pytest.raises(SharedReferenceError, match="never moves"):
        sent([np.arange(9)[::2]], strict=True)


# ---- data that move ---------------------------------------------------------------------------

def address(a):
    return a.__array_interface__["data"][0]


@pytest.mark.parametrize("n", [1, 100, 10**5, 10**7])
@pytest.mark.parametrize("typecode", "bHqfd")
def test_data_of_its_own_move(n, typecode):
    a = np.ones(n, typecode)
    where, tree = address(a), [a, {"again": a}]
    del a
    t = Tunnel()
    assert t.send(tree).pickled == 0
    del tree
    gc.collect()
    first, second = t.recv()
    assert second["again"] is first and first.buffer_info() == (where, n)
    del second
    use_hard(first, n)


def use_hard(a, n):
    a[-1] = 5
    a.extend(a)
    a.append(3)
    assert len(a) == 2 * n + 1 and a[n - 1] == a[2 * n - 1] == 5 and a[-1] == 3 and sum(a) == 2 * n + 11
    del a[1:]
    gc.collect()
    a.insert(0, 7)
    assert a[0] == 7 and len(a) == 2


@pytest.mark.parametrize("hold", [
    lambda a: a, lambda a: a[1:], memoryview, weakref.ref, lambda a: a.flat, np.asarray,
], ids=["itself", "view", "memoryview", "weakref", "iterator", "asarray"])
def test_data_that_others_see_stay(hold):
    tree = [np.arange(50.0)]
    held, where = hold(tree[0]), address(tree[0])
    t = Tunnel()
    t.send(tree)
    got, = t.recv()
    assert got.buffer_info()[0] != where and got.tolist() == np.arange(50.0).tolist()
    got[0] = 9
    if not isinstance(held, weakref.ref):
        assert next(iter(held)) < 2


@pytest.mark.parametrize("make", [
    lambda: np.frombuffer(bytearray(80)), lambda: np.frombuffer(bytes(80)),
    lambda: np.arange(20.0)[::2], lambda: np.arange(20.0)[5:15], lambda: np.zeros((2, 5)).reshape(10),
    lambda: np.ndarray(10, "d", array.array("d", range(10))),
], ids=["bytearray", "bytes", "steps", "slice", "reshaped", "array"])
def test_data_of_somebody_elses_are_copied(make):
    expected, t = make().tolist(), Tunnel()
    t.send([make()])
    got, = t.recv()
    assert type(got) is array.array and got.tolist() == expected
    got.extend(range(1000))


def test_data_go_on_from_worker_to_worker(worker):
    there, back = Tunnel(), Tunnel()
    there.send({"a": np.arange(10**5, dtype="i4"), "b": np.full(10, 2.5)})
    assert worker.call(stdlib_kinds.grow_arrays, there, back)
    got = back.recv()
    assert got["a"][:-1] == array.array("i", range(10**5)) and got["b"].tolist() == [2.5] * 10 + [1]
    got["a"].extend(got["a"])
    got["b"].append(2)
    gc.collect()


def test_a_message_with_data_never_received():
    t = Tunnel()
    t.send([np.ones(10**6) for _ in range(3)])
    t.close(immediate=True)
    t = Tunnel()
    t.send(np.ones(10**6))
    del t
    gc.collect()


def test_a_send_that_fails_leaves_the_data():
    a, t = np.arange(10.0), Tunnel()
    tree = [np.arange(10.0), np.ones(3), lambda: 0]
    where = address(tree[0])
    with pytest.raises(TypeError, match=r"^\$\[2\]"):
        t.send(tree)
    assert address(tree[0]) == where and (tree[0] == a).all() and tree[0].flags.owndata
    tree[0].resize(100)
    del tree[2]
    assert t.send(tree).copied == 2


def test_traced_data_move():
    """NumPy tells tracemalloc of its data; who frees them must not."""
    tracemalloc.start()
    try:
        for _ in range(10):
            got, _ = sent([np.ones(10**6)])
            del got
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert traced < 10**6


@pytest.mark.parametrize("malloc", ["debug", "malloc", "malloc_debug", "pymalloc"])
def test_whatever_python_allocates_with(malloc, run_script):
    """A block from malloc is given to PyMem_Free only where that may be."""
    result = run_script("""
        import numpy as np
        from objtunnel import Interpreter, Tunnel

        def use(t):
            a = t.recv()
            a.extend(a)
            return sum(a)

        if __name__ == "__main__":
            t = Tunnel()
            with Interpreter() as worker:
                t.send(np.ones(10**5))
                print(worker.call(use, t))
            a = t.send([np.ones(100)]) and t.recv()[0]
            a.append(1)
            print(sum(a))
        """, env={**os.environ, "PYTHONMALLOC": malloc})
    assert result.stdout == "200000.0\n101.0\n"
