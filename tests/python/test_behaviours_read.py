"""when(read=): behaviours that look at a box's tree at the same time, through frozen views, in order with those that change it."""

import datetime
import functools
import gc
import threading

import pytest
from test_behaviours import all_done, value_of, workers  # noqa: F401
from test_box import build, check, make_box, work

import objtunnel
from objtunnel import Barrier, Box, FrozenBytes, FrozenDict, FrozenList, Interpreter, behaviour_statistics, pin, wait, when

WAIT = 60


def make_tree():
    return {"rows": [{"id": i, "tags": [f"tag {i}"]} for i in range(100)], "blob": b"x" * 10_000, "n": 0}


# ---- what a user gets ------------------------------------------------------------------------------


def test_a_reader_gets_a_view_and_cannot_change_the_tree():
    box, out = Box(make_tree()), Box([])

    @when(out, read=box)
    def result(out, held):
        tree = held.value
        out.value.append(tree["rows"][7]["tags"][0])
        problems = []
        for change in (lambda: tree["rows"].append(1), lambda: tree.__setitem__("n", 1), lambda: setattr(held, "value", 1)):
            try:
                change()
            except (AttributeError, TypeError) as error:
                problems.append(str(error))
        assert held.value is tree
        return [type(tree).__name__, type(tree["rows"]).__name__, type(tree["blob"]).__name__, problems]

    with result as (tree, rows, blob, problems):
        assert (tree, rows, blob) == (FrozenDict.__name__, FrozenList.__name__, FrozenBytes.__name__)
        assert len(problems) == 3 and "read=" in problems[2]
    assert value_of(out) == ["tag 7"] and value_of(box) == make_tree()


def test_readers_run_at_the_same_time():
    """Each waits for the other one, in both orders of the boxes."""
    a, b, barrier = Box(make_tree()), Box([1]), Barrier(2)

    def meet(first, second):
        barrier.wait(WAIT)
        return len(first.value) + len(second.value)

    with a:
        results = [when(read=(a, b))(meet), when(read=(b, a))(meet)]
    for result in results:
        with result as n:
            assert n == 4


def test_readers_share_one_tree_that_is_not_copied():
    box = Box(make_tree())
    with when(box)(address_of_rows) as before:
        pass
    ids = []
    for _ in range(6):
        with when(read=[box])(lambda held: held.value.id) as seen:
            ids.append(seen)
    with when(box)(address_of_rows) as after:
        assert after == before  # moved, not copied
    with when(read=[box])(lambda held: held.value.id) as later:
        assert len(set(ids)) == 1 and later != ids[0]


def address_of_rows(held):
    held.value["n"] += 1
    return id(held.value["rows"])


def test_readers_come_after_what_was_scheduled_before_and_before_what_is_scheduled_later():
    box, seen = Box({"n": 0}), []
    for i in range(300):
        if i % 4:
            seen.append((i, when(read=box)(lambda held: held.value["n"])))
        else:
            when(box)(functools.partial(put, i))
    for i, result in seen:
        with result as n:
            assert n == i - i % 4


def put(i, held):
    held.value["n"] = i


def test_a_thread_waits_for_readers():
    box, go_on = Box({"n": 0}), objtunnel.Event()
    results = [when(read=box)(functools.partial(wait_and_look, go_on)) for _ in range(2)]
    with pytest.raises(TimeoutError):
        box.acquire(timeout=0.05)
    assert "read by" in repr(box) and box.locked() and box.owner is None
    go_on.set()
    with box as tree:
        tree["n"] = 1
    for result in results:
        with result as n:
            assert n == 0


def wait_and_look(event, held):
    assert event.wait(WAIT)
    return held.value["n"]


def test_shapes():
    a, b, c = Box([1]), Box([2]), Box([3])

    @when(a, read=[b, [c, b], a])
    def result(first, second, rest, again):
        first.value.append(again is first)
        return [second is rest[1], type(second.value).__name__, [held.value[0] for held in rest], repr(second.box)]

    with result as (same, kind, values, text):
        assert (same, kind, values) == (True, "FrozenList", [3, 2]) and "read by 1 behaviour" in text
    assert value_of(a) == [1, True]  # named to be changed as well: not only read
    with when(read=[])(lambda: "a task") as text:
        assert text == "a task"
    for bad, match in ((5, "read= takes a box"), ([5], "item 0 is 'int'"), ([[a, None]], "item 0 has 'NoneType' in it"),
                       ({a}, "read= takes a box")):
        with pytest.raises(TypeError, match=match):
            when(a, read=bad)


def test_what_is_constant_comes_as_it_is():
    handle = Box([1])
    boxes = [Box(5), Box(None), Box(True), Box(1.5), Box("text"), Box(b"bytes"), Box(2**100), Box(...), Box(handle),
             Box(datetime.date(2024, 2, 3))]

    @when(read=[boxes])
    def result(helds):
        return [held.value for held in helds] + [helds[4].copy(), helds[0].copy()]

    with result as values:
        assert values == [5, None, True, 1.5, "text", b"bytes", 2**100, ..., handle, datetime.date(2024, 2, 3), "text", 5]


def test_results_are_read_too_and_failures_raise_for_each():
    one, failed = when()(make_tree), when()(lambda: 1 // 0)

    @when(one)
    def _(held):
        held.value["n"] = 7

    def look(held, bad):
        try:
            bad.value
        except ZeroDivisionError:
            return held.value["n"]

    for result in [when(read=[one, failed])(look) for _ in range(4)]:
        with result as n:
            assert n == 7


def test_a_reader_that_fails():
    box = Box(make_tree())

    @when(read=box)
    def result(held):
        rows = held.value["rows"]  # in the traceback's frames
        raise LookupError(rows[3]["id"])

    with pytest.raises(LookupError, match="3"):
        result.acquire()
    with when(box)(address_of_rows) as first, when(box)(address_of_rows) as second:
        assert first == second


# ---- trees that cannot be shown --------------------------------------------------------------------


def test_dates_and_the_like_are_made_constants_once():
    box = Box({"day": datetime.date(2024, 2, 3), "rows": [1, 2]})

    def look(held):
        return held.value["day"].month, held.value.id

    with when(read=box)(look) as first, when(read=box)(look) as second:
        assert first == second and first[0] == 2
    with box as tree:
        assert type(tree["day"]) is datetime.date
        tree["day"] = datetime.date(2024, 5, 3)
    with when(read=box)(look) as later:
        assert later[0] == 5 and later[1] != first[1]


def test_what_cannot_be_frozen_raises_with_its_path_and_can_be_copied():
    box = Box(build(3))

    @when(read=box)
    def result(held):
        work(held.copy())
        return held.value

    with pytest.raises(TypeError, match=r"Held of Box.*\['account'\].*cannot be frozen.*copy\(\)"):
        result.acquire()
    copies = [when(read=box)(functools.partial(copy_and_check, 3)) for _ in range(6)]
    for copied in copies:
        with copied as tree:
            check(tree, 3, 1)
    with box as tree:
        check(tree, 3, 0)
    box = Box([Box([1])])
    with pytest.raises(TypeError, match=r"\[0\].*Box cannot be frozen"):
        when(read=box)(lambda held: held.value).acquire()
    with when(read=box)(lambda held: held.copy()[0]) as inner, inner as tree:
        assert tree == [1]


def copy_and_check(n, held):
    tree = held.copy()
    check(tree, n, 0)
    work(tree)
    return tree


def test_copy_is_for_readers():
    box = Box([1])
    with pytest.raises(TypeError, match="read="):
        when(box)(lambda held: held.copy()).acquire()


def test_a_pinned_tree_is_not_read():
    with pytest.raises(ValueError, match="pinned"):
        when(read=pin([1]))(lambda held: None)


def test_a_tree_that_stays_in_a_worker_is_not_read_until_it_can_travel():
    box, other = Box({"rows": []}), Box(0)
    with pytest.raises(TypeError):
        when(box)(lambda held: held.value["rows"].append(i for i in range(3))).acquire()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="cannot travel"):
            when(other, read=box)(lambda other, held: held.value).acquire()
    when(box)(lambda held: held.value["rows"].clear())
    with when(read=box)(lambda held: len(held.value["rows"])) as n:
        assert n == 0


# ---- views that are kept ---------------------------------------------------------------------------


def test_a_view_that_is_kept_stays_as_it_was():
    box = Box(make_tree())
    with when(box)(address_of_rows) as before:
        pass
    with when(read=box)(lambda held: held.value) as view:  # out of its behaviour
        with when(box)(address_of_rows) as after:
            assert after != before  # the next one got a copy
        assert view["n"] == 1 and view["rows"][99]["tags"] == ["tag 99"]
        with box as tree:
            tree["rows"].clear()
        gc.collect()
        assert len(view["rows"]) == 100 and view.thaw() == {**make_tree(), "n": 1}


def test_what_its_maker_left_is_read_where_it_was_never_made():
    with Interpreter() as a:
        plain, mixed = a.call(make_plain_box), a.call(make_box, 4)
    gc.collect()

    def look(plain, mixed):
        check(mixed.copy(), 4, 0)
        rows = plain.value["rows"]
        return sum(row["id"] for row in rows), rows[50]["tags"][0], plain.copy()

    results = [when(read=[plain, mixed])(look) for _ in range(8)]
    for result in results:
        with result as (total, tag, tree):
            assert (total, tag) == (4950, "tag 50") and tree == make_tree()
            tree["rows"].append("mine")
    with plain as tree, mixed as other:
        tree["rows"].append("new")
        work(other)
        check(other, 4, 1)
        assert len(tree["rows"]) == 101


def make_plain_box():
    return Box(make_tree())


# ---- histories -------------------------------------------------------------------------------------


def test_audits_read_a_bank_while_transfers_change_it():
    boxes = [Box({"balance": 100, "log": []}) for _ in range(40)]

    def transfer(source, target, amount=3):
        source.value["balance"] -= amount
        target.value["balance"] += amount
        target.value["log"].append(amount)

    def audit(boxes):
        return sum(box.value["balance"] for box in boxes), sum(sum(box.value["log"]) for box in boxes)

    audits = []

    def schedule():
        for i in range(300):
            source, target = i * 7919 % 40, i * 104729 % 40
            if source != target:
                when(boxes[source], boxes[target])(transfer)
            if i % 15 == 0:
                audits.append(when(read=[boxes])(audit))
                audits.append(when(read=[boxes])(audit))

    threads = [threading.Thread(target=schedule) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    before = behaviour_statistics()
    wait(WAIT)
    assert before.scheduled == behaviour_statistics().scheduled
    for result in audits:
        with result as (total, _):
            assert total == 4000


def test_chains_of_readers_and_writers_over_one_box():
    """Trees that stay for the next writer, and go to rest for readers."""
    box = Box([0])
    with box:
        results = []
        for i in range(120):
            if i % 5 in (2, 3):
                results.append((i, when(read=box)(lambda held: held.value[0])))
            else:
                when(box)(add)
    writers = 0
    for i, result in results:
        writers = sum(k % 5 not in (2, 3) for k in range(i))
        with result as n:
            assert n == writers
    assert value_of(box) == [72]


def add(held):
    held.value[0] += 1
