"""The code of behaviours: kept while it is needed, told apart, and found again."""

import functools

import pytest
from test_behaviours import all_done, value_of, workers  # noqa: F401

from objtunnel import Box, _core, wait, when

WAIT = 60


# ---- code that is not needed any more ------------------------------------------------------------


def count_kept(n):
    import gc
    functions, = (o for o in gc.get_objects() if type(o).__name__ == "_Functions")
    return len(functions._parts), len(functions._plain)


def test_code_is_kept_as_long_as_it_is_needed(monkeypatch):
    from objtunnel import _behaviour_worker, _behaviours

    monkeypatch.setattr(_behaviours, "_KEPT", 50)
    _behaviours._entries.clear()
    box, n = Box([]), _behaviour_worker.KEPT * 2 + 100
    with box:  # what waits keeps its code, which is forgotten here
        for i in range(n):
            names = {}
            exec(f"def f(box): box.value.append({i})", names)
            when(box)(names.pop("f"))
        assert len(_behaviours._entries) == 50 and _core._code_count() >= n
    wait(WAIT)
    assert value_of(box) == list(range(n))
    assert _core._code_count() <= 60
    for _ in range(4):
        with when()(functools.partial(count_kept, 0)) as kept:
            assert max(kept) <= _behaviour_worker.KEPT
    when(box)(sum_up)
    _behaviours._entries.clear()
    with when(box)(sum_up) as total:
        assert total == n * (n - 1) // 2


def sum_up(box):
    return sum(box.value)
