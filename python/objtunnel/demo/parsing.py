"""Part 2: JSON files parsed in worker interpreters, the live trees handed to the main one."""

import glob
import json
import os
import sysconfig
import tempfile

from objtunnel.demo.compare import Comparison
from objtunnel.demo.errors import BadInput, WrongResult

ISO_CODES = "/usr/share/iso-codes/json"
# Sets that are smaller than this in all are parsed several times over.
_ENOUGH, _QUICK_ENOUGH = 40_000_000, 3_000_000


def parse(path):
    """One job, wherever it runs."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return json.loads(data)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise BadInput(f"{path} is not JSON: {error}") from None


def find_files(paths):
    """The files given, and all *.json in the folders given."""
    files = []
    for path in paths:
        if os.path.isdir(path):
            files += sorted(os.path.join(folder, name) for folder, _, names in os.walk(path)
                            for name in names if name.endswith(".json"))
        elif os.path.exists(path):
            files.append(path)
        else:
            raise BadInput(f"no such file or folder: {path}")
    if not files:
        raise BadInput(f"no *.json files in {', '.join(paths)}")
    return files


def make_files(folder):
    """Write a JSON file for each module of the standard library: its lines, with their words. For machines that
    have no better ones."""
    for path in sorted(glob.glob(os.path.join(sysconfig.get_path("stdlib"), "*.py"))):
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [{"line": n, "text": line, "words": line.split()} for n, line in enumerate(file, 1)]
        with open(os.path.join(folder, os.path.basename(path) + ".json"), "w", encoding="utf-8") as file:
            json.dump(lines, file)


class Check:
    """The trees of every run are those that the first one, in the main interpreter, parsed."""

    def __init__(self, files):
        self._files = files
        self._expected = {path: parse(path) for path in files}

    def __call__(self, trees):
        for i, tree in enumerate(trees):
            path = self._files[i % len(self._files)]
            if tree != self._expected[path]:
                raise WrongResult(f"the tree of {path} is not what json.loads yields here")


def run(pool, cores, repeat, quick, paths):
    """Print the table of part 2; raise WrongResult or BadInput. Without paths: Debian's iso-codes, else own files."""
    if paths:
        return _run(pool, cores, repeat, quick, find_files(paths), "given")
    if os.path.isdir(ISO_CODES):
        return _run(pool, cores, repeat, quick, find_files([ISO_CODES]), f"in {ISO_CODES}")
    with tempfile.TemporaryDirectory() as folder:
        make_files(folder)
        return _run(pool, cores, repeat, quick, find_files([folder]), "made of the standard library's source")


def _run(pool, cores, repeat, quick, files, where):
    try:
        size = sum(os.path.getsize(path) for path in files)
        check = Check(files)
    except OSError as error:
        raise BadInput(f"cannot read {error.filename}: {error.strerror}") from None
    rounds = max(1, (_QUICK_ENOUGH if quick else _ENOUGH) // max(size, 1))
    rounds = min(rounds, 10_000 // len(files) + 1)
    times = f", {rounds} times over" if rounds > 1 else ""
    print(f"2. Parallel parsing: the {len(files)} JSON files {where}, {size / 1e6:.2f} MB{times}; "
          f"runs: {repeat}\n")
    jobs = [(path,) for path in files] * rounds
    comparison = Comparison(pool, cores, parse, jobs, check,
                            control_seconds=0.01 if quick else 0.1)
    comparison.run(repeat, warm_up=jobs[:len(files)])
    print(comparison.format())
    print(f"  Checked: the {len(jobs)} trees of each run equal what json.loads yields here.\n")
    return comparison
