"""The plots: cost of each workload alone, scaling with interpreters, cost against counts, the model's
extrapolation, the object heaps; and who is counted.

Each function returns a matplotlib Figure or None where the run has nothing to show, and the same
results give the same bytes. Bars and whiskers are the intervals of the page. Two points are drawn as
two points: no line leads from one to the other, since nothing was measured between them.
"""

import counts_page
import lab_page
import matplotlib
import pages
import predict
from formats import number
from lab_results import BASE
from looks import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RC, RED, SKY, YELLOW, tidy
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

COLOURS = {"stock": BLACK, "c11-relaxed": ORANGE, "c11-acq-rel": SKY, "lock": PURPLE,
           "lock-all": RED, "plain-all": GREY, "lock-2006": GREEN, "stock-unspecialised": YELLOW,
           "free-threaded": BLUE, "stock-pgo": "#7b3f00", "lock-pgo": "#4b0055"}
MARKERS = {"stock": "o", "c11-relaxed": "v", "c11-acq-rel": "^", "lock": "s", "lock-all": "D",
           "plain-all": "X", "lock-2006": "*", "stock-unspecialised": "h", "free-threaded": "P",
           "stock-pgo": "d", "lock-pgo": "p"}
MOST_POINTS = 2  # up to so many numbers of threads, dots side by side; with more, lines
HEAP_COLOURS = {"pymalloc": GREY, "malloc": SKY, "mimalloc": GREEN, "lockinc": RED,
                "lockinc-classes": ORANGE}


def cost(results):
    return _costs(results, "single", "one interpreter alone")


def pyperformance(results):
    return _costs(results, "pyperformance", "one interpreter alone: pyperformance")


def _costs(results, group, title):
    """A bar for each variant and workload, and one for the geometric mean: time to stock."""
    variants = lab_page.beside_stock(results, group)
    workloads = [w for w in results.names(group, "workload")
                 if any(results.cost(w, v, BASE, group) for v in variants)]
    if not workloads:
        return None
    rows = [("geometric mean", {v: results.mean_cost(v, BASE, group) for v in variants})]
    rows += [(w, {v: results.cost(w, v, BASE, group) for v in variants}) for w in workloads]
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
    axes.set_xlabel("time relative to stock; the lines show the interval")
    axes.set_title(title, loc="left")
    figure.legend(handles=[Patch(color=COLOURS[v], label=v) for v in variants],
                  loc="outside upper center", ncols=len(variants))
    return figure


def scaling(results):
    """A panel for each workload: how many times the runs of one so many do."""
    workloads = results.names("parallel", "workload")
    counts = [n for n in sorted(results.names("parallel", "threads")) if n > 1]
    if not workloads or not counts:
        return None
    columns = 2
    rows = -(-len(workloads) // columns)
    figure = Figure(figsize=(9, 3 * rows + 0.6), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[len(workloads):]:
        axes.set_axis_off()
    for axes, workload in zip(grid, workloads):
        _panel(axes, results, workload, counts)
    handles = [Line2D([], [], color=COLOURS[v], marker=MARKERS[v], markersize=5, linestyle="", label=v)
               for v in results.names("parallel", "variant")]
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="control: C threads"))
    figure.legend(handles=handles, loc="outside right upper")
    return figure


def _panel(axes, results, workload, counts):
    variants = results.names("parallel", "variant")
    line = len(counts) > MOST_POINTS
    for i, variant in enumerate(variants):
        points = [(n, results.scaling(workload, variant, n)) for n in counts]
        points = [(n, scaling) for n, scaling in points if scaling is not None]
        if not points:
            continue
        shift = 0 if line else 0.5 * ((i + 0.5) / len(variants) - 0.5)
        mids = [s.mid for _, s in points]
        errors = [[s.mid - s.low for _, s in points], [s.high - s.mid for _, s in points]]
        axes.errorbar([n + shift for n, _ in points], mids, yerr=errors, color=COLOURS[variant],
                      marker=MARKERS[variant], markersize=5, linestyle="-" if line else "",
                      linewidth=1.6, elinewidth=0.8, capsize=1.5)
    for n in counts:
        given = results.times_one(n)
        if given is not None:
            axes.hlines(given.mid, n - 0.35, n + 0.35, color=GREY, linestyle=":", linewidth=1.4)
    axes.axhline(1, color=BLACK, linewidth=0.8)
    axes.set_title(workload, loc="left")
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.set_xlim(counts[0] - 0.6, counts[-1] + 0.6)
    axes.set_xlabel("interpreters at once (free-threaded: threads)")
    axes.set_ylabel("times the runs of one")
    axes.set_ylim(0)


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
            r = results.rate(case)
            if r is not None:
                axes.bar(i, r.mid, color=HEAP_COLOURS[name],
                         yerr=[[r.mid - r.low], [r.high - r.mid]],
                         error_kw={"elinewidth": 0.9, "capsize": 2})
        axes.set_xticks(range(len(heaps)), heaps, rotation=40, ha="right", fontsize=7)
        axes.set_xlim(-0.6, len(heaps) - 0.4)
        axes.grid(axis="x", visible=False)
        axes.set_title(title, loc="left")
        axes.set_ylabel("runs a second" if workload == "allocation" else "messages a second")
    return figure


def price(results, counts):
    """Extra time of a run against its counts, a panel for each fit, and the fitted price as a line."""
    fits = lab_page.all_fits(results, counts)
    if not fits:
        return None
    figure = Figure(figsize=(5 * len(fits), 4), layout="constrained")
    for axes, (variant, over, kind, fit) in zip(figure.subplots(1, len(fits), squeeze=False)[0], fits):
        most = max(p.counts for p in fit.points)
        axes.fill_between([0, most], [0, fit.price.low * most / 1e3], [0, fit.price.high * most / 1e3],
                          color=SKY, alpha=0.3, linewidth=0)
        axes.plot([0, most], [0, fit.price.mid * most / 1e3], color=BLUE, linewidth=1.4)
        for p in fit.points:
            axes.plot(p.counts, p.extra / 1e3, "o", color=BLACK, markersize=4)
        # The names of the largest only: near zero they would lie on each other.
        for p in sorted(fit.points, key=lambda p: -p.counts)[:6]:
            axes.annotate(p.workload, (p.counts, p.extra / 1e3), xytext=(5, -3), fontsize=6.5,
                          textcoords="offset points")
        axes.set_xlim(0, most * 1.25)
        axes.set_title(f"{variant} less {over}: {number(fit.price.mid)} ns a count", loc="left")
        axes.set_xlabel(f"counts of {kind} objects in a run")
        axes.set_ylabel("extra time of a run, µs")
    return figure


def extrapolation(results, counts):
    """The model's scaling up to many cores, on a logarithmic axis, with its band and what was measured."""
    found = [(variant, predict.predictions(results, workloads, variant))
             for variant, workloads in lab_page.contended(results, counts)]
    found = [(variant, rows) for variant, rows in found if rows]
    if not found:
        return None
    figure = Figure(figsize=(5 * len(found), 4), layout="constrained")
    colours = (RED, BLUE, GREEN, ORANGE, PURPLE)
    for axes, (variant, rows) in zip(figure.subplots(1, len(found), squeeze=False)[0], found):
        for colour, p in zip(colours, rows):
            xs = [2, *p.many]
            axes.plot(xs, [p.two, *(mid for _, mid, _ in p.many.values())], color=colour, linestyle="--",
                      linewidth=1.4, label=p.workload)
            axes.fill_between(list(p.many), [low for low, _, _ in p.many.values()],
                              [high for _, _, high in p.many.values()], color=colour, alpha=0.12, linewidth=0)
            for n in lab_page.counts_together(results):
                m = results.scaling(p.workload, variant, n)
                if m is not None:
                    axes.errorbar(n, m.mid, yerr=[[m.mid - m.low], [m.high - m.mid]], color=colour, marker="o",
                                  markersize=4, capsize=2)
        axes.set_xscale("log", base=2)
        tidy(axes.xaxis, [2, *predict.CORES], lambda x, _: f"{x:g}")
        axes.axhline(1, color=BLACK, linewidth=0.8)
        axes.set_ylim(0)
        axes.set_title(f"{variant}: extrapolated", loc="left")
        axes.set_xlabel("interpreters, each with a core; points: measured")
        axes.set_ylabel("times the runs of one")
        axes.legend(fontsize=7)
    return figure


def hot(counts):
    """A bar for each workload: whose counts those of immortal objects are."""
    workloads = list(counts.workloads)
    figure = Figure(figsize=(9, 0.32 * len(workloads) + 1.2), layout="constrained")
    axes = figure.subplots()
    for y, workload in enumerate(workloads):
        left = 0.0
        for group, share in counts_page.shares_by_group(counts, workload).items():
            axes.barh(y, share, 0.8, left=left, color=GROUP_COLOURS[group])
            left += share
        immortal, mortal = (counts.total(workload, kind) for kind in ("immortal", "mortal"))
        if immortal + mortal:
            axes.annotate(f"{immortal / (immortal + mortal):.0%}", (1, y), xytext=(4, 0), va="center",
                          textcoords="offset points", fontsize=7)
    axes.set_yticks(range(len(workloads)), workloads)
    axes.set_ylim(len(workloads) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of the counts of immortal objects; on the right: their share of all counts")
    figure.legend(handles=[Patch(color=colour, label=group) for group, colour in GROUP_COLOURS.items()],
                  loc="outside upper center", ncols=len(GROUP_COLOURS))
    return figure


GROUP_COLOURS = dict(zip(counts_page.GROUPS, (RED, ORANGE, BLUE, GREEN, PURPLE, GREY)))
ALL = {"cost": cost, "pyperformance": pyperformance, "scaling": scaling, "price": price, "extrapolation": extrapolation, "heap": heap}
WITH_COUNTS = (price, extrapolation)


def render(results, counts=None):
    """key -> (PNG as bytes, SVG as text) of the plots that the run has data for."""
    return _drawn("lab", {key: (lambda make=make: make(results, counts or {}) if make in WITH_COUNTS
                                else make(results)) for key, make in ALL.items()})


def render_counts(counts):
    return _drawn("counts", {"hot": lambda: hot(counts)})


def _drawn(kind, makers):
    made = {}
    for key, make in makers.items():
        salt = f"{kind}-{key}"
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **RC, "svg.hashsalt": salt}):
            figure = make()
            if figure is not None:
                made[key] = pages.draw(figure, salt)
    return made
