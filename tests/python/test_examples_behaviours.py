"""The programs in examples/behaviours/ run and say what they found."""

import os
import re
import subprocess
import sys
from pathlib import Path

import objtunnel

FOLDER = Path(__file__).parents[2] / "examples/behaviours"


def run(name, *args):
    env = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(objtunnel.__file__))}
    result = subprocess.run([sys.executable, FOLDER / name, *args], capture_output=True, text=True, timeout=120, env=env)
    assert result.returncode == 0 and result.stderr == "", result.stdout + result.stderr
    return result.stdout


def test_bank():
    assert run("bank.py", "5000") == "".join(f"audit {i}: 100000\n" for i in (1, 2, 3))


def test_philosophers():
    assert run("philosophers.py", "3") == "300 meals; each fork was used 6 to 6 times\n"


def test_boids():
    text = run("boids.py", "20")
    n, steps, aligned = re.fullmatch(r"(\d+) birds after (\d+) steps, aligned (\d\.\d\d)\n", text).groups()
    assert (n, steps) == ("160", "20") and float(aligned) > 0.3
