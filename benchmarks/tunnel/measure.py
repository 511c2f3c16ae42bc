"""How long moving a tree takes: send() timed in the sending interpreter, recv() in the receiving
one, on a thread and a core of its own.

The receiver is told by a second tunnel when the message is there, so recv() never waits: what is
measured is work, not waiting. Each repetition has a fresh payload. Before it is built the garbage
is collected, and from then on the collector is off (unless asked for), on both sides, for the
tunnel and for pickle alike. Not between building and sending: a collection there would leave the
caches in a state that no user's program sends from.

Building 800 MB flushes the caches; then even a call that does nothing takes some 10 us, and a
moved array would show that and nothing else. So right before the timed section a payload of eight
elements goes the same way (tunnel, pickle, queue, loop): the code is warm, the data are as building
left them. --cold leaves that out.
"""

import gc
import os
import pickle
import queue
from contextlib import contextmanager
from statistics import median
from time import perf_counter_ns

from objtunnel import Interpreter, Tunnel, TunnelClosed

from payloads import PAYLOADS

try:
    from concurrent import interpreters  # 3.14
except ImportError:
    interpreters = None
try:
    import bareloop  # bareloop.c, which `make bench-tunnel` builds
except ImportError:
    bareloop = None

# Keys of the samples: what adds up to a total, all that is in nanoseconds, what send() counted.
TOTALS = ("send", "recv", "dumps", "loads", "put", "get", "look", "again", "handed")
TIMES = (*TOTALS, "first_pass", "delete", "build")
COUNTS = ("moved", "copied", "pickled")


def pin(cpu):
    """Keep the calling thread on a CPU; None leaves it free."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


@contextmanager
def unpinned(cpus):
    """For what starts threads: they inherit where their maker may run."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def collect_garbage(collecting):
    """Before a payload is built; see above."""
    gc.collect()
    if collecting:
        gc.enable()
    else:
        gc.disable()


# ---- the receiving interpreter ------------------------------------------------------------------

def serve(data, orders, answers, cpu, collecting):
    """Do orders, (function name, arguments), until there are no more."""
    pin(cpu)
    collect_garbage(collecting)
    try:
        for name, *args in orders:
            answers.send(_ORDERS[name](data, *args))
            collect_garbage(collecting)
    except BaseException:
        answers.close()  # the one who waits is to learn of it
        raise


def check(data, payload_name, size, _warm):
    """Whether what came is what was built, compared with one built here."""
    return data.recv() == PAYLOADS[payload_name].make(size)


def receive(data, payload_name, size, warm):
    """Nanoseconds of recv(), of a first pass over the tree, and of deleting it."""
    if warm:
        warm_tunnel(PAYLOADS[payload_name])
    began = perf_counter_ns()
    box = [data.recv()]
    took = perf_counter_ns() - began
    return [took, *use_up(box, PAYLOADS[payload_name].touch)]


def delete(data, _payload_name, _size, _warm):
    """Nanoseconds of deleting what comes, untouched."""
    tree = data.recv()
    began = perf_counter_ns()
    del tree
    return perf_counter_ns() - began


def own(data, payload_name, size, _warm):
    """The last two for a tree of this interpreter's own making."""
    payload = PAYLOADS[payload_name]
    return use_up([payload.make(size)], payload.touch)


def use_up(box, touch):
    """Nanoseconds of a pass over the tree in the box (None without touch) and of deleting it."""
    tree = box.pop()
    began = perf_counter_ns()
    if touch is not None:
        touch(tree)
    touched = perf_counter_ns()
    del tree
    return [touched - began if touch is not None else None, perf_counter_ns() - touched]


def get(data, payload_name, size, warm, queue_id):
    """Nanoseconds of get() from a queue of concurrent.interpreters."""
    if warm:
        warm_queue(PAYLOADS[payload_name])
    queue = interpreters.Queue(queue_id)
    began = perf_counter_ns()
    tree = queue.get()
    took = perf_counter_ns() - began
    if tree != PAYLOADS[payload_name].make(size):
        raise AssertionError(f"{payload_name}: the queue delivered something else")
    return took


def warm_tunnel(payload):
    tunnel = Tunnel()
    tunnel.send(payload.make(payload.warm_size))
    tunnel.recv()


def warm_queue(payload):
    queue = interpreters.create_queue()
    queue.put(payload.make(payload.warm_size))
    queue.get()


def warm_pickle(payload):
    pickle.loads(pickle.dumps(payload.make(payload.warm_size), 5))


_ORDERS = {"check": check, "receive": receive, "delete": delete, "own": own, "get": get}


# ---- the sending interpreter --------------------------------------------------------------------

class Link:
    """The way to a receiving interpreter: Link(cpu, collecting, warm); a context manager."""

    def __init__(self, cpu, collecting, warm):
        self.collecting = collecting
        self.warm = warm
        self._interpreter = Interpreter("receiver")
        self._data, self._orders, self._answers = Tunnel(), Tunnel(), Tunnel()
        self._served = self._interpreter.submit(serve, self._data, self._orders, self._answers,
                                                cpu, collecting)

    def order(self, what, payload, size, *more):
        """Have the receiver do something; its answer."""
        self._orders.send((what, payload.name, size, self.warm, *more))
        try:
            return self._answers.recv()
        except TunnelClosed:
            self._served.result()
            raise

    def check(self, payload, size):
        """Send once without timing, compare what arrives, warm everything up."""
        tree, kept = build(payload, size)
        self._data.send(tree)
        if not self.order("check", payload, size):
            raise AssertionError(f"{payload.name}: something else than was sent has arrived")
        if kept is not None and kept != payload.keep(payload.make(size)):
            raise AssertionError(f"{payload.name}: what the sender kept has changed")

    def measure_tunnel(self, payload, size):
        """Nanoseconds: {"send", "recv", "first_pass", "delete"} and what send() counted."""
        collect_garbage(self.collecting)
        tree, kept = build(payload, size)
        if self.warm:
            warm_tunnel(payload)
        began = perf_counter_ns()
        receipt = self._data.send(tree)
        send = perf_counter_ns() - began
        recv, first_pass, delete = self.order("receive", payload, size)
        return {"send": send, "recv": recv, "first_pass": first_pass, "delete": delete,
                "moved": receipt.moved, "copied": receipt.copied, "pickled": receipt.pickled}

    def measure_own(self, payload, size):
        """The receiver's time for a tree of its own."""
        first_pass, delete = self.order("own", payload, size)
        return {"first_pass": first_pass, "delete": delete}

    def measure_queue(self, payload, size):
        """A tree through a queue of concurrent.interpreters, to the receiver that takes the tunnel's as well."""
        collect_garbage(self.collecting)
        tree, _ = build(payload, size)
        queue = interpreters.create_queue()
        if self.warm:
            warm_queue(payload)
        began = perf_counter_ns()
        queue.put(tree)
        put = perf_counter_ns() - began
        return {"put": put, "get": self.order("get", payload, size, queue.id)}

    def send_to_delete(self, payload, size, tree):
        """Nanoseconds that the receiver took to delete the tree."""
        self._data.send(tree)
        return self.order("delete", payload, size)

    def close(self):
        self._orders.close()
        self._interpreter.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def measure_pickle(payload, size, collecting, warm):
    """Nanoseconds of a round trip within this interpreter: {"dumps", "loads", "bytes"}."""
    collect_garbage(collecting)
    tree, _ = build(payload, size)
    if warm:
        warm_pickle(payload)
    began = perf_counter_ns()
    data = pickle.dumps(tree, 5)
    dumped = perf_counter_ns()
    loaded = pickle.loads(data)
    done = perf_counter_ns()
    del loaded
    return {"dumps": dumped - began, "loads": done - dumped, "bytes": len(data)}


def measure_loop(payload, size, collecting, warm):
    """Nanoseconds of the walk in C that reads each object's refcount and type: {"look"}."""
    collect_garbage(collecting)
    tree, _ = build(payload, size)
    if warm:
        bareloop.look(payload.make(payload.warm_size))
    began = perf_counter_ns()
    bareloop.look(tree)
    return {"look": perf_counter_ns() - began}


def measure_again(payload, size, collecting, rounds=100):
    """Nanoseconds of send() and recv() in one interpreter, of one tree that goes round: {"again"},
    the median. What building it does to the caches is over by then."""
    collect_garbage(collecting)
    tree, _ = build(payload, size)
    tunnel, times = Tunnel(), []
    for _ in range(rounds):
        began = perf_counter_ns()
        tunnel.send(tree)
        tree = tunnel.recv()
        times.append(perf_counter_ns() - began)
    return {"again": median(times)}


def measure_handed(payload, size, collecting, warm):
    """Nanoseconds of put() and get() of queue.SimpleQueue, which hand over a pointer within this
    interpreter: {"handed"}. A fresh object each time, as for the tunnel."""
    collect_garbage(collecting)
    handed = queue.SimpleQueue()
    tree, _ = build(payload, size)
    if warm:
        other = queue.SimpleQueue()
        other.put(payload.make(payload.warm_size))
        other.get()
    began = perf_counter_ns()
    handed.put(tree)
    handed.get()
    return {"handed": perf_counter_ns() - began}


def build(payload, size):
    """A fresh tree and, where the case is about that, a list of references into it."""
    tree = payload.make(size)
    return tree, payload.keep(tree) if payload.keep is not None else None
