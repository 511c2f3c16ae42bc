"""From two cores to many: what N interpreters get done that count on the same lines.

The histogram says how often a run counts on which cache line; one workload's two interpreters say how
long it takes to get a line from the other core (CALIBRATION). Each count may have to: a core that counts on one line
several times in a row does other work in between, in which another core can take the line. The queueing model (queueing.py) then
says what two do on the other workloads, which was measured as well, and what more would do, which was not.
"""

from dataclasses import dataclass

from queueing import Station, fit_service, limit, scaling

CALIBRATION = "none_heavy"
CORES = (4, 16, 64, 128)
# Variants that write to immortal objects, and whose counts they do.
COUNTS_OF = {"lock-all": "histogram", "lock-2006": "histogram-2006"}
FAR = 2.0  # upper end of the band: a line takes twice as long between sockets


@dataclass(frozen=True)
class Prediction:
    workload: str
    variant: str
    measured: object  # the Figure of two interpreters' scaling
    two: float  # what the model says of it
    calibrated: bool  # the service time comes from this one
    many: dict  # cores -> (low, mid, high)
    end: float


def visits_of(counted):
    """How often a run counts on each line. Of the hottest lines the file has the counts; the others share what is left
    as they share the turns (counts after one on another line)."""
    hottest = counted["lines"]
    others = sorted(counted["turns"], reverse=True)
    for line in hottest:
        if line["turns"] in others:
            others.remove(line["turns"])
    left = sum(counted["immortal"].values()) - sum(line["counts"] for line in hottest)
    each = max(left, 0) / sum(others) if others else 0
    return [line["counts"] for line in hottest] + [turns * each for turns in others]


def service_time(results, counts, variant):
    """(low, mid, high) nanoseconds to get a line from the other core; None if not measured."""
    case = results.case("parallel", CALIBRATION, variant, 1)
    two = results.scaling(CALIBRATION, variant, 2)
    rate = results.rate(case)
    if rate is None or two is None or CALIBRATION not in counts:
        return None
    visits = visits_of(counts[CALIBRATION])
    return tuple(fit_service(1e9 / rate.mid, visits, times) for times in (two.high, two.mid, two.low))


def predictions(results, counts, variant):
    """A Prediction for each workload that two interpreters ran. counts: {workload: summary}."""
    service = service_time(results, counts, variant)
    if service is None:
        return []
    low, mid, high = service
    found = []
    for workload in results.names("parallel", "workload"):
        rate = results.rate(results.case("parallel", workload, variant, 1))
        measured = results.scaling(workload, variant, 2)
        if rate is None or measured is None or workload not in counts:
            continue
        visits, alone = visits_of(counts[workload]), 1e9 / rate.mid

        def by(service, n):
            return scaling(alone, [Station(v, service) for v in visits], n)

        found.append(Prediction(
            workload, variant, measured, by(mid, 2), workload == CALIBRATION,
            {n: tuple(sorted(by(s, n) for s in (low, mid, FAR * high))) for n in CORES},
            limit(alone, [Station(v, mid) for v in visits])))
    return found
