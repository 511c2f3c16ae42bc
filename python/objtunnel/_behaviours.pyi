from collections.abc import Callable
from typing import Any, TypeVar

from objtunnel._core import Box

_R = TypeVar("_R")

MOST: int

def start(workers: int | None = None) -> None: ...
def wait(timeout: float | None = None) -> None: ...
def when(*boxes: Box[Any] | list[Box[Any]] | tuple[Box[Any], ...]) -> Callable[[Callable[..., _R]], Box[_R]]: ...
