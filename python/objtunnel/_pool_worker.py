"""What runs in a worker of an InterpreterPoolExecutor, see _executor.py: take a job, claim it, do it,
answer, until the pool's tunnel of jobs is closed.

A job is [number, function, *arguments] if the function has a number in the pool's table and all
arguments are scalars, which always arrive; else [number, payload], whose tunnel holds
[function, arguments, keyword arguments, kind], and the caller's sys.path once that has changed. An answer is [number, result] for a result that is a
number, [number, tunnel with [result], moved, copied, pickled] for others, [number, None, tunnel with
the description] for an exception. What a worker says of itself has its own number, negative:
[-index, "up" | "tasks" | "initializer" | "died" | "closed", text].

Main invariant: whatever happens, the last thing that a worker says is why it ends.
"""

from objtunnel import _failures, _functions, _setup
from objtunnel._core import Tunnel
from objtunnel._worker import drain, rename_path, rename_where

SHIFT = 12
PAGE = 1 << SHIFT  # words in a page of claims
CANCELLED = -1  # a word: 0 waits, the worker's index if it was begun
CHUNK = 1  # kind of work: the arguments are a list of lists of arguments

NUMBERS = frozenset((int, float, bool, type(None)))
PLAIN = NUMBERS | {str, bytes, complex}


def main(worker, index, jobs, answers, functions, pages, first, max_tasks, strict):
    """The worker's life. `first` is a tunnel with None or the initializer and its arguments."""
    say = answers.send
    why, text = "died", "in the worker's own code"
    try:
        say([-index, "up", None])
        if (failure := _initialize(worker, first)) is not None:
            why, text = "initializer", failure
        else:
            unpack = _Functions(functions)
            full = _serve(worker, index, jobs, say, unpack, pages, max_tasks, strict)
            why, text = "tasks" if full else "closed", None
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
        raise
    finally:
        say([-index, why, text])


def _initialize(worker, first):
    """The traceback as text of what went wrong, or None."""
    try:
        worker.do(1, _run_initializer, first)
    except BaseException as error:
        return _failures.pack(error, _is_own)[1]


def _run_initializer(first):
    work = first.recv_nowait()
    if work is not None:
        packed, args = work
        _functions.unpack(packed)(*args)


class _Functions:
    """The functions that jobs name by number."""

    def __init__(self, table):
        self._table = table
        self._found = {}  # number -> (namespace, name, function)

    def find(self, number):
        entry = self._found.get(number)
        if entry is not None and entry[0].get(entry[1]) is entry[2]:
            return entry[2]
        packed = self._table[number]
        function = _functions.unpack(packed)
        namespace = getattr(function, "__globals__", None)
        if namespace is not None:
            self._found[number] = (namespace, packed[-1], function)
        return function


def _serve(worker, index, jobs, say, unpack, pages, max_tasks, strict):
    """Whether the worker ends because it has done max_tasks."""
    do, numbers, plain = worker.do, NUMBERS, not strict
    page_number, words = -1, None

    def execute(number, job, words):
        """The answer, None for a cancelled job. All code of users runs within Worker.do, so that it can be
        interrupted, and so does the claim: a job that is claimed is one that an interrupt finds."""
        if not words.compare_exchange(number & PAGE - 1, 0, index):
            return None
        _, function, *args = job
        job.clear()
        try:
            if type(function) is int:
                answer = [number, unpack.find(function)(*args)]
            else:
                answer = [number, _do_packed(function, unpack)]
            if plain and type(answer[1]) in numbers:
                return answer
            args = None
            return _by_tunnel(answer, strict)
        except BaseException as error:
            return _describe(number, error)

    for job in jobs:
        number = job[0]
        if number >> SHIFT != page_number:
            words, page_number = pages.get(number >> SHIFT), number >> SHIFT
        if words is None:
            continue  # cancelled, long ago
        try:
            answer = do(number, execute, number, job, words)
        except BaseException as error:  # an interrupt, or no memory
            answer = _describe(number, error) if _is_ours(words, number, index) else None
        if answer is None:
            continue
        say(answer)
        job = answer = None
        if max_tasks:
            max_tasks -= 1
            if not max_tasks:
                return True
    return False


def _is_ours(words, number, index):
    """Whether the job is claimed by this worker, or can be."""
    place = number & PAGE - 1
    return words[place] == index or words.compare_exchange(place, 0, index)


def _do_packed(payload, unpack):
    try:
        function, args, kwargs, kind, *path = payload.recv_nowait()
    except BaseException as error:
        rename_where(error, {"$[0][1]": "the function", "$[1]": "args", "$[2]": "kwargs"})
        raise
    _setup.follow_path(path)
    function = (unpack.find(function) if type(function) is int
                else _functions.unpack(function))
    if kind == CHUNK:
        return [function(*drain(row)) for row in drain(args)]
    return function(*drain(args), **kwargs)


def _by_tunnel(answer, strict):
    number = answer.pop(0)
    reply = Tunnel()
    try:
        moved, copied, pickled = reply.send(answer, strict=strict)
    except BaseException as error:  # a result that cannot be sent is an error like any other
        rename_path(error, {"$[0]": "result"})
        raise
    return [number, reply, moved - 1, copied, pickled]  # without the list


def _describe(number, error):
    """What a job does in the interpreter may make any line of ours raise (it may clear
    sys.modules), so the second attempt needs less."""
    reply = Tunnel()
    try:
        reply.send(_failures.pack(error, _is_own))
    except BaseException:
        reply.send(_failures.pack_bare(error))
    error.__traceback__ = None  # its frames hold on to what the job used
    return [number, None, reply]


def _is_own(code):
    return code.co_filename == __file__
