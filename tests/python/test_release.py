"""tools/release_check: what it finds. And what a reader sees first: README's length, and that each program in the pages runs."""

import importlib.machinery
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def check():
    loader = importlib.machinery.SourceFileLoader("release_check", str(ROOT / "tools/release_check"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("release_check", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def tree(check, tmp_path):
    """A copy of the files that name the version."""
    for path in (*check.VERSIONS, "include/objtunnel_types.h"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


# ---- versions -----------------------------------------------------------------------------------

def test_every_place_names_one_version(check):
    version, faults = check.versions()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version) and faults == []


@pytest.mark.parametrize("path", ["python/objtunnel/__init__.py", "CHANGELOG.md", "CITATION.cff", "include/objtunnel_types.h",
                                  "include/pkgconfig/objtunnel.pc", "include/cmake/objtunnelConfigVersion.cmake"])
def test_a_place_that_names_another_one_is_told(check, tree, path):
    version, _ = check.versions(tree)
    other = version.split(".")
    other[1] = str(int(other[1]) + 1)
    text = (tree / path).read_text(encoding="utf-8")
    changed = text.replace(version, ".".join(other)).replace(f"VERSION_MINOR {version.split('.')[1]}", f"VERSION_MINOR {other[1]}")
    assert changed != text
    (tree / path).write_text(changed, encoding="utf-8")
    assert check.versions(tree)[1] == [f"{path} says {'.'.join(other)}, pyproject.toml {version}"]
    (tree / path).write_text("", encoding="utf-8")
    assert check.versions(tree)[1] == [f"{path} says None, pyproject.toml {version}"]


def test_what_is_left_to_do(check, tree, monkeypatch):
    version, _ = check.versions(tree)
    monkeypatch.setattr(check, "git", lambda *_: "v0.0.1\n")
    (tree / "CHANGELOG.md").write_text(f"# Changes\n\n## {version} (not released yet)\n", encoding="utf-8")
    date, tag = check.left_to_do(version, tree)
    assert "put the date" in date and tag.startswith(f"git tag -a v{version} ")
    (tree / "CHANGELOG.md").write_text(f"# Changes\n\n## {version} (2026-11-29)\n", encoding="utf-8")
    monkeypatch.setattr(check, "git", lambda *_: f"v{version}\n")
    assert check.left_to_do(version, tree) == []


# ---- the tree and the results -------------------------------------------------------------------

def test_a_changed_tree_is_no_release(check, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check, "ROOT", tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert check.changed_files() == []
    (tmp_path / "new.py").write_text("")
    assert check.changed_files() == ["new.py is not as committed"]
    assert check.main(["--quick"]) == 1
    assert "FAILED the working tree is as committed" in capsys.readouterr().out


def test_figures_of_a_changed_tree_are_named(check, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"machine": {"commit": "0123456789ab+"}}))
    (tmp_path / "b.json").write_text(json.dumps({"build": [{"commit": "0123456789ab"}]}))
    assert check.unclean_results(tmp_path) == ["a.json"]


def test_wrong_usage(check):
    with pytest.raises(SystemExit, match="usage: make release-check"):
        check.main(["--nonsense"])


# ---- what a reader sees -------------------------------------------------------------------------

def test_the_readme_fits_on_three_screens():
    """Of some 50 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160


# Which test runs the ```python blocks of a page, all of them.
RUN_BY = {
    "README.md": "test_docs_readme.py",
    "docs/tutorial.md": "test_docs_pages.py",
    "docs/howto.md": "test_docs_pages.py",
    "docs/tunnel.md": "test_docs_pages.py",
    "docs/sharing.md": "test_docs_sharing.py",
    "docs/when-it-hangs.md": "test_docs_hangs.py",
    "docs/upstream.md": "test_docs_upstream.py",
    "docs/dask.md": "test_dask.py",
}


def test_each_page_with_programs_has_a_test_that_runs_them():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    with_programs = {str(p.relative_to(ROOT)) for p in pages if "```python" in p.read_text(encoding="utf-8")}
    # tests/ext, test_docs_behaviours, tests/threads (make test-ft)
    others = {"docs/extension-recipes.md", "docs/extension-authors.md", "docs/behaviours.md", "docs/free-threading.md"}
    assert with_programs - others <= set(RUN_BY)
    for page, test in RUN_BY.items():
        text = (ROOT / "tests/python" / test).read_text(encoding="utf-8")
        assert Path(page).stem in text, f"{test} does not read {page}"
