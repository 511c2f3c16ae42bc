"""tools/run_tests and tools/run_queue: what runs the tests says which failed, and why, at its end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
PASSES = "echo '[====] Synthesis: Tested: 5 | Passing: 5 | Failing: 0 | Crashing: 0 '"
FAILS = """echo '[----] tests/c/test_wrong.c:12: Assertion Failed'
echo '[----]   The expression (one) == (other) is false.'
echo '[FAIL] wrong::it_is_so: (0.00s)'
echo '[====] Synthesis: Tested: 3 | Passing: 2 | Failing: 1 | Crashing: 0 '
exit 1"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with tests and a build; checkout.run(TOOL, ARGUMENT...) runs one of our tools there."""

    class Checkout:
        build = tmp_path / "build"

        def c(self, name, script):
            write(tmp_path / f"tests/c/test_{name}.c", "")
            program = write(self.build / f"tests/test_{name}", f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)

        def python(self, name, text, folder="tests/python"):
            write(tmp_path / folder / f"test_{name}.py", text)

        def durations(self):
            return json.loads((self.build / "log/durations.json").read_text())

        def run(self, tool, *arguments, **variables):
            environment = {k: v for k, v in os.environ.items()
                           if k not in ("MODULE", "PYTEST_ARGS", "OT_TEST_SHARE", "MAKEFLAGS", "MFLAGS", "MAKELEVEL",
                                        "PYTHONPATH")}
            environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # hypothesis would take most of the time
            return subprocess.run([TOOLS / tool, *arguments], cwd=tmp_path, env={**environment, **variables}, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)

    def write(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    (tmp_path / "tests/ext").mkdir(parents=True)
    write(tmp_path / "pytest.ini", "[pytest]\nmarkers = slow\n")
    write(tmp_path / "build/venv/bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n').chmod(0o755)
    return Checkout()


def counts_of(result):
    return [line for line in result.stdout.splitlines() if line.startswith(("C: ", "Python: "))]


def test_c_and_python_have_one_summary(checkout):
    checkout.c("one", PASSES)
    checkout.c("other", PASSES)
    checkout.python("one", "def test_a(): pass\ndef test_b(): pass\n")
    checkout.python("ext", "import pytest\ndef test_c(): pytest.skip('not here')\n", "tests/ext")
    result = checkout.run("run_tests", "build", "c", "python")
    assert result.returncode == 0, result.stdout
    assert counts_of(result) == ["C: 10 of 10 tests passed", "Python: 2 passed, 0 failed, 1 skipped"]
    assert "[4/4] " in result.stdout and "====" not in result.stdout
    assert set(checkout.durations()) == {"tests/c/test_one.c", "tests/c/test_other.c", "tests/python/test_one.py",
                                         "tests/ext/test_ext.py"}
    assert (checkout.build / "log/tests.log").read_text() == result.stdout
    assert (checkout.build / "log/test_one.log").exists() and (checkout.build / "log/tests/test_one.log").exists()


def test_what_failed_is_at_the_end_whole_and_why(checkout):
    checkout.c("wrong", f"seq 1 300; {FAILS}")
    checkout.c("right", PASSES)
    checkout.python("wrong", "def test_a():\n    print('\\n' * 100)\n    assert 1 + 1 == 3, 'no sum'\n")
    result = checkout.run("run_tests", "build", "c", "python")
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert "299" in lines and "    assert 1 + 1 == 3, 'no sum'" in result.stdout.replace(">", " ")
    end = "\n".join(lines[-40:])
    assert "tests/c/test_wrong.c:12: Assertion Failed" in end and "The expression (one) == (other) is false." in end
    assert "[FAIL] wrong::it_is_so" in end and "E       AssertionError: no sum" in end
    assert lines[-2:] == ["C: 7 of 8 tests passed, FAILED in: test_wrong",
                          "Python: 0 passed, 1 failed, 0 skipped; FAILED in: test_wrong"]
    assert "tests/c/test_wrong.c" not in checkout.durations()


@pytest.mark.parametrize("script, why", [
    ("echo 'just some words'", "just some words"),             # status 0, and nothing that was counted
    ("kill -SEGV $$", "killed by SIGSEGV"),
    ("echo 'x.c:1: not true: a == b'; exit 3", "x.c:1: not true: a == b"),
    (PASSES + "; exit 1", "exit status 1"),                    # a sanitizer that speaks after Criterion
], ids=["no count", "signal", "check", "status"])
def test_a_program_that_does_not_say_that_it_passed_has_failed(checkout, script, why):
    checkout.c("odd", script)
    result = checkout.run("run_tests", "build", "c")
    assert result.returncode == 1
    assert why in result.stdout and counts_of(result)[0].endswith("tests passed, FAILED in: test_odd")


def test_a_program_that_is_missing_has_failed(checkout):
    checkout.c("gone", PASSES)
    (checkout.build / "tests/test_gone").unlink()
    result = checkout.run("run_tests", "build", "c")
    assert result.returncode == 1 and "No such file" in result.stdout
    assert counts_of(result) == ["C: 0 of 0 tests passed, FAILED in: test_gone"]


def test_module_and_sets_choose(checkout):
    for name in ("box", "boxes"):
        checkout.c(name, PASSES)
        checkout.python(name, "def test_a(): pass\n")
    checkout.c("only_c", PASSES)
    both = ["C: 5 of 5 tests passed", "Python: 1 passed, 0 failed, 0 skipped"]
    assert counts_of(checkout.run("run_tests", "build", "c", "python", MODULE="test_box")) == both
    assert counts_of(checkout.run("run_tests", "build", "c", MODULE="box")) == both[:1]
    assert counts_of(checkout.run("run_tests", "build", "c", "python", MODULE="only_c")) == both[:1]
    for sets, name in [(["c", "python"], "none"), (["python"], "only_c")]:
        result = checkout.run("run_tests", "build", *sets, MODULE=name)
        assert result.returncode == 1 and f"no test_{name} among these" in result.stdout


def test_pytest_args_are_options_and_modules(checkout):
    checkout.c("box", PASSES)
    checkout.python("box", "import pytest\ndef test_a(): pass\n@pytest.mark.slow\ndef test_b(): pass\n")
    checkout.python("slow", "import pytest\npytestmark = pytest.mark.slow\ndef test_a(): pass\n")
    result = checkout.run("run_tests", "build", "c", "python", PYTEST_ARGS='-m "not slow"')
    assert result.returncode == 0  # a module without a test that is left has passed
    assert counts_of(result) == ["C: 5 of 5 tests passed", "Python: 1 passed, 0 failed, 0 skipped"]
    result = checkout.run("run_tests", "build", "python", PYTEST_ARGS="tests/python/test_box.py")
    assert counts_of(result) == ["Python: 2 passed, 0 failed, 0 skipped"]
    result = checkout.run("run_tests", "build", "c", PYTEST_ARGS="tests/python/test_box.py")
    assert counts_of(result) == ["C: 5 of 5 tests passed"]


def test_a_share_is_another_one_for_each_commit(checkout):
    """OT_TEST_SHARE; C programs and modules that are named all run."""
    folder = checkout.build.parent
    commit = ["git", "-c", "user.name=a", "-c", "user.email=b", "commit", "-q", "--allow-empty", "-m", "next"]
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    checkout.c("box", PASSES)
    for name in "abcdef":
        checkout.python(name, "def test_one(): pass\n")
    shares = set()
    for _ in range(4):
        subprocess.run(commit, cwd=folder, check=True)
        result = checkout.run("run_tests", "build", "c", "python", OT_TEST_SHARE="3")
        assert counts_of(result) == ["C: 5 of 5 tests passed", "Python: 2 passed, 0 failed, 0 skipped"]
        shares.add(tuple(sorted(line.split()[1] for line in result.stdout.splitlines() if " passed in " in line)))
    again = checkout.run("run_tests", "build", "python", OT_TEST_SHARE="3").stdout
    assert sum(all(name in again for name in share) for share in shares) == 1 < len(shares)
    named = checkout.run("run_tests", "build", "python", OT_TEST_SHARE="3", PYTEST_ARGS="tests/python/test_a.py tests/python/test_b.py")
    assert counts_of(named) == ["Python: 2 passed, 0 failed, 0 skipped"]


def test_those_that_took_longest_begin_first(checkout):
    names = ["quick", "middle", "long"]
    for name in names:
        checkout.c(name, f"echo {name} >> begun; {PASSES}")
    (checkout.build / "log").mkdir()
    (checkout.build / "log/durations.json").write_text(json.dumps(
        {f"tests/c/test_{name}.c": n for n, name in enumerate(names)}))
    # One at a time, whatever the machine has.
    (checkout.build / "venv/bin/python").write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'import os, runpy, sys; os.cpu_count = lambda: 1; del sys.argv[0]; "
        f'runpy.run_path(sys.argv[0], run_name="__main__")\' "$@"\n')
    result = checkout.run("run_tests", "build", "c")
    assert result.returncode == 0, result.stdout
    assert (checkout.build.parent / "begun").read_text().split() == names[::-1]
