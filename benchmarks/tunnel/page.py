"""Turns results of `make bench-tunnel` into a page with tables.

    make report-tunnel                              # every docs/results/tunnel-*.json
    make report-tunnel REPORT_ARGS="a.json b.json -o /tmp"

Files named tunnel-MACHINE-cpNNN.json make one page, tunnel-MACHINE.md, with a column for each
Python. Every number on it is computed from the samples in the files; the same files give the same
page.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median

from objtunnel.demo.table import format_time

from report import format_range, format_target, format_value
from targets import figures, ratios

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results"


def main(arguments=None):
    return write_pages(arguments, __doc__.splitlines()[0], "tunnel-*.json", 2, to_markdown)


def write_pages(arguments, description, pattern, wanted_format, to_markdown):
    """The command, for any benchmark: to_markdown(name, paths, records) makes a page."""
    options = parse_options(arguments, description, pattern)
    paths = options.results or sorted(DEFAULT_FOLDER.glob(pattern))
    if not paths:
        print(f"page: no {pattern} in {DEFAULT_FOLDER}", file=sys.stderr)
        return 1
    groups = {}
    for path in paths:
        groups.setdefault(path.stem.rpartition("-cp")[0] or path.stem, []).append(path)
    failed = 0
    for name, members in groups.items():
        try:
            records = [load(path, wanted_format) for path in members]
        except (OSError, ValueError) as error:
            print(f"page: {error}", file=sys.stderr)
            failed = 1
            continue
        page = (options.output or members[0].parent) / f"{name}.md"
        page.write_text(to_markdown(name, members, records), encoding="utf-8")
        print(f"page: {page}")
    return failed


def write_parts(arguments, description, pattern, wanted_format, target, part):
    """As write_pages, for pages that are a part for each record, part(record): lines. target: of make."""
    def to_markdown(name, paths, records):
        lines = [f"# {name}", "", f"Made by `make {target}` from " +
                 ", ".join(f"[{path.name}]({path.name})" for path in paths) + "."]
        for record in records:
            lines += part(record)
        return "\n".join(lines) + "\n"

    return write_pages(arguments, description, pattern, wanted_format, to_markdown)


def parse_options(arguments, description, pattern):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("results", nargs="*", type=Path, metavar="RESULT.json",
                        help=f"results files (default: docs/results/{pattern})")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER",
                        help="where to write (default: beside the results files)")
    return parser.parse_args(arguments)


def load(path, wanted_format):
    with open(path, encoding="utf-8") as file:
        record = json.load(file)
    if record.get("format") != wanted_format:
        raise ValueError(f"{path}: made by an older benchmark; run it again")
    return record


def to_markdown(name, paths, records):
    parts = [f"# {name}: what moving a tree costs",
             "`make report-tunnel` wrote this page, and every number on it, from "
             f"{' and '.join(f'`{path.name}`' for path in paths)}. What is measured and how: "
             "[benchmarks/README.md](../../benchmarks/README.md). Times are medians; a ratio is "
             "the median of the repetitions', with the least and the greatest.",
             *map(describe, records)]
    for title, make_table in SECTIONS:
        header, rows = make_table(records)
        if rows:
            parts += [f"## {title}", table(header, rows)]
    return "\n\n".join(parts) + "\n"


def describe(record):
    machine, control = record["machine"], record["control"]
    text = (f"**Python {version(record)}**: {machine['cpu']}, {machine['cores']} cores, commit "
            f"{machine['commit']}, {record['repeat']} repetitions; control "
            f"{median(control['samples']):.2f} ({min(control['samples']):.2f} .. "
            f"{max(control['samples']):.2f}) of {control['threads']}; JSON: {record['json']}.")
    if record["sizes_divided_by"] > 1:
        text += f" **Sizes divided by {record['sizes_divided_by']}.**"
    if record["skipped"]:
        text += f" Skipped: {', '.join(record['skipped'])}."
    return text


def version(record):
    return record["machine"]["python"].split()[0]


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
