"""Types of trace_copies."""

from typing import Self, TextIO

from objtunnel._explain import Finding

class Line:
    filename: str
    lineno: int
    function: str
    sends: int
    copied: int
    pickled: int
    bytes: int
    findings: list[Finding]
    def __init__(self, filename: str, lineno: int, function: str) -> None: ...

class trace_copies:
    def __init__(self, file: TextIO | None = ...) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    @property
    def lines(self) -> list[Line]: ...

def start_by_environment() -> None: ...
