"""Tunnel(maxbytes=...): what waits is limited by its size."""

import array
import asyncio
import queue
import random
import sys
import threading
import time
from dataclasses import dataclass

import pytest

import async_users
from objtunnel import Box, Interpreter, Tunnel, TunnelClosed, TunnelFull, TunnelSendTimeout

MB = 1_000_000
EMPTY = b""


def weigh(tree):
    t = Tunnel(maxbytes=10**12)
    t.put(tree)
    bytes_ = t.qbytes()
    assert t.recv() is not None or tree is None
    assert t.qbytes() == 0
    return bytes_


def sizes(tree, seen=None):
    """What must be counted, of containers of the standard kinds."""
    seen = {} if seen is None else seen
    if tree is None or isinstance(tree, bool) or type(tree) is int and -5 <= tree < 256 or id(tree) in seen:
        return 0
    if type(tree) is str and len(tree) < 2 or tree == () or tree is EMPTY:
        return 0
    seen[id(tree)] = tree
    inner = [*tree, *tree.values()] if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple, set, frozenset)) else ()
    return sys.getsizeof(tree) + sum(sizes(x, seen) for x in inner)


name = "a name that two refer to"


@pytest.mark.parametrize("make", [
    lambda: [n / 7 for n in range(1000)],
    lambda: [{"its name": f"row {n}", "its values": [n + 0.5, n * 10**20], "t": (n, None, b"bytes" * n)} for n in range(100)],
    lambda: {f"key {n}": {n, n + 5000, f"text {n}"} for n in range(100)},
    lambda: [name, name, [name, (name,)], bytearray(b"x" * 1000), bytearray(), "\u00e4\u20ac" * 500, "\U0001f600" * 100],
    lambda: [frozenset(range(3000, 3100)), 3.5j, 2**500, -1, 7, None, True, "", b"", (), []],
    lambda: b"x" * MB, lambda: "a text", lambda: 1.5, lambda: (1.5, [2.5]),
], ids=range(9))
def test_each_object_counts_once_as_getsizeof_has_it(make):
    tree = make()
    assert weigh(tree) == sizes(tree) > 0


def test_what_everybody_has_counts_nothing():
    for tree in (None, 5, True, (), "x"):
        assert weigh(tree) == 0
    empty = sys.getsizeof([0, 0])
    for tree in ([int, len], [threading, Tunnel], [Box([bytes(MB)]), Tunnel()], [pytest.fail, json_like]):
        assert 0 < weigh(tree) <= empty + 500  # a pickle of names


def json_like():
    pass


@dataclass
class Point:
    x: float
    y: float
    text: str


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a

    def __sizeof__(self):
        raise AssertionError("nobody asks")


class Pickled:
    def __init__(self, n):
        self.n = n

    def __reduce__(self):
        return bytes, (b"x" * self.n,)


def test_instances_arrays_and_pickles():
    points = [Point(n + 0.5, n + 1.5, f"text {n}" * 10) for n in range(100)]
    assert 100 * (2 * 24 + 100) < weigh(points) < 100 * 500
    assert MB < weigh([Slotted(bytes(MB))]) < MB + 500
    assert MB < weigh([Pickled(MB)]) < MB + 500
    for value in (array.array("d", [0.5]) * (MB // 8), bytearray(MB), memoryview(bytes(MB))):
        assert MB <= weigh([value]) < MB * 1.2 + 500
    text = "t" * MB
    assert MB < weigh([text, {"a": text}, [text] * 5]) < MB + 1000


def test_an_array_of_numpy():
    numpy = pytest.importorskip("numpy", reason="no NumPy: make check-numpy installs it")
    frame = numpy.zeros((100, 200, 50), "u1")
    assert MB <= weigh([frame]) < MB + 500
    assert MB <= weigh([frame.T, frame[:1]]) < MB + 50_000


def test_a_message_that_does_not_fit_is_refused_or_waited_for():
    t = Tunnel(maxbytes=2 * MB + MB // 2)
    assert t.maxbytes == 2 * MB + MB // 2 and t.maxsize == 0 and "maxbytes 2500000>" in repr(t)
    t.send([bytes(MB)])
    t.put([bytes(MB)])
    inner = bytes(MB)
    tree = [inner, {"a": [1.5]}]
    for refuse in (lambda: t.send_nowait(tree), lambda: t.put_nowait(tree), lambda: t.put(tree, block=False)):
        with pytest.raises(TunnelFull) as caught:
            refuse()
        assert isinstance(caught.value, queue.Full)
    with pytest.raises(TunnelSendTimeout):
        t.send(tree, timeout=0.02)
    assert tree == [inner, {"a": [1.5]}] and tree[0] is inner and t.qsize() == 2 and not t.full()
    assert 2 * MB < t.qbytes() < 2 * MB + 1000
    t.send_nowait(["small"])
    del inner
    sender = threading.Thread(target=t.send, args=(tree,))
    sender.start()
    time.sleep(0.05)
    assert t.qsize() == 3
    assert t.recv() == [bytes(MB)]
    sender.join()
    assert tree == [] and t.qsize() == 3
    assert t.recv() == [bytes(MB)] and t.recv() == ["small"] and t.recv() == [bytes(MB), {"a": [1.5]}]


def test_a_larger_one_passes_alone():
    t = Tunnel(maxbytes=1000)
    t.send([bytes(MB)])
    assert t.full()
    with pytest.raises(TunnelFull):
        t.send_nowait([1.5])
    with pytest.raises(TunnelFull):
        t.send_nowait(None)
    assert t.recv() == [bytes(MB)]
    t.send_nowait([1.5])
    with pytest.raises(TunnelFull):
        t.send_nowait([bytes(MB)])
    assert t.recv() == [1.5] and t.qbytes() == 0


def test_other_limits():
    assert Tunnel(maxbytes=-1).maxbytes == 0 == Tunnel().maxbytes
    t = Tunnel()
    t.send([bytes(MB)])
    assert t.qbytes() == 0 and not t.full()
    both = Tunnel(2, 10 * MB)
    both.send(1)
    both.send(2)
    assert both.full()
    with pytest.raises(TunnelFull):
        both.send_nowait(3)
    with pytest.raises(TypeError):
        Tunnel(maxbytes="x")


class Unloadable:
    def __reduce__(self):
        return fail, ()


def fail():
    raise LookupError("not here")


def test_a_message_that_comes_back_counts_again():
    t = Tunnel(maxbytes=MB)
    t.send([Unloadable(), bytes(MB // 2)])
    before = t.qbytes()
    with pytest.raises(LookupError):
        t.recv()
    assert t.qbytes() == before > MB // 2
    t.discard()
    assert t.qbytes() == 0
    t.send([bytes(MB // 2)])
    t.close(immediate=True)
    assert t.qbytes() == 0


def test_an_error_gives_the_room_back():
    t = Tunnel(maxbytes=MB)
    with pytest.raises(TypeError):
        t.send([bytes(MB // 2), (n for n in ())])
    assert t.qbytes() == 0
    t.send_nowait([bytes(MB - 1000)])


def test_close_wakes_who_waits_for_room():
    t = Tunnel(maxbytes=1000)
    t.send([bytes(MB)])
    errors, trees = [], [[bytes(MB)] for _ in range(3)]

    def send(tree):
        try:
            t.send(tree)
        except TunnelClosed as error:
            errors.append(error)

    threads = [threading.Thread(target=send, args=(tree,)) for tree in trees]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    t.close()
    for thread in threads:
        thread.join()
    assert len(errors) == 3 and trees == [[bytes(MB)]] * 3


def test_who_sends_much_is_not_overtaken_for_ever():
    """Small messages always fit; a large one gets its turn all the same."""
    t, stop, sent = Tunnel(maxbytes=100_000), threading.Event(), threading.Event()

    def send_small():
        while not stop.is_set():
            t.send([bytes(30_000)])

    def send_large():
        t.send(["large", bytes(95_000)])
        sent.set()

    threads = [threading.Thread(target=send_small) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.02)
    threads.append(threading.Thread(target=send_large))
    threads[-1].start()
    large = 0
    for _ in range(2000):
        large += t.recv()[0] == "large"
        if sent.is_set():
            break
    assert sent.is_set()
    stop.set()
    while any(thread.is_alive() for thread in threads) or t.qsize():
        try:
            large += t.recv(timeout=0.01)[0] == "large"
        except queue.Empty:
            pass
    assert large == 1


def test_between_interpreters():
    """Senders end before their rows are used."""
    t = Tunnel(maxbytes=5_000)
    rows, most = [], 0
    with Interpreter() as a, Interpreter() as b:
        jobs = [w.submit(async_users.send_rows, t, n, 300) for w, n in ((a, 0), (b, 300))]
        while t.empty():  # or a quick receiver would never see one wait
            time.sleep(0.001)
        while len(rows) < 590:
            most = max(most, t.qbytes())
            rows.append(t.recv())
        for job in jobs:
            job.result()
    assert 0 < most <= 5_000
    rows += [t.recv() for _ in range(10)]
    rows.sort(key=lambda row: row[0])
    for i, row in enumerate(rows):
        async_users.check_row(row, i)
    assert t.qbytes() == 0


def test_random_sizes(fast_switching):
    rng = random.Random(7)
    t, got, limit = Tunnel(maxsize=6, maxbytes=20_000), [], 20_000
    work = [[(s, n, rng.choice([10, 1000, 5000, 15_000, 40_000])) for n in range(150)] for s in range(4)]

    def send(items):
        for s, n, size in items:
            tree = [s, n, bytearray(size)]
            if n % 3 == 0:
                try:
                    t.send(tree, timeout=0.0005)
                    continue
                except TunnelSendTimeout:
                    assert tree == [s, n, bytearray(size)]
            t.send(tree)

    threads = [threading.Thread(target=send, args=(items,)) for items in work]
    for thread in threads:
        thread.start()
    while len(got) < 600:
        waiting, messages = t.qbytes(), t.qsize()
        assert waiting <= limit or messages <= 2 or waiting > 40_000
        got.append(t.recv())
    for thread in threads:
        thread.join()
    assert sorted((s, n, len(data)) for s, n, data in got) == sorted(sum(work, []))
    assert [n for s, n, _ in got if s == 1] == list(range(150)) and t.qbytes() == 0


def test_coroutines_wait_for_room():
    async def main():
        t = Tunnel(maxbytes=100_000)
        await t.send_async([bytes(60_000)])
        trees = [[n, bytes(n)] for n in (90_000, 10_000, 150_000, 20_000)]
        tasks = [asyncio.create_task(t.send_async(tree)) for tree in trees]
        await asyncio.sleep(0.01)
        assert t.qsize() == 3 and [len(tree) for tree in trees] == [2, 0, 2, 0]  # no thread waits: who fits goes
        before = time.thread_time()
        await asyncio.sleep(0.5)
        assert time.thread_time() - before < 0.1  # nobody goes round in circles
        got = []
        while len(got) < 5:
            got.append(len((await t.recv_async(timeout=5))[-1]))
            await asyncio.sleep(0.001)
        assert sorted(got) == [10_000, 20_000, 60_000, 90_000, 150_000]
        await asyncio.gather(*tasks)
        tree = [bytes(200_000)]
        await t.send_async([1.5])
        with pytest.raises(TunnelSendTimeout):
            await t.send_async(tree, timeout=0.02)
        assert tree == [bytes(200_000)]

    asyncio.run(main())
