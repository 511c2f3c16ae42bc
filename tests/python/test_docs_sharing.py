"""The examples of docs/sharing.md run, and print what they should."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "sharing.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

# Words of an example, and what it prints.
PRINTS = {
    "histogram": "[10, 10, 10, 10, 10, 10, 10, 10, 10, 10]\n",
    "memoryview(a)": "[0.0, 0.0, 2.5]\n[[7.0, 0.0, 0.0], [7.0, 0.0, 2.5]]\n",
    "tempfile": "[0, 0, 5, 0]\n",
}


@pytest.mark.parametrize("word", PRINTS)
def test_example(run_script, word):
    [source] = [e for e in EXAMPLES if word in e]
    assert run_script(source).stdout == PRINTS[word]


def test_every_example_is_run():
    assert len(EXAMPLES) == len(PRINTS)
