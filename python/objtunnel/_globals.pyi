"""Types of process_global()."""

from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

def process_global(key: str, factory: Callable[[], _T], /) -> _T: ...
