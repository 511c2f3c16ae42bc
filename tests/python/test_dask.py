"""Dask on interpreters: docs/dask.md's program, the cluster of examples/dask, and what WorkerExecutor answers.

Needs dask and distributed: `make get-dask`, or in this Python.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM, PRINTED = re.search(r"```python\n(import dask.*?)```\n\n```text\n(.*?)```",
                             (ROOT / "docs/dask.md").read_text(encoding="utf-8"), re.DOTALL).groups()


def dask_python():
    """A Python that has distributed and this build: this one, or that of make get-dask. None if there is none."""
    if importlib.util.find_spec("distributed") is not None:
        return sys.executable
    venv = Path(sys.prefix).parent / "dask-venv"
    return str(venv / "bin/python") if (venv / "ready").exists() else None


PYTHON = dask_python()
needs_dask = pytest.mark.skipif(PYTHON is None, reason="no distributed here: make get-dask")
pytestmark = [pytest.mark.slow, pytest.mark.noasan]


def run(program, *arguments, cwd):
    path = cwd / "program.py"
    path.write_text(program)
    return subprocess.run([PYTHON, "-X", "faulthandler", str(path), *arguments], capture_output=True, text=True, timeout=300)


@needs_dask
def test_the_program_of_the_page(tmp_path):
    done = run(PROGRAM, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, PRINTED), done.stderr


MORE = """
import dask
import dask.bag
from objtunnel import InterpreterPoolExecutor, current_gil

@dask.delayed
def where(_):
    return current_gil().interpreter

@dask.delayed
def bad():
    raise KeyError("no")

if __name__ == "__main__":
    with InterpreterPoolExecutor(2) as pool:
        places = set(dask.compute(*[where(i) for i in range(20)], scheduler=pool))
        print(0 in places, len(places) > 0)
        with dask.config.set(scheduler=pool):
            print(dask.bag.from_sequence(range(100), npartitions=4).map(lambda x: x * 2).sum().compute())
        try:
            dask.compute(bad(), scheduler=pool)
        except KeyError as error:
            print(repr(error))
"""


@needs_dask
def test_places_lambdas_and_errors(tmp_path):
    done = run(MORE, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "False True\n9900\nKeyError('no')\n"), done.stderr


@needs_dask
def test_a_cluster_of_two_processes():
    done = subprocess.run([PYTHON, str(ROOT / "examples/dask/cluster.py")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "primes below 40,000: 4203\n" in done.stdout
    assert "processes: 2\ntasks in a main interpreter: 0\n" in done.stdout


WRAPPED = """
import time
from objtunnel.dask import WorkerExecutor

def good(data):
    return data["x"] + [1]

def bad(data):
    raise KeyError("no")

def slow(data):
    time.sleep(0.5)

if __name__ == "__main__":
    from distributed import worker  # cannot be loaded by an interpreter, which runs what stands above
    with WorkerExecutor(1) as pool:
        now = time.time()
        answer = pool.submit(worker._run_task_simple, good, {"x": [0]}, 1000.0).result()
        print(answer["op"], answer["result"], answer["type"].__name__, answer["nbytes"] > 0, answer["start"] > now + 900)
        answer = pool.submit(worker._run_task_simple, bad, {}, 0.0).result()
        print(answer["op"], repr(answer["actual_exception"]), "start" in answer, "thread" in answer)
        running, queued = pool.submit(worker._run_task_simple, slow, {}, 0.0), pool.submit(worker._run_task_simple, slow, {}, 0.0)
        print(queued.cancel(), queued.cancelled(), running.result()["op"])
        print(pool.submit(max, 1, 2).result())
        worker._run_task_simple.__name__ = "_run_otherwise"
        try:
            pool.submit(worker._run_task_simple, good, {}, 0.0)
        except RuntimeError as error:
            print(error)
"""


@needs_dask
def test_what_distributed_is_told(tmp_path):
    done = run(WRAPPED, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:4] == ["task-finished [0, 1] list True True", "task-erred KeyError('no') True True",
                                            "True True task-finished", "2"]
    assert "runs tasks by _run_otherwise(), which objtunnel.dask does not know" in done.stdout


def test_the_page_has_the_worker_of_the_example():
    page = (ROOT / "docs/dask.md").read_text(encoding="utf-8")
    example = (ROOT / "examples/dask/cluster.py").read_text(encoding="utf-8")
    [block] = re.findall(r"```python\n(async def work.*?)```", page, re.DOTALL)
    assert [line for line in block.splitlines() if line not in example] == []
