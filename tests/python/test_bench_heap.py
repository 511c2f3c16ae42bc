"""benchmarks/heap: its figures and its page, from a record that is made up; `make bench-heap-smoke` runs it."""

import json
import sys

import pytest
from bench_programs import BENCHMARKS, PATHS, run_benchmark, skip_without_page_libraries

FOLDER = BENCHMARKS / "heap"
MACHINE = {"python": "3.13.0 (main)", "cpu": "a processor", "cores": 2, "commit": "abc", "load": [0.1, 0, 0]}


def processes(*values, peak=20e6):
    return [{"values": [value, value, value * 9], "peak": peak} for value in values]  # the median counts


def record(worst=1.02, peak=1.05):
    return {
        "format": 1, "repeat": 3, "pieces": [{"machine": MACHINE, "control": [1.9, 2.0]}],
        "workloads": {
            "one": {"stock": [{"a": p} for p in processes(1.0, 2.0, 4.0)],
                    "objtunnel": [{"a": p} for p in processes(0.5, 1.0, 2.0)]},
            "two": {"stock": [{"b": p} for p in processes(1.0, 1.0, 1.0)],
                    "objtunnel": [{"b": p} for p in processes(worst, worst, worst, peak=20e6 * peak)]},
        },
        "tree": {way: [{"built": 120e6, "left": left, "build": 0.3, "delete": 0.05}]
                 for way, left in (("stock", 5e6), ("objtunnel", 1e6))},
    }


@pytest.fixture
def part(monkeypatch):
    """What the page's template gets for one record."""
    monkeypatch.syspath_prepend(FOLDER)
    import heap_page

    return lambda one: heap_page.context([one])["parts"][0]


def test_figures_are_computed_from_the_samples(part):
    made = part(record())
    # sqrt(0.5 * 1.02); drawn again, the two workloads may both be the one or the other: not shown to be below 1
    assert made["figures"] == [("geometric mean of times", "0.714 (0.500 to 1.020)", 1.0, False),
                               ("worst time", "1.02 (1.02 to 1.02), b", 1.05, True), ("worst peak", "1.05, b", 1.1, True)]
    assert list(made["rows"])[0] == ("a", "0.50 (0.50 to 0.50)", "1.00", "20")
    assert [row[:3] for row in made["tree"]] == [["stock", "120 (120 to 120)", "5 (5 to 5)"],
                                                 ["objtunnel", "120 (120 to 120)", "1 (1 to 1)"]]


def test_a_goal_is_met_by_the_whole_interval(part):
    assert part(record(worst=0.99))["figures"][0] == ("geometric mean of times", "0.704 (0.500 to 0.990)", 1.0, True)


def test_goals_that_are_missed_are_shown_as_missed(tmp_path):
    skip_without_page_libraries()
    paths = []
    for i, one in enumerate([record(worst=2.5, peak=1.2), record()]):
        paths.append(tmp_path / f"heap-here-cp31{i}.json")
        paths[-1].write_text(json.dumps(one), encoding="utf-8")
    done = run_benchmark("heap/heap_page.py", *paths)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "heap-here.md").read_text(encoding="utf-8")
    assert "| geometric mean of times | 1.118 (0.500 to 2.500) | at most 1.00 | **missed** |" in text
    assert "| worst time | 2.50 (2.50 to 2.50), b | at most 1.05 | **missed** |" in text
    assert "| worst peak | 1.20, b | at most 1.10 | **missed** |" in text
    assert text.count("## Python 3.13.0") == 2


def test_a_run_keeps_what_it_measured_and_says_how_it_stands(tmp_path, monkeypatch, capsys):
    """All of bench_heap.py but the processes that it times."""
    for folder in (FOLDER, *PATHS):
        monkeypatch.syspath_prepend(folder)
    import bench_heap
    samples = record()
    monkeypatch.setattr(bench_heap, "workloads", lambda: {name: None for name in samples["workloads"]})
    monkeypatch.setattr(bench_heap.Run, "alternate", lambda self, name: samples["tree"] if name == "a_big_tree" else
                        samples["workloads"][name])
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["bench_heap.py", "--repeat", "3", "--filter", "^(one|two|a_big_tree)$", "--smoke",
                                      "--json", str(out)])
    assert bench_heap.main() == 0
    kept = json.loads(out.read_text(encoding="utf-8"))
    assert kept["workloads"] == samples["workloads"] and kept["tree"] == samples["tree"]
    printed = capsys.readouterr().out
    assert "worst time: 1.02 (1.02 to 1.02), b, goal at most 1.05: met" in printed
    assert "geometric mean of times: 0.714 (0.500 to 1.020), goal at most 1.00: missed" in printed


def test_no_pyperformance_is_said(tmp_path):
    (tmp_path / "pyperformance.py").write_text("raise ImportError('none here')\n")
    done = run_benchmark("heap/bench_heap.py", "--list", before=[tmp_path])
    assert done.returncode == 1 and "make bench-heap installs it" in done.stderr


def test_workloads_have_the_arguments_that_pyperformance_gives_them(tmp_path):
    """A program may be several workloads, and what needs a package is none."""
    def project(folder, file, name, options, needs="pyperf"):
        path = tmp_path / "pyperformance" / "data-files" / "benchmarks" / folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'[project]\ndependencies = ["{needs}"]\n'
                        f'[tool.pyperformance]\nname = "{name}"\nextra_opts = {options}\n')
        return path.parent

    one = project("bm_one", "pyproject.toml", "one", ["many"])
    project("bm_one", "bm_one_few.toml", "one_few", ["few", "--fast"])
    (project("bm_two", "pyproject.toml", "two", []) / "requirements.txt").write_text("tornado==6\n")
    project("bm_three", "pyproject.toml", "three", [], needs="tornado")
    (tmp_path / "pyperformance" / "__init__.py").touch()
    ask = "import bench_heap, json; print(json.dumps(bench_heap.workloads()))"
    done = run_benchmark("-c", ask, before=[tmp_path, FOLDER])
    assert done.returncode == 0, done.stderr
    script = str(one / "run_benchmark.py")
    assert json.loads(done.stdout) == {"one": [script, "many"], "one_few": [script, "few", "--fast"]}


def kept_beside(*controls):
    """What a run keeps whose controls are these, each workload between two; how often it was measured."""
    program = """
import json, sys, types
import bench_heap
run, controls, measured = object.__new__(bench_heap.Run), iter(json.loads(sys.argv[1])), []
run.smoke = False
run.control = types.SimpleNamespace(threads=2, sample=controls.__next__)
run.alternate = lambda name: measured.append(name) or "samples"
print(json.dumps([*run.beside_a_good_control("w"), len(measured)]))
"""
    done = run_benchmark("-c", program, json.dumps(controls), before=[FOLDER])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_workload_beside_a_bad_control_is_measured_again():
    assert kept_beside(1.9, 1.95) == ["samples", 1.9, 1]
    assert kept_beside(2.0, 1.0, 1.2, 2.0, 1.9, 2.0) == ["samples", 1.9, 3]
    assert kept_beside(2.0, 1.0, 1.2, 2.0, 1.7, 1.0) == [None, 1.0, 3]
