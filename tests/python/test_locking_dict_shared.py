"""LockingDict, used by several interpreters, or threads of a free-threaded build."""

import gc
import threading
import time

import pytest

from dict_users import (
    churn,
    count,
    hold,
    hold_for_ever,
    look_at_all,
    once,
    put_all,
    read_and_replace,
    recipes,
    use_hard,
)
from objtunnel import Event, Interpreter, LockAbandonedError, LockingDict, SharedArray, _core
from workers import Worker

pytestmark = pytest.mark.usefixtures("nothing_left")


def enter(d, key, timeout=None):
    with d.checkout(key, timeout=timeout) as tree:
        return tree


WAYS_OUT = {
    "get": lambda d, k: d[k],
    "pop": lambda d, k: d.pop(k),
    "values": lambda d, k: dict(d.items())[k],
    "swap": lambda d, k: d.swap(k, None),
    "copy": lambda d, k: d.copy().pop(k),
    "checkout": lambda d, k: enter(d, k),
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_values_outlive_the_worker_that_put_them_in(way):
    d = LockingDict()
    with Worker() as i:
        i.call(put_all, d)
    gc.collect()
    expected = recipes()
    for key in d.keys():
        value = WAYS_OUT[way](d, key)
        name = key if isinstance(key, str) else key[1]
        if name != "loop":
            assert value == expected[name], key
        use_hard(value)
    del value
    gc.collect()
    d.clear()


def test_popitem_moves_what_an_ended_worker_put_in():
    d = LockingDict()
    with Worker() as i:
        i.call(put_all, d)
    n = len(d)
    for _ in range(n):
        key, value = d.popitem()
        use_hard(value)
    del value
    gc.collect()
    assert not d


def test_values_are_freed_by_other_workers():
    d = LockingDict()
    with Worker() as i:
        i.call(put_all, d)
    with Worker() as j:
        j.call(read_and_replace, d)
    assert set(d.values()) == {0}


def test_handles_as_values():
    live = _core._live_shared()
    d, freed = LockingDict(), []
    d["a"] = SharedArray("q", source=[1, 2, 3])
    d["b"] = [SharedArray("q", 2), LockingDict(x=1)]
    assert d["a"].id == d["a"].id and d["b"][1]["x"] == 1
    for replace in (lambda: d.__setitem__("a", 0), lambda: d.__delitem__("b")):
        before = _core._live_shared()
        replace()
        freed.append(before - _core._live_shared())
    assert freed[0] >= 1 and freed[1] >= 2 and _core._live_shared() == live + 1


def test_a_long_chain_of_dicts_is_freed_without_recursion():
    live = _core._live_shared()
    chain = [LockingDict()]
    for _ in range(10_000):
        chain.append(LockingDict(next=chain.pop()))
    assert _core._live_shared() == live + 10_001
    before = threading.stack_size(256 * 1024)
    thread = threading.Thread(target=chain.clear)
    thread.start()
    threading.stack_size(before)
    thread.join()
    assert _core._live_shared() == live


@pytest.mark.parametrize("n", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_counts_of_several_workers_add_up(n):
    d = LockingDict(tree={"n": 0})
    with Worker() as a, Worker() as b:
        jobs = [i.submit(count, d, n, seed) for seed, i in enumerate((a, b))]
        count(d, n, 2)
        for job in jobs:
            job.result()
    assert d["a"] + d["b"] + d["c"] == 3 * n and d["total"] == 6 * n and d["tree"] == {"n": 3 * n}


@pytest.mark.parametrize("n", [1000, pytest.param(20000, marks=pytest.mark.slow)])
def test_what_came_and_did_not_go_is_there(n):
    d = LockingDict()
    with Worker() as a, Worker() as b:
        jobs = [i.submit(churn, d, n, seed) for seed, i in enumerate((a, b))]
        worth = churn(d, n, 2) + sum(job.result() for job in jobs)
    assert len(d) == worth == len(d.keys())


def test_setdefault_with_computes_once_in_all_workers():
    with Worker() as a, Worker() as b:
        for _ in range(20):
            d = LockingDict()
            jobs = [i.submit(once, d, n) for n, i in enumerate((a, b))]
            results = [once(d, 2)] + [job.result() for job in jobs]
            assert results.count(d["k"]) == 3


@pytest.mark.parametrize("holder", [hold, hold_for_ever])
def test_a_holder_whose_interpreter_ends(holder):
    d = LockingDict(k=[1])
    with Interpreter() as i:
        i.call(holder, d)
        with pytest.raises(TimeoutError):
            enter(d, "k", 0.01)
    with pytest.raises(LockAbandonedError):
        d["k"]
    d["k"] = 2
    assert d["k"] == 2


def test_pops_of_small_values_wait_for_no_reader():
    """Two workers are in a guard nearly all the time: each pop of a str waited 5 ms for them."""
    d, begun, stop = LockingDict({i: f"value {i}" for i in range(50_000)}), Event(), Event()
    with Worker() as one, Worker() as two:
        jobs = [i.submit(look_at_all, d, begun, stop) for i in (one, two)]
        try:
            assert begun.wait(60)
            start = time.monotonic()
            assert [d.pop(i) for i in range(1500)] == [f"value {i}" for i in range(1500)]
            took = time.monotonic() - start
        finally:
            stop.set()
        for job in jobs:
            job.result(60)
    assert took < 3
