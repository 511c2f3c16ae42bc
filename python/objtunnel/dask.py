"""Dask on interpreters.

On one machine `dask.compute(..., scheduler=pool)` takes an objtunnel.InterpreterPoolExecutor as it is. Beyond one machine
the workers of dask.distributed take one as their executor=: WorkerExecutor, here.
"""

import threading
import time
from concurrent.futures import Future

from objtunnel._executor import InterpreterPoolExecutor

__all__ = ["WorkerExecutor"]


class WorkerExecutor(InterpreterPoolExecutor):
    """InterpreterPoolExecutor for dask.distributed: Worker(address, executor=WorkerExecutor(4), nthreads=4).

    distributed gives an executor its own function around each task. That function would load distributed into the
    interpreter, and psutil, which distributed needs, cannot be loaded there. Here only the task runs in an interpreter,
    and distributed's function in the process's main one. Tasks that call distributed's own API (get_client, worker_client)
    belong into another executor of the Worker.
    """

    def submit(self, fn, /, *args, **kwargs):
        """As InterpreterPoolExecutor.submit. RuntimeError if distributed runs its tasks in a way that is unknown here."""
        if getattr(fn, "__module__", None) != "distributed.worker":
            return super().submit(fn, *args, **kwargs)
        if fn.__name__ != "_run_task_simple" or len(args) != 3:
            raise RuntimeError(f"this version of distributed runs tasks by {fn.__name__}(), which objtunnel.dask does not "
                               "know: it knows distributed 2025.1 to 2026.8")
        task, data, delay = args
        job = super().submit(run_task, task, data)
        answer = _Answer(job)
        job.add_done_callback(lambda job: answer.settle(job, fn, delay))
        return answer


def run_task(task, data):
    """(result, when it began, when it ended, the thread's number); in a worker interpreter."""
    began = time.time()
    result = task(data)
    return result, began, time.time(), threading.get_ident()


class _Answer(Future):
    """What distributed is told of a job, once that is done."""

    def __init__(self, job):
        super().__init__()
        self._job = job

    def cancel(self):
        return self._job.cancel() and super().cancel()

    def settle(self, job, wrap, delay):
        if job.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
            return
        if not self.set_running_or_notify_cancel():
            return
        times = {}

        def result(_):
            value, began, ended, thread = job.result()
            times.update(start=began + delay, stop=ended + delay, thread=thread)
            return value

        try:
            message = wrap(result, {}, delay)  # with the error in it, if there is one
        except BaseException as error:  # SystemExit, KeyboardInterrupt: these it passes on
            self.set_exception(error)
        else:
            self.set_result({**message, **times})
