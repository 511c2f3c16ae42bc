"""What users of objtunnel write, for mypy --strict (make check-types): never run. assert_type says what a
type checker must make of it."""

import json
import logging.handlers
import queue
from collections.abc import Generator
from concurrent.futures import Future
from typing import Any, assert_type

import objtunnel
from objtunnel import (
    Barrier,
    BoundedSemaphore,
    Box,
    Condition,
    Event,
    FrozenDict,
    FrozenList,
    GlobalLock,
    Interpreter,
    InterpreterClosed,
    Lock,
    LockingDict,
    LockingList,
    Receipt,
    RemoteError,
    RLock,
    Semaphore,
    SharedArray,
    SharedFile,
    SharedReferenceError,
    Tunnel,
    TunnelClosed,
    TunnelEmpty,
    TunnelFull,
    TunnelSendTimeout,
    TunnelTimeout,
    freeze,
    frozen_default,
    heap_info,
    module_namespace,
    process_global,
    process_globals,
    register_movable,
    shared_module,
)

Row = dict[str, float]


def parse(paths: list[str], results: Tunnel[list[Row]], *, strict: bool = False) -> int:
    for path in paths:
        with open(path, encoding="utf-8") as f:
            assert_type(results.send(json.load(f), strict=strict), Receipt)
    return len(paths)


def use_interpreters(paths: list[str]) -> None:
    results: Tunnel[list[Row]] = Tunnel(maxsize=8)
    with Interpreter("parser") as worker:
        job = worker.submit(parse, paths, results, strict=True)
        assert_type(job, Future[int])
        until = results.until(job)
        assert_type(until, Generator[list[Row], None, None])
        for rows in until:
            assert_type(rows, list[Row])
        assert_type(worker.call(parse, paths, results), int)
        worker.submit(parse, paths)  # type: ignore[call-arg]
        worker.call(parse, 5, results)  # type: ignore[arg-type]
        worker.run("import json")


def use_tunnels() -> None:
    t = Tunnel[int](4)
    assert_type(t.recv(timeout=1.5), int)
    assert_type(t.get(), int)
    t.put(5, block=False)
    t.put("text")  # type: ignore[arg-type]
    t.shutdown(immediate=True)
    receipt = t.send(5)
    assert_type(receipt.moved, int)
    moved, copied, pickled = receipt
    try:
        t.send(1, timeout=0)
    except (TunnelSendTimeout, TunnelFull, queue.Full):
        pass
    try:
        t.get_nowait()
    except (TunnelTimeout, TunnelEmpty, TunnelClosed, queue.ShutDown, TimeoutError):
        pass
    assert_type([x for x in t], list[int])


def use_dicts() -> None:
    d: LockingDict[str, int] = LockingDict()
    assert_type(d.get("a"), int | None)
    assert_type(d.get("a", 0), int)
    assert_type(d.get("a", "none"), int | str)
    assert_type(d.pop("a"), int)
    assert_type(d.pop("a", None), int | None)
    assert_type(d.add("a"), int)
    assert_type(d.swap("a", 1), int)
    assert_type(d.setdefault("a", 1), int)
    f: LockingDict[str, float] = LockingDict()
    assert_type(f.add("a", 0.5), float)
    trees: LockingDict[str, list[int]] = LockingDict(a=[1])
    with trees.checkout("a", timeout=1) as tree:
        assert_type(tree, list[int])
    items: LockingList[str] = LockingList(["a"])
    assert_type(items.pop(), str)


def use_frozen() -> None:
    words = freeze(["a", "b"])
    assert_type(words, FrozenList[str])
    assert_type(words[0], str)
    ages = freeze({"ann": 5})
    assert_type(ages, FrozenDict[str, int])
    assert_type(ages["ann"], int)
    assert_type(ages.get("bob"), int | None)
    config = freeze({"a": {"b": [1]}})
    config["a"]["b"].count(1)
    assert_type(freeze(5), int)
    json.dumps(config, default=frozen_default)


def use_files() -> None:
    with SharedFile("log", "a") as log:
        assert_type(log.write("line\n"), int)
    assert_type(SharedFile("log").read(), str)
    assert_type(SharedFile("log", "rb").read(), bytes)
    assert_type(SharedFile("log", "rb").readlines(), list[bytes])
    for line in SharedFile("log"):
        assert_type(line, str)


@register_movable
class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount


def use_the_rest() -> None:
    assert_type(Money(5).amount, int)
    box = Box([1.5])
    with box as numbers:
        assert_type(numbers, list[float])
    for lock in (Lock(), RLock(), GlobalLock("name")):
        with lock:
            pass
    with Condition() as held:
        assert_type(held, bool)
    with Semaphore(2), BoundedSemaphore(2):
        assert_type(Event().wait(1.5), bool)
    assert_type(Barrier(2).wait(), int)
    grid = SharedArray("d", (3, 4))
    memoryview(grid)
    assert_type(heap_info().in_use, int)
    assert_type(process_globals()[0].name, str)
    assert_type(process_global("key", list[int]), list[int])
    shared_module("config").value = 5
    assert_type(module_namespace(shared_module("config")), LockingDict[Any, Any])
    assert_type(objtunnel.get_include(), str)
    logging.handlers.QueueHandler(Tunnel())
    for error in (InterpreterClosed, RemoteError, SharedReferenceError):
        assert issubclass(error, Exception)
