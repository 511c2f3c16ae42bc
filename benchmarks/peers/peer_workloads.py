"""The workloads of bench_peers.py: what a worker does, and what is checked. Imported by workers of every kind, so it needs
the standard library only, and what it makes is always the same.

Each workload is a function of a way (ways.py) that returns (seconds, answer). The answer must be the serial one's.
"""

import csv
import io
import itertools
import json
import math
import re
import threading
import time
from pathlib import Path

import inputs

SIZES = {  # full, smoke
    "json": (64, 4), "csv": (16, 2), "nbody": (8, 2), "matrices": (32, 2), "words": (32, 2), "frames": (48, 2),
    "config": (16, 2), "tiny": (100_000, 200), "counter": (100_000, 200), "cache": (20_000, 100),
}
STEPS = {False: 20_000, True: 50}  # of one n-body system
FRAME = 1920 * 1080 * 3  # bytes


# ---- inputs -------------------------------------------------------------------------------------

def json_texts():
    """Real files where Debian's iso-codes are, else what json makes of this Python's own modules' lines."""
    files = sorted(Path("/usr/share/iso-codes/json").glob("*.json"), key=lambda path: -path.stat().st_size)
    if files:
        return [path.read_text(encoding="utf-8") for path in files]
    return [json.dumps([{"line": i, "text": line} for i, line in enumerate(text.splitlines())]) for text in inputs.source_texts(16)]


def csv_text(rows):
    out = io.StringIO()
    csv.writer(out).writerows((i, f"name {i}", i / 7, i % 3 == 0) for i in range(rows))
    return out.getvalue()


JSON_TEXTS = json_texts()
SOURCES = inputs.source_texts(32)


class Matrix:
    """An instance of a user's class, with lists of lists of floats."""

    def __init__(self, n, seed):
        self.n = n
        self.rows = [[((i * 31 + j * 17 + seed) % 101) / 7 for j in range(n)] for i in range(n)]

    def trace_of_square(self):
        return sum(self.rows[i][k] * self.rows[k][i] for i in range(self.n) for k in range(self.n))


# ---- what a worker does -------------------------------------------------------------------------

def parse_json(n):
    return json.loads(JSON_TEXTS[n % len(JSON_TEXTS)])


def parse_csv(n):
    return [{"id": int(a), "name": b, "value": float(c), "third": d == "True"}
            for a, b, c, d in csv.reader(io.StringIO(csv_text(5000 + n)))]


def simulate(steps):
    """The five planets of the n-body benchmark, by plain loops; how far the first one got."""
    bodies = [[math.cos(i), math.sin(i), i / 5, -math.sin(i) / 3, math.cos(i) / 3, 0.01, 1e-3 * (i + 1)] for i in range(5)]
    for _ in range(steps):
        for a, b in itertools.combinations(bodies, 2):
            dx, dy, dz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
            pull = 0.001 / (dx * dx + dy * dy + dz * dz + 0.01) ** 1.5
            for i, d in ((3, dx), (4, dy), (5, dz)):
                a[i] -= d * b[6] * pull
                b[i] += d * a[6] * pull
        for body in bodies:
            for i in range(3):
                body[i] += 0.001 * body[i + 3]
    return [round(x, 9) for x in bodies[0][:3]]


def use_matrices(matrices):
    return [round(m.trace_of_square(), 6) for m in matrices]


def count_words(text):
    counts = {}
    for word in re.findall(r"[a-z_]+", text.lower()):
        counts[word] = counts.get(word, 0) + 1
    return counts


def invert(frame):
    """A new frame, each byte 255 minus the old one."""
    return bytes(frame).translate(_INVERTED)


_INVERTED = bytes(range(255, -1, -1))


def look_up(config, start):
    """Sums over a big dict of dicts."""
    return sum(config[f"key {i}"]["weight"] for i in range(start, len(config), 7))


def make_config():
    return inputs.config(100_000)


def increment(n):
    return n + 1


def who(_):
    """The worker's number, after a moment in which the others get work, too."""
    time.sleep(0.01)
    return threading.get_native_id()


def square(n):
    """Worth keeping: some hundred microseconds."""
    return sum((n + i) * (n + i) for i in range(1000))


# ---- workloads: (seconds, answer) ---------------------------------------------------------------

def _timed(run):
    begin = time.perf_counter()
    answer = run()
    return time.perf_counter() - begin, answer


def run_json(way, n):
    return _timed(lambda: sum(len(tree) for tree in way.map(parse_json, range(n))))


def run_csv(way, n):
    return _timed(lambda: sum(row["value"] for rows in way.map(parse_csv, range(n)) for row in rows[::100]))


def run_nbody(way, n):
    return _timed(lambda: list(way.map(simulate, [STEPS[way.smoke]] * n)))


def run_matrices(way, n):
    """One producer makes the lists while the consumers work."""
    return _timed(lambda: list(way.map(use_matrices, ([Matrix(12, 20 * i + k) for k in range(20)] for i in range(n)))))


def run_words(way, n):
    def run():
        counts = {}
        for part in way.map(count_words, (SOURCES[i % len(SOURCES)] for i in range(n))):
            for word, count in part.items():
                counts[word] = counts.get(word, 0) + count
        return sum(counts.values()), len(counts)
    return _timed(run)


def run_frames(way, n):
    size = FRAME // (100 if way.smoke else 1)
    return _timed(lambda: sum(frame[0] + frame[-1] for frame in way.frames(size, n)))


def run_config(way, n):
    return _timed(lambda: sum(way.with_config(look_up, range(n))))


def run_tiny(way, n):
    return _timed(lambda: sum(way.map(increment, range(n))))


def run_counter(way, n):
    return _timed(lambda: way.count(n))


def run_cache(way, n):
    """Each key is wanted a hundred times."""
    return _timed(lambda: way.cached(square, n))


WORKLOADS = {name.removeprefix("run_"): run for name, run in list(globals().items()) if name.startswith("run_")}
