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


MAKEFILE = """\
report: ; @cp docs/results/lab-x.json docs/results/lab-x.md; cp docs/results/lab-x.json docs/lock-inc.md
report-tunnel: ; @touch docs/results/tunnel-x.md
report-objects report-pool report-heap report-peers report-stream: ; @true
"""


@pytest.fixture
def repository(check, tmp_path, monkeypatch):
    """Has a commit, in which each page is what its target makes. A function commits more: path -> text."""
    monkeypatch.setattr(check, "ROOT", tmp_path)
    (tmp_path / "docs" / "results").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    def commit(files):
        for path, text in files.items():
            (tmp_path / path).write_text(text)
        for command in (["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "a"]):
            subprocess.run(["git", *command], cwd=tmp_path, check=True)
    commit({"Makefile": MAKEFILE, "docs/results/README.md": "by hand", "docs/results/mimalloc-x.md": "measured",
            "docs/results/tunnel-x.md": "made", "docs/lock-inc.md": "figures",
            **{f"docs/results/lab-x.{suffix}": "figures" for suffix in ("json", "md")}})
    return commit


def stale(check):
    return check.stale_pages(check.ROOT / "docs" / "results")


def test_pages_that_are_what_their_targets_make(check, repository):
    assert stale(check) == []


def test_a_page_that_differs_is_stale(check, repository):
    repository({"docs/results/lab-x.json": "others"})
    assert stale(check) == [f"{page} is not what its report target makes" for page in ("docs/lock-inc.md", "docs/results/lab-x.md")]


def test_a_page_that_is_not_committed_is_stale(check, repository):
    (check.ROOT / "docs/results/lab-x.md").unlink()
    subprocess.run(["git", "rm", "-q", "--cached", "docs/results/lab-x.md"], cwd=check.ROOT, check=True)
    repository({".gitignore": ""})
    assert stale(check) == ["docs/results/lab-x.md is not what its report target makes"]


def test_a_page_whose_results_are_gone_is_told(check, repository):
    repository({"docs/results/lab-y.md": "of lab-y.json", "docs/results/lab-y-cost.png": "too"})
    assert stale(check) == [f"no report target makes docs/results/{name}" for name in ("lab-y-cost.png", "lab-y.md")]


def test_a_target_that_fails_is_told(check, repository):
    repository({"Makefile": MAKEFILE.replace("@true", "@echo 'no schema' >&2; false")})
    faults = stale(check)
    assert [fault.split(":")[0] for fault in faults] == [f"make {target} fails" for target in check.REPORTS[2:]]


def test_each_report_target_of_the_makefile_is_looked_at(check):
    targets = re.findall(r"^(report[\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(targets) == sorted(check.REPORTS)


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
