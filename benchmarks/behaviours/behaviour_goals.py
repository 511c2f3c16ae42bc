"""What behaviours have to reach, and whether they did; computed from the record of bench_behaviours.py."""

from statistics import median

# case -> how many times bocpy's rate
RATES = {"empty": 2, "rows_10": 5, "rows_1000": 500, "rows_1000_moved": 30, "rows_100000": 30}
EMPTY_SECONDS = 3e-6
PARALLEL = ("ring", "readers")
SHARE = 0.95  # of the parallel control


def each(case, way):
    """Seconds a behaviour, of each repetition that did not fail."""
    return [s["seconds"] / s["n"] for s in case["samples"].get(way, []) if s is not None]


def figures(record):
    """(what, figure, goal, met) of each goal that was measured."""
    found, cases = [], record["cases"]
    for name, target in RATES.items():
        ours, peers = (each(cases.get(name, {"samples": {}}), way) for way in ("objtunnel", "bocpy"))
        if ours and peers:
            rate = median(peers) / median(ours)
            found.append((f"{name}: times bocpy's rate", rate, f"at least {target}", rate >= target))
    ours = each(cases.get("empty", {"samples": {}}), "objtunnel")
    if ours:
        found.append(("empty, µs", median(ours) * 1e6, "at most 3", median(ours) <= EMPTY_SECONDS))
    if "waiting" in cases:
        memory = {way: [s["bytes"] / s["n"] for s in samples if s is not None]
                  for way, samples in cases["waiting"]["samples"].items()}
        if memory.get("objtunnel") and memory.get("bocpy"):
            ours, peer = median(memory["objtunnel"]), median(memory["bocpy"])
            found.append(("waiting, bytes each", ours, f"less than {peer:.0f}", ours < peer))
    for name in PARALLEL:
        case = cases.get(name, {"samples": {}, "control": []})
        two, one = each(case, "objtunnel"), each(case, "objtunnel, one worker")
        if two and one and case["control"]:
            share = median(one) / median(two) / median(case["control"])
            found.append((f"{name}, share of the control", share, f"at least {SHARE}", share >= SHARE))
    return found


def verdicts(record):
    """A line for each goal."""
    return [f"{'met   ' if met else 'MISSED'}  {what}: {figure:.3g}, goal {goal}"
            for what, figure, goal, met in figures(record)]
