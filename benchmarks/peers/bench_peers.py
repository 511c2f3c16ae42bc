"""The same workloads by objtunnel and by its peers, in one run. See benchmarks/README.md.

    make bench-peers BENCH_ARGS="--filter 'json|words' --json docs/results/peers-NAME-cp314.json"

What FILE holds of other workloads, of the same kind of run on the same CPU, is kept, and which commit it is of.
FREE_THREADED=PROGRAM: a free-threaded Python, whose threads are one way more.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from objtunnel._progress import progress

import command
import files
import libraries
import peer_tables
import ways
import peer_workloads

LIMIT_S = 300  # for one sample: a way that waits for ever is left out
HERE = Path(__file__).resolve().parent


def main():
    return command.main(command.parser_for(__doc__), list(peer_workloads.WORKLOADS), Run)


class Run(command.Run):
    """One invocation. Each sample is a process of its own, so that no way has another one's memory or workers beside it."""

    repetitions = 7

    def __init__(self, options):
        super().__init__(options)
        self.json = options.json
        self.programs = dict.fromkeys([*ways.WAYS, *libraries.WAYS], sys.executable)
        if os.environ.get("FREE_THREADED"):
            self.programs["free-threaded"] = os.environ["FREE_THREADED"]

    def run(self, names):
        record = self.begin()
        earlier = self.earlier(record)
        measured = {name: {**self.measure(name), "commit": record["machine"]["commit"]} for name in progress(names, "measuring")}
        known = earlier | measured
        record["workloads"] = {name: known[name] for name in peer_workloads.WORKLOADS if name in known}
        print(peer_tables.as_text(record))
        return record

    def earlier(self, record):
        """{workload: case} of FILE. It ends the program if they are of another kind of run than record."""
        found = files.so_far(self.json)
        if not found:
            return {}
        for known, now in ((found, record), (found["machine"], record["machine"])):
            for field in ("format", "repeat", "workers", "smoke", "cpu", "python"):
                if known.get(field) != now.get(field):
                    raise SystemExit(f"bench_peers: {self.json} has the {field} {known.get(field)!r}, not {now.get(field)!r};"
                                     " choose another file")
        return {name: {"commit": found["machine"]["commit"], **case} for name, case in found["workloads"].items()}

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
