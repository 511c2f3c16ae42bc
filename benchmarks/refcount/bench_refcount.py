"""What refcounts and locks cost: runs the C program, prints its tables, writes the results file.

    make bench-refcount BENCH_ARGS="--patterns shared --json docs/results/refcount-NAME.json"

The program (main.c) measures and prints one JSON object a line (lines.h); medians, intervals and ratios
are made here and by `make report`. All options but --json and --program are the program's.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE), str(HERE.parent / "common")]
import files  # noqa: E402
import refcount_page  # noqa: E402
from progress import clear, say_on  # noqa: E402
from results import Results  # noqa: E402

COUNTERS = {"cycles_per_op": "cycles", "instructions_per_op": "instructions",
            "misses_per_op": "cache misses", "hitm_per_op": "HITM loads"}


class Failed(Exception):
    """The program printed what it should not have."""


class Record:
    """The results file, line by line."""

    def __init__(self):
        self.run, self.weight = None, 0
        self.cases, self.controls, self.skipped = {}, [], []

    def add(self, line):
        """Takes in one line, parsed; returns what kind it was."""
        kind = line.pop("line")
        if (self.run is None) != (kind == "run"):
            raise Failed(f"the program began with a line {kind!r}" if self.run is None
                         else "the program began twice")
        if kind == "run":
            self.run, self.weight = line, line.pop("weight")
        elif kind == "case":
            self.cases[key_of(line)] = {**line, "ns": [], "ops_per_s": [], "fairness": [], "latency": [], "ops": 0,
                                        **dict.fromkeys(COUNTERS, 0)}
        elif kind == "sample":
            self._add_sample(line)
        elif kind == "control":
            self.controls.append(line)
        elif kind == "skipped":
            self.skipped.append(line)
        elif kind != "end":
            raise Failed(f"the program printed a line {kind!r}, which nobody knows")
        return kind

    def _add_sample(self, line):
        case = self.cases[key_of(line)]
        if line["repetition"] != len(case["ns"]):
            raise Failed(f"repetition {line['repetition']} of {key_of(line)} came out of order")
        for name in ("ns", "ops_per_s", "fairness", "latency"):
            case[name].append(line[name])
        case["ops"] += line["ops"]
        for field, counter in COUNTERS.items():
            counted = line[counter]
            case[field] = None if counted is None or case[field] is None else case[field] + counted

    def whole(self):
        """As `make report` reads it."""
        cases = []
        for case in self.cases.values():
            case = dict(case)
            ops = case.pop("ops")
            if not any(case["latency"]):
                case["latency"] = None  # its pairs were not timed one by one
            for field in COUNTERS:
                case[field] = case[field] / ops if case[field] and ops else None
            cases.append(case)
        return {**self.run, "control": self.controls, "cases": cases, "skipped": self.skipped}


def key_of(line):
    return line["pattern"], line["size"], line["variant"], line["threads"]


def measure(program, arguments, say, show):
    """The program's record. show(record, group): after each group of cases."""
    record, group, done = Record(), [], 0
    with subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True) as process:
        for text in process.stdout:
            try:
                line = json.loads(text)
            except json.JSONDecodeError:  # --help, --list
                print(text, end="")
                continue
            weight = line.pop("weight", 0) if line["line"] == "sample" else 0
            kind = record.add(line)
            if kind == "case":
                group.append(key_of(line))
            elif kind == "sample":
                done += weight
                say(f"{100 * done / record.weight:.0f} %, {line['pattern']}, "
                    f"{line['threads']} threads")
            elif kind == "end":
                show(record, group)
                group = []
    if process.returncode != 0:
        raise SystemExit(process.returncode)
    return record if record.run is not None else None


def show_on(out):
    """Prints the table of a group."""
    from tabulate import tabulate

    def show(record, group):
        clear(sys.stderr)
        results = Results(record.whole())
        here = {(pattern, size, n) for pattern, size, _, n in group}
        for title, rows in refcount_page.groups(results, here):
            out.write(f"\n== {title}\n")
            out.write(tabulate(rows, refcount_page.OVERVIEW, disable_numparse=True) + "\n")
        for row in results.skipped:
            if (row["pattern"], row["size"], row["variant"], row["threads"]) in group:
                out.write(f"skipped: {row['variant']}: {row['why']}\n")
        out.flush()
    return show


def unfit(options, run):
    """Why no results file may be written, or None."""
    commit = run["build"]["commit"]
    if options.json and not options.smoke and (commit or "+").endswith("+"):
        return ("--json wants a program built from a git checkout without changes: commit them, or "
                "measure without --json")
    return None


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], add_help=False,
                                     allow_abbrev=False)
    parser.add_argument("--program", required=True, type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--smoke", action="store_true")
    options, rest = parser.parse_known_args(arguments)
    if options.json and (why := unfit(options, first_line(options.program))):
        print(f"bench-refcount: {why}", file=sys.stderr)
        return 2
    if options.json:
        files.try_to_write(options.json)  # better now than after two minutes
    if options.smoke:
        rest.append("--smoke")
    try:
        record = measure(options.program, rest, say_on(sys.stderr), show_on(sys.stdout))
    except Failed as error:
        print(f"bench-refcount: {error}", file=sys.stderr)
        return 1
    if options.json and record is not None:
        files.write_json(options.json, record.whole())
    return 0


def first_line(program):
    """What the program says of itself."""
    done = subprocess.run([program, "--smoke", "--patterns", "private", "--variants", "plain",
                           "--threads", "1"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[0])


if __name__ == "__main__":
    sys.exit(main())
