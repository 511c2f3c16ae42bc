"""What the laboratory says in short: a row for each claim with the command that measures it, a column for each machine;
what the variants of 2006 say in sentences; and why machines differ, by `make bench-refcount`."""

import sys
from pathlib import Path

import lab_page
import model
import predict
from formats import factor, nanoseconds, number, spread
from lab_results import BASE, THREADED

# At the end: its modules have plain names.
sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks" / "refcount"))
import refcount_page  # noqa: E402
import results as refcounts  # noqa: E402

PREDICTED = (16, 64)
THEN, PLAIN = "lock-2006", "plain-all"


def context(runs, counts, in_c=None):
    """runs: {name: Results}; counts as in lab_page.context; in_c: {name: a run of make bench-refcount}."""
    in_c = in_c or {}
    claimed = CLAIMS + tuple(
        (f"*predicted* by one measurement in C: `{variant}` relative to `{over}`", "`make bench-refcount`, then `make report`",
         predicted_in_c(variant, in_c))
        for variant, over, _, _ in model.FITS if variant in model.LOCK_ALONE)
    rows = [[claim, command, *(cell(results, counts) for results in runs.values())] for claim, command, cell in claimed]
    return {"machines": [link(name) for name in runs], "rows": [row for row in rows if set(row[2:]) != {"-"}],
            "worlds": [world(name, results, counts) for name, results in runs.items()
                       if results.mean_cost(THEN, PLAIN) and results.mean_cost(PLAIN)],
            "in_c": [link(name) for name in in_c],
            "why": [[what, *(cell(results) for results in in_c.values())] for what, cell in WHY]}


def link(name):
    return f"[{name}](results/{name}.md)"


def runs_in_c(folder):
    """{name: run of make bench-refcount} of the results files of a folder."""
    return {path.stem: refcounts.Results.load(path) for path in sorted(folder.glob("refcount-*.json"))}


def same_machine(results, in_c):
    """{name: run of make bench-refcount} of those from the machine, as far as the files tell: the same name of the
    processor, the same kernel, the same day. The name alone would not do: "AMD EPYC" is more than one processor."""
    def place(run):
        return run.machine["cpu"], run.machine["kernel"].removeprefix("Linux "), run.date[:10]

    return {name: run for name, run in in_c.items() if place(run) == place(results)}


def price_in_c(results, in_c):
    """What LOCK adds to one count on the machine of `results`, a Figure; None if nobody measured it there."""
    return next(filter(None, map(refcount_page.each_lock, same_machine(results, in_c).values())), None)


# ---- the world of 2006 ----------------------------------------------------------------------------

def world(name, results, counts):
    """What the template names of one run."""
    def mean(variant, over):
        return f"{factor(results.mean_here(variant, over))}; over workloads {spread(results.mean_cost(variant, over))}"

    return {
        "name": link(name), "counting": mean(PLAIN, BASE), "locking": mean(THEN, PLAIN), "both": mean(THEN, BASE),
        "two": [[f"`{workload}`", *(factor(results.scaling(workload, variant, 2)) for variant in (BASE, PLAIN, THEN)),
                 factor(results.against(workload, THEN, PLAIN, 2))]
                for workload in results.names("parallel", "workload") if results.scaling(workload, THEN, 2)],
        "many": [[f"`{p.workload}`", *(f"{number(mid)} ({number(low)} to {number(high)})"
                                       for n, (low, mid, high) in p.many.items() if n in PREDICTED)]
                 for variant, workloads in lab_page.contended(results, counts) if variant == THEN
                 for p in predict.predictions(results, workloads, variant)],
        "cores": PREDICTED,
    }


# ---- why machines differ --------------------------------------------------------------------------

def pair(pattern, variant, many=False):
    """A pair's time by one thread, or by as many as there are cores."""
    def cell(results):
        case = results.case(pattern, variant, results.many if many else 1)
        return nanoseconds(case.time) if case else "-"
    return cell


def ratio(variant, over):
    """Of two variants, one thread alone."""
    return lambda results: factor(refcounts.compare(*(results.case("private", name, 1) for name in (variant, over))))


def waits(quantile):
    """Of `lock` on one object for all threads."""
    def cell(results):
        case = results.case("shared_each", "lock", results.many)
        return nanoseconds(case.waits(quantile)) if case else "-"
    return cell


WHY = (
    ("LOCK adds to one count, alone", lambda results: nanoseconds(refcount_page.each_lock(results))),
    ("a pair with LOCK, alone", pair("private", "lock")),
    ("a pair as in CPython 3.13, which stores 32 bits and loads 64, alone", pair("private", "cpython313")),
    ("CPython 3.13's pair relative to the pair with LOCK", ratio("cpython313", "lock")),
    ("a pair as in CPython 3.14, alone", pair("private", "cpython314")),
    ("a pair with LOCK, all threads on one object", pair("shared", "lock", many=True)),
    ("a single pair with LOCK on that object: half take at most", waits("p50")),
    ("a single pair with LOCK on that object: 99.9 % take at most", waits("p999")),
)


# ---- the claims -----------------------------------------------------------------------------------

def mean(variant, over=BASE, group="single"):
    def cell(results, counts):
        found = results.mean_cost(variant, over, group)
        return f"{factor(results.mean_here(variant, over, group))}; over workloads {spread(found)}" if found else "-"
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


def predicted_in_c(variant, in_c):
    def cell(results, counts):
        rows = lab_page.predicted_in_c(results, counts, price_in_c(results, in_c))
        return next((row[2] for row in rows if row[0].startswith(f"`{variant}` ")), "-")
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


def alone(variant, over=BASE):
    return f"`make lab-bench VARIANT={variant},{over} BENCH_ARGS='--groups single'`"


def at_once(variant):
    return f"`make lab-bench VARIANT={variant} BENCH_ARGS='--groups parallel'`"


def programs(variant, over=BASE):
    return f"`make lab-bench PYPERFORMANCE=1 VARIANT={variant},{over}`"


OPTIMISED = "`make lab-bench PGO=1 BENCH_ARGS='--groups single'`"
BY_THE_MODEL = "`make lab-bench`, then `make report`"

# (what is claimed, what measures it, its cell for one run)
CLAIMS = (
    ("`LOCK INC`, `LOCK DEC` for plain counts, one interpreter: time relative to stock (`lock`)", alone("lock"), mean("lock")),
    ("the same without the workload it depends on most", alone("lock"), without("lock")),
    ("PGO: time relative to the plain build, both without LOCK (`stock-pgo`)", OPTIMISED, mean("stock-pgo")),
    ("`LOCK INC`, `LOCK DEC` for plain counts where both are built with PGO: time relative to `stock-pgo` (`lock-pgo`)",
     OPTIMISED, mean("lock-pgo", "stock-pgo")),
    ("`lock` relative to stock on pyperformance", programs("lock"), mean("lock", group="pyperformance")),
    ("biased counting, one thread: time relative to stock (`free-threaded`)", alone(THREADED), mean(THREADED)),
    ("biased counting, one thread: time relative to a stock without the specialising interpreter, which it lacks on 3.13",
     alone(THREADED, "stock-unspecialised"), mean(THREADED, "stock-unspecialised")),
    ("no specialising interpreter: time relative to stock (`stock-unspecialised`)", alone("stock-unspecialised"),
     mean("stock-unspecialised")),
    ("immortal objects counted on 3.13, too: time relative to `lock` (`lock-all`)", alone("lock-all", "lock"),
     mean("lock-all", "lock")),
    ("all that 2.5 counted, without LOCK: time relative to stock (`plain-all`)", alone(PLAIN), mean(PLAIN)),
    ("LOCK in that world: time relative to `plain-all` (`lock-2006`)", alone(THEN, PLAIN), mean(THEN, PLAIN)),
    ("all that 2.5 counted, with LOCK: time relative to stock (`lock-2006`)", alone(THEN), mean(THEN)),
    ("`plain-all` relative to stock on pyperformance", programs(PLAIN), mean(PLAIN, group="pyperformance")),
    ("`lock-2006` relative to `plain-all` on pyperformance", programs(THEN, PLAIN), mean(THEN, PLAIN, "pyperformance")),
    ("`lock-2006` relative to stock on pyperformance", programs(THEN), mean(THEN, group="pyperformance")),
    ("two interpreters on None today, times the runs of one (`stock`)", at_once(BASE), two("none_heavy", BASE)),
    ("two interpreters on None, immortal objects counted on 3.13 (`lock-all`)", at_once("lock-all"),
     two("none_heavy", "lock-all")),
    ("two interpreters on a recursive fib, immortal objects counted on 3.13 (`lock-all`)", at_once("lock-all"),
     two("fib", "lock-all")),
    ("two interpreters on None, all that 2.5 counted (`lock-2006`)", at_once(THEN), two("none_heavy", THEN)),
    ("two interpreters on None, all that 2.5 counted, without LOCK (`plain-all`)", at_once(PLAIN), two("none_heavy", PLAIN)),
    ("two interpreters on a recursive fib, all that 2.5 counted (`lock-2006`)", at_once(THEN), two("fib", THEN)),
    ("price of one count with LOCK: cost = count × price (`lock` less `stock`)", BY_THE_MODEL, price("lock")),
    ("the same price where both are built with PGO (`lock-pgo` less `stock-pgo`)", BY_THE_MODEL, price("lock-pgo")),
    ("price of one count of an immortal object (`lock-all` less `lock`)", BY_THE_MODEL, price("lock-all")),
    ("price of LOCK for one count of 2006 (`lock-2006` less `plain-all`)", BY_THE_MODEL, price(THEN)),
    ("*extrapolated*: N interpreters on None in `lock-all`, times the runs of one", BY_THE_MODEL,
     predicted("none_heavy", "lock-all")),
    ("*extrapolated*: N interpreters on None in `lock-2006`", BY_THE_MODEL, predicted("none_heavy", THEN)),
)
