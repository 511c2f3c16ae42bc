"""A case: several ways of doing the same, which take turns in each repetition.

Main invariant: a ratio is that of one repetition, in which the ways follow each other.
"""

from dataclasses import dataclass, field
from statistics import median
from typing import Callable, NamedTuple

from command import alternate
from targets import Figure, ratios


class Goal(NamedTuple):
    """What is to be reached: `way` takes at most `factor` times as long as `beside` does; or, with
    at_least, is at least so many times faster."""

    way: str
    beside: str
    factor: float
    at_least: bool = False


@dataclass(frozen=True)
class Case:
    """make(options): {way: an object with calibrate(seconds) and measure()}, or with close(), too.
    The first way is the one that all others are shown beside. missing: ways that are not to be had
    here, and why."""

    name: str
    what: str
    make: Callable
    goals: tuple = ()
    missing: dict = field(default_factory=dict)


def run(case, options):
    """{way: [seconds for once, of each repetition]}."""
    ways = case.make(options)
    try:
        for way in ways.values():
            way.calibrate(options.seconds)
        samples = {name: [] for name in ways}
        for name in alternate(ways, options.repeat):
            samples[name].append(ways[name].measure())
        return samples
    finally:
        for way in ways.values():
            if hasattr(way, "close"):
                way.close()


def figures(record):
    """targets.Figure of every goal whose ways were measured."""
    for name, case in record["cases"].items():
        for way, beside, factor, at_least in case["goals"]:
            if way in case["ways"] and beside in case["ways"]:
                a, b = case["ways"][way], case["ways"][beside]
                found = ratios(b, a) if at_least else ratios(a, b)
                what = (f"{way}: faster than {beside}" if at_least else f"{way}: times {beside}")
                yield Figure(name, what, found, factor, at_least, "x")


def middle(samples):
    return median(samples)
