"""Tables of what bench_stream.py has measured, for the terminal and, by `make report-stream`, as a page.

    make report-stream                            # every docs/results/stream-*.json
    make report-stream REPORT_ARGS="a.json b.json -o /tmp"
"""

import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "common"))
from intervals import Figure  # noqa: E402

from objtunnel.demo.table import format_table, format_time

NOTES = {
    "round_trip": "A list of one int to another interpreter and back, one after the other, as a coroutine waits for it. "
                  "asyncio.Queue stays in one interpreter; recv without a loop is the floor.",
    "pipeline": "JSON texts, parsed in one stage and written in the next. Times include starting and ending the interpreters. "
                "The share is that of what independent C threads got in the same minute.",
    "frames": "Frames of (1080, 1920, 3) bytes. The producer makes each by copying a picture, which every way's time contains; the "
              "consumer reads two corners. The tunnel's is another interpreter, the others' another process.",
}
SERIAL = "one after the other"


def spread(values, form):
    return f"{form(median(values))} ({form(min(values))} to {form(max(values))})"


def rate(values):
    return spread([1 / seconds for seconds in values], lambda n: f"{n:,.0f}" if n >= 100 else f"{n:.1f}")


def ratios(case, way, to):
    """How many times faster, one of each repetition."""
    return [other / own for other, own in zip(case["times"][to], case["times"][way])]


def round_trip(case):
    yield ["way", "a round trip"]
    for way, times in case["times"].items():
        yield [way, spread(times, format_time)]


def pipeline(case):
    yield ["way", "a text", "texts a second", "times one after the other", "share of the control"]
    for way, times in case["times"].items():
        row = [way, spread(times, format_time), rate(times)]
        if way != SERIAL and SERIAL in case["times"]:
            faster = ratios(case, way, SERIAL)
            share = Figure.of([own / control for own, control in zip(faster, case["control"])])
            row += [spread(faster, "{:.2f}".format), f"{share.mid:.2f} ({share.low:.2f} to {share.high:.2f})"]
        yield row + ["-"] * (5 - len(row))


def frames(case):
    yield ["way", "frames a second", "a frame", "the tunnel's times as fast"]
    for way, times in case["times"].items():
        faster = spread(ratios(case, "tunnel", way), "{:.2f}".format) if way != "tunnel" and "tunnel" in case["times"] else "-"
        yield [way, rate(times), spread(times, format_time), faster]


TABLES = {"round_trip": round_trip, "pipeline": pipeline, "frames": frames}


def tables(record):
    """(name, case, header, rows) of each."""
    for name, case in record["cases"].items():
        header, *rows = TABLES[name](case)
        yield name, case, header, rows


def left_out(case):
    return [f"left out: {way}: {reason}" for way, reason in case["left_out"].items()]


def as_text(record):
    parts = []
    for name, case, header, rows in tables(record):
        parts += ["\n".join([f"{name} ({case['items']} a repetition, control {median(case['control']):.2f})",
                             format_table(tuple(header), [tuple(row) for row in rows]), *left_out(case)])]
    return "\n\n".join(["", *parts])


def context(records):
    return {"notes": NOTES, "parts": [
        {"record": record, "tables": [(name, case, header, rows, left_out(case)) for name, case, header, rows in tables(record)]}
        for record in records]}


def main(arguments=None):
    import pages  # needs libraries that only pages need
    return pages.make(arguments, __doc__.splitlines()[0], "stream-*.json", 1, HERE / "stream.md.j2", context)


if __name__ == "__main__":
    sys.exit(main())
