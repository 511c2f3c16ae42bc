"""What refcounts cost in CPython itself: all variants that lab/build has made, measured in turns.

    make lab-bench                                           # all of it, ten minutes
    make lab-bench BENCH_ARGS="--json docs/results/lab-NAME.json"
    make lab-bench BENCH_ARGS="--quick"                      # to see that it runs

Three groups: `single` (each workload alone, every variant), `parallel` (1..N interpreters with a
GIL each; free-threaded: 1..N threads), `heap` (what serves objects: OBJTUNNEL_HEAP and PYTHONMALLOC,
on the stock variant). The repetition is the outermost loop and the variants are the innermost, in
another order each time, so that what the machine does to one it does to all. Every sample is a
process of its own. The control, how much the machine gives N independent C threads, is sampled in
every repetition.
"""

import argparse
import datetime
import json
import os
import platform
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import workloads  # noqa: E402

SCHEMA = 1
VARIANTS = ("stock", "c11-relaxed", "c11-acq-rel", "lock", "lock-all", "free-threaded")
BASE = "stock"
THREADED = "free-threaded"
# What serves objects. None: CPython's own choice, pymalloc, which is per interpreter.
HEAPS = {
    "pymalloc": {},
    "malloc": {"PYTHONMALLOC": "malloc"},
    "mimalloc": {"OBJTUNNEL_HEAP": "mimalloc"},
    "lockinc": {"OBJTUNNEL_HEAP": "lockinc"},
    "lockinc-classes": {"OBJTUNNEL_HEAP": "lockinc-classes"},
}
PER_INTERPRETER = "pymalloc"
LIMIT = 120  # seconds for a sample that takes less than one


@dataclass
class Case:
    """What is measured again and again: `rates` has the runs a second, of all threads together."""

    group: str
    workload: str
    variant: str
    way: str
    threads: int
    heap: str | None = None
    rates: list = field(default_factory=list)
    per_thread: list = field(default_factory=list)

    @property
    def name(self):
        heap = f"/{self.heap}" if self.heap else ""
        return f"{self.group}_{self.workload}/{self.variant}{heap}/{self.way}/{self.threads}"


class Failed(Exception):
    """A sample could not be taken."""


# ---- the plan -----------------------------------------------------------------------------------

def plan(variants, counts, groups, workload_filter=""):
    """The cases, in groups that are sampled in turns: [[Case, ...], ...]."""
    rows = []
    if "single" in groups:
        rows += [[Case("single", make.__name__, v, "alone", 1) for v in variants]
                 for make in workloads.SINGLE]
    if "parallel" in groups:
        rows += [[Case("parallel", make.__name__, v, way_of(v), n) for v in variants]
                 for make in workloads.PARALLEL for n in counts]
        if THREADED in variants:
            shared = workloads.shared_objects.__name__
            rows += [[Case("parallel", shared, THREADED, "threads", n)] for n in counts]
    if "heap" in groups and BASE in variants:
        rows += heap_rows(counts)
    return [row for row in rows if row and workload_filter in row[0].workload]


def way_of(variant):
    return "threads" if variant == THREADED else "interpreters"


def heap_rows(counts):
    allocation = workloads.allocation.__name__
    rows = [[Case("heap", allocation, BASE, "interpreters", n, heap) for heap in HEAPS]
            for n in counts]
    if max(counts) > 1:
        rows.append([Case("heap", "hand_over", BASE, "hand_over", 2, heap)
                     for heap in HEAPS if heap != PER_INTERPRETER])
    return rows


# ---- a sample -----------------------------------------------------------------------------------

class Lab:
    """Where the variants lie, and how one of them is asked for a sample."""

    def __init__(self, folder, package, cpus):
        self.folder, self.package, self.cpus = Path(folder), package, sorted(cpus)

    def python(self, variant):
        return self.folder / variant / "bin" / "python3"

    def built(self):
        return [v for v in VARIANTS if (self.folder / v / ".recipe").exists()]

    def sample(self, case, seconds):
        """Runs a second of each thread."""
        cpus = [self.cpus[i % len(self.cpus)] for i in range(case.threads)]
        order = {"workload": case.workload, "way": case.way, "cpus": cpus, "seconds": seconds}
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith("PYTHON") and k != "OBJTUNNEL_HEAP"}
        if case.heap is not None:
            environment |= HEAPS[case.heap]
            if case.heap != PER_INTERPRETER:
                order["package"] = self.package
        answer = self._ask(case, order, environment)
        return [runs * 1e9 / ns for _, runs, ns in answer], [row[0] for row in answer]

    def _ask(self, case, order, environment):
        # Not -I: PYTHONMALLOC must be heard. Nothing else of ours is in the environment.
        command = [self.python(case.variant), "-s", "-P", HERE / "worker.py", json.dumps(order)]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True,
                                  timeout=LIMIT)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{case.name}: no answer in {LIMIT} s") from error
        if done.returncode != 0:
            raise Failed(f"{case.name}: exit status {done.returncode}\n{done.stderr.strip()}")
        return json.loads(done.stdout)["samples"]

    def describe(self, variant):
        """Version, flags and kind of refcount, as the variant itself says."""
        code = ("import sys, sysconfig, json; v = sysconfig.get_config_var; "
                "print(json.dumps({'version': sys.version, 'cflags': v('PY_CFLAGS'), "
                "'configure': v('CONFIG_ARGS'), 'refcount': v('OT_LAB_VARIANT')}))")
        done = subprocess.run([self.python(variant), "-I", "-c", code], capture_output=True,
                              text=True, check=True)
        return json.loads(done.stdout)


class Checker:
    """Every variant computes the same, or it is not measured but wrong."""

    def __init__(self):
        self._results = {}

    def check(self, case, results):
        expected = self._results.setdefault(case.workload, results[0])
        if any(result != expected for result in results):
            raise Failed(f"{case.name}: computed {results}, others {expected}")


# ---- the run ------------------------------------------------------------------------------------

def run(lab, rows, control, counts, repeat, seconds, say, seed=1):
    """Fills the cases; returns the samples of the control."""
    samples, checker, shuffle = [], Checker(), random.Random(seed)
    total = repeat * sum(len(row) for row in rows)
    done, began = 0, monotonic()
    for repetition in range(repeat):
        for row in rows:
            for case in shuffle.sample(row, len(row)):
                rates, results = lab.sample(case, seconds)
                checker.check(case, results)
                case.per_thread.append(rates)
                case.rates.append(sum(rates))
                done += 1
            left = (monotonic() - began) / done * (total - done)
            say(f"repetition {repetition + 1} of {repeat}, {row[0].group} {row[0].workload}: "
                f"{done} of {total} samples, {left:.0f} s left")
        for n in counts:
            if n > 1:
                samples.append({"threads": n, "repetition": repetition,
                                "times_one": control(n)})
    return samples


def say_on(stream):
    """A line that overwrites itself on a terminal; elsewhere one every ten seconds."""
    last = [-10.0]

    def say(text):
        if stream.isatty():
            stream.write(f"\r\033[K{text}")
        elif monotonic() - last[0] >= 10:
            last[0] = monotonic()
            stream.write(f"{text}\n")
        stream.flush()
    return say


def make_control():
    """times_one(n): how many times one C thread's work n of them do right now."""
    from objtunnel.demo.control import Control

    controls = {}

    def times_one(n):
        if n not in controls:
            controls[n] = Control(n)
        return controls[n].sample()
    return times_one


def record(lab, variants, rows, control, options):
    cases = [{"group": c.group, "workload": c.workload, "variant": c.variant, "way": c.way,
              "threads": c.threads, "heap": c.heap, "rates": c.rates,
              "per_thread": c.per_thread} for row in rows for c in row]
    sys.path.insert(0, str(HERE.parent / "benchmarks" / "tunnel"))
    import machine

    about = machine.describe()
    texts = {make.__name__: " ".join(make.__doc__.split()) for make in workloads.ALL.values()}
    return {
        "schema": SCHEMA, "kind": "lab",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cpu": about["cpu"], "cpus": lab.cpus, "kernel": platform.release(),
                    "load": about["load"]},
        "commit": about["commit"],
        "options": {"repeat": options.repeat, "seconds": options.seconds, "quick": options.quick},
        "variants": {v: lab.describe(v) for v in variants},
        "workloads": {name: texts[name] for name in texts},
        "control": control, "cases": cases,
    }


def table(rows, out):
    """One aligned row per case: runs a second, spread, ratio to the row's first case."""
    from statistics import median

    for row in rows:
        base = row[0]
        for case in row:
            ratios = [b / r for b, r in zip(base.rates, case.rates)]
            out.write(f"{case.name:55} {median(case.rates):10.1f} /s  "
                      f"{min(case.rates):10.1f} to {max(case.rates):10.1f}  n={len(case.rates)}  "
                      f"time x{median(ratios):6.2f} ({min(ratios):.2f} to {max(ratios):.2f})\n")


def parse_options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lab", default="build/lab", help="where lab/build put the variants")
    parser.add_argument("--package", help="folder of an objtunnel built for the stock variant")
    parser.add_argument("--variants", help="some of: " + ",".join(VARIANTS))
    parser.add_argument("--groups", default="single,parallel,heap")
    parser.add_argument("--filter", default="", help="only workloads whose name has this in it")
    parser.add_argument("--threads", help="how many at once, such as 1,2,4 (1,2,4 .. all CPUs)")
    parser.add_argument("--repeat", type=int, help="repetitions (7)")
    parser.add_argument("--seconds", type=float, help="of one sample (0.25)")
    parser.add_argument("--quick", action="store_true", help="one short repetition: a smoke test")
    parser.add_argument("--json", metavar="FILE", help="write all samples to FILE")
    options = parser.parse_args(arguments)
    options.repeat = options.repeat or (1 if options.quick else 7)
    options.seconds = options.seconds or (0.05 if options.quick else 0.25)
    return options


def thread_counts(text, cpus):
    if text:
        return sorted({int(n) for n in text.split(",")} | {1})
    doubled = [2 ** i for i in range(10) if 2 ** i < cpus]
    return sorted({*doubled, cpus})


def main(arguments=None):
    options = parse_options(arguments)
    lab = Lab(options.lab, options.package, os.sched_getaffinity(0))
    variants = lab.built()
    if options.variants:
        wanted = options.variants.split(",")
        missing = [v for v in wanted if v not in variants]
        if missing:
            print(f"lab-bench: not built: {', '.join(missing)}; make lab VARIANT={missing[0]}",
                  file=sys.stderr)
            return 2
        variants = [v for v in VARIANTS if v in wanted]
    if not variants:
        print("lab-bench: no variant has been built: make lab", file=sys.stderr)
        return 2
    groups = options.groups.split(",")
    if "heap" in groups and options.package is None:
        print("lab-bench: --groups heap wants --package", file=sys.stderr)
        return 2
    counts = thread_counts(options.threads, len(lab.cpus))
    rows = plan(variants, counts, groups, options.filter)
    if options.json:
        open(options.json, "a").close()  # better now than after ten minutes
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"lab-bench: the machine is busy (load {load:.1f}): do not quote these figures",
              file=sys.stderr)
    try:
        control = run(lab, rows, make_control(), counts, options.repeat, options.seconds,
                      say_on(sys.stderr))
    except Failed as error:
        print(f"\nlab-bench: {error}", file=sys.stderr)
        return 1
    sys.stderr.write("\n")
    table(rows, sys.stdout)
    if options.json:
        whole = record(lab, variants, rows, control, options)
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(whole, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
