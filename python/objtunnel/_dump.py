"""objtunnel.dump and what registers a signal for it: files become descriptors here, _core does the rest."""

import sys

from objtunnel import _core


def _descriptor(file):
    """The descriptor of a file, which is flushed, so that the dump comes after what was written before; a number is one."""
    if isinstance(file, int):
        return file
    if file is None:
        file = sys.stderr
        if file is None:
            raise RuntimeError("sys.stderr is None: give a file")
    descriptor = file.fileno()
    try:
        file.flush()
    except Exception:  # it is the dump that matters
        pass
    return descriptor


def dump(file=None):
    """Write the stacks of all threads of all interpreters to a file, and who waits for what.

    file: a file with fileno(), or a descriptor; sys.stderr if it is not given. Needs no other
    interpreter's GIL, so it also works while they hang; what runs meanwhile may be shown half old, half
    new. Takes some tenths of a millisecond for a thread.

    >>> objtunnel.dump()  # doctest: +SKIP
    objtunnel: all interpreters of process 4711
    Interpreter 1, thread 0x00007f1aa8dff6c0 (4720 "objtunnel-1") (most recent call first):
      waits for 3.204 s to acquire Lock id 7, which thread 0x00007f1ab2a4a740 (4711 "python") of ...
        File "job.py", line 12 in transfer
    ...
    """
    _core.dump(_descriptor(file))


def register_dump(signum, file=None):
    """From now on the signal dumps, as dump() does, whatever the process is doing.

    file: a file with fileno(), or a descriptor, which is duplicated: the file may be closed then. If it
    is not given the dump goes to descriptor 2, whatever that is when the signal comes. The handler is C
    and runs at once, also while a C function does not return; blocked system calls go on
    afterwards. Replaces what the signal did before. Raises ValueError for a signal after which nothing
    goes on (SIGSEGV ...: faulthandler.enable() is for those), OSError for one that cannot be caught.

    >>> objtunnel.register_dump(signal.SIGUSR1)  # then: kill -USR1 PID
    """
    _core.register_dump(signum, -1 if file is None else _descriptor(file))


def unregister_dump(signum):
    """The signal does again what it did before register_dump. Whether it dumped."""
    return _core.unregister_dump(signum)
