"""Where things lie: the sizes of source files, the drawing in docs/design.md, what docs/results keeps."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("atomics", "threads", "runtime", "tunnel", "objects", "objtunnel", "include", "python", "benchmarks", "lab", "examples",
           "tests", "tools")
SOURCES = sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*")
                 if p.is_file() and (p.suffix in {".c", ".h", ".cc", ".hpp", ".py", ".pyi"} or p.parent == ROOT / "tools"))
DRAWING = re.search(r"```\n(python/ .*?)```", (ROOT / "docs/design.md").read_text(encoding="utf-8"), re.DOTALL)[1]


def lines(path):
    return path.read_text(encoding="utf-8").count("\n")


def room(folder):
    """The part of the drawing that is about a folder."""
    return re.search(rf"^ *{folder}/ .*?(?=^ *[a-z_]+/ |\Z)", DRAWING, re.MULTILINE | re.DOTALL)[0]


def test_no_source_file_is_longer_than_800_lines():
    assert len(SOURCES) > 400
    assert {str(p.relative_to(ROOT)): lines(p) for p in SOURCES if lines(p) > 800} == {}


def test_no_program_or_core_dump_lies_among_the_sources():
    assert [p for folder in (*FOLDERS, "docs") for p in (ROOT / folder).rglob("*")
            if p.is_file() and p.suffix != ".so" and p.open("rb").read(4) == b"\x7fELF"] == []


@pytest.mark.parametrize("folder", ["objtunnel", "threads", "tunnel", "runtime"] + [
    p.name for p in sorted((ROOT / "objects").iterdir()) if p.is_dir()])
def test_the_drawing_has_each_c_file(folder):
    home = ROOT / folder if (ROOT / folder).is_dir() else ROOT / "objects" / folder
    sources = [p.name for p in sorted(home.glob("*.c"))]
    text = room(folder)
    assert sources and [name for name in sources if not re.search(rf"(?<!\w){re.escape(name)}", text)] == []


def test_the_drawing_has_each_python_module_and_header_of_cpython():
    modules = [p.name for p in sorted((ROOT / "python/objtunnel").glob("_*.py")) if p.name != "__init__.py"]
    assert modules and [name for name in modules if name not in room("python")] == []
    headers = [p.stem for p in sorted((ROOT / "runtime/cpython").glob("*.h"))]
    assert headers and [name for name in headers if not re.search(rf"\b{name}\b", room("cpython"))] == []


@pytest.mark.parametrize("folder", ["benchmarks", "examples", "tests"])
def test_the_drawing_has_each_folder(folder):
    inner = [p.name for p in sorted((ROOT / folder).iterdir()) if p.is_dir() and p.name[0] not in "_."]
    assert inner and [name for name in inner if f" {name}/" not in room(folder)] == []


def test_the_drawing_has_nothing_that_is_gone():
    there = {p.name for p in SOURCES}
    named = set(re.findall(r"(?<![\w.])\w+\.(?:c|h|py)\b", DRAWING))
    assert len(named) > 100 and sorted(named - there) == []


def test_comments_in_c_name_what_is_there():
    """Of what begins with ot_. X stands for any name; a name that ends in _ stands for several."""
    texts = {p: p.read_text(encoding="utf-8") for p in SOURCES if p.suffix in {".c", ".h", ".cc", ".hpp"}}
    comment = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
    there = {name for text in texts.values() for name in re.findall(r"\w+", comment.sub("", text))}
    named = {(p.name, name) for p, text in texts.items() for found in comment.findall(text)
             for name in re.findall(r"\b[Oo][Tt]_\w+\b(?!\.h)", found) if "_X_" not in name and name[-1] != "_"}
    assert len(named) > 250 and sorted((file, name) for file, name in named if name not in there) == []


def test_results_are_data_and_pages():
    """Pages in HTML and plots in SVG are built into build/results/; a soak's printed lines are data."""
    kinds = {p.suffix for p in (ROOT / "docs/results").iterdir() if p.suffix not in {".html", ".svg"}}
    assert kinds == {".json", ".md", ".png", ".txt"}
    assert all(p.name.startswith("soak-") for p in (ROOT / "docs/results").glob("*.txt"))


def test_results_name_no_folder_of_a_build():
    """Flags of the compiler that define a path of the checkout would be in each result file."""
    for path in (ROOT / "docs/results").glob("*.json"):
        assert "-DOT_TEST_" not in path.read_text(encoding="utf-8"), path.name


def test_no_two_modules_of_benchmarks_and_the_laboratory_share_a_name():
    """They find each other by sys.path: in one process the second of a name would be the first."""
    modules = [p for p in SOURCES if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in ("benchmarks", "lab")]
    names = [p.stem for p in modules]
    assert len(names) > 70 and sorted({str(p.relative_to(ROOT)) for p in modules if names.count(p.stem) > 1}) == []
