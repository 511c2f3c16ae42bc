"""The tables. Each function takes the cases as they also go into the JSON, times in seconds."""

from statistics import median

from objtunnel.demo.table import format_spread, format_table, format_time

from targets import ratios


def print_transfers(cases):
    """send + recv beside a pickle round trip, and put + get where there is such a queue."""
    header = ["case", "size", "send", "recv", "tunnel", "min .. max", "pickle", "ratio",
              "min .. max", "reps"]
    with_queue = any("queue" in case for case in cases.values())
    if with_queue:
        header[9:9] = ["interpreters.Queue", "ratio", "min .. max"]
    rows = []
    for name, case in cases.items():
        tunnel = case["tunnel"]["total"]
        row = [name, f"{case['size']:,}", format_time(median(case["tunnel"]["send"])),
               format_time(median(case["tunnel"]["recv"])), format_time(median(tunnel)),
               format_spread(tunnel), *_beside(case, "pickle")]
        if with_queue:
            row += _beside(case, "queue")
        rows.append([*row, str(len(tunnel))])
    print("\nMoving a tree: send + recv, a pickle round trip beside it (medians; the ratio is the "
          "median of the repetitions')\n")
    print(format_table(header, rows))
    for name, case in cases.items():
        last = case["receipt"]
        print(f"  {name}: moved {last['moved']:,}, copied {last['copied']:,}, pickled "
              f"{last['pickled']:,} objects; its pickle {case['pickle_bytes'] / 1e6:,.1f} MB")
    print_floors(cases)


def print_floors(cases):
    """Beside a walk in C that reads refcounts and types, and beside handing over a pointer."""
    for name, case in cases.items():
        if "loop" in case:
            factor = ratios(case["tunnel"]["total"], case["loop"]["total"])
            print(f"  {name}: a bare loop in C that reads each object's refcount and type takes "
                  f"{format_time(median(case['loop']['total']))}; send + recv {median(factor):.2f} "
                  f"times that ({format_range(factor)})")
        if "handed" in case:
            print(f"  {name}: queue.SimpleQueue hands the pointer over within one interpreter in "
                  f"{format_time(median(case['handed']['total']))}")


def print_afterwards(cases):
    """What a received tree costs its receiver later, beside one of the receiver's own."""
    rows = []
    for name, case in cases.items():
        row = [name]
        for what in ("first_pass", "delete"):
            received, own = case["tunnel"][what], case["own"][what]
            if received[0] is None:
                row += ["-", "-", "-", "-"]
            else:
                row += _compare(received, own)
        rows.append((*row, str(len(case["own"]["delete"]))))
    print("\nAfterwards, in the receiver: a tree that was received beside one of its own "
          "(medians)\n")
    print(format_table(("case", "first pass", "own", "received/own", "min .. max", "delete", "own",
                        "received/own", "min .. max", "reps"), rows))


def print_memory(memory):
    """What send() takes beside the tree."""
    rows = []
    for name, case in memory["cases"].items():
        each = f"{case['asked'] / case['containers']:,.1f}"
        resident = case["resident"]
        rows.append((name, f"{case['containers']:,}", f"{case['asked']:,}", each,
                     f"{case['kept']:,}", f"{case['blocks']:,}",
                     "-" if resident is None else f"{resident:,}"))
    if rows:
        print("\nMemory that send takes beside the tree, in bytes: at most, for each container of "
              "the tree, while\nunder way; blocks allocated; and how far resident memory rose\n")
        print(format_table(("case", "containers", "at most", "each", "under way", "blocks",
                            "resident"), rows))


def print_heap(cases):
    """Trees that another thread frees."""
    rows = []
    for name, case in cases.items():
        builder, receiver = case["builder"], case["receiver"]
        rows.append((name, *_compare(receiver["delete"], builder["delete"]),
                     *_compare(receiver["build"], builder["build"]),
                     str(len(builder["build"]))))
    print("\nThe heap: the receiver deletes what it received untouched, beside the builder "
          "deleting it itself;\nand the build after that (medians)\n")
    print(format_table(("case", "receiver deletes", "builder does", "ratio", "min .. max",
                        "next build", "after own", "ratio", "min .. max", "reps"), rows))


def print_round_trips(case):
    """Percentiles over all round trips; the spread is that of the repetitions' medians."""
    rows = []
    for way, samples in case["ways"].items():
        rows.append((way, *(format_time(samples[q]) for q in ("p50", "p90", "p99")),
                     format_spread(samples["medians"]), f"{samples['rounds']:,}"))
    print("\nping_pong: round trips of a small list, [str, int, float], or of None\n")
    print(format_table(("way", "p50", "p90", "p99", "medians min .. max", "round trips"), rows))


def print_streams(case):
    """Messages one way, a consumer at the other end."""
    rows = []
    for way, samples in case["ways"].items():
        each = [t / samples["messages"] for t in samples["times"]]
        rows.append((way, format_time(median(each)), format_spread(each),
                     f"{1 / median(each):,.0f}", f"{samples['messages']:,}", str(len(each))))
    print("\nthroughput: small lists, or None, one way\n")
    print(format_table(("way", "a message", "min .. max", "messages/s", "messages", "reps"), rows))


def print_floor(cases):
    """The channel without Python."""
    if cases:
        rows = [(name, format_time(median(times) / 1e9),
                 format_spread([t / 1e9 for t in times]), str(len(times)))
                for name, times in cases.items()]
        print("\nfloor: a message without Python; a block is one of mimalloc's\n")
        print(format_table(("case", "a message", "min .. max", "reps"), rows))


def print_targets(figures):
    """All figures that have a target; nothing fails because of one."""
    rows = [(f.case, f.what, format_value(f.value, f.unit),
             format_interval(f), format_target(f), "met" if f.met else "MISSED")
            for f in figures]
    if rows:
        print("\nTargets\n")
        print(format_table(("case", "figure", "median", "interval", "target", ""), rows))


def print_control(control):
    low, mid, high = min(control["samples"]), median(control["samples"]), max(control["samples"])
    print(f"\ncontrol: {control['threads']} independent C threads did {mid:.2f} times the work of "
          f"one during this run ({low:.2f} .. {high:.2f}, {len(control['samples'])} samples)")


# ---- cells ---------------------------------------------------------------------------------------

def format_value(value, unit="x"):
    """2.35x, 1.23 ms, 1,200,000/s, 7.9 B."""
    if unit == "s":
        return format_time(value)
    if unit == "x":
        return f"{value:,.0f}x" if value >= 1000 else f"{value:.3g}x"
    return f"{value:,.0f}{unit}" if unit == "/s" else f"{value:,.1f} {unit}"


def format_range(samples, unit="x"):
    """The least and the greatest, "-" if there is one value only."""
    if len(samples) < 2:
        return "-"
    return f"{format_value(min(samples), unit)} .. {format_value(max(samples), unit)}"


def format_interval(figure):
    """Of the median of a figure that has a target."""
    return format_range([figure.interval.low, figure.interval.high] if len(figure.samples) > 1
                        else figure.samples, figure.unit)


def format_target(figure):
    return f"{'>=' if figure.at_least else '<='} {format_value(figure.target, figure.unit)}"


def _beside(case, peer):
    """Its time, and how many times faster the tunnel was."""
    if peer not in case:
        return ["-"] * 3
    faster = ratios(case[peer]["total"], case["tunnel"]["total"])
    return [format_time(median(case[peer]["total"])), format_value(median(faster)),
            format_range(faster)]


def _compare(received, own):
    factor = ratios(received, own)
    return [format_time(median(received)), format_time(median(own)), f"{median(factor):.2f}x",
            format_range(factor)]
