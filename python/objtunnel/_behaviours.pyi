from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

from objtunnel._core import Box

_R = TypeVar("_R")

MOST: int

def start(workers: int | None = None) -> None: ...
def pin(tree: _R) -> Box[_R]: ...
def pump(timeout: float | None = 0) -> int: ...
def pump_fileno() -> int: ...
def wait(timeout: float | None = None) -> None: ...
_Parameter: TypeAlias = Box[Any] | list[Box[Any]] | tuple[Box[Any], ...]

def when(*boxes: _Parameter, read: Box[Any] | list[_Parameter] | tuple[_Parameter, ...] = (),
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
