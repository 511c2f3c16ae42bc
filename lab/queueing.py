"""What N interpreters get done that count on common lines: a closed queueing network.

Each interpreter is a customer that goes round: it works on its own, and it comes to lines, each of which
moves to one core at a time. Exact mean value analysis (Reiser and Lavenberg 1980) gives the throughput of
N from that of N - 1:

    R_k(n) = S_k (1 + Q_k(n-1))        to get line k, with the wait for those before
    X(n)   = n / (Z + sum V_k R_k(n))  runs a nanosecond of all together
    Q_k(n) = X(n) V_k R_k(n)           how many wait for line k or get it

Z: a run alone, in which each line is at home. S_k: getting line k from another core. V_k: how often a run
must: it comes to the line so many times, and finds that another was there last with the probability
(N - 1) / N.

Assumptions, which a prediction inherits: a line is as far from each core as it was with two; it may be gone after each
visit; no line is fetched ahead; requests are served in the order of arrival; times vary as an
exponential law does; nothing else is shared.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Station:
    """A line: how often a run comes to it, and what getting it from another core takes (ns)."""

    visits: float
    service: float


def mean_value(think, stations, n):
    """Throughput of n customers, for ever. visits: of each round."""
    queues, rate = [0.0] * len(stations), 0.0
    for k in range(1, n + 1):
        waits = [s.service * (1 + queue) for s, queue in zip(stations, queues)]
        rate = k / (think + sum(s.visits * wait for s, wait in zip(stations, waits)))
        queues = [rate * s.visits * wait for s, wait in zip(stations, waits)]
    return rate


def away(n):
    """How likely another of n was at a line last."""
    return (n - 1) / n


def throughput(alone, stations, n):
    """Runs a nanosecond of n interpreters together, for a run that takes `alone` ns by itself."""
    return mean_value(alone, [Station(s.visits * away(n), s.service) for s in stations], n)


def scaling(alone, stations, n):
    """How many times the runs of one n do."""
    return throughput(alone, stations, n) * alone


def limit(alone, stations):
    """What scaling comes to with ever more interpreters: the line that is busiest always moves."""
    busiest = max((s.visits * s.service for s in stations), default=0)
    return alone / busiest if busiest else float("inf")


def fit_service(alone, visits, times_two, low=1e-3, high=1e6):
    """The service time for which two do `times_two` times the runs of one. visits: of each line."""
    def two(service):
        return scaling(alone, [Station(v, service) for v in visits], 2)

    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if two(middle) > times_two else (low, middle)
    return (low * high) ** 0.5


# ---- the universal scalability law ---------------------------------------------------------------

def scalability(points):
    """(sigma, kappa) of Gunther's law C(N) = N / (1 + sigma (N-1) + kappa N (N-1)), by least squares of
    N/C(N) - 1, which is linear in both. points: {N: C(N)}, at least two N above 1."""
    rows = [(n - 1, n * (n - 1), n / c - 1) for n, c in points.items() if n > 1]
    if len(rows) < 2:
        raise ValueError("two unknowns want two numbers of threads above one")
    aa, ab, bb = (sum(r[i] * r[j] for r in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    ay, by = (sum(r[i] * r[2] for r in rows) for i in (0, 1))
    determinant = aa * bb - ab * ab
    return (ay * bb - by * ab) / determinant, (by * aa - ay * ab) / determinant


def by_law(sigma, kappa, n):
    return n / (1 + sigma * (n - 1) + kappa * n * (n - 1))
