"""The plots: cost of each workload alone, scaling with interpreters, the object heaps.

As in benchmarks/refcount/plots.py, whose looks these have: each function returns a matplotlib
Figure or None where the run has nothing to show, and the same results give the same bytes.
"""

import io
from statistics import median

import matplotlib
from lab_results import BASE
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from plots import (BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RC, RED, SKY, _own_ids)
from words import number

COLOURS = {"stock": BLACK, "c11-relaxed": ORANGE, "c11-acq-rel": SKY, "lock": PURPLE,
           "lock-all": RED, "free-threaded": BLUE}
MARKERS = {"stock": "o", "c11-relaxed": "v", "c11-acq-rel": "^", "lock": "s", "lock-all": "D",
           "free-threaded": "P"}
HEAP_COLOURS = {"pymalloc": GREY, "malloc": SKY, "mimalloc": GREEN, "lockinc": RED,
                "lockinc-classes": ORANGE}


def cost(results):
    """A bar for each variant and workload, and one for the geometric mean: time to stock."""
    variants = [v for v in results.names("single", "variant") if v != BASE]
    workloads = [w for w in results.names("single", "workload")
                 if any(results.cost(w, v) for v in variants)]
    if not workloads:
        return None
    rows = [("geometric mean", {v: results.mean_cost(v) for v in variants})]
    rows += [(w, {v: results.cost(w, v) for v in variants}) for w in workloads]
    figure = Figure(figsize=(9, 0.16 * len(variants) * len(rows) + 1.6), layout="constrained")
    axes = figure.subplots()
    height = 0.84 / len(variants)
    for y, (_, costs) in enumerate(rows):
        for i, variant in enumerate(variants):
            ratio = costs[variant]
            if ratio is None:
                continue
            at = y - 0.42 + height * (i + 0.5)
            axes.barh(at, ratio.mid - 1, height * 0.92, left=1, color=COLOURS[variant])
            axes.errorbar(ratio.mid, at, xerr=[[ratio.mid - ratio.low], [ratio.high - ratio.mid]],
                          color="#333333", elinewidth=0.8, capsize=1.5)
            axes.annotate(number(ratio.mid), (ratio.high, at), xytext=(4, 0), va="center",
                          textcoords="offset points", fontsize=6)
    axes.axvline(1, color=BLACK, linewidth=1)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("time relative to stock; the lines show the smallest and the largest ratio")
    axes.set_title("one interpreter alone", loc="left")
    figure.legend(handles=[Patch(color=COLOURS[v], label=v) for v in variants],
                  loc="outside upper center", ncols=len(variants))
    return figure


def scaling(results):
    """A panel for each workload: runs of all together, relative to one interpreter of stock."""
    workloads = [w for w in results.names("parallel", "workload")
                 if results.case("parallel", w, BASE, 1)]
    counts = sorted(results.names("parallel", "threads"))
    if not workloads or len(counts) < 2:
        return None
    columns = 2
    rows = -(-len(workloads) // columns)
    figure = Figure(figsize=(9, 3 * rows + 0.6), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[len(workloads):]:
        axes.set_axis_off()
    for axes, workload in zip(grid, workloads):
        base = results.case("parallel", workload, BASE, 1)
        for variant in results.names("parallel", "variant"):
            _line(axes, results, workload, variant, counts, base)
        ideal = [(1, 1)] + [(n, results.times_one(n).mid) for n in counts
                            if n > 1 and results.times_one(n)]
        axes.plot(*zip(*ideal), color=GREY, linestyle=":", linewidth=1.4)
        axes.set_title(workload, loc="left")
        axes.set_xticks(counts, [str(n) for n in counts])
        axes.set_xlabel("interpreters (free-threaded: threads)")
        axes.set_ylabel("runs, one of stock = 1")
        axes.set_ylim(0)
    handles = [Line2D([], [], color=COLOURS[v], marker=MARKERS[v], markersize=5, label=v)
               for v in results.names("parallel", "variant")]
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="control: C threads"))
    figure.legend(handles=handles, loc="outside right upper")
    return figure


def _line(axes, results, workload, variant, counts, base):
    cases = [results.case("parallel", workload, variant, n) for n in counts]
    cases = [case for case in cases if case is not None]
    if not cases:
        return
    ys = [[r / b for r, b in zip(case.rates, base.rates)] for case in cases]
    mids = [median(y) for y in ys]
    errors = [[m - min(y) for m, y in zip(mids, ys)], [max(y) - m for m, y in zip(mids, ys)]]
    axes.errorbar([case.threads for case in cases], mids, yerr=errors, color=COLOURS[variant],
                  marker=MARKERS[variant], markersize=5, linewidth=1.6, elinewidth=0.8, capsize=1.5)


def heap(results):
    """Runs a second on each object heap: private allocation, and hand-over."""
    heaps = results.names("heap", "heap")
    if not heaps:
        return None
    counts = [n for n in sorted(results.names("heap", "threads"))
              if results.case("heap", "allocation", BASE, n, heaps[0])]
    panels = [(f"allocating, {n} at once", "allocation", n) for n in counts]
    panels.append(("one allocates, another frees", "hand_over", 2))
    panels = [p for p in panels if any(results.case("heap", p[1], BASE, p[2], h) for h in heaps)]
    figure = Figure(figsize=(3 * len(panels), 3), layout="constrained")
    for axes, (title, workload, n) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        for i, name in enumerate(heaps):
            case = results.case("heap", workload, BASE, n, name)
            if case is not None:
                r = case.rate
                axes.bar(i, r.mid, color=HEAP_COLOURS[name],
                         yerr=[[r.mid - r.low], [r.high - r.mid]],
                         error_kw={"elinewidth": 0.9, "capsize": 2})
        axes.set_xticks(range(len(heaps)), heaps, rotation=40, ha="right", fontsize=7)
        axes.set_xlim(-0.6, len(heaps) - 0.4)
        axes.grid(axis="x", visible=False)
        axes.set_title(title, loc="left")
        axes.set_ylabel("runs a second" if workload == "allocation" else "messages a second")
    return figure


ALL = {"cost": cost, "scaling": scaling, "heap": heap}
CAPTIONS = {
    "cost": "Time of each workload relative to stock, one interpreter alone.",
    "scaling": "What N interpreters with a GIL each get done together; dotted: what N independent "
               "C threads do.",
    "heap": "Stock CPython on several object heaps.",
}


def render(results):
    """key -> (PNG as bytes, SVG as text) of the plots that the run has data for."""
    made = {}
    for key, draw in ALL.items():
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **RC,
                                    "svg.hashsalt": f"lab-{key}"}):
            figure = draw(results)
            if figure is not None:
                png, svg = io.BytesIO(), io.StringIO()
                figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
                figure.set_layout_engine("none")  # it is laid out, and takes its time
                figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
                made[key] = png.getvalue(), _own_ids(svg.getvalue(), f"lab-{key}")
    return made
