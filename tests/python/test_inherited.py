"""What a worker inherits of its caller: the table of docs/workers.md."""

import os
import subprocess
import sys

import pytest

import objtunnel

ROOT = os.path.dirname(os.path.dirname(objtunnel.__file__))


@pytest.fixture
def both(tmp_path):
    """both(source, *options): what the script prints of look() here and in a worker; source defines
    look(), and change(), which is run here between the worker's start and its job."""

    def run(source, *options, env=None):
        script = tmp_path / "script.py"
        script.write_text(source + """
import objtunnel
if __name__ == "__main__":
    before()
    with objtunnel.Interpreter() as w:
        change()
        print(look(), "|", w.call(look))
""")
        prefix = "def before(): pass\ndef change(): pass\n"
        script.write_text(prefix + script.read_text())
        result = subprocess.run([sys.executable, *options, script, "one", "two"], text=True,
                                capture_output=True, timeout=100, cwd=tmp_path,
                                env={**os.environ, "PYTHONPATH": ROOT, **(env or {})})
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    return run


def same(text):
    here, there = text.split(" | ")
    return here == there


def test_sys_path_and_its_later_changes(both):
    text = both("""
import sys
def change(): sys.path.insert(0, "/later")
def look(): return sys.path
""")
    assert same(text) and "/later" in text


def test_a_later_change_of_sys_path_keeps_what_a_job_changed(run_script):
    run_script("""
        import sys
        import objtunnel
        def add(entry): sys.path.append(entry)
        def has(entry): return entry in sys.path
        if __name__ == "__main__":
            with objtunnel.Interpreter() as w:
                sys.path.append("/mine")
                w.call(add, "/theirs")
                assert w.call(has, "/theirs") and w.call(has, "/mine")
        """, env={**os.environ, "PYTHONPATH": ROOT})


def test_argv(both):
    assert same(both("import sys\ndef look(): return sys.argv"))


def test_command_line_options(both):
    text = both("import sys\ndef look(): return sys.warnoptions, sys._xoptions, sys.flags.dev_mode",
                "-W", "error::UserWarning", "-X", "dev", "-X", "mine=5")
    assert same(text) and "mine" in text and "UserWarning" in text


def test_warning_filters_of_the_command_line_only(both):
    source = """
import warnings
def change(): warnings.simplefilter("error", RuntimeWarning)
def look(): return [f[0] for f in warnings.filters if f[2] in (UserWarning, RuntimeWarning)]
"""
    assert both(source, "-W", "error::UserWarning") == "['error', 'error'] | ['error']"


def test_logging_is_not_configured(both):
    text = both("""
import logging
def before(): logging.basicConfig(level=10)
def look(): return len(logging.getLogger().handlers), logging.getLogger().level
""")
    assert text == "(1, 10) | (0, 30)"


def test_contextvars_and_decimal_context_are_the_defaults(both):
    text = both("""
import contextvars, decimal
var = contextvars.ContextVar("var", default=1)
def before():
    var.set(2)
    decimal.getcontext().prec = 5
def look(): return var.get(), decimal.getcontext().prec
""")
    assert text == "(2, 5) | (1, 28)"


def test_the_working_directory_is_the_processs(both):
    assert same(both("import os\ndef change(): os.chdir('/')\ndef look(): return os.getcwd()"))


def test_the_environment_is_that_of_the_workers_start(both):
    text = both("""
import os
def before(): os.environ["BEFORE"] = "1"
def change(): os.environ["LATER"] = "1"
def look(): return os.environ.get("BEFORE"), os.environ.get("LATER")
""")
    assert text == "('1', '1') | ('1', None)"


def test_signal_handlers_stay_with_the_main_interpreter(run_script):
    result = run_script("""
        import os, signal, time
        import objtunnel
        def try_to_set():
            try:
                signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            except ValueError as error:
                return str(error)
        def send():
            os.kill(os.getpid(), signal.SIGUSR1)
        if __name__ == "__main__":
            signal.signal(signal.SIGUSR1, lambda *_: print("handled by main"))
            with objtunnel.Interpreter() as w:
                print(w.call(try_to_set))
                w.call(send)
                time.sleep(0.1)
        """, env={**os.environ, "PYTHONPATH": ROOT})
    assert "main thread of the main interpreter" in result.stdout
    assert "handled by main" in result.stdout


def test_standard_streams(run_script):
    result = run_script("""
        import contextlib, io, sys
        import objtunnel
        def say(text):
            print(text)
            sys.stderr.write(text + "!")
        if __name__ == "__main__":
            with contextlib.redirect_stdout(io.StringIO()) as kept:
                with objtunnel.Interpreter() as w:
                    w.call(say, "from the worker")
            assert kept.getvalue() == ""
        """, env={**os.environ, "PYTHONPATH": ROOT})
    assert result.stdout == "from the worker\n" and result.stderr == "from the worker!"
