"""NumPy arrays, which exist in the main interpreter only."""

import array
import datetime
import gc

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
    with pytest.raises(SharedReferenceError, match="never moves"):
        sent([np.arange(3)], strict=True)
