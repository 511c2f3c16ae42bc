"""The mutants of `make check-mutants` apply to the code as it is, and the tests that they name exist."""

import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    loader = importlib.machinery.SourceFileLoader("check_mutants", str(ROOT / "tools/check_mutants"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_mutants", loader))
    sys.modules["check_mutants"] = module
    loader.exec_module(module)
    yield module
    del sys.modules["check_mutants"]


@pytest.fixture
def mutants(tool):
    return tool.read_mutants(ROOT / "tests/mutants")


def test_each_has_one_place(tool, mutants):
    assert tool.locate_all(mutants, ROOT) == []
    assert len(mutants) >= 30
    assert {m.file.parts[0] for m in mutants} >= {"tunnel", "objects", "runtime", "include"}


def test_each_names_a_test(mutants):
    for mutant in mutants:
        if ".py::" in mutant.test:
            file, _, name = mutant.test.partition("::")
            wanted = rf"^def {name}\("
        else:
            program, _, test = mutant.test.partition(":")
            file, (suite, name) = f"tests/c/{program}.c", test.split("/")
            wanted = rf"^Test\({suite}, {name}\b"
        assert re.search(wanted, (ROOT / file).read_text(), re.M), mutant.test


def source(tmp_path, text):
    (tmp_path / "tunnel").mkdir(exist_ok=True)
    (tmp_path / "tunnel/some.c").write_text(text)
    return tmp_path


def test_a_place_is_found_by_its_function(tool, tmp_path):
    root = source(tmp_path, "static int f(void);\n\nint\nf(void)\n{\n    return a &&\n           b;\n}\n\n"
                            "int\ng(void)\n{\n    return a && b;\n}\n")
    mutant = tool.Mutant("m", "f", "a && b", "b", "t", "why")
    tool.locate(mutant, root)
    assert mutant.text == root.joinpath("tunnel/some.c").read_text().replace("a &&\n           b", "b")


@pytest.mark.parametrize("function, was, said", [
    ("h", "a", "there is no function h"),
    ("g", "c", "is 0 times in g"),
    ("g", "a", "is 2 times in g"),
])
def test_what_has_no_place_is_told(tool, tmp_path, function, was, said):
    root = source(tmp_path, "int\ng(void)\n{\n    return a + a;\n}\n")
    mutant = tool.Mutant("m", function, was, "b", "t", "why")
    assert [said in line for line in tool.locate_all([mutant], root)] == [True]
