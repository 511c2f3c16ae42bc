"""benchmarks/beside: two builds in one run, by turns, and what is said of their difference."""

import json
import shutil

import pytest
from bench_programs import BENCHMARKS, PATHS, run_benchmark


@pytest.fixture
def beside(monkeypatch):
    for path in (*PATHS, BENCHMARKS / "beside"):
        monkeypatch.syspath_prepend(path)
    import bench_beside
    return bench_beside


@pytest.mark.slow
@pytest.mark.noasan
def test_all_of_it_small(tmp_path, beside):
    done = run_benchmark("beside/bench_beside.py", "--smoke", "--json", tmp_path / "out.json", OTHER="")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out.json").read_text())
    assert list(record["cases"]) == list(beside.beside_cases.CASES) and record["other"]["change"] == []
    for name, case in record["cases"].items():
        assert {build: len(times) for build, times in case["times"].items()} == {"this": 1, "again": 1, "other": 1}, name
        assert all(seconds > 0 for times in case["times"].values() for seconds in times) and len(case["control"]) == 1
        assert f"\n{name} " in done.stdout


def test_the_table_has_the_median_of_ratios_with_its_interval(beside):
    case = {"times": {"this": [1e-6] * 6, "again": [1e-6] * 6, "other": [2e-6, 3e-6, 2e-6, 2e-6, 2e-6, 1e-6]}, "control": [1.9] * 6}
    assert beside.ratio(case, "other").mid == 2
    assert "2.00 (1.00 to 3.00)" in beside.table({"words": case}) and "1.00 (1.00 to 1.00)" in beside.table({"words": case})


def test_the_other_build_is_told_by_its_difference(tmp_path, beside):
    for folder in beside.SOURCES:
        shutil.copytree(beside.TREE / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "objects/box/crew.c"
    file.write_text(file.read_text() + "/* more */\n")
    told = beside.difference(tmp_path)
    assert told["commit"] is None and told["change"][-1] == "+/* more */" and "this/objects" in told["change"][0]
    (tmp_path / "objects/box/crew.h").write_text("")
    (tmp_path / "objects/box/cown.h").write_text("")
    (tmp_path / "objects/box/cown.c").write_text("")
    assert beside.difference(tmp_path)["change"] is None


def test_a_checkout_without_a_build_says_what_to_do(tmp_path, beside):
    with pytest.raises(SystemExit, match="run make in"):
        beside.library_of(tmp_path)
