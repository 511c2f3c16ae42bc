"""trace_copies(): which lines of a program send what is copied or pickled, and who refers to it.

Before each send the C side examines it, as explain() does, and calls _tell() with what it found. That takes longer than
the send itself, and is done only while somebody traces.

Threading: the GIL. Each interpreter sees its own sends.
"""

import atexit
import os
import sys
import threading

from objtunnel import _core, _explain

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_FINDINGS = 3  # kept for each line: the costliest


class Line:
    """What a line of the program sent. sends: how often something of it was copied or pickled; copied, pickled: objects, as
    Receipts count them; bytes: of these; findings: the costliest, as explain() tells them."""

    __slots__ = ("filename", "lineno", "function", "sends", "copied", "pickled", "bytes", "findings")

    def __init__(self, filename, lineno, function):
        self.filename = filename
        self.lineno = lineno
        self.function = function
        self.sends = self.copied = self.pickled = self.bytes = 0
        self.findings = []

    def _add(self, explanation):
        self.sends += 1
        self.copied += explanation.receipt.copied
        self.pickled += explanation.receipt.pickled
        self.bytes += explanation.copied_bytes + explanation.pickled_bytes
        known = {(f.what, f.path, f.type, *f.holders) for f in self.findings}
        self.findings += [f for f in explanation.findings if (f.what, f.path, f.type, *f.holders) not in known]
        self.findings = sorted(self.findings, key=lambda finding: -finding.bytes)[:_FINDINGS]

    def __repr__(self):
        return f"<Line {self.filename}:{self.lineno}, {self.sends} sends, {self.copied} copied, {self.pickled} pickled>"

    def __str__(self):
        first = (f"{self.filename}:{self.lineno}, in {self.function}: {self.sends:,} send(s), {self.copied:,} copied and "
                 f"{self.pickled:,} pickled, {_explain.format_size(self.bytes)}")
        details = "\n".join(map(str, self.findings)).replace("\n", "\n    ")
        return f"{first}\n    {details}" if details else first


class trace_copies:
    """Tells for each line that sends what is copied or pickled, how much, and who refers to it.

    A context manager. file: where the report is printed when the block ends; None: nowhere; sys.stderr if it is left out.
    `lines` has a Line for each that copied or pickled something, the costliest first; str() is the report. All sends of this
    interpreter are seen, of all its threads: by tunnels, by arguments and results of jobs, into boxes and shared
    containers. Tracing is slow.

    With OBJTUNNEL_TRACE_COPIES=1 in the environment everything is traced, and each interpreter prints its report when it ends.

    >>> with trace_copies(file=None) as trace:
    ...     rows = [[1.5], [2.5]]
    ...     receipt = Tunnel().send([1, rows])
    >>> trace.lines[0].findings[0].path
    '$[1]'
    """

    def __init__(self, file=...):
        self._file = file
        self._lines = {}

    def __enter__(self):
        _active.append(self)
        _core._set_tracer(_tell)
        return self

    def __exit__(self, *error):
        _active.remove(self)
        if not _active:
            _core._set_tracer(None)
        file = sys.stderr if self._file is ... else self._file
        if file is not None:
            print(self, file=file)

    @property
    def lines(self):
        return sorted(self._lines.values(), key=lambda line: -line.bytes)

    def __str__(self):
        where = "" if _core._is_main_interpreter() else " in a worker"
        if not self._lines:
            return f"objtunnel: nothing was copied or pickled{where}"
        return "\n".join([f"objtunnel: what was copied or pickled{where}, by line", *map(str, self.lines)])


_active = []
_busy = threading.local()


def start_by_environment():
    """At the import, where the variable is set."""
    trace = trace_copies().__enter__()
    atexit.register(trace.__exit__)


def _tell(root, counts, found):
    """The C side's, before a send. found: as for explain()."""
    _, copied, pickled = counts
    if copied + pickled == 0 or getattr(_busy, "now", False):
        return  # nothing to tell, or a send of ours
    _busy.now = True
    try:
        place = _place_of(sys._getframe(1))
        explanation = _explain.make(root, counts, found, _FINDINGS)
        for trace in list(_active):
            trace._lines.setdefault(place, Line(*place))._add(explanation)
    finally:
        _busy.now = False


def _place_of(frame):
    """The line of the program: not one of this package's."""
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    if frame is None:
        return "objtunnel", 0, "a worker's loop: the answer of a job"
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname
