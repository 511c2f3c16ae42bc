"""The programs of docs/behaviours.md print what stands below them, and the one with locks does what is said of it."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs/behaviours.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n([^`]*)```\n\n```text\n([^`]*)```", PAGE)


@pytest.mark.parametrize(("source", "printed"), PROGRAMS)
def test_program(run_script, source, printed):
    result = run_script(source, timeout=60)
    assert result.stdout == printed and result.stderr == ""


def test_the_page_has_its_programs():
    assert len(PROGRAMS) == 4 and PAGE.count("```python") == 5
