"""python -m objtunnel explain, bench, run, --version, --json, and its exit statuses. (demo and info: test_demo.)"""

import json
import os
import platform
import signal
import subprocess
import sys
import types

import pytest

import objtunnel
from objtunnel import _progress

PROGRAM = '''\
"""A program of a user."""
from objtunnel import Tunnel

def load():
    return [[i / 7] for i in range(3)]

def echo(x):
    return x

rows = load()
bad = [lambda: 1]

if __name__ == "__main__":
    raise SystemExit("the program itself must not run")
'''


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "main.py"
    path.write_text(PROGRAM)
    return path


def command(*arguments, cwd=None, **environment):
    folder = os.path.dirname(os.path.dirname(objtunnel.__file__))
    return subprocess.run([sys.executable, "-m", "objtunnel", *map(str, arguments)], capture_output=True, text=True,
                          cwd=cwd, timeout=120, env={**os.environ, "PYTHONPATH": folder, **environment})


def test_explain_names_the_variable_and_its_line(program):
    done = command("explain", "main.py:[1, rows]", cwd=program.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "copied   $[1]: list, 7 objects" in done.stdout and "`rows` in main.py:10" in done.stdout
    assert done.stdout.startswith("1 moved, 7 copied (")


def test_explain_of_what_moves(program):
    done = command("explain", "--strict", "main.py:load()", cwd=program.parent)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("7 moved, 0 copied")


def test_explain_of_a_constant_in_the_expression(program):
    done = command("explain", "main.py:[[1.5]]", cwd=program.parent)
    assert done.returncode == 0 and "a constant in the expression" in done.stdout and "site-packages" not in done.stdout
    assert os.path.dirname(objtunnel.__file__) not in done.stdout and "<expression>" not in done.stdout


def test_explain_as_json_and_strict(program):
    done = command("explain", "--json", "--strict", f"{program}:[rows]")
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert record["copied"] == 7 and record["findings"][0]["holders"]


def test_explain_of_what_is_refused(program):
    done = command("explain", f"{program}:bad")
    assert done.returncode == 1 and "refused  $[0]: function" in done.stdout and "use def" in done.stdout


@pytest.mark.parametrize(("value", "status", "text"), [
    ("main.py", 2, "is not FILE.py:EXPRESSION"), ("main.py: ", 2, "is not FILE.py"),
    ("missing.py:x", 1, "there is no file missing.py"), ("main.py:unknown", 1, "NameError"),
    ("main.py:1 +", 1, "SyntaxError"), ("main.py:x = 1", 1, "SyntaxError"), ("main.py:exit(7)", 1, "SystemExit"),
    ("main.py:echo()", 1, "TypeError"), ("broken.py:1", 1, 'broken.py", line 2, in <module>')])
def test_explain_without_a_value(program, value, status, text):
    (program.parent / "broken.py").write_text("x = 1\nx.y\n")
    done = command("explain", value, cwd=program.parent)
    assert (done.returncode, done.stdout) == (status, "") and text in done.stderr
    assert os.path.dirname(objtunnel.__file__) not in done.stderr and "<frozen" not in done.stderr  # lines that are not the user's


@pytest.mark.parametrize(("arguments", "said"), [
    (["explain"], "python -m objtunnel explain: error: the following arguments are required: FILE.py:EXPRESSION"),
    (["explain", "--limit", "many", "x.py:1"], "python -m objtunnel explain: error: argument --limit: must be a whole number, 1 or more, not 'many'"),
    (["demo", "--repeat", "0"], "python -m objtunnel demo: error: argument --repeat: must be a whole number, 1 or more, not '0'"),
    (["check"], "python -m objtunnel check: error: the following arguments are required: PACKAGE"),
    (["run"], "python -m objtunnel run: error: the following arguments are required: SCRIPT"),
    (["info", "more"], "python -m objtunnel: error: unrecognized arguments: more"),
    (["--nonsense"], "python -m objtunnel: error: unrecognized arguments: --nonsense"),
    (["-m"], "python -m objtunnel: error: -m wants the name of a module"),
    (["run", "-m"], "python -m objtunnel run: error: the following arguments are required: SCRIPT"),
    ([], "python -m objtunnel: error: there is nothing to do: demo, bench, info, check, explain, run or a program"),
    (["dmeo"], "python -m objtunnel: there is no file 'dmeo', and no command of that name: demo, bench, info, check, explain, run"),
    (["run", "demo"], "python -m objtunnel: there is no file 'demo'"),
])
def test_a_wrong_command_line_is_answered_in_its_last_line(tmp_path, arguments, said):
    done = command(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    *usage, last = done.stderr.splitlines()
    assert last == said
    if " demo: " in said or " explain: " in said:
        assert len(usage) <= 2  # that command's own


def test_the_demo_looks_for_its_files_first(tmp_path):
    done = command("demo", "missing.json", "--json", "out.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "objtunnel demo: no such file or folder: missing.json\n")
    assert "n-body" not in done.stdout and not (tmp_path / "out.json").exists()


def test_version():
    done = command("--version")
    assert done.stdout == f"objtunnel {objtunnel.__version__} (Python {platform.python_version()})\n"
    assert done.returncode == 0


def test_info_as_json():
    facts = json.loads(command("info", "--json").stdout)
    assert facts["objtunnel"].startswith(objtunnel.__version__) and "GIL" in facts and "objects from" in facts


def test_run_is_as_without_it(tmp_path):
    (tmp_path / "info").write_text("import sys, objtunnel\nprint(sys.argv, objtunnel.heap_info().installed)\nsys.exit(5)\n")
    done = command("run", "info", "a", "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (5, "['info', 'a', '--version'] False\n")
    done = command("run", "-m", "platform")
    assert done.returncode == 0 and done.stdout.startswith("Linux")
    for wrong in (["run"], ["run", "--nonsense"]):
        assert command(*wrong).returncode == 2


def test_bench_prints_a_table_or_json(tmp_path):
    done = command("bench", "--quick", "--repeat", "1")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["tunnel", "spread"] and any(line.startswith("rows of a table") for line in lines)
    done = command("bench", "--quick", "--repeat", "2", "--json", "-")
    seconds = json.loads(done.stdout)["seconds"]
    assert all(len(samples) == 2 for by_way in seconds.values() for samples in by_way.values())
    assert {"tunnel", "pickle"} <= set(seconds["floats"])
    assert command("bench", "--quick", "--json", tmp_path / "no" / "file").returncode == 1


def test_bench_refuses_what_arrived_otherwise(monkeypatch, capsys):
    from objtunnel.demo import bench
    ways = bench._ways()
    monkeypatch.setattr(bench, "_ways", lambda: {**ways, "pickle": lambda tree: []})
    assert bench.run(1, True) == 1
    assert "pickle has changed the floats" in capsys.readouterr().err


# ---- a reader that has left ---------------------------------------------------------------------

@pytest.mark.parametrize("arguments", [
    ["info"], ["info", "--json"], ["--version"], ["--help"], ["bench", "--help"], ["bench", "--quick", "--repeat", "1"],
    ["bench", "--quick", "--repeat", "1", "--json", "-"], ["demo", "--quick", "--repeat", "1"], ["check", "json"],
    ["check", "--markdown", "json"], ["explain", "main.py:rows"], ["explain", "--json", "main.py:rows"],
    ["explain", "prints.py:1"]], ids=" ".join)
def test_a_reader_that_has_left_ends_the_command_quietly(program, arguments):
    (program.parent / "prints.py").write_text("for _ in range(9999): print('a line of a program')\n")
    folder = os.path.dirname(os.path.dirname(objtunnel.__file__))
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-m", "objtunnel", *arguments], stdout=writing, stderr=subprocess.PIPE, text=True,
                          timeout=120, cwd=program.parent, env={**os.environ, "PYTHONPATH": folder})
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_another_pipe_that_is_broken_is_told(program):
    (program.parent / "pipes.py").write_text("import os\nr, w = os.pipe()\nos.close(r)\nos.write(w, b'x')\n")
    done = command("explain", "pipes.py:1", cwd=program.parent)
    assert (done.returncode, done.stdout) == (1, "") and "BrokenPipeError" in done.stderr


def test_without_stdout_nothing_is_wrong():
    done = subprocess.run(["sh", "-c", f"exec '{sys.executable}' -m objtunnel --version >&-"], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(objtunnel.__file__))})
    assert (done.returncode, done.stderr) == (0, "")


# ---- progress -----------------------------------------------------------------------------------

class Terminal:
    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass


@pytest.mark.parametrize("present", ["tqdm", "rich", None])
def test_progress_takes_the_bar_that_is_there(monkeypatch, present):
    used = []

    def bar(items, **options):
        used.append(present)
        return items

    for name in ("tqdm", "rich", "rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)
    if present == "tqdm":
        monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=bar))
    elif present == "rich":
        monkeypatch.setitem(sys.modules, "rich.console", types.SimpleNamespace(Console=lambda **options: None))
        monkeypatch.setitem(sys.modules, "rich.progress", types.SimpleNamespace(track=bar))
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(_progress.progress([1, 2, 3], "counting")) == [1, 2, 3]
    assert used == ([present] if present else [])


def test_no_progress_without_a_terminal(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace())  # importing tqdm from it would fail
    assert list(_progress.progress([1, 2], "counting")) == [1, 2]
    monkeypatch.setattr(sys, "stderr", None)
    assert list(_progress.progress([1, 2], "counting")) == [1, 2]
