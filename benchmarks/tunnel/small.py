"""Small messages: round trips one at a time, and as many as possible one way, through the tunnel
and its peers. The other end is an interpreter for the tunnel and for concurrent.interpreters, a
thread under the same GIL for queue.SimpleQueue, a process for pipes (this file, run as a
program).
"""

import os
import pickle
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter_ns

from objtunnel import Interpreter, Tunnel

from measure import interpreters, pin

_STOP = ...  # not None, which is a message here; the same object in all interpreters


def echo(receive, send, cpu):
    """The other end: send back what comes; after a tuple ("count", n), count n messages instead."""
    pin(cpu)
    while (message := receive()) is not _STOP:
        if type(message) is tuple:
            for _ in range(message[1]):
                if receive() is _STOP:
                    return  # interrupted at the other end
        send(message)


def ping_lists(send, receive, rounds):
    """Nanoseconds of each of so many round trips of a small list."""
    times = []
    for i in range(rounds):
        began = perf_counter_ns()
        send(["ping", i, 0.5])
        receive()
        times.append(perf_counter_ns() - began)
    return times


def ping_none(send, receive, rounds):
    """Nanoseconds of each of so many round trips of None, the empty message."""
    times = []
    for _ in range(rounds):
        began = perf_counter_ns()
        send(None)
        receive()
        times.append(perf_counter_ns() - began)
    return times


def stream_lists(send, receive, count):
    """Nanoseconds from the first of so many messages until the other end has had them all."""
    send(("count", count))
    began = perf_counter_ns()
    for i in range(count):
        send(["item", i, 0.5])
    receive()
    return perf_counter_ns() - began


def stream_none(send, receive, count):
    """Nanoseconds from the first of so many empty messages until the other end has had them all."""
    send(("count", count))
    began = perf_counter_ns()
    for _ in range(count):
        send(None)
    receive()
    return perf_counter_ns() - began


def stream_unreceived(send, receive, count):
    """Nanoseconds of sending so many messages while nobody receives, and so disturbs the sender."""
    began = perf_counter_ns()
    for i in range(count):
        send(["item", i, 0.5])
    took = perf_counter_ns() - began
    receive_all(receive, count)
    return took


def stream_backlog(send, receive, count):
    """Nanoseconds of receiving so many messages that are there already."""
    for i in range(count):
        send(["item", i, 0.5])
    return receive_all(receive, count)


def receive_all(receive, count):
    began = perf_counter_ns()
    for _ in range(count):
        receive()
    return perf_counter_ns() - began


def stream_nowhere(send, receive, count):
    """Making the lists, without sending them."""
    began = perf_counter_ns()
    for i in range(count):
        _ = ["item", i, 0.5]
    return perf_counter_ns() - began


# ---- ways ---------------------------------------------------------------------------------------

@contextmanager
def tunnel(cpu, maxsize=0):
    there, back = Tunnel(maxsize), Tunnel()
    with Interpreter("echo") as other:
        done = other.submit(echo_tunnel, there, back, cpu)
        try:
            yield there.send, back.recv
        finally:
            there.send(_STOP)
        done.result()


def bounded_tunnel(cpu):
    return tunnel(cpu, maxsize=1024)


def echo_tunnel(there, back, cpu):
    echo(there.recv, back.send, cpu)


@contextmanager
def interpreters_queue(cpu):
    there, back = interpreters.create_queue(), interpreters.create_queue()
    with Interpreter("echo") as other:
        done = other.submit(echo_interpreters_queue, there.id, back.id, cpu)
        try:
            yield there.put, back.get
        finally:
            there.put(_STOP)
        done.result()


def echo_interpreters_queue(there, back, cpu):
    echo(interpreters.Queue(there).get, interpreters.Queue(back).put, cpu)


@contextmanager
def nobody(cpu):
    """A tunnel with both ends here."""
    tunnel = Tunnel()
    yield tunnel.send, tunnel.recv


@contextmanager
def thread_queue(cpu):
    there, back = queue.SimpleQueue(), queue.SimpleQueue()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(echo, there.get, back.put, cpu)
        try:
            yield there.put, back.get
        finally:
            there.put(_STOP)
        done.result()


@contextmanager
def process_pipes(cpu):
    """What multiprocessing.Pipe does, without its bookkeeping: pickles through two pipes."""
    command = [sys.executable, os.path.abspath(__file__), "" if cpu is None else str(cpu)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        receive, send = pickled(process.stdout, process.stdin)
        yield send, receive
    # Leaving the with block has closed the pipes, which ends the process.
    if process.returncode:
        raise RuntimeError(f"the echoing process ended with status {process.returncode}")


def pickled(source, sink):
    """receive() and send() over two binary files."""
    def send(message):
        sink.write(pickle.dumps(message, 5))
        sink.flush()

    def receive():
        try:
            return pickle.load(source)
        except EOFError:
            return _STOP
    return receive, send


@contextmanager
def pinned(way, cpus, near, far):
    """The way opened, its other end on CPU far, the caller on CPU near until it is closed."""
    with way(far) as ends:
        pin(near)
        try:
            yield ends
        finally:
            os.sched_setaffinity(0, cpus)


# name -> (way, what is timed, share of the rounds that it gets: some take a thousand times longer)
PING_PONG_WAYS = {"Tunnel()": (tunnel, ping_lists, 1),
                  "Tunnel(), None": (tunnel, ping_none, 1),
                  "thread, SimpleQueue": (thread_queue, ping_lists, 1),
                  "process, pickles over pipes": (process_pipes, ping_lists, 1)}
THROUGHPUT_WAYS = {"Tunnel()": (tunnel, stream_lists, 1),
                   "Tunnel(maxsize=1024)": (bounded_tunnel, stream_lists, 1),
                   "Tunnel(), None": (tunnel, stream_none, 1),
                   "Tunnel(maxsize=1024), None": (bounded_tunnel, stream_none, 1),
                   "of that: making the lists": (nobody, stream_nowhere, 1),
                   "of that: and sending, unreceived": (nobody, stream_unreceived, 1),
                   "of that: receiving what is there": (nobody, stream_backlog, 1),
                   "thread, SimpleQueue": (thread_queue, stream_lists, 1),
                   "process, pickles over pipes": (process_pipes, stream_lists, 1)}
if interpreters is not None:
    PING_PONG_WAYS["concurrent.interpreters.Queue"] = (interpreters_queue, ping_lists, 0.01)
    THROUGHPUT_WAYS["concurrent.interpreters.Queue"] = (interpreters_queue, stream_lists, 0.01)


if __name__ == "__main__":
    echo(*pickled(sys.stdin.buffer, sys.stdout.buffer), int(sys.argv[1]) if sys.argv[1] else None)
