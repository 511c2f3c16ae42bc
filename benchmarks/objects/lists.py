"""The cases of LockingList and SharedFile: in one interpreter, and wanted by two workers at once."""

import os
import threading

from objtunnel import LockingList, SharedFile

from cases import Case
from crew import HERE, THERE
from handoff import Pair
from loops import Statement

LINE = "a line of a log, as long as they mostly are, of some sixty letters\n"


def on_lists(statement):
    def make(_options):
        return {"list": Statement(statement, x=list(range(1000, 1064))),
                "list under threading.Lock": Statement(
                    f"with lock: {statement}", x=list(range(1000, 1064)), lock=threading.Lock()),
                "LockingList": Statement(statement, x=LockingList(range(1000, 1064)))}
    return make


def on_files(statement):
    def make(_options):
        return {"io, under threading.Lock": Statement(
                    f"with lock: {statement}", f=open(os.devnull, "w"), line=LINE,
                    lock=threading.Lock()),
                "io": Statement(statement, f=open(os.devnull, "w"), line=LINE),
                "SharedFile": Statement(statement, f=SharedFile(os.devnull, "w"), line=LINE)}
    return make


# ---- two workers ---------------------------------------------------------------------------------

def wanted_by_two(step, step_under_lock, make_ours, make_other, name, ours):
    def make(options):
        return {f"{name} under threading.Lock, {HERE}": Pair(
                    True, options, 2, _keep, step_under_lock, make_other(), threading.Lock()),
                f"{ours}, {HERE}": Pair(True, options, 2, _keep, step, make_ours(), None),
                f"{ours}, {THERE}": Pair(False, options, 2, _keep, step, make_ours(), None)}
    return make


def _keep(_who, container, lock):
    return container, lock


def _append(kept, rounds):
    x, _ = kept
    for _ in range(rounds):
        x.append(1000)
        x.pop()


def _append_under_lock(kept, rounds):
    x, lock = kept
    for _ in range(rounds):
        with lock:
            x.append(1000)
        with lock:
            x.pop()


def _write(kept, rounds):
    f, _ = kept
    for _ in range(rounds):
        f.write(LINE)


def _write_under_lock(kept, rounds):
    f, lock = kept
    for _ in range(rounds):
        with lock:
            f.write(LINE)


CASES = [
    Case("list_get", "x[5], an int", on_lists("x[5]")),
    Case("list_set", "x[5] = 1000", on_lists("x[5] = 1000")),
    Case("list_append", "x.append(1000), x.pop()", on_lists("x.append(1000), x.pop()")),
    Case("list_two", "append and pop, two workers at once",
         wanted_by_two(_append, _append_under_lock, LockingList, list, "list", "LockingList")),
    Case("file_write", "f.write() of a line of 67 bytes", on_files("f.write(line)")),
    Case("file_print", "print(line, file=f)", on_files("print(line, file=f)")),
    Case("file_two", "f.write() of a line, two workers at once",
         wanted_by_two(_write, _write_under_lock, lambda: SharedFile(os.devnull, "w"),
                       lambda: open(os.devnull, "w"), "io", "SharedFile")),
]
