"""The diffs that CONTRIBUTING.md shows are those of the tree: each does its task in one file."""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIFFS = {re.search(r"^\+\+\+ b/(.*)$", diff, re.MULTILINE)[1]: diff for diff in
         re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)}
METHOD, LAYOUT, KIND = "objects/dict/dict_type.c", "runtime/cpython/dict.h", "tunnel/kinds/namespace.c"


def patch(folder, diff, *options):
    done = subprocess.run(["patch", "-p1", "--fuzz=0", *options], cwd=folder, input=diff, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def copy_of(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    shutil.copy(ROOT / name, path)
    return path


pytestmark = pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")


def test_each_task_takes_one_file():
    assert sorted(DIFFS) == [METHOD, LAYOUT, KIND]
    assert all(diff.count("\n+++ ") == 1 for diff in DIFFS.values())


def test_the_kind_is_the_one_that_is_there(tmp_path):
    patch(tmp_path, DIFFS[KIND])
    assert (tmp_path / KIND).read_text() == (ROOT / KIND).read_text()


def test_the_layout_change_is_in(tmp_path):
    path = copy_of(tmp_path, LAYOUT)
    patch(tmp_path, DIFFS[LAYOUT], "-R")
    patch(tmp_path, DIFFS[LAYOUT])
    assert path.read_text() == (ROOT / LAYOUT).read_text()


def test_the_method_compiles(tmp_path):
    path = copy_of(tmp_path, METHOD)
    patch(tmp_path, DIFFS[METHOD])
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    subprocess.run([compiler, "-std=gnu11", "-D_GNU_SOURCE", "-DNDEBUG", "-O1", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}",
                    "-isystem", sysconfig.get_path("include"), path], check=True)
