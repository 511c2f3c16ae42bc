"""The programs of docs/when-it-hangs.md print what the page says, whatever the numbers are."""

import re
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "when-it-hangs.md"
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```\n", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def without_numbers(line):
    line = re.sub(r'File ".*?"', 'File "X"', line)
    line = re.sub(r"0x[0-9a-f]+", "0xN", line)
    return re.sub(r"(?<!line )\b\d+(\.\d+)?\b", "N", line)


def test_all_programs_have_their_output():
    assert len(PROGRAMS) == PAGE.read_text(encoding="utf-8").count("```python\n") == 4


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_program(number, run_script):
    source, expected = PROGRAMS[number]
    source = source.replace("        print(rows.recv())", "        signal.alarm(5)\n        print(rows.recv())")  # would wait for ever
    result = run_script(f"import signal; {source}", check=False)
    printed = [without_numbers(line) for line in result.stderr.splitlines()]
    for line in expected.splitlines():
        assert without_numbers(line) in printed, f"{line}\n{result.stderr}"


@pytest.mark.skipif(sys.version_info >= (3, 16), reason="the page speaks of 3.13 to 3.15")
def test_faulthandler_is_for_the_main_interpreter(run_script):
    result = run_script("""
        import objtunnel
        def load():
            import faulthandler
        if __name__ == "__main__":
            with objtunnel.Interpreter() as worker:
                try:
                    worker.call(load)
                except ImportError as e:
                    print(e)
        """)
    assert result.stdout == "module faulthandler does not support loading in subinterpreters\n"
    assert result.stdout.strip() in PAGE.read_text(encoding="utf-8").replace("\n", " ")
