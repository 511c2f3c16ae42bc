"""Frames of a video, (1080, 1920, 3) bytes, from a producer to a consumer that looks at each.

Each way: run(n) has the producer make n frames (each a copy of a picture) and returns the seconds until the consumer has
had all of them; close(). At most QUEUED are under way. The consumer is another interpreter or another process.
"""

import multiprocessing
import pickle
import time

from objtunnel import Interpreter, Tunnel

ITEMS, SMALL = 300, 6
QUEUED = 4
SHAPE = (1080, 1920, 3)


def picture():
    import numpy
    return numpy.arange(SHAPE[0] * SHAPE[1] * SHAPE[2], dtype="u4").astype("u1").reshape(SHAPE)


def look(frame):
    """What the consumer does with a frame: reads its corners."""
    last = SHAPE[0] - 1, SHAPE[1] - 1, SHAPE[2] - 1
    return int(frame[0, 0, 0]) + int(frame[last])


# ---- consumers -----------------------------------------------------------------------------------

def consume_tunnel(frames, done):
    total = 0
    for message in frames:
        if message is None:
            done.send(total)
            total = 0
        else:
            total += look(message.pop())


def consume_pickles(connection, done):
    """A pickle of protocol 5, then the buffers that it leaves out."""
    total = 0
    while (message := connection.recv_bytes()) != b"end":
        if message == b"done":
            done.send(total)
            total = 0
        else:
            total += look(pickle.loads(message, buffers=[connection.recv_bytes()]))


def consume_shared(connection, done, name):
    """Numbers of slots in a shared memory; each is sent back when it may be written to again."""
    import numpy
    from multiprocessing import shared_memory
    memory = shared_memory.SharedMemory(name)
    slots = numpy.ndarray((QUEUED, *SHAPE), "u1", memory.buf)
    total = 0
    while (slot := connection.recv()) is not None:
        if slot == "done":
            done.send(total)
            total = 0
        else:
            total += look(slots[slot])
            connection.send(slot)
    del slots
    memory.close()


# ---- ways ----------------------------------------------------------------------------------------

class _Way:
    def __init__(self):
        self.picture = picture()

    def run(self, n):
        begin = time.perf_counter()
        total = self._send(n)
        seconds = time.perf_counter() - begin
        if total != n * look(self.picture):
            raise AssertionError("other frames have come")
        return seconds


class Moved(_Way):
    def __init__(self):
        super().__init__()
        self.frames, self.done = Tunnel(maxsize=QUEUED), Tunnel()
        self.interpreter = Interpreter("consumer")
        self.job = self.interpreter.submit(consume_tunnel, self.frames, self.done)

    def _send(self, n):
        for _ in range(n):
            self.frames.send([self.picture.copy()])
        self.frames.send(None)
        return self.done.recv()

    def close(self):
        self.frames.close()
        self.job.result()
        self.interpreter.close()


class _Process(_Way):
    def __init__(self, target, *more):
        super().__init__()
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.done, told = context.Pipe(duplex=False)
        self.process = context.Process(target=target, args=(theirs, told, *more))
        self.process.start()

    def close(self):
        self.process.join()
        if self.process.exitcode:
            raise AssertionError(f"the consumer has failed: {self.process.exitcode}")


class Pickled(_Process):
    """The pipe bounds what is under way."""

    def __init__(self):
        super().__init__(consume_pickles)

    def _send(self, n):
        for _ in range(n):
            buffers = []
            self.connection.send_bytes(pickle.dumps(self.picture.copy(), 5, buffer_callback=buffers.append))
            self.connection.send_bytes(buffers[0].raw())
        self.connection.send_bytes(b"done")
        return self.done.recv()

    def close(self):
        self.connection.send_bytes(b"end")
        super().close()


class Shared(_Process):
    """The producer's copy goes right into the shared memory: one copy, as for the tunnel."""

    def __init__(self):
        import numpy
        from multiprocessing import shared_memory
        self.memory = shared_memory.SharedMemory(create=True, size=QUEUED * SHAPE[0] * SHAPE[1] * SHAPE[2])
        self.slots = numpy.ndarray((QUEUED, *SHAPE), "u1", self.memory.buf)
        super().__init__(consume_shared, self.memory.name)

    def _send(self, n):
        free = list(range(QUEUED))
        for _ in range(n):
            slot = free.pop() if free else self.connection.recv()
            self.slots[slot] = self.picture
            self.connection.send(slot)
        for _ in range(QUEUED - len(free)):
            self.connection.recv()
        self.connection.send("done")
        return self.done.recv()

    def close(self):
        self.connection.send(None)
        super().close()
        del self.slots
        self.memory.close()
        self.memory.unlink()


class Made(_Way):
    """Nothing is handed over: what making the frames takes, which is part of each way."""

    def _send(self, n):
        return sum(look(self.picture.copy()) for _ in range(n))

    def close(self):
        pass


WAYS = {"tunnel": Moved, "pickle 5, buffers out of band": Pickled, "multiprocessing.shared_memory": Shared, "made only": Made}
