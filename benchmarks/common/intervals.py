"""What repeated samples say and how sure that is: medians and geometric means with intervals.

All benchmarks take their intervals from here, so that the word means one thing. No interval assumes
a distribution:

- of a median: two order statistics. The chance that the true median lies between the k-th smallest
  and the k-th largest of n samples is a sum of binomial coefficients. The narrowest pair that
  reaches LEVEL is taken; with five samples or fewer none does, and then it is the smallest and the
  largest, with the level that these have. More samples make it narrower;
- of a ratio or difference of two medians whose samples were not taken in turns: by Bonferroni;
- of a geometric mean over workloads: the bootstrap. Workloads are drawn with replacement and, of
  each, repetitions, since other workloads would have given another mean.

Nothing but the standard library, and the same samples give the same interval.
"""

import math
import random
from dataclasses import dataclass
from statistics import median

LEVEL = 0.95
DRAWS = 2000  # of the bootstrap
# Less than this share of what independent threads should get, and the machine did not give it.
ENOUGH_CORES = 0.9


@dataclass(frozen=True)
class Figure:
    """A value and its interval: the true value lies between `low` and `high` with the probability
    `level`. `count` samples; of a single one nothing is known, and `level` is 0."""

    mid: float
    low: float
    high: float
    count: int
    level: float = 0.0

    @classmethod
    def of(cls, samples, level=LEVEL):
        """The median."""
        low, high, reached = median_interval(samples, level)
        return cls(median(samples), low, high, len(samples), reached)

    @property
    def detectable(self):
        """Of a ratio: the smallest factor, up or down, that these samples tell from 1."""
        return max(self.mid / self.low, self.high / self.mid)

    def reaches(self, target, at_least):
        """Whether the whole interval is on the target's right side."""
        return self.low >= target if at_least else self.high <= target


def coverage(n, k):
    """How likely the median lies between the k-th smallest and the k-th largest of n samples."""
    return 1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2 ** n


def median_interval(samples, level=LEVEL):
    """(low, high, its level): see the top of this file."""
    ordered = sorted(samples)
    n = len(ordered)
    k = 1
    while 2 * (k + 1) <= n and coverage(n, k + 1) >= level:
        k += 1
    return ordered[k - 1], ordered[-k], coverage(n, k)


def apart(x, y, combine):
    """Of samples that were not taken in turns: combine(median of x, median of y), where `combine`
    grows with x and falls with y (a quotient of positive numbers, a difference). Each median is
    within its interval but for 1 - level, so both are but for the sum of those."""
    a, b = Figure.of(x), Figure.of(y)
    return Figure(combine(a.mid, b.mid), combine(a.low, b.high), combine(a.high, b.low),
                  min(a.count, b.count), max(0.0, a.level + b.level - 1))


def geometric(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def geometric_mean(rows, level=LEVEL, seed=0):
    """Of positive ratios, a row of repetitions for each workload: the geometric mean of the rows'
    medians, and the bootstrap's interval over workloads and repetitions."""
    rows = [list(row) for row in rows]
    rng = random.Random(seed)
    drawn = sorted(
        sum(math.log(median(rng.choices(row, k=len(row)))) for row in rng.choices(rows, k=len(rows)))
        for _ in range(DRAWS))
    tail = int(DRAWS * (1 - level) / 2)
    low, high = (math.exp(drawn[i] / len(rows)) for i in (tail, DRAWS - 1 - tail))
    mid = geometric([median(row) for row in rows])
    # With one workload and one repetition there was nothing to draw from.
    known = len(rows) > 1 or len(rows[0]) > 1
    return Figure(mid, min(low, mid), max(high, mid), min(map(len, rows)), level if known else 0.0)


def most_influential(named_rows):
    """Of {workload: row}: (the workload without which the geometric mean changes most, that mean
    without it). None for a single workload."""
    medians = {name: math.log(median(row)) for name, row in named_rows.items()}
    if len(medians) < 2:
        return None
    total = sum(medians.values())
    mean = total / len(medians)
    name = max(medians, key=lambda name: abs(medians[name] - mean))
    return name, math.exp((total - medians[name]) / (len(medians) - 1))


def kept_repetitions(controls, expected):
    """(indices of the repetitions whose control reached ENOUGH_CORES of `expected`, how many did
    not). controls: one for each repetition."""
    kept = [i for i, given in enumerate(controls) if given >= ENOUGH_CORES * expected]
    return kept, len(controls) - len(kept)
