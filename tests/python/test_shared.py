"""What all shared objects have in common: handles, ways to other interpreters, the end of the last
handle."""

import copy
import gc
import os
import pickle
import sys
import weakref

import pytest

import objtunnel
from objtunnel import Interpreter, SharedArray, Tunnel, _core
from workers import FREE_THREADED

pytestmark = pytest.mark.usefixtures("nothing_left")

MAKERS = {
    "SharedArray": lambda: SharedArray("q", 3),
    "Box": lambda: objtunnel.Box([1]),
    "Lock": objtunnel.Lock,
    "LockingDict": lambda: objtunnel.LockingDict(k=[1]),
    "RLock": objtunnel.RLock,
    "Semaphore": objtunnel.Semaphore,
    "BoundedSemaphore": objtunnel.BoundedSemaphore,
    "Event": objtunnel.Event,
    "Barrier": lambda: objtunnel.Barrier(2),
    "LockingList": lambda: objtunnel.LockingList([[1]]),
    "SharedFile": lambda: objtunnel.SharedFile(os.devnull, "r+b"),
    "FrozenList": lambda: objtunnel.freeze([[1]]),
}
HAVE_A_LOCK = ("LockingList", "SharedFile")  # which is a shared object, too


def same(a, b):
    return a.id == b.id and type(a) is type(b)


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


@pytest.fixture
def counted(request, make):
    """How many shared objects one is."""
    return 1 + (request.node.callspec.params["make"] in HAVE_A_LOCK)


def test_handles_have_the_objects_number(make):
    a, b = make(), make()
    assert a.id != b.id and same(copy.copy(a), a) and same(pickle.loads(pickle.dumps(a)), a)
    assert copy.copy(a) == a and repr(copy.copy(a)).startswith(("<", "LockingDict(", "LockingList(",
                                                            "FrozenList("))


def test_handles_are_weakly_referable_and_collected(make):
    a = make()
    ref = weakref.ref(a)
    assert ref() is a
    del a
    gc.collect()
    assert ref() is None


def test_types_are_final(make):
    with pytest.raises(TypeError):
        type("Sub", (type(make()),), {})
    with pytest.raises(TypeError):
        type(make()).new_attribute = 1


def test_through_a_tunnel_inside_a_tree(make, tunnel):
    a = make()
    tunnel.send([a, {"again": a}, 1.5])
    b, others, _ = tunnel.recv()
    assert same(b, a) and others["again"] is b


def test_a_message_keeps_the_object(make, counted, tunnel):
    a = make()
    number, live = a.id, _core._live_shared()
    tunnel.send([a])
    del a
    gc.collect()
    assert _core._live_shared() == live
    assert tunnel.recv()[0].id == number
    gc.collect()
    assert _core._live_shared() == live - counted


@pytest.mark.parametrize("end", ["discard", "close", "drop"])
def test_a_message_that_nobody_receives_lets_go(make, counted, end):
    tunnel = Tunnel()
    live = _core._live_shared()
    tunnel.send([make()])
    assert _core._live_shared() == live + counted
    if end == "discard":
        tunnel.discard()
    elif end == "close":
        tunnel.close(immediate=True)
    else:
        del tunnel
        gc.collect()
    assert _core._live_shared() == live


# What no tunnel takes. Threads of a free-threaded build have functions in common: a lambda goes through there.
REFUSED = {"generator": lambda: (i for i in ()), **({} if FREE_THREADED else {"lambda": lambda: lambda: 1})}


@pytest.mark.parametrize("refused", REFUSED)
def test_a_failed_send_lets_go(make, tunnel, refused):
    live = _core._live_shared()
    with pytest.raises(TypeError):
        tunnel.send([make(), REFUSED[refused]()])
    gc.collect()
    assert _core._live_shared() == live


def number_of(x):
    return x.id


def keep(x):
    import objtunnel
    objtunnel._kept = x


def give_back():
    import objtunnel
    x = objtunnel._kept
    del objtunnel._kept
    return x


def test_arguments_and_results(make, beside):
    a = make()
    assert beside.call(number_of, a) == a.id
    assert beside.submit(number_of, a).result() == a.id
    beside.call(keep, a)
    number = a.id
    del a
    gc.collect()
    assert beside.call(give_back).id == number


def test_the_last_handle_is_another_interpreters(make, counted):
    live = _core._live_shared()
    with Interpreter() as i:
        a = make()
        i.call(keep, a)
        del a
        gc.collect()
        assert _core._live_shared() == live + counted
    assert _core._live_shared() == live


def make_and_return():
    from objtunnel import SharedArray
    return SharedArray("i", source=[1, 2, 3])


def test_the_maker_ends_first():
    with Interpreter() as i:
        a = i.call(make_and_return)
    a[0] += 5
    assert a.tolist() == [6, 2, 3]


def test_a_pickle_does_not_keep_the_object(make):
    a = make()
    text = pickle.dumps(a)
    del a
    gc.collect()
    with pytest.raises(LookupError, match="dropped"):
        pickle.loads(text)


def test_a_pickle_of_another_process(make, run_script):
    text = pickle.dumps(make())
    run_script(f"""
        import pickle, objtunnel
        a = objtunnel.SharedArray("b", 1)
        try:
            pickle.loads({text!r})
        except LookupError as error:
            assert "another process" in str(error), error
        else:
            assert False
        """)


def test_dropped_while_the_process_ends(run_script):
    run_script("""
        import threading
        import objtunnel
        from objtunnel import Interpreter, SharedArray, Tunnel

        class Keeper:
            def __init__(self, x):
                self.x = x
            def __del__(self):
                self.x[0] += 1

        def keep(x):
            import objtunnel
            objtunnel.kept = x

        if __name__ == "__main__":
            a = SharedArray("d", 100)
            objtunnel.keeper = Keeper(a)
            cycle = [a]
            cycle.append(cycle)
            t = Tunnel()
            t.send([a, SharedArray("b", 1)])
            i = Interpreter()
            i.call(keep, a)
            threading.Thread(target=lambda: i.call(keep, SharedArray("q", 1 << 20))).start()
        """)


IN_ANOTHER_INTERPRETER = pytest.mark.skipif(FREE_THREADED, reason="no other interpreter can import objtunnel there")


@IN_ANOTHER_INTERPRETER
@pytest.mark.skipif(sys.version_info < (3, 14), reason="concurrent.interpreters came with 3.14")
def test_concurrent_interpreters(make):
    from concurrent import interpreters
    interp = interpreters.create()
    a = make()
    try:
        interp.prepare_main(a=a)
        interp.exec("import objtunnel\nassert type(a).__module__ == 'objtunnel', a\nb = a.id")
        queue = interpreters.create_queue()
        queue.put(a)
        assert same(queue.get(), a)
        assert interp.call(number_of, a) == a.id
    finally:
        interp.close()


@IN_ANOTHER_INTERPRETER
def test_by_the_lower_layer(make):
    """_interpreters, which 3.13 has, too."""
    import _interpreters
    a = make()
    interp = _interpreters.create("isolated")
    try:
        _interpreters.set___main___attrs(interp, {"a": a, "n": a.id, "path": repr(sys.path)})
        error = _interpreters.exec(interp, "import sys\nsys.path[:] = eval(path)\nassert a.id == n")
        assert error is None, error.formatted
    finally:
        _interpreters.destroy(interp)


@pytest.mark.skipif(not FREE_THREADED, reason="the other builds' interpreters import objtunnel")
def test_an_interpreter_that_cannot_import_it_lets_go(make):
    """The handle fails to be made there, and the packet that it was in keeps nothing."""
    import _interpreters
    live = _core._live_shared()
    a = make()
    interp = _interpreters.create("isolated")
    try:
        with pytest.raises(_interpreters.InterpreterError):
            _interpreters.set___main___attrs(interp, {"a": a})
        error = _interpreters.exec(interp, "import objtunnel")
        assert error.type.__name__ == "ImportError", error.formatted
    finally:
        _interpreters.destroy(interp)
    del a
    gc.collect()
    assert _core._live_shared() == live


def test_many_at_once():
    """More than the registry has buckets."""
    arrays = [SharedArray("b", 1) for _ in range(3000)]
    again = [pickle.loads(pickle.dumps(a)) for a in arrays]
    assert [a.id for a in again] == [a.id for a in arrays]


def test_public_names():
    for name in MAKERS:
        assert name in objtunnel.__all__ and getattr(objtunnel, name).__doc__
