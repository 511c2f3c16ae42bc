"""How plots look: colours, fonts, ticks; for all benchmarks."""

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

# Okabe and Ito's colours, which the colour-blind can tell apart.
BLACK, GREY, ORANGE, SKY, GREEN, BLUE, RED, PURPLE, YELLOW = (
    "#000000", "#8a8a8a", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7", "#f0e442")
RC = {"font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold", "axes.spines.top": False,
      "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
      "grid.color": "#e3e3e3", "grid.linewidth": 0.7, "legend.frameon": False,
      "figure.facecolor": "white", "svg.fonttype": "path", "path.simplify": False,
      "hatch.linewidth": 0.6, "font.family": "DejaVu Sans"}


def tidy(axis, ticks=None, text=None):
    """Plain numbers on a logarithmic axis, more of them where it is short."""
    low, high = axis.get_view_interval()
    if high / low < 30:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
    axis.set_major_formatter(FuncFormatter(text or (lambda x, _: short(x))))
    axis.set_minor_formatter(NullFormatter())
    if ticks:
        axis.set_ticks(ticks)
        axis.set_minor_locator(NullLocator())


def short(x):
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if x >= unit:
            return f"{x / unit:g} {name}"
    return f"{x:g}"
