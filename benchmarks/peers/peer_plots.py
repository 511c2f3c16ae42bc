"""The plot of peer_tables.py's page: how many times faster than serial each way is, workload by workload."""

from statistics import median

import looks
import matplotlib
import pages
import peer_tables
from matplotlib.figure import Figure

COLOURS = dict(zip(peer_tables.WAYS[1:], (looks.BLUE, looks.ORANGE, looks.GREEN, looks.GREY, looks.SKY, looks.RED,
                                          looks.PURPLE, looks.YELLOW, "tab:brown"), strict=True))


def render(records):
    """{key: (PNG, SVG)}, one plot for each record."""
    plots = {}
    with matplotlib.rc_context(looks.RC):
        for record in records:
            key = "speedup-" + record["machine"]["python"].split()[0]
            plots[key] = pages.draw(speedups(record), key)
    return plots


def speedups(record):
    """A line for each workload, a dot with its range for each way; the control is a tick."""
    cases = {name: case for name, case in peer_tables.beside_a_good_control(record)["workloads"].items() if case["times"]}
    figure = Figure(figsize=(7, 0.75 * len(cases) + 1), layout="constrained")
    axis = figure.subplots()
    used = [way for way in COLOURS if any(way in case["times"] for case in cases.values())]
    for i, way in enumerate(used):
        found = [(row, peer_tables.ratios(case, way)) for row, case in enumerate(cases.values()) if way in case["times"]]
        middle = [median(ratios) for _, ratios in found]
        axis.errorbar(middle, [row + 0.7 * (i + 0.5) / len(used) - 0.35 for row, _ in found],
                      xerr=[[mid - min(ratios) for mid, (_, ratios) in zip(middle, found)],
                            [max(ratios) - mid for mid, (_, ratios) in zip(middle, found)]],
                      fmt="o", markersize=4, color=COLOURS[way], label=way)
    axis.plot([median(case["control"]) for case in cases.values()], range(len(cases)), "|", color=looks.BLACK,
              markersize=24, label="control")
    axis.axvline(1, color=looks.BLACK, linewidth=0.8)
    axis.set_xscale("log")
    looks.tidy(axis.xaxis)
    axis.set_yticks(range(len(cases)), list(cases))
    axis.invert_yaxis()
    axis.set_xlabel("times faster than one after the other (left of 1: slower)")
    figure.legend(loc="outside upper center", ncols=4)
    return figure
