"""memoryviews: moved with what they look into, or a view of a copy."""

import array
import ctypes
import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trees
import views
from objtunnel import Box, Interpreter, LockingDict, SharedReferenceError, Tunnel, freeze


def sent(o, **options):
    t = Tunnel()
    receipt = t.send(o, **options)
    return t.recv(), receipt


# ---- moved ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("make", views.MOVING.values(), ids=views.MOVING)
def test_moves(worker, make):
    box = [make()]
    who = id(box[0])
    t = Tunnel()
    assert t.send(box, strict=True) == (3, 0, 0)  # the list, the view, what it looks into
    assert worker.call(views.use_hard, t, list(views.MOVING.values()).index(make)) == who


def test_the_data_stay_where_they_are(worker):
    t = Tunnel()
    box = [memoryview(bytearray(views.SIZE))[5:]]
    where = views.address(box[0])
    t.send(box)
    assert worker.call(views.where_it_is, t) == where


def test_the_sender_may_be_gone():
    t = Tunnel()
    with Interpreter() as sender:
        sender.call(views.make_and_send, t)
    (got,) = t.recv(timeout=60)
    gc.collect()
    assert got[-1] == 0
    got[-1] = 7
    assert bytes(got.obj[-2:]) == b"\0\7"
    weakref.ref(got)
    trees.abuse([got])


def test_one_that_nobody_receives():
    for dispose in (lambda t: t.close(immediate=True), Tunnel.discard):
        t = Tunnel()
        with Interpreter() as sender:
            sender.call(views.make_and_send, t)
        dispose(t)
        assert t.qsize() == 0


def test_a_failed_send_leaves_it_usable():
    data = bytearray(views.SIZE)
    box = [memoryview(bytearray(b"abc")), memoryview(data), lambda: None]
    for _ in range(3):
        with pytest.raises(TypeError, match=r"^\$\[2\]"):
            sent(box)
        gc.collect()
        assert gc.is_tracked(box[0]) and bytes(box[0]) == b"abc"
        box[0][0] += 0
    with pytest.raises(BufferError):
        data.append(1)
    del box
    data.append(1)


# ---- copied ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("look", [
    lambda view: view, lambda view: view.obj, lambda view: view[1:], weakref.ref,
    ctypes.c_char.from_buffer, lambda view: memoryview(view.obj)],
    ids=["itself", "exporter", "slice", "weakref", "buffer", "another view"])
def test_copied_if_something_else_looks_in(look):
    make = views.MOVING["part"]
    box = [make()]
    kept = look(box[0])
    with pytest.raises(SharedReferenceError, match=r"^\$\[0\]: this memoryview"):
        sent(box, strict=True)
    views.check_view(box[0], make())
    data = box[0].obj
    (got,), receipt = sent(box)
    assert (receipt.copied, receipt.pickled) == (1, 0) and box == []
    views.check_view(got, make())
    before = bytes(data)
    got[0] ^= 255
    assert bytes(data) == before and got.obj is not data
    trees.abuse([got])
    del kept
    gc.collect()
    data.append(1)


@pytest.mark.parametrize("view", [
    memoryview(b""), memoryview(b"bytes"), memoryview(bytearray(b"bytes")),
    memoryview(bytearray(16)).cast("d"), memoryview(bytes(range(24))).cast("H", shape=[3, 4]),
    memoryview(bytearray(8)).cast("q", shape=[]), memoryview(bytearray(range(30)))[3:20:4],
    memoryview(bytes(range(30)))[::-1], memoryview(array.array("f", [1.5, -2.5])),
    memoryview(bytearray(24)).cast("@q", [3, 1])[::2], memoryview(array.array("q")),
], ids=lambda v: f"{v.format}{v.shape}")
def test_views(view):
    (got,), receipt = sent([view])
    assert receipt == (1, 1, 0)
    views.check_view(got, view)
    anew = memoryview(view.tobytes()).cast(view.format)
    if view.ndim != 1:
        anew = memoryview(view.tobytes()).cast(view.format, view.shape)
    for name in ("strides", "c_contiguous", "f_contiguous", "contiguous", "nbytes", "itemsize"):
        assert getattr(got, name) == getattr(anew, name), name
    if not view.readonly and view.ndim == 1 and len(view):
        before = view.tolist()
        got[0] = got[-1]
        assert view.tolist() == before, "the data is a copy"


@given(st.sampled_from("bBhHiIlLqQfd"), st.lists(st.integers(1, 4), max_size=3), st.booleans(),
       st.booleans())
def test_any_view(layout, shape, readonly, kept):
    size = array.array(layout).itemsize
    for n in shape:
        size *= n
    data = bytes(i % 100 for i in range(size))

    def make():
        own = bytes(bytearray(data))
        return memoryview(own if readonly else bytearray(own)).cast(layout, shape=shape)
    outside = [make()] if kept else []
    (((got,),), receipt) = sent([[make()] if not kept else list(outside)])
    assert receipt.copied == kept or size == 1
    views.check_view(got, make())
    assert all(hash(v) == hash(got) for v in outside if readonly and layout in "bB")
    trees.abuse([got])


def test_views_that_share_their_data_arrive_apart():
    data = bytearray(b"abcd")
    (left, right, whole), receipt = sent([memoryview(data)[:2], memoryview(data)[2:], data])
    left[0] = 0
    assert (bytes(left), bytes(right), bytes(whole)) == (b"\0b", b"cd", b"abcd")
    assert receipt.copied == 3


def test_a_view_that_cannot_be_made_anew():
    released = memoryview(b"x")
    released.release()
    for view in (memoryview((ctypes.c_int * 2)()), released):
        with pytest.raises(TypeError, match=r"^\$\[0\]: cannot send this memoryview"):
            sent([view])


# ---- as values ------------------------------------------------------------------------------------

def test_in_shared_objects(worker):
    d = LockingDict()
    d["kept"] = kept = [memoryview(bytearray(range(100)))[::-1], 1.5]
    d["temporary"] = [memoryview(bytearray(range(100)))[50:]]
    d["root"] = memoryview(bytes(96)).cast("d", [2, 6])
    for _ in range(2):
        assert worker.call(views.read_values, d)
    assert kept[0][0] == 99
    box = Box([memoryview(bytearray(3))])
    assert worker.call(views.write_in_box, box) and views.read_box(box) == b"\0\1\0"
    frozen = freeze([memoryview(bytearray(b"abc"))[1:]])
    assert bytes(frozen[0]) == b"bc" and worker.call(views.read_frozen, frozen) == b"bc"
