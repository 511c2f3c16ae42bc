"""Part 2: JSON files parsed in worker interpreters, the live trees handed to the main one."""

import json
import os

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
    """The files given, and all *.json in the folders given (the iso-codes package's if none)."""
    files = []
    for path in paths or [ISO_CODES]:
        if os.path.isdir(path):
            files += sorted(os.path.join(folder, name) for folder, _, names in os.walk(path)
                            for name in names if name.endswith(".json"))
        elif os.path.exists(path):
            files.append(path)
        else:
            hint = "" if paths else ": apt-get install iso-codes, or name JSON files or folders"
            raise BadInput(f"no such file or folder: {path}{hint}")
    if not files:
        raise BadInput(f"no *.json files in {', '.join(paths or [ISO_CODES])}")
    return files


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
    """Print the table of part 2; raise WrongResult or BadInput."""
    files = find_files(paths)
    try:
        size = sum(os.path.getsize(path) for path in files)
        check = Check(files)
    except OSError as error:
        raise BadInput(f"cannot read {error.filename}: {error.strerror}") from None
    rounds = max(1, (_QUICK_ENOUGH if quick else _ENOUGH) // max(size, 1))
    rounds = min(rounds, 10_000 // len(files) + 1)
    where = f"in {ISO_CODES}" if not paths else "given"
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
