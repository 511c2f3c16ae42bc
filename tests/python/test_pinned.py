"""pin(), pump(), pump_fileno(): trees that stay in their interpreter."""

import asyncio
import gc
import io
import select
import threading
import time
import weakref

import pytest

import objtunnel
from objtunnel import Box, Interpreter, LockAbandonedError, _core, pin, pump, pump_fileno, start, wait, when

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


# ---- in other interpreters -----------------------------------------------------------------------


def pin_there():
    global there
    there = Window()
    return pin(there)


def lines_there():
    return there.lines


def pump_there(count):
    done = 0
    while done < count:
        done += pump(WAIT)
    return done


def wait_there():
    wait(WAIT)


def open_there(box, text):
    with when(box, Box(text))(show_and_tell) as told, when(box, when()(slowly))(show_and_tell) as later:
        return told, later


def show_and_tell(window, text):
    show(window, text)
    return f"shown: {text.value}"


def test_each_interpreter_pumps_what_is_pinned_there():
    with Interpreter() as a, Interpreter() as b:
        first, second, here = a.call(pin_there), b.call(pin_there), pin(Window())
        for i in range(10):
            text = when()(lambda i=i: i)
            for box in (first, second, here):
                when(box, text)(show)
        futures = [worker.submit(pump_there, 10) for worker in (a, b)]
        wait(WAIT)
        assert [f.result(WAIT) for f in futures] == [10, 10]
        assert a.call(lines_there) == b.call(lines_there) == list(range(10))
        with here as window:
            assert window.lines == list(range(10))
        for box in (first, second):
            with pytest.raises(RuntimeError, match="pinned to interpreter"):
                box.acquire()


def test_wait_and_opening_pump_in_an_interpreter_that_pinned():
    with Interpreter() as a:
        box = a.call(pin_there)
        when(box, Box("first"))(show)
        a.call(wait_there)
        assert a.call(open_there, box, "second") == ("shown: second", "shown: at last")
        assert a.call(lines_there) == ["first", "second", "at last"]


def test_a_tree_that_is_pinned_to_an_interpreter_that_ended_is_lost():
    with Interpreter() as a:
        box = a.call(pin_there)
        waiting = when(box, Box("never"))(show)
    result = when(box, Box("never"))(show)
    wait(WAIT)
    for failed in (waiting, result):
        with pytest.raises(LockAbandonedError, match="lost"):
            failed.acquire()
    assert box.recover(["new"])
    with when(box)(add_one) as tree:
        assert tree == ["new", 1]


def add_one(box):
    box.value.append(1)
    return box.value


def test_what_is_pinned_in_a_behaviour_stays_in_that_worker():
    @when()
    def inner():
        import threading

        import objtunnel
        return objtunnel.pin([threading.get_ident(), (i for i in range(5))])

    with inner as box:
        pass
    for _ in range(3):
        with when(box, Box(0))(look_at_thread) as same:
            assert same is True
    with pytest.raises(RuntimeError, match="pinned to interpreter"):
        box.acquire()


def look_at_thread(box, other):
    next(box.value[1])
    return box.value[0] == threading.get_ident()


# ---- opening results -----------------------------------------------------------------------------


def test_opening_a_result_runs_what_it_waits_for():
    window = Window()
    box = pin(window)
    with when(box, Box("one"))(show_and_tell) as told:
        assert told == "shown: one"
    last = when(box, when(box, when()(slowly))(show_and_tell))(show_and_tell)
    assert last.acquire(timeout=WAIT) == "shown: shown: at last"
    last.release()
    assert window.lines == ["one", "at last", "shown: at last"]
    box.acquire()
    box.release()


def test_a_tree_that_stayed_in_a_worker_goes_to_rest_for_a_thread_that_pumps():
    pinned, box = pin([]), Box([])
    for i in range(200):
        for _ in range(3):
            when(box)(add_one)
        with box as tree:  # this thread's place in the queue is a behaviour's
            assert len(tree) == 3 * (i + 1)
    with pinned as tree:
        assert tree == []


def test_opening_in_time():
    box, other = pin(Window()), Box(0)
    with other:
        result = when(box, other)(show_and_tell)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                result.acquire(timeout=0.02)
    with result as told:
        assert told == "shown: 0"


def test_opening_by_a_thread_that_does_not_pump_waits_for_the_one_that_does():
    box, told = pin(Window()), []
    result = when(box, Box("text"))(show_and_tell)

    def open_it():
        with result as value:
            told.append(value)

    thread = threading.Thread(target=open_it)
    thread.start()
    time.sleep(0.05)
    assert told == []
    assert pump(WAIT) == 1
    thread.join(WAIT)
    assert told == ["shown: text"]


def test_another_thread_takes_the_part_of_one_that_has_ended():
    boxes = []
    thread = threading.Thread(target=lambda: (pump(), boxes.append(pin([]))))
    thread.start()
    thread.join(WAIT)
    pump(0.001)  # this thread is the one now, whichever was before

    def be_the_one():
        pump(0.001)

    thread = threading.Thread(target=be_the_one)
    thread.start()
    thread.join(WAIT)
    with when(boxes[0])(add_one) as tree:  # that thread has ended
        assert tree == [1]


def test_an_interrupt_of_what_is_run_meanwhile_ends_the_wait():
    box, other = pin(Window()), Box(0)

    @when(box)
    def failed(held):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        when(box)(nothing).acquire()
    wait(WAIT)
    with pytest.raises(KeyboardInterrupt):
        failed.acquire()
    with other:
        pass


def nothing(box):
    pass
