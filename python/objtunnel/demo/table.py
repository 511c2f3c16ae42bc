"""Figures as text: durations with units, and tables with aligned columns."""


def format_time(seconds):
    """Three significant digits and a unit that suits: 1.23 s, 12.3 ms, 4.56 us, 78 ns."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size * 0.9995:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def format_spread(seconds):
    """The least and the greatest, "-" if there is one value only."""
    if len(seconds) < 2:
        return "-"
    return f"{format_time(min(seconds))} .. {format_time(max(seconds))}"


def format_table(header, rows, indent=""):
    """Lines of text; the first column is aligned left, the others right."""
    cells = [header, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [_format_row(row, widths) for row in cells]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(indent + line.rstrip() for line in lines)


def _format_row(row, widths):
    first, *others = (cell.rjust(width) if i else cell.ljust(width)
                      for i, (cell, width) in enumerate(zip(row, widths)))
    return "  ".join([first, *others])


def _three_digits(x):
    return f"{x:.2f}" if x < 9.995 else f"{x:.1f}" if x < 99.95 else f"{x:.0f}"
