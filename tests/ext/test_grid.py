"""examples/grid: a type of another extension that moves because it was registered."""

import sysconfig

import pytest

pytestmark = pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
                                reason="objtunnel itself does not support free-threaded builds")

MADE = """
    import gc, sys, weakref
    import grid
    from objtunnel import Interpreter, SharedReferenceError, Tunnel

    def made(rows=3, columns=5):
        g = grid.Grid([f"row {i}" for i in range(rows)], columns)
        g.note = {"unit": ["m", 1.5]}
        m = memoryview(g)
        m[rows - 1, columns - 1] = 7.5
        m.release()
        return g

    t = Tunnel()
"""

def test_grid_moves_and_is_used(run_python):
    run_python(MADE + """
    import users
    with Interpreter() as worker:
        g = made()
        address = g.address
        box = [g]
        del g
        assert t.send(box).pickled == 0
        assert worker.call(users.use, t, address)
        for _ in range(200):  # back and forth, with labels and notes growing
            t.send([made()])
            assert worker.call(users.pass_on, t)
            (g,) = t.recv(timeout=60)
            assert g.labels[-1] == "seen" and type(g) is grid.Grid
            del g
        gc.collect()
    """)


def test_grid_outlives_its_sender(run_python):
    run_python(MADE + """
    import users
    with Interpreter() as worker:
        assert worker.call(users.make_and_send, t)
    (g,) = t.recv(timeout=60)
    gc.collect()
    assert type(g) is grid.Grid and g.sum() == 7.5 and g.labels[0] == "row 0"
    g.note["self"] = g
    del g
    gc.collect()
    with Interpreter() as worker:  # never received
        assert worker.call(users.make_and_send, t)
    t.close(immediate=True)
    """)


def test_grid_that_somebody_looks_into_stays(run_python):
    run_python(MADE + """
    for hold in (memoryview, lambda g: g):
        g = made()
        held = hold(g)
        try:
            t.send([g])
        except TypeError as error:
            assert str(error).startswith("$[0]: cannot send this grid.Grid object"), error
        else:
            raise AssertionError("it is not picklable")
        assert g.sum() == 7.5 and g.labels[0] == "row 0"
        del held
    """)


def test_a_subclass_moves_too(run_python):
    run_python(MADE + """
    import users
    g = users.Named(["a", "b", "c"], 2)
    g.name = ["a name"]
    box = [g]
    del g
    assert t.send(box).pickled == 0
    with Interpreter() as worker:
        assert worker.call(users.check_named, t)
    """)


def test_registering_what_cannot_be(run_python):
    run_python("""
        import ctypes, objtunnel
        from objtunnel import _core
        api = ctypes.pythonapi.PyCapsule_GetPointer
        api.restype, api.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        table = api(_core._C_API, b"objtunnel._core._C_API")
        # version and size, then seven functions; register_type is the last
        pointer = ctypes.cast(table + 8 + 6 * 8, ctypes.POINTER(ctypes.c_void_p))[0]
        register = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p)(pointer)

        class Spec(ctypes.Structure):
            _fields_ = [("size", ctypes.c_size_t), ("visit", ctypes.c_void_p),
                        ("may_move", ctypes.c_void_p)]

        class Python:
            pass

        good = Spec(ctypes.sizeof(Spec), 1, 0)
        for cls, spec, error, text in [
                (Python, good, TypeError, "class statement"),
                (type(iter([])), Spec(3, 1, 0), ValueError, "sizeof"),
                (type(iter([])), Spec(ctypes.sizeof(Spec), 0, 0), ValueError, "NULL")]:
            try:
                register(cls, ctypes.byref(spec))
            except error as e:
                assert text in str(e), e
            else:
                raise AssertionError(cls)
    """)
