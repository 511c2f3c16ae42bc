"""The findings of a run in plain words: how it was taken, the short answers, the chapters."""

import questions
from results import ENOUGH_CORES, compare
from section import unequal
from words import (TELLABLE, count, listing, nanoseconds, number, spread, threads, verdict)

FEW_REPETITIONS = 5
SHORT_SAMPLE = 0.005


class Findings:
    """What Markdown and HTML show, in their order; all text is Markdown without block markup."""

    def __init__(self, results):
        self.results = results
        self.facts = _facts(results)
        self.cautions = list(_cautions(results))
        self.answers = _answers(results)
        self.sections = [question(results) for question in questions.ALL]


def _facts(results):
    """(what, text) on the machine, the build and the run."""
    machine, build, options = results.machine, results.build, results.options
    cpus = ", ".join(str(cpu) for cpu in machine["allowed_cpus"])
    virtualised = {True: ", virtualised", False: ", not virtualised"}.get(
        machine["virtualised"], ", virtualised or not is unknown")
    counters = results.counters
    facts = [
        ("processor", f"{machine['cpu']}, {_some(machine['cores'], 'core')}{virtualised}; "
                      f"cache lines of {machine['cache_line']} bytes"),
        ("CPUs used", f"{cpus}, one thread pinned to each"),
        ("kernel", machine["kernel"]),
        ("compiler", f"{build['compiler']}, `{build['flags']}`"),
        ("commit", build["commit"] or "not known"),
        ("date", results.date),
        ("samples", f"{options['repeat']} of {number(options['seconds'] * 1000)} ms for each "
                    "case; the variants take turns"),
        ("counters", listing(counters["names"]) if counters["available"]
         else f"not available: {counters['why_not'] or 'no reason given'}"),
    ]
    for n in sorted({row["threads"] for row in results.control}):
        given = results.times_one(n)
        facts.append((f"control, {threads(n)}", f"{number(given.mid)} times the work of one "
                      f"({spread(given)}; {given.count} samples)"))
    return facts


def _cautions(results):
    """Reasons to read the figures with care."""
    options = results.options
    if results.repetitions < FEW_REPETITIONS or options["seconds"] < SHORT_SAMPLE:
        yield (f"This is a trial run: {_some(results.repetitions, 'repetition')} of "
               f"{number(options['seconds'] * 1000)} ms. Do not quote its figures.")
    if results.machine["virtualised"]:
        yield ("The machine is virtualised. Others may use its cores at the same time, and its "
               "CPUs need not be cores of one chip.")
    if (results.build["commit"] or "").endswith("+"):
        yield "The program was built from a working tree that differs from the commit."
    if results.many is None:
        yield ("There was one thread only. This run says nothing on shared lines, false sharing "
               "and contention.")
    elif results.many > results.cpus:
        yield (f"{threads(results.many)} had to share {_some(results.cpus, 'CPU')}: they took "
               "turns and did not meet on a line all the time.")
    short = results.shortfalls()
    if short:
        worst = listing(f"`{pattern.strip('()')}` with {threads(n)} ({number(given)} cores)"
                        for pattern, n, given in short)
        yield (f"The machine did not always give its cores. The control fell below "
               f"{ENOUGH_CORES:.0%} of them at {worst}; figures taken then are doubtful.")
    wrong = dict.fromkeys(case.variant for case in results.cases if case.wrong)
    if wrong:
        yield (f"{listing(f'`{name}`' for name in wrong)} lose counts when threads share an "
               "object. They are measured all the same, to compare, and marked. In a tight loop "
               "they are no floor of what moving the line costs: stores wait in the store buffer, "
               "so most pairs never wait for the line.")


def _some(n, what):
    return f"{n} {what}" + ("" if n == 1 else "s")


def _answers(results):
    """Rows of the short answers: question, answer, figures."""
    n = results.many
    at = f"{threads(n)}" if n else "2 threads or more"

    def case(pattern, variant, k):
        return results.case(pattern, variant, k) if k else None

    rows = []

    def ask(question, a, b):
        if a is None or b is None:
            rows.append([question, "not measured", "-"])
            return
        unlike = "; its threads fare unequally, see below" if unequal(a) else ""
        rows.append([question, verdict(compare(a, b)) + unlike,
                     f"{nanoseconds(a.time)} against {nanoseconds(b.time)}"])

    lock_alone = case("private", "lock", 1)
    ask("`lock` against `plain`, one thread alone", lock_alone, case("private", "plain", 1))
    largest = max(results.sizes("stream_rand"), default=None)
    if largest is not None:
        ask(f"the same in random order over {count(largest)} objects",
            results.case("stream_rand", "lock", 1, largest),
            results.case("stream_rand", "plain", 1, largest))
    own = case("private", "lock", n)
    ask(f"`lock`, {at}: one shared line against a line each", case("shared", "lock", n), own)
    ask(f"`lock`, {at}: neighbours on one line against a line each",
        case("false_sharing", "lock", n), own)
    ask(f"Py_None, {at}: 2006 (`lock`) against PEP 683 (`immortal_plain_none`)",
        case("shared", "lock", n), case("shared", "immortal_plain_none", n))
    ask(f"reading beside a count that others use, {at}: `lock` against `immortal_plain_none`",
        case("read_mostly", "lock", n), case("read_mostly", "immortal_plain_none", n))
    for name in questions.CLEVER:
        ask(f"`{name}` against `lock`, shared, {at}", case("shared", name, n),
            case("shared", "lock", n))
    ask(f"the lock of 2006 against `lk_pthread`, contended, {at}",
        case("shared", "lk_inc2006", n), case("shared", "lk_pthread", n))
    return rows


def how_to_read(results):
    if results.repetitions == 1:
        return ("Figures are single samples: nothing is known of their spread. ns are what one "
                "thread waits for one inc and dec, lock and unlock, or read.")
    return (f"Figures are medians, with the smallest and the largest of {results.repetitions} "
            "repetitions in brackets. A ratio within one pattern and thread count is the median "
            "of the ratios of the single repetitions; across patterns it is the ratio of the "
            "medians, and its brackets hold all combinations. Two figures differ if the whole "
            f"bracket is on one side of 1 by at least {TELLABLE - 1:.0%}; otherwise there is no "
            "measurable difference. ns are what one thread waits for one inc and dec, lock and "
            "unlock, or read.")


def to_markdown(findings, name, plots):
    """The page as Markdown; plots: (key, file) that lie beside it."""
    results = findings.results
    lines = [f"# {name}", "", "What reference counts cost, measured by `make bench-refcount`. "
             "`make report` wrote this page, and every number on it, from "
             f"[{name}.json]({name}.json).", ""]
    lines += _table(["", ""], findings.facts) + [""]
    if findings.cautions:
        lines += ["## Read with care", ""] + [f"- {text}" for text in findings.cautions] + [""]
    lines += ["## In short", ""] + _table(["question", "answer", "ns"], findings.answers)
    lines += ["", how_to_read(results), ""]
    files = dict(plots)
    for section in findings.sections:
        lines += [f"## {section.title}", "", section.lead, ""]
        lines += [f"- {text}" for text in section.sentences]
        if section.sentences:
            lines.append("")
        for caption, header, rows in section.tables:
            lines += [f"{caption}:", ""] + _table(header, rows) + [""]
        if section.plot in files:  # at its first mention only
            file = files.pop(section.plot)
            lines += [f"![{section.plot}]({file})", ""]
    lines += ["## Skipped", ""] + (_table(["pattern", "objects", "variant", "threads", "why"],
                                         skipped_rows(results)) or ["Nothing."])
    return "\n".join(lines) + "\n"


def skipped_rows(results):
    return [[f"`{row['pattern']}`", count(row["size"]) if row["size"] is not None else "-",
             f"`{row['variant']}`", str(row["threads"]), row["why"]] for row in results.skipped]


def _table(header, rows):
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    if not rows:
        return []
    return ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header),
            *("| " + " | ".join(row) + " |" for row in rows)]
