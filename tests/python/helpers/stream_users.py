"""Generators that run in workers: for test_stream."""


def count(n):
    yield from range(n)


def rows(n):
    for i in range(n):
        yield {"row": [3 / 2, "text-%d" % i], "n": i}


def consume(items):
    while items:
        yield items.pop(0)


def note(made, n):
    for i in range(n):
        made["made"] = i + 1
        yield i


def returns(value):
    yield 0
    return value


def fails_after(n):
    yield from range(n)
    raise ZeroDivisionError


def yields_a_generator():
    yield count(1)


def endless(log):
    log["end"] = "not yet"
    n = 0
    try:
        while True:
            yield n
            n += 1
    except BaseException as error:
        log["end"] = type(error).__name__
        raise


def busy(log, started):
    try:
        started.send(True)
        while True:
            pass
        yield
    except BaseException as error:
        log["end"] = type(error).__name__
        raise


def ended(log):
    return log.get("end", "never begun")
