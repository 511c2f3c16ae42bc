"""Types of InterpreterPoolExecutor."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.thread import BrokenThreadPool
from typing import Any, ParamSpec, TypeVar

from objtunnel._future import PoolFuture

_P = ParamSpec("_P")
_R = TypeVar("_R")

class BrokenInterpreterPool(BrokenThreadPool): ...

class InterpreterPoolExecutor(ThreadPoolExecutor):
    BROKEN: type[BrokenInterpreterPool]
    def __init__(self, max_workers: int | None = None, thread_name_prefix: str = "",
                 initializer: Callable[..., object] | None = None,
                 initargs: tuple[Any, ...] = (), *, max_tasks_per_child: int | None = None,
                 strict: bool = False) -> None: ...
    def submit(self, fn: Callable[_P, _R], /, *args: _P.args,
               **kwargs: _P.kwargs) -> PoolFuture[_R]: ...
    def map(self, fn: Callable[..., _R], *iterables: Iterable[Any], timeout: float | None = None,
            chunksize: int = 1, buffersize: int | None = None) -> Iterator[_R]: ...
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None: ...
    def terminate_workers(self) -> None: ...
    def kill_workers(self) -> None: ...
