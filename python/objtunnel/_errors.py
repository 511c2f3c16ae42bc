"""The exceptions. They subclass what users of queue and concurrent.futures catch already."""

import queue

__all__ = ["InterpreterClosed", "LockAbandonedError", "RemoteError", "SharedReferenceError",
           "TunnelClosed", "TunnelEmpty", "TunnelFull", "TunnelSendTimeout", "TunnelTimeout"]


class TunnelEmpty(queue.Empty):
    """No message is there, or none came in time."""


class TunnelFull(queue.Full):
    """No place is free, or none became free in time."""


class TunnelTimeout(TunnelEmpty, TimeoutError):
    """No message came within the timeout that was given."""


class TunnelSendTimeout(TunnelFull, TimeoutError):
    """No place became free within the timeout that was given."""


class TunnelClosed(queue.ShutDown):
    """The tunnel was closed (and, for a receiver, is drained)."""


class SharedReferenceError(ValueError):
    """send(strict=True): something outside of the tree refers to one of its objects.

    path: where the object is in the tree, as "$[3]['rows']". count: how many references come from
    outside.
    """

    path: str | None = None
    count: int | None = None


class InterpreterClosed(RuntimeError):
    """The interpreter was closed, could not be started, or ended before it had answered."""


class LockAbandonedError(RuntimeError):
    """The holder of a lock is gone: its interpreter has ended, or this is a forked child and another thread had it.

    What the lock guards may be half changed.
    """


class RemoteError(RuntimeError):
    """Stands for an exception whose class does not exist in this interpreter.

    type_name: the class's module and name, a str. remote_args: the exception's args, a tuple.
    """

    type_name: str | None = None
    remote_args: tuple[object, ...] = ()


class RemoteTraceback(Exception):
    """The __cause__ of an exception that came from another interpreter: its traceback as text."""

    def __init__(self, text):
        super().__init__(text)
        self.text = text

    def __str__(self):
        return '\n"""\n' + self.text.rstrip() + '\n"""'
