"""The laboratory without its variants: the benchmark's arithmetic and order, the report's wording,
the worker, and that the patch fits the source it is for."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "lab"
sys.path[:0] = [str(LAB), str(ROOT / "benchmarks" / "common")]
import bench  # noqa: E402
import claims  # noqa: E402
import lab_page  # noqa: E402
import lab_results  # noqa: E402
import workloads  # noqa: E402
from lab_results import BadResults  # noqa: E402

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
                      "threads": threads, "heap": heap, "place": None, "rates": rates,
                      "per_thread": [[r / threads] * threads for r in rates], "discarded": 0})

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
    cpus = [{"cpu": cpu, "socket": 0, "core": cpu, "numa": None, "siblings": [cpu]} for cpu in (0, 1)]
    return {"schema": 2, "kind": "lab", "date": "2026-01-01T00:00:00+00:00", "commit": "abc1234",
            "machine": {"cpu": "a processor", "cpus": [0, 1], "kernel": "6", "load": [0, 0, 0],
                        "stolen_ticks": 3,
                        "topology": {"sockets": 1, "cores": 2, "numa_nodes": None, "smt": False,
                                     "governors": None, "cpus": cpus}},
            "options": {"repeat": repeat, "seconds": seconds, "quick": False},
            "variants": {v: {"version": "3.13.5 (main)", "cflags": " -O3", "configure": "",
                             "refcount": None} for v in costs},
            "workloads": {make.__name__: make.__doc__ for make in workloads.ALL.values()},
            "control": [{"threads": 2, "repetition": i, "times_one": control}
                        for i in range(repeat)],
            "cases": cases}


def page_of(record):
    return lab_page.context(lab_results.Results(record), "lab-x")


def row_of(rows, *names):
    """The one row whose first cells are these names."""
    found, = [row for row in rows if row[:len(names)] == [f"`{name}`" for name in names]]
    return found


# ---- figures -------------------------------------------------------------------------------------

def test_costs_and_means_follow_from_the_rates():
    results = lab_results.Results(make_record(noise=0))
    assert results.cost("fib", "lock").mid == pytest.approx(1.5)
    assert results.mean_cost("lock-all").mid == pytest.approx(3)
    assert results.mean_cost("lock-all", "lock").mid == pytest.approx(2)
    assert results.scaling("fib", "lock-all", 2).mid == pytest.approx(0.4)
    assert results.against("fib", "lock-all", "stock", 2).mid == pytest.approx(0.4 / 3 / 1.9)
    assert results.times_one(2).mid == 1.95 and results.many == 2


def test_the_mean_is_geometric_over_workloads():
    record = make_record(repeat=5, noise=0)
    ratios = {"fib": (2, 2, 2, 3, 3), "nbody": (8, 8, 8, 8, 8)}
    record["cases"] = [c for c in record["cases"]
                       if c["group"] == "single" and c["workload"] in ratios]
    for case in record["cases"]:
        if case["variant"] == "lock":
            case["rates"] = [1000 / r for r in ratios[case["workload"]]]
    results = lab_results.Results(record)
    mean = results.mean_cost("lock")
    assert results.mean_here("lock").low == pytest.approx(4) and results.mean_here("lock").high > 4.8
    assert mean.mid == pytest.approx(4) and mean.low == pytest.approx(2) and mean.high == pytest.approx(8)
    assert results.mean_without("lock") in (("fib", pytest.approx(8)), ("nbody", pytest.approx(2)))


def test_ratios_are_within_repetitions():
    """A machine that slows down halfway slows both: the ratio has no spread."""
    record = make_record(noise=0)
    for case in record["cases"]:
        case["rates"] = [rate / (3 if i > 2 else 1) for i, rate in enumerate(case["rates"])]
    cost = lab_results.Results(record).cost("fib", "lock")
    assert cost.low == pytest.approx(cost.high)


@pytest.mark.parametrize("spoil", [
    lambda r: r.update(schema=3), lambda r: r.update(kind="tunnel"), lambda r: r.pop("control"),
    lambda r: r["cases"][0].update(rates=[]), lambda r: r["cases"][0].update(rates=[0.0]),
    lambda r: r["cases"][0].update(rates=[float("nan")]), lambda r: r["cases"][0].pop("heap")])
def test_a_bad_file_is_refused(spoil):
    record = make_record()
    spoil(record)
    with pytest.raises(BadResults):
        lab_results.Results(record)


# ---- the page ------------------------------------------------------------------------------------

def test_the_page_says_what_the_figures_say():
    page = page_of(make_record(noise=0.001))
    mean = row_of(page["alone"], "lock", "stock")
    assert mean[2].startswith("1.50 (") and mean[3] == mean[5] == "slower" and mean[6].startswith("±")
    assert row_of(page["alone"], "c11-acq-rel", "c11-relaxed")[5] == "not told from 1"
    assert row_of(page["alone"], "lock-all", "lock")[2].startswith("2.00 (")
    assert row_of(page["together"], "none_heavy", "lock-all")[2].startswith("**0.40")
    # less than one alone: four workloads of lock-all, and shared_objects
    assert sum(row[2].startswith("**") for row in page["together"]) == 5
    assert page["doubts"] == []
    assert len(page["costs"]) == len(workloads.SINGLE)


def test_the_page_says_what_was_built_by_pgo():
    record = make_record()
    configure = "'--prefix=LAB/lock' '--enable-optimizations' '--with-lto'"
    record["variants"]["lock"]["configure"] = configure
    record["variants"]["lock-all"]["configure"] = configure.replace(" '--with-lto'", " 'PROFILE_TASK=-m test --pgo test_re'")
    said = dict(page_of(record)["facts"])
    assert said["`lock`"].endswith(", PGO and LTO") and not said["`stock`"].endswith("LTO")
    assert said["`lock-all`"].endswith(", PGO, trained by `-m test --pgo test_re`")


def test_free_threaded_stands_beside_a_stock_that_does_not_specialise_either():
    record = make_record(noise=0, costs={**COSTS, "stock-unspecialised": 1.25}, scaling={**SCALING, "stock-unspecialised": 1.9})
    page = page_of(record)
    assert row_of(page["alone"], "free-threaded", "stock-unspecialised")[2] == "1.12 (1.12 to 1.12)"
    assert row_of(page["alone"], "free-threaded", "lock")[2].startswith("0.93 (")
    said = {row[0]: row[2] for row in claims.context({"lab-x": lab_results.Results(record)}, {})["rows"]}
    assert any(claim.startswith("biased counting, one thread: time relative to a stock without") and cell.startswith("1.12 (")
               for claim, cell in said.items())


def test_every_variant_that_is_built_can_be_measured_and_drawn():
    text = (LAB / "variants.sh").read_text(encoding="utf-8")
    built = " ".join(re.findall(r"^LAB_(?:VARIANTS|OPTIMISED)=\((.*)\)$", text, re.MULTILINE))
    assert set(built.split()) == set(bench.VARIANTS)
    pytest.importorskip("matplotlib", reason="make report installs it")
    sys.path[:0] = [str(LAB), str(ROOT / "benchmarks" / "common")]
    import lab_plots
    del sys.path[:2]
    assert set(bench.VARIANTS) == lab_plots.COLOURS.keys() == lab_plots.MARKERS.keys()
    assert len(set(lab_plots.COLOURS.values())) == len(set(lab_plots.MARKERS.values())) == len(bench.VARIANTS)


def test_the_page_turns_with_the_figures():
    page = page_of(make_record(scaling={**SCALING, "lock-all": 1.9},
                               costs={**COSTS, "lock": 0.5, "lock-all": 0.5}))
    assert sum(row[2].startswith("**") for row in page["together"]) == 1
    assert row_of(page["alone"], "lock", "stock")[5] == "faster"
    assert row_of(page["alone"], "lock-all", "lock")[5] == "not told from 1"


def test_doubts_are_said():
    def said(**changes):
        return " ".join(page_of(make_record(**changes))["doubts"])

    assert "This is a trial run" in said(repeat=2)
    assert "too few are left for figures of 2 threads" in said(control=1.2)
    assert "smaller differences mean nothing" in said(costs={**COSTS, "c11-acq-rel": 1.8})
    record = make_record()
    record["commit"] = "abc+"
    record["machine"]["load"] = [3.0, 0, 0]
    record["commit"] = "abc1234+"
    assert "tree differed" in " ".join(page_of(record)["doubts"])
    assert "load was 3.0" in " ".join(page_of(record)["doubts"])


def test_no_figure_comes_from_a_run_without_its_cores():
    page = page_of(make_record(control=1.79))
    assert row_of(page["together"], "fib", "lock")[2:] == ["-", "-"]
    assert row_of(page["heaps"], "mimalloc")[2] == "-"
    assert row_of(page["alone"], "lock", "stock")[2].startswith("1.50")  # one thread had its core


def test_a_repetition_without_its_cores_does_not_count():
    record = make_record(repeat=7, noise=0)
    record["control"][3]["times_one"] = 1.5
    for case in record["cases"]:
        if case["threads"] == 2:
            case["rates"][3] /= 10
    results = lab_results.Results(record)
    scaling = results.scaling("fib", "lock", 2)
    assert scaling.count == 6 and scaling.low == pytest.approx(1.9)
    assert results.dropped(2) == (1, 7)
    assert "are of the other 6" in " ".join(lab_page.doubts(results))


def test_a_run_of_a_part_has_a_page():
    record = make_record()
    for group in ("single", "parallel", "heap"):
        part = {**record, "cases": [c for c in record["cases"] if c["group"] == group]}
        page = page_of(part)
        assert [bool(page[key]) for key in ("alone", "together", "heaps")] == [
            group == "single", group == "parallel", group == "heap"]
    lock_only = page_of({**record, "cases": [c for c in record["cases"] if c["variant"] == "lock"]})
    assert lock_only["alone"] == [] and lock_only["together"]


def with_programs(record, **costs):
    """The record with two workloads of pyperformance, whose times are these to stock's."""
    record["pyperformance"] = {"pyperformance": "1.11", "pyperf": "2.8"}
    record["cases"] += [{"group": "pyperformance", "workload": name, "variant": v, "way": "alone", "threads": 1,
                         "heap": None, "place": None, "rates": [10 / cost] * 5, "per_thread": [[10 / cost]] * 5,
                         "discarded": 0} for name in ("nqueens", "json_loads") for v, cost in costs.items()]
    return record


def test_a_filter_that_leaves_no_workload_is_refused(monkeypatch, capsys):
    class Lab:
        cpus = [0]

        def __init__(self, *_):
            pass

        def built(self):
            return ["stock"]

    monkeypatch.setattr(bench, "Lab", Lab)
    assert bench.main(["--groups", "single", "--filter", "nonsense"]) == 2
    assert "no workload of the groups single has 'nonsense' in its name" in capsys.readouterr().err


def test_workloads_of_pyperformance_have_figures_of_their_own():
    record = with_programs(make_record(noise=0), stock=1, lock=1.25)
    page = page_of(record)
    assert row_of(page["pyperformance"], "lock", "stock")[2] == "1.25 (1.25 to 1.25)"
    assert row_of(page["alone"], "lock", "stock")[2] == "1.50 (1.50 to 1.50)" and page["programs"] == 2
    assert page["pyperformance_titles"] == ["`lock`"] and row_of(page["pyperformance_costs"], "nqueens")[1].startswith("1.25")
    assert len(page["costs"]) == len(workloads.SINGLE)
    assert any(what == "pyperformance" and text.startswith("1.11, timed by pyperf 2.8") for what, text in page["facts"])
    rows = claims.context({"lab-x": lab_results.Results(record)}, {})["rows"]
    said = {row[0]: row[2] for row in rows}
    assert said["`lock` relative to stock on pyperformance"].startswith("1.25 (")
    assert "-" not in said.values()  # a claim that nobody has measured is not made
    assert page_of(make_record())["pyperformance"] == []


def test_builds_by_pgo_have_claims_of_their_own():
    """Each is compared with its own base: LOCK with the optimised stock, and stock with the plain one."""
    both = make_record(noise=0, costs={"stock": 1, "lock": 1.5, "stock-pgo": 0.8, "lock-pgo": 1.6},
                       scaling=dict.fromkeys(("stock", "lock", "stock-pgo", "lock-pgo"), 1.9))
    runs = {"lab-x": lab_results.Results(make_record(noise=0)), "lab-y": lab_results.Results(both)}
    cells = {row[0]: (row[1], row[2:]) for row in claims.context(runs, {})["rows"]}
    found = {claim: cell for claim, cell in cells.items() if "PGO" in claim}
    assert [row for _, row in found.values()] == [["-", "0.80 (0.80 to 0.80); over workloads 0.80 to 0.80"],
                                                  ["-", "2.00 (2.00 to 2.00); over workloads 2.00 to 2.00"]]
    assert all("make lab-bench PGO=1 " in command for command, _ in found.values())
    assert cells["`LOCK INC`, `LOCK DEC` for plain counts, one interpreter: time relative to stock (`lock`)"][1] == [
        "1.50 (1.50 to 1.50); over workloads 1.50 to 1.50"] * 2
    page = page_of(both)
    assert row_of(page["alone"], "lock-pgo", "stock-pgo")[2].startswith("2.00 (")
    assert row_of(page["alone"], "lock-pgo", "lock")[2].startswith("1.07 (")


@pytest.fixture
def lab_report():
    for library in ("matplotlib", "jinja2", "markdown", "fastjsonschema"):
        pytest.importorskip(library, reason="make report installs it")
    sys.path[:0] = [str(LAB), str(ROOT / "benchmarks" / "common")]
    import lab_report
    yield lab_report
    sys.path[:] = [p for p in sys.path if p not in (str(LAB), str(ROOT / "benchmarks" / "common"))]


def test_the_report_is_written_and_repeatable(tmp_path, lab_report):
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
    html = made[0]["lab-x.html"].decode()
    # It stands alone, and has the pictures of the other.
    assert html.count("<svg role") == made[0]["lab-x.md"].count(b"![") >= 3 and "src=" not in html
    assert "<td>" in html and "<td>1.50 (" in html


@pytest.mark.parametrize("spoil, says", [
    (lambda r: r["machine"].pop("topology"), "topology"),
    (lambda r: r["variants"]["lock"].update(configure="'--prefix=/home/me/lab'"), "configure"),
    (lambda r: r.update(commit="not a commit"), "commit"),
    (lambda r: r["cases"][3].update(place="the moon"), "place")])
def test_a_file_that_is_not_as_the_schema_says_is_refused(tmp_path, lab_report, capsys, spoil, says):
    record = make_record()
    path = tmp_path / "lab-x.json"
    path.write_text(json.dumps(record))
    lab_report.load(path)
    spoil(record)
    path.write_text(json.dumps(record))
    assert lab_report.main([str(path), "-o", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "lab.schema.json" in message and says in message


def test_what_a_machine_says_of_itself_is_no_markup(lab_report):
    record = make_record()
    record["machine"]["cpu"] = "<script>|x"
    text = lab_report.to_markdown(lab_results.Results(record), "lab-x", {})
    assert "\\|x" in text
    assert "<script>" not in lab_report.pages.to_html("lab-x", text, {})


def test_the_figures_go_between_the_marks(lab_report):
    page = (ROOT / "docs" / "lock-inc.md").read_text()
    excerpt = lab_report.to_excerpt(lab_results.Results(make_record()), "lab-x")
    once = lab_report.insert(page, [excerpt])
    assert "### lab-x" in once and "| `lock` | `stock` | 1.50 (" in once
    assert once.startswith(page[:page.index(lab_report.BEGIN)])
    assert once.endswith(page[page.index(lab_report.END):])
    assert lab_report.insert(once, [excerpt]) == once
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
    n = len(bench.VARIANTS)
    orders = [tuple(first[i:i + n]) for i in (0, n, 2 * n)]
    assert all(set(order) == set(orders[0]) for order in orders) and len(set(orders)) > 1


def only(*arguments):
    return bench.wanted_by(bench.parse_options(arguments))


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
               for row in bench.plan(bench.VARIANTS, [1], ["single"], only("--filter", "fib")))
    rows = bench.plan(["stock"], [1], ["single", "heap"], only("--workloads", "nbody,allocation"))
    assert [row[0].workload for row in rows] == ["nbody", "allocation"]


class AnsweringLab(bench.Lab):
    """Its processes' answers are given: nanoseconds on the CPU of 1000, one of these for each sample."""

    def __init__(self, used):
        super().__init__("lab", None, {0, 1})
        self.used = iter(used)

    def _ask(self, case, order, environment):
        return [[610, 5, 1000, next(self.used)] for _ in order["cpus"]]


@pytest.mark.parametrize("used, discarded", [([990], 0), ([500, 960], 1), ([1, 2, 3], 3)])
def test_a_disturbed_sample_is_taken_again_and_counted(used, discarded):
    case = bench.Case("single", "fib", "lock", "alone", 1)
    assert AnsweringLab(used).sample(case, 0.1) == ([5e6], [610]) and case.discarded == discarded


def test_who_waits_on_purpose_is_not_disturbed():
    case = bench.Case("heap", "hand_over", "stock", "hand_over", 2, "malloc")
    AnsweringLab([100, 100]).sample(case, 0.1)
    assert case.discarded == 0


def test_pairs_of_cpus_are_cases_of_their_own():
    lab = AnsweringLab([])
    rows = bench.plan(["stock"], [1, 2], ["parallel"], only("--filter", "fib"), ["same socket"])
    assert [(c.threads, c.place) for row in rows for c in row] == [(1, None), (2, None), (2, "same socket")]
    assert lab.pairs.keys() <= set(bench.topology.KINDS)
    record = make_record(noise=0)
    for place, factor in (("sibling", 0.5), ("other socket", 0.2)):
        record["cases"] += [{**case, "place": place, "rates": [r * factor for r in case["rates"]]}
                            for case in record["cases"] if case["group"] == "parallel"
                            and case["threads"] == 2 and case["place"] is None]
    page = page_of(record)
    assert page["pair_titles"] == ["2, sibling", "2, other socket"]
    assert row_of(page["pairs"], "fib", "lock")[2:] == ["0.95 (0.95 to 0.95)", "0.38 (0.38 to 0.38)"]
    assert row_of(page["together"], "fib", "lock")[2].startswith("1.90")


def test_a_variant_that_computes_something_else_is_not_measured():
    rows = bench.plan(["stock", "lock"], [1], ["single"], only("--filter", "fib"))
    lab = FakeLab(lambda case: 610 if case.variant == "stock" else 611)
    with pytest.raises(bench.Failed, match="computed"):
        bench.run(lab, rows, None, [1], 1, 0.1, lambda _: None)


class FakePrograms:
    all, versions = {"nqueens": [], "json_loads": []}, {"pyperformance": "1.11", "pyperf": "2.8"}

    def rate(self, python, name, cpu):
        return {"nqueens": 4.0, "json_loads": 2.0}[name]


def test_workloads_of_pyperformance_are_cases_where_they_are_asked_for(monkeypatch):
    rows = bench.plan(["stock", "lock"], [1, 2], ["pyperformance"], programs=FakePrograms.all)
    assert [[(c.workload, c.variant, c.threads) for c in row] for row in rows] == [
        [(name, "stock", 1), (name, "lock", 1)] for name in ("nqueens", "json_loads")]
    assert bench.parse_options([]).groups == "single,parallel,heap"
    lab = bench.Lab("lab", None, {0, 1}, FakePrograms())
    bench.run(lab, rows, lambda n: 2.0, [1, 2], 3, 0.1, lambda _: None)
    assert [case.rates for row in rows for case in row] == [[4.0] * 3] * 2 + [[2.0] * 3] * 2
    monkeypatch.setattr(lab, "describe", lambda v: {"version": "3.13.5", "cflags": "", "configure": "", "refcount": None})
    options = bench.parse_options(["--groups", "pyperformance"])
    made = bench.record(lab, ["stock", "lock"], rows, [], options, {
        "cpu": "x", "load": [0, 0, 0], "stolen_ticks": None, "commit": "abc1234"})
    assert made["pyperformance"] == {**FakePrograms.versions, "left_out": []}
    results = lab_results.Results(json.loads(json.dumps(made)))
    assert results.mean_cost("lock", group="pyperformance").mid == 1


PROGRAM = """
import json, os, sys
import pyperf
try:
    import beside
except ImportError:
    options = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[1:])
    rows = [{"metadata": {"name": name}, "runs": [{"values": [v, v * 9, v], "metadata": {"loops": 8}}]}
            for name, v in pyperf.TIMES]
    with open(sys.argv[sys.argv.index("-o") + 1], "w") as file:
        json.dump({"metadata": {}, "benchmarks": rows}, file)
    with open(pyperf.LOG, "a") as file:
        print(options.get("loops"), options["affinity"], options["inherit-environ"], "OBJTUNNEL_HEAP" in os.environ, file=file)
"""


@pytest.mark.parametrize("times, rate", [([("a", 0.25)], 4), ([("a", 0.25), ("b", 1.0)], 2)])
def test_a_process_of_pyperformance_sees_pyperf_and_nothing_else(tmp_path, monkeypatch, times, rate):
    """What was compiled lies beside pyperf, for another Python's counts."""
    log = tmp_path / "log"
    files = {"pyperf/__init__.py": f"TIMES, LOG = {times!r}, {str(log)!r}", "beside.py": "",
             "pyperf-2.8.dist-info/METADATA": "Name: pyperf\nVersion: 2.8\n",
             "pyperformance-1.11.dist-info/METADATA": "Name: pyperformance\nVersion: 1.11\n",
             "pyperformance/__init__.py": "", "pyperformance/data-files/benchmarks/bm_x/run_benchmark.py": PROGRAM,
             "pyperformance/data-files/benchmarks/bm_x/pyproject.toml":
                 '[project]\ndependencies = ["pyperf"]\n[tool.pyperformance]\nname = "x"\n'}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in ("pyperf", "pyperformance"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("OBJTUNNEL_HEAP", "mimalloc")
    programs = bench.Programs(quick=False)
    assert programs.versions == FakePrograms.versions
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(os.path.realpath(sys.executable))
    monkeypatch.chdir(tmp_path)
    here = Path("bin/python3")  # as the Makefile names the variants' folder
    assert [programs.rate(python, "x", 7) for python in (sys.executable, here)] == [pytest.approx(rate)] * 2
    again = "8" if len(times) == 1 else "None"
    assert log.read_text().splitlines() == ["None 7 PYTHONPATH False", f"{again} 7 PYTHONPATH False"]


def test_a_program_of_pyperformance_that_fails_stops_the_run(monkeypatch):
    programs = object.__new__(bench.Programs)
    programs.all, programs._quick, programs._loops = {"x": ["no such program"]}, True, {}
    monkeypatch.setattr(programs, "_library", type("Folder", (), {"name": "."}), raising=False)
    with pytest.raises(bench.Failed, match="x with .*no such program"):
        programs.rate(sys.executable, "x", 0)


def test_workloads_of_pyperformance_that_were_left_out_are_said(tmp_path, monkeypatch, lab_report):
    options = bench.parse_options(["--groups", "pyperformance", "--workloads", "nqueens", "--repeat", "5"])
    lab = bench.Lab("lab", None, {0, 1}, FakePrograms())
    rows = bench.plan(["stock", "lock"], [1], ["pyperformance"], bench.wanted_by(options), programs=FakePrograms.all)
    bench.run(lab, rows, lambda n: 2.0, [1, 2], 5, 0.1, lambda _: None)
    monkeypatch.setattr(lab, "describe", lambda v: {"version": "3.13.5", "cflags": "", "configure": "", "refcount": None})
    made = bench.record(lab, ["stock", "lock"], rows, [], options, {
        "cpu": "x", "load": [0, 0, 0], "stolen_ticks": None, "commit": "abc1234"})
    (tmp_path / "lab-x.json").write_text(json.dumps(made))
    lab_report.load(tmp_path / "lab-x.json")  # as the schema says
    text = lab_report.to_markdown(lab_results.Results(made), "lab-x", {})
    assert "1 workloads of pyperformance" in text and "Left out of this run, for the time that it took: `json_loads`." in text


def test_unknown_groups_are_refused(capsys):
    assert bench.main(["--groups", "single,pyperfomance"]) == 2
    assert "pyperfomance" in capsys.readouterr().err


def test_unknown_workloads_are_refused(tmp_path, capsys):
    (tmp_path / "stock").mkdir()
    (tmp_path / "stock" / ".recipe").touch()
    assert bench.main(["--lab", str(tmp_path), "--groups", "single", "--workloads", "fib,fibb"]) == 2
    assert "--workloads fibb: there are no such workloads" in capsys.readouterr().err


def test_results_come_from_a_clean_tree_only():
    def why(commit, *arguments):
        return bench.unfit(bench.parse_options(["--json", "x.json", *arguments]), commit)

    assert why("abc") is None and why("abc+", "--quick") is None
    assert "without changes" in why("abc+") and "checkout" in why(None)
    assert bench.unfit(bench.parse_options([]), "abc+") is None


def test_results_do_not_say_where_the_build_folder_was(tmp_path):
    text = f"'--prefix={tmp_path}/lock' 'OPT=-O3'"
    assert bench.without_paths(text, tmp_path) == "'--prefix=LAB/lock' 'OPT=-O3'"
    assert bench.without_paths(None, tmp_path) is None


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
    assert len(samples) == n and all(
        result == 610 and runs > 0 and 0 < used <= took * 1.01 for result, runs, took, used in samples)


@pytest.mark.parametrize("heap", [
    "mimalloc",  # the others take pymalloc's place, which sanitizer builds come without
    pytest.param("lockinc", marks=pytest.mark.noasan),
    pytest.param("lockinc-classes", marks=pytest.mark.noasan)])
def test_the_worker_hands_over(heap):
    import objtunnel

    if heap != "mimalloc" and not objtunnel._core._build_info()["lab"]:
        pytest.skip("this build has not the laboratory's heaps: make check-lab")
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

GIVEN, TAKEN, PAIRS = 28, 14, 3


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
    assert (source / "Include/internal/pycore_code.h").read_text().count("OT_LAB_UNSPECIALISED") == 1
    assert "ob_refcnt == 0" not in (source / "Python/ceval.c").read_text()
    # The world of 2006: what the loop gives, takes, and does without.
    loop = (source / "Python/generated_cases.c.h").read_text()
    assert [loop.count(f"OT_LAB_{what}(") for what in ("GIVE", "TAKE", "PAIR")] == [GIVEN, TAKEN, PAIRS]
    left = subprocess.run(["grep", "-rnE", r"(--|\+\+)[a-z]+->ob_refcnt|ob_refcnt *(--|\+\+|[-+]=)",
                           source / "Include", source / "Objects", source / "Python",
                           "--include=*.h", "--include=*.c"], capture_output=True, text=True)
    # What still counts without us: a branch for 32 bits, and one for debug builds.
    places = sorted({line.split(":")[0].removeprefix(f"{source}/") for line in
                     left.stdout.splitlines()})
    assert places == ["Include/object.h"] and len(left.stdout.splitlines()) == 2, left.stdout
