"""ThreadPoolExecutor: the standard pool, whose arguments and results change owners."""

import concurrent.futures
import gc
import threading
import weakref

import pytest

from helpers.threads import elsewhere
from objtunnel import ThreadPoolExecutor, owner


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def make(n):
    return [{"n": i + 1000, "x": [i + 0.5]} for i in range(n)]


def test_a_result_is_the_askers_own(pool):
    tree = pool.submit(make, 100).result()
    assert tree == make(100)
    assert all(owner(o).is_mine for row in tree for o in (row, row["n"], row["x"], row["x"][0]))


def test_a_tuple_or_an_instance_too(pool):
    a, b = pool.submit(lambda: (make(1), make(2))).result()
    assert owner(a[0]).is_mine and owner(b[1]["x"]).is_mine
    assert owner(pool.submit(Plain).result()).is_mine


class Plain:
    pass


def test_arguments_that_only_the_job_has_are_the_workers_own(pool):
    def told(*trees, named):
        return [owner(tree).is_mine and owner(tree[0]).is_mine for tree in (*trees, named)]

    kept = make(2)
    future = pool.submit(told, make(2), kept, named=make(3))  # an assert of pytest's would keep the arguments
    assert future.result() == [True, False, True]
    assert kept == make(2) and owner(kept[0]).is_mine


def test_what_others_have_is_passed_on_as_it_is(pool):
    kept = make(2)
    assert pool.submit(lambda x: x, kept).result() is kept
    assert pool.submit(lambda: (kept, [kept])).result()[1][0] is kept


def test_the_result_is_the_same_each_time_and_for_all(pool):
    future = pool.submit(make, 10)
    results = [elsewhere(future.result), future.result(), elsewhere(lambda: list(pool.map(lambda f: f.result(), [future] * 3)))]
    assert results[0] is results[1] and all(r is results[0] for r in results[2])


def test_map_and_errors(pool):
    assert list(pool.map(make, range(20))) == [make(i) for i in range(20)]
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 // 0).result()
    with pytest.raises(TypeError):
        pool.submit(make).result()
    assert isinstance(pool.submit(make, 1).exception(), type(None))


def test_futures_are_the_standard_librarys(pool):
    futures = [pool.submit(make, i) for i in range(10)]
    told = threading.Event()
    futures[0].add_done_callback(lambda f: told.set() if f.result() == [] else None)
    assert told.wait(60)
    assert {len(f.result()) for f in concurrent.futures.as_completed(futures)} == set(range(10))
    assert all(isinstance(f, concurrent.futures.Future) for f in futures)


def test_nothing_is_kept(pool):
    refs = []

    def job(o):
        refs.append(weakref.ref(o))
        return Plain()

    future = pool.submit(job, Plain())
    future.result()
    gc.collect()
    assert refs[0]() is None
    ref = weakref.ref(future.result())
    del future
    gc.collect()
    assert ref() is None
    unread = pool.submit(Plain)
    concurrent.futures.wait([unread])
    del unread


def test_a_callback_runs_whatever_the_result(pool):
    got = []
    done = threading.Event()

    def callback(future):
        got.append(future.result())
        done.set()

    pool.submit(make, 3).add_done_callback(callback)
    assert done.wait(60) and got == [make(3)]


def test_shutdown_and_cancel():
    go = threading.Event()
    pool = ThreadPoolExecutor(1)
    first, second = pool.submit(go.wait, 60), pool.submit(make, 1)
    assert second.cancel()
    go.set()
    assert first.result() is True
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(make, 1)
