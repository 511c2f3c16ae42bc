"""The program in docs/free-threading.md prints what the page says, and the page lists the suites that run."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "free-threading.md"
SUITES = Path(__file__).with_name("suites")


def test_the_program_of_the_page_prints_what_it_says():
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == [f"{n} True" for n in range(3)]


def test_the_page_lists_the_suites_that_run():
    table = PAGE.read_text(encoding="utf-8").partition("| what of it runs |")[2].partition("\n\n")[0]
    listed = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.partition("| ")[2].partition(" |")[0])]
    run = re.findall(r"^tests/python/test_(\w+)\.py$", SUITES.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(run) and run
