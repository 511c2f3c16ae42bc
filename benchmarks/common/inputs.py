"""What several benchmarks work on: real text, and a big configuration. Workers of every kind import it, so it needs the
standard library only, and what it makes is always the same."""

import json
import os
from pathlib import Path


def source_texts(most):
    """The texts of a standard library's longest modules, `most` at most: a megabyte and more of real text. PEERS_TEXTS: the
    folder, so that a Python of another version reads the same ones."""
    folder = Path(os.environ.get("PEERS_TEXTS") or Path(json.__file__).parents[1])
    files = sorted(folder.glob("*.py"), key=lambda path: (-path.stat().st_size, path.name))
    return [path.read_text(encoding="utf-8", errors="replace") for path in files[:most]]


def config(keys):
    """A dict of dicts."""
    return {f"key {i}": {"weight": i % 13, "names": [f"n{i}", f"m{i}"], "on": i % 2 == 0} for i in range(keys)}
