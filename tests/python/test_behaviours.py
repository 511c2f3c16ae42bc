"""when(), start(), wait(): functions that run once their boxes are free, in other interpreters, with live trees."""

import copy
import functools
import gc
import math
import threading
import time

import pytest
from test_box import build, check, make_box, work

import objtunnel
from objtunnel import (
    Box,
    Held,
    Interpreter,
    LockAbandonedError,
    RemoteError,
    SharedReferenceError,
    _core,
    behaviour_statistics,
    start,
    wait,
    when,
)

WAIT = 60  # seconds that no test should ever wait


@pytest.fixture(scope="module", autouse=True)
def workers():
    start(2)


@pytest.fixture(autouse=True)
def all_done():
    """Each test begins and ends without a behaviour, and leaves no shared object behind."""
    wait(WAIT)
    gc.collect()
    before = _core._live_shared()
    yield
    wait(WAIT)
    deadline = time.monotonic() + 20
    gc.collect()
    while _core._live_shared() > before and time.monotonic() < deadline:
        when()(gc.collect)  # a worker that keeps a handle in a cycle
        when()(gc.collect)
        wait(WAIT)
        gc.collect()
    assert _core._live_shared() <= before


class Account:
    def __init__(self, balance):
        self.balance, self.log = balance, []


LIMIT = 5


def helper(n):
    return n + LIMIT


def value_of(box):
    with box as tree:
        return copy.deepcopy(tree)


# ---- what a user gets ----------------------------------------------------------------------------


def test_it_runs_with_the_live_trees_and_returns_a_box():
    a, b, c, d = Box({"n": 1}), Box([2]), Box({3}), Box("four")

    @when(a, b, [c, d])
    def result(a, b, rest):
        a.value["n"] += b.value[0]
        b.value.append(threading.get_native_id())
        assert type(rest) is list
        return [rest[0].value.pop(), rest[1].value]

    assert type(result) is Box
    with result as value:
        assert value == [3, "four"]
    assert value_of(a) == {"n": 3} and value_of(c) == set()
    with b as tree:
        assert tree[0] == 2 and tree[1] != threading.get_native_id()


def test_shapes():
    a, b = Box(1), Box(2)

    @when((a, b), a, [], [b])
    def shapes(pair, first, none, one):
        return [type(pair).__name__, pair[0] is first, none, one[0] is pair[1], first.value + one[0].value]

    with shapes as value:
        assert value == ["tuple", True, [], True, 3]


def test_a_box_that_is_named_twice_has_one_handle():
    a = Box([0])

    @when(a, a, [a])
    def result(x, y, rest):
        x.value.append(1)
        return [x is y, y is rest[0], y.value]

    with result as value:
        assert value == [True, True, [0, 1]]


def test_a_task_without_boxes():
    @when()
    def result():
        return math.sqrt(16)

    with result as value:
        assert value == 4


def test_a_value_can_be_replaced():
    a, b, mine = Box([1]), Box({"k": 1}), Box(None)
    text = "text"

    @when(a, b, mine)
    def _(a, b, mine):
        a.value = {"new": a.value}
        b.value = None  # unseen
        mine.value = text
        with pytest.raises(AttributeError):
            del mine.value

    wait(WAIT)
    assert value_of(a) == {"new": [1]} and value_of(b) is None and value_of(mine) == "text"


def test_classes_and_globals_are_the_modules():
    box = Box(Account(10))

    @when(box)
    def result(account):
        account.value.log.append("seen")
        account.value.balance = helper(account.value.balance)
        return isinstance(account.value, Account)

    with result as value:
        assert value is True
    with box as account:
        assert isinstance(account, Account) and (account.balance, account.log) == (15, ["seen"])


def test_cells_defaults_and_keywords_are_a_snapshot():
    rows, factor = [1, 2], 10

    def late(box, extra=rows, *, more=(3,)):  # noqa: B006
        return [factor, rows, extra, more, box.value]

    box = Box(0)
    result = when(box)(late)
    rows.append("later")
    with result as value:
        assert value == [10, [1, 2], [1, 2], (3,), 0]
    assert rows == [1, 2, "later"]


def test_lambdas_partials_methods_builtins():
    box = Box([3, 1, 2])
    with when(box)(lambda box: sorted(box.value)) as value:
        assert value == [1, 2, 3]
    with when(box)(functools.partial(lambda n, box, k: [n, len(box.value), k], 7, k="k")) as value:
        assert value == [7, 3, "k"]
    with when(box)(repr) as value:
        assert "Held of Box" in value
    with when()([1, 2].copy) as value:
        assert value == [1, 2]
    with pytest.raises(TypeError, match="callable"):
        when(box)(5)


def test_boxes_may_be_inside_of_values_and_behaviours_schedule_others():
    inner, outer = Box({"n": 0}), Box([])
    with outer as tree:
        tree.append(inner)

    @when(outer)
    def _(outer):
        box = outer.value[0]

        @when(box)
        def _(held):
            held.value["n"] += 1

            @when(box, held.box)
            def _(held, same):
                same.value["n"] += 10

    wait(WAIT)
    assert value_of(inner) == {"n": 11}


def test_any_thread_may_schedule():
    box, n = Box({"n": 0}), 200

    def add_many():
        for _ in range(n):
            when(box)(add_one)

    threads = [threading.Thread(target=add_many) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait(WAIT)
    assert value_of(box) == {"n": 4 * n}


def add_one(box):
    box.value["n"] += 1


def schedule_in(box, n):
    for _ in range(n):
        when(box)(add_one)


def test_a_job_of_an_interpreter_may_schedule():
    box = Box({"n": 0})
    with Interpreter() as a:
        a.call(schedule_in, box, 50)
        schedule_in(box, 50)
        wait(WAIT)
    assert value_of(box) == {"n": 100}


def test_a_result_is_used_by_the_next_behaviour():
    def total(first, second):
        first.value.append(second.value)
        return first.value

    one = when()(lambda: [1])
    two = when()(lambda: 2)
    with when(one, two)(total) as value:
        assert value == [1, 2]


# ---- order ---------------------------------------------------------------------------------------


def test_behaviours_that_share_a_box_run_in_the_order_in_which_they_were_scheduled():
    boxes = [Box([]) for _ in range(4)]
    for i in range(400):
        named = {boxes[i % 4]: None, boxes[i * 7 % 4]: None}
        when(*named)(functools.partial(append, i))
    wait(WAIT)
    for box in boxes:
        with box as tree:
            assert tree == sorted(tree) and len(tree) >= 100


def append(i, *boxes):
    for box in boxes:
        box.value.append(i)


def test_with_is_a_place_in_the_order():
    box = Box([])
    for i in range(20):
        when(box)(functools.partial(append, i))
        if i % 5 == 4:
            with box as tree:
                assert tree == list(range(i + 1))


def test_opposite_orders_do_not_deadlock():
    a, b = Box([0]), Box([0])

    def swap(x, y):
        x.value[0] += 1
        y.value[0] += 1

    for i in range(500):
        when(*((a, b), (b, a))[i % 2])(swap)
    wait(WAIT)
    assert value_of(a) == value_of(b) == [500]


def test_philosophers():
    forks = [Box({"uses": 0}) for _ in range(100)]
    rounds = 5

    def eat(left, right):
        left.value["uses"] += 1
        right.value["uses"] += 1

    for _ in range(rounds):
        for i in range(100):
            when(forks[i], forks[(i + 1) % 100])(eat)
    wait(WAIT)
    assert all(value_of(fork) == {"uses": 2 * rounds} for fork in forks)


# ---- failures ------------------------------------------------------------------------------------


class Refused(Exception):
    pass


def test_an_exception_is_raised_where_the_result_is_opened():
    box = Box({"n": 1})

    @when(box)
    def result(box):
        box.value["n"] = 2
        raise Refused("no", 7)

    for _ in range(2):
        with pytest.raises(Refused, match="no") as caught:
            result.acquire()
        assert caught.value.args == ("no", 7)
        assert "raise Refused" in str(caught.value.__cause__)  # the remote traceback, with the source line
    assert value_of(box) == {"n": 2}  # the tree is as the behaviour left it


def test_a_failed_result_that_another_behaviour_uses_raises_at_its_value():
    failed = when()(lambda: 1 // 0)

    @when(failed)
    def result(failed):
        try:
            return failed.value
        except ZeroDivisionError as error:
            return str(error)

    with result as value:
        assert "zero" in value


def test_a_failure_that_nobody_opens_is_reported(capfd):
    def fails_unseen():
        raise Refused("never opened")

    when()(fails_unseen)
    wait(WAIT)
    deadline = time.monotonic() + WAIT
    text = ""
    while "never opened" not in text and time.monotonic() < deadline:
        text += capfd.readouterr().err
    assert "nobody has opened" in text and 'raise Refused("never opened")' in text
    result = when()(fails_unseen)
    with pytest.raises(Refused):
        result.acquire()
    del result
    gc.collect()
    assert capfd.readouterr().err == ""


def test_a_result_that_cannot_travel():
    result = when()(lambda: [0, (i for i in range(3))])
    with pytest.raises(TypeError, match=r"result\[1\].*generator"):
        result.acquire()


def test_what_cannot_be_sent_is_refused_with_the_variables_name():
    box, generator = Box(1), (i for i in range(3))

    def uses_it(box):
        return generator

    with pytest.raises(TypeError, match=r"variable 'generator'.*generator"):
        when(box)(uses_it)

    def has_default(box, bad=generator):
        return bad

    with pytest.raises(TypeError, match="default of 'bad'"):
        when(box)(has_default)

    def has_keyword(box, *, bad=generator):
        return bad

    with pytest.raises(TypeError, match="default of 'bad'"):
        when(box)(has_keyword)
    with pytest.raises(TypeError, match="partial's arguments"):
        when(box)(functools.partial(repr, generator))
    assert value_of(box) == 1  # nothing was scheduled


def test_what_is_no_box():
    for bad in (5, [Box(1), 5], {"a": 1}, None):
        with pytest.raises(TypeError, match="when\\(\\) takes boxes"):
            when(Box(1), bad)


def test_a_tree_that_cannot_go_back_stays_until_it_can():
    box, other = Box({"rows": [1]}), Box(0)

    @when(box)
    def result(box):
        box.value["bad"] = [(i for i in range(3))]

    with pytest.raises(TypeError, match=r"tree of .*Box.*\['bad'\]\[0\]"):
        result.acquire()
    with pytest.raises(RuntimeError, match="cannot travel"):
        box.acquire()
    for _ in range(10):  # whoever is idle: it runs where the tree is
        when()(gc.collect)
    with when(box, other)(lambda box, other: next(box.value["bad"][0])) as value:
        assert value == 0

    @when(box)
    def _(box):
        box.value["rows"].append(next(box.value["bad"][0]))
        del box.value["bad"]

    assert value_of(box) == {"rows": [1, 1]}
    wait(WAIT)
    assert "Error" not in repr(box)


def test_an_exception_and_a_tree_that_cannot_go_back(capfd):
    box = Box([])

    @when(box)
    def result(box):
        box.value.append(i for i in range(3))
        raise Refused("first")

    with pytest.raises(Refused) as caught:
        result.acquire()
    del caught

    @when(box)
    def _(box):
        box.value.clear()

    assert value_of(box) == []


def test_references_that_escape_do_not_hurt():
    box = Box({"a": [1], "b": [2]})

    @when(box)
    def _(box):
        import builtins
        builtins.escaped = box.value["a"], box
        box.value["a"].append(2)

    wait(WAIT)
    assert value_of(box) == {"a": [1, 2], "b": [2]}
    box = Box([0])
    for _ in range(4):

        @when(box)
        def _(box):
            import builtins
            if hasattr(builtins, "escaped"):
                rows, held = builtins.escaped
                rows.append("mine")
                try:
                    held.value
                except RuntimeError as error:
                    box.value.append(str(error))
                del builtins.escaped
            time.sleep(0.01)

    wait(WAIT)
    with box as tree:
        assert len(tree) <= 2 and all("has ended" in text for text in tree[1:])


# ---- inside --------------------------------------------------------------------------------------


def test_inside_a_behaviour_waiting_raises():
    own, other = Box([1]), Box([2])

    @when(own)
    def result(held):
        problems = []
        assert other.try_acquire() == [2]
        other.release()
        for call in (wait, other.acquire, lambda: other.acquire(timeout=1)):
            try:
                call()
            except RuntimeError as error:
                problems.append(str(error))
        with own as tree:  # its own box: the tree that it has
            tree.append(tree is held.value)
        return problems

    with result as problems:
        assert len(problems) == 3 and not other.locked()
        assert "may not wait" in problems[0] and "name the box in when()" in problems[1]
    assert value_of(own) == [1, True]


def test_handles_say_what_they_are():
    box = Box(1)

    @when(box)
    def result(held):
        return [repr(held), held.box.id, type(held).__name__]

    with result as value:
        assert value == [f"<objtunnel.Held of Box {box.id}>", box.id, "Held"]
    assert Held.__name__ == "Held"
    with pytest.raises(TypeError):
        Held()


# ---- waiting -------------------------------------------------------------------------------------


def test_wait_with_a_timeout_changes_nothing():
    box = Box(0)
    with box:
        result = when(box)(lambda box: "done")
        with pytest.raises(TimeoutError, match="1 behaviours"):
            wait(0.01)
        with pytest.raises(TimeoutError):
            result.acquire(timeout=0.01)
        for bad in ("x", float("nan")):
            with pytest.raises((TypeError, ValueError)):
                wait(bad)
    wait(WAIT)
    wait()
    with result as value:
        assert value == "done"


def test_start_again():
    start()
    start(2)
    with pytest.raises(RuntimeError, match="2 workers"):
        start(3)
    for bad in (0, -1, 65, "2", 1.0):
        with pytest.raises(ValueError):
            start(bad)
    with Interpreter() as a:
        a.call(start)  # they run: nothing to do


def test_a_lost_tree_says_so_to_a_behaviour():
    box = Box([1])
    with Interpreter() as a:
        a.call(lose, box)
    with when(box)(tell) as value:
        assert "lost" in value
    when(box)(refill)
    assert value_of(box) == ["new"]


def lose(box):
    global kept, kept_box
    kept_box, kept = box, box.acquire()
    kept.append(i for i in range(3))


def tell(box):
    try:
        return box.value
    except LockAbandonedError as error:
        return str(error)


def refill(box):
    box.value = ["new"]


# ---- histories -----------------------------------------------------------------------------------


def test_a_bank_of_a_thousand_boxes_conserves_its_sum():
    boxes = [Box({"balance": 100}) for _ in range(1000)]

    def transfer(source, target, amount=3):
        if source.value["balance"] >= amount:
            source.value["balance"] -= amount
            target.value["balance"] += amount

    def audit(boxes):
        return sum(box.value["balance"] for box in boxes)

    audits = []
    for i in range(2000):
        source, target = i * 7919 % 1000, i * 104729 % 1000
        if source != target:
            when(boxes[source], boxes[target])(transfer)
        if i % 1000 == 999:
            audits.append(when(boxes)(audit))
    for result in audits:
        with result as total:
            assert total == 100_000


def test_many_behaviours_on_few_boxes():
    boxes = [Box([0]) for _ in range(3)]

    def bump(box):
        box.value[0] += 1

    n = 3000
    for i in range(n):
        when(boxes[i % 3])(bump)
    wait(WAIT)
    assert sum(value_of(box)[0] for box in boxes) == n
    assert objtunnel.when is when and RemoteError is objtunnel.RemoteError


# ---- a tree stays where it is needed next --------------------------------------------------------


def test_a_chain_of_behaviours_does_not_move_the_tree():
    box, seen, n = Box({"rows": [[i] for i in range(100)]}), Box([]), 50
    with box:  # all are in the queue before the first one runs
        for _ in range(n):

            @when(box, seen)
            def _(box, seen):
                rows = box.value["rows"]
                rows.reverse()
                seen.value.append((threading.get_native_id(), id(box.value)))

    with seen as places:
        assert len(places) == n and len(set(places)) <= 2  # after a number in a row others get their turn
    with box as tree:
        assert tree == {"rows": [[i] for i in range(100)]}


def test_a_tree_that_stayed_goes_on_if_the_next_behaviour_does_not_look_at_it():
    box = Box([0])
    with box:
        for i in range(200):
            if i % 3:
                when(box)(lambda box: None)
            else:
                when(box)(bump)
    with box as tree:
        assert tree == [67]


def bump(box):
    box.value[0] += 1


def test_a_tree_that_stayed_is_there_for_others_after_a_failure():
    box, other = Box([0]), Box([0])
    with box, other:
        for i in range(30):
            when(box)(bump)
            result = when(box, other)(fail_after_bump)
            when(other)(bump)
    for tree in (value_of(box), value_of(other)):
        assert tree == [60]
    with pytest.raises(Refused):
        result.acquire()


def fail_after_bump(a, b):
    bump(a)
    bump(b)
    raise Refused("on purpose")


def test_chains_do_not_keep_others_waiting_for_ever():
    """Two chains, each longer than a worker goes on with one, and a task beside them, on two workers."""
    chains = [Box([0]) for _ in range(2)]
    for chain in chains:
        when(chain)(go_on)
    with when()(lambda: "not starved") as value:
        assert value == "not starved"
    wait(WAIT)
    assert [value_of(chain) for chain in chains] == [[3000], [3000]]


def go_on(held):
    held.value[0] += 1
    if held.value[0] < 3000:
        when(held.box)(go_on)


# ---- what is copied ------------------------------------------------------------------------------


def test_strict_tells_of_references_that_were_left_behind():
    box = Box({"rows": [[1], [2]]})

    @when(box, strict=True)
    def result(box):
        import builtins
        builtins.left_behind = box.value["rows"][1]
        box.value["rows"].append([3])

    with pytest.raises(SharedReferenceError, match=r"tree of .*Box.*\['rows'\]\[1\]") as caught:
        result.acquire()
    assert caught.value.path == "$['rows'][1]" and caught.value.count == 1

    @when(box, strict=True)
    def _(box):
        return box.value["rows"].append([4])

    assert value_of(box) == {"rows": [[1], [2], [3], [4]]}


def test_statistics():
    box, before = Box([[1.5, i] for i in range(20)]), behaviour_statistics()
    with when(box)(lambda box: len(box.value)) as value:
        assert value == 20
    wait(WAIT)
    after = behaviour_statistics()
    assert (after.scheduled - before.scheduled, after.run - before.run, after.waiting, after.running) == (1, 1, 0, 0)
    assert after.moved - before.moved >= 20 and after.stayed == before.stayed

    @when(box)
    def _(box):
        import builtins
        builtins.left_behind = box.value[0]

    wait(WAIT)
    copied = behaviour_statistics()
    assert copied.copied - after.copied >= 1
    with box:
        for _ in range(10):
            when(box)(lambda box: box.value.reverse())
        assert behaviour_statistics().waiting == 10
    wait(WAIT)
    last = behaviour_statistics()
    assert last.stayed - copied.stayed == 9 and last.moved - copied.moved >= 20


# ---- trees of every kind, whose makers have ended --------------------------------------------------


def work_on(held):
    work(held.value)


def test_every_kind_of_tree_outlives_its_maker_and_is_changed_by_behaviours():
    """Moved at each hand-over (strict), and staying for the next behaviour; looked at where it was not made, after a collection."""
    with Interpreter() as a:
        boxes = [a.call(make_box, 5) for _ in range(2)]
    gc.collect()
    for box, strict in zip(boxes, (True, False)):
        with box:
            for i in range(6):
                when(box, strict=strict)(work_on)
                if i % 3 == 2:
                    when(box)(lambda held: None)
        for _ in range(4):
            when(box)(work_on)
            wait(WAIT)
        with Interpreter() as b:
            b.call(work_on_box, box, 1)
        gc.collect()
        with box as tree:
            check(tree, 5, 11)
            work(tree)
            check(tree, 5, 12)


def work_on_box(box, times):
    for _ in range(times):
        with box as tree:
            work(tree)


def test_results_of_every_kind_outlive_the_worker_s_objects():
    with when()(functools.partial(build, 4)) as tree:
        check(tree, 4, 0)
        work(tree)
        check(tree, 4, 1)


@pytest.mark.slow
def test_a_million_behaviours():
    boxes, n = [Box([0]) for _ in range(10)], 1_000_000
    for i in range(n):
        when(boxes[i % 10])(bump)
        if i % 100_000 == 99_999:
            wait(600)
    assert [value_of(box) for box in boxes] == [[n // 10]] * 10
