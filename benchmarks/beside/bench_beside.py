"""This build of objtunnel beside another one, each sample in a process of its own, by turns. See benchmarks/README.md.

    git worktree add ../other REVISION && make -C ../other
    make bench-beside OTHER=../other BENCH_ARGS="--filter popitem --json docs/results/beside-NAME-cp313.json"

OTHER: a checkout that was built with the same Python, and how it differs is in the record. This build takes part twice:
the figure of `again` says how far two samples of the same thing are apart.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from objtunnel.demo.table import format_table, format_time

import command
from formats import factor, number
from intervals import Figure

import beside_cases

HERE = Path(__file__).resolve().parent
TREE = HERE.parents[1]
SOURCES = ("runtime", "tunnel", "objects", "objtunnel", "python", "atomics", "include")
LIMIT_S = 120  # for one sample
LONGEST_CHANGE = 400  # lines; of a longer one only the commit is said


def main():
    return command.main(command.parser_for(__doc__), list(beside_cases.CASES), Run)


class Run(command.Run):
    repetitions = 11

    def __init__(self, options):
        super().__init__(options, control_seconds=0.002 if options.smoke else 0.1)
        self.other = Path(os.environ.get("OTHER") or TREE).resolve()
        self.libraries = {"this": library_of(TREE), "again": library_of(TREE), "other": library_of(self.other)}

    def run(self, names):
        record = {**self.begin(), "other": difference(self.other), "cases": {}}
        for name in names:
            record["cases"][name] = self.measure(name)
            print(table({name: record["cases"][name]}), flush=True)
        return record

    def measure(self, name):
        """{"times": {build: [seconds for one operation]}, "control": [...]}."""
        count = beside_cases.CASES[name][1]
        case = {"times": {build: [] for build in self.libraries}, "control": []}
        answers = set()
        for build in command.alternate(self.libraries, self.repeat, lambda: case["control"].append(self.control.sample())):
            told = sample(self.libraries[build], name, count // 100 if self.smoke else count)
            case["times"][build].append(told["seconds"])
            answers.add(json.dumps(told["answer"]))
        if len(answers) > 1:
            raise SystemExit(f"bench_beside: {name}: the builds answer differently: {answers}")
        return case


def library_of(tree):
    """Where the tree's `make` has put the package: in the build folder of the same name as that of this one."""
    import objtunnel
    lib = Path(objtunnel.__file__).resolve().parents[1]
    found = tree / lib.relative_to(TREE) if lib.is_relative_to(TREE) else lib
    if not (found / "objtunnel").is_dir():
        raise SystemExit(f"bench_beside: {found} has no objtunnel: run make in {tree}")
    return found


def sample(library, name, count):
    """Files of the benchmark come from here whichever the build is."""
    path = os.pathsep.join([str(library), str(HERE), str(HERE.parent / "common")])
    done = subprocess.run([sys.executable, "-c", "import beside_cases; beside_cases.main()", name, str(count)],
                          capture_output=True, text=True, timeout=LIMIT_S, env={**os.environ, "PYTHONPATH": path})
    if done.returncode != 0:
        raise SystemExit(f"bench_beside: {name} with {library}:\n{done.stderr}")
    return json.loads(done.stdout)


def difference(other):
    """{"commit", "change"}: from this tree's sources to the other's."""
    commit = subprocess.run(["git", "-C", other, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    change = []
    for folder in SOURCES:
        done = subprocess.run(["diff", "-ru", "--exclude=__pycache__", f"--label=this/{folder}", f"--label=other/{folder}",
                               TREE / folder, other / folder], capture_output=True, text=True)
        change += [line for line in done.stdout.splitlines() if not line.startswith("diff ")]
    return {"commit": commit.stdout.strip() or None, "change": change if len(change) <= LONGEST_CHANGE else None}


def ratio(case, build):
    """How many times as long as this build the other takes: the median of the repetitions' ratios, with its interval."""
    return Figure.of([there / here for there, here in zip(case["times"][build], case["times"]["this"])])


def table(cases):
    rows = []
    for name, case in cases.items():
        rows.append([name, format_time(Figure.of(case["times"]["this"]).mid),
                     *(factor(ratio(case, build)) for build in ("other", "again")), number(Figure.of(case["control"]).mid)])
    return format_table(["case", "this", "other / this", "this again / this", "control"], rows)


if __name__ == "__main__":
    sys.exit(main())
