"""The front door's cases (tests/cases): programs of users, each in a process of its own and in time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import objtunnel

CASES = Path(__file__).parents[1] / "cases"
PATHS = sorted(p for p in CASES.glob("*/*.py") if not p.name.startswith("_"))
SLACK = 3  # times the limit: the machine may be busy
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(objtunnel.__file__))}


def limit_of(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    return SLACK * (float(first.split(":")[1]) if first.startswith("# limit:") else 20)


def test_they_are_all_there():
    assert len(PATHS) >= 42


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=[f"{p.parent.name}-{p.stem}" for p in PATHS])
def test_case(path):
    done = subprocess.run([sys.executable, path.name], cwd=path.parent, capture_output=True, text=True,
                          errors="replace", timeout=limit_of(path), stdin=subprocess.DEVNULL, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
