"""pipeline(): stages in interpreters, bounded, in order, and over when the consumer is."""

import functools
import gc
import threading
import time

import pytest

import pipeline_users as users
from objtunnel import Interpreter, LockingDict, Tunnel, pipeline


def test_stages_one_after_the_other():
    assert list(pipeline(range(20), users.double, str)) == [str(2 * n) for n in range(20)]
    assert list(pipeline([], users.double)) == []
    assert list(pipeline(["a b", "c"], str.split, len, workers=2)) == [2, 1]


@pytest.mark.parametrize("workers", [1, 3, (1, 2, 1), [2, 1, 2]])
def test_order_is_kept_whatever_takes_long(workers):
    got = list(pipeline(range(60), users.slow_if_even, users.double, users.slow_if_even, workers=workers, maxsize=2))
    assert got == [2 * n for n in range(60)]


def test_any_order():
    got = list(pipeline(range(60), users.slow_if_even, users.double, workers=3, ordered=False))
    assert sorted(got) == [2 * n for n in range(60)]


@pytest.mark.parametrize("ordered", [True, False])
def test_generator_functions(ordered):
    """They may yield more or fewer, and keep a state."""
    got = list(pipeline(range(30), users.double, users.twice_each, users.without_multiples_of_8, users.double,
                        workers=2, ordered=ordered))
    expected = [2 * n for n in (2 * i for i in range(30)) for _ in range(2) if n % 8]
    assert (got if ordered else sorted(got)) == expected


def test_generator_functions_in_sections_of_several():
    got = list(pipeline(range(100), users.slow_if_even, users.running_sum, users.slow_if_even, users.running_sum,
                        workers=(3, 1, 3, 1), maxsize=1))
    sums, total, sum_of_sums = [], 0, 0
    for n in range(100):
        total += n
        sum_of_sums += total
        sums.append(sum_of_sums)
    assert got == sums


def test_a_generator_that_yields_nothing():
    assert list(pipeline(range(1000), users.nothing, users.double, maxsize=1)) == []
    assert list(pipeline(range(1000), users.first_only, users.double, maxsize=1)) == [0]


def test_trees_move():
    rows = ({"n": n, "row": [n / 7]} for n in range(10))
    assert list(pipeline(rows, users.mark, workers=2)) == [{"n": n, "row": [n / 7], "marked": True} for n in range(10)]


def test_the_source_waits_for_the_consumer():
    taken = []
    results = pipeline(users.note(taken, 1000), users.double, maxsize=2)
    assert next(results) == 0
    time.sleep(0.2)
    assert len(taken) <= 9
    assert len(list(results)) == 999 and len(taken) == 1000


def test_a_slow_item_holds_back_those_behind_it():
    """What comes out of order waits, and not more than so much of it."""
    taken = []
    results = pipeline(users.note(taken, 500), users.first_is_slow, workers=(3,), maxsize=2)
    assert next(results) == 0 and len(taken) <= 20
    assert list(results) == list(range(1, 500))


def test_partials():
    assert list(pipeline([1, 2], functools.partial(users.add, 5), functools.partial(users.add, 1))) == [7, 8]
    assert list(pipeline([1, 2], functools.partial(users.times, 2))) == [1, 1, 2, 2]


@pytest.mark.parametrize("stages", [
    (users.fail_at_5,), (users.double, users.fail_at_5_in_a_generator, users.double),
    (users.double, users.double, users.fail_at_5),
], ids=["first", "generator", "last"])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_ends_everything(stages, workers):
    taken = []
    with pytest.raises(ZeroDivisionError):
        list(pipeline(users.note(taken, 10**9), *stages, workers=workers))
    assert taken[-1] == "closed" and len(taken) < 1000


def test_an_error_of_the_source():
    with pytest.raises(LookupError):
        list(pipeline(users.failing_source(), users.double, workers=2))
    with pytest.raises(TypeError, match="not iterable"):
        pipeline(5, users.double)
    with pytest.raises(TypeError, match="cannot send"):
        list(pipeline([(i for i in "x")], users.double))


@pytest.mark.parametrize("leave", ["break", "close", "never begun"])
@pytest.mark.parametrize("workers", [1, 2])
def test_leaving_ends_everything(leave, workers):
    taken, threads, log = [], threading.active_count(), LockingDict()
    results = pipeline(users.note(taken, 10**9), users.double, functools.partial(users.logs_its_end, log),
                       workers=workers, ordered=True)
    if leave == "break":
        for n in results:
            if n > 20:
                break
    elif leave == "close":
        next(results)
        results.close()
    del results
    gc.collect()
    deadline = time.monotonic() + 20
    while threading.active_count() > threads + 1 and time.monotonic() < deadline:  # the mailbox's stays
        time.sleep(0.01)
    assert threading.active_count() <= threads + 1 and taken[-1:] in ([], ["closed"])
    assert log.get("end", "GeneratorExit") in ("GeneratorExit", "KeyboardInterrupt")  # the latter where all is slow


def test_a_stage_that_hangs_is_interrupted():
    started, log = Tunnel(), LockingDict()
    results = pipeline([1], functools.partial(users.hangs, started, log))
    started.recv(timeout=60)
    results.close()
    assert log["end"] == "KeyboardInterrupt"


def test_wrong_arguments():
    with pytest.raises(TypeError, match="one stage or more"):
        pipeline([1])
    with pytest.raises(TypeError, match="callable"):
        pipeline([1], 5)
    for workers in (0, -1, (1, 2), (1, "x"), ()):
        with pytest.raises(ValueError, match="workers"):
            pipeline([1], users.double, workers=workers)
    with pytest.raises(ValueError, match="a generator function has one interpreter"):
        pipeline([1], users.running_sum, workers=(2,))
    with pytest.raises(ValueError, match="maxsize"):
        pipeline([1], users.double, maxsize=0)


def test_a_bar(monkeypatch, tmp_path):
    (tmp_path / "tqdm.py").write_text(users.TQDM)
    monkeypatch.syspath_prepend(tmp_path)
    import tqdm
    assert list(pipeline([1, 2, 3], users.double, progress=True)) == [2, 4, 6]
    assert tqdm.seen == [(3, 3)]
    assert list(pipeline(iter([1]), users.double, progress=True)) == [2]
    assert tqdm.seen[1] == (None, 1)


def test_within_a_worker():
    with Interpreter() as worker:
        assert worker.call(users.run_a_pipeline, 10) == [2 * n for n in range(10)]


def test_in_a_script(run_script):
    result = run_script("""
        from objtunnel import pipeline

        def square(n):
            return n * n

        def odd_ones(numbers):
            for n in numbers:
                if n % 2:
                    yield n

        if __name__ == "__main__":
            print(list(pipeline(range(6), square, odd_ones, lambda n: n + 1, workers=2)))
            for n in pipeline(iter(int, 1), square):
                break
            print("left")
        """)
    assert result.stdout == "[2, 10, 26]\nleft\n"
