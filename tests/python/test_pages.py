"""The pages in docs/results are, byte for byte, what their commands make of the committed figures."""

import json

import pytest
from bench_programs import BENCHMARKS, PATHS, run_benchmark, skip_without_page_libraries

skip_without_page_libraries()
pytest.importorskip("matplotlib", reason="make report installs it")
RESULTS = BENCHMARKS.parent / "docs/results"
PROGRAMS = {"tunnel": "tunnel/tunnel_page.py", "objects": "objects/objects_page.py", "pool": "pool/pool_page.py",
            "heap": "heap/heap_page.py", "peers": "peers/peer_tables.py",
            "stream": "stream/stream_page.py"}


@pytest.mark.parametrize("name", [name for name in PROGRAMS if list(RESULTS.glob(f"{name}-*-cp*.json"))])
def test_page(name, tmp_path):
    done = run_benchmark(PROGRAMS[name], "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*.md"))
    assert {plot.name for plot in tmp_path.glob("*.png")} == {plot.name for plot in RESULTS.glob(f"{name}-*.png")}
    for page in tmp_path.glob("*.md"):
        assert page.read_text(encoding="utf-8") == (RESULTS / page.name).read_text(encoding="utf-8"), page.name


def plots_of(name):
    """{plot: link} of a page's plots that are committed."""
    return {path.stem.removeprefix(f"{name}-"): path.name for path in RESULTS.glob(f"{name}-*.png")
            if "-" not in path.stem.removeprefix(f"{name}-")}


@pytest.fixture
def lab_report(monkeypatch):
    for library in ("matplotlib", "fastjsonschema"):
        pytest.importorskip(library, reason="make report installs it")
    monkeypatch.syspath_prepend(BENCHMARKS / "common")
    monkeypatch.syspath_prepend(BENCHMARKS.parent / "lab")
    import lab_report
    return lab_report


def committed_text(name):
    return (RESULTS / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_pages_of_the_laboratory(lab_report):
    """But for the plots, whose bytes depend on matplotlib's version."""
    counts = {one.variant: one for one in map(lab_report.Counts.load, sorted(RESULTS.glob("counts-*.json")))}
    in_c = lab_report.claims.runs_in_c(RESULTS)
    runs = {path.stem: lab_report.load(path) for path in sorted(RESULTS.glob("lab-*.json"))}
    assert len(runs) >= 2 and len(counts) == 2 and in_c
    for name, results in runs.items():
        assert committed_text(name) == lab_report.to_markdown(results, name, plots_of(name), counts, in_c), name
    for path in RESULTS.glob("counts-*.json"):
        name = path.stem
        assert committed_text(name) == lab_report.counts_to_markdown(
            lab_report.Counts.load(path), name, plots_of(name)), name
    text = (RESULTS.parent / "lock-inc.md").read_text(encoding="utf-8")
    assert text == lab_report.insert(text, lab_report.said(runs, counts, in_c))


@pytest.mark.parametrize("path", sorted(RESULTS.glob("refcount-*.json")), ids=lambda path: path.stem)
def test_page_of_refcounts(path, monkeypatch):
    for library in ("matplotlib", "fastjsonschema"):
        pytest.importorskip(library, reason="make report installs it")
    monkeypatch.syspath_prepend(BENCHMARKS / "common")
    monkeypatch.syspath_prepend(BENCHMARKS / "refcount")
    import refcount_report
    made = refcount_report.to_markdown(refcount_report.load(path), path.stem, plots_of(path.stem))
    assert committed_text(path.stem) == made


@pytest.mark.parametrize("record", RESULTS.glob("mimalloc-*.json"), ids=lambda path: path.stem)
def test_page_of_mimallocs(record, monkeypatch):
    for path in PATHS:
        monkeypatch.syspath_prepend(path)
    import bench_mimalloc
    made = bench_mimalloc.to_markdown(json.loads(record.read_text(encoding="utf-8")))
    assert made == record.with_suffix(".md").read_text(encoding="utf-8")


def test_the_readme_has_the_newest_peers(monkeypatch):
    records = sorted(RESULTS.glob("peers-*.json"))
    for folder in ("peers", "common"):
        monkeypatch.syspath_prepend(BENCHMARKS / folder)
    import peer_tables
    readme = (RESULTS.parents[1] / "README.md").read_text(encoding="utf-8")
    assert peer_tables.insert(readme, peer_tables.readme_table(json.loads(records[-1].read_text(encoding="utf-8")))) == readme
    with pytest.raises(SystemExit, match="lacks the lines"):
        peer_tables.insert("no marks", "")
