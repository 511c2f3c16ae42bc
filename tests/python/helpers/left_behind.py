"""What an interpreter that came and went leaves behind, in live bytes of malloc: counted, not resident memory.

    PYTHONMALLOC=malloc python left_behind.py ours
    PYTHONMALLOC=malloc python left_behind.py stock MODULE,MODULE,...    (3.13 leaves interned strings and more)

Prints kB for each interpreter: the least of some batches, since what is left once, for all of them, is no leak.
"""

import ctypes
import gc
import sys

BATCHES, OF = 4, 8


class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
                 "keepcost")]


libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo2


def live():
    gc.collect()
    info = libc.mallinfo2()
    return info.uordblks + info.hblkhd


def held():
    """What malloc has of the system, with its holes: live or not, resident or not."""
    info = libc.mallinfo2()
    return info.arena + info.hblkhd


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def ours():
    from objtunnel import Interpreter
    interpreter = Interpreter()
    modules = interpreter.call(eval, "[name for name in __import__('sys').modules if not name.startswith(('objtunnel', '__'))]")
    interpreter.close()
    return modules


def stock(modules):
    import _interpreters
    interpreter = _interpreters.create()
    wrong = _interpreters.exec(interpreter, f"for name in {modules!r}: __import__(name)")
    assert wrong is None, wrong
    _interpreters.destroy(interpreter)


def main(which, modules=""):
    def come_and_go():
        return ours() if which == "ours" else stock(modules.split(","))
    for _ in range(5):
        loaded = come_and_go()
    found = []
    for _ in range(BATCHES):
        before = live()
        for _ in range(OF):
            come_and_go()
        found.append((live() - before) / OF / 1e3)
    if which == "ours":
        print(",".join(loaded))
    print(min(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
