"""The code of behaviours: kept while it is needed, told apart, and found again."""

import functools

import pytest
from test_behaviours import all_done, value_of, workers  # noqa: F401

from objtunnel import Box, _core, wait, when

WAIT = 60


# ---- functions of one code object ----------------------------------------------------------------


def make_function(n, default):
    def f(box, extra=default):
        box.value.append([n, extra])
        return f"{n}"
    return f


def test_functions_of_one_code_object_that_have_other_cells_and_defaults():
    box, other, expected = Box([]), Box("other"), []
    contents = [(1, "a"), (2, "b"), ([3], "c"), (4, {"d": 1}), ("text", None), (2**70, b"bytes"), (other, 1.5), (True, ...)]
    for _ in range(3):
        for n, default in contents:
            result = when(box)(make_function(n, default))
            expected.append([n, default])
            with result as text:
                assert type(n) is Box or text == str(n)
        assert value_of(box) == expected
    bare = make_function(5, 6)
    bare.__defaults__ = None
    with pytest.raises(TypeError, match="extra"):
        when(box)(bare).acquire()
    keyword = make_function(5, 6)
    keyword.__kwdefaults__ = {}
    when(box)(keyword)
    empty = make_function(7, 8)
    del empty.__closure__[0].cell_contents
    with pytest.raises(NameError, match="'n'"):
        when(box)(empty).acquire()
    assert value_of(box) == [*expected, [5, 6]]


def test_a_default_that_is_changed_stays_where_it_was_changed():
    def f(box, counts=[0], text="t"):  # noqa: B006
        counts[0] += 1
        box.value.append(counts[0])

    box = Box([])
    for _ in range(4):
        when(box)(f)
    assert value_of(box) == [1, 1, 1, 1] and f.__defaults__ == ([0], "t")


def test_globals_that_come_and_go():
    names = {}
    exec("def f(box):\n try: box.value.append(LIMIT)\n except NameError: box.value.append('none')", names)
    box = Box([])
    for limit in (None, None, 5, 5, 6, None, [7], None):
        if limit is None:
            names.pop("LIMIT", None)
        else:
            names["LIMIT"] = limit
        when(box)(names["f"])
    assert value_of(box) == ["none", "none", 5, 5, 6, "none", [7], "none"]


def test_behaviours_schedule_functions_of_one_code_object():
    box = Box([])

    @when(box)
    def _(held):
        for n in range(50):
            when(held.box)(make_function(n, "inside"))
        for n in range(50):
            when(held.box, Box(n))(append_both)

    wait(WAIT)
    assert value_of(box) == [[n, "inside"] for n in range(50)] + list(range(50))


def append_both(held, other):
    held.value.append(other.value)


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
    assert _core._code_count() <= 50 + 64 + 10  # remembered here, and in C
    for _ in range(4):
        with when()(functools.partial(count_kept, 0)) as kept:
            assert max(kept) <= _behaviour_worker.KEPT
    when(box)(sum_up)
    _behaviours._entries.clear()
    with when(box)(sum_up) as total:
        assert total == n * (n - 1) // 2


def sum_up(box):
    return sum(box.value)
