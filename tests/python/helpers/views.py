"""memoryviews for test_views.py, and what its workers do with them."""

import ctypes
import gc

import trees

SIZE = 1_000_000

MOVING = {
    "all": lambda: memoryview(bytearray(range(256)) * 40),
    "part": lambda: memoryview(bytearray(range(256)) * 40)[1000:5000],
    "backwards": lambda: memoryview(bytearray(range(256)))[::-3],
    "doubles": lambda: memoryview(bytearray(range(240))).cast("d"),
    "shape": lambda: memoryview(bytearray(range(24))).cast("H", shape=[3, 4]),
    "one number": lambda: memoryview(bytearray(range(8))).cast("q", shape=[]),
    "nothing": lambda: memoryview(bytearray()),
    "read-only": lambda: memoryview(bytes(range(256)) * 40)[7:],
    "made read-only": lambda: memoryview(bytearray(range(256))).toreadonly(),
}


def address(view):
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def check_view(got, view):
    assert got.tolist() == view.tolist() and got.tobytes() == view.tobytes()
    assert (got.format.lstrip("@"), got.shape, got.readonly) == \
        (view.format.lstrip("@"), view.shape, view.readonly)


def use_hard(t, which):
    """In a worker."""
    (got,) = t.recv(timeout=60)
    expected = list(MOVING.values())[which]()
    check_view(got, expected)
    assert got.strides == expected.strides and type(got.obj) is type(expected.obj)
    assert gc.is_tracked(got) and bytes(got.obj) == bytes(expected.obj)
    who, data = id(got), got.obj
    gc.collect()
    trees.abuse([got])
    if isinstance(data, bytearray):
        data.extend(bytes(SIZE))  # nobody looks into it any more
        data.clear()
    else:
        assert hash(data) == hash(expected.obj)
    return who


def where_it_is(t):
    (view,) = t.recv(timeout=60)
    view[0] = 1
    return address(view)


def make_and_send(t):
    assert t.send([memoryview(bytearray(SIZE))[1:]], strict=True).copied == 0


def read_values(d):
    kept, _ = d["kept"]
    temporary, = d["temporary"]
    root = d["root"]
    assert kept.tolist() == list(range(100))[::-1] and temporary.tolist() == list(range(50, 100))
    assert root.shape == (2, 6) and root.format == "d" and root.readonly
    trees.abuse([kept, temporary, root])
    return True


def write_in_box(box):
    with box as content:
        content[0][1] = 1
    return True


def read_box(box):
    with box as content:
        return bytes(content[0])


def read_frozen(frozen):
    return bytes(frozen[0])
