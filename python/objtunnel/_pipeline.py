"""pipeline(): an iterable through stages that run in interpreters of their own.

A thread of the caller sends what the source gives into the first tunnel, as [number, item]. Each stage takes from one
tunnel and sends into the next; all are bounded, so that who is ahead waits. The last tunnel is the consumer's.

Order: interpreters that share a stage finish their items in any order. So the stages are grouped into sections. Where a
section begins (the source, or a generator function) the items get numbers; where it ends (a generator function, or the
consumer) they are put in order again. An item that waits for a slower one occupies memory, so each item of a section takes a
permit where that begins, and gives it back where it ends.

Main invariant: when the iteration is over, however it ends, all tunnels are closed and all interpreters have ended, or
have been told to.
"""

import concurrent.futures
import contextlib
import functools
import inspect
import itertools
import threading

from objtunnel import _functions
from objtunnel._core import Semaphore, Tunnel, _is_main_interpreter
from objtunnel._errors import TunnelClosed
from objtunnel._interpreter import Interpreter

_PATIENCE = 0.25  # seconds that all have to end by themselves when the consumer leaves
_ALL = 10**6  # permits that wake whoever waits for one


def pipeline(source, /, *stages, workers=1, ordered=True, maxsize=8, progress=False):
    """Iterate over source's items as the stages leave them, each stage in interpreters of its own.

    source: an iterable; a thread of yours iterates over it. A stage is a function of one item that returns one, or a
    generator function of an iterator over items, which may yield more or fewer. workers: how many interpreters run a stage,
    an int for all or one for each. ordered: results come in the order of the source, and a generator function has one
    interpreter; else in any order, and each of its interpreters has an iterator over some of the items. maxsize: how many
    items wait before each stage and before you. progress: True shows a bar of the package tqdm.

    What raises first ends everything, and is raised here. Leaving the loop, or close(), ends everything, too.

    >>> list(pipeline(["a b", "c"], str.split, len, workers=2))
    [2, 1]
    """
    plans = [_Plan(stage, n) for stage, n in zip(stages, _counts(stages, workers), strict=True)]
    if not isinstance(maxsize, int) or maxsize < 1:
        raise ValueError(f"maxsize must be an int of 1 or more, not {maxsize!r}")
    permits = _put_in_sections(plans, workers, maxsize) if ordered else [None]
    results = _results(iter(source), plans, permits, maxsize)
    next(results)
    return _with_bar(results, source) if progress else results


def _with_bar(results, source):
    from tqdm import tqdm  # on demand: not everybody has it
    total = len(source) if hasattr(source, "__len__") else None
    with contextlib.closing(results), tqdm(results, total=total) as bar:
        yield from bar


# ---- the plan -------------------------------------------------------------------------------------

class _Plan:
    """One stage: its function, how many interpreters run it, whether it is a generator function, and then the permits of
    the sections before and behind it."""

    def __init__(self, function, workers):
        if not callable(function):
            raise TypeError(f"a stage must be callable, not {type(function).__name__}")
        self.function = function
        self.workers = workers
        self.before = self.behind = None
        while isinstance(function, functools.partial):
            function = function.func
        self.generates = inspect.isgeneratorfunction(function)


def _counts(stages, workers):
    if not stages:
        raise TypeError("pipeline() needs one stage or more")
    counts = [workers] * len(stages) if isinstance(workers, int) else list(workers)
    if len(counts) != len(stages) or not all(isinstance(n, int) and n > 0 for n in counts):
        raise ValueError(f"workers must be an int of 1 or more, or one for each of the {len(stages)} stage(s), not "
                         f"{workers!r}")
    return counts


def _put_in_sections(plans, workers, maxsize):
    """The permits of each section, None where the order keeps itself."""
    permits, section = [], []
    for plan in plans:
        if not plan.generates:
            section.append(plan)
            continue
        if plan.workers > 1 and not isinstance(workers, int):
            raise ValueError("a generator function has one interpreter where the order is kept: give it 1 of workers, or "
                             "say ordered=False")
        plan.workers = 1
        permits.append(_permits_of(section, maxsize))
        section = []
    permits.append(_permits_of(section, maxsize))
    for i, plan in enumerate(plan for plan in plans if plan.generates):
        plan.before, plan.behind = permits[i], permits[i + 1]
    return permits


def _permits_of(section, maxsize):
    if all(plan.workers == 1 for plan in section):
        return None
    return Semaphore(sum(plan.workers + maxsize for plan in section) + maxsize)


# ---- the caller's side ----------------------------------------------------------------------------

def _results(items, plans, permits, maxsize):
    tunnels = [Tunnel(maxsize=maxsize) for _ in range(len(plans) + 1)]

    def end():
        for tunnel in tunnels:
            tunnel.close(immediate=True)
        for some in permits:
            if some is not None:
                some.release(_ALL)

    def end_if_failed(future):
        if not future.cancelled() and future.exception() is not None:
            end()

    with contextlib.ExitStack() as stack:
        jobs = [_start(plan, stack, *tunnels[i:i + 2]) for i, plan in enumerate(plans)]
        futures = [_start_source(items, tunnels[0], permits[0]), *itertools.chain.from_iterable(jobs)]
        for future in futures:
            future.add_done_callback(end_if_failed)
        messages = stack.enter_context(contextlib.closing(tunnels[-1].until(*futures)))
        stack.callback(concurrent.futures.wait, futures, _PATIENCE)  # then what still runs is interrupted
        stack.callback(end)  # first of all
        yield
        for message in _in_order(messages, permits[-1]):
            yield message.pop()


def _start(plan, stack, inbox, outbox):
    """The jobs of a stage. When all are done, no more comes out of it."""
    name = getattr(plan.function, "__name__", "stage")
    interpreters = [stack.enter_context(Interpreter(f"pipeline-{name}")) for _ in range(plan.workers)]
    packed = _functions.pack(plan.function)
    run = _generate if plan.generates else _apply
    jobs = [interpreter.submit(run, packed, inbox, outbox, plan.before, plan.behind) for interpreter in interpreters]
    left, lock = [len(jobs)], threading.Lock()

    def one_is_done(_):
        with lock:
            left[0] -= 1
            last = left[0] == 0
        if last:
            outbox.close()

    for job in jobs:
        job.add_done_callback(one_is_done)
    return jobs


def _start_source(items, outbox, permits):
    """A future for the end of the source. A source that never gives anything keeps its thread from ending."""
    future = concurrent.futures.Future()
    future.set_running_or_notify_cancel()

    def feed():
        try:
            _send_all(items, outbox, permits)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)
        finally:
            outbox.close()

    daemon = _is_main_interpreter()  # other interpreters allow none
    threading.Thread(target=feed, name="objtunnel-pipeline", daemon=daemon).start()
    return future


# ---- either side ----------------------------------------------------------------------------------

def _send_all(items, outbox, permits):
    """Sends what the iterator gives, numbered. An item has no name here, so that it moves."""
    try:
        for number in itertools.count():
            try:
                message = [number, next(items)]
            except StopIteration:
                return
            if permits is not None:
                permits.acquire()
            try:
                outbox.send(message)
            except TunnelClosed:
                return  # the pipeline has ended
    finally:
        if inspect.isgenerator(items):
            items.close()


def _in_order(messages, permits):
    if permits is None:
        yield from messages
        return
    waiting, number = {}, 0
    for message in messages:
        waiting[message[0]] = message
        while number in waiting:
            message = waiting.pop(number)
            number += 1
            permits.release()
            yield message


# ---- in the interpreters --------------------------------------------------------------------------

def _apply(packed, inbox, outbox, before, behind):
    function = _functions.unpack(packed)
    for message in inbox:
        message = [message[0], function(message.pop())]
        try:
            outbox.send(message)
        except TunnelClosed:
            return


def _generate(packed, inbox, outbox, before, behind):
    items = (message.pop() for message in _in_order(inbox, before))
    _send_all(_functions.unpack(packed)(items), outbox, behind)
