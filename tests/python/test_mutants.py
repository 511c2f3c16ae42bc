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
            wanted = rf"^def {name.partition('[')[0]}\("  # without the case
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


@pytest.mark.parametrize("names, sample, said", [
    (["the_oldest"], None, "no mutant is called the_oldest; near: the_oldest_goes_first"),
    (["qqqq"], None, "--list names them"),
    (["late"], None, "late shows from Python 3.14 on; this is 3.13.0"),
    ([], 4, "a sample of 4: there are 3 mutants"),  # one does not suit this Python
    ([], 0, "a sample of 0"),
    (["early"], 2, "a sample of 2: there are 1 mutants"),
])
def test_a_choice_that_cannot_be_had_is_refused(tool, names, sample, said):
    mutants = [tool.Mutant(name, "f", "a", "b", "t", "why") for name in ("the_oldest_goes_first", "early", "other")]
    mutants.append(tool.Mutant("late", "f", "a", "b", "t", "why", python="3.14"))
    with pytest.raises(tool.Mistake) as mistake:
        tool.chosen_of(mutants, names, sample, "3.13.0")
    assert said in str(mistake.value)
    assert [m.name for m in tool.chosen_of(mutants, ["early"], None, "3.13.0")] == ["early"]
    assert len(tool.chosen_of(mutants, [], None, "3.13.0")) == 3 and len(tool.chosen_of(mutants, [], 2, "3.14.1")) == 2
