"""pyperformance's workloads that need nothing but pyperf: which there are, and how a process of one is run.

A workload is a program of pyperformance with its arguments. One program may time several things, which pyperf
calls benchmarks. Installed by tools/get_pyperformance.
"""

import json
import os
import subprocess
import tempfile
import tomllib
from pathlib import Path

# Of the workloads that need no third-party package these are left out:
LEFT_OUT = {
    "bm_2to3": "starts other processes", "bm_python_startup": "starts other processes",
    "bm_concurrent_imap": "starts other processes", "bm_asyncio_tcp": "measures sockets",
}
# The same, by the workload's own name: it must be the first to import pickle's C part, to do without it.
NEED_A_FRESH_PICKLE = {"pickle_pure_python", "unpickle_pure_python"}
ONCE = {"bm_async_tree"}  # twenty workloads of one program, which differ in how a leaf waits


class NotInstalled(Exception):
    """There is no pyperformance here."""


def workloads():
    """{name: [program, argument, ...]} of those that need nothing but pyperf; some are one program's by its arguments."""
    try:
        import pyperformance
    except ImportError as error:
        raise NotInstalled("there is no pyperformance") from error
    found = {}
    for folder in sorted(Path(pyperformance.__file__).parent.glob("data-files/benchmarks/bm_*")):
        # What else it needs is in either file: the second has the versions as well.
        if folder.name in LEFT_OUT or (folder / "requirements.txt").exists():
            continue
        project = _described(folder / "pyproject.toml")
        if project["project"].get("dependencies") != ["pyperf"]:
            continue
        variants = [] if folder.name in ONCE else map(_described, sorted(folder.glob("bm_*.toml")))
        for one in (project, *variants):
            tool = one["tool"]["pyperformance"]
            if tool["name"] in NEED_A_FRESH_PICKLE:
                continue
            found[tool["name"]] = [str(folder / "run_benchmark.py"), *tool.get("extra_opts", [])]
    return found


def _described(path):
    with open(path, "rb") as file:
        return tomllib.load(file)


def size(smoke, values, loops):
    """pyperf's options for one process. values: how many, after one that does not count. loops: how often a value
    runs the workload; pyperf finds out if it is None, which takes as long as the values."""
    if smoke:
        return ["--debug-single-value"]
    return ["--processes=1", f"--values={values}", "--warmups=1", *([f"--loops={loops}"] if loops is not None else [])]


def run(python, program, options, environment, inherit):
    """{benchmark: {"values": [seconds, ...], "peak": bytes, "loops": int}} of one process, which runs in an empty folder;
    python may be relative to ours. inherit: which variables of the environment pyperf hands on to it. RuntimeError if
    it fails."""
    with tempfile.TemporaryDirectory() as folder:
        result = os.path.join(folder, "result.json")
        done = subprocess.run(
            [os.path.abspath(python), *program, *options, "--quiet", f"--inherit-environ={','.join(inherit)}", "-o", result],
            env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(program)} failed: {done.stdout[-800:]}")
        with open(result, encoding="utf-8") as file:
            found = json.load(file)
    return dict(_read(benchmark, found["metadata"]) for benchmark in found["benchmarks"])


def _read(benchmark, common):
    name = benchmark.get("metadata", {}).get("name", common.get("name"))
    runs = [run for run in benchmark["runs"] if "values" in run]
    peaks = [run.get("metadata", {}).get("mem_max_rss", common.get("mem_max_rss")) for run in runs]
    return name, {"values": [value for run in runs for value in run["values"]],
                  "peak": max((peak for peak in peaks if peak is not None), default=None),
                  "loops": runs[-1].get("metadata", {}).get("loops", common.get("loops", 1))}
