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
from lab_results import BadResults, Results  # noqa: E402

sys.path[:] = [p for p in sys.path if p not in FOLDERS]


def counted(*objects, mortal=1000, turns=None):
    """objects: (who, type, up, down)."""
    rows = [dict(zip(("who", "type", "up", "down"), row)) for row in objects]
    return {"immortal": {"up": sum(r["up"] for r in rows), "down": sum(r["down"] for r in rows)},
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

def runs_of(service, alone, visits, variant="lock-all"):
    """Results of two workloads whose two interpreters do what the model says."""
    cases = []
    for workload, counts in visits.items():
        for n in (1, 2):
            times = queueing.scaling(alone, [queueing.Station(v, service) for v in counts], n)
            cases.append({"group": "parallel", "workload": workload, "variant": variant, "way": "interpreters",
                          "threads": n, "heap": None, "rates": [1e9 / alone * times] * 7,
                          "per_thread": [[1.0] * n] * 7})
    return Results({"schema": 1, "kind": "lab", "date": "2026", "commit": "abc", "control": [
        {"threads": 2, "repetition": i, "times_one": 2.0} for i in range(7)], "options": {"seconds": 1},
        "machine": {"cpus": [0, 1], "cpu": "x", "load": [0, 0, 0], "kernel": "6"}, "cases": cases,
        "variants": {variant: {}}, "workloads": {}})


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


def test_the_claims_have_a_cell_for_each_machine(committed):
    runs = {path.stem: Results.load(path) for path in sorted(RESULTS.glob("lab-*.json"))}
    found = claims.context(runs, committed)
    assert len(found["machines"]) == len(runs) >= 2
    assert all(len(row) == 1 + len(runs) and all(isinstance(cell, str) for cell in row) for row in found["rows"])
    by_claim = {row[0]: row[1:] for row in found["rows"]}
    price = next(cells for claim, cells in by_claim.items() if claim.startswith("price"))
    assert all("R² 0." in cell or cell == "-" for cell in price)  # a dash: a run without lock
    xeon = price[list(runs).index("lab-xeon-2cores")]
    assert xeon.startswith("8.16 (") and "R² 0.98" in xeon  # as docs/lock-inc.md says


def test_the_models_agree_with_what_two_interpreters_did(committed):
    """Within a factor of two, by a service time from another workload, on both committed machines; lines that
    lie one after the other are fetched ahead, so small_ints does better than that."""
    counts = {name: one.workloads for name, one in committed.items()}
    for path in sorted(RESULTS.glob("lab-*2cores.json")):
        results = Results.load(path)
        for p in predict.predictions(results, counts["histogram"], "lock-all"):
            least = 0.25 if p.workload == "small_ints" else 0.5
            assert least < p.two / p.measured.mid < 2, (path.name, p.workload, p.two, p.measured)
    assert lab_page.prices(results, committed)


def test_the_file_says_what_it_is_of(committed):
    for path in RESULTS.glob("counts-*.json"):
        assert not json.loads(path.read_text(encoding="utf-8"))["lab_tree"].endswith("+")
