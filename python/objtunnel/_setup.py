"""What a worker interpreter gets of its caller's settings when it starts: docs/workers.md has the table.

Everything else is CPython's: it starts an interpreter with the process's command line (-W, -X) and
environment.
"""

import sys

from objtunnel import _main


def describe():
    """The caller's side: a dict for apply()."""
    return {"main": _main.describe(), "argv": [str(arg) for arg in getattr(sys, "argv", ())]}


def apply(setup):
    """The worker's side, once, before its first job. sys.path is set already (worker_type.c)."""
    sys.argv = setup["argv"]
    _main.become_worker(setup["main"])


def follow_path(path):
    """path: [] or [sys.path of the caller], which comes with each job once that has changed."""
    if path and path != _followed:
        sys.path[:] = path[0]
        _followed[:] = [list(path[0])]


_followed = []  # what the caller's sys.path was last: changes of the job's own stay
