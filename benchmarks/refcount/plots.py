"""The plots: throughput against threads, cost as bars, streams against array size.

Each function returns a matplotlib Figure or None where the run has nothing to show. Files are the
same bytes for the same results: no dates, no versions, ids from a fixed salt.
"""

import matplotlib
import pages
from formats import number, threads
from looks import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RC, RED, SKY, short, tidy
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

# A family has one colour, its members differ in marker and dashes: xadd, seq_cst and acq_rel lie on top
# of each other anyway.
STYLES = {  # name: colour, marker, dashes, line width
    "plain": (BLACK, "o", "-", 1.6), "lock": (RED, "o", "-", 2.4),
    "xadd": (ORANGE, "v", "-", 1.2), "seq_cst": (ORANGE, "^", "--", 1.2),
    "acq_rel": (ORANGE, "<", "-.", 1.2), "cas": (ORANGE, "X", ":", 1.6),
    "immortal_plain": (GREY, "s", "-", 1.4), "immortal_lock": (PURPLE, "s", "-", 1.4),
    "cpython313": (BLACK, "p", "--", 1.4), "cpython314": (BLACK, "H", "-.", 1.4),
    "cpython313_none": (BLACK, "p", ":", 1.2), "cpython314_none": (BLACK, "H", ":", 1.2),
    "immortal_plain_none": (GREY, "*", "--", 1.4), "immortal_lock_none": (PURPLE, "*", "--", 1.4),
    "biased": (BLUE, "D", "-", 1.6), "sharded": (GREEN, "P", "-", 1.6),
    "deferred": (SKY, "h", "-", 1.6),
    "lk_inc2006": (RED, "o", "-", 2.4), "lk_ttas": (ORANGE, "v", "-", 1.6),
    "lk_ticket": (GREEN, "s", "-", 1.6), "lk_pthread": (BLUE, "D", "-", 1.6),
    "lk_pymutex": (BLACK, "^", "--", 1.6),
}
OTHER = (GREY, "x", ":", 1.4)
WRONG_LABEL = "hollow: loses counts"


def _style(name):
    return STYLES.get(name, OTHER)


def _lines(axes, rows, x):
    """rows: variant -> cases; one line each, hollow where counts get lost."""
    for name, points in rows.items():
        colour, marker, dashes, width = _style(name)
        xs = [x(case) for case, _ in points]
        ys = [figure.mid for _, figure in points]
        errors = [[f.mid - f.low for _, f in points], [f.high - f.mid for _, f in points]]
        axes.errorbar(xs, ys, yerr=errors, color=colour, linestyle=dashes, linewidth=width,
                      elinewidth=0.8, capsize=1.5, alpha=0.9)
        for wrong in {case.wrong for case, _ in points}:
            chosen = [(x(case), figure.mid) for case, figure in points if case.wrong == wrong]
            axes.plot(*zip(*chosen), marker, color=colour, markersize=5,
                      markerfacecolor="white" if wrong else colour)


def _legend(figure, results, shown):
    """shown: variant -> whether it loses counts somewhere. Beside the panels, by kind."""
    handles = []
    for kind, title in (("refcount", "Reference counts"), ("lock", "Locks")):
        names = [name for name in results.names(kind) if name in shown]
        if names:
            handles.append(_entry(f"$\\bf{{{title.replace(' ', '~')}}}$", linestyle=""))
        for name in names:
            colour, marker, dashes, width = _style(name)
            handles.append(_entry(name, color=colour, marker=marker, linestyle=dashes,
                                  linewidth=width))
    if any(shown.values()):
        handles.append(_entry(WRONG_LABEL, color=BLACK, marker="o", linestyle="",
                              markerfacecolor="white"))
    handles.append(_entry("bars: intervals", color=BLACK, marker="|", linestyle=""))
    figure.legend(handles=handles, loc="outside right upper", labelspacing=0.8)


def _entry(label, **look):
    return Line2D([], [], markersize=5, label=label, **look)


# ---- throughput against threads ----------------------------------------------------------------

def throughput(results):
    """Small multiples: a panel for each pattern, the locks in panels of their own."""
    panels = _throughput_panels(results)
    if not panels:
        return None
    columns = 3
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(11, 2.6 * rows + 0.6), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in list(grid.flat)[len(panels):]:
        axes.set_axis_off()
    ticks = sorted({case.threads for case in results.cases})
    shown = {}
    for axes, (title, op, cases) in zip(grid.flat, panels):
        lines = {}
        for case in cases:
            lines.setdefault(case.variant, []).append((case, case.rate))
            shown[case.variant] = shown.get(case.variant, False) or case.wrong
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlim(ticks[0] / 1.25, ticks[-1] * 1.25)
        _lines(axes, lines, lambda case: case.threads)
        axes.set_title(title, loc="left")
        axes.set_ylabel(f"{op}s a second")
        axes.set_xlabel("threads")
        tidy(axes.xaxis, ticks, lambda x, _: f"{x:g}")
        tidy(axes.yaxis)
    _legend(figure, results, shown)
    return figure


def _throughput_panels(results):
    """(title, op, cases); streams with their largest array."""
    locks = set(results.names("lock"))
    panels, lock_panels = [], []
    for pattern, row in results.patterns.items():
        cases = [case for case in results.cases if case.pattern == pattern]
        sizes = results.sizes(pattern)
        title, op = pattern, row["op"]
        if sizes:
            cases = [case for case in cases if case.size == sizes[-1]]
            title = f"{pattern}, {short(sizes[-1])} objects"
        counts = [case for case in cases if case.variant not in locks]
        taken = [case for case in cases if case.variant in locks]
        if counts:
            panels.append((title, op if op == "read" else "pair", counts))
        if taken:
            lock_panels.append((f"locks, {title}", "lock+unlock", taken))
    return panels + lock_panels


# ---- cost as bars ------------------------------------------------------------------------------

def cost(results):
    """ns per pair: alone, on one shared line, beside neighbours; locks in a panel of their own."""
    n = results.many
    bars = [("private", 1, "alone", SKY)]
    if n is not None:
        bars += [("shared", n, f"shared, {threads(n)}", RED),
                 ("false_sharing", n, f"false sharing, {threads(n)}", ORANGE)]
    kinds = [(title, op, names) for title, op, names in (
        ("reference counts", "pair (inc + dec)", results.names("refcount")),
        ("locks", "lock + unlock", results.names("lock"))) if names]
    kinds = [kind for kind in kinds if any(results.case(bars[0][0], name, bars[0][1])
                                           or n and results.case("shared", name, n)
                                           for name in kind[2])]
    if not kinds:
        return None
    heights = [len(names) + 0.8 for _, _, names in kinds]
    figure = Figure(figsize=(9, 0.52 * sum(heights) + 1.4), layout="constrained")
    panels = figure.subplots(len(kinds), 1, squeeze=False, sharex=True,
                             gridspec_kw={"height_ratios": heights})[:, 0]
    wrong, ends = False, []
    for axes, (title, op, names) in zip(panels, kinds):
        axes.set_xscale("log")
        present = [bar for bar in bars if any(results.case(bar[0], x, bar[1]) for x in names)]
        wrong = _bars(axes, results, names, present, ends) or wrong
        axes.set_title(f"{title}: ns per {op}", loc="left")
        tidy(axes.xaxis)
        axes.tick_params(labelbottom=True)
        axes.grid(axis="y", visible=False)
    panels[0].set_xlim(min(ends) / 2, max(ends) * 1.8)  # the axis is shared
    panels[-1].set_xlabel("nanoseconds, logarithmic; the lines show the intervals")
    handles = [Patch(color=colour, label=label) for _, _, label, colour in bars]
    if wrong:
        handles.append(Patch(facecolor="white", edgecolor=BLACK, hatch="////",
                             label="hatched: loses counts"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _bars(axes, results, names, bars, ends):
    """Draws them, adds their ends to `ends`; whether one loses counts."""
    height, wrong = 0.8 / max(len(bars), 1), False
    for row, name in enumerate(names):
        for i, (pattern, n, _, colour) in enumerate(bars):
            case = results.case(pattern, name, n)
            if case is None:
                continue
            t, y = case.time, row - 0.4 + height * (i + 0.5)
            axes.barh(y, t.mid, height * 0.92, color=colour, hatch="////" if case.wrong else None,
                      edgecolor="white")
            axes.errorbar(t.mid, y, xerr=[[t.mid - t.low], [t.high - t.mid]], color="#333333",
                          elinewidth=0.9, capsize=1.8)
            axes.annotate(number(t.mid), (t.high, y), xytext=(4, 0), textcoords="offset points",
                          va="center", fontsize=6.5)
            ends += [t.low, t.high]
            wrong = wrong or case.wrong
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    return wrong


# ---- streams -----------------------------------------------------------------------------------

def streams(results):
    """ns per pair against the number of objects; a row for each thread count."""
    counts = list(dict.fromkeys((1, results.many or 1)))
    orders = [("stream_seq", "in order"), ("stream_rand", "in random order")]
    panels = {(pattern, n): [case for case in results.cases
                             if case.pattern == pattern and case.threads == n]
              for n in counts for pattern, _ in orders}
    if not any(panels.values()):
        return None
    figure = Figure(figsize=(11, 3.3 * len(counts) + 0.2), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    grid = figure.subplots(len(counts), 2, squeeze=False, sharex=True, sharey=True)
    sizes = [case.size for cases in panels.values() for case in cases]
    grid[0][0].set_xscale("log")  # the axes are shared; and one size alone has no range of its own
    grid[0][0].set_xlim(min(sizes) / 2, max(sizes) * 2)
    shown = {}
    for row, n in zip(grid, counts):
        for axes, (pattern, text) in zip(row, orders):
            lines = {}
            for case in panels[pattern, n]:
                lines.setdefault(case.variant, []).append((case, case.time))
                shown[case.variant] = shown.get(case.variant, False) or case.wrong
            axes.set_yscale("log")
            _lines(axes, lines, lambda case: case.size)
            axes.set_title(f"{text}, {threads(n)}", loc="left")
            axes.set_ylabel("ns per pair")
            axes.set_xlabel("objects in the array")
            axes.tick_params(labelbottom=True, labelleft=True)
            tidy(axes.xaxis)
            tidy(axes.yaxis)
    _legend(figure, results, shown)
    return figure


# ---- files -------------------------------------------------------------------------------------

ALL = {"throughput": throughput, "cost": cost, "streams": streams}


def render(results):
    """key -> (PNG as bytes, SVG as text) of the plots that the run has data for."""
    made = {}
    for key, make in ALL.items():
        salt = f"refcount-{key}"
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **RC, "svg.hashsalt": salt}):
            figure = make(results)
            if figure is not None:
                made[key] = pages.draw(figure, salt)
    return made
