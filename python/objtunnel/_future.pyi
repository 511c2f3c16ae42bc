"""Types of the futures of InterpreterPoolExecutor."""

from concurrent.futures import Future
from typing import NamedTuple, TypeVar

from objtunnel._core import Receipt

_R = TypeVar("_R")

class PoolReceipt(NamedTuple):
    arguments: Receipt
    result: Receipt | None

class PoolFuture(Future[_R]):
    @property
    def receipt(self) -> PoolReceipt | None: ...
