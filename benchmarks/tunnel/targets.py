"""What was to be reached, beside what was. Works on the record of a run, as it is in the JSON."""

import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
import intervals  # noqa: E402


def _tunnel_ways(case):
    return [way for way in case["ways"] if way.startswith("Tunnel(")]


@dataclass(frozen=True)
class Figure:
    """A figure that has a target. samples: one of each repetition."""

    case: str
    what: str
    samples: list
    target: float
    at_least: bool
    unit: str  # "x", "s", "/s" or "B"

    @property
    def value(self):
        return median(self.samples)

    @property
    def interval(self):
        return intervals.Figure.of(self.samples)

    @property
    def met(self):
        """Only if the whole interval of the median is on the target's right side."""
        return self.interval.reaches(self.target, self.at_least)


def ratios(slower, faster):
    """Of two ways' times, one for each repetition: the two were measured one after the other."""
    return [a / b for a, b in zip(slower, faster)]


def figures(record):
    """All of a record that have a target, in the order of the tables."""
    found = []
    for name, case in record["transfers"].items():
        found += _of_transfer(name, case)
    found += _of_memory(record.get("memory"))
    if (case := record.get("ping_pong")) and case["target_seconds"] is not None:
        for way in _tunnel_ways(case):
            found.append(Figure("ping_pong", way, case["ways"][way]["medians"],
                                case["target_seconds"], False, "s"))
    if (case := record.get("throughput")) and case["target_rate"] is not None:
        for way in _tunnel_ways(case):
            samples = case["ways"][way]
            found.append(Figure("throughput", way, [samples["messages"] / t
                                                    for t in samples["times"]],
                                case["target_rate"], True, "/s"))
    return found


def _of_transfer(name, case):
    tunnel = case["tunnel"]["total"]
    goals = case["targets"] or {}
    for peer in ("pickle", "queue"):
        if peer in goals and peer in case:
            yield Figure(name, f"faster than {peer}", ratios(case[peer]["total"], tunnel),
                         goals[peer], True, "x")
    if "loop" in goals and "loop" in case:
        yield Figure(name, "times the bare loop", ratios(tunnel, case["loop"]["total"]),
                     goals["loop"], False, "x")
    if "seconds" in goals:
        yield Figure(name, "send + recv", tunnel, goals["seconds"], False, "s")
        if "again" in case:
            yield Figure(name, "send + recv, going round", case["again"]["total"],
                         goals["seconds"], False, "s")


def _of_memory(memory):
    """Flat lists show what a leaf takes, the others what a container does."""
    if not memory or not memory.get("targets"):
        return
    for name, case in memory["cases"].items():
        flat = case["containers"] == 1
        what, n = ("leaf", case["size"]) if flat else ("container", case["containers"])
        yield Figure(name, f"memory of send for each {what}", [case["asked"] / n],
                     memory["targets"][what], False, "B")
