"""The pages in docs/results are, byte for byte, what their commands make of the committed figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

for library in ("jinja2", "markdown", "matplotlib"):
    pytest.importorskip(library, reason="make report installs it")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULTS = BENCHMARKS.parent / "docs/results"
PROGRAMS = {"tunnel": "tunnel/tunnel_page.py", "objects": "objects/objects_page.py", "pool": "pool/pool_page.py",
            "heap": "heap/heap_page.py", "peers": "peers/peer_tables.py",
            "stream": "stream/stream_page.py"}


@pytest.mark.parametrize("name", [name for name in PROGRAMS if list(RESULTS.glob(f"{name}-*-cp*.json"))])
def test_page(name, tmp_path):
    path = os.pathsep.join([str(BENCHMARKS / "tunnel"), *filter(None, sys.path)])
    done = subprocess.run([sys.executable, str(BENCHMARKS / PROGRAMS[name]), "-o", str(tmp_path)], capture_output=True,
                          text=True, env={**os.environ, "PYTHONPATH": path}, timeout=60)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*.md"))
    assert {plot.name for plot in tmp_path.glob("*.png")} == {plot.name for plot in RESULTS.glob(f"{name}-*.png")}
    for page in tmp_path.glob("*.md"):
        assert page.read_text(encoding="utf-8") == (RESULTS / page.name).read_text(encoding="utf-8"), page.name


@pytest.mark.parametrize("record", RESULTS.glob("mimalloc-*.json"), ids=lambda path: path.stem)
def test_page_of_mimallocs(record, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS / "tunnel")
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
