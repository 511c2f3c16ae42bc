"""Turns results of `make bench-pool` into a page with tables.

    make report-pool                              # every docs/results/pool-*.json
    make report-pool REPORT_ARGS="a.json b.json -o /tmp"

Files named pool-MACHINE-cpNNN.json make one page, pool-MACHINE.md, with a part for each Python.
"""

import sys
from statistics import median

from objtunnel.demo.table import format_time

import pool_targets
from page import write_parts


def main(arguments=None):
    return write_parts(arguments, __doc__.splitlines()[0], "pool-*.json", 1, "report-pool", part)


def part(record):
    machine = record["machine"]
    lines = ["", f"## Python {machine['python'].split()[0]}", "",
             f"{machine['cpu']}, {record['workers']} workers, commit {machine['commit']}, "
             f"{record['repeat']} repetitions; medians, with the least and the greatest (of goals: with "
             "the interval, and a goal is met if all of that is on its right side). "
             f"JSON: {record['json']}.", ""]
    lines += ["| goal | reached | goal | |", "| --- | --- | --- | --- |"]
    lines += [f"| {what} | {middle:.3g} ({low:.3g} to {high:.3g}) | {target} | "
              f"{'met' if met else '**missed**'} |"
              for what, middle, low, high, target, met in pool_targets.figures(record)]
    lines += ["", "A tiny job `n + 1`, by a named function: `tiny_submit` submits all, then takes all "
              "results; `tiny_map` is `sum(pool.map(...))`; `tiny_wait` waits for each before the "
              "next.", "", row(["", *pool_targets.WAYS]), row(["---"] * (1 + len(pool_targets.WAYS)))]
    lines += [row([name, *(cell(times.get(way)) for way in pool_targets.WAYS)])
              for name, times in record["tiny"].items()]
    lines += ["", "Work in parallel: how many times faster than one interpreter without a pool. json "
              "delivers the live trees of the texts to the caller; the control is C threads that spin.",
              "", row(["", *pool_targets.WAYS, "control"]),
              row(["---"] * (2 + len(pool_targets.WAYS)))]
    lines += [row([name, *pool_targets.speedups(case)]) for name, case in record["parallel"].items()]
    return lines


def row(cells):
    return "| " + " | ".join(cells) + " |"


def cell(times):
    if times is None:
        return "-"
    return f"{format_time(median(times))} ({format_time(min(times))} to {format_time(max(times))})"


if __name__ == "__main__":
    sys.exit(main())
