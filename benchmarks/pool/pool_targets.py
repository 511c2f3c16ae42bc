"""What the pool has to reach, and whether it did; computed from the record of bench_pool.py."""

import sys
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
from intervals import Figure  # noqa: E402

WAYS = ("objtunnel", "interpreters", "processes", "threads")
TINY_SECONDS = 15e-6  # a tiny job with a named function, submitted and its result taken
SHARES = {"json": 0.85, "nbody": 0.95}  # of the parallel control


def speedups(case):
    """Texts: the median speedup of each way over one interpreter without a pool; the control."""
    alone = case["times"]["alone"]
    return [*(f"{median(a / t for a, t in zip(alone, case['times'][way])):.2f}"
              if way in case["times"] else "-" for way in WAYS), f"{median(case['control']):.2f}"]


def shares(case):
    """Of each repetition: the pool's speedup as a share of the control's."""
    return [alone / pool / control for alone, pool, control in
            zip(case["times"]["alone"], case["times"]["objtunnel"], case["control"])]


def figures(record):
    """(what, median, its interval's ends, target, met) of each goal that was measured. Met: the whole
    interval is on the right side."""
    found = []
    times = record["tiny"].get("tiny_submit")
    if times is not None:
        micro = Figure.of([t * 1e6 for t in times["objtunnel"]])
        found.append(("a tiny job, µs", micro.mid, micro.low, micro.high, "at most 15",
                      micro.reaches(TINY_SECONDS * 1e6, at_least=False)))
    for name, target in SHARES.items():
        if name in record["parallel"]:
            share = Figure.of(shares(record["parallel"][name]))
            found.append((f"{name}, share of the control", share.mid, share.low, share.high,
                          f"at least {target}", share.reaches(target, at_least=True)))
    return found


def verdicts(record):
    """A line for each goal."""
    return [f"{'met   ' if met else 'MISSED'}  {what}: {middle:.3g} ({low:.3g} to {high:.3g}), "
            f"goal {target}" for what, middle, low, high, target, met in figures(record)]
