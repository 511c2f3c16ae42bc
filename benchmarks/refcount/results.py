"""A results file of `make bench-refcount`, and the figures that follow from it.

Every number of the page comes out of this module: medians and ratios with their intervals
(intervals.py). A repetition in which the control shows that N threads did not get N cores does not
count, and a case that has no repetition left is among the skipped ones.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
from files import BadResults, FromFile  # noqa: E402
from intervals import Figure, apart, kept_repetitions  # noqa: E402

SCHEMAS = (1, 2, 3)  # 1: a control for each group, not for each repetition; 1, 2: no latencies
SHORT = "the control was too low: the machine did not give the cores"
NOTHING_DONE = "a sample without a single operation"


@dataclass(frozen=True)
class Case:
    """One variant in a pattern (and array size) with so many threads."""

    pattern: str
    size: int | None
    variant: str
    threads: int
    wrong: bool
    ns: tuple
    ops_per_s: tuple
    fairness: tuple
    cycles_per_op: float | None
    instructions_per_op: float | None
    misses_per_op: float | None
    hitm_per_op: float | None
    note: str | None
    latency: tuple | None  # {"p50": ns, ...} of each repetition

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

    def waits(self, quantile):
        """The time within which that part of all operations was done; None where they were not timed one by one."""
        return self.latency and Figure.of([row[quantile] for row in self.latency])


def compare(a, b, of="ns"):
    """a / b as a Figure; None where one is None. Within a group the ratios of the single repetitions;
    between groups, whose samples have nothing in common, of the medians."""
    if a is None or b is None:
        return None
    x, y = getattr(a, of), getattr(b, of)
    if a.group == b.group and len(x) == len(y):
        return Figure.of([p / q for p, q in zip(x, y)])
    return apart(x, y, lambda p, q: p / q)


def difference(a, b):
    """a - b in nanoseconds as a Figure, by the same rule."""
    if a is None or b is None:
        return None
    if a.group == b.group and len(a.ns) == len(b.ns):
        return Figure.of([p - q for p, q in zip(a.ns, b.ns)])
    return apart(a.ns, b.ns, lambda p, q: p - q)


class Results(FromFile):
    """One run. `cases` in the file's order; `skipped` has also the cases that came out unusable."""

    def __init__(self, record):
        if not isinstance(record, dict) or record.get("schema") not in SCHEMAS:
            raise BadResults("not a results file of make bench-refcount with schema "
                             f"{', '.join(map(str, SCHEMAS[:-1]))} or {SCHEMAS[-1]}")
        try:
            self.machine, self.build = record["machine"], record["build"]
            self.options, self.date = record["options"], record["date"]
            self.counters, self.control = record["counters"], record["control"]
            self.clock = record["clock"] if record["schema"] > 2 else None
            self.patterns = {row["name"]: row for row in record["patterns"]}
            self.variants = {row["name"]: row for row in record["variants"]}
            self.skipped = list(record["skipped"])
            self.cases = []
            for row in record["cases"]:
                self._add(row)
        except (KeyError, TypeError) as error:
            raise BadResults(f"the results file lacks something: {error!r}") from error
        self._index = {(*case.group, case.variant): case for case in self.cases}

    def _add(self, row):
        fields = {name: row[name] for name in Case.__dataclass_fields__ if name != "latency"}
        latency = row.get("latency")
        why = None if _usable(row["ns"]) and _usable(row["ops_per_s"]) else NOTHING_DONE
        kept = self._kept(row)
        if why is None and not kept:
            why = SHORT
        if why is not None:
            self.skipped.append({**{name: row[name] for name in ("pattern", "size", "variant",
                                                                 "threads")}, "why": why})
            return
        for name in ("ns", "ops_per_s", "fairness"):
            fields[name] = tuple(row[name][i] for i in kept)
        self.cases.append(Case(**fields, latency=latency and tuple(latency[i] for i in kept)))

    def _kept(self, row):
        """The repetitions of a case that had their cores."""
        everything = range(len(row["ns"]))
        bad = set()
        for control in self.control:
            if (control["pattern"], control["threads"]) != (row["pattern"], row["threads"]) or (
                    control.get("size", row["size"]) != row["size"]):
                continue
            if kept_repetitions([control["times_one"]], min(row["threads"], self.cpus))[1]:
                bad |= {control["repetition"]} if "repetition" in control else set(everything)
        return [i for i in everything if i not in bad]

    # ---- looking up

    def case(self, pattern, variant, threads, size=None):
        """The case, or None where it was not measured; also for threads None."""
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

    def scaling(self, case):
        """How many times the work of one thread so many do; None without that."""
        return compare(case, self.case(case.pattern, case.variant, 1, case.size), "ops_per_s")

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

    def times_one(self, threads):
        """The control: how many times one core's work so many threads did; None if not sampled."""
        samples = [row["times_one"] for row in self.control if row["threads"] == threads]
        return Figure.of(samples) if samples else None

    def shortfalls(self):
        """(pattern, threads, worst control) for each pattern and thread count that lacked cores."""
        worst = {}
        for row in self.control:
            if kept_repetitions([row["times_one"]], min(row["threads"], self.cpus))[1]:
                key = row["pattern"], row["threads"]
                worst[key] = min(worst.get(key, math.inf), row["times_one"])
        return [(*key, given) for key, given in worst.items()]


def _usable(samples):
    return len(samples) > 0 and all(
        isinstance(x, (int, float)) and math.isfinite(x) and x > 0 for x in samples)
