"""What runs calls beside a test: an interpreter. On free-threaded builds, which have none, a thread.

`Worker` is objtunnel.Interpreter, or a class with those of its methods that the tests of shared objects use. A test that
needs an interpreter, because it ends one or counts on its own modules, uses Interpreter itself, and is skipped there.

Invariant: a worker's calls run one after the other, in one thread.
"""

import concurrent.futures

import objtunnel
from objtunnel import _core

FREE_THREADED = hasattr(_core, "rebias")


class ThreadWorker:
    """A thread. Arguments and results are passed on as they are."""

    id = 0  # the interpreter's: there is no other one

    def __init__(self):
        self._pool = concurrent.futures.ThreadPoolExecutor(1)

    def submit(self, fn, /, *args):
        return self._pool.submit(fn, *args)

    def call(self, fn, /, *args):
        return self.submit(fn, *args).result()

    def close(self):
        """Returns when the thread has ended."""
        self._pool.shutdown()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


Worker = ThreadWorker if FREE_THREADED else objtunnel.Interpreter
