"""What importing objtunnel costs a program that does nothing with it: its heap serves all objects then.

    make bench-heap BENCH_ARGS="--json docs/results/heap-NAME-cp313.json"
    make bench-heap BENCH_ARGS="--json FILE --seconds 300"      # a piece; the next call does what is missing
    make report-heap

The workloads are pyperformance's, timed by pyperf. Each runs with and without objtunnel imported, by turns, in
processes of its own. See benchmarks/README.md.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import command
import files
import heap_page

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "common"))
import pyperformance_programs  # noqa: E402

WAYS = ("stock", "objtunnel")
GOOD_CONTROL = 0.9  # of the ideal; below it no figure is kept
TRIES = 3
TREE = "a_big_tree"  # a case of our own: what memory 400,000 dicts leave
TREE_PROGRAM = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import sitecustomize
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
start, clock = resident(), time.perf_counter
times = [clock()]
tree = [{"a": i, "b": [i]} for i in range(int(sys.argv[2]))]
times.append(clock())
full = resident()
del tree
times.append(clock())
for _ in range(20):
    time.sleep(0.1)
    _ = [object() for _ in range(1000)]
print(json.dumps({"built": full - start, "left": resident() - start, "build": times[1] - times[0],
                  "delete": times[2] - times[1]}))
"""


def workloads():
    """{name: [program, argument, ...]}."""
    try:
        return pyperformance_programs.workloads()
    except pyperformance_programs.NotInstalled as error:
        sys.exit(f"bench-heap: {error}; make bench-heap installs it")


def environment(way):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OT_", "PYTHON", "MIMALLOC_"))}
    package = str(Path(sys.modules["objtunnel"].__file__).resolve().parents[1])
    return {**kept, "OT_BENCH_HEAP": way, "PYTHONPATH": os.pathsep.join([str(HERE / "imports"), package])}


# ---- one sample -----------------------------------------------------------------------------------


def run_workload(program, way, smoke, values=3, loops=None):
    """{benchmark: {"values": [seconds, ...], "peak": bytes, "loops": int}} of one process."""
    return pyperformance_programs.run(
        sys.executable, program, pyperformance_programs.size(smoke, values, loops), environment(way),
        ("OT_BENCH_HEAP", "PYTHONPATH"))


def run_tree(way, smoke):
    done = subprocess.run([sys.executable, "-c", TREE_PROGRAM, str(HERE / "imports"), "4000" if smoke else "400000"],
                          env=environment(way), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


# ---- all of them ----------------------------------------------------------------------------------


class Run(command.Run):
    """What FILE holds already is kept, so that a run can be made in pieces."""

    repetitions = 5

    def __init__(self, options):
        super().__init__(options)
        self.options = options
        self.programs = workloads()

    def run(self, names):
        beginning = self.begin()
        description = beginning.pop("machine")
        record = {**beginning, "pieces": [], "workloads": {}, "tree": {}, **self.earlier()}
        record["pieces"].append({"machine": description, "control": []})
        end = time.monotonic() + self.options.seconds
        for name in names:
            if name in record["workloads"] or (name == TREE and record["tree"]):
                continue
            if time.monotonic() > end:
                print(f"bench-heap: {self.options.seconds:g} s are over; the next call goes on with {name}",
                      file=sys.stderr)
                break
            samples, control = self.beside_a_good_control(name)
            if samples is None:
                print(f"{name}: left out for now, the machine is busy (control {control:.2f}); the next call tries again",
                      file=sys.stderr)
                continue
            record["pieces"][-1]["control"].append(control)
            if name == TREE:
                record["tree"] = samples
            else:
                record["workloads"][name] = samples
            self.keep(record)
            print(f"{name}: {heap_page.one_line(name, samples)}", flush=True)
        print("\n".join(heap_page.as_text(record)))
        return record

    def earlier(self):
        found = {} if self.smoke else files.so_far(self.options.json)
        if found and (found["format"] != self.format or found["repeat"] != self.repeat):
            sys.exit(f"bench-heap: {self.options.json} is of another kind of run; choose another file")
        return found

    def keep(self, record):
        if self.options.json is not None:
            files.write_json(self.options.json, record)

    def beside_a_good_control(self, name):
        """(samples, control): the lower of a control before and one after. No samples if that was too low each time."""
        for _ in range(TRIES):
            before = self.control.sample()
            samples = self.alternate(name)
            control = min(before, self.control.sample())
            if control >= GOOD_CONTROL * self.control.threads or self.smoke:
                return samples, control
        return None, control

    def alternate(self, name):
        """{way: [a process's result, ...]}; the order turns round in each repetition."""
        samples = {way: [] for way in WAYS}
        loops, values = None, 1 if self.options.quick else 3
        for way in command.alternate(WAYS, self.repeat):
            if name == TREE:
                samples[way].append(run_tree(way, self.smoke))
                continue
            found = run_workload(self.programs[name], way, self.smoke, values, loops)
            samples[way].append(found)
            if len(found) == 1:  # several of one program may differ in their loops
                loops = next(iter(found.values()))["loops"]
        return samples


def main():
    parser = command.parser_for(__doc__, quick="three repetitions of one value each",
                                smoke="one value of two workloads, to see that it runs")
    parser.add_argument("--seconds", type=float, default=float("inf"), metavar="S",
                        help="start no workload after so long; another call goes on")
    names = [TREE, *workloads()]
    if "--smoke" in sys.argv and not any(argument.startswith("--filter") for argument in sys.argv):
        sys.argv += ["--filter", f"^({TREE}|json_loads|nqueens)$"]
    return command.main(parser, names, Run)


if __name__ == "__main__":
    sys.exit(main())
