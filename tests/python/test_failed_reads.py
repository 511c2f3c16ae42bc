"""A read of a container that fails loses nothing: the value stays where it is, to be read or taken out."""

import gc
import traceback

import pytest
from objtunnel import Interpreter, LockingDict, LockingList

import failing_reads as helper
from failing_reads import Number, Stashing, Temperamental

pytestmark = pytest.mark.usefixtures("nothing_left")


class OfDict:
    def __init__(self, make):
        self.container = LockingDict()
        self.container["k"] = make()

    def reads(self):
        d = self.container
        return [lambda: d["k"], lambda: d.get("k"), d.values, d.items, lambda: d == {"k": 1},
                lambda: d.setdefault("k"), lambda: repr(d)]

    def pop(self):
        return self.container.pop("k")


class OfList:
    def __init__(self, make):
        self.container = LockingList()
        self.container.append(make())

    def reads(self):
        items = self.container
        return [lambda: items[0], lambda: items[:], items.copy, lambda: list(items), lambda: items == [1],
                lambda: 5 in items, lambda: items.index(5), lambda: repr(items), lambda: items.sort()]

    def pop(self):
        return self.container.pop()


@pytest.fixture(params=[OfDict, OfList])
def holding(request):
    return request.param


def check_reads_fail(holder, error):
    for read in holder.reads():
        with pytest.raises(error):
            read()


def test_what_moves_but_cannot_be_copied(holding):
    holder = holding(lambda: [[1], Number(5), {"a": Number(6)}])
    check_reads_fail(holder, TypeError)
    tree = holder.pop()
    assert tree == [[1], 5, {"a": 6}] and type(tree[1]) is Number
    tree[0].append(tree)


def test_such_a_value_alone(holding):
    """It is copied as it is stored, so that it is refused: the caller still has it."""
    number = Number(5)
    with pytest.raises(TypeError):
        holding(lambda: number)
    assert number == 5


def test_the_error_still_says_where_it_was_raised(holding):
    holder = holding(lambda: [Number(5)])
    with pytest.raises(TypeError, match="not picklable") as caught:
        holder.reads()[0]()
    raised = traceback.extract_tb(caught.value.__cause__.__traceback__)
    assert any(frame.name == "__reduce_ex__" for frame in raised)
    del caught


def test_what_its_own_code_keeps_is_readable_where_it_is(holding):
    """Somebody else refers to the object now, so it can be neither copied nor moved: it stays with the
    interpreter that tried, which can still take it out."""
    holder = holding(lambda: [[1], Stashing(5)])
    check_reads_fail(holder, TypeError)
    [stashed] = set(map(id, helper.stash))
    tree = holder.pop()
    assert tree == [[1], 5] and id(tree[1]) == stashed
    helper.stash.clear()
    tree.append(tree)


def test_it_can_be_read_again_once_that_is_possible(holding):
    holder = holding(lambda: [Temperamental(7)])
    read = holder.reads()[0]
    for _ in range(3):
        Temperamental.angry = True
        check_reads_fail(holder, TypeError)
        Temperamental.angry = False
        assert read() == [7]
    assert holder.pop() == [7]


def test_another_interpreter_is_told_who_has_it(holding, worker):
    holder = holding(lambda: [[1], Stashing(5)])
    worker.call(helper.fail_to_read, holder.container)
    for read in holder.reads():
        with pytest.raises(RuntimeError, match="still has it"):
            read()
    with pytest.raises(RuntimeError, match="still has it"):
        holder.pop()
    assert worker.call(helper.pop_type, holder.container) == "Stashing"
    worker.call(helper.watched)  # collects the frames of the exception there, which refer to the container


def test_what_strayed_dies_with_its_container_or_its_interpreter(holding, worker):
    for ends in (False, True):
        with Interpreter() as other:
            holder = holding(lambda: [[1], Stashing(5)])
            other.call(helper.fail_to_read, holder.container)
            assert other.call(helper.watched) == 1
            if not ends:
                del holder.container
                gc.collect()
                other.call(helper.store_something)  # frees what was left to it
                assert other.call(helper.watched) == 0
        if ends:
            for read in holder.reads()[:2] + [holder.pop]:
                with pytest.raises(RuntimeError, match="lost"):
                    read()
        holder.__dict__.clear()
