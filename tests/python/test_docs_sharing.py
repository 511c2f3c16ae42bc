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
    "book(box": "13 3\n",
    "frozen_default": "[5, 7]\n{\"tea\": 3, \"milk\": 2} 1000000\n3\n",
    "todo": "0 100 {'task': [99, 100], 'sum': 199} LockingList([1000])\n",
    "report": "2004 2000\n",
    "transfer": "[3000, 2000]\n",
    "careless": "recovered\n",
    "together": "[2] <objtunnel.Semaphore at 0x..., N: value=2> 0\n",
    "counts.checkout": "2 1 [1, 2] 2\n",
    "counters": "[0, 0, 5, 0]\n",
    "shared_module": "2\n",
    "live_objects()": "[('Tunnel', {}, 1)]\n",
}


@pytest.mark.parametrize("word", PRINTS)
def test_example(run_script, word):
    [source] = [e for e in EXAMPLES if word in e]
    printed = re.sub(r"0x[0-9a-f]+, [0-9]+", "0x..., N", run_script(source).stdout)
    assert printed == PRINTS[word]


def test_every_example_is_run():
    assert len(EXAMPLES) == len(PRINTS)
