"""Turns results of `make bench-objects` into a page with tables.

    make report-objects                              # every docs/results/objects-*.json
    make report-objects REPORT_ARGS="a.json b.json -o /tmp"

Every number on the page is computed from the samples in the files; the same files give the same page.
"""

import sys
from pathlib import Path
from statistics import median

import cases
import scaling
from bench_objects import Run
from report import format_interval, format_target, format_value
from tables import format_ns
from targets import ratios
from tunnel_page import columns, with_range

HERE = Path(__file__).resolve().parent


def main(arguments=None):
    import pages  # needs libraries that only pages need
    return pages.make(arguments, __doc__.splitlines()[0], "objects-*.json", Run.format, HERE / "objects.md.j2", context)


def context(records):
    def sections(section, make_table):
        return [(name, what(records, section, name), *make_table(records, name)) for name in named(records, section)]

    return {"records": records, "targets": reached(records), "cases": sections("cases", ways),
            "scaling": sections("scaling", two_workers)}


def named(records, section):
    return dict.fromkeys(name for record in records for name in record[section])


def what(records, section, name):
    return next(record[section][name]["what"] for record in records if name in record[section])


def found(records, section, name):
    """The ways of one case in each record."""
    return [record[section][name]["ways"] if name in record[section] else {}
            for record in records]


def reached(records):
    figures = [{f"{f.case}: {f.what}": f
                for f in (*cases.figures(record), *scaling.figures(record))} for record in records]
    return columns(records, figures, lambda f: [
        f"{format_value(f.value)} ({format_interval(f)})", format_target(f),
        "met" if f.met else "**missed**"], "median", "target", "")


def ways(records, name):
    def cells(pair):
        samples, first = pair
        return [format_ns(median(samples)), with_range(ratios(samples, first))]
    with_first = [{way: (samples, next(iter(case.values()))) for way, samples in case.items()}
                  for case in found(records, "cases", name)]
    return columns(records, with_first, cells, "once", "times the first")


def two_workers(records, name):
    def cells(pair):
        samples, control = pair
        return [format_ns(median(scaling.alone(samples))), with_range(scaling.factors(samples)),
                with_range(scaling.shares(samples, control))]
    with_control = [{way: (samples, record["scaling"][name]["control"])
                     for way, samples in case.items()}
                    for record, case in zip(records, found(records, "scaling", name))]
    return columns(records, with_control, cells, "one worker", "two, times one",
                   "as a share of the control's")


if __name__ == "__main__":
    sys.exit(main())
