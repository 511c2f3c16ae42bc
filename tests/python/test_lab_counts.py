"""Who is counted: the results file of make lab-counts, its page, and what is predicted with it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
FOLDERS = [str(ROOT / "lab"), str(ROOT / "benchmarks" / "common")]
sys.path[:0] = FOLDERS
import claims  # noqa: E402
import counts_page  # noqa: E402
import lab_page  # noqa: E402
import predict  # noqa: E402
import queueing  # noqa: E402
from counts_results import Counts  # noqa: E402
from formats import factor, number  # noqa: E402
from intervals import Figure  # noqa: E402
from lab_results import BadResults, Results  # noqa: E402

sys.path[:] = [p for p in sys.path if p not in FOLDERS]


def counted(*objects, mortal=1000, turns=None):
    """objects: (who, type, up, down)."""
    rows = [dict(zip(("who", "type", "up", "down"), row)) for row in objects]
    up, down = (sum(r[way] for r in rows) for way in ("up", "down"))
    return {"immortal": {"up": up if rows else sum(turns or []), "down": down},
            "mortal": {"up": mortal / 2, "down": mortal / 2}, "objects": rows,
            "types": [{"who": "float", "type": "type", "up": mortal / 2, "down": mortal / 2}],
            "lines": [{"counts": r["up"] + r["down"], "turns": r["up"], "who": [r["who"]]} for r in rows],
            "turns": [r["up"] for r in rows] if turns is None else turns}


def make_record(workloads, variant="OT_LAB_HISTOGRAM"):
    return {"schema": 1, "kind": "counts", "variant": variant, "lab_tree": "abc1234", "version": "3.13.5", "runs": 20,
            "date": "2026-01-01", "workloads": workloads}


@pytest.fixture
def counts():
    return Counts(make_record({
        "fib": counted(("2", "int", 420, 420), ("1", "int", 260, 260), ("None", "NoneType", 10, 10), mortal=1380),
        "none_heavy": counted(("None", "NoneType", 1818, 1223), ("int", "type", 274, 0), mortal=2000)}))


def test_shares_are_of_the_counts_of_immortal_objects(counts):
    assert counts.total("fib", "immortal") == 1380 and counts.total("fib", "mortal") == 1380
    assert counts.shares("fib")[0] == ("2", "int", pytest.approx(840 / 1380))
    assert counts.share_of("fib", "None") == pytest.approx(20 / 1380) and counts.share_of("fib", "7") is None


def test_an_object_is_balanced_or_it_drifts(counts):
    assert counts.balanced("fib", "None") and not counts.balanced("none_heavy", "None")
    assert counts.drift("none_heavy", "None") == pytest.approx(595 / 3041)
    assert counts.unbalanced() == [("none_heavy", "None")]  # types are no business of the balance
    few = Counts(make_record({"w": counted(("0", "int", 53, 64), mortal=40000)}))
    assert few.balanced("w", "0")  # 11 of 40,000 counts


def test_the_page_says_who_is_hot(counts):
    page = counts_page.context(counts, "counts-x")
    assert page["hottest"][0][:3] == ["`fib`", "2,760", "50.0 %"]
    assert page["hottest"][0][3].startswith("`2` (int) 60.9 %; `1` (int) 37.7 %")
    assert page["balance"][1][1] == "**+19.6%**" and page["balance"][0][1] == "+0.0%"
    groups = counts_page.shares_by_group(counts, "none_heavy")
    assert groups["None"] > 0.9 and sum(groups.values()) == pytest.approx(1)


@pytest.mark.parametrize("spoil", [
    lambda r: r.update(kind="lab"), lambda r: r.update(schema=2), lambda r: r.update(variant="OT_LAB_LOCK"),
    lambda r: r["workloads"]["fib"].pop("lines"), lambda r: r.pop("runs")])
def test_other_files_are_refused(counts, spoil):
    record = make_record({"fib": counted(("2", "int", 1, 1))})
    spoil(record)
    with pytest.raises(BadResults):
        Counts(record)


def test_an_ordinary_python_does_not_record():
    done = subprocess.run([sys.executable, ROOT / "lab" / "histogram.py"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "make lab-counts" in done.stderr


def test_a_filter_that_leaves_no_workload_is_refused():
    done = subprocess.run([sys.executable, ROOT / "lab" / "histogram.py", "--filter", "nonsense"], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 2 and "no workload has 'nonsense' in its name; there are " in done.stderr


# ---- the committed counts -----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def committed():
    found = [Counts.load(path) for path in sorted(RESULTS.glob("counts-*.json"))]
    return {one.variant: one for one in found}


def test_what_the_text_says_of_who_is_counted(committed):
    """docs/lock-inc.md: fib counts small ints, and hardly None; two workloads count None."""
    today = committed["histogram"]
    assert [who for who, _, _ in today.shares("fib")[:4]] == ["2", "1", "0", "3"]
    assert today.share_of("fib", "2") == pytest.approx(0.42, abs=0.01)
    assert (today.share_of("fib", "None") or 0) < 0.01
    assert today.share_of("none_heavy", "None") == pytest.approx(0.76, abs=0.01)
    assert today.share_of("list_copy_none", "None") > 0.99
    assert today.share_of("dict_iteration", "float") > 0.99


def test_2006_balances(committed):
    """Or the variants would not be called so."""
    assert committed["histogram-2006"].unbalanced() == []
    assert ("none_heavy", "None") in committed["histogram"].unbalanced()  # 3.13 leaves counts out
    then = committed["histogram-2006"]
    assert then.share_of("dict_iteration", "float") in (None, 0)  # static types are not counted


# ---- more cores ---------------------------------------------------------------------------------------

def runs_of(service, alone, visits, variant="lock-all", threads=(1, 2)):
    """Results of two workloads whose interpreters do what the model says."""
    cases = []
    for workload, counts in visits.items():
        for n in threads:
            times = queueing.scaling(alone, [queueing.Station(v, service) for v in counts], n)
            cases.append({"group": "parallel", "workload": workload, "variant": variant, "way": "interpreters",
                          "threads": n, "heap": None, "rates": [1e9 / alone * times] * 7,
                          "per_thread": [[1.0] * n] * 7})
    return Results({"schema": 1, "kind": "lab", "date": "2026", "commit": "abc", "control": [
        {"threads": n, "repetition": i, "times_one": float(n)} for n in threads[1:] for i in range(7)],
        "options": {"seconds": 1}, "machine": {"cpus": list(range(max(threads))), "cpu": "x", "load": [0, 0, 0], "kernel": "6"}, "cases": cases,
        "variants": {variant: {}}, "workloads": {}})


def test_each_count_on_a_line_is_a_visit():
    """Of the hottest lines as the file says; the others share what is left, as they share the turns."""
    workload = counted(("None", "NoneType", 900, 300), ("1", "int", 40, 60), turns=[900, 40, 30, 10])
    workload["immortal"] = {"up": 1000, "down": 500}
    assert predict.visits_of(workload) == pytest.approx([1200, 100, 150, 50])
    assert predict.visits_of(counted(turns=[3, 5])) == [5, 3] and predict.visits_of(counted()) == []


def test_a_prediction_follows_from_one_workloads_two_interpreters():
    visits = {"none_heavy": [300, 20], "fib": [100, 80, 30]}
    results = runs_of(30.0, 20000.0, visits)
    workloads = {name: counted(turns=rows) for name, rows in visits.items()}
    low, mid, high = predict.service_time(results, workloads, "lock-all")
    assert mid == pytest.approx(30, rel=1e-3)
    first, second = predict.predictions(results, workloads, "lock-all")
    assert first.calibrated and not second.calibrated
    assert second.two == pytest.approx(second.measured.mid, rel=1e-3)
    for one in (first, second):
        assert all(low <= mid <= high for low, mid, high in one.many.values())
        assert one.many[128][1] == pytest.approx(one.end, rel=0.1)
    assert predict.predictions(results, workloads, "lock-2006") == []


def test_a_machine_with_more_cores_lays_its_curve_beside_the_prediction():
    visits = {"none_heavy": [300, 20], "fib": [100, 80, 30]}
    record_of = runs_of(30.0, 20000.0, visits, threads=(1, 2, 4))
    workloads = {"histogram": Counts(make_record({name: counted(turns=rows) for name, rows in visits.items()}))}
    rows = {row[0]: row for row in lab_page.predictions(record_of, workloads)}
    titles = [f"{n} by the model" for n in predict.CORES]
    four = rows["`fib`"][4 + titles.index("4 by the model")]
    said, _, measured = four.partition("; measured ")
    assert said.split(" (")[0] == measured.split(" (")[0]  # what they do is what the model says
    assert all("measured" not in rows[name][5] for name in rows)  # nobody had 16
    laws = {row[0]: row for row in lab_page.laws(record_of)}
    points = {n: record_of.scaling("fib", "lock-all", n).mid for n in (2, 4)}
    sigma, kappa = queueing.scalability(points)
    assert laws["`fib`"][2:4] == [f"{sigma:.3f}", f"{kappa:.4f}"] and len(laws) == 2
    assert lab_page.laws(runs_of(30.0, 20000.0, visits)) == []  # one number above one says nothing of two unknowns


def alone_in(variants, workloads, day="2026-01-01T12:00:00+00:00"):
    """Results of the workloads, each alone in these variants. workloads: {name: {variant: ns}}."""
    cases = [{"group": "single", "workload": workload, "variant": variant, "way": "alone", "threads": 1, "heap": None,
              "rates": [1e9 / times[variant]] * 7, "per_thread": [[1.0]] * 7}
             for workload, times in workloads.items() for variant in variants]
    return Results({"schema": 1, "kind": "lab", "date": day, "commit": "abc", "control": [], "options": {"seconds": 1},
                    "machine": {"cpus": [0, 1], "cpu": "x", "load": [0, 0, 0], "kernel": "6"}, "cases": cases,
                    "variants": {variant: {} for variant in variants}, "workloads": {}})


def test_the_price_of_lock_by_the_counts_of_2006():
    """LOCK costs 5 ns a count here, whatever is counted; what counting itself costs is in plain-all."""
    counts = {"histogram-2006": Counts(make_record({
        f"w{n}": counted(("None", "NoneType", n, n), mortal=3000) for n in (100, 2000, 9000)}, "OT_LAB_HISTOGRAM_2006"))}
    times = {f"w{n}": {"stock": 80e3, "plain-all": 90e3, "lock-2006": 90e3 + 5 * (2 * n + 3000)} for n in (100, 2000, 9000)}
    results = alone_in(["stock", "plain-all", "lock-2006"], times)
    (variant, over, kind, fit), = lab_page.all_fits(results, counts)
    assert (variant, over, kind) == ("lock-2006", "plain-all", "all")
    assert fit.price.mid == pytest.approx(5) and fit.r2 == pytest.approx(1)
    price = Figure(5.0, 4.0, 6.0, 7, 0.98)
    (name, in_c, predicted, measured), = lab_page.predicted_in_c(results, counts, price)
    assert name == "`lock-2006` relative to `plain-all`" and in_c.startswith("5.00 (4.00 to 6.00)")
    assert predicted.split(" (")[0] == measured.split(" (")[0] and predicted.endswith(")")
    assert lab_page.predicted_in_c(results, counts, None) == []


def in_c(cpu, kernel, day, lock=10.0, plain=4.0):
    """A run of make bench-refcount with two cases."""
    def case(variant, ns):
        return {"pattern": "private", "size": None, "variant": variant, "threads": 1, "wrong": False, "ns": [ns] * 7,
                "ops_per_s": [1e9 / ns] * 7, "fairness": [1.0] * 7, "latency": None, "cycles_per_op": None,
                "instructions_per_op": None, "misses_per_op": None, "hitm_per_op": None, "note": None}
    return claims.refcounts.Results({
        "schema": 3, "date": day, "clock": {"tick_ns": 1, "own_ns": 1}, "counters": {}, "control": [], "skipped": [],
        "machine": {"cpu": cpu, "kernel": kernel, "allowed_cpus": [0, 1]}, "build": {}, "options": {}, "patterns": [],
        "variants": [], "cases": [case("lock", lock), case("plain", plain)]})


def test_the_price_in_c_is_of_the_same_machine():
    """A name such as "AMD EPYC" is more than one processor's."""
    results = alone_in(["stock"], {"w": {"stock": 1e5}})
    there = {"a": in_c("x", "Linux 6", "2026-01-02"), "b": in_c("x", "Linux 5", "2026-01-01"),
             "c": in_c("y", "Linux 6", "2026-01-01")}
    assert claims.price_in_c(results, there) is None and claims.price_in_c(results, {}) is None
    here = {**there, "d": in_c("x", "Linux 6", "2026-01-01", lock=20.0)}
    assert claims.price_in_c(results, here).mid == 8  # of the pair's two instructions each


def test_the_world_of_2006_is_told_where_it_was_measured():
    times = {"a": {"stock": 1e5, "plain-all": 1.2e5, "lock-2006": 1.8e5},
             "b": {"stock": 1e5, "plain-all": 1.2e5, "lock-2006": 1.8e5}}
    runs = {"lab-then": alone_in(["stock", "plain-all", "lock-2006"], times), "lab-now": alone_in(["stock"], times)}
    one, = claims.context(runs, {})["worlds"]
    assert one["name"].startswith("[lab-then]") and one["counting"].startswith("1.20 (1.20 to 1.20); over")
    assert one["locking"].startswith("1.50 (") and one["both"].startswith("1.80 (")
    assert claims.context({"lab-now": runs["lab-now"]}, {})["worlds"] == []


def test_why_machines_differ_is_a_column_for_each_run_in_c():
    found = claims.context({}, {}, {"refcount-a": in_c("x", "6", "2026-01-01"), "refcount-b": in_c("y", "6", "2026-01-01", 20.0)})
    assert found["in_c"] == ["[refcount-a](results/refcount-a.md)", "[refcount-b](results/refcount-b.md)"]
    assert found["why"][0][1:] == ["3.00 ns (3.00 to 3.00)", "8.00 ns (8.00 to 8.00)"]
    assert found["why"][2][1:] == ["-", "-"]


def test_the_claims_have_a_cell_for_each_machine(committed):
    runs = {path.stem: Results.load(path) for path in sorted(RESULTS.glob("lab-*.json"))}
    found = claims.context(runs, committed, claims.runs_in_c(RESULTS))
    assert len(found["machines"]) == len(runs) >= 2
    assert all(len(row) == 2 + len(runs) and "`make " in row[1] and all(isinstance(cell, str) for cell in row) for row in found["rows"])
    by_claim = {row[0]: row[2:] for row in found["rows"]}
    price = next(cells for claim, cells in by_claim.items() if claim.startswith("price"))
    assert all("R² 0." in cell or cell == "-" for cell in price)  # a dash: a run without lock
    xeon = price[list(runs).index("lab-xeon-2cores")]
    assert xeon.startswith("4.87 (") and "R² 0.98" in xeon  # as docs/lock-inc.md says


def test_readme_and_performance_say_the_figures():
    """LOCK alone, two interpreters in the world of 2006, two today; each with its interval."""
    xeon, zen3, zen4 = (Results.load(RESULTS / f"lab-{name}-2cores.json") for name in ("xeon", "epyc", "2006-epyc"))
    alone = [results.mean_here("lock") for results in (xeon, zen3)]
    then, without, today = (xeon.scaling("none_heavy", variant, 2) for variant in ("lock-2006", "plain-all", "stock"))
    texts = [" ".join((ROOT / name).read_text(encoding="utf-8").split()) for name in ("README.md", "docs/performance.md")]
    for text, figures in zip(texts, ([*alone, then, today],
                                     [then, without, today, *(one.mean_here("lock-2006", "plain-all") for one in (xeon, zen4)),
                                      *(zen4.scaling("none_heavy", variant, 2) for variant in ("lock-2006", "plain-all")),
                                      *(one.scaling("none_heavy", "lock-all", 2) for one in (xeon, zen3)),
                                      *map(xeon.mean_here, ("free-threaded", "stock-unspecialised")),
                                      xeon.mean_here("free-threaded", "stock-unspecialised")])):
        assert [said for said in map(factor, figures) if said not in text] == []


@pytest.mark.parametrize("variant", predict.COUNTS_OF)
def test_the_models_agree_with_what_two_interpreters_did(committed, variant):
    """Within a factor of two, by a service time from another workload, on each committed machine. docs/lock-inc.md names
    the one exception."""
    runs = [Results.load(path) for path in sorted(RESULTS.glob("lab-*2cores.json"))]
    runs = [results for results in runs if variant in results.variants and results.names("single", "workload")]
    assert runs
    for results in runs:
        for p in predict.predictions(results, committed[predict.COUNTS_OF[variant]].workloads, variant):
            most = 2.2 if ("EPYC" in results.machine["cpu"], p.workload, variant) == (True, "fib", "lock-all") else 2
            assert 0.5 < p.two / p.measured.mid < most, (results.machine, p.workload, p.two, p.measured)
        assert lab_page.prices(results, committed)


def test_the_line_takes_the_model_as_long_as_it_takes_c(committed):
    """Two programs that have nothing in common: interpreters on None, and two threads with a count in a loop. A pair in C is
    two counts."""
    for name, variants in (("xeon", predict.COUNTS_OF), ("2006-epyc", ("lock-2006",))):
        results = Results.load(RESULTS / f"lab-{name}-2cores.json")
        (in_c,) = claims.same_machine(results, claims.runs_in_c(RESULTS)).values()
        single = in_c.case("shared_each", "lock", 2).waits("p50").mid / 2
        for variant in variants:
            mid = predict.service_time(results, committed[predict.COUNTS_OF[variant]].workloads, variant)[1]
            assert 0.5 < mid / single < 2, (name, variant, mid, single)


def test_the_page_says_the_extrapolation_of_2006(committed):
    text = " ".join((ROOT / "docs/lock-inc.md").read_text(encoding="utf-8").split())
    counts = committed["histogram-2006"].workloads
    lines, many = [], {16: [], 64: []}
    for name, machine in (("2006-epyc", "Zen 4"), ("xeon", "Xeon")):
        results = Results.load(RESULTS / f"lab-{name}-2cores.json")
        low, mid, high = predict.service_time(results, counts, "lock-2006")
        lines.append(f"{number(mid)} ns ({number(low)} to {number(high)}) on the {machine}")
        none = next(p for p in predict.predictions(results, counts, "lock-2006") if p.workload == "none_heavy")
        for n, said in many.items():
            low, mid, high = none.many[n]
            said.append(f"{number(mid)} ({number(low)} to {number(high)})")
    assert f"In `lock-2006` a line takes {' and '.join(lines)}" in text
    assert f"With 16 that is {many[16][0]} on the Zen 4 and {many[16][1]} on the Xeon" in text
    assert f"with 64 it is {many[64][0]} and {many[64][1]}" in text


def test_the_page_says_what_lock_costs_the_xeon(committed):
    """docs/lock-inc.md, "Why LOCK costs the Xeon more"; and what the free-threaded build owes to the specialising interpreter."""
    text = " ".join((ROOT / "docs/lock-inc.md").read_text(encoding="utf-8").split())
    written = text[text.index("## Why LOCK costs the Xeon more"):text.index("## More cores than are at hand")]
    xeon, zen4 = (Results.load(RESULTS / f"lab-{name}-2cores.json") for name in ("xeon", "2006-epyc"))
    for one in (xeon, zen4):
        assert factor(one.mean_here("plain-all")) in written and factor(one.mean_here("lock-2006", "plain-all")) in written
        (fit,) = [fit for name, _, _, fit in lab_page.all_fits(one, committed) if name == "lock-2006"]
        assert f"({number(fit.price.low)} to {number(fit.price.high)}, R² {fit.r2:.2f})" in written
    for found in (xeon.scaling("none_heavy", "plain-all", 2), zen4.scaling("none_heavy", "plain-all", 2),
                  xeon.against("none_heavy", "lock-2006", "plain-all", 2)):
        assert factor(found) in written
    for found in (xeon.mean_here("free-threaded", "stock-unspecialised"), xeon.mean_here("stock-unspecialised")):
        assert factor(found) in text[:text.index("## Who is counted")]


def test_the_file_says_what_it_is_of(committed):
    for path in RESULTS.glob("counts-*.json"):
        assert not json.loads(path.read_text(encoding="utf-8"))["lab_tree"].endswith("+")
