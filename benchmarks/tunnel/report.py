"""The tables. Each function takes the cases as they also go into the JSON, times in seconds."""

from statistics import median

from objtunnel.demo.table import format_spread, format_table, format_time


def print_transfers(cases):
    """send + recv beside a pickle round trip, and put + get where there is such a queue."""
    header = ["case", "send", "recv", "tunnel", "min .. max", "pickle", "min .. max", "ratio",
              "reps", "target"]
    with_queue = any("queue" in case for case in cases.values())
    if with_queue:
        header.insert(8, "interpreters.Queue")
    rows = []
    for name, case in cases.items():
        tunnel, pickle = case["tunnel"]["total"], case["pickle"]["total"]
        row = [name, format_time(median(case["tunnel"]["send"])),
               format_time(median(case["tunnel"]["recv"])), format_time(median(tunnel)),
               format_spread(tunnel), format_time(median(pickle)), format_spread(pickle),
               f"{_ratio(pickle, tunnel):.1f}x", str(len(tunnel)), _format_target(case)]
        if with_queue:
            row.insert(8, _format_queue(case))
        rows.append(row)
    print("\nMoving a tree: send + recv beside a pickle round trip (medians)\n")
    print(format_table(header, rows))
    for name, case in cases.items():
        last = case["receipt"]
        print(f"  {name}: moved {last['moved']:,}, copied {last['copied']:,}, pickled "
              f"{last['pickled']:,} objects; its pickle {case['pickle_bytes'] / 1e6:,.1f} MB")


def print_afterwards(cases):
    """What a received tree costs its receiver later, beside one of the receiver's own."""
    rows = []
    for name, case in cases.items():
        row = [name]
        for what in ("first_pass", "delete"):
            received, own = case["tunnel"][what], case["own"][what]
            if received[0] is None:
                row += ["-", "-", "-"]
            else:
                row += [format_time(median(received)), format_time(median(own)),
                        f"{_ratio(received, own):.2f}x"]
        rows.append((*row, str(len(case["own"]["delete"]))))
    print("\nAfterwards, in the receiver: a tree that was received beside one of its own "
          "(medians)\n")
    print(format_table(("case", "first pass", "own", "received/own", "delete", "own",
                        "received/own", "reps"), rows))


def print_round_trips(case):
    """Percentiles over all round trips; the spread is that of the repetitions' medians."""
    rows = []
    for way, samples in case["ways"].items():
        rows.append((
            way, *(format_time(samples[q]) for q in ("p50", "p90", "p99")),
            format_spread(samples["medians"]), f"{samples['rounds']:,}",
            _met(samples["p50"] < case["target_seconds"],
                 f"p50 < {format_time(case['target_seconds'])}") if way == "Tunnel()" else ""))
    print("\nping_pong: round trips of a small list, [str, int, float]\n")
    print(format_table(("way", "p50", "p90", "p99", "medians min .. max", "round trips",
                        "target"), rows))


def print_streams(case):
    """Messages one way, a consumer at the other end."""
    rows = []
    for way, samples in case["ways"].items():
        each = [t / samples["messages"] for t in samples["times"]]
        rows.append((way, format_time(median(each)), format_spread(each),
                     f"{1 / median(each):,.0f}", f"{samples['messages']:,}", str(len(each))))
    print("\nthroughput: small lists one way\n")
    print(format_table(("way", "a message", "min .. max", "messages/s", "messages", "reps"), rows))


def print_control(control):
    low, mid, high = min(control["samples"]), median(control["samples"]), max(control["samples"])
    print(f"\ncontrol: {control['threads']} independent C threads did {mid:.2f} times the work of "
          f"one during this run ({low:.2f} .. {high:.2f}, {len(control['samples'])} samples)")


def _format_queue(case):
    return format_time(median(case["queue"]["total"])) if "queue" in case else "-"


def _format_target(case):
    if case["target_ratio"] is not None:
        met = _ratio(case["pickle"]["total"], case["tunnel"]["total"]) >= case["target_ratio"]
        return _met(met, f">= {case['target_ratio']:g}x")
    if case["target_seconds"] is not None:
        met = median(case["tunnel"]["total"]) < case["target_seconds"]
        return _met(met, f"< {format_time(case['target_seconds'])}")
    return ""


def _met(met, target):
    return f"{target} {'met' if met else 'MISSED'}"


def _ratio(a, b):
    return median(a) / median(b)
