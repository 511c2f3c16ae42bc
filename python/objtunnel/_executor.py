"""InterpreterPoolExecutor: concurrent.futures' executor on interpreters with a GIL each.

All workers take their jobs from one tunnel and send their answers into another, which one thread of
the calling interpreter, the manager, reads (`_pool_worker.py` is the other side). A job is claimed by
a compare-and-exchange of its word in a shared array: by the worker that begins it, or by cancel().

Main invariant: a number stands in `_Pool.futures` until its future is settled, and the manager runs
as long as there is a worker; so every future is settled, also if a worker dies.
Threading: submit() takes no lock; `_Pool.lock` guards what changes seldom (workers, pages), and no
callback runs and nobody waits under it.
"""

import concurrent.futures
import concurrent.futures.thread
import contextlib
import functools
import itertools
import logging
import os
import sys
import threading
import time
import types
import warnings
import weakref
from collections import deque

from objtunnel import _core, _exit, _functions, _main, _setup
from objtunnel._core import LockingDict, SharedArray, Tunnel, start_worker
from objtunnel._errors import TunnelClosed, TunnelEmpty
from objtunnel._future import SETTLED, PoolFuture
from objtunnel._pool_worker import CANCELLED, CHUNK, PAGE, PLAIN, SHIFT
from objtunnel._worker import rename_path

_SMALL = 256  # larger ints are copied when they are sent
_BATCH = 512  # answers that are settled in one go
_AGAIN = 0.1  # seconds between two interrupts of a job that is to be killed
_LOOK = 0.5  # seconds between two looks at workers that may have died without a word


class BrokenInterpreterPool(concurrent.futures.thread.BrokenThreadPool):
    """An initializer failed, or a worker has died or was terminated: the pool is of no use any more."""


def _is_cancelled(exc_type):
    """Whether a task of asyncio ends so: by cancel(), or by Ctrl-C, which asyncio.run makes a cancel() of."""
    exceptions = sys.modules.get("asyncio.exceptions")
    return exceptions is not None and issubclass(exc_type, exceptions.CancelledError)


class InterpreterPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """Runs calls in a pool of interpreters that each have their own GIL.

    max_workers: how many interpreters at most (the standard library's default); they are started as
    they are needed. initializer(*initargs) runs first in each. A worker ends after max_tasks_per_child
    calls, and another one takes its place. strict=True: what would be copied raises
    SharedReferenceError instead.

    Arguments and results go by the tunnel's rule: what only the call can reach is moved, the rest is
    copied; `future.receipt` counts both. Otherwise it behaves as concurrent.futures' does.

    >>> with InterpreterPoolExecutor(2) as pool:
    ...     list(pool.map(pow, [2, 3], [5, 2]))
    [32, 9]
    """

    BROKEN = BrokenInterpreterPool
    _count = itertools.count()

    def __init__(self, max_workers=None, thread_name_prefix="", initializer=None, initargs=(), *,
                 max_tasks_per_child=None, strict=False):
        if max_workers is None:
            max_workers = min(32, (os.process_cpu_count() or 1) + 4)
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None and not isinstance(max_tasks_per_child, int):
            raise TypeError("max_tasks_per_child must be an integer")
        if max_tasks_per_child is not None and max_tasks_per_child <= 0:
            raise ValueError("max_tasks_per_child must be >= 1")
        if _main.is_running():
            raise RuntimeError(
                "an InterpreterPoolExecutor is being made while the script is run for another "
                "interpreter, which needs its names")
        self._max_workers = max_workers
        self._thread_name_prefix = (thread_name_prefix or
                                    f"InterpreterPoolExecutor-{next(self._count)}")
        self._pool = _Pool(max_workers, self._thread_name_prefix, initializer, initargs,
                           max_tasks_per_child or 0, bool(strict))
        self._finalizer = weakref.finalize(self, self._pool.close)
        self._finalizer.atexit = False

    def submit(self, fn, /, *args, **kwargs):
        """Schedule fn(*args, **kwargs); return a Future for its result.

        Raises RuntimeError after shutdown() and BrokenInterpreterPool if the pool is broken. The
        future raises TypeError if an argument cannot travel.
        """
        held = [kwargs, list(args)]
        del args, kwargs  # so that the list is all that refers to them
        return self._pool.submit(fn, held, 0)

    def map(self, fn, *iterables, timeout=None, chunksize=1, buffersize=None):
        """An iterator of fn's results, in the order of the arguments.

        timeout: seconds from now until the last result; TimeoutError after that. chunksize: how many
        calls make one job, for the price of one message. buffersize: how many jobs may be under way
        or done and not asked for yet; None collects all arguments at once.
        """
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1")
        end = None if timeout is None else time.monotonic() + timeout
        kind = CHUNK if chunksize > 1 else 0
        calls = _chunks(iterables, chunksize) if kind == CHUNK else _calls(iterables)
        first = calls if buffersize is None else itertools.islice(calls, buffersize)
        submit = self._pool.submit
        futures = deque(submit(fn, held, kind) for held in first)
        more = None if buffersize is None else (weakref.ref(self), fn, calls, kind)
        results = _results(futures, end, more)
        return itertools.chain.from_iterable(results) if kind == CHUNK else results

    def shutdown(self, wait=True, *, cancel_futures=False):
        """Take no more calls; do what was submitted (without what cancel_futures cancels), then end
        the interpreters; wait for that unless wait is false. Ctrl-C meanwhile interrupts the jobs."""
        self._pool.close(cancel_futures)
        if wait:
            self._pool.join()

    def terminate_workers(self):
        """Cancel what is queued and interrupt what runs (KeyboardInterrupt in the job); the futures
        of these jobs raise BrokenInterpreterPool at once, and the pool takes no more calls.

        A job that catches KeyboardInterrupt may go on. One inside C code ends when that returns: an
        interpreter cannot be killed.
        """
        self._pool.terminate("the workers were terminated")

    def kill_workers(self):
        """As terminate_workers(), but jobs are interrupted again and again until they have ended."""
        self._pool.terminate("the workers were killed", again=True)

    def __exit__(self, exc_type, exc_value, traceback):
        if exc_type is not None and issubclass(exc_type, KeyboardInterrupt):
            _exit.note_unwinding(exc_value)
            self._pool.abort()
        elif exc_type is not None and _is_cancelled(exc_type):
            self._pool.abort()
        else:
            self.shutdown(wait=True)
        return False

    def __reduce__(self):
        raise TypeError("an InterpreterPoolExecutor stays in the interpreter that made it: a job "
                        "cannot submit to its own pool")  # _pickling.py has the remedy

    # Names that CPython's tests of executors ask for.

    @property
    def _broken(self):
        return self._pool.broken

    @property
    def _shutdown(self):
        return self._pool.closed

    @property
    def _threads(self):
        return set(self._pool.members)


def _calls(iterables):
    """What _Pool.submit takes, for each call of map. Not by zip: that holds on to its last tuple."""
    iterators = [iter(iterable) for iterable in iterables]
    while iterators:
        held = [{}, []]
        for iterator in iterators:
            try:
                held[1].append(next(iterator))
            except StopIteration:
                return
        yield held


def _chunks(iterables, size):
    chunk = []
    for held in _calls(iterables):
        chunk.append(held.pop())
        if len(chunk) == size:
            held = [{}, chunk]
            chunk = []
            yield held
    if chunk:
        held = [{}, chunk]
        del chunk
        yield held


def _results(futures, end, more):
    """The results, one by one; `more` submits another call for each that is asked for."""
    try:
        while futures:
            if more is not None:
                executor, fn, calls, kind = more[0](), *more[1:]
                held = None if executor is None else next(calls, None)
                if held is not None:
                    futures.append(executor._pool.submit(fn, held, kind))
                del executor, held
            yield _take(futures, end)
    finally:
        for future in futures:
            future.cancel()


def _take(futures, end):
    future = futures.popleft()
    try:
        return future.result(None if end is None else max(0, end - time.monotonic()))
    finally:
        future.cancel()
        del future  # an exception's traceback would keep it


class _Member:
    """A worker as its pool sees it."""

    def __init__(self, worker, status):
        self.worker = worker
        self.status = status  # is closed when the interpreter has ended
        self.up = False


class _Pool:
    """An executor's jobs and workers. It outlives the executor as long as there are any."""

    def __init__(self, max_workers, prefix, initializer, initargs, max_tasks, strict):
        self.jobs, self.answers = Tunnel(), Tunnel()
        self._recv_aside = functools.partial(_core._recv_aside, self.answers)
        self.functions = LockingDict()  # number -> packed function, of those that go by name
        self.pages = LockingDict()  # number >> SHIFT -> SharedArray of words, one a job
        self.page_words = {}  # the same handles, for us
        self.known = {}  # function -> (its number, namespace, name)
        self.futures = {}  # number -> future, of jobs that are not settled
        self.members = {}  # number of a worker -> _Member
        self.leaving = []  # _Members that have said goodbye, but whose interpreter may still end
        self.broken = None  # why, as text
        self.closed = False
        self.watched = False  # somebody waits for the workers' ends and tells the manager of them
        self.killing = False  # the manager interrupts what runs, until nothing does
        self.lock = threading.Lock()
        self.manager = None
        self._rest = deque()  # the manager's: answers that have come, but are not settled
        self._numbers = itertools.count(1)
        self._limit = 0  # below this number pages exist
        self._max_workers = max_workers
        self._started = 0
        self.prefix = prefix
        self._strict = strict
        self._max_tasks = max_tasks
        self._path = list(sys.path)
        self._initializer = None
        if initializer is not None:
            self._initializer = (initializer, tuple(initargs))

    # ---- submitting

    def submit(self, fn, held, kind):
        """held: [keyword arguments, arguments], which it empties: the caller's frame must not be
        what else refers to them."""
        if self.closed or self.broken is not None or _exiting:
            self._refuse()
        number = next(self._numbers)
        if number >= self._limit:
            self._add_page(number)
        function = self._number_of(fn)
        box = held.pop()
        kwargs = held.pop()
        if function and not kwargs and not kind and PLAIN.issuperset(map(type, box)) and (
                not self._strict and sys.path == self._path):
            future = PoolFuture(self, number)
            if function > _SMALL:
                future._frame = function
            job = [number, function]
            job += box
            box = None  # nothing but the job refers to the arguments
            self._send(future, number, job)
            return future
        future = PoolFuture(self, number)
        names = tuple(kwargs)
        work = [function, box, kwargs, kind]
        path = [] if sys.path == self._path else [[o for o in sys.path if isinstance(o, str)]]
        work += path
        del box, kwargs
        try:
            function = work[0] = function or _functions.pack(fn)
            payload, receipt = self._pack(work)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # as the standard library: the future says so
            future._settle_error(error)
            return future
        future._frame = (function, names, kind, *path)
        self._send(future, number, [number, payload])
        future._sent = receipt
        return future

    def _refuse(self):
        if self.broken is not None and not self.closed:
            raise BrokenInterpreterPool(self.broken)
        after = "interpreter shutdown" if _exiting else "shutdown"
        raise RuntimeError(f"cannot schedule new futures after {after}")

    def _number_of(self, fn):
        """The number that workers know fn by, 0 if it does not go by name."""
        if type(fn) is not types.FunctionType and type(fn) is not types.BuiltinFunctionType:
            return 0
        entry = self.known.get(fn)
        if entry is not None and entry[1].get(entry[2]) is fn:
            return entry[0]
        module = sys.modules.get(getattr(fn, "__module__", None) or "")
        if module is None or vars(module).get(fn.__qualname__) is not fn:  # a method, say
            return 0
        packed = _functions.pack(fn)
        if packed[0] not in ("name", "script"):
            return 0
        with self.lock:
            entry = (len(self.known) + 1, vars(module), fn.__qualname__)
            if fn in self.known:  # another thread was faster, or its name was another one's meanwhile
                return self.known[fn][0]
            self.functions[entry[0]] = packed
            self.known[fn] = entry
        return entry[0]

    def _pack(self, work):
        payload = Tunnel()
        try:
            return payload, payload.send(work, strict=self._strict)
        except (TypeError, ValueError) as error:
            rename_path(error, {"$[0][1]": "the function", "$[1]": "args", "$[2]": "kwargs"})
            raise

    def _send(self, future, number, job):
        self.futures[number] = future
        try:
            future._sent = self.jobs.send(job)
        except BaseException as error:
            self.futures.pop(number, None)
            if isinstance(error, TunnelClosed):
                self._refuse()
            raise
        if len(self.futures) > self._started < self._max_workers:
            self._start_member()
        if self.broken is not None and self.claim(number, CANCELLED):  # it broke meanwhile
            self.futures.pop(number, None)
            future._settle_error(BrokenInterpreterPool(self.broken))

    def _add_page(self, number):
        with self.lock:
            while number >= self._limit:
                page = self._limit >> SHIFT
                self.page_words[page] = words = SharedArray("q", PAGE)
                self.pages[page] = words
                self._limit += PAGE
            try:
                oldest = next(iter(self.futures), number)
            except RuntimeError:  # another thread settled or added one just now
                return
            for page in [page for page in self.page_words if page < oldest >> SHIFT]:
                del self.page_words[page]
                self.pages.pop(page, None)

    def claim(self, number, who):
        """Whether the job had not begun, and is who's from now on."""
        words = self.page_words.get(number >> SHIFT)
        return words is not None and words.compare_exchange(number & PAGE - 1, 0, who)

    def owner(self, number):
        words = self.page_words.get(number >> SHIFT)
        return 0 if words is None else words[number & PAGE - 1]

    # ---- workers

    def _start_member(self):
        with self.lock:
            if self._started >= self._max_workers or self.broken is not None:
                return
            self._started += 1
            try:
                self._add_member()
            except BaseException:
                self._started -= 1
                raise
            if self.manager is None:
                _register_fork()
                _pools.add(self)
                self.manager = threading.Thread(target=self._serve, name=f"{self.prefix}-manager")
                self.manager.start()
        self._wake()

    def _add_member(self):
        index = next(_indices)
        inbox, status = Tunnel(), Tunnel()
        first = None
        if self._initializer is not None:
            first = [_functions.pack(self._initializer[0]), list(self._initializer[1])]
        payload = Tunnel()
        payload.send(first)
        inbox.send([_setup.describe(), index, self.jobs, self.answers, self.functions, self.pages,
                    payload, self._max_tasks, self._strict])
        name = f"{self.prefix}_{self._started - 1}"
        worker = start_worker(name, self._path, inbox, status)
        self.members[index] = _Member(worker, status)

    def _wake(self):
        self.answers.send([0])

    # ---- the manager

    def _serve(self):
        global_pools = _pools
        try:
            while self.members or not self.jobs.closed:
                self._settle(self._take())
        except BaseException as error:  # MemoryError, say: nobody waits for ever
            self._break(f"the pool's manager failed: {error!r}", everything=True)
            self.leaving += self.members.values()
            self.members.clear()
            raise
        finally:
            global_pools.discard(self)

    def _take(self, timeout=None):
        """The answers that are there; waits for the first one."""
        recv = self.answers.recv
        if timeout is None and self.killing:
            timeout = _AGAIN
        elif timeout is None and not self.watched and (self.futures or self.closed or not all(
                m.up for m in list(self.members.values()))):
            timeout = _LOOK
            recv = self._recv_aside
        try:
            batch = [recv(timeout)]
        except TunnelEmpty:
            self._look_for_dead()
            if self.killing:
                self._interrupt()
            return []
        more = self.answers.recv_nowait
        try:
            while len(batch) < _BATCH:
                batch.append(more())
        except TunnelEmpty:
            pass
        return batch

    def _settle(self, batch):
        """A number whose future nobody has looked at yet is settled by two stores, see _future.py."""
        rest, done = [], []
        pop = self.futures.pop
        with SETTLED:
            for answer in batch:
                if len(answer) != 2:
                    rest.append(answer)
                    continue
                future = pop(answer[0], None)
                if future is None:  # cancelled by _break
                    continue
                done.append(future)  # lives on until the lock is free again
                if future.__dict__.setdefault("_condition", SETTLED) is SETTLED:
                    future._result = answer[1]
                    future._state = "FINISHED"
                else:
                    rest.append((future, answer[1]))
        batch.clear()
        done.clear()
        self._rest.extend(rest)
        rest.clear()
        while self._rest:
            self._settle_one(self._rest.popleft())

    def _settle_one(self, answer):
        if type(answer) is tuple:
            future, settle, what = answer[0], answer[0]._settle_result, answer[1]
        elif answer[0] > 0:
            future = self.futures.pop(answer[0], None)
            if future is None:
                return
            settle, what = future._open, answer
        else:
            if answer[0]:
                self._hear(-answer[0], answer[1], answer[2])
            return
        try:
            settle(what)
        except BaseException:  # SystemExit of a callback, say: others wait for this thread
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), self.manager)))

    def serve_until(self, future, timeout):
        """A callback waits for another future: the manager goes on with its work meanwhile."""
        end = None if timeout is None else time.monotonic() + timeout
        while not future.done() and (end is None or time.monotonic() < end):
            if self._rest:
                self._settle_one(self._rest.popleft())
            else:
                self._settle(self._take(0.01))

    def _hear(self, index, what, text):
        if what == "up":
            with contextlib.suppress(TunnelEmpty, TunnelClosed):
                self.members[index].status.recv_nowait()  # its only message
            self.members[index].up = True
            return
        member = self.members.pop(index, None)
        if member is None:
            return
        if what == "ended":  # and its last words would have come before this
            what, text = "died", member.worker.error or "for no known reason"
        self.leaving = [m for m in self.leaving if not m.status.closed] + [member]
        if what == "initializer":
            logging.getLogger("concurrent.futures").critical("Exception in initializer:\n%s", text)
            self._break("A thread initializer failed, the thread pool is not usable anymore")
        elif what == "died":
            self._break(f"a worker has ended abruptly: {text}", lost=index)
        elif what == "tasks":
            self._replace()

    def _replace(self):
        """A worker has done its share."""
        with self.lock:
            self._started -= 1
        if len(self.futures) > self._started:
            try:
                self._start_member()
            except Exception as error:
                if not self.members:
                    self._break(f"another worker could not be started: {error}")

    def _look_for_dead(self):
        ended = [(i, m) for i, m in list(self.members.items()) if m.status.closed]
        if ended and self.answers.empty():
            for index, member in ended:
                self._hear(index, "died", member.worker.error or "for no known reason")

    def _break(self, why, lost=None, everything=False):
        """Jobs that have not begun, and the one that the worker `lost` was at, raise BrokenInterpreterPool."""
        self.broken = why
        for number, future in list(self.futures.items()):
            if self.claim(number, CANCELLED) or everything or self.owner(number) == lost:
                if self.futures.pop(number, None) is not None:
                    future._settle_error(BrokenInterpreterPool(why))
        self.jobs.close(immediate=True)

    # ---- the end

    def close(self, cancel_futures=False):
        """No more jobs; also the finaliser of the executor, so it takes no lock."""
        self.closed = True
        if cancel_futures:
            for future in list(self.futures.values()):
                future.cancel()
        self.jobs.close()
        if self.manager is not None:
            self._wake()

    def join(self):
        """Wait until all is settled and all interpreters have ended."""
        manager = self.manager
        if manager is None or manager is threading.current_thread():
            return
        try:
            self._wait_for_workers()
            manager.join()
            self._wait_for_interpreters(None)
        except KeyboardInterrupt:
            self.abort(_exit.grace() if _exiting else _exit.GRACE)
            raise

    def _wait_for_workers(self):
        """Wait until all workers have ended. Once everything else in the process waits, jobs that wait in tunnels are
        woken, as Interpreter.close() does; the manager counts as waiting, for nobody needs its look at the workers."""
        self.watched = True
        self._wake()
        while self.members and self.manager.is_alive():
            for index, member in list(self.members.items()):
                while not member.up and not member.status.closed:
                    time.sleep(0.005)  # until the manager knows; it is about to start
                member.worker.wait_for_end(member.status)
                self.answers.send([-index, "ended", None])
                while index in self.members and self.manager.is_alive():
                    time.sleep(0.001)  # until the manager has heard that; another one may take its place

    def _wait_for_interpreters(self, end):
        while self.leaving:
            member = self.leaving[-1]
            try:
                while True:  # one message, when it is up
                    member.status.recv(None if end is None else max(0, end - time.monotonic()))
            except TunnelClosed:
                self.leaving = [m for m in self.leaving if m is not member]

    def abort(self, seconds=_exit.GRACE):
        """Ctrl-C: drop what is queued, interrupt what runs; wait a little. Whether all has ended."""
        self.close(cancel_futures=True)
        self.watched = False
        self._wake()
        self._interrupt()
        end = time.monotonic() + seconds
        manager = self.manager
        while manager is not None and manager.is_alive():
            manager.join(0.2)
            if time.monotonic() > end:
                return False
            self._interrupt()  # a job may have begun, or have swallowed the first one
        try:
            self._wait_for_interpreters(end)
        except TunnelEmpty:
            return False
        return True

    def _interrupt(self):
        for member in list(self.members.values()):
            member.worker.interrupt(0)

    def terminate(self, why, again=False):
        self.killing |= again
        self.close(cancel_futures=True)
        self.broken = why
        for number, future in list(self.futures.items()):
            if self.futures.pop(number, None) is not None:
                future._settle_error(BrokenInterpreterPool(self.broken))
        self._interrupt()


# ---- the interpreter's exit ---------------------------------------------------------------------

_indices = itertools.count(1)  # of workers
_pools = set()  # whose manager runs
_exiting = False


def _finish():
    """Before the interpreter waits for its threads: as the standard library, finish what was
    submitted; but not if Ctrl-C is what ends the program."""
    global _exiting
    _exiting = True
    interrupted = _exit.by_ctrl_c()
    stuck = False
    for pool in list(_pools):
        pool.close(cancel_futures=interrupted)
    for pool in list(_pools):
        if not interrupted:
            try:
                pool.join()
                continue
            except KeyboardInterrupt:
                interrupted = True
                _exit.note_ctrl_c()
        stuck |= not pool.abort(_exit.grace())
    if stuck:
        _exit.die(f"a job did not end within {_exit.GRACE:.0f} s after Ctrl-C (it is inside C code); "
                  f"the process ends without it")


def _before_fork():
    if any(pool.members or pool.leaving for pool in list(_pools)):
        warnings.warn("os.fork() while an InterpreterPoolExecutor has workers crashes the child in CPython itself: shut it "
                      "down first, or use the spawn start method", RuntimeWarning, stacklevel=2)


def _after_fork():
    """In the child: no manager runs there, and its interpreters are gone."""
    _pools.clear()


@functools.cache
def _register_fork():
    """At the first pool, not at the import: what an interpreter has registered to be called at a fork stays behind
    when it ends."""
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


_exit.at_end(_finish)
