"""Who is counted: for each workload how often a run counts references, of which objects.

    make lab-counts                                   # builds VARIANT=histogram and shows it
    make lab-counts BENCH_ARGS="--json docs/results/counts-cp313.json"
    make lab-counts RECORDER=histogram-2006 BENCH_ARGS="--json docs/results/counts-2006-cp313.json"

Runs in a Python that records (VARIANT=histogram, histogram-2006). Counts are no times: they are the same
on a busy machine, and on another one. An immortal object has a row of its own, named by its repr; mortal
ones one for each type. Cache lines have 64 bytes, so neighbours wander together: `lines` adds them up.
A turn begins when the count of an immortal object is on another line than the one before: that is how
often a run comes to a line. `turns` has those of all lines.

Balance: counts up less counts down. In a world that counts everything it is nothing for None and the
small ints; where CPython leaves counts out because the object is immortal, it is not.
"""

import argparse
import collections
import ctypes
import datetime
import os
import subprocess
import sys
import sysconfig

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "benchmarks", "common")]
import files  # noqa: E402
import workloads  # noqa: E402

SCHEMA = 1
ROWS = 16384  # OT_LAB_ROWS of histogram.h
LINE = 64
MOST = 12  # objects, lines and types of a workload that are kept


class Row(ctypes.Structure):
    _fields_ = [("who", ctypes.c_void_p), ("up", ctypes.c_long), ("down", ctypes.c_long),
                ("turns", ctypes.c_long)]


class Table(ctypes.Structure):
    _fields_ = [("on", ctypes.c_long), ("lost", ctypes.c_long), ("line", ctypes.c_void_p), ("immortal", Row * ROWS),
                ("mortal", Row * ROWS)]


def name_of(address):
    """(repr, type) of a living object."""
    who = ctypes.cast(address, ctypes.py_object).value
    text = who.__qualname__ if isinstance(who, type) else repr(who)
    return (text if len(text) <= 40 else text[:37] + "..."), type(who).__name__


def record(run, runs):
    """{"immortal": {address: (up, down, turns)}, "mortal": ...} of so many runs."""
    library = ctypes.pythonapi
    table = Table.in_dll(library, "ot_lab_histogram")
    library.ot_lab_histogram_begin()
    for _ in range(runs):
        run()
    library.ot_lab_histogram_end()
    if table.lost:
        raise SystemExit(f"histogram: {table.lost} counts found no row: OT_LAB_ROWS is too small")
    return {kind: {row.who: (row.up, row.down, row.turns) for row in getattr(table, kind) if row.who}
            for kind in ("immortal", "mortal")}


def summary(found, runs):
    """What a run counts, as it goes into the results file."""
    def total(rows):
        return {"up": sum(row[0] for row in rows.values()) / runs,
                "down": sum(row[1] for row in rows.values()) / runs}

    def top(rows):
        hottest = sorted(rows.items(), key=lambda row: -sum(row[1][:2]))[:MOST]
        return [dict(zip(("who", "type"), name_of(address)), up=up / runs, down=down / runs)
                for address, (up, down, _) in hottest]

    lines = collections.defaultdict(lambda: [0, 0, []])
    for address, (up, down, turns) in found["immortal"].items():
        line = lines[address // LINE]
        line[0] += (up + down) / runs
        line[1] += turns / runs
        line[2].append((-up - down, address))
    hottest = sorted(lines.values(), key=lambda line: -line[0])[:MOST]
    turns = sorted((line[1] for line in lines.values() if line[1] >= 1), reverse=True)
    return {"immortal": total(found["immortal"]), "mortal": total(found["mortal"]),
            "objects": top(found["immortal"]), "types": top(found["mortal"]),
            "lines": [{"counts": counts, "turns": times, "who": [name_of(a)[0] for _, a in sorted(who)]}
                      for counts, times, who in hottest],
            "turns": turns}


def measure(make, runs):
    run = make()
    for _ in range(20):  # the specialising interpreter settles
        run()
    nothing = record(lambda: None, runs)  # the loop itself
    found = record(run, runs)
    for kind, rows in nothing.items():
        for who, loops in rows.items():
            before = found[kind].get(who, (0, 0, 0))
            found[kind][who] = tuple(max(0, all_ - own) for all_, own in zip(before, loops))
    return summary(found, runs)


def show(name, counted, out):
    immortal, mortal = (sum(counted[kind].values()) for kind in ("immortal", "mortal"))
    out.write(f"\n{name}: {immortal + mortal:,.0f} counts a run, {immortal / (immortal + mortal):.0%} of them "
              "of immortal objects\n")
    for row in counted["objects"][:7]:
        both = row["up"] + row["down"]
        out.write(f"    {row['who']:40} {row['type']:12} {both / immortal:6.1%} of these; up {row['up']:,.0f}, "
                  f"down {row['down']:,.0f}\n")


def lab_tree():
    """git's name of the folder lab/, on which counts depend, in whatever commit; with a + if something has
    changed since; None without git. `git log --find-object=NAME` finds the commits."""
    def git(*command):
        done = subprocess.run(["git", "-C", HERE, *command], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None
    here = git("rev-parse", "--short=12", "HEAD:lab")
    return here and here + ("+" if git("status", "--porcelain") else "")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--filter", default="", help="only workloads whose name has this in it")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args(arguments)
    chosen = {name: make for name, make in workloads.ALL.items() if options.filter in name}
    if not chosen:
        print(f"histogram: no workload has {options.filter!r} in its name; there are {', '.join(workloads.ALL)}", file=sys.stderr)
        return 2
    variant = sysconfig.get_config_var("OT_LAB_VARIANT")
    if not hasattr(ctypes.pythonapi, "ot_lab_record"):
        print("histogram: this Python does not record; make lab-counts runs one that does", file=sys.stderr)
        return 2
    tree = lab_tree()
    if options.json and (tree or "+").endswith("+"):
        print("histogram: --json wants a git checkout without changes: commit them, or leave it out",
              file=sys.stderr)
        return 2
    counted = {}
    for name, make in chosen.items():
        counted[name] = measure(make, options.runs)
        show(name, counted[name], sys.stdout)
    if options.json:
        whole = {"schema": SCHEMA, "kind": "counts", "variant": variant, "lab_tree": tree,
                 "version": sys.version.split()[0], "runs": options.runs,
                 "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
                 "workloads": counted}
        files.write_json(options.json, whole)
    return 0


if __name__ == "__main__":
    sys.exit(main())
