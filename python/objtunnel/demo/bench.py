"""A benchmark of half a minute: what handing over costs here, beside pickle and, on 3.14, concurrent.interpreters.

Sender and receiver are one interpreter, so that no thread is waited for: a send and a recv, a dumps and a loads, a put
and a get. benchmarks/tunnel/ in the source tree measures more, and more carefully.
"""

import gc
import json
import pickle
import platform
import sys
from array import array
from statistics import median
from time import perf_counter

import objtunnel
from objtunnel._progress import progress
from objtunnel.demo.errors import WrongResult
from objtunnel.demo.table import format_spread, format_table, format_time

TUNNEL, PICKLE, QUEUE = "tunnel", "pickle", "Queue"


def floats(n):
    return [i / 7 for i in range(n)]


def rows(n):
    return [{"id": i + 1000, "name": f"row {i}", "price": i / 3, "tags": [f"a{i}", f"b{i}"]} for i in range(n)]


def buffer(n):
    return array("d", range(n))


# Name, maker, size, size with --quick.
CASES = [
    ("floats", floats, 1_000_000, 50_000),
    ("rows of a table", rows, 100_000, 5_000),
    ("array of 8 MB", buffer, 1_000_000, 50_000),
    ("one float in a list", floats, 1, 1),
]


def _ways():
    """{name: function that hands a tree over}."""
    tunnel = objtunnel.Tunnel()

    def by_tunnel(tree):
        tunnel.send(tree)
        return tunnel.recv()

    def by_pickle(tree):
        return pickle.loads(pickle.dumps(tree, 5))

    ways = {TUNNEL: by_tunnel, PICKLE: by_pickle}
    if sys.version_info >= (3, 14):
        from concurrent.interpreters import create_queue
        queue = create_queue()

        def by_queue(tree):
            queue.put(tree)
            return queue.get()

        ways[QUEUE] = by_queue
    return ways


def measure(repeat, quick):
    """{case: {way: [seconds]}}. WrongResult if what arrives is not what was sent."""
    ways = _ways()
    times = {name: {way: [] for way in ways} for name, *_ in CASES}
    steps = [(case, way) for case in CASES for _ in range(repeat) for way in ways]  # the ways take turns
    for (name, make, size, small), way in progress(steps, "measuring"):
        n = small if quick else size
        tree = make(n)
        gc.collect()
        began = perf_counter()
        tree = ways[way](tree)
        times[name][way].append(perf_counter() - began)
        if tree != make(n):
            raise WrongResult(f"{way} has changed the {name}")
    return times


def run(repeat=None, quick=False, json_file=None):
    """Print a table; return an exit status: 1 if a result is wrong or json_file ("-": stdout) cannot be written."""
    try:
        if json_file not in (None, "-"):
            open(json_file, "a").close()  # better now than afterwards
        times = measure(repeat or (3 if quick else 7), quick)
    except BrokenPipeError:
        raise  # of stdout: the command line deals with that
    except (WrongResult, OSError) as error:
        print(f"objtunnel bench: {error}", file=sys.stderr)
        return 1
    if json_file != "-":
        print(_format(times))
    if json_file is not None:
        record = {"objtunnel": objtunnel.__version__, "python": sys.version, "machine": platform.platform(),
                  "quick": quick, "seconds": times}
        text = json.dumps(record, indent=1)
        if json_file == "-":
            print(text)
        else:
            with open(json_file, "w", encoding="utf-8") as file:
                file.write(text + "\n")
    return 0


def _format(times):
    others = [way for way in next(iter(times.values())) if way != TUNNEL]
    lines = []
    for name, by_way in times.items():
        own = median(by_way[TUNNEL])
        cells = [name, format_time(own), format_spread(by_way[TUNNEL])]
        for way in others:
            cells += [format_time(median(by_way[way])), f"{median(by_way[way]) / own:.1f}"]
        lines.append(tuple(cells))
    header = ["", "tunnel", "spread"]
    for way in others:
        header += [way, "times"]
    return format_table(tuple(header), lines)
