"""What the laboratory says in short: a row for each claim, a column for each machine."""

import lab_page
import predict
from formats import factor, number, spread
from lab_results import BASE, THREADED

PREDICTED = (16, 64)


def context(runs, counts):
    """runs: {name: Results}; counts as in lab_page.context."""
    return {"machines": [f"[{name}](results/{name}.md)" for name in runs],
            "rows": [[claim, *(cell(results, counts) for results in runs.values())]
                     for claim, cell in CLAIMS]}


def mean(variant, over=BASE):
    def cell(results, counts):
        found = results.mean_cost(variant, over)
        return f"{factor(results.mean_here(variant, over))}; over workloads {spread(found)}" if found else "-"
    return cell


def without(variant, over=BASE):
    def cell(results, counts):
        found = results.mean_without(variant, over)
        return f"{number(found[1])} (without `{found[0]}`)" if found else "-"
    return cell


def two(workload, variant):
    return lambda results, counts: factor(results.scaling(workload, variant, 2))


def price(variant):
    def cell(results, counts):
        found = [fit for name, _, _, fit in lab_page.all_fits(results, counts) if name == variant]
        return f"{factor(found[0].price)} ns, R² {found[0].r2:.2f}" if found else "-"
    return cell


def predicted(workload, variant):
    def cell(results, counts):
        for name, workloads in lab_page.contended(results, counts):
            for p in predict.predictions(results, workloads, name) if name == variant else ():
                if p.workload == workload:
                    return "; ".join(f"{n}: {number(mid)} ({number(low)} to {number(high)})"
                                     for n, (low, mid, high) in p.many.items() if n in PREDICTED)
        return "-"
    return cell


CLAIMS = (
    ("`LOCK INC`, `LOCK DEC` for plain counts, one interpreter: time relative to stock (`lock`)", mean("lock")),
    ("the same without the workload it depends on most", without("lock")),
    ("biased counting, one thread: time relative to stock (`free-threaded`)", mean(THREADED)),
    ("immortal objects counted on 3.13, too: time relative to `lock` (`lock-all`)", mean("lock-all", "lock")),
    ("all that 2.5 counted, without LOCK: time relative to stock (`plain-all`)", mean("plain-all")),
    ("LOCK in that world: time relative to `plain-all` (`lock-2006`)", mean("lock-2006", "plain-all")),
    ("two interpreters on None today, times the runs of one (`stock`)", two("none_heavy", BASE)),
    ("two interpreters on None, immortal objects counted on 3.13 (`lock-all`)", two("none_heavy", "lock-all")),
    ("two interpreters on a recursive fib, the same", two("fib", "lock-all")),
    ("two interpreters on None, all that 2.5 counted (`lock-2006`)", two("none_heavy", "lock-2006")),
    ("price of one count with LOCK: cost = count × price", price("lock")),
    ("*extrapolated*: N interpreters on None in `lock-all`, times the runs of one",
     predicted("none_heavy", "lock-all")),
    ("*extrapolated*: N interpreters on None in `lock-2006`", predicted("none_heavy", "lock-2006")),
)
