"""Every job is answered, whatever it does or raises; exceptions arrive as what they were."""

import concurrent.futures
import itertools
import sys

import pytest

import failures
from objtunnel import Interpreter, InterpreterClosed, InterpreterPoolExecutor, RemoteError, SharedReferenceError, Tunnel, _failures

WAIT = 60


def outcome_of(worker, fn, *args):
    """What call() raises, after submit() has raised the same kind of thing."""
    future = worker.submit(fn, *args)
    error = future.exception(WAIT)
    assert error is not None
    with pytest.raises(type(error)) as caught:
        worker.call(fn, *args)
    assert worker.call(len, [1]) == 1
    return caught.value


# ---- exceptions whose own code raises ------------------------------------------------------------

@pytest.mark.parametrize("cls", [failures.NoText, failures.NumberForText, failures.TextExits,
                                 failures.TextInterrupts, failures.ReprRaises])
def test_an_exception_that_cannot_show_itself(worker, cls):
    error = outcome_of(worker, failures.raise_it, cls, "x")
    assert type(error) is cls and error.args == ("x",)
    assert "raise_it" in str(error.__cause__)


@pytest.mark.parametrize("cls", [failures.ReduceExits, failures.ReduceRaises, failures.StateExits,
                                 failures.ClassRaises])
def test_an_exception_that_cannot_be_pickled_is_rebuilt(worker, cls):
    error = outcome_of(worker, failures.raise_it, cls, "x")
    assert type(error) is cls and error.args == ("x",)


def test_an_exception_of_a_class_whose_metaclass_lies(worker):
    error = worker.submit(failures.raise_liar, "x").exception(WAIT)
    assert type(error) is RemoteError and error.remote_args == ("x",)


@pytest.mark.parametrize("kind", ["exit", "interrupt", "error"])
def test_a_result_whose_pickling_raises(worker, kind):
    error = outcome_of(worker, failures.make_unpicklable, kind)
    assert "no state" in str(error.__cause__) or "no state" in str(error)


def test_notes_that_are_no_notes(worker):
    error = outcome_of(worker, failures.raise_with_bad_notes)
    assert type(error) is KeyError and error.args == (1,)


# ---- rebuilt as they were ------------------------------------------------------------------------

def test_whatever_the_signature_of_init(worker):
    error = outcome_of(worker, failures.raise_it, failures.Awkward, "rows.csv", 3)
    assert type(error) is failures.Awkward
    assert error.args == ("rows.csv:3",) and (error.path, error.line) == ("rows.csv", 3)
    error = outcome_of(worker, failures.raise_it, failures.AwkwardWithDefault, "rows.csv", 3)
    assert error.args == ("rows.csv:3",) and (error.path, error.line) == ("rows.csv", 3)
    error = outcome_of(worker, failures.raise_it, failures.Slotted, "a", 3)
    assert (error.place, error.args) == ("a/3", ("slotted",))


def test_fields_of_built_in_exceptions(worker):
    error = outcome_of(worker, failures.raise_os_error)
    assert type(error) is failures.OddOSError
    assert (error.errno, error.strerror, error.filename, error.extra) == (2, "gone", "/x", 5)
    error = outcome_of(worker, failures.raise_unicode_error)
    assert (error.encoding, error.start, error.end, error.reason) == ("ascii", 0, 1, "bad")
    error = outcome_of(worker, sys.exit, 7)
    assert type(error) is SystemExit and error.code == 7


def test_notes_causes_and_contexts(worker):
    error = outcome_of(worker, failures.raise_chain)
    assert error.__notes__ == ["first", "second"] and error.extra == [1, 2]
    assert type(error.__cause__) is failures.Awkward and error.__cause__.line == 8
    inner = error.__cause__.__context__
    assert type(inner) is ZeroDivisionError
    assert "raise_chain" in str(inner.__cause__)  # the traceback, where a printed one begins
    assert error.__suppress_context__ and error.__context__ is error.__cause__


def test_groups(worker):
    group = outcome_of(worker, failures.raise_group)
    assert type(group) is ExceptionGroup and group.message == "several"
    first, second = group.exceptions
    assert type(first) is failures.Awkward and (first.path, first.line) == ("a", 1)
    assert type(second) is ExceptionGroup and type(second.exceptions[0]) is KeyError
    assert type(first.__cause__) is IndexError
    assert vars(group) == vars(second) == {}  # message and exceptions are members, read-only ones


def test_circles(worker):
    error = outcome_of(worker, failures.raise_circle)
    assert type(error) is failures.Awkward and error.__cause__.__context__ is error


def test_a_very_long_chain(worker):
    error = outcome_of(worker, failures.raise_long_chain, 3000)
    assert error.args == (2999,)


def test_parts_that_cannot_travel_are_replaced_by_their_text(worker):
    error = outcome_of(worker, failures.raise_with_lock)
    assert type(error) is failures.Holder
    assert error.args[0] == "here" and "lock" in error.args[1]
    assert error.kept == [1] and "lock" in error.lock


def test_a_class_that_exists_there_only(worker):
    worker.run("""
class OnlyHere(Exception): pass
def fail(*args): raise OnlyHere(*args)
""")
    with pytest.raises(Exception) as caught:
        worker.run("fail('x', 3)")
    error = caught.value
    assert error.args == ("x", 3)  # it came by value


def test_a_class_that_cannot_be_had(worker):
    with pytest.raises(RemoteError, match="Gone: x, 3") as caught:
        worker.call(failures.raise_of_a_module_that_exists_there_only, "x", 3)
    assert caught.value.type_name == "only_there.Gone"
    assert caught.value.remote_args == ("x", 3)


def test_shared_reference_error_says_where():
    shared = [1.5]
    for tree, path, count in (([0, {"a": shared}], "$[1]['a']", 1), (("b", shared), "$", 0)):
        with pytest.raises(SharedReferenceError) as caught:
            Tunnel().send(tree, strict=True)
        assert caught.value.path == path, caught.value
        assert caught.value.count >= count


# ---- workers that are damaged --------------------------------------------------------------------

@pytest.mark.parametrize("damage", [failures.clear_modules, failures.trace_raises,
                                    failures.profile_raises, failures.little_recursion,
                                    failures.replace_builtins])
def test_jobs_after_one_that_damages_its_interpreter_are_answered(damage):
    with Interpreter() as i:
        futures = [i.submit(damage), i.submit(failures.raise_it, ValueError, 1), i.submit(len, [1])]
        done, waiting = concurrent.futures.wait(futures, WAIT)
        assert not waiting
        futures.append(i.submit(failures.nothing) if not i.closed else futures[0])
        assert not concurrent.futures.wait(futures, WAIT).not_done


def test_the_loop_fails():
    i = Interpreter()
    begun, go = Tunnel(), Tunnel()
    first = i.submit(failures.break_the_loop, begun, go)
    begun.recv(WAIT)
    rest = [i.submit(failures.nothing) for _ in range(5)]
    go.send(1)
    assert type(first.exception(WAIT)) is SystemExit
    for future in rest:
        with pytest.raises(InterpreterClosed, match="loop failed with MemoryError"):
            future.result(WAIT)
    with pytest.raises(InterpreterClosed):
        i.call(len, [1])
    i.close()


# ---- interrupts ----------------------------------------------------------------------------------

def test_interrupt(worker):
    assert worker.interrupt() is False
    begun = Tunnel()
    for job in (failures.spin, failures.wait_in_a_tunnel):
        future = worker.submit(job, begun)
        later = worker.submit(len, [1])
        begun.recv(WAIT)
        assert worker.interrupt() is True
        assert type(future.exception(WAIT)) is KeyboardInterrupt
        assert later.result(WAIT) == 1


@pytest.mark.parametrize("cls", [failures.TextHangs, failures.ReduceHangs])
def test_what_hangs_while_an_exception_is_shown_can_be_interrupted(worker, cls):
    begun = Tunnel()
    future = worker.submit(failures.raise_hanging, cls.__name__, begun)
    begun.recv(WAIT)
    worker.interrupt()  # once, although an exception is shown in several ways
    error = future.exception(WAIT)
    assert type(error) is RemoteError and error.type_name == f"failures.{cls.__name__}"
    assert worker.call(len, [1]) == 1


@pytest.mark.parametrize("job", [failures.spin_in_destructors, failures.spin_in_weakref_callbacks])
def test_one_interrupt_is_enough_although_it_comes_in_a_destructor(worker, job, capfd):
    for _ in range(30):
        begun = Tunnel()
        future = worker.submit(job, begun)
        begun.recv(WAIT)
        assert worker.interrupt() is True
        assert type(future.exception(WAIT)) is KeyboardInterrupt
    assert "KeyboardInterrupt" not in capfd.readouterr().err


def test_interrupts_while_an_interrupt_is_shown(worker):
    for _ in range(100):
        begun = Tunnel()
        future = worker.submit(failures.spin, begun)
        begun.recv(WAIT)
        while not future.done():
            worker.interrupt()
        assert type(future.exception(WAIT)) is KeyboardInterrupt


def test_interrupts_at_every_step_of_a_description(monkeypatch):
    steps = itertools.count()
    with monkeypatch.context() as patch:
        patch.setattr(_failures, "count_interrupts", steps.__next__)
        description = _failures.pack(KeyboardInterrupt(), lambda code: False)
        assert next(steps) > 1
        with pytest.raises(KeyboardInterrupt) as caught:
            _failures.unpack(description)
        assert caught.type is KeyboardInterrupt
    assert type(_failures.unpack(description)) is KeyboardInterrupt


def test_what_else_a_destructor_raises_is_shown(worker, capfd):
    worker.run("class A:\n def __del__(self): raise KeyboardInterrupt('mine')\nA()")
    assert "KeyboardInterrupt: mine" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_exits_does_not_stop_the_mailbox(worker):
    future = worker.submit(len, [1])
    future.add_done_callback(lambda _: sys.exit(3))
    for _ in range(3):
        assert worker.submit(len, [1]).result(WAIT) == 1


# ---- messages that cannot be received ------------------------------------------------------------

@pytest.mark.parametrize("pickled", [False, True])
def test_a_message_that_cannot_be_received_can_be_discarded(worker, pickled):
    t = Tunnel()
    worker.call(failures.send_of_a_module_that_exists_there_only, t, pickled)
    worker.call(failures.send_of_a_module_that_exists_there_only, t, pickled)
    t.send(["next"])
    errors = []
    for _ in range(2):
        with pytest.raises(ImportError, match="only_in_a_worker") as caught:
            t.recv(0)
        errors.append(caught.value)
    assert t.qsize() == 3
    assert errors[0].discard() is True and errors[1].discard() is False and t.qsize() == 2
    with pytest.raises(ImportError) as caught:
        t.recv(0)
    t.discard()
    assert caught.value.discard() is False
    assert caught.value.discard() is False and t.recv(0) == ["next"]
    t.send("a small one")  # of another layout
    assert caught.value.discard() is False and t.recv(0) == "a small one"
    assert caught.value.discard() is False


@pytest.mark.parametrize("shape, where, name", [
    ("[1.5, {'rows': [[], C([1])]}]", "$[1]['rows'][1]", "C"),
    ("C(C(1))", "$", "C"),
    ("Record(a=1.5, b=(1.5, [C(2)]))", "$.b[1][0]", "C"),
    ("[Record(a=[S(1.5)])]", "$[0].a[0]", "S"),
    ("{3: {C(1.5)}}", "$[3].<element>", "C"),
    ("[[P([1])], 2.5]", "$[0][0]", None),
    ("{'a': (1.5, P([1]))}", "$['a'][1]", None),
    ("{'b': P([1])}", "$['b']", None),
    ("Record(a=Record(b=P(1)))", "$.a.b", None),
    ("[{1.5, P(1)}]", "$[0].<element>", None),
    ("P([1])", "$", None),
    ("[[P([1])], 2.5, P(3)]", "$[0][0]", None),  # in one pickle
    ("[len, {'x': [len, P(3)]}, sorted, P(4)]", "$[1]['x'][1]", None),
    ("[[partial(len, (i, [i])) for i in range(1500)], [P(3)], len]", "$[1][0]", None),
    ("[[C(i)] for i in range(1000)]", "$[0][0]", "C"),
])
def test_where_in_a_message_it_cannot_be_received(worker, shape, where, name):
    t = Tunnel()
    worker.call(failures.send_inside, t, shape)
    for _ in range(3):  # the message is as before
        with pytest.raises(ImportError) as caught:
            t.recv(0)
        error = caught.value
        assert error.where == where, error.where
        assert error.type_name == (name and f"only_in_a_worker.{name}")
        assert len(error.__notes__) == 1 and where in error.__notes__[0]
    with Interpreter() as other:
        received = other.submit(failures.receive_with_a_module_of_its_own, t)
        assert received.result(WAIT) is True
    worker.call(failures.send_inside, t, shape)
    with pytest.raises(ImportError) as caught:
        t.recv(0)
    assert caught.value.discard() is True and t.empty()


def test_where_in_arguments_and_results(worker):
    with InterpreterPoolExecutor(1) as pool:
        for submit in (pool.submit, worker.submit):
            error = submit(failures.return_only_here).exception(WAIT)
            assert (type(error), error.where, error.type_name) == (
                ImportError, "result['rows'][1]", "only_in_a_worker.C")
            assert not hasattr(error, "discard") and "result['rows'][1]" in error.__notes__[0]
        module = sys.modules["only_here"] = type(sys)("only_here")
        exec("class C: pass", module.__dict__)
        try:
            for submit in (pool.submit, worker.submit):
                error = submit(len, [[module.C()]]).exception(WAIT)
                assert error.where == "args[0][0][0]" and error.type_name == "only_here.C"
                error = submit(len, a=module.C()).exception(WAIT)
                assert error.where == "kwargs['a']" and error.type_name == "only_here.C"
        finally:
            del sys.modules["only_here"]


def test_an_answer_does_not_offer_to_discard_its_payload(worker):
    module = sys.modules["only_here"] = type(sys)("only_here")
    exec("class C: pass", module.__dict__)
    try:
        error = worker.submit(len, [module.C()]).exception(WAIT)
    finally:
        del sys.modules["only_here"]
    assert type(error) is ImportError and not hasattr(error, "discard")
