"""The programs of docs/tutorial.md, docs/howto.md and docs/tunnel.md run as files of their own and print what stands below them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PROGRAM = re.compile(r"^## (.*?)\n(.*?)```python\n(.*?)```\n\n```text\n(.*?)```", re.MULTILINE | re.DOTALL)
LISTENS_IN_A_THREAD = "Log from workers"  # its lines come in any order
SESSION = "Use it in a notebook"  # a session without a file

PAGES = {"tutorial": 5, "howto": 5, "tunnel": 1}  # and how many programs each has at least
CASES = [(page, title, source, printed) for page in PAGES
         for title, _, source, printed in PROGRAM.findall((DOCS / f"{page}.md").read_text(encoding="utf-8"))]


def run_session(source, timeout):
    """As cells of a notebook: what it defines is in no file."""
    done = subprocess.run([sys.executable, "-"], input=source, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(("page", "title", "source", "printed"), CASES, ids=[f"{c[0]}: {c[1]}" for c in CASES])
def test_program(run_script, tmp_path, page, title, source, printed):
    if "import numpy" in source:
        pytest.importorskip("numpy", reason="no NumPy: pip install numpy into the venv")
    run = run_session if title == SESSION else run_script
    lines = run(source, timeout=60).stdout.replace(f"{tmp_path}/", "").splitlines()
    expected = printed.splitlines()
    if title == LISTENS_IN_A_THREAD:
        lines, expected = sorted(lines), sorted(expected)
    assert lines == expected


def test_every_program_has_its_output():
    for page, least in PAGES.items():
        assert (DOCS / f"{page}.md").read_text(encoding="utf-8").count("```python") == sum(c[0] == page for c in CASES) >= least
