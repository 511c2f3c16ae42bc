"""The programs in examples/pool/ do the same with either import."""

import os
import subprocess
import sys

import pytest

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                      "examples", "pool")
TEXTS = ["the quick fox\nand the dog\n" * 50, "A dog, the dog!\n" * 30, "", "the end"]


def run(name, *args):
    result = subprocess.run([sys.executable, "-W", "default::ResourceWarning", os.path.join(FOLDER, name), *args],
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{n}.txt" for n in range(len(TEXTS))]
    for path, text in zip(paths, TEXTS):
        path.write_text(text)
    return [str(path) for path in paths]


@pytest.mark.parametrize("option", [(), ("--processes",)], ids=["objtunnel", "processes"])
def test_map_over_files(files, option):
    assert run("count_words.py", *option, *files) == "131 the\n110 dog\n50 and\n50 fox\n50 quick\n"


@pytest.mark.parametrize("option", [(), ("--processes",)], ids=["objtunnel", "processes"])
def test_producers_and_consumer(option):
    assert run("make_and_check.py", *option) == "9500 records; 40428 divisors; batch 13 cannot be made\n"


@pytest.mark.parametrize("option", [(), ("--processes",)], ids=["objtunnel", "processes"])
def test_server(option):
    lines = run("serve.py", *option).splitlines()
    errors = ['{"error": "KeyError"}', '{"error": "JSONDecodeError"}']
    assert lines == [f'{{"primes below": {n}, "count": {count}}}' if not k else errors[k - 1]
                     for n, count in ((100, 25), (10_000, 1229), (200_000, 17984)) for k in range(3)]
