"""The laboratory's commands, whole and quick, where its variants have been built (make check-lab builds them)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "build" / "lab"
BUILD = Path(sys.prefix).parent  # of the venv that runs us


def needs(variant):
    return pytest.mark.skipif(not (LAB / variant / ".recipe").exists(), reason=f"make lab VARIANT={variant} builds it")


def make(*arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PYTEST"))}
    done = subprocess.run(["make", "-s", f"BUILD={BUILD}", f"PYTHON={sys._base_executable}", *arguments], cwd=ROOT,
                          env=environment, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@needs("stock")
@pytest.mark.slow
def test_what_a_machine_contributes_is_two_files_and_their_pages(tmp_path):
    out = make("lab-report-from-here", "VARIANT=stock", "QUICK=1", f"HERE={tmp_path}")
    runs = {path.name.partition("-")[0]: json.loads(path.read_text(encoding="utf-8")) for path in tmp_path.glob("*.json")}
    assert runs.keys() == {"lab", "refcount"} and f"{tmp_path}/ has what goes into docs/results/" in out
    lab = runs["lab"]
    assert list(lab["variants"]) == ["stock"] and {case["group"] for case in lab["cases"]} >= {"single", "heap"}
    assert lab["machine"]["topology"]["cpus"] and all(case["rates"] for case in lab["cases"])
    # By these a page finds the price of LOCK in C that is of its machine.
    assert lab["machine"]["cpu"] == runs["refcount"]["machine"]["cpu"]
    assert f"Linux {lab['machine']['kernel']}" == runs["refcount"]["machine"]["kernel"]
    for kind in runs:
        page, = tmp_path.glob(f"{kind}-*.md")
        text = page.read_text(encoding="utf-8")
        assert "This is a trial run" in text  # nobody quotes the figures of a smoke test
        assert f"[{page.stem}.json]({page.stem}.json)" in text


@needs("histogram")
@pytest.mark.slow
def test_who_is_counted(tmp_path):
    """The counts of 3.13 are the same on each machine: those of fib are the committed ones."""
    out = make("lab-counts", "BENCH_ARGS=--filter fib --runs 3")
    committed = json.loads((ROOT / "docs/results/counts-cp313.json").read_text(encoding="utf-8"))["workloads"]["fib"]
    counts = sum(sum(committed[kind].values()) for kind in ("immortal", "mortal"))
    first = next(line for line in out.splitlines() if line.startswith("fib: "))
    assert float(first.split()[1].replace(",", "")) == pytest.approx(counts, rel=0.01)
    hottest = [line.split()[0] for line in out.splitlines() if line.startswith("    ")]
    assert hottest[:2] == ["2", "1"]
