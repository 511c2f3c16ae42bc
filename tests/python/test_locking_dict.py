"""LockingDict: dict's interface, by one and by several interpreters."""

import collections
import collections.abc
import copy
import math
import pickle
import threading
import time

import pytest
from objtunnel import LockAbandonedError, LockingDict

try:
    import dict_suite
except ImportError:  # this Python comes without its tests
    dict_suite = None

pytestmark = pytest.mark.usefixtures("nothing_left")


# ---- dict's interface -------------------------------------------------------------------------


@pytest.mark.skipif(dict_suite is None, reason="this Python comes without its tests")
def test_cpythons_tests_of_mappings():
    ran, errors = dict_suite.run()
    assert not errors, "\n".join(errors)
    assert ran >= 24


@pytest.mark.skipif(dict_suite is None, reason="this Python comes without its tests")
def test_cpythons_tests_of_mappings_in_another_interpreter(worker):
    ran, errors = worker.call(dict_suite.run)
    assert not errors, "\n".join(errors)
    assert ran >= 24


KEYS = [None, True, 0, -1, 2**61, 2**62, 2**63 - 1, 2**63, -2**63, -2**63 - 1, 2**64, 10**40, -10**40,
        -2**64, 2**72 - 2**64, 2**72 - 1, 2**80 - 1,  # which differ in a leading byte that is all sign
        1.5, -0.5, 1e300, 2.0**63, math.inf, -math.inf, "", "a", "é", "日本", "\U0001f600", "a\0b", b"",
        b"a", b"a\0b", (), (1,), (None, ("x", (2.5,)), "日", b"z"), "x" * 1000, tuple(range(300))]


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_keys_come_back_as_they_were(key):
    d = LockingDict({key: "value"})
    [back] = d
    assert back == key and type(back) is type(key) and repr(back) == repr(key)
    assert key in d and d[key] == "value" and d.popitem() == (key, "value")


def test_different_keys_are_different():
    reference = {key: i for i, key in enumerate(KEYS)}
    d = LockingDict(reference)
    assert d == reference and list(d) == list(reference)
    for key, i in reference.items():
        assert d[key] == i


EQUAL = [(1, 1.0, True), (0, 0.0, -0.0, False), (2**70, 2.0**70), (-(2**63), -(2.0**63)), (2**63, 2.0**63),
         ((1, 0), (1.0, -0.0), (True, False)), ((2, (3.0,)), (2.0, (3,)))]


@pytest.mark.parametrize("keys", EQUAL, ids=repr)
def test_equal_keys_are_one_key(keys):
    for first in keys:
        d = LockingDict({first: 0})
        for n, other in enumerate(keys, 1):
            assert other in d
            d[other] = n
            assert len(d) == 1 and d[first] == n
        assert repr(list(d)) == repr([first])  # as dict has it: the first one stays


def test_all_nans_are_one_key():
    d = LockingDict({math.nan: 1})
    d[float("nan")] = 2
    assert len(d) == 1 and d[-float("nan")] == 2 and (1, math.nan) not in d


@pytest.mark.parametrize("key", [[], {}, {1}, ([],), bytearray()], ids=repr)
def test_unhashable_keys_are_refused_as_by_dict(key):
    for use in (lambda d: d[key], lambda d: key in d, lambda d: d.get(key), lambda d: d.pop(key, 1),
                lambda d: d.__setitem__(key, 1), lambda d: d.update([(key, 1)])):
        with pytest.raises(TypeError, match="unhashable type"):
            use(LockingDict())


class Text(str):
    pass


@pytest.mark.parametrize("key", [1j, Text("a"), frozenset(), object(), (1, Text("a")), int], ids=repr)
def test_other_keys_are_refused(key):
    with pytest.raises(TypeError, match="keys are.*; use a tuple or a str"):
        LockingDict({key: 1})
    with pytest.raises(TypeError, match="keys are"):
        LockingDict()[key]


@pytest.mark.parametrize("key", ["k", ("k",), ()], ids=repr)
def test_key_error_names_the_key(key):
    for use in (lambda d: d[key], lambda d: d.pop(key), lambda d: d.__delitem__(key),
                lambda d: d.swap(key, 1), lambda d: d.update_with(key, str)):
        with pytest.raises(KeyError) as info:
            use(LockingDict())
        assert info.value.args == (key,)


VALUES = [None, True, False, 0, -1, 2**61 - 1, 2**61, -2**61, -2**61 - 1, 2**63, 10**30, 1.5, math.inf, 2j,
          "text", "日本", b"bytes", [], [1, [2]], {"a": {"b": (1,)}}, {1, 2}, frozenset("ab"), bytearray(b"x"),
          range(3), slice(1, 2), ..., int, collections.deque([1]), collections.Counter("aab"), ()]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values(value):
    d = LockingDict(k=value, other=1)
    for out in (d["k"], d.get("k"), d.setdefault("k"), d.values()[0], d.items()[0][1], d.copy()["k"],
                d.swap("k", value), d.setdefault_with("k", int)):
        assert out == value and type(out) is type(value)
        if isinstance(value, list | dict | set | bytearray | collections.deque):
            assert out is not value and out is not d["k"]
    assert d.pop("k") == value and "k" not in d


def test_what_the_caller_holds_stays():
    inner = [1]
    tree = {"inner": inner}
    d = LockingDict(tree=tree)
    d["again"] = tree
    d.swap("again", tree)
    assert tree == {"inner": [1]} and tree["inner"] is inner
    inner.append(2)
    assert d["tree"] == {"inner": [1]} == d["again"]


def test_what_comes_out_is_ones_own():
    d = LockingDict(k=[[1], [2]])
    a, b = d["k"], d["k"]
    a[0].append("mine")
    assert b == [[1], [2]] == d["k"]
    assert d.pop("k") == [[1], [2]]


def test_aliases_and_cycles_within_a_value():
    shared, loop = [1], []
    loop.append(loop)
    d = LockingDict(k=[shared, shared, loop])
    for out in (d["k"], d.pop("k")):
        assert out[0] is out[1] and out[2][0] is out[2]


def test_order_is_that_of_coming():
    d, reference = LockingDict(), {}
    for i in (5, 3, 9, 1, 7, 3, 5):
        d[i] = reference[i] = -i
    assert d.keys() == list(d) == list(reference)
    assert list(reversed(d)) == list(reversed(reference))
    del d[9], reference[9]
    d[9] = reference[9] = 0
    assert d.items() == list(reference.items())
    while reference:
        assert d.popitem() == reference.popitem()
    with pytest.raises(KeyError):
        d.popitem()


def test_repr_and_comparisons():
    d = LockingDict(a=1)
    d["d"] = d
    assert repr(d) == "LockingDict({'a': 1, 'd': LockingDict({...})})"
    del d["d"]
    assert d == {"a": 1} == d and d == LockingDict(a=1) and d != {"a": 2} and d != LockingDict() and d != 5
    assert not d == 5 and d.id != LockingDict().id
    with pytest.raises(TypeError):
        hash(d)
    with pytest.raises(TypeError):
        d < d


def test_union():
    a, b = LockingDict(x=1, y=1), {"y": 2, "z": 2}
    assert a | b == {"x": 1, "y": 2, "z": 2} == a | LockingDict(b)
    assert b | a == {"y": 1, "z": 2, "x": 1} and type(b | a) is LockingDict
    assert a == {"x": 1, "y": 1}
    same = a
    a |= b
    assert same is a and a == {"x": 1, "y": 2, "z": 2}
    a |= [("w", 3)]
    assert a["w"] == 3
    with pytest.raises(TypeError):
        a | [("w", 3)]


def test_copies_are_dicts_of_their_own():
    a = LockingDict(k=[1], n=1)
    b = a.copy()
    a["n"] = 2
    del a["k"]
    assert b == {"k": [1], "n": 1} and b.id != a.id
    assert copy.copy(a).id == a.id == pickle.loads(pickle.dumps(a)).id  # handles
    assert LockingDict(b) == b and LockingDict(b).id != b.id


def test_update_checks_first():
    d = LockingDict(a=1)
    with pytest.raises(ValueError):
        d.update([("b", 1), ("c",)])
    with pytest.raises(RuntimeError):
        d.update((k, 1) for k in Raises())
    assert d == {"a": 1}
    d.update({"b": 2}, c=3)
    d.update(d)
    assert d == {"a": 1, "b": 2, "c": 3}


class Raises:
    def __iter__(self):
        yield "b"
        raise RuntimeError


def test_it_is_a_mapping():
    assert isinstance(LockingDict(), collections.abc.MutableMapping)
    assert LockingDict[str, int].__args__ == (str, int)
    assert LockingDict.fromkeys("ab", 1) == {"a": 1, "b": 1} and LockingDict.fromkeys([2]) == {2: None}


def test_pattern_matching():
    match LockingDict(kind="point", x=1):
        case {"kind": "point", "x": x}:
            assert x == 1
        case _:
            raise AssertionError


def unsendable():
    """What no build can move, copy or pickle."""
    return (i for i in ())


def test_failed_values_change_nothing():
    d = LockingDict(k=[1])
    for use in (lambda: d.__setitem__("k", unsendable()), lambda: d.__setitem__("new", unsendable()),
                lambda: d.setdefault("new", unsendable()), lambda: d.swap("k", unsendable()),
                lambda: d.compare_exchange("k", 1, unsendable())):
        with pytest.raises(TypeError):
            use()
        assert d == {"k": [1]}


def test_many_keys():
    n = 20_000
    d = LockingDict((i, i) for i in range(n))
    assert len(d) == n and d.keys() == list(range(n)) and sum(d.values()) == n * (n - 1) // 2
    for i in range(0, n, 2):
        del d[i]
    assert len(d) == n // 2 and all((i in d) == i % 2 for i in range(n))
    d.clear()
    assert len(d) == 0 and not d and list(d) == []


# ---- atomic operations --------------------------------------------------------------------------


def test_add():
    d = LockingDict(f=0.5, big=2**61 - 1, s="text", true=True)
    assert [d.add("n"), d.add("n", 5), d.add("n", -7), d.add("new", 2.5)] == [1, 6, -1, 2.5]
    assert [d.add("f"), d.add("big"), d.add("big", 2**70), d.add("true", True)] == [1.5, 2**61, 2**61 + 2**70, 2]
    assert d.add("n", 0.5) == -0.5 and type(d.add("zero", True)) is int
    for wrong in (lambda: d.add("s"), lambda: d.add("n", "1"), lambda: d.add("n", None), lambda: d.add()):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(OverflowError):
        LockingDict(k=10**400).add("k", 0.5)
    assert d["s"] == "text" and d["n"] == -0.5


def test_swap():
    d = LockingDict(k=[1], n=1)
    assert d.swap("k", [2]) == [1] and d.swap("n", "two") == 1 and d.swap("n", 3) == "two"
    assert d.swap("new", 1, None) is None and d.swap("new", 2, None) == 1
    with pytest.raises(KeyError):
        d.swap("missing", 1)
    assert d == {"k": [2], "n": 3, "new": 2}


def test_compare_exchange():
    d = LockingDict(n=1, f=1.5, s="a", b=b"a", none=None, l=[1], nan=math.nan, big=2**70)
    for key, wrong, right in (("n", 2, 1.0), ("f", 1, 1.5), ("s", b"a", "a"), ("b", "a", b"a"),
                              ("none", False, None), ("big", 2**71, 2**70)):
        assert not d.compare_exchange(key, wrong, "new") and d[key] != "new"
        assert d.compare_exchange(key, right, "new") and d[key] == "new"
    assert not d.compare_exchange("l", 1, 2) and not d.compare_exchange("nan", math.nan, 2)
    assert not d.compare_exchange("missing", None, 2) and "missing" not in d
    with pytest.raises(TypeError):
        d.compare_exchange("l", [1], 2)


def test_setdefault_with():
    d = LockingDict(k=1)
    assert d.setdefault_with("k", Raises.__iter__) == 1
    with pytest.raises(ZeroDivisionError):
        d.setdefault_with("new", lambda: 1 / 0)
    assert "new" not in d and len(d) == 1
    with pytest.raises(RuntimeError, match="itself"):
        d.setdefault_with("new", lambda: d.setdefault_with("new", list))
    seen = d.setdefault_with("new", lambda: ["new" in d, len(d), d.get("new"), d.keys()])
    assert seen == [False, 1, None, ["k"]] == d["new"]
    with pytest.raises(TypeError):
        d.setdefault_with("other", unsendable)
    assert d.keys() == ["k", "new"]


def test_update_with():
    d = LockingDict(k=[1], n=1)
    d.update_with("k", lambda tree: tree + [2])
    d.update_with("n", lambda n: n * 10)
    d.update_with("new", lambda n: n + 1, 0)

    def in_place(tree):
        tree.append(3)
        return tree

    d.update_with("k", in_place)
    assert d == {"k": [1, 2, 3], "n": 10, "new": 1}
    with pytest.raises(ZeroDivisionError):
        d.update_with("k", lambda tree: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        d.update_with("other", lambda tree: 1 / 0, 1)
    with pytest.raises(TypeError):
        d.update_with("k", lambda tree: unsendable())  # cannot be stored
    with pytest.raises(RuntimeError, match="itself"):
        d.update_with("k", lambda tree: d["k"])
    assert d == {"k": [1, 2, 3], "n": 10, "new": 1}


def test_update_with_never_loses_the_tree():
    d = LockingDict(k=[1])

    def spoil(tree):
        tree.append(unsendable())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as info:
        d.update_with("k", spoil)
    held = info.value.checkout
    assert held.held and held.value[0] == 1
    with pytest.raises(TimeoutError):
        in_thread(lambda: enter(d, "k", 0.01))
    held.value.pop()
    held.release()
    assert d["k"] == [1]


def test_update_with_moves_the_tree():
    d = LockingDict(k=[[i] for i in range(10)])
    ids = []

    def note(tree):
        ids.append((id(tree[3]), id(tree[3][0])))
        return tree

    d.update_with("k", note)
    d.update_with("k", note)
    assert ids[0] == ids[1]


# ---- checkouts ------------------------------------------------------------------------------------


def in_thread(function):
    """The result of function() in another thread, or what it raised, raised here."""
    box = []

    def run():
        try:
            box.append((function(), None))
        except BaseException as e:
            box.append((None, e))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    [(result, error)] = box
    if error is not None:
        raise error
    return result


def enter(d, key, timeout=None):
    with d.checkout(key, timeout=timeout) as tree:
        return tree


def test_checkout():
    d = LockingDict(k=[1], n=1)
    with d.checkout("k") as tree:
        tree.append(2)
        assert "k" in d and len(d) == 2 and d.keys() == ["k", "n"] and d["n"] == 1
    assert d["k"] == [1, 2] and tree == [1, 2]
    tree.append("mine")
    assert d["k"] == [1, 2]
    c = d.checkout("n")
    assert not c.held and "idle" in repr(c)
    with c as n:
        assert c.held and "held" in repr(c)
        c.value = n + 1
    assert d["n"] == 2 and not c.held
    with c as n:
        c.value += 1
        c.release()
        assert d["n"] == 3
    for use in (lambda: c.value, lambda: setattr(c, "value", 1), c.release):
        with pytest.raises(RuntimeError):
            use()
    with pytest.raises(KeyError):
        d.checkout("missing").__enter__()
    with pytest.raises(TypeError):
        type(c)()


def test_an_exception_in_the_block_keeps_the_tree():
    d = LockingDict(k=[1])
    with pytest.raises(ZeroDivisionError):
        with d.checkout("k") as tree:
            tree.append(2)
            1 / 0
    assert d["k"] == [1, 2]


def test_a_tree_that_cannot_go_back_stays_with_the_checkout():
    d = LockingDict(k=[1])
    c = d.checkout("k")
    with pytest.raises(TypeError):
        with c as tree:
            tree.append(unsendable())
    assert c.held and c.value is tree
    tree.pop()
    c.release()
    assert d["k"] == [1]


def test_a_checkout_moves_a_tree_that_nobody_else_holds():
    d = LockingDict(k=[[i] for i in range(10)])
    places = []
    for _ in range(3):
        with d.checkout("k") as tree:
            places.append(id(tree[3]))
            del tree
    assert len(set(places)) == 1


OPERATIONS = {
    "get": lambda d: d["k"],
    "set": lambda d: d.__setitem__("k", "new"),
    "delete": lambda d: d.__delitem__("k"),
    "pop": lambda d: d.pop("k"),
    "popitem": lambda d: d.popitem(),
    "setdefault": lambda d: d.setdefault("k"),
    "add": lambda d: d.add("k"),
    "swap": lambda d: d.swap("k", "new"),
    "compare_exchange": lambda d: d.compare_exchange("k", 1, 2),
    "setdefault_with": lambda d: d.setdefault_with("k", list),
    "update_with": lambda d: d.update_with("k", str),
    "checkout": lambda d: enter(d, "k"),
    "values": lambda d: d.values(),
    "clear": lambda d: d.clear(),
    "copy": lambda d: d.copy(),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_others_wait_for_a_checkout(name):
    result = OPERATIONS[name](LockingDict(k=41))
    d = LockingDict(k=1)
    answers, began = [], threading.Event()

    def other():
        began.set()
        answers.append(OPERATIONS[name](d))

    thread = threading.Thread(target=other)
    c = d.checkout("k")
    with c:
        thread.start()
        began.wait()
        time.sleep(0.01)
        assert not answers and d.keys() == ["k"]
        with pytest.raises(RuntimeError, match="itself"):
            OPERATIONS[name](d)
        c.value = 41
    thread.join(60)
    assert len(answers) == 1 and answers == [result]


def test_timeout():
    d = LockingDict(k=1)
    with d.checkout("k"):
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError, match="'k' is still checked out"):
                in_thread(lambda: enter(d, "k", timeout))
    assert enter(d, "k", 0) == 1
    for timeout in (math.nan, -1):
        with pytest.raises(ValueError):
            d.checkout("k", timeout=timeout)


def test_a_dropped_checkout_abandons_the_key():
    d = LockingDict(k=[1])
    c = d.checkout("k")
    c.__enter__()
    del c
    for name in ("get", "pop", "add", "swap", "checkout", "values", "setdefault", "copy", "popitem"):
        with pytest.raises(LockAbandonedError, match="'k' was checked out"):
            OPERATIONS[name](d)
    d["k"] = 5
    assert d["k"] == 5
    for end in ("delete", "clear"):
        d.checkout("k").__enter__()
        OPERATIONS[end](d)
        assert "k" not in d and len(d) == 0
        d["k"] = 1


def test_waiters_are_told_of_an_abandoned_key():
    d = LockingDict(k=[1])
    c = d.checkout("k")
    c.__enter__()
    began, errors = threading.Event(), []

    def other():
        began.set()
        try:
            d["k"]
        except LockAbandonedError as e:
            errors.append(e)

    thread = threading.Thread(target=other)
    thread.start()
    began.wait()
    time.sleep(0.02)
    del c
    thread.join(60)
    assert len(errors) == 1
    del d["k"]


def test_threads_take_turns():
    d = LockingDict(k=[0])

    def work():
        for _ in range(300):
            with d.checkout("k") as tree:
                tree[0] += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert d["k"] == [1200]


def test_setdefault_with_computes_once():
    d, calls, barrier = LockingDict(), [], threading.Barrier(4)

    def compute():
        calls.append(1)
        time.sleep(0.02)
        return ["computed"]

    def work():
        barrier.wait()
        return d.setdefault_with("k", compute)

    results = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert results == [["computed"]] * 4 and len(calls) == 1


def test_ctrl_c_ends_waiting(run_script):
    run_script("""
        import signal, threading, time
        from objtunnel import LockingDict

        d = LockingDict(k=1)
        entered = threading.Event()
        done = threading.Event()
        def holder():
            with d.checkout("k"):
                entered.set()
                done.wait()
        thread = threading.Thread(target=holder)
        thread.start()
        entered.wait()
        signal.signal(signal.SIGALRM, lambda *a: 1 / 0)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            d["k"]
        except ZeroDivisionError:
            pass
        else:
            raise AssertionError
        done.set()
        thread.join()
        assert d["k"] == 1
        """)


def test_fork(run_script):
    run_script("""
        import os, threading
        from objtunnel import LockAbandonedError, LockingDict

        d = LockingDict(k=[1], n=1, mine=1)
        entered, done = threading.Event(), threading.Event()
        def holder():
            with d.checkout("k"):
                entered.set()
                done.wait()
        thread = threading.Thread(target=holder)
        thread.start()
        entered.wait()
        with d.checkout("mine") as mine:
            pid = os.fork()
            if pid == 0:
                d.add("n", 5)
                try:
                    d["k"]
                except LockAbandonedError:
                    del d["k"]
                    os._exit(0 if d["n"] == 6 and "k" not in d else 1)
                os._exit(2)
        assert os.waitpid(pid, 0)[1] == 0
        done.set()
        thread.join()
        assert d == {"k": [1], "n": 1, "mine": 1}
        """, python_args=["-W", "ignore"])
