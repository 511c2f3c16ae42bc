"""Jobs for test_pool.py and test_pool_programs.py: found by name in workers."""

import os
import sys
import threading
import time
import types

import objtunnel

state = []


def set_state(*values):
    state[:] = values


def get_state():
    return list(state)


def identity(x):
    return x


def increment(x):
    return x + 1


def capture(*args, **kwargs):
    return args, kwargs


def interpreter_id():
    return objtunnel.current_gil().interpreter


def thread_name():
    with open(f"/proc/self/task/{threading.get_native_id()}/comm") as file:
        return file.read().strip()


def wait_for(started, event):
    """Says that it has begun, and waits."""
    started.set()
    event.wait()
    return "waited"


def spin(started):
    started.set()
    while True:
        pass


def catch_interrupts(started, times, caught):
    """Ends at the interrupt number `times`."""
    started.set()
    while True:
        try:
            while True:
                pass
        except KeyboardInterrupt:
            caught[0] += 1
            if caught[0] == times:
                return


def block_in_tunnel(started):
    started.set()
    objtunnel.Tunnel().recv()


def produce(tunnel, n):
    for i in range(n):
        tunnel.send([i])
    return n


def receive(tunnel):
    return tunnel.recv()


def sleep_in_c(started, seconds):
    started.set()
    time.sleep(seconds)


class SplitError(ValueError):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")
        self.pair = a, b


def fail(a=1, b=2):
    raise SplitError(a, b)


def fail_first(flag):
    """Fails in all but the first worker."""
    if not flag.compare_exchange(0, 0, 1):
        raise ValueError("not the first")


def make_lock(_):
    return threading.Lock()


def die(worker_module="objtunnel._pool_worker"):
    """Break what the worker needs to answer: only what is beyond a job's reach could do so."""
    module = sys.modules[worker_module]
    module._describe = None
    raise ValueError("the last one")


def clear_modules():
    sys.modules.clear()
    return [1]


class Tree:
    def __init__(self, n):
        self.rows = [{"n": i, "text": f"text {i}", "half": i / 2} for i in range(n)]


def make_tree(n):
    return Tree(n)


def count_rows(tree):
    return len(tree.rows), sum(row["half"] for row in tree.rows)


def submit_again(pool):
    return pool.submit(identity, 1)


def own_pool(n):
    with objtunnel.InterpreterPoolExecutor(1) as pool:
        return pool.submit(increment, n).result()


def pid():
    return os.getpid()


def _make_increment(name):
    function = types.FunctionType(increment.__code__, globals(), name)
    function.__qualname__ = name
    return globals().setdefault(name, function)


many_functions = [_make_increment(f"increment_{i}") for i in range(300)]
