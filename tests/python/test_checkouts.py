"""Checkouts of a LockingDict that several threads use at once, or that Python code finds which runs in the
middle of them: one of the two gets an error, and the dict has a whole tree afterwards."""

import gc
import threading

import pytest
from objtunnel import LockingDict, _core

pytestmark = pytest.mark.usefixtures("nothing_left")

# On a free-threaded build instances move whatever they say about pickling, and copy.deepcopy copies them.
by_pickle = pytest.mark.skipif(hasattr(_core, "rebias"), reason="nothing is pickled on a free-threaded build")


def found_checkout():
    return next(o for o in gc.get_objects() if type(o).__name__ == "Checkout")


class Meddles:
    """Pickled as 0; does something to the checkout that it finds first, and remembers what came of it."""

    outcome = None

    def __init__(self, meddle):
        self.meddle = meddle

    def __reduce__(self):
        try:
            Meddles.outcome = self.meddle(found_checkout())
        except RuntimeError as error:
            Meddles.outcome = str(error)
        return (int, ())


MEDDLING = [lambda c: setattr(c, "value", None), lambda c: c.value, lambda c: c.release(),
            lambda c: c.__enter__(), lambda c: c.__exit__(None, None, None)]


@by_pickle
@pytest.mark.parametrize("meddle", MEDDLING)
def test_a_tree_that_is_being_put_back_is_nobodys(meddle):
    d = LockingDict(k=1)
    checkout = d.checkout("k")
    with checkout:
        checkout.value = [[i] for i in range(1000)] + [Meddles(meddle)] + [[i] for i in range(1000)]
        assert checkout.held
    assert not checkout.held
    assert Meddles.outcome == "'k' is being put back or computed just now" or "checked out by" in Meddles.outcome
    value = d["k"]
    assert value == [[i] for i in range(1000)] + [0] + [[i] for i in range(1000)]
    value[0].append(value)
    del checkout


@pytest.mark.parametrize("meddle", MEDDLING)
def test_update_with_lends_the_tree_to_the_function_alone(meddle):
    d = LockingDict(k=[[i] for i in range(1000)])
    outcomes = []

    def change(tree):
        try:
            outcomes.append(meddle(found_checkout()))
        except RuntimeError as error:
            outcomes.append(str(error))
        tree.append(["new"])
        return tree

    d.update_with("k", change)
    assert isinstance(outcomes[0], str) and "'k'" in outcomes[0]
    assert d["k"] == [[i] for i in range(1000)] + [["new"]]


def test_update_with_a_c_function_that_borrows_its_argument():
    """len looks at the tree while __len__ runs, and has no reference of its own."""
    class Sized(list):
        def __len__(self):
            try:
                found_checkout().value = None
            except RuntimeError:
                pass
            return 7

    d = LockingDict()
    d.update_with("k", len, Sized([1, 2]))
    assert d["k"] == 7


@by_pickle
def test_a_failed_update_with_has_the_tree_in_its_checkout():
    class Stubborn:
        def __reduce__(self):
            raise TypeError("no")

    d = LockingDict(k=[1])
    with pytest.raises(TypeError) as caught:
        d.update_with("k", lambda tree: tree.append(Stubborn()) or tree)
    checkout = caught.value.checkout
    assert checkout.held and checkout.value[0] == 1
    checkout.value.pop()
    checkout.release()
    assert d["k"] == [1]
    del caught, checkout


def test_two_threads_that_share_a_checkout(fast_switching):
    d = LockingDict(k=[])
    shared = d.checkout("k")
    stop = threading.Event()
    errors = []

    def tree():
        return [[i, [i], ValueError(str(i))] for i in range(30)]

    def attempt(do):
        try:
            do()
            return True
        except RuntimeError:
            return False
        except BaseException as error:
            errors.append(error)
            raise

    def meddle():
        while not stop.is_set():
            attempt(lambda: setattr(shared, "value", tree()))
            attempt(lambda: shared.value.append([1]))
            attempt(shared.release)

    threads = [threading.Thread(target=meddle) for _ in range(2)]
    for thread in threads:
        thread.start()
    rounds = 0
    try:
        while rounds < 300:
            rounds += attempt(shared.__enter__)
            attempt(lambda: setattr(shared, "value", tree()))
            attempt(shared.release)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    while shared.held:
        shared.release()
    assert not errors
    d.update_with("k", lambda _: tree())
    assert [row[1] for row in d["k"]] == [[i] for i in range(30)]
    del shared
