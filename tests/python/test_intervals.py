"""The intervals that all benchmarks give: against closed forms, and against many repeated experiments."""

import math
import random
import sys
from pathlib import Path
from statistics import NormalDist

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "common"
sys.path.insert(0, str(FOLDER))
from intervals import (Figure, apart, coverage, geometric, geometric_mean, kept_repetitions,  # noqa: E402
                       median_interval, most_influential)

sys.path.remove(str(FOLDER))


@pytest.mark.parametrize("n, k, level", [
    (1, 1, 0), (2, 1, 0.5), (5, 1, 0.9375), (6, 1, 0.96875), (7, 1, 0.984375), (7, 2, 0.875),
    (20, 6, 0.9586105)])
def test_the_level_of_order_statistics(n, k, level):
    assert coverage(n, k) == pytest.approx(level)


@pytest.mark.parametrize("n, low, high", [(1, 1, 1), (5, 1, 5), (7, 1, 7), (9, 2, 8), (20, 6, 15), (101, 41, 61)])
def test_the_narrowest_pair_that_reaches_the_level(n, low, high):
    samples = list(range(1, n + 1))
    random.Random(n).shuffle(samples)
    assert median_interval(samples)[:2] == (low, high)
    figure = Figure.of(samples)
    assert (figure.low, figure.high, figure.count) == (low, high, n)
    assert figure.level >= 0.95 or (figure.low, figure.high) == (1, n)


def test_more_samples_make_it_narrower():
    """The smallest and the largest, which stood for an interval before, only move apart."""
    rng = random.Random(5)
    samples = [rng.gauss(100, 10) for _ in range(200)]  # ten times as many: narrower by the root of ten
    few, many = Figure.of(samples[:20]), Figure.of(samples)
    assert many.high - many.low < (few.high - few.low) / 2


@pytest.mark.parametrize("n", [5, 7, 20])
def test_the_median_is_inside_as_often_as_is_said(n):
    rng = random.Random(n)
    inside, trials = 0, 4000
    for _ in range(trials):
        figure = Figure.of([rng.expovariate(1) for _ in range(n)])
        inside += figure.low <= math.log(2) <= figure.high
    error = 4 * math.sqrt(figure.level * (1 - figure.level) / trials)
    assert abs(inside / trials - figure.level) < error


def test_of_samples_that_were_not_taken_in_turns():
    x, y = [2.0, 3, 4, 5, 6, 7, 8], [1.0, 1, 1, 1, 1, 1, 2]
    quotient = apart(x, y, lambda a, b: a / b)
    assert (quotient.mid, quotient.low, quotient.high) == (5, 1, 8)
    assert quotient.level == pytest.approx(2 * coverage(7, 1) - 1)
    assert apart([1.0], [2.0], lambda a, b: a - b).level == 0


def test_of_a_single_sample_nothing_is_known():
    assert Figure.of([3.0]).level == 0
    assert geometric_mean([[3.0]]).level == 0 and geometric_mean([[3.0]]).mid == pytest.approx(3)


def test_the_smallest_effect_that_can_be_told():
    assert Figure(1.0, 0.8, 1.1, 7, 0.95).detectable == pytest.approx(1.25)
    assert Figure(1.0, 0.95, 1.3, 7, 0.95).detectable == pytest.approx(1.3)


@pytest.mark.parametrize("figure, at_least, reached", [
    (Figure(2, 1.6, 2.5, 7, 0.95), True, True), (Figure(2, 1.4, 2.5, 7, 0.95), True, False),
    (Figure(1, 0.9, 1.4, 7, 0.95), False, True), (Figure(1, 0.9, 1.6, 7, 0.95), False, False)])
def test_a_target_is_reached_by_the_whole_interval(figure, at_least, reached):
    assert figure.reaches(1.5, at_least) is reached


def test_the_geometric_mean_follows_its_workloads():
    """Thirteen workloads of which one is far away: the repetitions agree, so all of the interval comes
    from which workloads there are."""
    rows = [[1.3] * 7] * 12 + [[5.85] * 7]
    figure = geometric_mean(rows)
    assert figure.mid == pytest.approx(geometric([1.3] * 12 + [5.85]))
    assert figure.low == pytest.approx(1.3) and figure.high > 1.6 and figure.level == 0.95
    assert geometric_mean(rows) == figure  # the same samples, the same interval
    alike = geometric_mean([[1.3] * 7] * 13)
    assert alike.low == pytest.approx(1.3) and alike.high == pytest.approx(1.3)


def test_the_bootstrap_agrees_with_the_normal_law():
    """Many workloads with ratios whose logarithms are normal: the interval is the textbook's."""
    rng = random.Random(2)
    logs = [rng.gauss(0.3, 0.2) for _ in range(200)]
    mean = sum(logs) / 200
    deviation = math.sqrt(sum((x - mean) ** 2 for x in logs) / 200)
    half = NormalDist().inv_cdf(0.975) * deviation / math.sqrt(200)
    figure = geometric_mean([[math.exp(x)] for x in logs])
    assert math.log(figure.low) == pytest.approx(mean - half, abs=0.15 * half)
    assert math.log(figure.high) == pytest.approx(mean + half, abs=0.15 * half)


def test_the_workload_that_the_mean_depends_on():
    rows = {"a": [1.0, 1.1, 0.9], "b": [4.0] * 3, "c": [1.0] * 3}
    name, without = most_influential(rows)
    assert name == "b" and without == pytest.approx(1)
    assert most_influential({"a": [1.0]}) is None


def test_repetitions_without_their_cores_are_left_out():
    assert kept_repetitions([1.99, 1.79, 2.0, 1.2], 2) == ([0, 2], 2)
    assert kept_repetitions([], 2) == ([], 0)
