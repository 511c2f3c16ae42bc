"""A call of each kind that waits, for ever. For the threads and the interpreters of test_blocked_calls.py."""

import os

from objtunnel import Barrier, Box, Condition, Event, Lock, LockingDict, RLock, Semaphore, SharedFile, Tunnel, select


def checked_out():
    d = LockingDict(k=[1])
    checkout = d.checkout("k")
    checkout.__enter__()
    return d, checkout


def held(make):
    lock = make()
    lock.acquire()
    return lock, None


def pipe(end):
    ends = os.pipe()
    return SharedFile(ends[end], ("rb", "wb")[end]), ends


def box():
    b = Box([1])
    b.acquire()
    return b, None


# What is waited for, with what must live as long.
MAKE = {"checkout": checked_out, "get": checked_out, "clear": checked_out, "popitem": checked_out, "box": box,
        "lock": lambda: held(Lock), "rlock": lambda: held(RLock), "semaphore": lambda: (Semaphore(0), None),
        "event": lambda: (Event(), None), "condition": lambda: (Condition(), None),
        "barrier": lambda: (Barrier(5), None), "read": lambda: pipe(0), "readline": lambda: pipe(0),
        "write": lambda: pipe(1), "recv": lambda: (Tunnel(), None), "send": lambda: (Tunnel(2), None),
        "select": lambda: (Tunnel(), None)}


def endlessly(function, argument):
    while True:
        function(argument)


def wait(name, what, begun):
    begun.set()
    if name == "checkout":
        what.checkout("k").__enter__()
    elif name == "get":
        what["k"]
    elif name == "condition":
        with what:
            what.wait()
    elif name == "write":
        endlessly(what.write, b"x" * 65536)
    elif name == "select":
        select(what, Tunnel())
    elif name == "send":
        endlessly(what.send, "x")
    else:
        method = {"event": "wait", "barrier": "wait"}.get(name, name)
        getattr(what, method if hasattr(what, method) else "acquire")()
