"""What the pool has to reach, and whether it did; computed from the record of bench_pool.py."""

from statistics import median

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
    """(what, median, least, greatest, target, met) of each goal that was measured."""
    found = []
    times = record["tiny"].get("tiny_submit")
    if times is not None:
        micro = [t * 1e6 for t in times["objtunnel"]]
        found.append(("a tiny job, µs", median(micro), min(micro), max(micro), "at most 15",
                      median(micro) <= TINY_SECONDS * 1e6))
    for name, target in SHARES.items():
        if name in record["parallel"]:
            samples = shares(record["parallel"][name])
            found.append((f"{name}, share of the control", median(samples), min(samples),
                          max(samples), f"at least {target}", median(samples) >= target))
    return found


def verdicts(record):
    """A line for each goal."""
    return [f"{'met   ' if met else 'MISSED'}  {what}: {middle:.3g} ({least:.3g} to {most:.3g}), "
            f"goal {target}" for what, middle, least, most, target, met in figures(record)]
