"""Trees of behaviours that cannot travel: they stay where they are until they can."""

import threading

import pytest
from test_behaviours import all_done, value_of, workers  # noqa: F401

import objtunnel
from objtunnel import Box, when


def make_generator():
    return (i for i in range(3))


def make_coroutine():
    async def f():
        pass
    coroutine = f()
    coroutine.close()  # nobody awaits it, and nobody shall be told
    return coroutine


def make_file():
    return open("/dev/null", "rb")


def make_socket():
    import socket
    return socket.socket()


def make_lock():
    return threading.Lock()


def make_frame():
    import sys
    return sys._getframe()


@pytest.mark.parametrize("make", [make_generator, make_coroutine, make_file, make_socket, make_lock, make_frame])
def test_what_cannot_travel_stays_where_it_is_until_it_is_taken_out(make):
    box = Box({"rows": [1]})

    def put_it_in(box):
        box.value["bad"] = make()

    def tell(box):
        import threading
        box.value["rows"].append(type(box.value["bad"]).__name__)
        return threading.get_ident()

    def take_it_out(box):
        import threading
        bad = box.value.pop("bad")
        if hasattr(bad, "close"):
            bad.close()
        return threading.get_ident()

    with pytest.raises(TypeError, match=r"tree of .*Box.*\['bad'\]"):
        when(box)(put_it_in).acquire()
    threads = set()
    for _ in range(4):
        with when(box)(tell) as thread:
            threads.add(thread)
        with pytest.raises(RuntimeError, match="cannot travel"):
            box.acquire()
    with when(box)(take_it_out) as thread:
        assert threads == {thread}
    with box as tree:
        assert tree["rows"][0] == 1 and len(tree["rows"]) == 5 and "bad" not in tree
    with when(box)(lambda box: len(box.value["rows"])) as n:
        assert n == 5


def test_two_trees_that_stay_in_different_workers():
    a, b, barrier = Box([]), Box([]), objtunnel.Barrier(2)

    def put_there(held):
        barrier.wait(60)  # so each runs in a worker of its own
        held.value.append(i for i in range(3))

    results = [when(box)(put_there) for box in (a, b)]
    for result in results:
        with pytest.raises(TypeError, match="generator"):
            result.acquire()
    with pytest.raises(RuntimeError, match="stays in behaviours' worker"):
        when(a, b)(lambda a, b: len(a.value) + len(b.value)).acquire()
    for box in (a, b):  # nothing was lost
        with when(box)(lambda held: next(held.value.pop())) as first:
            assert first == 0
    with when(a, b)(lambda a, b: [a.value, b.value]) as both:
        assert both == [[], []]

def test_a_tree_that_cannot_travel_is_noticed_late_and_who_may_have_put_it_there_is_said():
    box = Box({"rows": []})
    with box:
        guilty = when(box)(put_generator)
        others = [when(box)(count_rows) for _ in range(3)]
    for result in [guilty, *others[:2]]:  # whose trees stayed for the next one
        with result as value:
            assert value == 1
    with pytest.raises(TypeError, match=r"\['rows'\]\[0\].*each of the 3 behaviours before this one may have put it there"):
        others[-1].acquire()
    with box_emptied(box) as value:
        assert value == 0
    with box:
        guilty = when(box, strict=True)(put_generator)
        when(box)(clear_rows)
    with pytest.raises(TypeError, match=r"\['rows'\]\[0\]") as caught:
        guilty.acquire()
    assert "before this one" not in str(caught.value)
    assert value_of(box) == {"rows": []}


def put_generator(box):
    box.value["rows"].append(i for i in range(3))
    return len(box.value["rows"])


def count_rows(box):
    return len(box.value["rows"])


def clear_rows(box):
    box.value["rows"].clear()
    return 0


def box_emptied(box):
    return when(box)(clear_rows)
