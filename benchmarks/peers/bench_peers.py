"""The same workloads by objtunnel and by its peers, in one run. See benchmarks/README.md.

    make bench-peers BENCH_ARGS="--filter 'json|words' --json docs/results/peers-NAME-cp314.json"

FREE_THREADED=PROGRAM: a free-threaded Python, whose threads are one way more.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from objtunnel._progress import progress

import command
import libraries
import peer_tables
import ways
import workloads

LIMIT_S = 300  # for one sample: a way that waits for ever is left out
HERE = Path(__file__).resolve().parent


def main():
    return command.main(command.parser_for(__doc__), list(workloads.WORKLOADS), Run)


class Run(command.Run):
    """One invocation. Each sample is a process of its own, so that no way has another one's memory or workers beside it."""

    repetitions = 7

    def __init__(self, options):
        super().__init__(options)
        self.programs = dict.fromkeys([*ways.WAYS, *libraries.WAYS], sys.executable)
        if os.environ.get("FREE_THREADED"):
            self.programs["free-threaded"] = os.environ["FREE_THREADED"]

    def run(self, names):
        record = {**self.begin(), "workloads": {}}
        for name in progress(names, "measuring"):
            record["workloads"][name] = self.measure(name)
        print(peer_tables.as_text(record))
        return record

    def measure(self, name):
        """{"times": {way: [seconds]}, "memory": {way: [bytes]}, "left_out": {way: reason}, "control": [...]}."""
        case = {"times": {}, "memory": {}, "left_out": {}, "control": []}
        answers = {}
        for way in command.alternate(self.programs, self.repeat, lambda: case["control"].append(self.control.sample())):
            if way not in case["left_out"]:
                self.sample(name, way, case, answers)
        if len(set(answers.values())) > 1:
            raise SystemExit(f"bench_peers: {name}: the answers differ: {answers}")
        return case

    def sample(self, name, way, case, answers):
        run_as = "threads" if way == "free-threaded" else way
        try:
            done = subprocess.run([self.programs[way], str(HERE / "one.py"), name, run_as, str(self.workers),
                                   "smoke" if self.smoke else "full"], capture_output=True, text=True, timeout=LIMIT_S,
                                  env={**os.environ, "PEERS_TEXTS": str(Path(json.__file__).parents[1])})
        except subprocess.TimeoutExpired:
            case["left_out"][way] = f"no end after {LIMIT_S} s"
            return
        if done.returncode != 0:
            case["left_out"][way] = (done.stderr.strip().splitlines() or ["no output"])[-1]
            return
        result = json.loads(done.stdout.splitlines()[0])  # extrainterpreters prints at exit
        if "not" in result:
            case["left_out"][way] = result["not"]
            return
        answers[way] = json.dumps(result["answer"])
        case["times"].setdefault(way, []).append(result["seconds"])
        case["memory"].setdefault(way, []).append(result["memory"])


if __name__ == "__main__":
    sys.exit(main())
