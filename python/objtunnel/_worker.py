"""What runs in a worker interpreter: take a job, do it, answer, until the inbox is closed.

A job is an envelope [number, reply, payload, mailbox] of an int and tunnels, which always arrives;
the payload tunnel holds the work itself, so that work which cannot be rebuilt here is answered
like any other error. The answer goes into the reply tunnel, its number into the mailbox, if any. An answer is a list [number, kind, value]. Values are put into it without a name
of their own: nothing but the answer refers to them, and the tunnel can move them.
"""

import atexit
import pickle
import sys

from objtunnel import _functions, _main
from objtunnel._errors import TunnelClosed


def main(worker, inbox, status):
    """The thread's whole life. Called once, by the C side."""
    atexit.register(_forget_this_thread)
    caller_main = _main.Main(inbox.recv()[0])
    status.send([worker.id])
    del status
    try:
        for job in inbox:
            number, reply, payload, mailbox = job
            del job
            answer = _do(worker, number, payload, caller_main)
            payload.close(immediate=True)
            _send_answer(reply, answer)
            if mailbox is not None:
                _announce(mailbox, number)
            del reply, payload, mailbox, answer
    finally:
        inbox.close()
        for number, reply, payload, mailbox in inbox:  # only if this file has an error
            reply.close()
            if mailbox is not None:
                _announce(mailbox, number)


def _do(worker, number, payload, caller_main):
    """The answer. An interrupt may come anywhere within worker.do, and nowhere else."""
    try:
        done = worker.do(number, _execute, payload, caller_main)
    except BaseException as error:
        return [number, "error", describe_error(error)]
    return [number, "value", done.pop()] if done is not None else [number, "cancelled", None]


def _execute(payload, caller_main):
    """A list of the one result."""
    work = _receive(payload, caller_main)
    if work[0] == "run":
        code = compile(work[1], work[2], "exec")
        del work
        exec(code, sys.modules["__main__"].__dict__)
        return [None]
    _, packed, args, kwargs = work
    del work
    fn = _functions.unpack(packed, caller_main)
    del packed
    return [fn(*_drain(args), **kwargs)]


def _receive(payload, caller_main):
    caller_main.problem = None
    try:
        return payload.recv()
    except AttributeError as error:
        if caller_main.problem is not None:
            raise AttributeError(caller_main.problem) from error
        raise


def _drain(args):
    """The arguments one by one, the list forgetting them: the callee's names are the only ones."""
    args.reverse()
    while args:
        yield args.pop()


def describe_error(error):
    """An exception in plain objects: its pickle (None if that cannot be had or would not load
    again), its type's name, its text, its traceback as text."""
    import traceback  # slow to import, and most jobs succeed

    text = "".join(traceback.format_exception(type(error), error, _skip_own(error.__traceback__)))
    try:
        data = pickle.dumps(error, 5)
        pickle.loads(data)
    except Exception:
        data = None
    error.__traceback__ = None  # its frames hold on to what the job used
    return [data, f"{type(error).__module__}.{type(error).__qualname__}", str(error), text]


def _skip_own(tb):
    """The traceback without the frames of this file that it begins with."""
    while tb is not None and tb.tb_next is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    return tb


def _send_answer(reply, answer):
    """A result that cannot be sent is an error like any other."""
    number = answer[0]
    try:
        reply.send(answer)
    except TunnelClosed:
        pass  # nobody waits for it any more
    except Exception as error:
        rename_path(error, {"$[2]": "result"})
        reply.send([number, "error", describe_error(error)])


def rename_path(error, names):
    """The path in a TypeError of send's, as the user knows the object: names maps the beginnings
    of paths into our envelopes."""
    text = str(error)
    for path, name in names.items():
        if text.startswith(path):
            error.args = (name + text[len(path):], *error.args[1:])


def _announce(mailbox, number):
    try:
        mailbox.send(number)
    except TunnelClosed:
        pass  # the caller's interpreter is exiting


def _forget_this_thread():
    """This thread is a stranger to threading (it takes the process's main thread for its own), so
    current_thread() gave it a dummy, whose finaliser complains if it runs after the module's
    end. Registered first, so it comes last."""
    info = getattr(sys.modules.get("threading"), "_thread_local_info", None)
    if info is not None:
        info.__dict__.clear()
