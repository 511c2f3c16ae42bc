"""What the page of `make lab-counts` shows: rows of tables, computed from its results."""

from formats import number, percent

SHOWN = 5
WATCHED = ("None", "True", "False", "0", "1", "2")
GROUPS = ("None", "True and False", "small ints", "types", "strings", "others")
NOTES = {
    "histogram": "CPython 3.12 and later leave out counts where the object is immortal, so None and the "
                 "small ints drift: this is not what 2006 counted.",
    "histogram-2006": "An object whose counts up and down differ by more than 1 % of them, and by more than 0.1 % "
                      "of all counts of the run, is in bold: there the variant does not count as 2006 did.",
}


def context(counts, name):
    return {"name": name, "counts": counts, "hottest": hottest(counts), "lines": lines(counts),
            "types": types(counts), "balance": balance(counts), "balance_note": NOTES[counts.variant],
            "balance_names": [f"`{who}`" for who in WATCHED]}


def hottest(counts):
    rows = []
    for workload in counts.workloads:
        immortal, mortal = (counts.total(workload, kind) for kind in ("immortal", "mortal"))
        shares = "; ".join(f"`{who}` ({kind}) {percent(share)}"
                           for who, kind, share in counts.shares(workload)[:SHOWN] if share)
        rows.append([f"`{workload}`", number(immortal + mortal),
                     percent(immortal / (immortal + mortal)) if immortal + mortal else "-", shares or "-"])
    return rows


def lines(counts):
    rows = []
    for workload, counted in counts.workloads.items():
        total = counts.total(workload, "immortal")
        cells = [f"{', '.join(f'`{who}`' for who in line['who'][:3])} {percent(line['counts'] / total)}"
                 for line in counted["lines"][:3] if total]
        rows.append([f"`{workload}`", *cells, *["-"] * (3 - len(cells))])
    return rows


def types(counts):
    rows = []
    for workload, counted in counts.workloads.items():
        total = counts.total(workload, "mortal")
        of = "; ".join(f"`{row['who']}` {percent((row['up'] + row['down']) / total)}"
                       for row in counted["types"][:SHOWN] if total and row["up"] + row["down"])
        rows.append([f"`{workload}`", number(total), of or "-"])
    return rows


def balance(counts):
    rows = []
    for workload in counts.workloads:
        rows.append([f"`{workload}`", *(drift_cell(counts, workload, who) for who in WATCHED)])
    return rows


def drift_cell(counts, workload, who):
    drift = counts.drift(workload, who)
    if drift is None:
        return "-"
    return f"{drift:+.1%}" if counts.balanced(workload, who) else f"**{drift:+.1%}**"


def group_of(who, kind):
    if who == "None":
        return "None"
    if kind == "bool":
        return "True and False"
    return {"int": "small ints", "type": "types", "str": "strings"}.get(kind, "others")


def shares_by_group(counts, workload):
    """{group: share of the counts of immortal objects}; what is not among the hottest is with others."""
    found = dict.fromkeys(GROUPS, 0.0)
    for who, kind, share in counts.shares(workload):
        found[group_of(who, kind)] += share
    if counts.total(workload, "immortal"):
        found["others"] += max(0.0, 1 - sum(found.values()))
    return found
