"""The soak's own verdict on memory, and a round of it; `make soak` is the soak."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "soak"


@pytest.fixture(scope="module")
def soak():
    sys.path.insert(0, str(FOLDER))
    try:
        import soak
        return soak
    finally:
        sys.path.remove(str(FOLDER))


def verdict(soak, megabytes, made=lambda seconds: 0, seconds=3600, stock=0.0):
    memory = soak.Memory()
    memory.samples = [(t, megabytes(t), made(t)) for t in range(0, seconds, 5)]
    return memory.verdict(seconds, stock)[0]


def test_memory_that_is_flat_or_falls(soak):
    assert verdict(soak, lambda t: 100)
    assert verdict(soak, lambda t: 100 + 40 * (t % 60 == 0)), "peaks are no growth"
    assert verdict(soak, lambda t: 200 - t / 100)
    assert verdict(soak, lambda t: min(150, 50 + t / 5)), "the warm-up does not count"


def test_memory_that_grows(soak):
    assert not verdict(soak, lambda t: 100 + t / 100)
    assert not verdict(soak, lambda t: 100 + t / 60 + 40 * (t % 60 == 0))
    assert not verdict(soak, lambda t: 100 + t / 10, seconds=600)


def test_what_cpython_leaves_of_each_interpreter_is_allowed(soak):
    def grown(t):
        return 100 + t / 100  # 0.5 MB for each interpreter

    assert verdict(soak, grown, made=lambda t: t // 50, stock=0.5e6)
    assert not verdict(soak, grown, made=lambda t: t // 500, stock=0.5e6)


def test_a_run_too_short_says_so(soak):
    memory = soak.Memory()
    memory.samples = [(5.0, 100.0, 0)]
    good, line = memory.verdict(100, 0.0)
    assert good and "too short" in line


def run_soak(tmp_path, *arguments):
    return subprocess.run([sys.executable, FOLDER / "soak.py", "--minutes", "5", "--rounds", "2", "--seed", "5", *arguments],
                          capture_output=True, text=True, timeout=600, cwd=tmp_path)


@pytest.mark.slow
def test_two_rounds(tmp_path):
    done = run_soak(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 5" in done.stdout and "soak: no violation in" in done.stdout
    assert "VIOLATION" not in done.stdout


@pytest.mark.slow
def test_chosen_acts_only(tmp_path):
    done = run_soak(tmp_path, "--acts", "control_c,frozen_trees")
    assert done.returncode == 0, done.stdout + done.stderr
    acts = {line.split()[1] for line in done.stdout.splitlines() if line.endswith("messages")}
    assert "frozen_trees:" in acts and acts <= {"control_c:", "frozen_trees:"}


def test_an_act_that_does_not_exist(tmp_path):
    done = run_soak(tmp_path, "--acts", "a_pool,a_sea")
    assert done.returncode == 2 and "no such act: a_sea" in done.stderr
