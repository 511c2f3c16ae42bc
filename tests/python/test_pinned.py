"""pin(), pump(), pump_fileno(): trees that stay in the main interpreter."""

import asyncio
import gc
import io
import select
import threading
import weakref

import pytest

import objtunnel
from objtunnel import Box, Interpreter, _core, pin, pump, pump_fileno, start, wait, when

WAIT = 60


@pytest.fixture(scope="module", autouse=True)
def workers():
    start(2)


@pytest.fixture(autouse=True)
def nothing_is_left():
    wait(WAIT)
    gc.collect()
    before = _core._live_shared()
    yield
    wait(WAIT)
    gc.collect()
    assert _core._live_shared() <= before and pump() == 0


class Window:
    """Cannot travel."""

    def __init__(self):
        self.lines, self.thread, self.stream = [], threading.get_ident(), io.StringIO()
        self.generator = (i for i in range(100))


def show(window, text):
    assert threading.get_ident() == window.value.thread
    window.value.lines.append(text.value)
    next(window.value.generator)


def test_behaviours_on_a_pinned_box_run_in_pump_with_the_object_itself():
    window = Window()
    box, text = pin(window), Box("hello")

    @when(box, text)
    def result(held, text):
        show(held, text)
        text.value = "changed"
        return held.value.lines

    assert pump() == 1 and pump() == 0
    assert window.lines == ["hello"]
    with result as lines, text as changed, box as same:
        assert lines == ["hello"] and changed == "changed" and same is window
    with box:
        pass


def test_wait_pumps():
    window = Window()
    box, results = pin(window), []
    for i in range(20):
        text = when()(lambda i=i: f"computed {i}")
        when(box, text)(show)
        results.append(text)
    wait(WAIT)
    assert window.lines == [f"computed {i}" for i in range(20)]


def test_pump_sleeps_until_there_is_something():
    window = Window()
    box = pin(window)
    assert pump(0.01) == 0
    text = when()(slowly)
    when(box, text)(show)
    assert pump(WAIT) == 1
    assert window.lines == ["at last"]


def slowly():
    import time
    time.sleep(0.2)
    return "at last"


def test_the_descriptor_tells():
    window = Window()
    box = pin(window)
    fd = pump_fileno()
    pump()
    assert select.select([fd], [], [], 0)[0] == []
    when(box, when()(slowly))(show)
    assert select.select([fd], [], [], WAIT)[0] == [fd]
    assert pump() == 1
    assert select.select([fd], [], [], 0)[0] == [] and pump_fileno() == fd


def test_asyncio():
    window = Window()
    box = pin(window)

    async def main():
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def run():
            pump()
            if len(window.lines) == 3:
                done.set()

        loop.add_reader(pump_fileno(), run)
        for i in range(3):
            when(box, when()(lambda i=i: i))(show)
        await asyncio.wait_for(done.wait(), WAIT)
        loop.remove_reader(pump_fileno())

    asyncio.run(main())
    assert window.lines == [0, 1, 2]


def test_elsewhere_it_raises():
    box = pin(Window())
    with Interpreter() as a:
        with pytest.raises(RuntimeError, match="pinned to interpreter 0"):
            a.call(Box.acquire, box)
        for function in (pin, pump):
            with pytest.raises(RuntimeError, match="main interpreter"):
                a.call(function, 1)

    @when(box)
    def result(held):
        problems = []
        for call in (pump, wait):
            try:
                call()
            except RuntimeError as error:
                problems.append(str(error))
        held.value.lines = problems

    assert pump(WAIT) == 1
    with box as window:
        assert len(window.lines) == 2 and all("a behaviour may not" in text for text in window.lines)


def test_failures():
    window = Window()
    box, other = pin(window), Box([1])

    @when(box, other)
    def result(held, other):
        other.value.append(held.value.generator)
        raise LookupError("in the main interpreter")

    wait(WAIT)
    with pytest.raises(LookupError, match="main interpreter"):
        result.acquire()
    with pytest.raises(RuntimeError, match="cannot travel"):  # it stays here, too, until it can
        other.acquire()
    when(other)(take_out)
    wait(WAIT)
    with other as tree:
        assert tree == [1]

    @when(box)
    def _(held):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pump(WAIT)
    assert pump() == 0


def take_out(other):
    other.value.pop()


def test_a_pinned_tree_ends_with_its_box_wherever_that_ends():
    window = Window()
    ref = weakref.ref(window)
    box = pin(window)
    del window
    assert ref() is not None
    del box
    assert ref() is None
    window = Window()
    ref = weakref.ref(window)
    keeper = Box([pin(window)])
    del window

    @when(keeper)
    def _(keeper):
        keeper.value.clear()  # the last handle goes in a worker

    wait(WAIT)
    with keeper as tree:
        assert tree == []
    pump()
    assert ref() is None
    assert objtunnel.pin is pin
