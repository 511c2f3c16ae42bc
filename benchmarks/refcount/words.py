"""Numbers and comparisons in plain words; the wording follows the figures, never a hope."""

from results import compare

# Nearer to 1 than this, even a ratio that is always on one side of 1 is no finding.
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
    """4.10 (3.90 to 4.40)"""
    return f"{number(figure.mid)} ({spread(figure)})"


def nanoseconds(figure):
    return f"{number(figure.mid)} ns" + (f" ({spread(figure)})" if figure.count > 1 else "")


def rate(per_second):
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if per_second >= unit:
            return f"{number(per_second / unit)} {name}/s"
    return f"{number(per_second)} /s"


def count(n):
    return f"{n:,}"


def threads(n):
    return f"{n} thread" if n == 1 else f"{n} threads"


def variant(case):
    return f"`{case.variant}`" + (" (loses counts)" if case.wrong else "")


def listing(items):
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


# ---- comparisons ------------------------------------------------------------------------------

def direction(ratio):
    """1: larger, -1: smaller, 0: cannot be told apart."""
    if ratio.low > TELLABLE:
        return 1
    return -1 if ratio.high < 1 / TELLABLE else 0


def is_wide(ratio):
    return ratio.high / ratio.low > 1.5


def verdict(ratio):
    """Half a sentence on a ratio of times."""
    way = direction(ratio)
    if way > 0:
        return f"slower by a factor of {factor(ratio)}"
    if way < 0:
        return f"faster by a factor of {factor(ratio.inverse())}"
    noisy = ", the samples vary too much" if is_wide(ratio) else ""
    return f"no measurable difference{noisy}: the ratio is {factor(ratio)}"


def versus(a, b, a_name=None, b_name=None):
    """A sentence that compares the times of two cases."""
    a_name, b_name = a_name or variant(a), b_name or variant(b)
    ratio = compare(a, b)
    times = f"{nanoseconds(a.time)} against {nanoseconds(b.time)}"
    way = direction(ratio)
    if way == 0:
        says = verdict(ratio).replace("difference", f"difference from {b_name}", 1)
        return f"{a_name} shows {says}; {times}."
    than = "slower than" if way > 0 else "faster than"
    by = factor(ratio if way > 0 else ratio.inverse())
    return f"{a_name} is {than} {b_name} by a factor of {by}: {times}."


def beside(cases, base, base_name=None):
    """Sentences that sort several cases into slower than, faster than and like `base`."""
    base_name = base_name or variant(base)
    slower, faster, same = [], [], []
    for case in cases:
        ratio = compare(case, base)
        way = direction(ratio)
        if way > 0:
            slower.append(f"{variant(case)} by a factor of {factor(ratio)}")
        elif way < 0:
            faster.append(f"{variant(case)} by a factor of {factor(ratio.inverse())}")
        else:
            same.append(f"{variant(case)} (ratio {number(ratio.mid)}, {spread(ratio)})")
    sentences = []
    if slower:
        sentences.append(f"Slower than {base_name}: {listing(slower)}.")
    if faster:
        sentences.append(f"Faster than {base_name}: {listing(faster)}.")
    if same:
        sentences.append(f"No measurable difference from {base_name}: {listing(same)}.")
    return sentences
