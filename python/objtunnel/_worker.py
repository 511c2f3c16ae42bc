"""What runs in a worker interpreter: take a job, do it, answer, until the inbox is closed.

The first message of the inbox is [setup], a dict (_setup.py says what is in it), or [setup, ...] for a
worker of a pool, whose jobs are _pool_worker.py's, or for one of behaviours (_behaviour_worker.py). All others are jobs.

A job is an envelope [number, reply, payload, mailbox] of an int and tunnels (mailbox may be None),
which always arrives. The payload tunnel holds the work itself, so that work which cannot be rebuilt
here is answered like any other error. Whoever takes the work out of the payload tunnel owns the
job: the worker to do it, or the caller to cancel it. A worker that finds the payload tunnel empty
answers nothing.

Work is ["call", function, args, kwargs] (_functions.py), ["run", source, filename], or one of
these with the caller's sys.path as a last item if that has changed.

The answer goes into the reply tunnel, then its number into the mailbox, if any. An answer is
[number, "value", result] or [number, "error", description] (_failures.py). A reply tunnel that is
closed without an answer says that the worker has failed; Worker.error says why.

Main invariant: a worker that has taken a job answers it or closes its reply tunnel, whatever the job
does, and does so for all jobs that are queued when the loop fails.
Threading: one thread, the worker's own. An interrupt may come within Worker.do and nowhere else.
"""

import atexit
import sys

from objtunnel import _failures, _functions, _setup
from objtunnel._errors import TunnelClosed, TunnelEmpty


def main(worker, inbox, status):
    """The thread's whole life. Called once, by the C side."""
    atexit.register(_forget_this_thread)
    sys.unraisablehook = worker.unraisable
    _failures.count_interrupts = worker.interrupts
    setup, *pool = inbox.recv()
    _setup.apply(setup)
    status.send([worker.id])
    del status, setup
    if pool[:1] == ["behaviours"]:
        from objtunnel import _behaviour_worker

        return _behaviour_worker.main(worker, *pool[1:])
    if pool:
        from objtunnel import _pool_worker

        return _pool_worker.main(worker, *pool)
    try:
        _serve(worker, inbox)
    except BaseException as error:
        _note_failure(worker, error)
        raise
    finally:
        inbox.close()
        try:
            drop_jobs(inbox)
        except BaseException:
            drop_jobs(inbox)


def _serve(worker, jobs):
    for job in jobs:
        try:
            number, reply, payload, _ = job
            _answer(worker, number, reply, payload)
        except BaseException as error:
            _note_failure(worker, error)  # before anybody hears that there is no answer
            raise
        finally:
            try:
                _leave(job)
            except BaseException:
                _leave(job)  # the job left a trace function that raises: it is gone now
        del job, reply, payload


def _note_failure(worker, error):
    worker.fail(f"its loop failed with {_failures.pack_bare(error)[1]}")


def _answer(worker, number, reply, payload):
    """The whole job. What a job does in the interpreter may make any line of ours raise (it may
    clear sys.modules), so that each attempt needs less than the one before."""
    try:
        worker.do(number, _execute, number, reply, payload)
    except BaseException as error:  # an interrupt, or no memory
        try:
            reply.send([number, "error", _failures.pack(error, _is_own)])
        except TunnelClosed:
            pass
        except BaseException:
            reply.send([number, "error", _failures.pack_bare(error)])


def _execute(number, reply, payload):
    """Runs within Worker.do, so that all code of users can be interrupted: the job itself, what
    pickling a result calls, what shows an exception."""
    try:
        work = payload.recv_nowait()
    except (TunnelEmpty, TunnelClosed):
        return  # cancelled
    except BaseException as error:
        rename_where(error, {"$[1][1]": "the function", "$[2]": "args", "$[3]": "kwargs"})
        _send_error(number, reply, error)
        return
    try:
        result = [number, "value", _perform(work)]
    except BaseException as error:
        _send_error(number, reply, error)
        return
    try:
        reply.send(result)
    except TunnelClosed:
        pass  # nobody waits for it any more
    except BaseException as error:  # a result that cannot be sent is an error like any other
        rename_path(error, {"$[2]": "result"})
        _send_error(number, reply, error)


def _perform(work):
    if work[0] == "run":
        _, source, filename, *path = work
        _setup.follow_path(path)
        code = compile(source, filename, "exec")
        exec(code, sys.modules["__main__"].__dict__)
        return None
    _, packed, args, kwargs, *path = work
    work.clear()
    _setup.follow_path(path)
    fn = _functions.unpack(packed)
    del packed
    return fn(*drain(args), **kwargs)


def drain(args):
    """The arguments one by one, each taken out of the list: nothing but the callee refers to it then."""
    args.reverse()
    while args:
        yield args.pop()


def _send_error(number, reply, error):
    description = _failures.pack(error, _is_own)
    error.__traceback__ = None  # its frames hold on to what the job used
    try:
        reply.send([number, "error", description])
    except TunnelClosed:
        pass


def _is_own(code):
    return code.co_filename == __file__


def rename_path(error, names):
    """The path in a TypeError of send's, as the user knows the object: names maps the beginnings
    of paths into our envelopes."""
    if type(error) is not TypeError:
        return
    text = str(error)
    for path, name in names.items():
        if text.startswith(path):
            error.args = (name + text[len(path):], *error.args[1:])


def rename_where(error, names):
    """Make the path in an error of recv's one that the user knows, as rename_path does. There is nothing to discard: our
    envelope, which the error means, is gone."""
    own = error.__dict__
    own.pop("discard", None)
    where = own.get("where")
    if type(where) is not str:
        return rename_path(error, names)
    for path, name in names.items():
        if where.startswith(path):
            own["where"] = name + where[len(path):]
            if error.args and type(error.args[0]) is str and error.args[0].startswith(where + ":"):
                error.args = (own["where"] + error.args[0][len(where):], *error.args[1:])
            error.__notes__ = [note.replace(where, own["where"]) if type(note) is str else note
                               for note in getattr(error, "__notes__", ())]
            return


def _leave(job):
    """Whoever waits for the job learns that nothing more will come. May be called again."""
    number, reply, payload, mailbox = job
    payload.close(immediate=True)
    reply.close()
    if mailbox is not None:
        try:
            mailbox.send(number)
        except TunnelClosed:
            pass  # the caller's interpreter is exiting


def drop_jobs(jobs):
    """Ends all jobs of a closed tunnel that nobody else takes jobs from."""
    for job in jobs:
        _leave(job)


def _forget_this_thread():
    """threading does not know this thread: it takes the process's main thread for the interpreter's own. So
    current_thread() makes a dummy for it, whose finaliser complains if it runs after the module's end. This is
    registered first, so that it runs last."""
    info = getattr(sys.modules.get("threading"), "_thread_local_info", None)
    if info is not None:
        info.__dict__.clear()
