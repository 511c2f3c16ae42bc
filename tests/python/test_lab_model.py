"""The laboratory's models: the simulator of a MESI directory and the queueing model against closed forms
and against each other, and cost = count × price against figures that are made up."""

import random
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [str(ROOT / "lab"), str(ROOT / "benchmarks" / "common")]
sys.path[:0] = FOLDERS
import mesi  # noqa: E402
import model  # noqa: E402
import queueing  # noqa: E402
from mesi import Machine, Simulation, counting  # noqa: E402
from queueing import Station  # noqa: E402

sys.path[:] = [p for p in sys.path if p not in FOLDERS]

HIT, CARRY = 5.0, 45.0
STRICT = Machine(hit=HIT, reach=0.0, carry=CARRY, fetch=100.0)  # the owner loses the line at once
SERVICE = HIT + CARRY


# ---- the simulator -------------------------------------------------------------------------------

@pytest.mark.parametrize("think", [0.0, 30.0])
def test_one_core_fetches_once_and_hits_from_then_on(think):
    simulation = Simulation(STRICT, [counting("line", think)])
    until = 100 + 1000 * (HIT + think)
    simulation.run(until)
    assert simulation.done == [pytest.approx(1000, abs=1)] and simulation.transactions() == 1


@pytest.mark.parametrize("cores", [2, 3, 8])
def test_a_line_in_demand_serves_one_at_a_time(cores):
    assert mesi.throughput(STRICT, cores, until=1e6) == pytest.approx(1 / SERVICE, rel=0.001)


@pytest.mark.parametrize("cores", [1, 2, 4, 16])
@pytest.mark.parametrize("think", [50.0, 200.0, 1000.0])
def test_regular_visitors_reach_the_asymptotes(cores, think):
    """Think times all alike: nobody waits until the line is always in use. One core alone only hits."""
    service = HIT if cores == 1 else SERVICE
    expected = min(cores / (think + service), 1 / service)
    assert mesi.throughput(STRICT, cores, think, until=2e6) == pytest.approx(expected, rel=0.01)


def test_an_owner_goes_on_until_the_request_has_reached_it():
    """In `reach` it counts reach / hit times more, and what was under way is finished."""
    machine = Machine(hit=5.0, reach=20.0, carry=30.0, fetch=100.0)
    found = mesi.throughput(machine, 2, until=1e6)
    # A turn: the line arrives, the other's request is taken up at once, 20 ns are 4 counts, then 30 ns of way.
    assert found == pytest.approx(4 / 50, rel=0.01)
    assert found > mesi.throughput(Machine(5.0, 0.0, 30.0, 100.0), 2, until=1e6)


@pytest.mark.parametrize("copy", [True, False])
def test_who_has_a_copy_waits_until_the_others_have_lost_theirs_and_for_no_data(copy):
    """Core 0 counts at 400, after core 1 has read the line at 200: with a copy of its own it waits for `reach` alone."""
    machine = Machine(hit=5.0, reach=20.0, carry=45.0, fetch=100.0)
    first = [("read", "line"), ("think", 295.0)] if copy else [("think", 400.0)]  # a read takes fetch + hit
    simulation = Simulation(machine, [iter([*first, ("count", "line")]), iter([("think", 200.0), ("read", "line")])])
    simulation.run(1000.0)
    assert simulation.waits == [pytest.approx(20 + 5 if copy else 20 + 45 + 5)]
    assert simulation.transactions() == (3 if copy else 2)


def test_lines_of_their_own_scale():
    programs = [counting(f"line {i}") for i in range(8)]
    simulation = Simulation(STRICT, programs)
    assert simulation.run(1e5) == pytest.approx(8 / HIT, rel=0.01) and simulation.transactions() == 8


@pytest.mark.parametrize("cores", [2, 3, 8])
def test_a_look_before_the_count_asks_for_the_line_twice(cores):
    """As lock-all does, which tests for immortality first: a read makes the line shared, the count then
    wants it alone. Only who counted last of a round still has it for its next look: 2 N - 1 for N counts."""
    def asked(look):
        simulation = Simulation(STRICT, [counting("line", 0.0, look) for _ in range(cores)])
        simulation.run(1e5)
        return simulation.transactions() / sum(simulation.done), sum(simulation.done)

    (once, fast), (twice, slow) = asked(False), asked(True)
    assert once == pytest.approx(1, rel=0.01) and twice == pytest.approx(2 - 1 / cores, rel=0.01)
    assert slow <= fast  # with two cores the reads ride along


def test_no_count_is_lost_and_no_owner_has_company():
    """Random programs on few lines; Simulation checks its invariant at each change."""
    rng = random.Random(7)

    def program(steps):
        for _ in range(steps):
            kind = rng.choice(["think", "read", "count", "count"])
            yield kind, rng.random() * 40 if kind == "think" else rng.randrange(3)

    simulation = Simulation(Machine(5.0, 11.0, 23.0, 70.0), [program(500) for _ in range(6)])
    simulation.run(1e7)
    assert sum(simulation.done) == sum(line.value for line in simulation.lines.values())
    assert all(not line.queue for line in simulation.lines.values()) and sum(simulation.done) > 1000
    with pytest.raises(AssertionError, match="not alone"):
        mesi._Line(states={0: "M", 1: "S"}).check()


# ---- the queueing model --------------------------------------------------------------------------

def machine_repairman(think, service, n):
    """Throughput of the textbook's closed form for exponential times: sums of factorials."""
    weight, total, idle = 1.0, 0.0, 0.0
    for k in range(n + 1):  # k of n wait or are served
        total += weight
        idle = weight if k == 0 else idle
        weight *= (n - k) * service / think
    return (1 - idle / total) / service


@pytest.mark.parametrize("n", [1, 2, 5, 20])
@pytest.mark.parametrize("think", [10.0, 100.0, 1000.0])
def test_one_line_is_the_machine_repairman(n, think):
    service = 50.0
    found = queueing.mean_value(think, [Station(1, service)], n)
    assert found == pytest.approx(machine_repairman(think, service, n), rel=1e-9)


def test_without_common_lines_all_scale():
    assert [queueing.scaling(1000, [], n) for n in (1, 2, 8)] == pytest.approx([1, 2, 8])
    assert queueing.limit(1000, []) == float("inf")


def test_alone_each_line_is_at_home():
    assert queueing.scaling(1000, [Station(30, 50)], 1) == pytest.approx(1)


def test_many_come_to_the_busiest_lines_limit():
    stations = [Station(3, 50), Station(1, 50)]
    assert queueing.scaling(1000, stations, 400) == pytest.approx(queueing.limit(1000, stations), rel=0.01)
    assert queueing.limit(1000, stations) == pytest.approx(1000 / 150)


def test_lines_that_must_be_fetched_make_two_slower_than_one():
    """Many lines, so that nobody waits: two pay for half of their visits."""
    stations = [Station(1, 70)] * 100
    assert queueing.scaling(2000, stations, 2) == pytest.approx(2 * 2000 / (2000 + 50 * 70), rel=0.02)
    assert queueing.scaling(2000, stations, 2) < 1


@pytest.mark.parametrize("service", [3.0, 26.0, 71.0])
def test_the_service_time_is_found_again(service):
    visits = [40, 25, 9]
    times_two = queueing.scaling(5000, [Station(v, service) for v in visits], 2)
    assert queueing.fit_service(5000, visits, times_two) == pytest.approx(service, rel=1e-6)


@pytest.mark.parametrize("cores", [2, 4, 12])
def test_simulator_and_model_agree_where_their_assumptions_do(cores):
    """Exponential think times and ways of a line; who finds it at home, goes on. Where all wait, the line comes
    from another core each time, and not with the model's (N - 1) / N: hence the tenth."""
    rng = random.Random(cores)
    think, service = 300.0, 60.0
    machine = Machine(hit=0.0, reach=0.0, carry=lambda: rng.expovariate(1 / service), fetch=0.0)

    def program():
        while True:
            yield "think", rng.expovariate(1 / think)
            yield "count", "line"

    found = Simulation(machine, [program() for _ in range(cores)]).run(3e6)
    assert found == pytest.approx(queueing.throughput(think, [Station(1, service)], cores), rel=0.1)


# ---- the universal scalability law ---------------------------------------------------------------

@pytest.mark.parametrize("sigma, kappa", [(0.1, 0.0), (0.05, 0.002), (0.9, 0.1)])
def test_the_laws_parameters_are_found_again(sigma, kappa):
    points = {n: queueing.by_law(sigma, kappa, n) for n in (1, 2, 4, 8, 16)}
    assert queueing.scalability(points) == (pytest.approx(sigma), pytest.approx(kappa, abs=1e-9))


def test_the_law_wants_two_numbers_of_threads():
    with pytest.raises(ValueError, match="two unknowns"):
        queueing.scalability({1: 1, 2: 1.5})


# ---- cost = count × price ------------------------------------------------------------------------

def test_the_price_of_a_count_is_found_again():
    points = [model.Point(f"w{i}", counts, 8.3 * counts, 1e6) for i, counts in enumerate(
        (10, 1e4, 3e4, 2e5))]
    made = model.fit(points)
    assert made.price.mid == pytest.approx(8.3) and made.r2 == pytest.approx(1)
    assert all(made.residual(p) == pytest.approx(0, abs=1e-6) for p in points)
    assert made.slowdown(points[3]) == (pytest.approx(2.66), pytest.approx(2.66))


def test_a_price_from_elsewhere_predicts_the_mean():
    """Two workloads that a price of 2 ns makes 1.5 and 6 times as long: 3 times, geometrically."""
    points = [model.Point("a", 1000, 0, 4000), model.Point("b", 5000, 0, 2000)]
    assert model.mean_predicted(points, 2) == pytest.approx(3)
    assert model.mean_predicted(points, 0) == pytest.approx(1)


def test_what_counts_do_not_explain_is_a_residual():
    points = [model.Point("a", 1e5, 8e5, 1e6), model.Point("b", 2e5, 16e5, 1e6),
              model.Point("c", 1e5, 13e5, 1e6)]
    made = model.fit(points)
    assert 0 < made.r2 < 0.9 and made.price.low < made.price.mid < made.price.high
    assert made.residual(points[2]) > 0 > made.residual(points[0])
    assert model.fit([model.Point("a", 0, 5, 1), model.Point("b", 0, 5, 1)]) is None
