"""Types of register_movable()."""

from typing import TypeVar

_C = TypeVar("_C", bound=type)

def register_movable(cls: _C) -> _C: ...
