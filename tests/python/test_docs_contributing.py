"""The diffs that CONTRIBUTING.md shows are those of the tree: each does its task in one file."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import history_subjects
import linearizability
import objtunnel
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


def compile_method(tmp_path, *options):
    path = copy_of(tmp_path, METHOD)
    patch(tmp_path, DIFFS[METHOD])
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-DNDEBUG", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}",
                    "-isystem", sysconfig.get_path("include"), *options, path], check=True)


def test_the_method_compiles(tmp_path):
    compile_method(tmp_path, "-fsyntax-only")


def test_the_method_can_be_given_to_the_linearizability_test():
    """The places that the text names are there, and none of them has an operation of that name already."""
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("### Add a method")[1].split("```diff")[0]
    method = re.search(r'^\+    \{"(\w+)", dict_', DIFFS[METHOD], re.MULTILINE)[1]
    for module, names in (linearizability, ("KEYED", "SequentialDict")), (history_subjects, ("_one_key",)):
        assert f"{module.__name__}.py`" in section
        assert all(f"`{name}`" in section and hasattr(module, name) for name in names)
    assert method not in {**linearizability.KEYED, **linearizability.WHOLE, **linearizability._OF_PARTS}


@pytest.mark.slow
@pytest.mark.noasan
@pytest.mark.skipif(hasattr(sys, "gettotalrefcount"), reason="a debug build's headers lie elsewhere")
def test_the_method_works(tmp_path):
    """In the package that is tested, linked again with the diff's file in place of the tree's."""
    package = Path(objtunnel.__file__).resolve().parent
    folder = package.parents[1] / "obj"
    objects = {path.relative_to(folder): path for path in folder.rglob("*.o")}
    linked = [path for name, path in objects.items() if name.parts[0] in ("runtime", "tunnel", "objects", "objtunnel") and
              name.with_suffix(".c") != Path(METHOD) and (ROOT / name).with_suffix(".c").exists()]
    if not linked:
        pytest.skip("needs the objects that make has compiled")
    changed = tmp_path / "changed.o"
    compile_method(tmp_path, "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-c", "-o", str(changed))
    shutil.copytree(package, tmp_path / "lib/objtunnel")
    core = tmp_path / "lib/objtunnel" / Path(objtunnel._core.__file__).name
    subprocess.run(["cc", "-shared", "-o", core, *linked, folder / "mimalloc.o", changed, "-lpthread"], check=True)
    subprocess.run([sys.executable, "-c", """
from objtunnel import LockingDict
d = LockingDict(a=[1], b=2)
assert d.discard("a") is True and d.discard("a") is False and d == {"b": 2}
"""], env={**os.environ, "PYTHONPATH": str(tmp_path / "lib")}, check=True)
