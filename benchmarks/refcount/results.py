"""A results file of `make bench-refcount`, and the figures that follow from it.

Every number of the report comes out of this module: medians with their spread, and ratios with
theirs. Nothing here knows about wording or looks.
"""

import json
import math
from dataclasses import dataclass
from statistics import median

SCHEMA = 1
# Less than this share of the cores, and the machine did not give what was asked for.
ENOUGH_CORES = 0.9


class BadResults(Exception):
    """The file is not a results file that this report understands."""


@dataclass(frozen=True)
class Figure:
    """A median and its spread: the smallest and the largest of `count` samples."""

    mid: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, samples):
        return cls(median(samples), min(samples), max(samples), len(samples))

    def inverse(self):
        return Figure(1 / self.mid, 1 / self.high, 1 / self.low, self.count)


@dataclass(frozen=True)
class Case:
    """One row of the benchmark: a variant in a pattern (and array size) with so many threads."""

    pattern: str
    size: int | None
    variant: str
    threads: int
    wrong: bool
    ns: tuple
    ops_per_s: tuple
    fairness: tuple
    ratio_to_plain: tuple | None
    scaling: float | None
    cycles_per_op: float | None
    instructions_per_op: float | None
    misses_per_op: float | None
    hitm_per_op: float | None
    note: str | None

    @property
    def group(self):
        """Cases of one group were sampled in turns, repetition by repetition."""
        return self.pattern, self.size, self.threads

    @property
    def time(self):
        return Figure.of(self.ns)

    @property
    def rate(self):
        return Figure.of(self.ops_per_s)

    @property
    def fair(self):
        return Figure.of(self.fairness)


def compare(a, b, of="ns"):
    """a / b as a Figure.

    Within a group the ratios of the single repetitions; between groups, whose samples have
    nothing in common, the ratio of the medians and the extremes of all combinations.
    """
    x, y = getattr(a, of), getattr(b, of)
    if a.group == b.group and len(x) == len(y):
        return Figure.of([p / q for p, q in zip(x, y)])
    return Figure(median(x) / median(y), min(x) / max(y), max(x) / min(y), min(len(x), len(y)))


def difference(a, b):
    """a - b in nanoseconds as a Figure, by the same rule."""
    if a.group == b.group and len(a.ns) == len(b.ns):
        return Figure.of([p - q for p, q in zip(a.ns, b.ns)])
    return Figure(median(a.ns) - median(b.ns), min(a.ns) - max(b.ns), max(a.ns) - min(b.ns),
                  min(len(a.ns), len(b.ns)))


class Results:
    """One run. `cases` in the file's order; `skipped` has also the cases that came out unusable."""

    def __init__(self, record):
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise BadResults(f"not a results file of make bench-refcount with schema {SCHEMA}")
        try:
            self.machine, self.build = record["machine"], record["build"]
            self.options, self.date = record["options"], record["date"]
            self.counters, self.control = record["counters"], record["control"]
            self.patterns = {row["name"]: row for row in record["patterns"]}
            self.variants = {row["name"]: row for row in record["variants"]}
            self.skipped = list(record["skipped"])
            self.cases = []
            for row in record["cases"]:
                self._add(row)
        except (KeyError, TypeError) as error:
            raise BadResults(f"the results file lacks something: {error!r}") from error
        self._index = {(*case.group, case.variant): case for case in self.cases}

    @classmethod
    def load(cls, path):
        try:
            with open(path, encoding="utf-8") as file:
                return cls(json.load(file))
        except json.JSONDecodeError as error:
            raise BadResults(f"not JSON: {error}") from error

    def _add(self, row):
        fields = {name: row[name] for name in Case.__dataclass_fields__}
        for name in ("ns", "ops_per_s", "fairness", "ratio_to_plain"):
            if fields[name] is not None:
                fields[name] = tuple(fields[name])
        case = Case(**fields)
        if _usable(case.ns) and _usable(case.ops_per_s):
            self.cases.append(case)
        else:
            self.skipped.append({"pattern": case.pattern, "size": case.size,
                                 "variant": case.variant, "threads": case.threads,
                                 "why": "a sample without a single operation"})

    # ---- looking up

    def case(self, pattern, variant, threads, size=None):
        """The case, or None where it was not measured."""
        return self._index.get((pattern, size, threads, variant))

    def why_skipped(self, pattern, variant, threads, size=None):
        for row in self.skipped:
            if (row["pattern"], row["size"], row["threads"], row["variant"]) == (
                    pattern, size, threads, variant):
                return row["why"]
        return None

    def groups(self, pattern=None):
        """(pattern, size, threads) -> cases, in the file's order."""
        groups = {}
        for case in self.cases:
            if pattern in (None, case.pattern):
                groups.setdefault(case.group, []).append(case)
        return groups

    def names(self, kind):
        """Variants of a kind that have a case at all: "refcount" or "lock"."""
        present = {case.variant for case in self.cases}
        return [name for name, row in self.variants.items()
                if row["kind"] == kind and name in present]

    def sizes(self, pattern):
        return sorted({case.size for case in self.cases
                       if case.pattern == pattern and case.size is not None})

    # ---- the run as a whole

    @property
    def cpus(self):
        return len(self.machine["allowed_cpus"])

    @property
    def many(self):
        """The thread count for all that is shared: the most that have a core each; None for 1."""
        counts = sorted({case.threads for case in self.cases if case.threads > 1})
        fitting = [n for n in counts if n <= self.cpus]
        return fitting[-1] if fitting else counts[0] if counts else None

    @property
    def repetitions(self):
        return min((len(case.ns) for case in self.cases), default=0)

    def times_one(self, threads, pattern=None):
        """The control: how many times one core's work so many threads did; None if not sampled."""
        samples = [row["times_one"] for row in self.control
                   if row["threads"] == threads and pattern in (None, row["pattern"])]
        return Figure.of(samples) if samples else None

    def fell_short(self, threads, pattern):
        """The worst control of a pattern if cores were missing, else None."""
        given = self.times_one(threads, pattern)
        if given is None or given.low >= ENOUGH_CORES * min(threads, self.cpus):
            return None
        return given.low

    def shortfalls(self):
        """(pattern, threads, worst) for each pattern and thread count that lacked cores."""
        seen = dict.fromkeys((row["pattern"], row["threads"]) for row in self.control)
        worst = [(*key, self.fell_short(key[1], key[0])) for key in seen]
        return [row for row in worst if row[2] is not None]


def _usable(samples):
    return len(samples) > 0 and all(
        isinstance(x, (int, float)) and math.isfinite(x) and x > 0 for x in samples)
