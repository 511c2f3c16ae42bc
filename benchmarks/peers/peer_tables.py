"""Tables of what bench_peers.py has measured, for the terminal and, by `make report-peers`, as a page.

    make report-peers                             # every docs/results/peers-*.json
    make report-peers REPORT_ARGS="a.json b.json -o /tmp"
"""

import itertools
import sys
from pathlib import Path
from statistics import median

from objtunnel.demo.table import format_table, format_time

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "common"))
import files  # noqa: E402
from formats import number  # noqa: E402
from intervals import ENOUGH_CORES  # noqa: E402

WAYS = ("serial", "objtunnel", "tunnels", "interpreters", "queues", "processes", "threads", "free-threaded", "bocpy",
        "extrainterpreters")


def beside_a_good_control(record):
    """The record without the repetitions whose control got less than it should: something else ran beside them. A
    workload that has lost half of them has no figures. A smoke run measures nothing and keeps all."""
    if record["smoke"]:
        return record
    return {**record, "workloads": {name: _kept(case, record["workers"]) for name, case in record["workloads"].items()}}


def _kept(case, workers):
    good = [control >= ENOUGH_CORES * workers for control in case["control"]]
    lost = good.count(False)
    if not lost:
        return case
    if 2 * lost >= len(good):
        return {**case, "times": {}, "memory": {},
                "left_out": {**case["left_out"], "all": f"{lost} of {len(good)} repetitions ran beside a bad control"}}
    kept = {field: {way: list(itertools.compress(values, good)) for way, values in case[field].items()}
            for field in ("times", "memory")}
    return {**case, **kept, "control": list(itertools.compress(case["control"], good)),
            "left_out": {**case["left_out"], "all": f"{lost} of {len(good)} repetitions, whose control was bad"}}


def ratios(case, way):
    """How many times faster than serial, one of each repetition."""
    return [serial / own for serial, own in zip(case["times"]["serial"], case["times"][way])]


def spread(found):
    return f"{number(median(found))} ({number(min(found))} to {number(max(found))})"


def cell(case, way):
    """Median time, and the speed-up with the least and the greatest."""
    if way not in case["times"]:
        return "-"
    time = format_time(median(case["times"][way]))
    if way == "serial":
        return time
    found = ratios(case, way)
    slower = median(found) < 1
    return f"{time}, {spread(found)}{': slower' if slower else ''}"


def megabytes(case, way):
    return f"{median(case['memory'][way]) / 1e6:.0f}" if way in case["memory"] else "-"


def share(case, way):
    """The speed-up as a share of what independent C threads got."""
    return f"{100 * median(ratios(case, way)) / median(case['control']):.0f} %" if way in case["times"] else "-"


def commits(record):
    """The commits that it was measured on, each with its workloads if there are several."""
    by_commit = {}
    for name, case in record["workloads"].items():
        by_commit.setdefault(case.get("commit", record["machine"]["commit"]), []).append(name)
    if len(by_commit) == 1:
        return f"commit {next(iter(by_commit))}"
    return "; ".join(f"commit {commit}: {', '.join(names)}" for commit, names in by_commit.items())


def tables(record):
    """(title, header, rows) of each."""
    cases = record["workloads"]
    used = [way for way in WAYS if any(way in case["times"] for case in cases.values())]
    parallel = [way for way in used if way != "serial"]
    yield ("Total time, and how many times faster than one after the other",
           ["", *used, "control"],
           [[name, *(cell(case, way) for way in used), f"{median(case['control']):.2f}"] for name, case in cases.items()])
    yield ("Speed-up as a share of the control", ["", *parallel],
           [[name, *(share(case, way) for way in parallel)] for name, case in cases.items()])
    yield ("Memory at the peak, MB", ["", *used],
           [[name, *(megabytes(case, way) for way in used)] for name, case in cases.items()])


def left_out(record):
    """Why a way has no figure, one line each."""
    for name, case in record["workloads"].items():
        for way, reason in case["left_out"].items():
            yield f"{name}, {way}: {reason}"


def as_text(record):
    record = beside_a_good_control(record)
    parts = [f"{title}:\n{format_table(tuple(header), [tuple(row) for row in rows])}" for title, header, rows in tables(record)]
    return "\n\n".join(["", *parts, "\n".join(["left out:", *left_out(record)])])


def context(records):
    records = [beside_a_good_control(record) for record in records]
    return {"parts": [{"record": record, "tables": list(tables(record)), "left_out": list(left_out(record)),
                       "commits": commits(record)}
                      for record in records]}


# ---- README.md -----------------------------------------------------------------------------------

BEGIN, END = "<!-- by make report-peers -->\n", "<!-- end -->\n"


def readme_cell(case, way):
    if way not in case["times"]:
        return "cannot" if case["times"] else "-"
    found = ratios(case, way)
    return f"**{spread(found)}**" if median(found) < 1 else spread(found)


def readme_table(record):
    """How many times faster than serial; what is slower is bold."""
    record = beside_a_good_control(record)
    used = [way for way in WAYS[1:] if any(way in case["times"] for case in record["workloads"].values())]
    lines = [["", *used, "control"], ["---"] * (len(used) + 2)]
    for name, case in record["workloads"].items():
        lines.append([name, *(readme_cell(case, way) for way in used), f"{median(case['control']):.2f}"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def insert(text, table):
    return files.insert(text, "README.md", BEGIN, END, table)


def main(arguments=None):
    import pages  # needs libraries that only pages need
    import peer_plots
    status = pages.make(arguments, __doc__.splitlines()[0], "peers-*.json", 1, HERE / "peers.md.j2", context,
                        peer_plots.render)
    if not arguments and status == 0:
        readme, newest = HERE.parents[1] / "README.md", sorted(pages.RESULTS.glob("peers-*.json"))[-1]
        readme.write_text(insert(readme.read_text(encoding="utf-8"), readme_table(pages.load(newest, 1))), encoding="utf-8")
        print(f"page: {readme}")
    return status


if __name__ == "__main__":
    sys.exit(main())
