"""Turns results of `make bench-tunnel` into a page with tables.

    make report-tunnel                              # every docs/results/tunnel-*.json
    make report-tunnel REPORT_ARGS="a.json b.json -o /tmp"

Files named tunnel-MACHINE-cpNNN.json make one page, tunnel-MACHINE.md, with a column for each
Python. Every number on it is computed from the samples in the files; the same files give the same
page.
"""

import sys
from pathlib import Path
from statistics import median

from objtunnel.demo.table import format_time

from report import format_range, format_target, format_value
from targets import figures, ratios

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "common"))
from formats import version  # noqa: E402


def main(arguments=None):
    import pages  # needs libraries that only pages need
    return pages.make(arguments, __doc__.splitlines()[0], "tunnel-*.json", 2, HERE / "tunnel.md.j2", context)


def context(records):
    tables = [(title, *make_table(records)) for title, make_table in SECTIONS]
    return {"records": records, "tables": [(title, header, rows) for title, header, rows in tables if rows]}


def columns(records, names, cells, *titles):
    """A table with a row for each name and for each record the columns that cells(case) fills."""
    header = ["", *(f"{version(r)}: {title}" for r in records for title in titles)]
    rows = []
    for name in dict.fromkeys(name for found in names for name in found):
        row = [f"`{name}`"]
        for record, found in zip(records, names):
            row += cells(found[name]) if name in found else ["-"] * len(titles)
        rows.append(row)
    return header, rows


# ---- the tables ----------------------------------------------------------------------------------

def transfers(records):
    def cells(case):
        tunnel = case["tunnel"]["total"]
        row = [f"{format_time(median(tunnel))}"]
        for peer in ("pickle", "queue"):
            row.append(with_range(ratios(case[peer]["total"], tunnel)) if peer in case else "-")
        return row
    return columns(records, [r["transfers"] for r in records], cells, "send + recv",
                   "faster than pickle", "than `interpreters.Queue`")


def reached(records):
    found = [{f"{f.case}: {f.what}": f for f in figures(r)} for r in records]
    return columns(records, found, lambda f: [
        format_value(f.value, f.unit) + (f" ({format_range(f.samples, f.unit)})"
                                         if len(f.samples) > 1 else ""),
        format_target(f), "met" if f.met else "**missed**"], "median", "target", "")


def afterwards(records):
    def cells(case):
        received, own = case["tunnel"], case["own"]
        return [with_range(ratios(received[what], own[what])) if received[what][0] else "-"
                for what in ("first_pass", "delete")]
    return columns(records, [r["transfers"] for r in records], cells, "first pass, to an own tree",
                   "deleting, to an own tree")


def memory(records):
    def cells(case):
        resident = case["resident"]
        return [f"{case['asked']:,}", f"{case['asked'] / case['containers']:,.1f}",
                "-" if resident is None else f"{resident:,}"]
    return columns(records, [r.get("memory", {"cases": {}})["cases"] for r in records], cells,
                   "bytes at most", "for each container", "resident memory rose")


def heap(records):
    def cells(case):
        builder, receiver = case["builder"], case["receiver"]
        return [with_range(ratios(receiver[what], builder[what])) for what in ("delete", "build")]
    return columns(records, [r.get("heap", {}) for r in records], cells,
                   "receiver deletes, to builder", "next build, to after own deletes")


def ping_pong(records):
    return columns(records, [r.get("ping_pong", {"ways": {}})["ways"] for r in records],
                   lambda case: [format_time(case[q]) for q in ("p50", "p90", "p99")],
                   "p50", "p90", "p99")


def throughput(records):
    def cells(case):
        return [format_value(median([case["messages"] / t for t in case["times"]]), "/s"),
                format_time(median([t / case["messages"] for t in case["times"]]))]
    return columns(records, [r.get("throughput", {"ways": {}})["ways"] for r in records], cells,
                   "messages", "each")


def walks(records):
    """What no walk that looks at each object can beat by much, and what pickle is beside that."""
    def cells(case):
        loop = case["loop"]["total"]
        return [format_time(median(loop)), with_range(ratios(case["tunnel"]["total"], loop)),
                with_range(ratios(case["pickle"]["total"], loop))]
    return columns(records, [{name: case for name, case in r["transfers"].items()
                              if "loop" in case} for r in records], cells,
                   "bare walk in C", "send + recv, to it", "pickle, to it")


def pointers(records):
    def cells(case):
        return [format_time(median(case[way]["total"])) for way in ("tunnel", "again", "handed")]
    return columns(records, [{name: case for name, case in r["transfers"].items()
                              if "handed" in case} for r in records], cells, "send + recv, fresh",
                   "going round", "`SimpleQueue` in one interpreter, fresh")


def floor(records):
    def cells(times):
        return [format_time(median(times) / 1e9),
                f"{format_time(min(times) / 1e9)} .. {format_time(max(times) / 1e9)}"]
    return columns(records, [r.get("floor", {}) for r in records], cells, "a message", "")


def with_range(samples):
    if len(samples) < 2:
        return format_value(samples[0])
    return f"{format_value(median(samples))} ({format_range(samples)})"


SECTIONS = (("Moving a tree", transfers), ("Targets", reached),
            ("The floor: a walk that reads each object's refcount and type, once", walks),
            ("The floor: handing over one object", pointers),
            ("Afterwards, in the receiver", afterwards), ("Memory that send takes", memory),
            ("The heap", heap), ("Round trips of a small list", ping_pong),
            ("Small lists one way", throughput),
            ("The floor: messages without Python, with blocks of mimalloc's or none", floor))

if __name__ == "__main__":
    sys.exit(main())
