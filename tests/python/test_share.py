"""send(share=...): refused where reference counts are not atomic; on the variants of lab/, what
LEAVES promises. (What 'unsafe' promises is lab/stale.py's subject.)"""

import gc
import sys
import sysconfig

import pytest
from objtunnel import Interpreter, SharedReferenceError, Tunnel, _core

ATOMIC = sysconfig.get_config_var("OT_LAB_VARIANT") not in (None, 0, "OT_LAB_STOCK")
LAB = _core._build_info()["lab"]
ordinary = pytest.mark.skipif(ATOMIC, reason="this CPython counts atomically")
atomic = pytest.mark.skipif(not ATOMIC, reason="needs atomic counts: make lab-test")


def leaves(i):
    """One of each kind that may be shared; nobody else has these."""
    return [i + 0.25, 10 ** 20 + i, complex(i, 1), b"bytes %d" % i]


def references(container, i):
    """To its i-th object, the container's included. (An assert would hold some of its own.)"""
    box = [float("1.5")]  # no constant: code would refer to it
    return sys.getrefcount(container[i]) - sys.getrefcount(box[0]) + 1


# ---- anywhere ------------------------------------------------------------------------------------

@pytest.mark.parametrize("nonsense", ["leaves", 1, 1.0, ["unsafe"]])
def test_nonsense_is_a_value_error(nonsense):
    with pytest.raises(ValueError, match="False, True or 'unsafe'"):
        Tunnel().send([1.5], share=nonsense)


def test_false_is_the_ordinary_rule():
    t, kept = Tunnel(), 1.5 * len("ab")
    assert t.send([kept], share=False).copied == 1
    assert t.recv()[0] is not kept


def assert_refused(method, share, remedy):
    t, tree = Tunnel(), [[1.5]]
    with pytest.raises(NotImplementedError, match=remedy):
        getattr(t, method)(tree, share=share)
    assert tree == [[1.5]] and t.qsize() == 0


@ordinary
@pytest.mark.parametrize("share", [True, "unsafe"])
@pytest.mark.parametrize("method", ["send", "send_nowait"])
def test_ordinary_cpythons_refuse_and_name_the_remedy(share, method):
    assert_refused(method, share, "make lab VARIANT=lock")


@pytest.mark.skipif(LAB, reason="this build has the laboratory's parts")
@pytest.mark.parametrize("method", ["send", "send_nowait"])
def test_what_is_shipped_has_no_unsafe_and_names_the_build_that_has(method):
    assert_refused(method, "unsafe", "make LAB_PARTS=1")


# ---- atomic counts -------------------------------------------------------------------------------

@atomic
def test_leaves_arrive_as_they_are():
    t, kept = Tunnel(), leaves(1)
    receipt = t.send(list(kept), share=True, strict=True)
    received = t.recv()
    assert receipt.copied == 0
    assert all(a is b for a, b in zip(kept, received, strict=True))
    counts = [references(kept, i) for i in range(len(kept))]
    assert counts == [2] * len(kept)


@atomic
def test_counts_add_up():
    t, kept = Tunnel(), leaves(2)
    t.send([kept[0], [kept[0], kept[0]]], share=True)
    received = t.recv()
    counts = [references(kept, 0)]
    del received
    counts.append(references(kept, 0))
    assert counts == [4, 1]


@atomic
@pytest.mark.parametrize("make", [lambda: str(10 ** 20), lambda: [1.5], lambda: {1: 2},
                                  lambda: (1.5, []), lambda: {10 ** 9}])
def test_str_and_containers_are_copied(make):
    t, kept = Tunnel(), make()
    with pytest.raises(SharedReferenceError):
        t.send([kept], share=True, strict=True)
    assert t.send([kept], share=True).copied >= 1
    received, = t.recv()
    assert received == kept and received is not kept


@atomic
def test_copied_containers_share_their_leaves():
    t, kept = Tunnel(), leaves(3)
    t.send([kept], share=True)
    (copy,) = t.recv()
    assert copy is not kept and all(a is b for a, b in zip(copy, kept, strict=True))


@atomic
@pytest.mark.skipif(not LAB, reason="needs the laboratory's parts: make lab-test")
def test_unsafe_moves_containers_and_copies_str():
    gc.disable()
    try:
        t, inner, text = Tunnel(), [1.5, {"a": (2.5, 10 ** 9)}], str(10 ** 20)
        receipt = t.send([inner, text], share="unsafe")
        received = t.recv()
        assert received[0] is inner and received[1] == text and received[1] is not text
        assert receipt.copied >= 1
        del received
    finally:
        gc.enable()


@atomic
def test_static_leaves_are_what_they_were():
    t = Tunnel()
    t.send([None, True, 5, b"", b"x", ...], share=True)
    assert t.recv() == [None, True, 5, b"", b"x", ...]


def hold_and_drop(tunnel, answers):
    """In the other interpreter: hold what comes, answer what it is, drop it, answer."""
    for tree in tunnel:
        answers.send([sum(abs(x) if not isinstance(x, bytes) else len(x) for x in tree)])
        del tree
        answers.send([None])


@atomic
@pytest.mark.parametrize("sender_first", [True, False])
def test_either_side_may_drop_the_last_reference(sender_first):
    t, answers = Tunnel(), Tunnel()
    with Interpreter() as other, t:
        done = other.submit(hold_and_drop, t, answers)
        for i in range(300):
            kept = [o for k in range(20) for o in leaves(100 * i + k)]
            expected = sum(abs(x) if not isinstance(x, bytes) else len(x) for x in kept)
            t.send(list(kept), share=True, strict=True)
            if sender_first:
                kept = None
            assert answers.recv() == [expected]
            answers.recv()
            kept = None
        t.close()
        done.result()


@atomic
def test_leaves_outlive_the_interpreter_that_made_them():
    with Interpreter() as maker:
        back = Tunnel()
        maker.submit(make_and_keep, back).result()
        received = back.recv()
        counts = [references(received, 0)]
    counts.append(references(received, 0))
    assert counts == [2, 1]  # the maker's own reference went with it
    assert received == [o for k in range(50) for o in leaves(k)]


def make_and_keep(back):
    import builtins
    builtins.kept = [o for k in range(50) for o in leaves(k)]
    back.send(list(builtins.kept), share=True, strict=True)


def double_and_drop(tunnel, answers, turns):
    tree = tunnel.recv()
    answers.send([None])
    for _ in range(turns):
        doubles = tree * 3
        del doubles
    answers.send([None])
    tunnel.recv()
    answers.send([sorted({references(tree, i) for i in range(len(tree))})])


@atomic
def test_both_sides_count_at_once():
    """Both double and drop references to the same leaves at the same time; the counts are exact."""
    t, answers = Tunnel(), Tunnel()
    kept = [o for k in range(50) for o in leaves(k)]
    turns = 3000
    with Interpreter() as other, t:
        done = other.submit(double_and_drop, t, answers, turns)
        t.send(list(kept), share=True, strict=True)
        answers.recv()
        for _ in range(turns):
            doubles = kept * 3
            del doubles
        answers.recv()
        assert {references(kept, i) for i in range(len(kept))} == {2}
        t.send([None])
        assert answers.recv() == [[2]]
        done.result()
