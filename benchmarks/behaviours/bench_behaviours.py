"""Behaviours beside bocpy's, in one run: each case in processes of their own, by turns. See benchmarks/README.md.

    make bench-behaviours BENCH_ARGS="--filter rows --json out.json"
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from objtunnel.demo.table import format_table, format_time

import behaviour_goals
import command

SUBJECT = Path(__file__).with_name("subject.py")
OURS, PEER = "from objtunnel import Box as Cown, start, wait, when", "from bocpy import Cown, start, wait, when"
# name -> behaviours of ours, of bocpy's
CASES = {"empty": (20_000, 5_000), "rows_10": (10_000, 2_000), "rows_1000": (2_000, 100), "rows_1000_moved": (1_000, 100), "rows_100000": (40, 4),
         "waiting": (100_000, 100_000), "ring": (100, 100), "readers": (400, None)}
PARALLEL = ("ring", "readers")  # with one worker beside, and the control


def main():
    return command.main(command.parser_for(__doc__), list(CASES), Run)


def has_bocpy():
    return subprocess.run([sys.executable, "-c", "import bocpy"], capture_output=True).returncode == 0


class Run(command.Run):
    def run(self, names):
        record = {**self.begin(), "cases": {}}
        with tempfile.TemporaryDirectory() as folder:
            programs = {"objtunnel": SUBJECT}
            if has_bocpy():
                programs["bocpy"] = Path(folder, "subject_bocpy.py")
                programs["bocpy"].write_text(
                    SUBJECT.read_text(encoding="utf-8").replace(OURS, PEER).replace(", strict=True", ""), encoding="utf-8")
            else:
                print("bocpy is not installed: only ours is measured", file=sys.stderr)
            for name in names:
                record["cases"][name] = self.measure(name, programs)
                print_case(name, record["cases"][name])
        print("\n".join(behaviour_goals.verdicts(record)))
        return record

    def measure(self, name, programs):
        """{"samples": {way: [what the subject told, of each repetition]}, "control": [...]}; what is parallel is measured with
        one worker as well, and beside the control."""
        ways = {way: (way, self.workers) for way in programs if CASES[name][way == "bocpy"] is not None}
        if name in PARALLEL and self.workers > 1:
            ways |= {f"{way}, one worker": (way, 1) for way in ways}
        samples = {label: [] for label in ways}
        controls = []

        def before():
            if name in PARALLEL:
                controls.append(self.control.sample())

        for label in command.alternate(ways, self.repeat, before):
            way, workers = ways[label]
            count = CASES[name][way == "bocpy"] // (20 if self.smoke else 1) or 1
            told = subject(programs[way], name, count, workers)
            samples[label].append({**told, "n": count} if told is not None else None)
        return {"samples": samples, "control": controls}


def subject(program, name, count, workers):
    """What the program tells; None if it fails or hangs."""
    try:
        result = subprocess.run([sys.executable, program, name, str(count), str(workers)], capture_output=True, text=True,
                                timeout=300)
        return json.loads(result.stdout.splitlines()[0])
    except (subprocess.TimeoutExpired, IndexError, ValueError):
        return None


def print_case(name, case):
    rows = []
    for way, samples in sorted(case["samples"].items(), key=lambda item: item[0] != "objtunnel"):
        each = [s["seconds"] / s["n"] for s in samples if s is not None]
        if not each:
            rows.append([name, way, "failed", "", ""])
            continue
        memory = [s["bytes"] / s["n"] for s in samples if s is not None and "bytes" in s]
        rows.append([name, way, format_time(median(each)), f"{format_time(min(each))} to {format_time(max(each))}",
                     f"{median(memory):.0f} bytes each" if memory else ""])
    print(format_table(["case", "", "a behaviour", "from, to", ""], rows))


if __name__ == "__main__":
    sys.exit(main())
