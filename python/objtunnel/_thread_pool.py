"""ThreadPoolExecutor: the standard library's, whose arguments and results become the own objects of who gets them.

On a free-threaded build each object has an owner, the thread that made it, and every other thread pays for each touch.
So a job is packed by the thread that submits it and opened by the worker, and its result is packed by the worker and opened
by the first thread that asks for it. What nobody else refers to has a new owner then. All else is passed on as it is, as
the standard pool does. On builds with a GIL there are no owners, and this is the standard pool.

Main invariant: a future's _result is the result, or a _Parcel with it that nobody has opened.
"""

import concurrent.futures as _futures

try:
    from objtunnel._core import _Parcel
except ImportError:  # a GIL
    _Parcel = None

__all__ = ["ThreadPoolExecutor"]


class _Future(_futures.Future):
    def result(self, timeout=None):
        result = super().result(timeout)
        return _open(self) if type(result) is _Parcel else result

    result.__doc__ = _futures.Future.result.__doc__


def _open(future):
    with future._condition:
        if type(future._result) is _Parcel:
            future._result = future._result.open()[0]
        return future._result


def _run(job):
    fn, args, kwargs = job.open()
    del job
    result = [fn(*args, **kwargs)]
    del fn, args, kwargs
    return _Parcel(result)


class ThreadPoolExecutor(_futures.ThreadPoolExecutor):
    """concurrent.futures.ThreadPoolExecutor, for free-threaded builds of CPython.

    What only a job's arguments refer to becomes the worker's own, what only its result refers to the
    own of the thread that asks for it first: it costs them then what objects of their own cost. The
    rest is passed on as it is. On a build with a GIL it is the standard pool.

    >>> with ThreadPoolExecutor() as pool:
    ...     pool.submit(sorted, [2.5, 1.5]).result()
    [1.5, 2.5]
    """

    def submit(self, fn, /, *args, **kwargs):
        if _Parcel is None:
            return super().submit(fn, *args, **kwargs)
        job = [fn, args, kwargs]
        del fn, args, kwargs
        future = super().submit(_run, _Parcel(job))
        future.__class__ = _Future  # nobody else has it yet, but for the worker, which only sets its result
        return future

    submit.__doc__ = _futures.Executor.submit.__doc__
