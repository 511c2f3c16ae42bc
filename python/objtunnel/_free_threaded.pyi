from typing import NamedTuple

class Owner(NamedTuple):
    thread: int | None
    is_mine: bool
    local: int | None
    shared: int
    flags: tuple[str, ...]

def owner(obj: object, /) -> Owner: ...
def rebias(obj: object, /) -> int: ...
