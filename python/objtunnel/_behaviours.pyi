from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from objtunnel._core import Box

_R = TypeVar("_R")

MOST: int

def start(workers: int | None = None) -> None: ...
def pin(tree: _R) -> Box[_R]: ...
def pump(timeout: float | None = 0) -> int: ...
def pump_fileno() -> int: ...
def wait(timeout: float | None = None) -> None: ...
def when(*boxes: Box[Any] | list[Box[Any]] | tuple[Box[Any], ...],
         strict: bool = False) -> Callable[[Callable[..., _R]], Box[_R]]: ...

class BehaviourStatistics(NamedTuple):
    scheduled: int
    run: int
    waiting: int
    running: int
    moved: int
    copied: int
    pickled: int
    stayed: int

def behaviour_statistics() -> BehaviourStatistics: ...
