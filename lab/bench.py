"""What refcounts cost in CPython itself: all variants that lab/build has made, measured in turns.

    make lab-bench                                           # all of it, ten minutes
    make lab-bench BENCH_ARGS="--json docs/results/lab-NAME.json"
    make lab-bench BENCH_ARGS="--quick"                      # to see that it runs

Groups: `single` (each workload alone, every variant), `parallel` (1..N interpreters with a
GIL each; free-threaded: 1..N threads), `heap` (what serves objects: OBJTUNNEL_HEAP and PYTHONMALLOC,
on the stock variant); and, only where --groups names it, `pyperformance` (its workloads that need nothing
but pyperf, which times them: an hour or two). The repetition is the outermost loop and the variants are the innermost, in
another order each time, so that what the machine does to one it does to all. Every sample is a
process of its own. The control, how much the machine gives N independent C threads, is sampled in
every repetition. A sample whose threads were not on their CPUs nearly all the time is taken again, and
counted. --json wants a tree without changes: a figure belongs to a commit.

--cpus chooses the CPUs; --pairs lets two interpreters meet on each kind of pair that there is: two
hyperthreads of a core, two cores of a socket, two sockets. What the file has: lab.schema.json.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "benchmarks" / "common")]
import files  # noqa: E402
import pyperformance_programs  # noqa: E402
import topology  # noqa: E402
import workloads  # noqa: E402
from intervals import geometric  # noqa: E402
from progress import say_on  # noqa: E402

SCHEMA = 2
VARIANTS = ("stock", "c11-relaxed", "c11-acq-rel", "lock", "lock-all", "plain-all", "lock-2006",
            "stock-unspecialised", "free-threaded", "stock-pgo", "lock-pgo")
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
GROUPS = ("single", "parallel", "heap", "pyperformance")
VALUES = 3  # of each process of pyperf; their median counts
LIMIT = 120  # seconds for a sample that takes less than one
UNDISTURBED = 0.95  # of a sample's time its threads were on their CPUs; otherwise it is taken again
AGAIN = 3  # at most so often


@dataclass
class Case:
    """What is measured again and again: `rates` has the runs a second, of all threads together."""

    group: str
    workload: str
    variant: str
    way: str
    threads: int
    heap: str | None = None
    place: str | None = None  # which kind of pair of CPUs; None: the first ones
    rates: list = field(default_factory=list)
    per_thread: list = field(default_factory=list)
    discarded: int = 0  # samples in which somebody else had a core

    @property
    def name(self):
        more = "".join(f"/{what}" for what in (self.heap, self.place) if what)
        return f"{self.group}_{self.workload}/{self.variant}{more}/{self.way}/{self.threads}"

    @property
    def waits(self):
        """Whether its threads leave their CPUs on purpose: for each other, for a lock, for a message. Of pyperf's
        processes we do not know."""
        return self.group in ("heap", "pyperformance") or self.way == "threads"


class Failed(Exception):
    """A sample could not be taken."""


# ---- the plan -----------------------------------------------------------------------------------

def plan(variants, counts, groups, wanted=lambda workload: True, places=(), programs=()):
    """The cases, in groups that are sampled in turns: [[Case, ...], ...]. wanted: says it of a workload's name; places:
    kinds of pairs; programs: the names of pyperformance's workloads."""
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
        rows += [[Case("parallel", make.__name__, v, way_of(v), 2, place=place) for v in variants]
                 for place in places for make in workloads.PARALLEL]
    if "heap" in groups and BASE in variants:
        rows += heap_rows(counts)
    if "pyperformance" in groups:
        rows += [[Case("pyperformance", name, v, "alone", 1) for v in variants] for name in programs]
    return [row for row in rows if row and wanted(row[0].workload)]


def wanted_by(options):
    """plan()'s `wanted`, by the options --filter and --workloads."""
    names = options.workloads and set(options.workloads.split(","))
    return lambda workload: options.filter in workload and (not names or workload in names)


def unknown_workloads(options, programs):
    """What --workloads names and no group has, a sorted list."""
    known = {*workloads.ALL, "hand_over", *programs}
    return sorted(set(options.workloads.split(",")) - known) if options.workloads else []


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
    """Where the variants lie, and how one of them is asked for a sample. programs: pyperformance's workloads."""

    def __init__(self, folder, package, cpus, programs=None):
        self.folder, self.package = Path(folder), package
        self.programs = programs
        self.topology = topology.describe(cpus)
        self.cpus = topology.in_order(self.topology)
        self.pairs = topology.pairs(self.topology)

    def python(self, variant):
        return self.folder / variant / "bin" / "python3"

    def built(self):
        return [v for v in VARIANTS if (self.folder / v / ".recipe").exists()]

    def sample(self, case, seconds):
        """(runs a second of each thread, results): of the first of AGAIN samples that was undisturbed, or
        the last of them."""
        if case.group == "pyperformance":
            return [self.programs.rate(self.python(case.variant), case.workload, self.cpus[0])], [None]
        for _ in range(AGAIN):
            answer = self._sample(case, seconds)
            if case.waits or all(used >= UNDISTURBED * ns for _, _, ns, used in answer):
                break
            case.discarded += 1
        return [runs * 1e9 / ns for _, runs, ns, _ in answer], [row[0] for row in answer]

    def _sample(self, case, seconds):
        cpus = [self.cpus[i % len(self.cpus)] for i in range(case.threads)]
        if case.place is not None:
            cpus = list(self.pairs[case.place])
        order = {"workload": case.workload, "way": case.way, "cpus": cpus, "seconds": seconds}
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith("PYTHON") and k != "OBJTUNNEL_HEAP"}
        if case.heap is not None:
            environment |= HEAPS[case.heap]
            if case.heap != PER_INTERPRETER:
                order["package"] = self.package
        return self._ask(case, order, environment)

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
        return {name: without_paths(value, self.folder) for name, value in json.loads(done.stdout).items()}


class Programs:
    """pyperformance's workloads, run by a variant's Python. They say nothing of what they compute."""

    def __init__(self, quick):
        self.all = pyperformance_programs.workloads()
        self.versions = {name: importlib.metadata.version(name) for name in ("pyperformance", "pyperf")}
        self._quick, self._loops = quick, {}
        # pyperf alone: of what else lies beside it, extensions were compiled for other counts than the variant's.
        self._library = tempfile.TemporaryDirectory()
        pyperf = Path(importlib.util.find_spec("pyperf").origin).parent
        (Path(self._library.name) / "pyperf").symlink_to(pyperf)

    def rate(self, python, name, cpu):
        """Runs a second. Of a program that times several things: their geometric mean."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k != "OBJTUNNEL_HEAP"}
        options = [*pyperformance_programs.size(self._quick, VALUES, self._loops.get(name)), f"--affinity={cpu}"]
        try:
            found = pyperformance_programs.run(python, self.all[name], options, {
                **environment, "PYTHONPATH": self._library.name}, ["PYTHONPATH"])
        except RuntimeError as error:
            raise Failed(f"{name} with {python}: {error}") from error
        if len(found) == 1:  # several of one program may differ in their loops
            self._loops.setdefault(name, next(iter(found.values()))["loops"])
        return 1 / geometric([median(one["values"]) for one in found.values()])


def without_paths(value, folder):
    """A flag's text without where the build folder lies on this machine."""
    if not isinstance(value, str):
        return value
    return value.replace(str(folder.resolve()), "LAB").replace(str(folder), "LAB")


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


def make_control():
    """times_one(n): how many times one C thread's work n of them do right now."""
    from objtunnel.demo.control import Control

    controls = {}

    def times_one(n):
        if n not in controls:
            controls[n] = Control(n)
        return controls[n].sample()
    return times_one


def record(lab, variants, rows, control, options, about):
    cases = [{"group": c.group, "workload": c.workload, "variant": c.variant, "way": c.way,
              "threads": c.threads, "heap": c.heap, "place": c.place, "rates": c.rates,
              "per_thread": c.per_thread, "discarded": c.discarded} for row in rows for c in row]
    texts = {make.__name__: " ".join(make.__doc__.split()) for make in workloads.ALL.values()}
    return {
        "schema": SCHEMA, "kind": "lab",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cpu": about["cpu"], "cpus": lab.cpus, "kernel": platform.release(),
                    "load": about["load"], "stolen_ticks": about["stolen_ticks"],
                    "topology": lab.topology},
        "commit": about["commit"],
        "options": {"repeat": options.repeat, "seconds": options.seconds, "quick": options.quick},
        "variants": {v: lab.describe(v) for v in variants},
        "workloads": {name: texts[name] for name in texts},
        "pyperformance": lab.programs and {**lab.programs.versions, "left_out": [
            name for name in lab.programs.all if not wanted_by(options)(name)]},
        "control": control, "cases": cases,
    }


def describe_machine():
    """benchmarks/common/machine.py's, which needs objtunnel. Before anything runs: the load is then not
    our own, and the tree not yet changed by our own results file."""
    import machine
    return machine.describe()


def unfit(options, commit):
    """Why no results file can be written from here, or None."""
    if not options.json or options.quick:
        return None
    if commit is None:
        return "--json wants a git checkout: figures belong to a commit"
    if commit.endswith("+"):
        return "--json wants a tree without changes: commit them, or measure without --json"
    return None


def table(rows, out):
    """One aligned row per case: runs a second, spread, ratio to the row's first case."""
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
    parser.add_argument("--groups", default="single,parallel,heap", help="some of: " + ",".join(GROUPS))
    parser.add_argument("--filter", default="", help="only workloads whose name has this in it")
    parser.add_argument("--workloads", help="only these, by their whole names, such as fib,nbody")
    parser.add_argument("--cpus", help="which CPUs, such as 0-3,8 (all that we may use)")
    parser.add_argument("--pairs", action="store_true", help="two interpreters on each kind of pair of CPUs")
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
    allowed = os.sched_getaffinity(0)
    chosen = set(topology.cpu_list(options.cpus)) if options.cpus else allowed
    if not chosen or chosen - allowed:
        print(f"lab-bench: --cpus {options.cpus}: we may use {sorted(allowed)}", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, chosen)  # the control's threads, too
    groups = options.groups.split(",")
    if unknown := set(groups) - set(GROUPS):
        print(f"lab-bench: --groups {','.join(sorted(unknown))}: there are {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    try:
        programs = Programs(options.quick) if "pyperformance" in groups else None
    except pyperformance_programs.NotInstalled as error:
        print(f"lab-bench: {error}; make lab-bench PYPERFORMANCE=1 installs it", file=sys.stderr)
        return 2
    lab = Lab(options.lab, options.package, chosen, programs)
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
    if "heap" in groups and options.package is None:
        print("lab-bench: --groups heap wants --package", file=sys.stderr)
        return 2
    if unknown := unknown_workloads(options, programs.all if programs else ()):
        print(f"lab-bench: --workloads {','.join(unknown)}: there are no such workloads", file=sys.stderr)
        return 2
    counts = thread_counts(options.threads, len(lab.cpus))
    rows = plan(variants, counts, groups, wanted_by(options), lab.pairs if options.pairs else (),
                programs.all if programs else ())
    if not rows:
        among = f" of {options.workloads}" if options.workloads else ""
        print(f"lab-bench: no workload{among} of the groups {options.groups} has {options.filter!r} in its name", file=sys.stderr)
        return 2
    about = describe_machine()
    if why := unfit(options, about["commit"]):
        print(f"lab-bench: {why}", file=sys.stderr)
        return 2
    if options.json:
        files.try_to_write(options.json)  # better now than after ten minutes
    if about["load"][0] > 0.5:
        print(f"lab-bench: the machine is busy (load {about['load'][0]:.1f}): do not quote these figures",
              file=sys.stderr)
    stolen = topology.stolen()
    try:
        control = run(lab, rows, make_control(), counts, options.repeat, options.seconds,
                      say_on(sys.stderr))
    except Failed as error:
        print(f"\nlab-bench: {error}", file=sys.stderr)
        return 1
    sys.stderr.write("\n")
    table(rows, sys.stdout)
    about["stolen_ticks"] = None if stolen is None else topology.stolen() - stolen
    if options.json:
        whole = record(lab, variants, rows, control, options, about)
        files.write_json(options.json, whole)
    return 0


if __name__ == "__main__":
    sys.exit(main())
