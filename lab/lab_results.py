"""A results file of `make lab-bench`, and the figures that follow from it.

Every number of the page comes out of this module. A ratio is taken within a repetition, where the
variants were sampled in turns; then the median of the repetitions and its interval (intervals.py).
A repetition in which the control shows that N threads did not get N cores gives no figure for N.
"""

import math
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks" / "common"))
from files import BadResults, FromFile  # noqa: E402
from intervals import Figure, geometric, geometric_mean, kept_repetitions, most_influential  # noqa: E402

SCHEMAS = (1, 2)  # 1: before topology, pairs and discarded samples
BASE = "stock"
THREADED = "free-threaded"
FEWEST = 5  # repetitions that must be left when some were dropped


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
    place: str | None = None  # which kind of pair of CPUs; None: the first ones
    discarded: int = 0  # samples in which somebody else had a core


class Results(FromFile):
    """One run; `cases` in the file's order."""

    def __init__(self, record):
        if not isinstance(record, dict) or record.get("kind") != "lab" or (
                record.get("schema") not in SCHEMAS):
            raise BadResults("not a results file of make lab-bench with schema "
                             f"{' or '.join(map(str, SCHEMAS))}")
        try:
            self.machine, self.options = record["machine"], record["options"]
            self.date, self.commit = record["date"], record["commit"]
            self.variants, self.workloads = record["variants"], record["workloads"]
            self.control = list(record["control"])
            self.pyperformance = record.get("pyperformance")  # versions, or None
            new = {} if record["schema"] > 1 else {"place": None, "discarded": 0}
            self.cases = [Case(**{name: _frozen({**new, **row}[name])
                                  for name in Case.__dataclass_fields__}) for row in record["cases"]]
        except (KeyError, TypeError) as error:
            raise BadResults(f"the results file lacks something: {error!r}") from error
        bad = [case for case in self.cases if not case.rates or any(
            not math.isfinite(rate) or rate <= 0 for rate in case.rates)]
        if bad:
            raise BadResults(f"{len(bad)} cases without a usable sample, {bad[0].workload} of "
                             f"{bad[0].variant} first")
        self._means = {}
        self._index = {(c.group, c.workload, c.variant, c.threads, c.heap, c.place): c
                       for c in self.cases}

    # ---- looking up

    def case(self, group, workload, variant, threads=1, heap=None, place=None):
        """The case, or None where it was not measured."""
        return self._index.get((group, workload, variant, threads, heap, place))

    def names(self, group, what):
        """The values of a field in a group's cases, in the file's order."""
        return list(dict.fromkeys(getattr(c, what) for c in self.cases if c.group == group))

    @property
    def places(self):
        """The kinds of pairs of CPUs that two interpreters met on."""
        return list(dict.fromkeys(c.place for c in self.cases if c.place))

    @property
    def discarded(self):
        """Samples that were taken again, since somebody else had a core."""
        return sum(c.discarded for c in self.cases)

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

    # ---- the control

    @cached_property
    def _controls(self):
        """{threads: {repetition: how many times one thread's work so many did}}"""
        found = {}
        for row in self.control:
            found.setdefault(row["threads"], {})[row["repetition"]] = row["times_one"]
        return found

    def times_one(self, threads):
        """The control; None if it was not sampled."""
        samples = list(self._controls.get(threads, {}).values())
        return Figure.of(samples) if samples else None

    def dropped(self, threads):
        """(repetitions whose control fell short, how many there were)."""
        controls = list(self._controls.get(threads, {}).values())
        return kept_repetitions(controls, min(threads, self.cpus))[1], len(controls)

    def _kept(self, threads):
        """The repetitions that count for so many threads; None: too few."""
        controls = self._controls.get(threads, {})
        bad = {i for i, given in controls.items()
               if kept_repetitions([given], min(threads, self.cpus))[1]}
        kept = [i for i in range(self.repetitions) if i not in bad]
        return kept if kept and not (bad and len(kept) < FEWEST) else None

    # ---- figures

    def _ratios(self, a, b, times):
        """Of each repetition that counts: how many times as long (times) or as much a does as b."""
        kept = self._kept(max(a.threads, b.threads)) if a and b else None
        if kept is None:
            return None
        return [b.rates[i] / a.rates[i] if times else a.rates[i] / b.rates[i] for i in kept]

    def time_ratio(self, a, b):
        """How many times as long a's runs take as b's. Like all that follow None where a case was not
        measured or its control was too low."""
        ratios = self._ratios(a, b, True)
        return Figure.of(ratios) if ratios else None

    def rate_ratio(self, a, b):
        """How many times as much a gets done as b."""
        ratios = self._ratios(a, b, False)
        return Figure.of(ratios) if ratios else None

    def rate(self, case):
        """Runs a second."""
        kept = self._kept(case.threads) if case else None
        return Figure.of([case.rates[i] for i in kept]) if kept else None

    def cost(self, workload, variant, over=BASE, group="single"):
        """Time of a workload alone, relative to another variant's. group, here and below: of ours, or
        pyperformance's."""
        return self.time_ratio(self.case(group, workload, variant), self.case(group, workload, over))

    def _cost_rows(self, variant, over, group):
        pairs = {w: (self.case(group, w, variant), self.case(group, w, over)) for w in self.names(group, "workload")}
        return {w: self._ratios(a, b, True) for w, (a, b) in pairs.items() if a and b}

    def mean_cost(self, variant, over=BASE, group="single"):
        """The geometric mean over the workloads that both have; its interval is the bootstrap's over
        workloads and repetitions."""
        if (variant, over, group) not in self._means:  # the bootstrap takes its time
            rows = self._cost_rows(variant, over, group)
            self._means[variant, over, group] = geometric_mean(rows.values()) if rows else None
        return self._means[variant, over, group]

    def mean_here(self, variant, over=BASE, group="single"):
        """The geometric mean of these workloads, taken in each repetition: with an interval that knows of
        no others."""
        rows = list(self._cost_rows(variant, over, group).values())
        return Figure.of([geometric(ratios) for ratios in zip(*rows)]) if rows else None

    def mean_without(self, variant, over=BASE, group="single"):
        """(the workload on which the mean depends most, the mean without it)."""
        return most_influential(self._cost_rows(variant, over, group))

    def extremes(self, variant, over=BASE, group="single"):
        """(workload, cost) of the cheapest and the dearest, by the median."""
        costs = [(w, self.cost(w, variant, over, group)) for w in self.names(group, "workload")]
        costs = sorted((row for row in costs if row[1]), key=lambda row: row[1].mid)
        return (costs[0], costs[-1]) if costs else None

    def scaling(self, workload, variant, threads, group="parallel", heap=None, place=None):
        """How many times the runs of one interpreter (or thread) so many do."""
        return self.rate_ratio(self.case(group, workload, variant, threads, heap, place),
                               self.case(group, workload, variant, 1, heap))

    def against(self, workload, variant, other, threads):
        """Throughput of a variant relative to another's with as many interpreters."""
        return self.rate_ratio(self.case("parallel", workload, variant, threads),
                               self.case("parallel", workload, other, threads))


def _frozen(value):
    return tuple(value) if isinstance(value, list) else value
