"""Exceptions and jobs that make it hard to answer."""

import functools
import sys
import threading
import time


class NoText(Exception):
    def __init__(self, code):
        self.code = code

    def __str__(self):
        return f"{self.code}: {self.reason}"  # there is no reason


class NumberForText(Exception):
    def __str__(self):
        return 7


class TextExits(Exception):
    def __str__(self):
        raise SystemExit(3)

    __repr__ = __str__


class TextInterrupts(Exception):
    def __str__(self):
        raise KeyboardInterrupt


class ReprRaises(Exception):
    def __repr__(self):
        return 1 / 0


class ReduceExits(Exception):
    def __reduce__(self):
        raise SystemExit(3)


class ReduceRaises(BaseException):
    def __reduce_ex__(self, protocol):
        return 1 / 0


class StateExits(Exception):
    def __getstate__(self):
        raise SystemExit(3)

    def __reduce__(self):
        return type(self), self.args, self.__getstate__()


class ClassRaises(Exception):
    @property
    def __class__(self):
        raise KeyboardInterrupt


class Lying(type):
    @property
    def __module__(cls):
        raise SystemExit(4)

    @property
    def __name__(cls):
        raise KeyboardInterrupt


class Liar(Exception, metaclass=Lying):
    pass


class Awkward(Exception):
    def __init__(self, path, line):
        super().__init__(f"{path}:{line}")
        self.path, self.line = path, line


class AwkwardWithDefault(Awkward):
    def __init__(self, path, line=0):
        super().__init__(path, line)


class Slotted(Exception):
    __slots__ = ("place",)

    def __init__(self, a, b):
        super().__init__("slotted")
        self.place = f"{a}/{b}"


class OddOSError(OSError):
    def __init__(self, path):
        super().__init__(2, "gone", path)
        self.extra = 5


class Holder(Exception):
    pass


def raise_it(cls, *args):
    raise cls(*args)


def raise_liar(*args):
    raise Liar(*args)


def raise_os_error():
    raise OddOSError("/x")


def raise_unicode_error():
    raise UnicodeDecodeError("ascii", b"\xff", 0, 1, "bad")


def raise_with_bad_notes():
    error = KeyError(1)
    error.__notes__ = 5
    raise error


def raise_chain():
    try:
        try:
            1 / 0
        except ZeroDivisionError:
            raise Awkward("b", 8)
    except Awkward as cause:
        error = KeyError("k")
        error.add_note("first")
        error.add_note("second")
        error.extra = [1, 2]
        raise error from cause


def raise_group():
    first = Awkward("a", 1)
    first.__cause__ = IndexError(5)
    raise ExceptionGroup("several", [first, ExceptionGroup("inner", [KeyError(2)])])


def raise_circle():
    error = Awkward("a", 1)
    error.__cause__ = ValueError(2)
    error.__cause__.__context__ = error
    raise error


def raise_long_chain(n):
    error = None
    for i in range(n):
        new = ValueError(i)
        new.__cause__ = error
        error = new
    raise error


def raise_with_lock():
    error = Holder("here", threading.Lock())
    error.kept, error.lock = [1], threading.Lock()
    raise error


def raise_of_a_module_that_exists_there_only(*args):
    module = type(sys)("only_there")
    exec("class Gone(Exception):\n    def __str__(self): return ', '.join(map(str, self.args))",
         module.__dict__)
    sys.modules["only_there"] = module
    raise module.Gone(*args)


def send_of_a_module_that_exists_there_only(t, pickled):
    module = sys.modules["only_in_a_worker"] = type(sys)("only_in_a_worker")
    exec("class C:\n    def __init__(self, x): self.x = x\n" +
         ("    def __getstate__(self): return self.__dict__" if pickled else ""), module.__dict__)
    t.send([module.C([1.5])])


def send_inside(t, shape):
    """An instance whose class exists there only, somewhere in a message."""
    t.send(eval(shape, {**make_only_in_a_worker(), "Record": Record, "range": range, "partial": functools.partial}))


def make_only_in_a_worker():
    module = sys.modules["only_in_a_worker"] = type(sys)("only_in_a_worker")
    exec("class C:\n    def __init__(self, x): self.x = x\n"
         "class P(C):\n    def __getstate__(self): return self.__dict__\n"
         "class S:\n    __slots__ = ('x', 'y')\n    def __init__(self, x): self.x = x\n", module.__dict__)
    return module.__dict__


def receive_with_a_module_of_its_own(t):
    """Where the classes exist: uses what comes hard. (The sender's instances know no others.)"""
    make_only_in_a_worker()
    tree = t.recv(10)
    import copy
    import gc
    gc.collect()
    return repr(copy.deepcopy(tree)) is not None


def return_only_here():
    module = sys.modules["only_in_a_worker"] = type(sys)("only_in_a_worker")
    exec("class C: pass", module.__dict__)
    return {"rows": [1, module.C()]}


class Record:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Unpicklable:
    def __init__(self, kind):
        self.kind = kind

    def __getstate__(self):
        raise {"exit": SystemExit, "interrupt": KeyboardInterrupt, "error": ValueError}[self.kind]("no state")


def make_unpicklable(kind):
    return Unpicklable(kind)


# ---- damage --------------------------------------------------------------------------------------

def nothing():
    pass


def clear_modules():
    sys.modules.clear()


def trace_raises():
    def trace(*args):
        raise SystemExit(1)
    sys.settrace(trace)


def profile_raises():
    def profile(*args):
        raise SystemExit(1)
    sys.setprofile(profile)


def little_recursion():
    sys.setrecursionlimit(len(_frames()) + 1)


def _frames():
    frames, frame = [], sys._getframe()
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def replace_builtins():
    import builtins
    for name in ("str", "isinstance", "type", "len", "id", "tuple", "list", "any", "next", "compile"):
        delattr(builtins, name)


def break_the_loop(begun, go):
    from objtunnel import _worker

    def fail(*args):
        raise MemoryError
    begun.send(1)
    go.recv()
    _worker._answer.__code__ = fail.__code__
    _worker._execute.__code__ = (lambda number, reply, payload: None).__code__
    sys.exit()


# ---- what hangs ------------------------------------------------------------------------------------

def spin(begun):
    begun.send(1)
    while True:
        pass


def wait_in_a_tunnel(begun):
    from objtunnel import Tunnel
    begun.send(1)
    Tunnel().recv()


def _hang(begun):
    begun.send(1)
    while True:
        time.sleep(0.001)


class TextHangs(Exception):
    def __str__(self):
        _hang(self.args[0])


class ReduceHangs(Exception):
    def __reduce__(self):
        _hang(self.args[0])


class SlowToDie:
    def __del__(self):
        for _ in range(2000):
            pass


def spin_in_destructors(begun):
    begun.send(None)
    while True:
        SlowToDie()


def spin_in_weakref_callbacks(begun):
    import weakref

    def spin(_):
        for _ in range(2000):
            pass

    class Thing:
        pass

    begun.send(None)
    while True:
        thing = Thing()
        ref = weakref.ref(thing, spin)
        del thing  # its callback runs while ref lives
        del ref


def raise_hanging(name, begun):
    raise globals()[name](begun)
