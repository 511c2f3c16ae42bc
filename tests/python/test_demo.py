"""The demo's programs, checks and tables; the command line; the benchmark's smoke run."""

import json
import os
import pickle
import platform
import shutil
import subprocess
import sys
from array import array

import pytest

from objtunnel import __main__ as command_line
from objtunnel import _core, demo
from objtunnel.demo import nbody, numeric, parsing, spectral
from objtunnel.demo.compare import Comparison
from objtunnel.demo.errors import BadInput, WrongResult
from objtunnel.demo.pool import Pool
from objtunnel.demo.table import format_spread, format_table, format_time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCHMARK = os.path.join(ROOT, "benchmarks", "tunnel", "bench_tunnel.py")
PROFILE = os.path.join(ROOT, "benchmarks", "tunnel", "profile.py")


@pytest.fixture(scope="module")
def pool():
    with Pool(2) as pool:
        yield pool


@pytest.fixture
def documents(tmp_path):
    """A folder of two JSON files, one of them in a subfolder, and one that is not JSON's."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.json").write_text('{"a": [1, 2.5, null, "\u20ac"]}', encoding="utf-8")
    (tmp_path / "sub" / "b.json").write_text('[{"b": true}]')
    (tmp_path / "notes.txt").write_text("no JSON")
    return tmp_path


def run_python(*arguments, **environment):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True,
                          env={**os.environ, **environment}, timeout=120)


# ---- programs -----------------------------------------------------------------------------------

def test_nbody_computes_the_published_energies():
    result = nbody.run(1000, 250)
    assert nbody.printed(result) == ("-0.169075164", "-0.169087605")
    assert len(result["positions"]) == len(result["energies"]) == 5
    assert [len(row) for row in result["positions"][0]] == [3] * 5


def test_nbody_does_not_depend_on_the_snapshots():
    assert nbody.run(42, 42)["positions"][-1] == nbody.run(42, 3)["positions"][-1]


def test_spectral_norm_computes_the_published_value():
    result = spectral.run(100)
    assert spectral.printed(result) == "1.274219991"
    assert isinstance(result["u"], array) and len(result["u"]) == 100


# ---- checks -------------------------------------------------------------------------------------

def test_numeric_check_accepts_equal_results_and_refuses_others():
    jobs = [("n-body", 1000)]
    check = numeric.Check(jobs)
    check([numeric.compute(*jobs[0])])
    check([numeric.compute(*jobs[0])])
    changed = numeric.compute(*jobs[0])
    changed["positions"][3][1][2] += 1e-12
    with pytest.raises(WrongResult, match="different numbers"):
        check([changed])


def test_numeric_check_refuses_what_is_not_the_published_value():
    result = spectral.run(100)
    result["norm"] += 1e-6
    with pytest.raises(WrongResult, match="computed 1.274220991, published 1.274219991"):
        numeric.Check([("spectral-norm", 100)])([result])


def test_parsing_check_refuses_a_changed_tree(documents):
    files = parsing.find_files([str(documents)])
    check = parsing.Check(files)
    trees = [parsing.parse(path) for path in files]
    check(trees)
    trees[1][0]["b"] = False
    with pytest.raises(WrongResult, match="b.json"):
        check(trees)


def test_jobs_do_about_the_same_work_on_any_number_of_cores():
    for cores in (1, 2, 7, 64):
        jobs = numeric.make_jobs(cores, quick=False)
        steps = [size for program, size in jobs if program == "n-body"]
        assert len(steps) == cores and min(steps) >= nbody.PUBLISHED_STEP
        assert (len(jobs) - cores) % cores == 0


# ---- pool ---------------------------------------------------------------------------------------

def test_pool_yields_results_in_the_order_of_the_jobs(pool):
    jobs = [("n-body", steps) for steps in (8, 40, 4, 16)]
    expected = [numeric.compute(*job) for job in jobs]
    for pickled in (False, True):
        run = pool.map(numeric.compute, jobs, pickled=pickled)
        assert run.results == expected
        assert 0 < run.underway and 0 < run.elapsed


def test_pool_moves_results_instead_of_copying_them(pool):
    run = pool.map(numeric.compute, [("n-body", 400)])
    assert run.moved > 100 * (1 + 5 + 15)
    assert run.copied < 40  # the planets' first positions are constants of the module


def test_pool_raises_what_a_step_raises_and_works_on(pool, documents):
    with pytest.raises(BadInput, match="notes.txt is not JSON"):
        pool.map(parsing.parse, [(str(documents / "notes.txt"),)] * 4)
    assert pool.map(parsing.parse, [(str(documents / "a.json"),)]).results[0]["a"][1] == 2.5


def test_bad_input_survives_pickling():
    assert str(pickle.loads(pickle.dumps(BadInput("x")))) == "x"


# ---- the demo -----------------------------------------------------------------------------------

def test_comparison_has_all_rows(pool, documents):
    files = parsing.find_files([str(documents)])
    comparison = Comparison(pool, 2, parsing.parse, [(f,) for f in files], parsing.Check(files),
                            control_seconds=0.01)
    comparison.run(2, warm_up=[])
    text = comparison.format()
    for row in ("main interpreter alone", "2 interpreters, tunnel", "2 interpreters, pickle",
                "control: 2 C threads"):
        assert row in text
    figures = comparison.to_dict()
    assert len(figures["elapsed"]["tunnel"]) == 2 and len(figures["control"]) == 8


def test_demo_prints_both_parts(documents, capsys, monkeypatch):
    monkeypatch.setattr(numeric, "_QUICK_STEPS", 1000)
    monkeypatch.setattr(parsing, "_QUICK_ENOUGH", 1000)
    json_file = documents / "figures.out"
    assert demo.run([str(documents)], quick=True, json_file=str(json_file)) == 0
    out = capsys.readouterr().out
    assert "1. Dual-core numbers" in out and "2. Parallel parsing: the 2 JSON files given" in out
    assert out.count("of control") == 2 and out.count("Checked:") == 2
    assert set(json.loads(json_file.read_text())["parts"]) == {"numbers", "parsing"}


def test_demo_makes_its_files_where_there_are_none(documents, capsys, monkeypatch):
    """A machine without Debian's iso-codes."""
    monkeypatch.setattr(numeric, "run", lambda *_: None)
    monkeypatch.setattr(parsing, "ISO_CODES", str(documents / "none"))
    monkeypatch.setattr(parsing, "_QUICK_ENOUGH", 1000)
    assert demo.run(quick=True) == 0
    out = capsys.readouterr().out
    assert "JSON files made of the standard library's source" in out and "Checked:" in out
    folder = documents / "made"
    folder.mkdir()
    parsing.make_files(str(folder))
    assert len(parsing.find_files([str(folder)])) > 50
    first = parsing.parse(str(folder / "ast.py.json"))[0]
    assert first["line"] == 1 and first["words"] == first["text"].split()


def test_demo_fails_on_a_wrong_result(documents, capsys, monkeypatch):
    monkeypatch.setattr(numeric, "_QUICK_STEPS", 1000)
    monkeypatch.setattr(nbody, "PUBLISHED", ("-0.169075164", "-0.169087606"))
    assert demo.run([str(documents)], quick=True) == 1
    assert "WRONG RESULT: n-body, n = 1000" in capsys.readouterr().err


def test_demo_names_unreadable_files(documents, capsys, monkeypatch):
    monkeypatch.setattr(numeric, "run", lambda *_: None)
    assert demo.run([str(documents / "missing")], quick=True) == 1
    assert "no such file or folder" in capsys.readouterr().err
    assert demo.run([str(documents / "notes.txt")], quick=True) == 1
    assert "notes.txt is not JSON" in capsys.readouterr().err
    assert demo.run([], quick=True, json_file=str(documents / "no" / "folder")) == 1
    assert "No such file or directory" in capsys.readouterr().err


def test_files_are_found(documents):
    a, b = str(documents / "a.json"), str(documents / "sub" / "b.json")
    assert parsing.find_files([str(documents)]) == [a, b]
    named = [b, str(documents / "notes.txt")]
    assert parsing.find_files(named) == named
    (documents / "empty").mkdir()
    with pytest.raises(BadInput, match="no .*json files"):
        parsing.find_files([str(documents / "empty")])


# ---- tables -------------------------------------------------------------------------------------

@pytest.mark.parametrize("seconds, text", [
    (12.345, "12.3 s"), (1.0, "1.00 s"), (0.99996, "1.00 s"), (0.0123, "12.3 ms"),
    (456e-6, "456 us"), (7.8e-8, "78 ns"), (0.0, "0 ns")])
def test_times_have_three_digits_and_a_unit(seconds, text):
    assert format_time(seconds) == text


def test_tables_are_aligned():
    assert format_table(("a", "b"), [("long", "1"), ("x", "234")]) == (
        "a       b\n---------\nlong    1\nx     234")
    assert format_spread([0.5]) == "-" and format_spread([2.0, 1.0]) == "1.00 s .. 2.00 s"


# ---- the command line ---------------------------------------------------------------------------

@pytest.mark.parametrize("original, options", [
    (["python", "-m", "objtunnel", "s.py"], []),
    (["python", "-mobjtunnel", "s.py"], []),
    (["python", "-X", "dev", "-um", "objtunnel", "s.py"], ["-X", "dev", "-u"]),
    (["python", "-W", "error", "-umobjtunnel", "s.py"], ["-W", "error", "-u"])])
def test_python_options_are_kept(original, options):
    assert command_line.python_options(original, 1) == options


SCRIPT = """\
import sys
from objtunnel import heap_info
print(sys.argv[1:], __name__, heap_info().installed, sys.flags.dont_write_bytecode)
sys.exit(7)
"""


def test_script_runs_on_a_process_wide_allocator(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = run_python("-B", "-m", "objtunnel", str(script), "-x", "--help", "demo")
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout == "['-x', '--help', 'demo'] __main__ False 1\n"


def test_module_runs_on_a_process_wide_allocator(tmp_path):
    (tmp_path / "some_module.py").write_text(SCRIPT)
    done = run_python("-m", "objtunnel", "-m", "some_module", "a", PYTHONPATH=os.pathsep.join(
        [str(tmp_path), *filter(None, sys.path)]))
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.startswith("['a'] __main__ False")


def test_ignored_environment_is_refused(tmp_path):
    (tmp_path / "script.py").write_text("")
    done = run_python("-E", "-m", "objtunnel", tmp_path / "script.py", PYTHONMALLOC="pymalloc")
    if "No module named" in done.stderr:
        pytest.skip("objtunnel is found by PYTHONPATH, which -E ignores")
    assert done.returncode == 2 and "PYTHONMALLOC" in done.stderr


def test_info_and_help():
    info = run_python("-m", "objtunnel", "info")
    assert info.returncode == 0, info.stderr
    facts = dict(line.split(maxsplit=1) for line in info.stdout.splitlines())
    assert facts["extension"].startswith(os.path.basename(_core.__file__))
    assert f"for Python {platform.python_version()}," in facts["extension"]
    assert facts["Python"].startswith(platform.python_version()) and sys.executable in facts["Python"]
    assert {"objtunnel", "system", "configured", "environment", "objects", "GIL"} <= facts.keys()
    changed = run_python("-m", "objtunnel", "info", PYTHONHASHSEED="7")
    assert "PYTHONHASHSEED=7" in changed.stdout
    help_text = run_python("-m", "objtunnel", "--help")
    assert help_text.returncode == 0
    for word in ("demo", "info", "SCRIPT", "-m MODULE", "PYTHONMALLOC", "mimalloc"):
        assert word in help_text.stdout


@pytest.mark.parametrize("arguments", [[], ["-m"], ["--nonsense"], ["demo", "--repeat", "0"]])
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        command_line.main(arguments)
    assert error.value.code == 2 and "usage" in capsys.readouterr().err


@pytest.mark.slow
def test_quick_demo_as_a_program():
    done = run_python("-m", "objtunnel", "demo", "--quick")
    assert (done.returncode, done.stderr) == (0, "")
    assert "-0.169087605" in done.stdout and "1.274219991" in done.stdout


# ---- the benchmark ------------------------------------------------------------------------------

@pytest.mark.slow
def test_benchmark_runs_every_case_small(tmp_path):
    json_file = tmp_path / "out.json"
    done = run_python(BENCHMARK, "--smoke", "--json", str(json_file))
    assert done.returncode == 0, done.stderr
    record = json.loads(json_file.read_text())
    names = run_python(BENCHMARK, "--list").stdout.split()
    others = ("memory", "heap", "ping_pong", "throughput")  # the floor is a program that make builds
    assert set(names) == {*record["transfers"], *others, "floor"}
    assert all(record[name] for name in others) and record["skipped"][-1] == "floor"
    assert all(name in done.stdout for name in (*record["transfers"], "ping_pong", "throughput"))
    assert record["machine"]["python"] and record["control"]["samples"]
    floats = record["transfers"]["floats_1e6"]
    assert floats["receipt"]["moved"] >= 1000 and len(floats["pickle"]["total"]) == 1


@pytest.mark.slow
def test_benchmark_filter_and_its_error():
    done = run_python(BENCHMARK, "--smoke", "--filter", "^array_8MB$")
    assert done.returncode == 0 and "array_8MB" in done.stdout and "rows" not in done.stdout
    assert run_python(BENCHMARK, "--filter", "no such case").returncode == 2


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("perf") is None, reason="perf samples it")
def test_profile_of_what_the_benchmark_sends(tmp_path):
    page = tmp_path / "profile.md"
    done = run_python(PROFILE, str(page))
    if "perf_event" in done.stderr or "ermission" in done.stderr:
        pytest.skip("perf may not sample here")
    assert done.returncode == 0, done.stderr
    floats = page.read_text().partition("## `floats_1e6`")[2].partition("\n## ")[0]
    assert "| _core | `" in floats and "| sender |" in page.read_text()
