"""Box: one tree by turns. Whoever has it has all of it, and it is never lost but with a word."""

import array
import collections
import datetime
import gc
import threading
import time

import pytest

import objtunnel
from objtunnel import Box, Interpreter, LockAbandonedError, SharedArray, Tunnel

WAIT = 60  # seconds that no test should ever wait
pytestmark = pytest.mark.usefixtures("nothing_left")


class Account:
    def __init__(self, name, balance):
        self.name, self.balance, self.log = name, balance, []


def build(n):
    """Of each kind something, all of it the tree's alone."""
    shared = [n + 0.5]
    tree = {
        "rows": [{"id": i, "name": f"row {i}", "tags": {f"t{i}", i}} for i in range(n)],
        "shared": [shared, shared], "tuple": (n * 10**20, [b"%d" % n]), 7: bytearray(b"%d" % n),
        "deque": collections.deque([f"d{n}"]), "array": array.array("d", [n]),
        "when": datetime.date(2024, 2, n % 28 + 1), "account": Account(f"a{n}", n),
    }
    tree["self"] = tree
    return tree


def check(tree, n, m):
    """That it is what build(n) made, changed by m turns of work()."""
    assert [r["id"] for r in tree["rows"]] == list(range(n + m))
    assert all(r["name"] == f"row {r['id']}" for r in tree["rows"])
    assert all(f"t{r['id']}" in r["tags"] and len(r["tags"]) == 2 for r in tree["rows"])
    assert tree["shared"][0] is tree["shared"][1] and tree["shared"][0] == [n + 0.5] + [1] * m
    assert tree["tuple"] == (n * 10**20, [b"%d" % n]) and tree[7] == b"%d" % n + b"x" * m
    assert list(tree["deque"]) == [f"d{n}"] + ["w"] * m and list(tree["array"]) == [n] + [m] * m
    assert tree["when"].day == n % 28 + 1 and tree["self"] is tree
    assert (tree["account"].name, tree["account"].balance) == (f"a{n}", n + m)


def work(tree):
    i = len(tree["rows"])
    tree["rows"].append({"id": i, "name": f"row {i}", "tags": {f"t{i}", i}})
    tree["shared"][1].append(1)
    tree[7] += b"x"
    tree["deque"].append("w")
    tree["array"].append(0)
    tree["array"][1:] = array.array("d", [len(tree["array"]) - 1] * (len(tree["array"]) - 1))
    tree["account"].balance += 1
    gc.collect()


def make_box(n):
    return Box(build(n))


def work_on(box, times):
    for _ in range(times):
        with box as tree:
            work(tree)


def acquire_and_keep(box):
    global kept, kept_box
    kept_box = box
    kept = box.acquire()
    kept.append("from a worker")


def acquire_and_spoil(box):
    acquire_and_keep(box)
    kept.append(i for i in range(3))


def add_to(box, n):
    for _ in range(n):
        with box as tree:
            tree["n"] += 1


# ---- the tree goes round -------------------------------------------------------------------------


def test_every_kind_is_worked_on_by_turns_and_outlives_its_makers():
    with Interpreter() as a:
        box = a.call(make_box, 5)
        a.call(work_on, box, 2)
        work_on(box, 1)
    with Interpreter() as b:
        b.call(work_on, box, 3)
    gc.collect()
    with box as tree:
        check(tree, 5, 6)
        work(tree)
        check(tree, 5, 7)


def test_one_at_a_time():
    box, n = Box({"n": 0}), 1000
    with Interpreter() as a, Interpreter() as b:
        jobs = [i.submit(add_to, box, n) for i in (a, b)]
        threads = [threading.Thread(target=add_to, args=(box, n)) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for job in jobs:
            job.result()
    with box as tree:
        assert tree == {"n": 4 * n}


def test_it_moves():
    def inside():
        return [[float("1.5")] for _ in range(10)]

    box = Box(inside())
    with box as tree:
        ids = [id(row) for row in tree]
        del tree[5:]
    with box as tree:
        assert [id(row) for row in tree] == ids[:5]
    box = Box(Account("root", 1))
    for _ in range(2):  # not a container, but nobody else refers to it
        root = box.acquire()
        where = id(root.log)
        root.balance += 1
        del root
        box.release()
        root = box.acquire()
        assert root.balance in (2, 4) and id(root.log) == where
        root.balance += 1
        box.release()


def test_a_root_that_is_no_container():
    for make in (lambda: Account("x", 1), lambda: ([1], [2]), lambda: "text", lambda: 10**30,
                 lambda: None, lambda: 7, lambda: collections.deque([1])):
        box = Box(make())
        for _ in range(2):
            tree = box.acquire()
            assert type(tree) is type(make())
            del tree
            box.release()
        tree = box.acquire()
        if isinstance(tree, Account):
            assert (tree.name, tree.balance, tree.log) == ("x", 1, [])
        else:
            assert tree == make()
        box.release()


def test_names_that_outlive_the_block_keep_their_own():
    box = Box({"a": [1], "b": [2], "t": ([3],)})
    with box as tree:
        a, t = tree["a"], tree["t"]
        a.append(2)
    assert a == [1, 2] and t == ([3],) and tree == {}
    a.append("mine")
    t[0].append("mine")
    with box as tree:
        assert tree == {"a": [1, 2], "b": [2], "t": ([3],)} and tree["a"] is not a


def test_what_goes_in_is_never_emptied():
    mine = {"a": [1]}
    box = Box(mine)
    assert mine == {"a": [1]}
    with box as tree:
        assert tree == mine and tree["a"] is not mine["a"]
    box.acquire()
    other = ["other"]
    box.release(other)
    assert other == ["other"]
    with box as tree:
        assert tree == ["other"]


def test_a_box_of_handles():
    tunnel, numbers, inner = Tunnel(), SharedArray("q", 2), Box([0])
    box = Box([tunnel, numbers, inner])
    with Interpreter() as a:
        a.call(use_handles, box)
    assert tunnel.recv() == "hello" and numbers.tolist() == [0, 5]
    with inner as tree:
        assert tree == [0, 1]


def use_handles(box):
    with box as (tunnel, numbers, inner):
        tunnel.send("hello")
        numbers[1] = 5
        with inner as tree:
            tree.append(1)


# ---- what goes wrong inside ----------------------------------------------------------------------


def test_an_exception_inside():
    box = Box([1])
    with pytest.raises(ZeroDivisionError), box as tree:
        tree.append(2)
        1 / 0
    with Interpreter() as a, pytest.raises(ZeroDivisionError):
        a.call(raise_inside, box)
    with box as tree:
        assert tree == [1, 2, 3]


def raise_inside(box):
    with box as tree:
        tree.append(3)
        1 / 0


def test_what_cannot_be_put_back_stays_with_its_holder():
    box = Box({"a": [1]})
    with pytest.raises(TypeError, match=r"\['bad'\]\[0\].*generator"), box as tree:
        tree["bad"] = [i for i in [(i for i in range(3))]]
    assert tree["a"] == [1] and box.locked() and "held by" in repr(box)
    with Interpreter() as a:
        assert a.call(Box.try_acquire, box, "no") == "no"
        del tree["bad"]
        box.release()
        assert a.call(first_of, box) == [1]
    with box as tree:
        assert tree == {"a": [1]}


def first_of(box):
    with box as tree:
        return list(tree["a"])


def test_a_failure_does_not_hide_the_exception_of_the_block():
    box = Box([])
    with pytest.raises(TypeError) as caught, box as tree:
        tree.append(i for i in range(3))
        1 / 0
    assert isinstance(caught.value.__context__, ZeroDivisionError) or isinstance(
        caught.value.__context__.__context__, ZeroDivisionError)
    tree.clear()
    box.release()


def test_an_interpreter_that_ends_inside_puts_the_tree_back():
    box = Box([1, {"k": [2]}])
    with Interpreter() as a:
        a.call(acquire_and_keep, box)
        assert box.owner != 0 and box.locked()
    with box as tree:
        assert tree == [1, {"k": [2]}, "from a worker"]


def test_a_handle_that_dies_puts_the_tree_back():
    box = Box([1])
    tree = objtunnel._core.Box.acquire(other := __import__("copy").copy(box))
    tree.append(2)
    del other
    assert tree == [] and not box.locked()
    with box as tree:
        assert tree == [1, 2]


def test_a_tree_that_dies_with_its_interpreter(capfd):
    box = Box([1])
    with Interpreter() as a:
        a.call(acquire_and_spoil, box)
        with pytest.raises(TimeoutError):
            box.acquire(timeout=0.01)
    for _ in range(2):
        with pytest.raises(LockAbandonedError, match="ended or dropped it.*lost"):
            box.acquire()
    assert "generator" in capfd.readouterr().err
    assert box.recover([7]) and not box.recover([8])
    with box as tree:
        assert tree == [7]


def test_those_that_wait_learn_that_it_is_lost():
    box = Box([1])
    with Interpreter() as a:
        a.call(acquire_and_spoil, box)
        errors = []

        def wait():
            try:
                box.acquire(timeout=WAIT)
            except LockAbandonedError as error:
                errors.append(str(error))

        thread = threading.Thread(target=wait)
        thread.start()
    thread.join()
    assert len(errors) == 1 and "recover" in errors[0]


# ---- waiting -------------------------------------------------------------------------------------


def test_waiting_and_timeouts():
    box = Box([0])
    tree = box.acquire()
    with Interpreter() as a:
        with pytest.raises(TimeoutError):
            a.call(Box.acquire, box, timeout=0.01)
        with pytest.raises(TimeoutError):
            a.call(Box.acquire, box, blocking=False)
        job = a.submit(add_word, box)
        time.sleep(0.05)
        assert not job.done()
        tree.append("main")
        box.release()
        assert job.result() == [0, "main", "worker"]
    with box as tree:
        assert tree == [0, "main", "worker"]


def add_word(box):
    with box as tree:
        tree.append("worker")
        return list(tree)


def test_who_has_it_may_not_ask_again():
    box = Box([0])
    with box, pytest.raises(RuntimeError, match="already"):
        box.acquire()
    with box as tree:
        assert tree == [0]


def test_release_by_who_has_not_acquired():
    box = Box([0])
    with pytest.raises(RuntimeError, match="not acquired"):
        box.release()
    tree = box.acquire()
    with Interpreter() as a, pytest.raises(RuntimeError, match="not acquired"):
        a.call(Box.release, box)
    tree.append(1)
    box.release()
    with box as tree:
        assert tree == [0, 1]


def test_arguments():
    for bad in ((), ([1], [2])):
        with pytest.raises(TypeError):
            Box(*bad)
    with pytest.raises(TypeError):
        Box(tree=[1])
    with pytest.raises(TypeError):
        Box([i for i in [(i for i in range(3))]])
    box = Box([1])
    with pytest.raises(ValueError):
        box.acquire(False, 1)
    assert box.owner is None and "free" in repr(box)
    with box:
        assert box.owner == 0 and "held by interpreter 0" in repr(box)


def test_ctrl_c_ends_waiting(interrupt):
    assert interrupt("""
        import objtunnel
        def keep(box):
            global kept, tree
            kept = box; tree = box.acquire()
        def block():
            box = objtunnel.Box([1])
            with objtunnel.Interpreter() as a:
                a.call(keep, box)
                print("ready", flush=True)
                try:
                    box.acquire()
                except KeyboardInterrupt:
                    print("interrupted", flush=True)
            print(box.acquire())
        """, wait=0.2) == "interrupted\n[1]\n"
