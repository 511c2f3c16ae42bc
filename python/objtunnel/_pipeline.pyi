"""Types of pipeline."""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

def pipeline(source: Iterable[Any], /, *stages: Callable[..., Any], workers: int | Sequence[int] = 1,
             ordered: bool = True, maxsize: int = 8, progress: bool = False) -> Generator[Any]: ...
