"""The tables of a run. Each function takes a case as it also goes into the JSON."""

from statistics import median

from objtunnel.demo.table import format_table

import scaling
from report import format_range, format_value
from targets import ratios


def print_case(name, case):
    """Each way, and how many times as long as the first it takes."""
    first = next(iter(case["ways"].values()))
    rows = []
    for way, samples in case["ways"].items():
        times = ratios(samples, first)
        rows.append((way, format_ns(median(samples)), format_ns_range(samples),
                     f"{1 / median(samples):,.0f}", format_value(median(times)),
                     format_range(times), str(len(samples))))
    print(f"\n{name}: {case['what']}\n")
    print(format_table(("way", "once", "min .. max", "a second", "times the first", "min .. max",
                        "reps"), rows))
    print_missing(case)


def print_scaling(name, case):
    """What two workers get done, as a multiple of one and as a share of the control."""
    rows = []
    for way, samples in case["ways"].items():
        factor, share = scaling.factors(samples), scaling.shares(samples, case["control"])
        rows.append((way, format_ns(median(scaling.alone(samples))),
                     format_ns(median(scaling.together(samples))),
                     format_value(median(factor)), format_range(factor),
                     f"{median(share):.0%}", f"{min(share):.0%} .. {max(share):.0%}",
                     str(len(factor))))
    print(f"\n{name}: {case['what']}\n")
    print(format_table(("way", "one worker", "two", "times one", "min .. max",
                        "of the control", "min .. max", "reps"), rows))
    print_missing(case)


def print_missing(case):
    for way, why in case["missing"].items():
        print(f"  not measured: {way}: {why}")


def format_ns(seconds):
    """1.2 ns, 345 ns, 6.78 us: a nanosecond has a decimal here."""
    ns = seconds * 1e9
    for unit, size in (("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.1f} ns" if ns < 100 else f"{ns:.0f} ns"


def format_ns_range(samples):
    return f"{format_ns(min(samples))} .. {format_ns(max(samples))}" if len(samples) > 1 else "-"
