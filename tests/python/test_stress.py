"""A short run of stress.py, which see; `make stress` runs it longer."""

import pytest

import stress


@pytest.mark.parametrize("threads", [1, 3])
def test_trees_going_round_add_up(threads):
    assert stress.round_trip(threads, seconds=2, seed=threads) > 0


@pytest.mark.slow
def test_trees_going_round_add_up_for_longer():
    assert stress.round_trip(4, seconds=30, seed=7, trees=20, rows=100) > 0
