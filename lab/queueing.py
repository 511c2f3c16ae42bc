"""What N interpreters get done that count on common lines: a closed queueing network.

Each interpreter is a customer that goes round: it works on its own (think time), and it visits the
lines, each of which serves one at a time. Exact mean value analysis (Reiser and Lavenberg 1980) gives
the throughput of N from that of one:

    R_k(n) = S_k (1 + Q_k(n-1))        what one visit of line k takes
    X(n)   = n / (Z + sum V_k R_k(n))  runs a nanosecond of all together
    Q_k(n) = X(n) V_k R_k(n)           how many are at line k

V_k: visits of line k in a run; S_k: how long a visit keeps the line from others; Z: the rest of a run.
A visit alone costs less than S_k, because the line is still there. So Z is such that one interpreter
takes the time that was measured alone, and S_k counts from the second on.

Assumptions, which a prediction inherits: a line is as far from each core as it was with two; requests
are served in the order of arrival; think times vary as an exponential law does; nothing else is shared.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Station:
    """A line: visits in a run, and what one keeps it from others (ns)."""

    visits: float
    service: float


def throughput(alone, stations, most):
    """[X(1), ..., X(most)] in runs a nanosecond, for a run that takes `alone` ns by itself."""
    found = [1 / alone]
    # One customer's queue: the share of its run in which a line is in use, at most all of it.
    busy = sum(s.visits * s.service for s in stations)
    scale = min(1.0, alone / busy) if busy else 1.0
    queues = [s.visits * s.service * scale / alone for s in stations]
    think = alone - busy * scale
    for n in range(2, most + 1):
        waits = [s.service * (1 + queue) for s, queue in zip(stations, queues)]
        cycle = think + sum(s.visits * wait for s, wait in zip(stations, waits))
        found.append(n / cycle)
        queues = [n / cycle * s.visits * wait for s, wait in zip(stations, waits)]
    return found


def scaling(alone, stations, most):
    """[1, X(2)/X(1), ...]: how many times the runs of one so many do."""
    rates = throughput(alone, stations, most)
    return [rate / rates[0] for rate in rates]


def limit(alone, stations):
    """What scaling comes to with ever more interpreters: the line that is busiest is always in use."""
    busiest = max((s.visits * s.service for s in stations), default=0)
    return alone / busiest if busiest else float("inf")


def fit_service(alone, visits, times_two, low=1e-3, high=1e6):
    """The service time for which two do `times_two` times the runs of one. visits: of each line."""
    def two(service):
        return scaling(alone, [Station(v, service) for v in visits], 2)[1]

    for _ in range(100):
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
