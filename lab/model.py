"""Cost = count × price: what LOCK costs a program, predicted from how often it counts.

The histogram (lab/histogram.py) says how many counts a run has, of mortal and of immortal objects; a
run of `make lab-bench` says how much longer it takes in one variant than in another. If a count has a
price, then the one is a multiple of the other over all workloads. The fit is least squares through
zero; its interval is the bootstrap's over workloads.

`make bench-refcount` measures the price of one LOCK in C. With that instead of the fitted price the model
predicts a machine's slowdown without any CPython on it.
"""

import random
from dataclasses import dataclass

from intervals import DRAWS, LEVEL, Figure, geometric

# What is fitted: the extra time of the first variant over the second, to counts of these objects, which
# this variant has recorded.
FITS = (("lock", "stock", "mortal", "histogram"), ("lock-pgo", "stock-pgo", "mortal", "histogram"), ("lock-all", "lock", "immortal", "histogram"),
        ("lock-2006", "plain-all", "all", "histogram-2006"))
KINDS = {"mortal": ("mortal",), "immortal": ("immortal",), "all": ("mortal", "immortal")}
# Of these the extra time is LOCK's and nothing else: what one measurement in C can predict.
LOCK_ALONE = ("lock", "lock-pgo", "lock-2006")


@dataclass(frozen=True)
class Point:
    workload: str
    counts: float  # in a run
    extra: float  # ns of a run
    base: float  # ns of a run in the variant without


@dataclass(frozen=True)
class Fit:
    price: Figure  # ns of a count
    r2: float
    points: list

    def predicted(self, point):
        """ns of extra time."""
        return self.price.mid * point.counts

    def residual(self, point):
        return point.extra - self.predicted(point)

    def slowdown(self, point):
        """(measured, predicted) time relative to the base."""
        return 1 + point.extra / point.base, 1 + self.predicted(point) / point.base


def price_of(points):
    return sum(p.counts * p.extra for p in points) / sum(p.counts ** 2 for p in points)


def fit(points, seed=0):
    """The Fit, or None if nothing was counted."""
    if not any(p.counts for p in points):
        return None
    price = price_of(points)
    rng = random.Random(seed)
    drawn = []
    for _ in range(DRAWS):
        some = rng.choices(points, k=len(points))
        if any(p.counts for p in some):
            drawn.append(price_of(some))
    drawn.sort()
    tail = int(len(drawn) * (1 - LEVEL) / 2)
    mean = sum(p.extra for p in points) / len(points)
    total = sum((p.extra - mean) ** 2 for p in points)
    rest = sum((p.extra - price * p.counts) ** 2 for p in points)
    figure = Figure(price, drawn[tail], drawn[-1 - tail], len(points), LEVEL)
    return Fit(figure, 1 - rest / total if total else 1.0, points)


def points_of(results, counts, variant, over, kind):
    """A Point for each workload that was measured alone in both variants and counted."""
    found = []
    for workload in results.names("single", "workload"):
        a, b = (results.case("single", workload, v) for v in (variant, over))
        counted = counts.get(workload)
        if a is None or b is None or counted is None:
            continue
        rates = [results.rate(case).mid for case in (a, b)]
        n = sum(sum(counted[part].values()) for part in KINDS[kind])
        found.append(Point(workload, n, 1e9 / rates[0] - 1e9 / rates[1], 1e9 / rates[1]))
    return found


def fits(results, counts):
    """[(variant, over, kind, Fit)]; counts: {variant that records: {workload: {"mortal": {"up", "down"},
    "immortal": ...}}}."""
    found = []
    for variant, over, kind, recorder in FITS:
        points = points_of(results, counts.get(recorder, {}), variant, over, kind)
        made = fit(points) if len(points) > 2 else None
        if made:
            found.append((variant, over, kind, made))
    return found


def mean_predicted(points, price):
    """The geometric mean of the workloads' slowdowns if a count takes `price` ns more."""
    return geometric([1 + price * p.counts / p.base for p in points])
