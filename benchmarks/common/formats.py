"""Figures as text, for tables and pages. Templates have these as filters (pages.py)."""

from statistics import median

# Nearer to 1 than this, even a ratio whose interval is on one side of 1 is no finding: how a compiler
# happens to lay out the code moves times by as much.
TELLABLE = 1.02


def number(x):
    """Three significant digits: 0.52, 5.32, 12.4, 1,234."""
    size = abs(x)
    if size < 0.995:
        return f"{x:.2g}" if size < 0.0995 else f"{x:.2f}"
    return f"{x:.2f}" if size < 9.995 else f"{x:.1f}" if size < 99.95 else f"{x:,.0f}"


def spread(figure):
    return "one sample" if figure.count == 1 else f"{number(figure.low)} to {number(figure.high)}"


def factor(figure):
    """4.10 (3.90 to 4.40); a dash where there is none."""
    return "-" if figure is None else f"{number(figure.mid)} ({spread(figure)})"


def nanoseconds(figure):
    if figure is None:
        return "-"
    return f"{number(figure.mid)} ns" + (f" ({spread(figure)})" if figure.count > 1 else "")


def rate(per_second):
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if per_second >= unit:
            return f"{number(per_second / unit)} {name}/s"
    return f"{number(per_second)} /s"


def rates(figure):
    """Of a Figure of rates: with its interval."""
    return "-" if figure is None else f"{rate(figure.mid)} ({spread(figure)})"


def percent(x):
    """12 %, 0.34 %."""
    return f"{number(100 * x)} %"


def count(n):
    return f"{n:,}"


def threads(n):
    return f"{n} thread" if n == 1 else f"{n} threads"


def listing(items):
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def direction(ratio):
    """1: larger, -1: smaller, 0: cannot be told apart."""
    if ratio.low > TELLABLE:
        return 1
    return -1 if ratio.high < 1 / TELLABLE else 0


def verdict(ratio):
    """Of a ratio of times, in a word."""
    if ratio is None:
        return "-"
    return {1: "slower", -1: "faster", 0: "not told from 1"}[direction(ratio)]


def detectable(ratio):
    """The smallest change that this run could have told from none: ±3 %."""
    return "-" if ratio is None or ratio.level == 0 else f"±{number(100 * (ratio.detectable - 1))} %"


def version(record):
    """Of the Python that made it."""
    return record["machine"]["python"].split()[0]


def extremes(samples, form="%.2f", to="to"):
    """The median with the least and the greatest: 1.97 (1.95 to 1.99)."""
    return f"{form % median(samples)} ({form % min(samples)} {to} {form % max(samples)})"


def row(cells):
    """A line of a table in Markdown."""
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


FILTERS = {f.__name__: f for f in (number, spread, factor, nanoseconds, rate, rates, percent, count, threads,
                                   listing, verdict, detectable, version, extremes, row)}
