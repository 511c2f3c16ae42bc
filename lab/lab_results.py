"""A results file of `make lab-bench`, and the figures that follow from it.

Every number of the report comes out of this module. A ratio is taken within a repetition, where
the variants were sampled in turns, and then the median and the extremes over the repetitions.
"""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks" / "refcount"))
from results import ENOUGH_CORES, BadResults, Figure  # noqa: E402

SCHEMA = 1
BASE = "stock"
THREADED = "free-threaded"


@dataclass(frozen=True)
class Case:
    group: str
    workload: str
    variant: str
    way: str
    threads: int
    heap: str | None
    rates: tuple  # runs a second of all threads together, one a repetition
    per_thread: tuple

    @property
    def rate(self):
        return Figure.of(self.rates)


def time_ratio(a, b):
    """How many times as long a's runs take as b's: Figure over the repetitions."""
    return Figure.of([y / x for x, y in zip(a.rates, b.rates, strict=True)])


def rate_ratio(a, b):
    """How many times as much a gets done as b."""
    return Figure.of([x / y for x, y in zip(a.rates, b.rates, strict=True)])


class Results:
    """One run; `cases` in the file's order."""

    def __init__(self, record):
        if not isinstance(record, dict) or record.get("kind") != "lab" or (
                record.get("schema") != SCHEMA):
            raise BadResults(f"not a results file of make lab-bench with schema {SCHEMA}")
        try:
            self.machine, self.options = record["machine"], record["options"]
            self.date, self.commit = record["date"], record["commit"]
            self.variants, self.workloads = record["variants"], record["workloads"]
            self.control = list(record["control"])
            fields = Case.__dataclass_fields__
            self.cases = [Case(**{name: _frozen(row[name]) for name in fields})
                          for row in record["cases"]]
        except (KeyError, TypeError) as error:
            raise BadResults(f"the results file lacks something: {error!r}") from error
        bad = [case for case in self.cases if not case.rates or any(
            not math.isfinite(rate) or rate <= 0 for rate in case.rates)]
        if bad:
            raise BadResults(f"{len(bad)} cases without a usable sample, {bad[0].workload} of "
                             f"{bad[0].variant} first")
        self._index = {(c.group, c.workload, c.variant, c.threads, c.heap): c for c in self.cases}

    @classmethod
    def load(cls, path):
        try:
            with open(path, encoding="utf-8") as file:
                return cls(json.load(file))
        except json.JSONDecodeError as error:
            raise BadResults(f"not JSON: {error}") from error

    # ---- looking up

    def case(self, group, workload, variant, threads=1, heap=None):
        """The case, or None where it was not measured."""
        return self._index.get((group, workload, variant, threads, heap))

    def names(self, group, what):
        """The values of a field in a group's cases, in the file's order."""
        return list(dict.fromkeys(getattr(c, what) for c in self.cases if c.group == group))

    @property
    def repetitions(self):
        return min((len(case.rates) for case in self.cases), default=0)

    @property
    def cpus(self):
        return len(self.machine["cpus"])

    @property
    def many(self):
        """The most threads that had a CPU each; None if there was one only."""
        counts = [n for n in self.names("parallel", "threads") if 1 < n <= self.cpus]
        return max(counts, default=None)

    # ---- figures

    def cost(self, workload, variant):
        """Time of a workload alone, relative to stock; None where one was not measured."""
        a, b = self.case("single", workload, variant), self.case("single", workload, BASE)
        return time_ratio(a, b) if a and b else None

    def mean_cost(self, variant, over=BASE):
        """The geometric mean of the costs, of the workloads that both have, taken in each
        repetition."""
        pairs = [(self.case("single", w, variant), self.case("single", w, over))
                 for w in self.names("single", "workload")]
        pairs = [(a, b) for a, b in pairs if a and b]
        if not pairs:
            return None
        return Figure.of([math.exp(sum(math.log(b.rates[i] / a.rates[i]) for a, b in pairs)
                                   / len(pairs)) for i in range(self.repetitions)])

    def scaling(self, workload, variant, threads, group="parallel", heap=None):
        """How many times the runs of one interpreter (or thread) so many do."""
        many = self.case(group, workload, variant, threads, heap)
        one = self.case(group, workload, variant, 1, heap)
        return rate_ratio(many, one) if many and one else None

    def against(self, workload, variant, other, threads):
        """Throughput of a variant relative to another's with as many interpreters."""
        a = self.case("parallel", workload, variant, threads)
        b = self.case("parallel", workload, other, threads)
        return rate_ratio(a, b) if a and b else None

    def times_one(self, threads):
        """The control; None if it was not sampled."""
        samples = [row["times_one"] for row in self.control if row["threads"] == threads]
        return Figure.of(samples) if samples else None

    def fell_short(self, threads):
        """The worst control if cores were missing, else None."""
        given = self.times_one(threads)
        if given is None or given.low >= ENOUGH_CORES * min(threads, self.cpus):
            return None
        return given.low

    def spread_of_control(self):
        """How far c11-acq-rel, which is the same code as c11-relaxed on x86-64, differs from it:
        what a difference must exceed to mean anything. None without the two."""
        return self.mean_cost("c11-acq-rel", "c11-relaxed")

    def extremes(self, variant):
        """(workload, cost) of the cheapest and the dearest, by the median."""
        costs = [(w, self.cost(w, variant)) for w in self.names("single", "workload")]
        costs = sorted((row for row in costs if row[1]), key=lambda row: row[1].mid)
        return (costs[0], costs[-1]) if costs else None


def _frozen(value):
    return tuple(value) if isinstance(value, list) else value
