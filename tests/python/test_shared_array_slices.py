"""Slices of a SharedArray against a list's. A file of its own: hypothesis does not load in
subinterpreters, and workers import the modules of the functions that they run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objtunnel import SharedArray

SLICES = st.slices(12)


@given(SLICES, SLICES)
def test_slices_are_those_of_a_list(first, second):
    model = list(range(12))
    a = SharedArray("i", source=model)
    assert a[first].tolist() == model[first]
    assert a[first][second].tolist() == model[first][second]
    assert list(a[first]) == model[first] and len(a[first]) == len(model[first])


@given(SLICES, st.lists(st.integers(-9, 9), max_size=12))
def test_assignment_to_a_slice(where, values):
    model = list(range(12))
    a = SharedArray("i", source=model)
    places = len(model[where])
    if len(values) == places:
        for i, value in zip(range(12)[where], values):
            model[i] = value
        a[where] = values
    else:
        with pytest.raises(ValueError):
            a[where] = values
    assert a.tolist() == model


@given(SLICES, SLICES)
def test_parts_that_overlap(to, from_):
    model = list(range(12))
    values = model[from_]
    a = SharedArray("i", source=model)
    if len(model[to]) == len(values):
        for i, value in zip(range(12)[to], values):
            model[i] = value
        a[to] = a[from_]
        assert a.tolist() == model
        grid = SharedArray("i", (12, 2))
        for i in range(12):
            grid[i] = i
        grid[to, :1] = grid[from_, :1]
        assert grid[:, 0].tolist() == model and grid[:, 1].tolist() == list(range(12))
