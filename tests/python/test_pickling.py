"""What has no row is pickled: what objtunnel knows more than pickle, and what it says otherwise."""

import io
import multiprocessing
import queue
import re
import socket
import sqlite3
import sys
import threading
import types
import weakref

import pytest

import stdlib_kinds
from objtunnel import Interpreter, InterpreterPoolExecutor, SharedReferenceError, Tunnel
from stdlib_kinds import Line


def sent(o, **options):
    t = Tunnel()
    t.send(o, **options)
    return t.recv()


# ---- by name ------------------------------------------------------------------------------------

@pytest.mark.parametrize("o", [types, sys.modules["os.path"], len, sorted, Line, dict, Line.append,
                               types.NoneType, weakref.ref], ids=str)
def test_by_name(o):
    got = sent([o, {"again": o}])
    assert got[0] is o and got[1]["again"] is o


def test_classes_that_ctypes_makes_have_no_name_of_their_own(run_script):
    """ctypes gives `c_int * 3` the name of the module that asks for it, where nothing of that name is."""
    run_script("""
        import ctypes
        from objtunnel import Interpreter, Tunnel

        class Point(ctypes.Structure):
            _fields_ = [("x", ctypes.c_int * 2)]

        def same(o):
            return o

        if __name__ == "__main__":
            buffer = ctypes.create_string_buffer(b"text", 10)
            t = Tunnel()
            with Interpreter() as worker:
                for o in [(ctypes.c_int * 3)(1, 2, 3), (Point * 2)(Point((1, 2))), buffer, (ctypes.c_int * 2 * 2)()]:
                    t.send([o])
                    for got in [t.recv()[0], worker.call(same, o)]:
                        assert type(got) is type(o) and bytes(got) == bytes(o)
                pointer = ctypes.POINTER(ctypes.c_int)
                assert worker.call(same, [pointer, ctypes.c_int * 3]) == [pointer, ctypes.c_int * 3]
                try:
                    t.send([pointer()])
                except TypeError as error:
                    assert "$[0]" in str(error) and "pointer" in str(error)
                else:
                    raise AssertionError
        """)


def test_a_path_that_fills_screens_is_shortened():
    tree = [threading.Lock()]
    for _ in range(1000):
        tree = [tree]
    with pytest.raises(TypeError) as caught:
        Tunnel().send(tree)
    assert f"${'[0]' * 100} ... (881 more) ... {'[0]' * 20}: cannot send this _thread.lock" in str(caught.value)


def test_modules_to_a_worker(worker):
    t = Tunnel()
    t.send([types, sys.modules["os.path"]])
    assert worker.call(stdlib_kinds.receive_modules, t) == ["types", "posixpath"]


def test_patterns(worker):
    pattern = re.compile("(a+)(?P<name>ä)", re.IGNORECASE | re.VERBOSE)
    got = sent([pattern, [pattern]])
    assert got[0] == pattern and got[0].flags == pattern.flags and got[0] is got[1][0]


# ---- what knows more than pickle ----------------------------------------------------------

def test_inside_of_what_is_pickled():
    o = ValueError()  # exceptions are pickled
    o.proxy, o.module = types.MappingProxyType({"a": 1}), types
    o.view = memoryview(b"abcd").cast("H")
    got = sent([o])[0]
    assert type(got.proxy) is types.MappingProxyType and got.proxy == {"a": 1}
    assert got.module is types and got.view.tolist() == o.view.tolist()


def test_a_proxy_of_what_cannot_move():
    with pytest.raises(TypeError, match=r"^\$\[0\]\['f'\]: cannot send this function object"):
        sent([types.MappingProxyType({"f": lambda: 1})])
    kept = types.MappingProxyType({"view": memoryview(b"x"), "own": [1.5]})
    got = sent([kept])[0]
    assert got["own"] == kept["own"] and got["own"] is not kept["own"]


# ---- what cannot be sent, and what to do about it ---------------------------------------------

def closure():
    captured = 1

    def inner():
        return captured

    def alone():
        pass

    class Local:
        pass

    return inner, alone, Local


INNER, ALONE, LOCAL = closure()


class WithLock:
    def __init__(self):
        self.lock = threading.Lock()


CASES = {
    "lambda": (lambda: lambda: 1, "", "use def, at the top level of a module"),
    "closure": (lambda: INNER, "", "closure over captured.*pass captured as arguments"),
    "local function": (lambda: ALONE, "", "define it at the top level of a module"),
    "local class": (lambda: LOCAL, "", "travels by name.*define it at the top level"),
    "its instance": (LOCAL, "", "local to a function.*define it at the top level"),
    "generator": (lambda: (i for i in ()), "", "send its results, say list"),
    "text file": (lambda: open("/dev/null"), "", "open it on the other side"),
    "file": (lambda: io.FileIO("/dev/null"), "", "open it on the other side"),
    "socket": (socket.socket, "", r"make socket\.socket\(fileno"),
    "lock": (threading.Lock, "", "use objtunnel's Lock"),
    "lock inside": (WithLock, r"\.lock", "use objtunnel's Lock"),
    "queue": (queue.Queue, r"\.mutex", "Tunnel in place of queue.Queue"),
    "queue of processes": (multiprocessing.Queue, "", "send a Tunnel instead$"),
    "lock of processes": (multiprocessing.Lock, "", "use objtunnel's Lock"),
    "event of processes": (multiprocessing.Event, r"\._cond", "use objtunnel's Lock"),
    "number of processes": (lambda: multiprocessing.Value("i"), "", "send a SharedArray instead$"),
    "interpreter": (Interpreter, "", "send a Tunnel instead, or make another one there$"),
    "pool": (InterpreterPoolExecutor, "", "return what is to be done next, or make another pool there$"),
    "event": (threading.Event, r"\._cond\._lock", "use objtunnel's Lock"),
    "frame": (sys._getframe, "", "what you need of its locals"),
    "code": (lambda: compile("1", "", "eval"), "", r"marshal\.dumps"),
    "view of a dict": (lambda: {1: 2}.keys(), "", r"send list\(it\)"),
    "match": (lambda: re.match("a", "a"), "", r"groups\(\)"),
    "weak reference": (lambda: weakref.ref(LOCAL), "", "what it refers to"),
    "database": (lambda: sqlite3.connect(":memory:"), "", "connect on the other side"),
    "unknown module": (lambda: types.ModuleType("nowhere"), "", "import it on the other side"),
    "object of a C type": (lambda: iter(memoryview(b"x")), "", "send what it holds instead"),
}


@pytest.mark.parametrize("name", CASES)
def test_says_what_to_do(name):
    make, where, remedy = CASES[name]
    o = make()
    with pytest.raises(TypeError, match=rf"(?s)^\$\[1\]\['k'\]{where}: cannot send this .*; .*{remedy}"
                       ) as caught:
        sent([1, {"k": o}])
    assert caught.value.__cause__ is not None
    if hasattr(o, "close"):
        o.close()
    elif hasattr(o, "shutdown"):
        o.shutdown()


def test_a_remedy_that_fails_hides_nothing():
    failing = []

    class Meta(type):
        def __getattribute__(cls, name):
            if failing and name == "__qualname__":
                raise RuntimeError("no name")
            return super().__getattribute__(name)

    class Odd(metaclass=Meta):
        def __reduce__(self):
            failing.append(True)
            return 1 / 0

    with pytest.raises(TypeError, match=r"^\$\[0\]: cannot send this Odd object: division by zero$"):
        sent([Odd()])


def test_strict_does_not_count_names():
    box = [len, Line, types, sent, weakref.ref]
    assert sent(list(box), strict=True) == box
    method = [1].append  # pickled with its list
    with pytest.raises(SharedReferenceError):
        sent([method], strict=True)


def test_strict_counts_references_to_what_is_pickled():
    error = ValueError(1.5)
    with pytest.raises(SharedReferenceError):
        sent([error], strict=True)
    assert sent([ValueError(1.5)], strict=True)[0].args == (1.5,)
