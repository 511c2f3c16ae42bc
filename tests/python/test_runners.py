"""The scripts of tools/: each tells its usage. tools/run_tests and tools/run_queue say at their end which tests failed, and why; a
choice that leaves no test has failed."""

import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tools"
SCRIPTS = sorted(path for path in [*TOOLS.iterdir(), *(ROOT / "lab").iterdir(), ROOT / ".ci/run"]
                 if path.is_file() and path.suffix == "" and os.access(path, os.X_OK))
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
                           if k not in ("MODULE", "PYTEST_ARGS", "OT_TEST_SHARE", "OT_TEST_JOBS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL",
                                        "PYTHONPATH")}
            environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # hypothesis would take most of the time
            environment["OT_TEST_JOBS"] = "1"  # so pytest is imported once
            environment = {k: v for k, v in {**environment, **variables}.items() if v is not None}
            return subprocess.run([TOOLS / tool, *arguments], cwd=tmp_path, env=environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)

    def write(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    (tmp_path / "tests/ext").mkdir(parents=True)
    write(tmp_path / "pytest.ini", "[pytest]\nmarkers = slow\n")
    write(tmp_path / "build/venv/bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n').chmod(0o755)
    return Checkout()


def load(tool):
    """The module that one of our scripts is."""
    loader = importlib.machinery.SourceFileLoader(tool, str(TOOLS / tool))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(tool, loader))
    loader.exec_module(module)
    return module


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


def test_a_share_is_another_one_for_each_commit(checkout, monkeypatch):
    """OT_TEST_SHARE; C programs and modules that are named all run."""
    folder = checkout.build.parent
    commit = ["git", "-c", "user.name=a", "-c", "user.email=b", "commit", "-q", "--allow-empty", "-m", "next"]
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    checkout.c("box", PASSES)
    for name in "abcdef":
        checkout.python(name, "def test_one(): pass\n")
    queue = load("run_queue")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OT_TEST_SHARE", "3")
    modules, shares = sorted(Path("tests/python").glob("test_*.py")), set()
    for _ in range(6):
        subprocess.run(commit, cwd=folder, check=True)
        share = queue.share_of(modules)
        assert len(share) == 2 and share == queue.share_of(modules)
        shares.add(tuple(module.stem for module in share))
    assert len(shares) > 1
    result = checkout.run("run_tests", "build", "c", "python", OT_TEST_SHARE="3")
    assert counts_of(result) == ["C: 5 of 5 tests passed", "Python: 2 passed, 0 failed, 0 skipped"]
    assert all(f"] {name}: " in result.stdout for name in [module.stem for module in share])
    named = checkout.run("run_tests", "build", "python", OT_TEST_SHARE="3", PYTEST_ARGS="tests/python/test_a.py tests/python/test_b.py")
    assert counts_of(named) == ["Python: 2 passed, 0 failed, 0 skipped"]


def test_those_that_took_longest_begin_first(checkout):
    names = ["quick", "middle", "long"]
    for name in names:
        checkout.c(name, f"echo {name} >> begun; {PASSES}")
    (checkout.build / "log").mkdir()
    (checkout.build / "log/durations.json").write_text(json.dumps(
        {f"tests/c/test_{name}.c": n for n, name in enumerate(names)}))
    result = checkout.run("run_tests", "build", "c", OT_TEST_JOBS="1")
    assert result.returncode == 0, result.stdout
    assert (checkout.build.parent / "begun").read_text().split() == names[::-1]


def test_so_many_run_at_once_and_each_program_has_a_job_at_least(checkout, monkeypatch):
    """OT_TEST_JOBS; without it, two more than there are CPUs, of which each program of Criterion's has its part."""
    for name in "abcd":
        checkout.c(name, f"echo begin >> log; echo $* >> jobs; while [ $(grep -c begin log) -lt 4 ]; do sleep 0.01; done; {PASSES}")
    result = checkout.run("run_tests", "build", "c", OT_TEST_JOBS="4")
    assert counts_of(result) == ["C: 20 of 20 tests passed"]
    assert {line.split()[-1] for line in (checkout.build.parent / "jobs").read_text().splitlines()} == {
        f"--jobs={max(1, len(os.sched_getaffinity(0)) // 4)}"}
    queue = load("run_queue")
    monkeypatch.delenv("OT_TEST_JOBS", raising=False)  # whoever runs this test may have said so
    assert queue.Queue(checkout.build, [queue.CProgram("x.c", checkout.build)] * 99, []).workers == len(os.sched_getaffinity(0)) + 2
    assert queue.Queue(checkout.build, [queue.CProgram("x.c", checkout.build)], []).workers == 1


def test_pytest_loads_the_plugin_of_hypothesis_and_no_other(checkout):
    checkout.python("plugins", """
        import pytest
        def test_a(request):
            plugins = request.config.pluginmanager
            assert plugins.has_plugin("_hypothesis_pytestplugin") and not plugins.list_plugin_distinfo()
        """.replace("\n        ", "\n"))
    result = checkout.run("run_tests", "build", "python", PYTEST_DISABLE_PLUGIN_AUTOLOAD=None)
    assert counts_of(result) == ["Python: 1 passed, 0 failed, 0 skipped"], result.stdout


def test_a_module_is_run_as_python_does_it_and_by_a_process_of_its_own(checkout):
    """The nursery's children are as `python -m pytest` is; a crash takes one module only."""
    for name in "ab":
        checkout.python(name, """
            import os, stat, sys, threading

            def test_a():
                print(os.getpid(), os.getppid())
                main = sys.modules["__main__"]
                assert main.__spec__.name == "pytest.__main__" and sys.argv[1] == "tests/python/test_NAME.py"
                assert sys.path[0] == os.getcwd() or sys.path[1] == os.getcwd(), sys.path
                assert "objtunnel" not in sys.modules and threading.active_count() == 1
                assert os.fstat(0).st_rdev == os.stat("/dev/null").st_rdev and os.fstat(1).st_nlink == os.fstat(2).st_nlink
                assert not any(stat.S_ISFIFO(os.stat(f"/dev/fd/{n}").st_mode) for n in os.listdir("/dev/fd") if os.path.exists(f"/dev/fd/{n}"))
            """.replace("\n            ", "\n").replace("NAME", name))
    checkout.python("crash", "import os, signal\ndef test_a(): os.kill(os.getpid(), signal.SIGSEGV)\n")
    checkout.python("leaves", "import os\ndef test_a(): os._exit(7)\n")
    result = checkout.run("run_tests", "build", "python", OT_TEST_JOBS="1", PYTEST_ARGS="-s")
    assert result.returncode == 1
    assert counts_of(result) == ["Python: 2 passed, 0 failed, 0 skipped; FAILED in: test_crash test_leaves"], result.stdout
    assert "test_crash: killed by SIGSEGV" in result.stdout and "test_leaves: exit status 7" in result.stdout
    (pid, parent), (other, same) = (re.search(r"^tests.* (\d+) (\d+)$", (checkout.build / f"log/tests/test_{name}.log").read_text(),
                                              re.MULTILINE).groups() for name in "ab")
    assert pid != other and parent == same


def test_what_takes_too_long_is_killed_and_the_rest_runs(checkout, monkeypatch, capsys):
    checkout.python("hangs", "import time\ndef test_a(): time.sleep(600)\n")
    checkout.python("passes", "def test_a(): pass\n")
    checkout.c("hangs", "exec sleep 600")
    queue = load("run_queue")
    monkeypatch.chdir(checkout.build.parent)
    monkeypatch.setattr(queue, "LIMIT", 2)
    monkeypatch.setenv("OT_TEST_JOBS", "1")
    monkeypatch.setattr(queue, "PLUGINS", [])
    assert queue.main("build", ["tests/python", "tests/c/test_hangs.c"]) == 1
    out = capsys.readouterr().out
    assert out.count("test_hangs: took longer than 2 s") == 2 and "Python: 1 passed, 0 failed" in out


# ---- a choice of nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize("variables, said", [
    ({"PYTEST_ARGS": "-k nothing_is_called_so"}, "none of their tests is chosen by: -k nothing_is_called_so"),
    ({"PYTEST_ARGS": "tests/python/test_boxx.py"}, "there is no tests/python/test_boxx.py"),
    ({"OT_TEST_SHARE": "0"}, "OT_TEST_SHARE=0: must be 1 or more"),
    ({"OT_TEST_SHARE": "half"}, "OT_TEST_SHARE=half: must be 1 or more"),
    ({"OT_TEST_JOBS": "0"}, "OT_TEST_JOBS=0: must be 1 or more"),
], ids=["-k", "file", "share", "share-of-words", "jobs"])
def test_a_choice_of_nothing_fails(checkout, variables, said):
    checkout.python("box", "def test_a(): pass\n")
    result = checkout.run("run_tests", "build", "python", **variables)
    assert result.returncode == 1 and said in result.stdout, result.stdout


def test_a_choice_of_nothing_in_one_of_two_modules_is_none_of_nothing(checkout):
    checkout.python("box", "def test_a(): pass\n")
    checkout.python("boxes", "def test_only_here(): pass\n")
    result = checkout.run("run_tests", "build", "python", PYTEST_ARGS="-k only_here")
    assert result.returncode == 0 and counts_of(result) == ["Python: 1 passed, 0 failed, 0 skipped"]


@pytest.mark.parametrize("tool, variables, said", [
    ("matrix", {"VERSIONS": "3.14 3.12"}, "no 3.12: there are 3.13 3.14 3.15"),
    ("matrix", {"VERSIONS": " "}, "choose nothing"),
    ("matrix", {"TARGETS": " "}, "choose nothing"),
    ("check_arm64", {"ARM64_TESTS": "test_map test_mapp"}, "no tests/c/test_mapp.c or tests/python/test_mapp.py"),
    ("check_arm64", {"ARM64_TESTS": " "}, "chooses no test"),
])
def test_other_runners_refuse_before_they_begin(tmp_path, tool, variables, said):
    result = subprocess.run([TOOLS / tool, *([tmp_path / "build"] if tool == "check_arm64" else [])], timeout=60, text=True,
                            env={"PATH": os.environ["PATH"], **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 1 and said in result.stdout, result.stdout
    assert "done, " not in result.stdout


# ---- usage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_each_script_tells_its_usage_and_does_nothing(tmp_path, script):
    option = "-h" if script.name in ("bootstrap", "run_queue") else "--help"
    done = subprocess.run([script, option], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and "usage: " in done.stdout
    assert script.name in done.stdout and "set -" not in done.stdout and not list(tmp_path.iterdir())


def test_the_scripts_are_all_there():
    assert {path.name for path in SCRIPTS} >= {"matrix", "run_queue", "run_targets", "lint", "bootstrap", "check_mutants", "build", "run"}
    assert len(SCRIPTS) > 30
