"""python -m objtunnel check: which packages can be used in a worker."""

import os
import subprocess
import sys
import sysconfig

import pytest

import objtunnel
from objtunnel import _check


def check(*arguments, path=None, **environment):
    where = os.path.dirname(os.path.dirname(objtunnel.__file__))
    paths = os.pathsep.join(filter(None, [where, path and str(path)]))
    return subprocess.run([sys.executable, "-m", "objtunnel", "check", *arguments], capture_output=True, text=True,
                          timeout=120, env={**os.environ, "PYTHONPATH": paths, **environment})


def test_packages_that_load():
    done = check("json", "decimal", "xml.etree.ElementTree")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["json", "loads"], ["decimal", "loads"],
                                                    ["xml.etree.ElementTree", "loads"]]


def test_a_package_that_is_not_installed():
    done = check("json", "no_such_package_anywhere", "no_such.module", "json.nothing")
    assert done.returncode == 2
    json, first, second, inner = done.stdout.splitlines()
    assert "loads in" in json and first.endswith("is not installed") and second.endswith("is not installed")
    assert "refuses: ModuleNotFoundError: No module named 'json.nothing'" in inner


@pytest.fixture
def packages(tmp_path):
    """Packages with an extension that refuses: an old one of a single phase."""
    source = tmp_path / "single.c"
    source.write_text("""
        #include <Python.h>
        static struct PyModuleDef def = {PyModuleDef_HEAD_INIT, "single", NULL, -1, NULL, NULL, NULL, NULL, NULL};
        PyMODINIT_FUNC PyInit_single(void) { return PyModule_Create(&def); }
        """)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for name, text in {"needs": "from needs.inner import single\n", "inner": "",
                       "can_do_without": "try:\n    from can_do_without import single\nexcept ImportError:\n    pass\n"}.items():
        folder = tmp_path / name if name != "inner" else tmp_path / "needs" / "inner"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(text)
        if name != "needs":
            subprocess.run(["cc", "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}", str(source), "-o",
                            str(folder / f"single{suffix}")], check=True)
    (tmp_path / "crashes.py").write_text("import os\nos.abort()\n")
    (tmp_path / "ends.py").write_text("import os\nos._exit(3)\n")
    (tmp_path / "fails.py").write_text("raise ValueError('first line\\nsecond line')\n")
    (tmp_path / "prints.py").write_text("print('noise', end='')\n")
    return tmp_path


def test_what_refuses_is_named(packages):
    done = check("needs", "can_do_without", "crashes", "ends", "fails", "prints", path=packages)
    assert done.returncode == 1, done.stdout + done.stderr
    needs, without, crashes, ends, fails, prints = done.stdout.splitlines()
    assert "refuses: needs.inner.single (module " in needs and "does not support loading in subinterpreters)" in needs
    assert "loads without its extension can_do_without.single" in without
    assert crashes.endswith("crashes with SIGABRT while it is imported")
    assert "fails" in ends
    assert "refuses: ValueError: first line" in fails and "second" not in fails
    assert "loads in" in prints


def test_a_table_in_markdown(packages):
    done = check("--markdown", "json", "needs", path=packages)
    assert done.returncode == 1
    head, rule, json, needs = done.stdout.splitlines()
    assert head == "| package | version | in a worker |" and rule == "| --- | --- | --- |"
    assert json.startswith("| json |  | loads in ") and needs.startswith("| needs |  | **refuses:** needs.inner.single (")


def test_one_that_hangs(packages, monkeypatch):
    (packages / "hangs.py").write_text("while True:\n    pass\n")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.setattr(_check, "_TIMEOUT", 3)
    assert _check.check("hangs") == (1, "hangs for 3 s")


def test_names_of_distributions():
    """pip's name is enough, whatever the module is called."""
    assert _check.find("pytest")[0] == "pytest" and _check.find("pytest")[1]
    assert _check.find("PyTest")[0] == "pytest"
    assert _check.find("no-such-distribution") == (None, "")
    assert _check.find(".relative") == (None, "") and _check.find("") == (None, "")


def test_usage(capsys):
    from objtunnel import __main__ as command_line
    with pytest.raises(SystemExit) as error:
        command_line.main(["check"])
    assert error.value.code == 2 and "usage" in capsys.readouterr().err
