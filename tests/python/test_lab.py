"""The laboratory without its variants: the benchmark's arithmetic and order, the report's wording,
the worker, and that the patch fits the source it is for."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "lab"
sys.path[:0] = [str(LAB), str(ROOT / "benchmarks" / "refcount")]
import bench  # noqa: E402
import lab_findings  # noqa: E402
import lab_results  # noqa: E402
import workloads  # noqa: E402
from results import BadResults  # noqa: E402

del sys.path[:2]

COSTS = {"stock": 1, "c11-relaxed": 1.5, "c11-acq-rel": 1.5, "lock": 1.5, "lock-all": 3,
         "free-threaded": 1.4}
SCALING = {"stock": 1.9, "c11-relaxed": 1.9, "c11-acq-rel": 1.9, "lock": 1.9, "lock-all": 0.4,
           "free-threaded": 1.8}


def make_record(repeat=5, control=1.95, costs=COSTS, scaling=SCALING, seconds=0.25, noise=0.01):
    """As lab/bench.py writes it; every rate follows from the tables above."""
    cases = []

    def add(group, workload, variant, way, threads, rate, heap=None):
        rates = [rate * (1 + noise * ((i * 7 + len(cases)) % 3 - 1)) for i in range(repeat)]
        cases.append({"group": group, "workload": workload, "variant": variant, "way": way,
                      "threads": threads, "heap": heap, "rates": rates,
                      "per_thread": [[r / threads] * threads for r in rates]})

    for make in workloads.SINGLE:
        for v, cost in costs.items():
            add("single", make.__name__, v, "alone", 1, 1000 / cost)
    for make in workloads.PARALLEL:
        for v, cost in costs.items():
            for n in (1, 2):
                add("parallel", make.__name__, v, bench.way_of(v), n,
                    1000 / cost * (scaling[v] if n > 1 else 1))
    for n in (1, 2):
        add("parallel", "shared_objects", "free-threaded", "threads", n, 1000 / n ** 2)
        for i, heap in enumerate(bench.HEAPS):
            add("heap", "allocation", "stock", "interpreters", n, 1000 / (i + 1) * n, heap)
    for i, heap in enumerate(bench.HEAPS):
        if heap != "pymalloc":
            add("heap", "hand_over", "stock", "hand_over", 2, 300 / (i + 1), heap)
    return {"schema": 1, "kind": "lab", "date": "2026-01-01T00:00:00+00:00", "commit": "abc",
            "machine": {"cpu": "a processor", "cpus": [0, 1], "kernel": "6", "load": [0, 0, 0]},
            "options": {"repeat": repeat, "seconds": seconds, "quick": False},
            "variants": {v: {"version": "3.13.5 (main)", "cflags": " -O3", "configure": "",
                             "refcount": None} for v in costs},
            "workloads": {make.__name__: make.__doc__ for make in workloads.ALL.values()},
            "control": [{"threads": 2, "repetition": i, "times_one": control}
                        for i in range(repeat)],
            "cases": cases}


def text_of(record):
    results = lab_results.Results(record)
    return lab_findings.to_markdown(lab_findings.Findings(results), "lab-x", {})


# ---- figures -------------------------------------------------------------------------------------

def test_costs_and_means_follow_from_the_rates():
    results = lab_results.Results(make_record(noise=0))
    assert results.cost("fib", "lock").mid == pytest.approx(1.5)
    assert results.mean_cost("lock-all").mid == pytest.approx(3)
    assert results.mean_cost("lock-all", "lock").mid == pytest.approx(2)
    assert results.scaling("fib", "lock-all", 2).mid == pytest.approx(0.4)
    assert results.against("fib", "lock-all", "stock", 2).mid == pytest.approx(0.4 / 3 / 1.9)
    assert results.times_one(2).mid == 1.95 and results.many == 2


def test_the_mean_is_geometric_and_taken_in_each_repetition():
    record = make_record(repeat=2, noise=0)
    ratios = {"fib": (2, 8), "nbody": (8, 8)}
    record["cases"] = [c for c in record["cases"]
                       if c["group"] == "single" and c["workload"] in ratios]
    for case in record["cases"]:
        if case["variant"] == "lock":
            case["rates"] = [1000 / r for r in ratios[case["workload"]]]
    mean = lab_results.Results(record).mean_cost("lock")
    assert (mean.low, mean.high, mean.count) == (pytest.approx(4), pytest.approx(8), 2)


def test_ratios_are_within_repetitions():
    """A machine that slows down halfway slows both: the ratio has no spread."""
    record = make_record(noise=0)
    for case in record["cases"]:
        case["rates"] = [rate / (3 if i > 2 else 1) for i, rate in enumerate(case["rates"])]
    cost = lab_results.Results(record).cost("fib", "lock")
    assert cost.low == pytest.approx(cost.high)


@pytest.mark.parametrize("spoil", [
    lambda r: r.update(schema=2), lambda r: r.update(kind="tunnel"), lambda r: r.pop("control"),
    lambda r: r["cases"][0].update(rates=[]), lambda r: r["cases"][0].update(rates=[0.0]),
    lambda r: r["cases"][0].update(rates=[float("nan")]), lambda r: r["cases"][0].pop("heap")])
def test_a_bad_file_is_refused(spoil):
    record = make_record()
    spoil(record)
    with pytest.raises(BadResults):
        lab_results.Results(record)


# ---- wording -------------------------------------------------------------------------------------

def test_the_text_says_what_the_figures_say():
    text = text_of(make_record())
    assert "`lock` against stock, geometric mean of 13 workloads: it takes 1.5" in text
    assert "`lock-all`, 2 interpreters on None: together 0.40" in text
    assert text.count("**less than one alone**") == 5  # four of lock-all, and shared_objects
    assert "Read with care" not in text


def test_the_text_turns_with_the_figures():
    text = text_of(make_record(scaling={**SCALING, "lock-all": 1.9},
                               costs={**COSTS, "lock": 0.5, "lock-all": 0.5}))
    assert text.count("**less than one alone**") == 1
    assert "`lock` against stock, geometric mean of 13 workloads: it is faster by a factor of 2" in (
        text)
    assert "Alone, counting immortal objects too shows no measurable difference" in text


def test_doubts_are_said():
    assert "This is a trial run" in text_of(make_record(repeat=2))
    assert "did not always give its cores" in text_of(make_record(control=1.2))
    uneven = {**COSTS, "c11-acq-rel": 1.8}
    assert "smaller differences mean nothing" in text_of(make_record(costs=uneven))
    record = make_record()
    record["commit"] = "abc+"
    record["machine"]["load"] = [3.0, 0, 0]
    text = text_of(record)
    assert "tree differed" in text and "load when the run ended was 3.0" in text


def test_a_run_of_a_part_has_a_report():
    record = make_record()
    for group in ("single", "parallel", "heap"):
        part = {**record, "cases": [c for c in record["cases"] if c["group"] == group]}
        assert "# lab-x" in text_of(part)
    lock_only = {**record, "cases": [c for c in record["cases"] if c["variant"] == "lock"]}
    assert "# lab-x" in text_of(lock_only)


def test_the_report_is_written_and_repeatable(tmp_path):
    pytest.importorskip("matplotlib", reason="make report installs it")
    source = tmp_path / "lab-x.json"
    source.write_text(json.dumps(make_record()))
    made = []
    for name in ("a", "b"):
        subprocess.run([sys.executable, LAB / "lab_report.py", source, "-o", tmp_path / name],
                       check=True, env={**os.environ, "MPLCONFIGDIR": str(tmp_path)})
        made.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert made[0] == made[1]
    assert {"lab-x.md", "lab-x.html", "lab-x-cost.png", "lab-x-scaling.svg",
            "lab-x-heap.svg"} <= made[0].keys()
    for link in ("lab-x-cost.png", "lab-x-scaling.png", "lab-x-heap.png"):
        assert f"({link})".encode() in made[0]["lab-x.md"]


def test_the_claims_go_between_the_marks():
    sys.path[:0] = [str(LAB), str(ROOT / "benchmarks" / "refcount")]
    try:
        pytest.importorskip("matplotlib", reason="make report installs it")
        import lab_report
    finally:
        del sys.path[:2]
    page = (ROOT / "docs" / "lock-inc.md").read_text()
    findings = lab_findings.Findings(lab_results.Results(make_record()))
    once = lab_report.insert(page, [lab_findings.to_excerpt(findings, "lab-x")])
    assert "### lab-x" in once and "it takes 1.5" in once
    assert once.startswith(page[:page.index(lab_report.BEGIN)])
    assert once.endswith(page[page.index(lab_report.END):])
    assert lab_report.insert(once, [lab_findings.to_excerpt(findings, "lab-x")]) == once
    with pytest.raises(SystemExit):
        lab_report.insert("no marks", [])


# ---- the run -------------------------------------------------------------------------------------

class FakeLab:
    def __init__(self, result=lambda case: 7):
        self.asked, self.result = [], result

    def sample(self, case, seconds):
        self.asked.append((case.name, seconds))
        return [100.0] * case.threads, [self.result(case)] * case.threads


def test_every_case_is_sampled_once_a_repetition_in_turns():
    rows = bench.plan(bench.VARIANTS, [1, 2], ["single", "parallel", "heap"])
    lab, asked = FakeLab(), []
    control = bench.run(lab, rows, lambda n: asked.append(n) or 2.0, [1, 2], 3, 0.5, lambda _: None)
    names = [name for name, _ in lab.asked]
    cases = [case for row in rows for case in row]
    assert len(names) == 3 * len(cases) and {names.count(c.name) for c in cases} == {3}
    assert all(case.rates == [100.0 * case.threads] * 3 for case in cases)
    assert asked == [2, 2, 2] and [row["repetition"] for row in control] == [0, 1, 2]
    first = [n for n in names if n.startswith("single_fib/")]
    orders = [tuple(first[i:i + 6]) for i in (0, 6, 12)]
    assert all(set(order) == set(orders[0]) for order in orders) and len(set(orders)) > 1


def test_the_plan():
    rows = bench.plan(bench.VARIANTS, [1, 2], ["single", "parallel", "heap"])
    for row in rows:
        assert len({(c.workload, c.threads) for c in row}) == 1
        for case in row:
            assert (case.way == "threads") == (
                case.variant == "free-threaded" and case.group == "parallel")
    hand_over, = [row for row in rows if row[0].workload == "hand_over"]
    assert "pymalloc" not in {case.heap for case in hand_over}
    assert bench.plan(["lock"], [1], ["heap"]) == []
    assert all(row[0].workload == "fib"
               for row in bench.plan(bench.VARIANTS, [1], ["single"], "fib"))


def test_a_variant_that_computes_something_else_is_not_measured():
    rows = bench.plan(["stock", "lock"], [1], ["single"], "fib")
    lab = FakeLab(lambda case: 610 if case.variant == "stock" else 611)
    with pytest.raises(bench.Failed, match="computed"):
        bench.run(lab, rows, None, [1], 1, 0.1, lambda _: None)


def test_thread_counts():
    assert bench.thread_counts(None, 1) == [1]
    assert bench.thread_counts(None, 2) == [1, 2]
    assert bench.thread_counts(None, 12) == [1, 2, 4, 8, 12]
    assert bench.thread_counts("4,2", 2) == [1, 2, 4]


# ---- the worker ----------------------------------------------------------------------------------

@pytest.mark.parametrize("name", workloads.ALL)
def test_workloads_give_the_same_each_time(name):
    run, again = workloads.ALL[name](), workloads.ALL[name]()
    assert run() == run() == again()


def ask_worker(order, **environment):
    environment = {k: v for k, v in os.environ.items() if k != "OBJTUNNEL_HEAP"} | environment
    done = subprocess.run([sys.executable, LAB / "worker.py", json.dumps(order)],
                          capture_output=True, text=True, timeout=120, env=environment)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("way, n", [("alone", 1), ("interpreters", 1), ("interpreters", 3),
                                    ("threads", 3)])
def test_the_worker_measures(way, n):
    cpu = min(os.sched_getaffinity(0))
    code, out, err = ask_worker({"workload": "fib", "way": way, "cpus": [cpu] * n,
                                 "seconds": 0.02})
    assert code == 0, err
    samples = json.loads(out)["samples"]
    assert len(samples) == n and all(result == 610 and runs > 0 for result, runs, _ in samples)


@pytest.mark.parametrize("heap", [
    "mimalloc",  # the others take pymalloc's place, which sanitizer builds come without
    pytest.param("lockinc", marks=pytest.mark.noasan),
    pytest.param("lockinc-classes", marks=pytest.mark.noasan)])
def test_the_worker_hands_over(heap):
    import objtunnel

    cpu = min(os.sched_getaffinity(0))
    package = str(Path(objtunnel.__file__).parents[1])
    code, out, err = ask_worker({"workload": "hand_over", "way": "hand_over", "cpus": [cpu, cpu],
                                 "seconds": 0.02, "package": package}, OBJTUNNEL_HEAP=heap)
    assert code == 0, err
    answer = json.loads(out)
    assert ("LOCK INC" in answer["allocator"]) == (heap != "mimalloc")
    assert answer["samples"][0][1] > 0


@pytest.mark.parametrize("way", ["alone", "interpreters", "threads"])
def test_the_workers_failure_is_a_failure(way):
    cpu = min(os.sched_getaffinity(0))
    code, _, err = ask_worker({"workload": "no such", "way": way, "cpus": [cpu], "seconds": 0.02})
    assert code != 0 and "no such" in err


# ---- the patch -----------------------------------------------------------------------------------

@pytest.mark.slow
def test_the_patch_fits_debians_source(tmp_path):
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("fetches Debian's source package, as root")
    folder = ROOT / "build" / "lab"
    if not (folder / "source" / ".recipe").exists():
        folder = tmp_path
    subprocess.run([LAB / "build", folder, "source"], check=True)
    source = folder / "source"
    for file, calls in (("Include/object.h", 5), ("Include/internal/pycore_object.h", 6),
                        ("Python/ceval.c", 4)):
        text = (source / file).read_text()
        assert text.count("ot_refcnt_") + text.count("ot_immortal_") == calls, file
    assert "ob_refcnt == 0" not in (source / "Python/ceval.c").read_text()
    left = subprocess.run(["grep", "-rnE", r"(--|\+\+)[a-z]+->ob_refcnt|ob_refcnt *(--|\+\+|[-+]=)",
                           source / "Include", source / "Objects", source / "Python",
                           "--include=*.h", "--include=*.c"], capture_output=True, text=True)
    # What still counts without us: a branch for 32 bits, and one for debug builds.
    places = sorted({line.split(":")[0].removeprefix(f"{source}/") for line in
                     left.stdout.splitlines()})
    assert places == ["Include/object.h"] and len(left.stdout.splitlines()) == 2, left.stdout
