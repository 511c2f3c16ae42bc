"""Stages and sources: for test_pipeline."""

import time

from objtunnel import pipeline

TQDM = """
seen = []

class tqdm:
    def __init__(self, items, total=None):
        self.items, self.total, self.n = items, total, 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        seen.append((self.total, self.n))

    def __iter__(self):
        for item in self.items:
            self.n += 1
            yield item
"""


def double(n):
    return 2 * n


def add(a, b):
    return a + b


def slow_if_even(n):
    if n % 2 == 0:
        time.sleep(0.002)
    return n


def first_is_slow(n):
    if n == 0:
        time.sleep(0.3)
    return n


def mark(row):
    row["marked"] = True
    return row


def twice_each(items):
    for item in items:
        yield item
        yield item


def times(n, items):
    for item in items:
        for _ in range(n):
            yield item


def without_multiples_of_8(items):
    for item in items:
        if item % 8:
            yield item


def running_sum(items):
    total = 0
    for item in items:
        total += item
        yield total


def nothing(items):
    for _ in items:
        pass
    return
    yield


def first_only(items):
    yield next(items)
    for _ in items:
        pass


def logs_its_end(log, items):
    try:
        yield from items
    except BaseException as error:
        log["end"] = type(error).__name__
        raise


def hangs(started, log, n):
    try:
        started.send(n)
        while True:
            pass
    except BaseException as error:
        log["end"] = type(error).__name__
        raise


def fail_at_5(n):
    if n >= 5:
        raise ZeroDivisionError
    return n


def fail_at_5_in_a_generator(items):
    for n in items:
        yield fail_at_5(n)


def note(taken, n):
    """A source that notes what is taken of it, and its end."""
    try:
        for i in range(n):
            taken.append(i)
            yield i
    except GeneratorExit:
        taken.append("closed")
        raise


def failing_source():
    yield from range(5)
    raise LookupError


def run_a_pipeline(n):
    """In a worker."""
    return list(pipeline(range(n), double))
