"""Turns results of `make bench-pool` into a page with tables.

    make report-pool                              # every docs/results/pool-*.json
    make report-pool REPORT_ARGS="a.json b.json -o /tmp"

Files named pool-MACHINE-cpNNN.json make one page, pool-MACHINE.md, with a part for each Python.
"""

import sys
from pathlib import Path
from statistics import median

from objtunnel.demo.table import format_time

import pool_targets

HERE = Path(__file__).resolve().parent


def main(arguments=None):
    import pages  # needs libraries that only pages need
    return pages.make(arguments, __doc__.splitlines()[0], "pool-*.json", 1, HERE / "pool.md.j2", context)


def context(records):
    return {"ways": pool_targets.WAYS, "parts": [
        {"record": record, "goals": pool_targets.figures(record),
         "tiny": [[name, *(cell(times.get(way)) for way in pool_targets.WAYS)] for name, times in record["tiny"].items()],
         "parallel": [[name, *pool_targets.speedups(case)] for name, case in record["parallel"].items()]}
        for record in records]}


def cell(times):
    if times is None:
        return "-"
    return f"{format_time(median(times))} ({format_time(min(times))} to {format_time(max(times))})"


if __name__ == "__main__":
    sys.exit(main())
