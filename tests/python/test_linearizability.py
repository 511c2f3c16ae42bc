"""Random concurrent histories of shared containers, recorded in interpreters of their own (threads of free-threaded
builds), are linearizable. How we know that a bad one would be noticed: the first tests here, and
test_linearizability_checker.py."""

import os
import sys

import pytest

from histories import record_and_check, timed
from history_subjects import GUARDED, GuardedDict
from linearizability import NotLinearizable, Operation, check_by_key
from objtunnel import Event, SharedArray
from workers import FREE_THREADED, Worker

WAIT = 60  # seconds that no test should ever wait


def add_slowly(container, numbers, begun, go_on):
    """Read, say so, wait, write."""

    def between():
        begun.set()
        assert go_on.wait(WAIT)

    return timed(numbers, {"add": lambda d, k, n: d.do("add", k, n, between=between)}, container,
                 "add", (0, 1))


def test_a_lost_update_is_noticed():
    container, numbers = GuardedDict(1), SharedArray("q", 1)
    begun, go_on = Event(), Event()
    with Worker() as other:
        job = other.submit(add_slowly, container, numbers, begun, go_on)
        assert begun.wait(WAIT)
        quick = timed(numbers, GUARDED, container, "add", (0, 1))
        go_on.set()
        slow = job.result(WAIT)
    assert [slow[2], quick[2]] == [("returned", 1)] * 2
    with pytest.raises(NotLinearizable):
        check_by_key([Operation(0, *slow), Operation(1, *quick)])


def test_a_container_that_answers_wrongly_is_noticed():
    with pytest.raises(NotLinearizable) as caught:
        record_and_check("forgetful", 2, rounds=50, seed=1)
    assert caught.value.__notes__[0].endswith("seed 1")


def test_a_worker_that_fails_leaves_nobody_waiting():
    with pytest.raises(TypeError, match="no add of"):
        record_and_check("failing", 3, rounds=20, seed=1)


# How many histories of each; under a debug build or sanitizers everything takes longer, and `make check` is quick.
ROUNDS = 100 if hasattr(sys, "gettotalrefcount") or "OT_TEST_QUICK" in os.environ else 500
if FREE_THREADED:  # threads without a GIL that wait for each other take a core each
    ROUNDS //= 5


@pytest.mark.parametrize("processes", [2, 3, 4])
@pytest.mark.parametrize("subject", ["guarded", "dict", "dict_whole", "dict_len", "dict_trees", "list"])
def test_histories(subject, processes):
    """dict: one LockingDict, all operations on one key. dict_whole: with popitem, clear and items,
    which are as good as done key by key. dict_len: with len, which is one of a moment, so that these
    are checked uncut. dict_trees: values that are moved, copied and checked out."""
    recorded = record_and_check(subject, processes, ROUNDS)
    assert len(recorded) == ROUNDS and all(len(history) == 8 * processes for history in recorded)
