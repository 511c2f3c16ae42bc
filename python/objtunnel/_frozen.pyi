"""Types of frozen_default()."""

from typing import Any

def frozen_default(o: object) -> list[Any] | dict[Any, Any]: ...
