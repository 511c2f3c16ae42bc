"""Programs and modules of benchmarks/, found as `make` has them found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
PATHS = [str(BENCHMARKS / "common"), str(BENCHMARKS / "tunnel")]


def run_benchmark(program, *arguments, before=(), **environment):
    """program: a path in benchmarks/, or "-c" with the program as the first argument. before: folders to look for modules
    in first."""
    path = os.pathsep.join([*map(str, before), *PATHS, *filter(None, sys.path)])
    program = program if program == "-c" else str(BENCHMARKS / program)
    return subprocess.run([sys.executable, program, *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "PYTHONPATH": path, **environment})


def skip_without_page_libraries():
    for library in ("jinja2", "markdown"):
        pytest.importorskip(library, reason="make report installs it")
