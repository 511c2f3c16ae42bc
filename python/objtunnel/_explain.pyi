from typing import Any, Literal

from objtunnel._core import Receipt

LIMIT: int

class Finding:
    what: Literal["copied", "pickled", "refused"]
    path: str | None
    type: str
    count: int
    why: str
    references: int
    holders: list[str]
    objects: int
    bytes: int
    def __init__(self, what: Literal["copied", "pickled", "refused"], path: str | None, type_name: str, why: str,
                 references: int, holders: list[str], objects: int, size: int, count: int = 1) -> None: ...
    def to_dict(self) -> dict[str, Any]: ...

class Explanation:
    receipt: Receipt
    refused: int
    copied_bytes: int
    pickled_bytes: int
    findings: list[Finding]
    def __init__(self, receipt: Receipt, refused: int, copied_bytes: int, pickled_bytes: int,
                 findings: list[Finding]) -> None: ...
    def to_dict(self) -> dict[str, Any]: ...

def format_size(n: int) -> str: ...
def make(root: object, counts: tuple[int, int, int], found: list[tuple[Any, ...]], limit: int | None) -> Explanation: ...
def load(path: str) -> dict[str, Any]: ...
def evaluate(namespace: dict[str, Any], expression: str, limit: int = ...) -> Explanation: ...
