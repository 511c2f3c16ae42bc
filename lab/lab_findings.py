"""The findings of a run of `make lab-bench` in plain words. The wording follows the figures."""

from lab_results import BASE, ENOUGH_CORES, THREADED, time_ratio
from words import TELLABLE, direction, factor, is_wide, listing, number, rate, spread

FEW_REPETITIONS = 5
SHORT_SAMPLE = 0.1
WORDS = {"none_heavy": "on None", "small_ints": "on small ints",
         "private_objects": "on objects of their own", "fib": "on a recursive fib"}


class Chapter:
    def __init__(self, title, lead, plot=None):
        self.title, self.lead, self.plot = title, lead, plot
        self.sentences, self.tables = [], []

    def table(self, caption, header, rows):
        if rows:
            self.tables.append((caption, header, rows))


class Findings:
    """What Markdown and HTML show, in their order; all text is Markdown without block markup."""

    def __init__(self, results):
        self.results = results
        self.facts = _facts(results)
        self.cautions = list(_cautions(results))
        self.chapters = [chapter for chapter in (
            _single(results), _parallel(results), _immortality(results), _threaded(results),
            _heap(results)) if chapter is not None]


# ---- the run ------------------------------------------------------------------------------------

def _facts(results):
    options, machine = results.options, results.machine
    facts = [
        ("processor", f"{machine['cpu']}; CPUs used: {', '.join(map(str, machine['cpus']))}"),
        ("kernel", machine["kernel"]),
        ("commit", results.commit or "not known"),
        ("date", results.date),
        ("samples", f"{results.repetitions} of {number(options['seconds'] * 1000)} ms for each "
                    "case, each in a process of its own; the variants take turns"),
    ]
    for n in sorted({row["threads"] for row in results.control}):
        given = results.times_one(n)
        facts.append((f"control, {n} C threads", f"{number(given.mid)} times the work of one "
                      f"({spread(given)})"))
    for name, about in results.variants.items():
        refcount = about["refcount"] or "upstream's own"
        facts.append((f"`{name}`", f"CPython {about['version'].split()[0]}, {refcount}, "
                      f"`{about['cflags'].strip()}`"))
    return facts


def _cautions(results):
    options = results.options
    if results.repetitions < FEW_REPETITIONS or options["seconds"] < SHORT_SAMPLE:
        yield (f"This is a trial run: {results.repetitions} repetitions of "
               f"{number(options['seconds'] * 1000)} ms. Do not quote its figures.")
    if results.machine["load"][0] > 0.5 * results.cpus:
        yield f"The load when the run ended was {results.machine['load'][0]:.1f}."
    if (results.commit or "").endswith("+"):
        yield "The working tree differed from the commit."
    for n in sorted({row["threads"] for row in results.control}):
        worst = results.fell_short(n)
        if worst is not None:
            yield (f"The machine did not always give its cores: {n} C threads at times did "
                   f"{number(worst)} times the work of one, less than {ENOUGH_CORES:.0%}.")
    if results.many is None and results.names("parallel", "workload"):
        yield "There was one CPU. This run says nothing on cache lines that cores share."
    steady = results.spread_of_control()
    if steady is not None and direction(steady) != 0:
        yield ("`c11-acq-rel` and `c11-relaxed` are the same instructions on x86-64, and differ by "
               f"a factor of {factor(steady)} all the same: smaller differences mean nothing.")


def how_to_read(results):
    return (f"Figures are medians with the smallest and the largest of {results.repetitions} "
            "repetitions in brackets. A ratio is taken within a repetition, in which the variants "
            f"took turns. Two figures differ if the bracket is on one side of 1 by {TELLABLE - 1:.0%}"
            "; otherwise there is no measurable difference.")


def costs_text(ratio):
    """Half a sentence on a ratio of times."""
    way = direction(ratio)
    if way > 0:
        return f"takes {factor(ratio)} times as long"
    if way < 0:
        return f"is faster by a factor of {factor(ratio.inverse())}"
    noisy = ", the samples vary too much" if is_wide(ratio) else ""
    return f"shows no measurable difference{noisy}: {factor(ratio)}"


# ---- chapters -----------------------------------------------------------------------------------

def _single(results):
    workloads = results.names("single", "workload")
    variants = [v for v in results.names("single", "variant") if v != BASE]
    if not workloads or BASE not in results.names("single", "variant"):
        return None
    chapter = Chapter("One interpreter alone",
                      "The time of each workload relative to stock, and the geometric mean of all.",
                      "cost")
    for variant in variants:
        mean = results.mean_cost(variant)
        (low, cheap), (high, dear) = results.extremes(variant)
        chapter.sentences.append(
            f"`{variant}` against stock, geometric mean of {len(workloads)} workloads: it "
            f"{costs_text(mean)}. From {factor(cheap)} (`{low}`) to {factor(dear)} (`{high}`).")
    same = results.spread_of_control()
    if same is not None:
        chapter.sentences.append(
            "The control: `c11-acq-rel` against `c11-relaxed`, the same instructions on x86-64, "
            f"{costs_text(same)}.")
    for other in ("c11-relaxed", "lock-all"):
        ratio = results.mean_cost(other, "lock")
        if ratio is not None:
            chapter.sentences.append(f"`{other}` against `lock` {costs_text(ratio)}.")
    rows = [[f"`{w}`", *(factor(results.cost(w, v)) if results.cost(w, v) else "-"
                         for v in variants)] for w in workloads]
    rows.append(["geometric mean", *(factor(results.mean_cost(v)) for v in variants)])
    chapter.table("Time relative to stock", ["workload", *(f"`{v}`" for v in variants)], rows)
    return chapter


def _parallel(results):
    counts = [n for n in results.names("parallel", "threads") if n > 1]
    if not counts:
        return None
    chapter = Chapter(
        "Many interpreters at once",
        "The same workload in each of N interpreters, every one with its own GIL and pinned to a "
        "CPU (`free-threaded`: N threads of one interpreter). Scaling: how many times the runs of "
        "one they do together. They share nothing but the process: what is lost is the cache "
        "lines of objects that all count on, and what the control loses too.", "scaling")
    n = results.many or counts[0]
    for workload in results.names("parallel", "workload"):
        for variant in results.names("parallel", "variant"):
            scaling = results.scaling(workload, variant, n)
            if scaling is None or workload not in WORDS:
                continue
            who = "threads" if variant == THREADED else "interpreters"
            text = (f"`{variant}`, {n} {who} {WORDS[workload]}: together {factor(scaling)} times "
                    "the runs of one")
            if scaling.high < 1:
                text += ": **less than one alone**"
            against = results.against(workload, variant, BASE, n)
            if variant != BASE and against is not None:
                text += f"; {factor(against)} of what {n} of stock do"
            chapter.sentences.append(text + ".")
    rows = []
    for workload in results.names("parallel", "workload"):
        for variant in results.names("parallel", "variant"):
            scalings = [results.scaling(workload, variant, k) for k in counts]
            if any(scalings):
                rows.append([f"`{workload}`", f"`{variant}`",
                             *(factor(s) if s else "-" for s in scalings)])
    rows.append(["control", "C threads", *(factor(results.times_one(k)) if results.times_one(k)
                                           else "-" for k in counts)])
    chapter.table("Scaling", ["workload", "variant", *(f"{k} at once" for k in counts)], rows)
    return chapter


def _immortality(results):
    """What PEP 683 bought: lock against lock-all, for both count atomically."""
    n = results.many
    mean = results.mean_cost("lock-all", "lock")
    if mean is None:
        return None
    chapter = Chapter(
        "What immortality bought",
        "`lock-all` is `lock` without PEP 683's benefit: None, small ints, static types and all other "
        "immortal objects are counted as well. It is 3.13 with immortals counted, not the Python of 2006: "
        "it tests for immortality first, counts the type of each instance, and counts nothing where 3.12 "
        "and later take no reference.")
    chapter.sentences.append(
        f"Alone, counting immortal objects too {costs_text(mean)} (geometric mean).")
    for workload in results.names("parallel", "workload"):
        if n is None or workload not in WORDS:
            continue
        lost = results.against(workload, "lock", "lock-all", n)
        if lost is not None:
            chapter.sentences.append(
                f"{n} interpreters {WORDS[workload]}: with immortal singletons they do "
                f"{factor(lost)} times as much.")
    return chapter


def _threaded(results):
    mean = results.mean_cost(THREADED)
    if mean is None:
        return None
    chapter = Chapter(
        "Biased counting: the free-threaded build",
        "Upstream's own answer (PEP 703): a thread counts its own objects without atomics, others' "
        "with them, and immortal objects are not counted.")
    chapter.sentences.append(f"One thread alone, geometric mean: it {costs_text(mean)}.")
    lock = results.mean_cost(THREADED, "lock")
    if lock is not None:
        chapter.sentences.append(f"Against `lock` it {costs_text(lock)}.")
    n = results.many
    shared = results.scaling("shared_objects", THREADED, n) if n else None
    if shared is not None:
        text = (f"{n} threads that copy one list of floats, all of them the objects of a third "
                f"thread: together {factor(shared)} times the runs of one")
        chapter.sentences.append(text + (": **less than one alone**." if shared.high < 1 else "."))
    return chapter


def _heap(results):
    heaps = results.names("heap", "heap")
    if not heaps:
        return None
    chapter = Chapter(
        "The malloc lock of 2006",
        "Stock CPython on several object heaps: `lockinc` (pools behind the LOCK INC spin lock, "
        "one for all sizes), `lockinc-classes` (one per size class), `mimalloc` (objtunnel's own), "
        "`malloc` (the C library's), `pymalloc` (per interpreter: what one allocates another "
        "cannot free).", "heap")
    counts = [k for k in results.names("heap", "threads")
              if results.case("heap", "allocation", BASE, k, heaps[0])]
    base = "mimalloc"
    for heap in heaps:
        if heap == base:
            continue
        one = results.case("heap", "allocation", BASE, 1, heap)
        other = results.case("heap", "allocation", BASE, 1, base)
        if one and other:
            chapter.sentences.append(f"One interpreter, `{heap}` against `{base}`: it "
                                     f"{costs_text(time_ratio(one, other))}.")
    n = max((k for k in counts if k <= results.cpus), default=1)
    for heap in heaps:
        scaling = results.scaling("allocation", BASE, n, "heap", heap) if n > 1 else None
        if scaling is not None:
            chapter.sentences.append(
                f"{n} interpreters allocating privately, `{heap}`: together {factor(scaling)} times "
                "the runs of one" + (": **less than one alone**." if scaling.high < 1 else "."))
    for heap in heaps:
        pair = [results.case("heap", "hand_over", BASE, 2, h) for h in (heap, base)]
        if heap != base and all(pair):
            chapter.sentences.append(f"One allocates what another frees, `{heap}` against `{base}`: "
                                     f"it {costs_text(time_ratio(*pair))}.")
    rows = []
    for heap in heaps:
        row = [f"`{heap}`"]
        for k in counts:
            case = results.case("heap", "allocation", BASE, k, heap)
            row.append(rate_text(case))
        row.append(rate_text(results.case("heap", "hand_over", BASE, 2, heap)))
        rows.append(row)
    chapter.table("Runs a second, of all together",
                  ["heap", *(f"{k} allocating" for k in counts), "messages handed over"], rows)
    return chapter


def rate_text(case):
    return "-" if case is None else f"{rate(case.rate.mid)} ({spread(case.rate)})"


# ---- Markdown -----------------------------------------------------------------------------------

def to_markdown(findings, name, files):
    """files: plot's key -> file beside the page."""
    lines = [f"# {name}", "",
             "What refcounts cost in CPython itself, measured by `make lab-bench`. `make report` "
             f"wrote this page, and every number on it, from [{name}.json]({name}.json). "
             "[../lock-inc.md](../lock-inc.md) tells what it means.", ""]
    lines += table(["", ""], findings.facts) + [""]
    if findings.cautions:
        lines += ["## Read with care", ""] + [f"- {text}" for text in findings.cautions] + [""]
    lines += [how_to_read(findings.results), ""]
    for chapter in findings.chapters:
        lines += [f"## {chapter.title}", "", chapter.lead, ""]
        lines += [f"- {text}" for text in chapter.sentences] + [""]
        for caption, header, rows in chapter.tables:
            lines += [f"{caption}:", ""] + table(header, rows) + [""]
        if chapter.plot in files:
            lines += [f"![{chapter.plot}]({files[chapter.plot]})", ""]
    lines += ["## The workloads", ""]
    lines += [f"- `{name}`: {text}" for name, text in findings.results.workloads.items()]
    return "\n".join(lines) + "\n"


def to_excerpt(findings, name):
    """The claims alone, for docs/lock-inc.md. Of the interpreters side by side the table says it
    shorter."""
    results = findings.results
    lines = [f"### {name}", "",
             f"{results.machine['cpu']}, {results.cpus} CPUs, {results.date[:10]}, commit "
             f"{results.commit or 'not known'}; all of it with plots: "
             f"[results/{name}.md](results/{name}.md).", ""]
    if findings.cautions:
        lines += [f"- Read with care: {text}" for text in findings.cautions] + [""]
    lines += [how_to_read(results), ""]
    for chapter in findings.chapters:
        lines += [f"**{chapter.title}.** {chapter.lead}", ""]
        if chapter.plot == "scaling":
            for caption, header, rows in chapter.tables:
                lines += table(header, rows) + [""]
        else:
            lines += [f"- {text}" for text in chapter.sentences] + [""]
    return "\n".join(lines)


def table(header, rows):
    return ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header),
            *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)]
