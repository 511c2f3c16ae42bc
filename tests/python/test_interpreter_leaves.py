"""An interpreter that came and went leaves behind what stock CPython leaves of it, and no more."""

import os
import subprocess
import sys
from pathlib import Path

HELPER = Path(__file__).parent / "helpers" / "left_behind.py"
OF_OUR_MODULES = 60  # kB: 3.13 keeps the interned strings and code of what an interpreter imported, objtunnel's too


def printed_by(*arguments):
    done = subprocess.run([sys.executable, str(HELPER), *arguments], env={**os.environ, "PYTHONMALLOC": "malloc"},
                          stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    return done.stdout.split()


def test_an_interpreter_leaves_no_more_than_stock_python_does():
    modules, ours = printed_by("ours")
    (stock,) = printed_by("stock", modules)
    assert "threading" in modules.split(",")
    assert float(ours) <= max(0.0, float(stock)) + OF_OUR_MODULES
