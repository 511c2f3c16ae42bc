"""SharedArray: numbers in memory that all interpreters see."""

import array
import ctypes
import gc
import mmap
import os
import struct
import sys
import threading

import pytest

from objtunnel import Interpreter, SharedArray

INTEGERS = "bBhHiIlLqQ"


def limits(code):
    bits = 8 * struct.calcsize(code)
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if code.islower() else (0, (1 << bits) - 1)


# ---- making --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", INTEGERS + "fd")
def test_zeros_and_sizes(code):
    a = SharedArray(code, 100)
    assert len(a) == 100 and a.shape == (100,) and a.tolist() == [0] * 100
    assert a.itemsize == array.array(code).itemsize and a.nbytes == 100 * a.itemsize
    assert a.typecode == code and a.file is None


@pytest.mark.parametrize("bytes_", [0, 1, 63, 64, 65, (1 << 18) - 1, 1 << 18, 10 << 20])
def test_alignment(bytes_):
    a = SharedArray("B", bytes_)
    assert len(a) == bytes_
    if bytes_:
        assert ctypes.addressof(ctypes.c_char.from_buffer(a)) % 64 == 0
        a[-1] = 255
        assert a[-1] == 255 and sum(memoryview(a)) == 255


def test_sources():
    assert SharedArray("i", source=[3, 2, 1]).tolist() == [3, 2, 1]
    assert SharedArray("i", source=(n * n for n in range(4))).tolist() == [0, 1, 4, 9]
    assert SharedArray("B", source=b"abc").tolist() == [97, 98, 99]
    assert SharedArray("d", source=array.array("i", [1, 2])).tolist() == [1.0, 2.0]
    assert SharedArray("i", (2, 2), [[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    grid = memoryview(bytes(range(6))).cast("B", (2, 3))
    assert SharedArray("B", source=grid).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert SharedArray("h", source=grid).shape == (2, 3)
    assert SharedArray("i", source=[]).tolist() == [] == SharedArray("i", 0).tolist()
    assert SharedArray("i", 3, 7).tolist() == [7, 7, 7]


@pytest.mark.parametrize("args, error", [
    (("x", 3), ValueError), (("ii", 3), TypeError), (("i",), TypeError), (("i", -1), ValueError),
    (("i", (2, -1)), ValueError), (("i", ()), ValueError), (("i", (1,) * 9), ValueError),
    (("i", 1 << 62), ValueError), (("i", (1 << 40, 1 << 40)), ValueError),
    (("i", 1 << 70), OverflowError), (("i", "ab"), TypeError), (("i", 2.5), TypeError),
    (("i", 2, [1]), ValueError), (("i", 2, [1, 2, 3]), ValueError), (("i", 2, ["a", 1]), TypeError),
    (("i", None, [1 << 40]), OverflowError), (("i", None, [1.5]), TypeError),
    (("i", None, 5), TypeError), (("b", None, [-129]), OverflowError),
    (("Q", None, [-1]), OverflowError), (("Q", None, [1 << 64]), OverflowError),
    (("q", None, [-(1 << 63) - 1]), OverflowError), (("d", None, ["a"]), TypeError),
    (("i", (2, 2), [[1, 2], [3]]), ValueError), (("i", (2, 2), [1, 2, 3, 4, 5]), ValueError),
])
def test_bad_arguments(args, error):
    with pytest.raises(error):
        SharedArray(*args)


def test_more_memory_than_there_is():
    with pytest.raises(MemoryError):
        SharedArray("d", 1 << 56)


# ---- one element ---------------------------------------------------------------------------------


@pytest.mark.parametrize("code", INTEGERS)
def test_limits(code):
    low, high = limits(code)
    a = SharedArray(code, 2)
    a[0], a[1] = low, high
    assert a.tolist() == [low, high] == array.array(code, a).tolist()
    for value in (low - 1, high + 1):
        with pytest.raises(OverflowError):
            a[0] = value
    assert a.add(0, high - low) == high and a.add(0, low - high) == low
    with pytest.raises(OverflowError):
        a.add(0, -1)
    with pytest.raises(OverflowError):
        a.fetch_add(1, 1)
    with pytest.raises(OverflowError):
        a.exchange(0, high + 1)
    with pytest.raises(OverflowError):
        a.compare_exchange(0, low, high + 1)
    assert not a.compare_exchange(0, low - 1, 0)
    assert a.tolist() == [low, high]


def test_atomic_operations_on_one_thread():
    a = SharedArray("i", (2, 2))
    assert a.add((1, 1), 5) == 5 and a.fetch_add((1, 1), 2) == 5 and a.exchange((1, 1), 1) == 7
    assert a.compare_exchange((1, -1), 1, 9) and not a.compare_exchange((1, 1), 1, 8)
    assert a.tolist() == [[0, 0], [0, 9]]
    for index in (0, slice(2), (0, slice(1))):
        with pytest.raises(TypeError):
            a.add(index, 1)
    with pytest.raises(IndexError):
        a.add((2, 0), 1)
    with pytest.raises(TypeError):
        a.add((0, 0), 1.5)
    with pytest.raises(TypeError):
        SharedArray("d", 1).add(0, 1)
    with pytest.raises(OverflowError):
        a.add((0, 0), -(1 << 80))


def test_floats():
    a = SharedArray("d", 3)
    a[0], a[1], a[2] = float("inf"), -0.0, 1e-320
    assert a.tolist() == [float("inf"), 0.0, 1e-320] and str(a[1]) == "-0.0"
    f = SharedArray("f", 2)
    f[0] = 1 / 3
    assert f[0] == array.array("f", [1 / 3])[0]
    f[1] = float("nan")
    assert f[1] != f[1]


# ---- parts ---------------------------------------------------------------------------------------


def test_more_dimensions():
    a = SharedArray("i", (2, 3, 4))
    for i in range(2):
        for j in range(3):
            a[i, j] = [100 * i + 10 * j + k for k in range(4)]
    assert a[1, 2, 3] == 123 == a[-1][-1][-1] and a[1].shape == (3, 4)
    assert a[:, 1].tolist() == [[10, 11, 12, 13], [110, 111, 112, 113]]
    assert a[..., 0].tolist() == [[0, 10, 20], [100, 110, 120]]
    assert a[1, ..., 0].tolist() == [100, 110, 120] and a[...].tolist() == a.tolist()
    assert a[0, ::-2, 1:3].tolist() == [[21, 22], [1, 2]]
    a[:, :, 3] = 0
    a[0] = a[1]
    assert a[0].tolist() == a[1].tolist() == [[100, 101, 102, 0], [110, 111, 112, 0],
                                              [120, 121, 122, 0]]
    for key in ((0, 0, 0, 0), (..., ...), (2,), "x", None, (0, 1.5), 1 << 70):
        with pytest.raises((IndexError, TypeError)):
            a[key]
    with pytest.raises(TypeError):
        del a[0]


def test_a_part_is_the_same_memory_and_keeps_it():
    a = SharedArray("q", 1000)
    part = a[10:20][2:]
    view = memoryview(part)
    assert part.id == a.id
    del a, part
    gc.collect()
    junk = [SharedArray("q", 1000) for _ in range(10)]
    view[0] = 77
    assert view[0] == 77 and junk[0][0] == 0


def test_iteration_and_membership():
    a = SharedArray("i", source=[5, 6, 7])
    assert 6 in a and 8 not in a and list(reversed(a)) == [7, 6, 5] and [*a] == [5, 6, 7]
    match a:
        case [first, *rest]:
            assert first == 5 and rest == [6, 7]


def test_comparing():
    a = SharedArray("i", source=[1, 2])
    assert a == SharedArray("d", source=[1, 2]) == array.array("q", [1, 2])
    assert a != SharedArray("i", source=[1, 3]) and a != SharedArray("i", (1, 2), [[1, 2]])
    assert a != [1, 2] and not a == 5
    with pytest.raises(TypeError):
        hash(a)
    with pytest.raises(TypeError):
        a < a  # noqa: B015


def test_repr():
    a = SharedArray("i", source=range(20))
    assert repr(a) == f"<objtunnel.SharedArray {a.id} 'i' shape (20,): [0, 1, 2, 3, 4, 5, 6, 7] ...>"
    assert repr(a[:2]) == f"<objtunnel.SharedArray {a.id} 'i' shape (2,): [0, 1]>"
    assert repr(SharedArray("d", (2, 3))).endswith(" 'd' shape (2, 3)>")


# ---- as a buffer ---------------------------------------------------------------------------------


def test_buffers():
    a = SharedArray("d", (2, 3))
    m = memoryview(a)
    assert (m.format, m.shape, m.strides, m.readonly, m.itemsize) == ("d", (2, 3), (24, 8), False, 8)
    m[1, 2] = 2.5
    assert a[1, 2] == 2.5 and m.tolist() == a.tolist()
    assert bytes(a) == struct.pack("6d", 0, 0, 0, 0, 0, 2.5) == b"".join([a])
    column = memoryview(a[:, 2])
    assert column.strides == (24,) and column.tolist() == [0.0, 2.5] and not column.contiguous
    assert bytes(column) == struct.pack("2d", 0, 2.5)
    with pytest.raises(BufferError):
        struct.unpack_from("d", a[:, 2])
    assert memoryview(SharedArray("i", (0, 3))).tobytes() == b""
    assert array.array("d", bytes(a))[5] == 2.5
    b = bytearray(16)
    b[:] = a[1, 1:]
    assert b == struct.pack("2d", 0, 2.5)


def test_numpy_sees_the_memory():
    numpy = pytest.importorskip("numpy")
    a = SharedArray("d", (100, 50))
    n = numpy.asarray(a)
    n += numpy.arange(50)
    assert a[99, 49] == 49.0 and n.ctypes.data % 64 == 0
    assert numpy.asarray(a[::2, 1::3])[1, 1] == 4.0
    a[:, 0] = numpy.arange(100)
    assert n[99, 0] == 99.0 and SharedArray("d", source=n) == a


# ---- several interpreters ------------------------------------------------------------------------


def count(a, n):
    for _ in range(n):
        a.add(0, 1)
        a.fetch_add(1, -1)
        while True:
            old = a[2]
            if a.compare_exchange(2, old, old + 3):
                break


def fill(part, value):
    part[...] = value
    return part.nbytes


@pytest.mark.parametrize("code", "hiq")
def test_counts_add_up(code):
    a = SharedArray(code, 3)
    n = 3000
    with Interpreter() as x, Interpreter() as y:
        others = [x.submit(count, a, n), y.submit(count, a, n)]
        thread = threading.Thread(target=count, args=(a, n))
        thread.start()
        thread.join()
        for other in others:
            other.result()
    assert a.tolist() == [3 * n, -3 * n, 9 * n]


def test_each_worker_gets_a_part():
    grid = SharedArray("d", (4, 1000))
    with Interpreter() as x, Interpreter() as y:
        jobs = [w.submit(fill, grid[i], i + 0.5) for i, w in enumerate([x, y, x, y])]
        assert [job.result() for job in jobs] == [8000] * 4
        assert x.call(fill, grid[:, ::2], 7) == 16000
    assert grid[3, 1] == 3.5 and grid[3, 2] == 7 and sum(grid[2]) == 500 * 2.5 + 500 * 7


def toggle(a, n):
    low, high = 0, -1
    for _ in range(n):
        a[0] = low
        a[0] = high


def test_no_reader_sees_half_a_write():
    a = SharedArray("q", 1)
    with Interpreter() as x:
        job = x.submit(toggle, a, 30000)
        seen = set()
        while not job.done():
            seen.add(a[0])
        job.result()
    assert seen <= {0, -1}


# ---- files ---------------------------------------------------------------------------------------


def add_one(path):
    from objtunnel import SharedArray
    a = SharedArray("i", file=path)
    for i in range(len(a)):
        a.add(i, 1)
    return a


def test_a_file_keeps_the_numbers(tmp_path):
    path = tmp_path / "numbers"
    a = SharedArray("i", (2, 3), file=path)
    a[1] = [1, 2, 3]
    a.flush()
    assert path.read_bytes() == struct.pack("6i", 0, 0, 0, 1, 2, 3)
    assert a.file == str(path) and a[1].file == str(path)
    del a
    again = SharedArray("i", file=path)
    assert again.tolist() == [0, 0, 0, 1, 2, 3]
    again[0] = 9  # two mappings of one file are the same memory
    assert SharedArray("i", (3, 2), file=str(path)).tolist() == [[9, 0], [0, 1], [2, 3]]
    assert SharedArray("i", 6, range(6), file=path).tolist() == list(range(6)) == again.tolist()
    with Interpreter() as x:
        b = x.call(add_one, str(path))
    assert b.tolist() == list(range(1, 7)) == again.tolist()


def test_a_file_of_another_size_is_left_alone(tmp_path):
    path = tmp_path / "numbers"
    path.write_bytes(b"12345678")
    for arguments in (("i", 3), ("i", 1), ("q", 0)):
        with pytest.raises(ValueError, match="size"):
            SharedArray(*arguments, file=path)
    path.write_bytes(b"1234567")
    with pytest.raises(ValueError):
        SharedArray("i", file=path)
    assert path.read_bytes() == b"1234567"
    with pytest.raises(FileNotFoundError):
        SharedArray("i", file=tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(IsADirectoryError):
        SharedArray("i", 3, file=tmp_path)
    with pytest.raises(TypeError):
        SharedArray("i", 3, file=5.5)
    with pytest.raises(ValueError):
        SharedArray("i", 3, file="a\0b")


def test_another_process_sees_the_file(tmp_path, run_script):
    path = tmp_path / "numbers"
    a = SharedArray("q", mmap.PAGESIZE, file=path)
    a[0] = 5
    run_script(f"""
        from objtunnel import SharedArray
        a = SharedArray("q", file={str(path)!r})
        assert a[0] == 5 and a.add(-1, 7) == 7
        """)
    assert a[-1] == 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_fork(run_script):
    run_script("""
        import os, sys
        from objtunnel import SharedArray
        a = SharedArray("i", 4)
        pid = os.fork()
        if pid == 0:
            a[0] = 1
            assert SharedArray("b", 3).tolist() == [0, 0, 0]
            os._exit(a[0] - 1)
        assert os.waitpid(pid, 0)[1] == 0 and a[0] == 0
        """)


def test_no_reference_is_lost():
    a = SharedArray("i", 100)
    values, view = list(range(100)), memoryview(a)
    before = sys.getrefcount(a), sys.getrefcount(values), sys.getrefcount(view)
    for _ in range(100):
        a[:] = values
        a[:] = view
        a[10:20] = a[0:10]
        a == view  # noqa: B015
        repr(a)
        a.shape  # noqa: B018
        with pytest.raises(TypeError):
            a[:] = ["x"] * 100
    assert (sys.getrefcount(a), sys.getrefcount(values), sys.getrefcount(view)) == before
