"""Which mimalloc to link: the same objtunnel built with several, measured by turns.

    make bench-mimalloc BENCH_ARGS="--json docs/results/mimalloc-NAME.json"

Each variant is NAME=FOLDER, where FOLDER holds the package objtunnel. A round runs every variant in a process of
its own, with purge delay 0 and with mimalloc's default; the order turns round in each. A process measures:

deletes     a tree that was built here, deleted by its receiver and, as the baseline, deleted here; the next build
given back  400,000 dicts are built and deleted; what resident memory keeps of them after two seconds
small       small lists one way, messages a second
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
from formats import extremes  # noqa: E402

DICTS, PAUSES, PAUSE = 400_000, 4, 0.5
MESSAGES = 100_000
DELAYS = {"default": None, "0": "0"}


# ---- one process --------------------------------------------------------------------------------

def measure(cpus):
    import objtunnel
    result = {"version": objtunnel.heap_info().version, "given_back": measure_memory()}
    os.sched_setaffinity(0, {cpus[0]})
    result["deletes"] = measure_deletes(cpus)
    result["small"] = measure_small(cpus)
    return result


def measure_memory():
    """Bytes: {"built": by how much resident memory grew, "left": what it kept}."""
    start = _resident()
    trees = [{"a": i, "b": [i]} for i in range(DICTS)]
    full = _resident()
    began = time.perf_counter_ns()
    del trees
    took = time.perf_counter_ns() - began
    for _ in range(PAUSES):
        time.sleep(PAUSE)
        _ = [object() for _ in range(1000)]  # mimalloc purges when it is used next
    return {"built": full - start, "left": _resident() - start, "delete": took}


def _resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure_deletes(cpus):
    """{payload: {way: {"build", "delete"}}}, nanoseconds."""
    import heap
    from bench_tunnel import HEAP_PAYLOADS
    from measure import Link, unpinned
    from payloads import PAYLOADS
    with unpinned(cpus):
        link = Link(cpus[-1], False, True)
    with link:
        return {name: {way: heap.measure(link, PAYLOADS[name], PAYLOADS[name].scaled(1), way) for way in heap.WAYS}
                for name in HEAP_PAYLOADS}


def measure_small(cpus):
    """Nanoseconds of a small list one way, as bench_tunnel's throughput."""
    import small
    with small.pinned(small.tunnel, set(cpus), cpus[0], cpus[-1]) as (send, receive):
        small.stream_lists(send, receive, MESSAGES // 10)
        return small.stream_lists(send, receive, MESSAGES) / MESSAGES


# ---- all of them --------------------------------------------------------------------------------

def run(variants, rounds):
    """{"variants": {name: {delay: [a process's result, ...]}}, "machine": ...}"""
    import machine
    cpus = sorted(os.sched_getaffinity(0))[:2]
    cases = [(name, delay) for name in variants for delay in DELAYS]
    found = {name: {delay: [] for delay in DELAYS} for name in variants}
    for turn in range(rounds):
        for name, delay in cases:
            found[name][delay].append(run_process(variants[name], DELAYS[delay], cpus))
        cases.reverse()
        print(f"round {turn + 1} of {rounds}", file=sys.stderr)
    return {"machine": machine.describe(), "rounds": rounds, "variants": found}


def run_process(folder, delay, cpus):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MIMALLOC_")}
    environment["PYTHONPATH"] = os.path.abspath(folder)
    if delay is not None:
        environment["MIMALLOC_PURGE_DELAY"] = delay
        environment["MIMALLOC_RESET_DELAY"] = delay  # its name until 2.1
    command = [sys.executable, os.path.abspath(__file__), "--measure", *map(str, cpus)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


# ---- the page -----------------------------------------------------------------------------------

def to_markdown(record):
    import pages  # needs libraries that only pages need
    return pages.render(Path(__file__).resolve().parent / "mimalloc.md.j2", **context(record))


def context(record):
    payloads = list(next(iter(record["variants"].values()))["default"][0]["deletes"])
    deletes = [[version, delay,
                *(extremes([ratio(s["deletes"][p]) for s in samples]) for p in payloads),
                *(extremes([s["deletes"][p]["receiver"]["delete"] / 1e6 for s in samples], "%.0f") for p in payloads)]
               for version, delay, samples in rows(record)]
    memory = [[version, delay,
               extremes([s["given_back"]["built"] / 1e6 for s in samples], "%.0f"),
               extremes([s["given_back"]["left"] / 1e6 for s in samples], "%.1f"),
               extremes([s["given_back"]["delete"] / 1e6 for s in samples], "%.0f"),
               extremes([1e6 / s["small"] for s in samples], "%.0f")]
              for version, delay, samples in rows(record)]
    return {"record": record, "payloads": payloads, "deletes": deletes, "memory": memory, "dicts": DICTS}


def rows(record):
    for delays in record["variants"].values():
        for delay, samples in delays.items():
            yield samples[0]["version"], delay, samples


def ratio(case):
    return case["receiver"]["delete"] / case["builder"]["delete"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*", metavar="NAME=FOLDER")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", type=Path, help="the record; FILE.md beside it is the page")
    parser.add_argument("--measure", nargs="+", type=int, metavar="CPU", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    record = run(dict(variant.split("=", 1) for variant in options.variants), options.rounds)
    page = to_markdown(record)
    print(page)
    if options.json is not None:
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        options.json.with_suffix(".md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
