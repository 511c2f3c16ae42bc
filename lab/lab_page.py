"""What the page of a run of `make lab-bench` shows: rows of tables, computed from its results.

The words are in lab.md.j2, and in excerpt.md.j2 for docs/lock-inc.md.
"""

import math
import re

import model
import predict
import queueing
from formats import detectable, direction, factor, number, percent, rates, spread, verdict
from intervals import ENOUGH_CORES, LEVEL, Figure
from lab_results import BASE, FEWEST, THREADED

FEW_REPETITIONS = 5
SHORT_SAMPLE = 0.1
# What a variant is compared with beside stock: what differs is then one thing.
BESIDE = (("c11-acq-rel", "c11-relaxed"), ("c11-relaxed", "lock"), ("lock-all", "lock"), ("lock-2006", "plain-all"),
          (THREADED, "lock"), (THREADED, "stock-unspecialised"), ("lock-pgo", "stock-pgo"), ("lock-pgo", "lock"))
HEAP = "mimalloc"  # what the other heaps are compared with


def context(results, name, counts=None, in_c=None):
    """All that the two templates name. counts: {variant that records: counts_results.Counts}. in_c: what one
    LOCK costs in C on the same machine, a Figure."""
    counts = counts or {}
    return {
        "name": name, "about": about(results), "facts": facts(results),
        "doubts": list(doubts(results)), "how_to_read": how_to_read(results),
        "workloads": results.workloads, "many": results.many,
        "workloads_alone": len(results.names("single", "workload")),
        "alone": means(results), "alike": alike(results), "costs": costs(results),
        "variants_alone": [f"`{v}`" for v in beside_stock(results, "single")],
        "programs": len(results.names("pyperformance", "workload")),
        "left_out": [f"`{name}`" for name in (results.pyperformance or {}).get("left_out", [])],
        "pyperformance": means(results, "pyperformance"),
        "pyperformance_costs": costs(results, "pyperformance"),
        "pyperformance_titles": [f"`{v}`" for v in beside_stock(results, "pyperformance")],
        "together": together(results), "together_titles": together_titles(results),
        "pairs": pairs(results), "pair_titles": [f"2, {place}" for place in results.places],
        "heaps": heaps(results), "heap_titles": heap_titles(results),
        "prices": prices(results, counts), "residuals": residuals(results, counts),
        "in_c": predicted_in_c(results, counts, in_c),
        "service": services(results, counts), "cores": predict.CORES,
        "calibration": predict.CALIBRATION, "far": number(predict.FAR),
        "predictions": predictions(results, counts), "laws": laws(results),
        "core_titles": [f"{n} by the model" for n in predict.CORES],
        "residual_titles": residual_titles(results, counts),
    }


# ---- the run ------------------------------------------------------------------------------------

def about(results):
    return (f"{results.machine['cpu']}, {results.cpus} CPUs, {results.date[:10]}, commit "
            f"{results.commit or 'not known'}")


def facts(results):
    options, machine = results.options, results.machine
    rows = [
        ("processor", f"{machine['cpu']}; CPUs used: {', '.join(map(str, machine['cpus']))}"),
        ("kernel", machine["kernel"]),
        ("commit", results.commit or "not known"),
        ("date", results.date),
    ]
    if any(case.group != "pyperformance" for case in results.cases):
        rows.append(("samples", f"{results.repetitions} of {number(options['seconds'] * 1000)} ms for each "
                     "case, each in a process of its own; the variants take turns"))
    if results.pyperformance:
        rows.append(("pyperformance", f"{results.pyperformance['pyperformance']}, timed by pyperf "
                     f"{results.pyperformance['pyperf']}: a sample is the median of three values of one process"))
    rows += topology_facts(machine, results)
    for n in sorted({row["threads"] for row in results.control}):
        given = results.times_one(n)
        dropped, total = results.dropped(n)
        rows.append((f"control, {n} C threads", f"{number(given.mid)} times the work of one "
                     f"({spread(given)}); below {ENOUGH_CORES:.0%} in {dropped} of {total} "
                     "repetitions"))
    for name, variant in results.variants.items():
        refcount = variant["refcount"] or "upstream's own"
        rows.append((f"`{name}`", f"CPython {variant['version'].split()[0]}, {refcount}, "
                     f"`{variant['cflags'].strip()}`{optimised(variant['configure'] or '')}"))
    return rows


def optimised(configure):
    """What a variant's options of configure say of PGO, which trains it, and of LTO."""
    if "--enable-optimizations" not in configure:
        return ""
    trained = re.search(r"'PROFILE_TASK=([^']*)'", configure)
    return ", PGO" + (" and LTO" if "--with-lto" in configure else "") + (f", trained by `{trained[1]}`" if trained else "")


def topology_facts(machine, results):
    """Of files that say so."""
    if "topology" not in machine:
        return []
    found = machine["topology"]

    def some(n, what):
        return f"{'?' if n is None else n} {what}{'' if n == 1 else 's'}"

    stolen, caches = machine.get("stolen_ticks"), found.get("caches") or {}
    rows = [("caches", ", ".join(f"{name} {size:,} KiB" for name, size in caches.items()))] if caches else []
    return [*rows, ("topology", f"{some(found['sockets'], 'socket')}, {some(found['cores'], 'core')}, "
                         f"{'' if found['smt'] else 'no '}hyperthreads, "
                         f"{some(found['numa_nodes'], 'NUMA node')}; governor "
                         f"{', '.join(found['governors'] or ['not said'])}"),
            ("disturbances", f"{results.discarded} samples taken again; "
                             f"{'unknown' if stolen is None else stolen} ticks stolen")]


def doubts(results):
    """Reasons to read the figures with care."""
    options = results.options
    if results.repetitions < FEW_REPETITIONS or options["seconds"] < SHORT_SAMPLE:
        yield (f"This is a trial run: {results.repetitions} repetitions of "
               f"{number(options['seconds'] * 1000)} ms. Do not quote its figures.")
    if results.machine["load"][0] > 0.5 * results.cpus:
        yield f"The load was {results.machine['load'][0]:.1f}."
    if (results.commit or "").endswith("+"):
        yield "The working tree differed from the commit."
    for n in sorted({row["threads"] for row in results.control}):
        dropped, total = results.dropped(n)
        if dropped:
            rest = (f"the figures of {n} threads are of the other {total - dropped}"
                    if total - dropped >= FEWEST else f"too few are left for figures of {n} threads")
            yield (f"In {dropped} of {total} repetitions {n} C threads got less than "
                   f"{ENOUGH_CORES:.0%} of {n} cores: {rest}.")
    if results.many is None and results.names("parallel", "workload"):
        yield "There was one CPU. This run says nothing on cache lines that cores share."
    same = alike(results)
    if same is not None and direction(same) != 0:
        yield ("`c11-acq-rel` and `c11-relaxed` are the same instructions on x86-64, and differ by "
               f"a factor of {factor(same)} all the same: smaller differences mean nothing.")


def how_to_read(results):
    n = results.repetitions
    level = Figure.of(range(n)).level if n else 0
    return (f"Figures are medians of {n} repetitions. The interval in brackets is made of two of the "
            f"ordered samples and holds the true median with a probability of {percent(level)}; of a "
            f"geometric mean it is the bootstrap's, {LEVEL:.0%}. A ratio is taken within a "
            "repetition, in which the variants took turns.")


def alike(results):
    """The same instructions under two names on x86-64: what a difference must exceed to mean anything."""
    if "c11-acq-rel" in results.variants and "c11-relaxed" in results.variants:
        return results.mean_cost("c11-acq-rel", "c11-relaxed")
    return None


# ---- tables -------------------------------------------------------------------------------------

def means(results, group="single"):
    """A row for each variant beside stock, and beside the one of BESIDE. group: of workloads, here and below."""
    variants = results.names(group, "variant")
    pairs = [(v, BASE) for v in variants if v != BASE and BASE in variants]
    pairs += [(v, other) for v in variants for one, other in BESIDE if one == v and other in variants]
    return [mean_row(results, *pair, group) for pair in pairs if results.mean_cost(*pair, group)]


def mean_row(results, variant, over, group):
    mean = results.mean_cost(variant, over, group)
    without = results.mean_without(variant, over, group)
    (low, cheap), (high, dear) = results.extremes(variant, over, group)
    here = results.mean_here(variant, over, group)
    return [f"`{variant}`", f"`{over}`", factor(here), verdict(here), factor(mean), verdict(mean),
            detectable(mean),
            f"`{without[0]}`: {number(without[1])}" if without else "-",
            f"`{low}` {factor(cheap)}", f"`{high}` {factor(dear)}"]


def costs(results, group="single"):
    """A row for each workload: the time of each variant relative to stock's."""
    return [[f"`{w}`", *(factor(results.cost(w, v, BASE, group)) for v in beside_stock(results, group))]
            for w in results.names(group, "workload")]


def beside_stock(results, group):
    return [v for v in results.names(group, "variant") if v != BASE]


def counts_together(results):
    return [n for n in results.names("parallel", "threads") if n > 1]


def together_titles(results):
    n = results.many
    return [f"{k} at once" for k in counts_together(results)] + (
        [f"of what {n} of stock do"] if n else [])


def together(results):
    """A row for each workload and variant: scaling, and throughput relative to stock's."""
    counts, n = counts_together(results), results.many
    if not counts:
        return []
    rows = []
    for workload in results.names("parallel", "workload"):
        for variant in results.names("parallel", "variant"):
            if results.case("parallel", workload, variant, counts[0]) is None:
                continue
            row = [f"`{workload}`", f"`{variant}`"]
            for k in counts:
                scaling = results.scaling(workload, variant, k)
                less = scaling is not None and scaling.high < 1
                row.append(f"**{factor(scaling)}**" if less else factor(scaling))
            if n:
                row.append("-" if variant == BASE
                           else factor(results.against(workload, variant, BASE, n)))
            rows.append(row)
    rows.append(["control", "C threads", *(factor(results.times_one(k)) for k in counts)]
                + (["-"] if n else []))
    return rows


def pairs(results):
    """A row for each workload and variant: two interpreters on each kind of pair of CPUs."""
    return [[f"`{workload}`", f"`{variant}`",
             *(factor(results.scaling(workload, variant, 2, place=place)) for place in results.places)]
            for workload in results.names("parallel", "workload")
            for variant in results.names("parallel", "variant")
            if any(results.case("parallel", workload, variant, 2, place=p) for p in results.places)]


def heap_counts(results):
    names = results.names("heap", "heap")
    return [k for k in results.names("heap", "threads")
            if any(results.case("heap", "allocation", BASE, k, heap) for heap in names)]


def heap_titles(results):
    counts = heap_counts(results)
    return (["heap", *(f"{k} allocating" for k in counts), "one, to mimalloc",
             *(f"{k}, times one" for k in counts if k > 1),
             "messages handed over", "to mimalloc"])


def heaps(results):
    rows = []
    for heap in results.names("heap", "heap"):
        counts = heap_counts(results)
        cases = {k: results.case("heap", "allocation", BASE, k, heap) for k in counts}
        sent = results.case("heap", "hand_over", BASE, 2, heap)
        others = [results.case("heap", *what, HEAP) for what in (("allocation", BASE, 1),
                                                                 ("hand_over", BASE, 2))]
        rows.append([f"`{heap}`", *(rates(results.rate(cases[k])) for k in counts),
                     factor(None if heap == HEAP else results.time_ratio(cases.get(1), others[0])),
                     *(factor(results.scaling("allocation", BASE, k, "heap", heap))
                       for k in counts if k > 1),
                     rates(results.rate(sent)),
                     factor(None if heap == HEAP else results.time_ratio(sent, others[1]))])
    return rows


# ---- the models ---------------------------------------------------------------------------------

def all_fits(results, counts):
    return model.fits(results, {recorder: one.workloads for recorder, one in counts.items()})


def predicted_in_c(results, counts, in_c):
    """A row for each variant whose extra time is LOCK's alone: the mean slowdown that the price of one LOCK in
    C predicts, and the measured one. in_c: that price, a Figure, or None."""
    if in_c is None:
        return []
    return [[f"`{variant}` relative to `{over}`", factor(in_c) + " ns",
             f"{number(model.mean_predicted(fit.points, in_c.mid))} "
             f"({' to '.join(number(model.mean_predicted(fit.points, end)) for end in (in_c.low, in_c.high))})",
             factor(results.mean_here(variant, over))]
            for variant, over, _, fit in all_fits(results, counts) if variant in model.LOCK_ALONE]


def prices(results, counts):
    """A row for each fit of cost = count × price."""
    return [[f"`{variant}` less `{over}`", f"{kind} objects", f"{factor(fit.price)} ns", f"{fit.r2:.3f}"]
            for variant, over, kind, fit in all_fits(results, counts)]


def residuals(results, counts):
    """For each workload and fit: counts a run, measured and predicted time relative to the base."""
    fits = all_fits(results, counts)
    rows = []
    for workload in results.names("single", "workload") if fits else []:
        row = [f"`{workload}`"]
        for _, _, _, fit in fits:
            point = next((p for p in fit.points if p.workload == workload), None)
            if point is None:
                row += ["-"] * 3
                continue
            measured, predicted = fit.slowdown(point)
            row += [number(point.counts), f"{number(measured)}, {number(predicted)}",
                    f"{fit.residual(point) / 1000:+,.0f} µs"]
        rows.append(row)
    return rows


def residual_titles(results, counts):
    return [title for _, _, kind, _ in all_fits(results, counts) for title in (
        f"{kind} counts", "measured, predicted", "left over")]


def contended(results, counts):
    """(variant, its counts) of those that write to immortal objects."""
    return [(variant, counts[recorder].workloads) for variant, recorder in predict.COUNTS_OF.items()
            if variant in results.variants and recorder in counts]


def services(results, counts):
    rows = []
    for variant, workloads in contended(results, counts):
        found = predict.service_time(results, workloads, variant)
        if found:
            low, mid, high = found
            rows.append([f"`{variant}`", f"{number(mid)} ({number(low)} to {number(high)}) ns"])
    return rows


def predictions(results, counts):
    """Two measured and by the model, and what the model says of more."""
    rows = []
    for variant, workloads in contended(results, counts):
        for p in predict.predictions(results, workloads, variant):
            rows.append([f"`{p.workload}`", f"`{variant}`", factor(p.measured),
                         number(p.two) + (" (fitted)" if p.calibrated else ""),
                         *(beside_measured(results, p, n) for n in predict.CORES)])
    return rows


def beside_measured(results, prediction, n):
    """What the model says of n cores, and what a machine that has them did."""
    low, mid, high = prediction.many[n]
    measured = results.scaling(prediction.workload, prediction.variant, n)
    return (f"{number(mid)} ({number(low)} to {number(high)})"
            + (f"; measured {factor(measured)}" if measured else ""))


def laws(results):
    """A row for each workload and variant that ran with two numbers of threads above one or more: the universal
    scalability law's parameters, and where it has its peak."""
    rows = []
    for workload in results.names("parallel", "workload"):
        for variant in results.names("parallel", "variant"):
            points = {n: results.scaling(workload, variant, n) for n in counts_together(results)}
            points = {n: scaling.mid for n, scaling in points.items() if scaling}
            if len(points) < 2:
                continue
            sigma, kappa = queueing.scalability(points)
            peak = number(math.sqrt((1 - sigma) / kappa)) if kappa > 0 and sigma < 1 else "-"
            rows.append([f"`{workload}`", f"`{variant}`", f"{sigma:.3f}", f"{kappa:.4f}", peak])
    return rows
