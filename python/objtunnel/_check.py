"""python -m objtunnel check: can a package be imported in an interpreter with its own GIL?

Each package gets a process of its own, since extensions that were not made for it may crash. There, two
interpreters import it one after the other: some extensions load once a process.
"""

import importlib
import importlib.machinery
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time

LOADS, REFUSES, MISSING = 0, 1, 2  # exit statuses
_TIMEOUT = 120  # seconds for a package


def run(names, python_options, markdown=False):
    """Print what becomes of each package; return the exit status: 2 if one is not installed, else 1 if one cannot
    be used in a worker, else 0."""
    width = max(map(len, names)) + 16
    worst = LOADS
    if markdown:
        print("| package | version | in a worker |\n| --- | --- | --- |")
    for name in names:
        module, version = find(name)
        status, text = (MISSING, "is not installed") if module is None else check(module, python_options)
        worst = max(worst, status)
        if markdown:
            print(f"| {name} | {version} | {_in_markdown(status, text)} |", flush=True)
        else:
            print(f"{name + ' ' + version:{width}} {text}", flush=True)
    return worst


def _in_markdown(status, text):
    return text if status == LOADS else f"**{text.partition(' ')[0]}** {text.partition(' ')[2]}".replace("|", "\\|")


# ---- what a name stands for -----------------------------------------------------------------------

def find(name):
    """(module to import, version of its distribution); (None, "") if there is no such thing. name: of a module or
    of a distribution (scikit-learn, whose module is sklearn)."""
    from importlib import metadata
    if _is_there(name):
        for distribution in metadata.packages_distributions().get(name.partition(".")[0], ()):
            return name, metadata.version(distribution)
        return name, ""
    wanted = _normal(name)
    modules = [module for module, distributions in metadata.packages_distributions().items()
               if not module.startswith("_") and wanted in map(_normal, distributions) and _is_there(module)]
    modules.sort(key=lambda module: _normal(module) != wanted)  # pytest's are py and pytest
    return (modules[0], metadata.version(name)) if modules else (None, "")


def _is_there(module):
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _normal(distribution):
    return re.sub(r"[-_.]+", "-", distribution).lower()


# ---- the parent -----------------------------------------------------------------------------------

def check(module, python_options=()):
    """(exit status, what to say) of a module that is there."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, *python_options, "-m", "objtunnel._check", module]
    try:
        child = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT,
                               stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path})
    except subprocess.TimeoutExpired:
        return REFUSES, f"hangs for {_TIMEOUT} s"
    attempts = [json.loads(line) for line in re.findall(r"^objtunnel-check (.*)$", child.stdout, re.MULTILINE)]
    if child.returncode < 0:
        died = f"crashes with {signal.Signals(-child.returncode).name}"
        when = ("while it is imported", "when a second interpreter imports it", "when the interpreters end")
        return REFUSES, f"{died} {when[min(len(attempts), 2)]}"
    if len(attempts) < 1 or child.returncode != 0:
        return REFUSES, f"fails: {(child.stderr.strip().splitlines() or ['no message'])[-1]}"
    return _judge(attempts)


def _judge(attempts):
    first, second = (attempts + attempts)[:2]
    problem, refused, seconds = first
    if problem is not None:
        return REFUSES, "refuses: " + _culprit(problem, refused)
    if second[0] is not None:
        return REFUSES, "loads in one interpreter only: " + _culprit(*second[:2])
    if refused:
        return LOADS, f"loads without its extension {refused[0][0]}, in {seconds:.2f} s"
    return LOADS, f"loads in {seconds:.2f} s"


def _culprit(problem, refused):
    """The first extension that refuses; without one, the exception."""
    if not refused:
        return problem
    name, why = refused[0]
    return f"{name} ({why})"


# ---- the child ------------------------------------------------------------------------------------

def attempt(module):
    """In a worker: [exception or None, [[extension, why], ...] that could not be loaded, seconds]."""
    refused, loader = [], importlib.machinery.ExtensionFileLoader
    methods = loader.create_module, loader.exec_module
    loader.create_module, loader.exec_module = (_watched(method, refused) for method in methods)
    problem, start = None, time.perf_counter()
    try:
        importlib.import_module(module)
    except BaseException as error:
        problem = _one_line(f"{type(error).__name__}: {error}")
    finally:
        loader.create_module, loader.exec_module = methods
    return [problem, refused, time.perf_counter() - start]


def _watched(method, refused):
    def watched(self, module):
        try:
            return method(self, module)
        except BaseException as error:
            refused.append([self.name, _one_line(str(error))])
            raise
    return watched


def _one_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else "no message"


def _try_twice(module):
    from objtunnel import Interpreter
    with Interpreter("first") as first, Interpreter("second") as second:
        for worker in (first, second):
            problem, *rest = worker.call(attempt, module)
            print(f"\nobjtunnel-check {json.dumps([problem, *rest])}", flush=True)
            if problem is not None:
                return


if __name__ == "__main__":
    from objtunnel import _check
    _check._try_twice(sys.argv[1])
