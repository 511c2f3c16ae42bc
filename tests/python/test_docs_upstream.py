"""The programs of docs/upstream.md show what the page says of the Python that runs the tests."""

import platform
import re
import sys
import sysconfig
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "upstream.md"
ENTRIES = re.findall(r"^## (.*?)\n.*?```python\n(.*?)```\n(.*?)(?=^## |\Z)",
                     PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
FREE_THREADED = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
VERSION = platform.python_version().rstrip("+") + FREE_THREADED


def versions(what, text):
    found = re.search(rf"\b{what} in ([\dtd., ]+)", text)
    return re.findall(r"\d+\.\d+\.\d+t?d?", found[1]) if found else []


@pytest.mark.parametrize("title", [title for title, _, _ in ENTRIES])
def test_program(title, run_script):
    [(source, text)] = [(source, text) for t, source, text in ENTRIES if t == title]
    wrong, right = versions("Wrong", text), versions("Right", text)
    assert wrong, "an entry names the versions in which the fault was seen"
    asks_for_build = any(version.endswith("d") for version in wrong + right)
    version = VERSION + "d" if asks_for_build and hasattr(sys, "gettotalrefcount") else VERSION
    if version not in wrong + right:
        pytest.skip(f"docs/upstream.md says nothing of {version}")
    result = run_script(source, check=False, env=None)
    answer = result.stdout.strip().splitlines()[-1:] or ["wrong: it crashed"]
    assert answer[0].startswith("wrong" if version in wrong else "right"), (
        f"{result.stdout}{result.stderr}\nIs docs/upstream.md out of date?")
