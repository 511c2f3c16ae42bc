"""Types of extensions that are registered as movable: found by all that they are, and verified."""

import sysconfig

import pytest

pytestmark = pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
                                reason="objtunnel itself does not support free-threaded builds")

HEAD = """
    import gc, sys
    import kinds
    from objtunnel import Interpreter, Tunnel
    t = Tunnel()
"""


@pytest.mark.parametrize("debug", ["0", "1"])
def test_registered_types_move_and_are_used_hard(debug, run_python):
    run_python(HEAD + """
    import kinds_users
    with Interpreter() as receiver:
        with Interpreter() as sender:
            sender.call(kinds_users.send, t)
        for _ in range(40):
            assert receiver.call(kinds_users.use_hard, t)
    """, env={"OBJTUNNEL_DEBUG_KINDS": debug})


@pytest.mark.parametrize("name", ["Second", "Twin"])
def test_type_that_shares_its_functions_is_not_taken_for_the_registered_one(name, run_python):
    run_python(HEAD + f"""
    t.send([kinds.First(["ref"])])  # known by now
    o = kinds.{name}(["a list"])
    box = [o]
    del o
    try:
        t.send(box)
    except TypeError as error:
        assert "cannot send this kinds.{name} object" in str(error), error
    else:
        raise AssertionError("it was sent")
    assert box[0].ref == (["a list"],) and box[0].number == 4242
    """)


MISTAKES = {
    1: "visit of the registered type kinds.Matrix does not report a reference that tp_traverse sees (to a dict)",
    2: "reports a variable of its own",
    3: "reports a place twice",
    4: "returned -1 although no report failed",
    5: "set an exception",
    6: "does not return -1 at once when a report fails",
    7: "reports the object's type",
    8: "reports a variable of its own",
    9: "set an exception",
    10: "changes the object",
    11: "returned neither 0 nor -1",
    12: "reports a place in which tp_traverse sees nothing",
}


@pytest.mark.parametrize("when", ["debug", "first"])
@pytest.mark.parametrize("mode", MISTAKES)
def test_mistake_of_visit_is_told(mode, when, run_python):
    """In debug mode at every instance, otherwise at the first ones."""
    run_python(HEAD + """
    mode, text, debug = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "debug"
    if debug:  # the first ones were right
        for _ in range(40):
            t.send([kinds.Matrix([], {})])
    for box in [kinds.Matrix(["child"], {"k": 2})], [kinds.Matrix(["child"], {"k": 2}), "more"]:
        kinds.set_mode(mode)
        try:
            t.send(box)
        except SystemError as error:
            assert text in str(error), error
            assert (repr(error.__cause__) == "ValueError('from visit')") == (mode in (5, 9)), error.__cause__
        else:
            raise AssertionError("it was sent")
        kinds.set_mode(0)
        assert box[0].child2 == {"k": 2}  # it stays, and is as it was but for what visit did itself
        if mode != 10:
            assert box[0].child == ["child"]
        gc.collect()
    before = t.qsize()
    t.send(box)
    assert t.qsize() == before + 1
    """, mode, MISTAKES[mode], when, env={"OBJTUNNEL_DEBUG_KINDS": "1" if when == "debug" else "0"}, timeout=60)


def test_result_and_exceptions_are_checked_for_every_instance(run_python):
    run_python(HEAD + """
    for _ in range(40):
        t.send([kinds.Matrix([], {})])
    for mode, text in (4, "-1 although"), (5, "set an exception"), (9, "set an exception"), (11, "neither 0 nor -1"):
        box = [kinds.Matrix(["child"], {"k": 2})]
        kinds.set_mode(mode)
        try:
            t.send(box)
        except SystemError as error:
            assert text in str(error), error
        else:
            raise AssertionError(mode)
        kinds.set_mode(0)
        assert box[0].child == ["child"] and box[0].child2 == {"k": 2}
    """)


@pytest.mark.parametrize("may", [2, 3])
def test_exception_of_may_move_is_told(may, run_python):
    run_python(HEAD + """
    box = [kinds.Matrix(["child"], {"k": 2})]
    kinds.set_mode(0, int(sys.argv[1]))
    try:
        t.send(box)
    except SystemError as error:
        assert "may_move of the registered type kinds.Matrix set an exception" in str(error), error
        assert repr(error.__cause__) == "ValueError('from may_move')"
    else:
        raise AssertionError("it was sent")
    kinds.set_mode(0, 1)
    try:
        t.send(box)
    except TypeError as error:
        assert "cannot send this kinds.Matrix object" in str(error), error
    else:
        raise AssertionError("it was sent")
    kinds.set_mode(0)
    t.send(box)
    assert t.recv()[0].child == ["child"]
    """, may)


def test_types_that_cannot_move_are_refused(run_python):
    run_python("""
    import kinds
    for which, text in enumerate(["ot_register_type(kinds.NoDealloc): it needs a tp_dealloc of its own",
                                  "ot_register_type(kinds.Managed): its instances have a __dict__"]):
        try:
            kinds.refused(which)
        except TypeError as error:
            assert text in str(error), error
        else:
            raise AssertionError(which)
    """)


def test_types_of_python_itself_are_refused(run_python):
    """They would move by the extension's visit, which reads another struct."""
    run_python("""
    import types, kinds
    from objtunnel import Tunnel
    for cls in object, type, list, int, types.ModuleType, BaseException:
        try:
            kinds.refused(cls)
        except TypeError as error:
            assert str(error) == f"ot_register_type({cls.__name__}): it is a type of Python itself", error
        else:
            raise AssertionError(cls)
    t = Tunnel()
    t.send([object(), [1], 10**30, type("C", (), {})])
    assert t.recv()[1:3] == [[1], 10**30]
    """)
