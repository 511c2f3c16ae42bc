"""The README's examples do what they say, also with a file that is missing."""

import json
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
POOL, TUNNEL = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)  # all there are


def files(tmp_path, n):
    for i in range(n):
        (tmp_path / f"{i}.json").write_text(json.dumps([{"row": j} for j in range(i)]))
    return [str(tmp_path / f"{i}.json") for i in range(n)]


@pytest.mark.parametrize("example", [POOL, TUNNEL], ids=["pool", "tunnel"])
def test_the_example(run_script, tmp_path, example):
    paths = files(tmp_path, 9)
    lines = run_script(example, *paths).stdout.splitlines()
    assert sorted(lines) == sorted(f"{path} {i}" for i, path in enumerate(paths))


def test_the_pool_keeps_the_order_and_raises_what_a_job_raised(run_script, tmp_path):
    paths = files(tmp_path, 4)
    result = run_script(POOL, *paths, str(tmp_path / "missing.json"), check=False, timeout=60)
    assert result.returncode == 1 and result.stderr.strip().splitlines()[-1].startswith("FileNotFoundError:")
    assert result.stdout.splitlines() == [f"{path} {i}" for i, path in enumerate(paths)]


def test_a_missing_file_is_an_error_and_the_rest_comes(run_script, tmp_path):
    paths = files(tmp_path, 7)
    result = run_script(TUNNEL, str(tmp_path / "missing.json"), *paths, check=False, timeout=60)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("FileNotFoundError:") and "missing.json" in last
    # the first worker's files come before the missing one only; all of the second worker's come
    assert set(result.stdout.splitlines()) >= {f"{path} {i}" for i, path in enumerate(paths) if i % 2 == 0}


@pytest.mark.parametrize("example", [POOL, TUNNEL], ids=["pool", "tunnel"])
def test_without_files(run_script, example):
    assert run_script(example, timeout=60).stdout == ""
