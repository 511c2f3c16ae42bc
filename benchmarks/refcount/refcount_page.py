"""What the page of a run of `make bench-refcount` shows: rows of tables, computed from its results.

The words are in refcount.md.j2.
"""

from formats import (count, factor, listing, nanoseconds, number, rate, spread, threads, verdict)
from intervals import ENOUGH_CORES, LEVEL, Figure
from results import compare, difference

FEW_REPETITIONS = 5
SHORT_SAMPLE = 0.005
UNEQUAL = 0.5  # fairness below which a mean over the threads misleads
CLEVER = ["biased", "sharded", "deferred"]
CPYTHON = ["immortal_plain", "cpython313", "cpython314", "immortal_lock"]
NONE = ["immortal_plain_none", "immortal_lock_none", "cpython313_none", "cpython314_none"]
MIXES = {"private": 0, "mix_1": 1, "mix_10": 10, "mix_50": 50, "shared": 100}
QUANTILES = {"p50": "half", "p90": "90 %", "p99": "99 %", "p999": "99.9 %", "longest": "all"}
ORDERS = {"stream_seq": "in order", "stream_rand": "in random order"}
OVERVIEW = ["variant", "ns a pair", "to `plain`", "", "all threads together", "scaling", "fairness"]


def context(results, name):
    """All that the template names."""
    n = results.many
    refcounts = results.names("refcount")
    return {
        "name": name, "facts": facts(results), "doubts": list(doubts(results)), "n": n,
        "how_to_read": how_to_read(results), "short": in_short(results), "overview_header": OVERVIEW,
        "alone": overview(results, "private", 1, refcounts),
        "each_lock": each_lock(results), "widths": widths(results),
        "streams": streams(results),
        "shared": overview(results, "shared", n, refcounts), "mixes": mixes(results),
        "neighbours": neighbours(results), "immortal": py_none(results),
        "clever": clever(results), "ping_pong": overview(results, "ping_pong", 2, refcounts),
        "waits": waits(results), "waits_header": ["variant", *(f"{q} within" for q in QUANTILES.values())],
        "clock_ns": results.clock and results.clock["own_ns"],
        "locks": locks(results), "unequal": unequal(results), "skipped": skipped(results),
    }


# ---- the run -----------------------------------------------------------------------------------

def facts(results):
    """(what, text) on the machine, the build and the run."""
    machine, build, options = results.machine, results.build, results.options
    cpus = ", ".join(str(cpu) for cpu in machine["allowed_cpus"])
    virtualised = {True: ", virtualised", False: ", not virtualised"}.get(
        machine["virtualised"], ", virtualised or not is unknown")
    counters = results.counters
    rows = [
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
        rows.append((f"control, {threads(n)}", f"{number(given.mid)} times the work of one "
                     f"({spread(given)}; {given.count} samples)"))
    return rows


def doubts(results):
    """Reasons to read the figures with care."""
    options = results.options
    if options["repeat"] < FEW_REPETITIONS or options["seconds"] < SHORT_SAMPLE:
        yield (f"This is a trial run: {_some(options['repeat'], 'repetition')} of "
               f"{number(options['seconds'] * 1000)} ms. Do not quote its figures.")
    if results.machine["virtualised"]:
        yield ("The machine is virtualised. Others may use its cores at the same time, and its "
               "CPUs need not be cores of one chip.")
    if (results.build["commit"] or "").endswith("+"):
        yield "The program was built from a working tree that differs from the commit."
    if results.many is None:
        yield ("There is no figure of several threads. This run says nothing on shared lines, false "
               "sharing and contention.")
    elif results.many > results.cpus:
        yield (f"{threads(results.many)} had to share {_some(results.cpus, 'CPU')}: they took "
               "turns and did not meet on a line all the time.")
    short = results.shortfalls()
    if short:
        worst = listing(f"`{pattern.strip('()')}` with {threads(n)} ({number(given)} cores)"
                        for pattern, n, given in short)
        yield (f"The machine did not always give its cores: the control fell below "
               f"{ENOUGH_CORES:.0%} of them at {worst}. No figure was made of these samples.")
    wrong = dict.fromkeys(case.variant for case in results.cases if case.wrong)
    if wrong:
        yield (f"{listing(f'`{name}`' for name in wrong)} lose counts when threads share an "
               "object. They are measured all the same, to compare, and marked. In a tight loop "
               "they are no floor of what moving the line costs: stores wait in the store buffer, "
               "so most pairs never wait for the line.")


def _some(n, what):
    return f"{n} {what}" + ("" if n == 1 else "s")


def how_to_read(results):
    n = results.repetitions
    if n == 1:
        return ("Figures are single samples: nothing is known of their spread. ns are what one "
                "thread waits for one inc and dec, lock and unlock, or read.")
    level = Figure.of(range(n)).level if n else 0
    return (f"Figures are medians of {n} repetitions or more. The interval in brackets is made of two "
            f"of the ordered samples and holds the true median with a probability of {level:.1%}"
            f"{'' if level >= LEVEL else f'; {LEVEL:.0%} would take 6 repetitions'}. A ratio within "
            "one pattern and thread count is the median of the ratios of the single repetitions; "
            "across patterns it is that of the medians, with an interval that holds with "
            f"{max(0, 2 * level - 1):.1%}. ns are what one thread waits for one inc and dec, lock and "
            "unlock, or read.")


# ---- comparisons -------------------------------------------------------------------------------

def in_short(results):
    """Rows of the short answers: question, ratio, in a word, ns of both."""
    n = results.many
    at = threads(n) if n else "2 threads or more"
    case = results.case
    rows = []

    def ask(question, a, b):
        ratio = compare(a, b)
        if ratio is None:
            rows.append([question, "not measured", "-", "-"])
        else:
            rows.append([question, factor(ratio), verdict(ratio),
                         f"{nanoseconds(a.time)} against {nanoseconds(b.time)}"])

    ask("`lock` against `plain`, one thread alone", case("private", "lock", 1),
        case("private", "plain", 1))
    largest = max(results.sizes("stream_rand"), default=None)
    if largest is not None:
        ask(f"the same in random order over {count(largest)} objects",
            case("stream_rand", "lock", 1, largest), case("stream_rand", "plain", 1, largest))
    own = case("private", "lock", n)
    ask(f"`lock`, {at}: one shared line against a line each", case("shared", "lock", n), own)
    ask(f"`lock`, {at}: neighbours on one line against a line each",
        case("false_sharing", "lock", n), own)
    ask(f"Py_None, {at}: 2006 (`lock`) against PEP 683 (`immortal_plain_none`)",
        case("shared", "lock", n), case("shared", "immortal_plain_none", n))
    ask(f"reading beside a count that others use, {at}: `lock` against `immortal_plain_none`",
        case("read_mostly", "lock", n), case("read_mostly", "immortal_plain_none", n))
    for name in CLEVER:
        ask(f"`{name}` against `lock`, shared, {at}", case("shared", name, n),
            case("shared", "lock", n))
    ask(f"the lock of 2006 against `lk_pthread`, contended, {at}",
        case("shared", "lk_inc2006", n), case("shared", "lk_pthread", n))
    return rows


def named(case):
    return f"`{case.variant}`" + (" (loses counts)" if case.wrong else "")


def fairness(case):
    return f"{case.fair.mid:.2f} ({spread(case.fair)})" if case and case.threads > 1 else "-"


def overview(results, pattern, n, names):
    """All these variants in a pattern."""
    cases = [results.case(pattern, name, n) for name in names]
    plain = results.case(pattern, "plain", n)
    rows = []
    for case in filter(None, cases):
        ratio = compare(case, plain) if case is not plain else None
        rows.append([named(case), nanoseconds(case.time), factor(ratio), verdict(ratio),
                     rate(case.rate.mid), factor(results.scaling(case)) if case.threads > 1 else "-",
                     fairness(case)])
    return rows


def each_lock(results):
    """What one LOCKed instruction adds: half of the difference of a pair. None if that may be nothing."""
    extra = difference(results.case("private", "lock", 1), results.case("private", "plain", 1))
    if extra is None or extra.low <= 0:
        return None
    return Figure(extra.mid / 2, extra.low / 2, extra.high / 2, extra.count, extra.level)


def widths(results):
    """What the test for immortality costs, and what CPython's own widths of load and store do."""
    lock = results.case("private", "lock", 1)
    return [[f"`{case.variant}`", nanoseconds(case.time),
             factor(compare(case, results.case("private", "plain", 1))), factor(compare(case, lock))]
            for case in (results.case("private", name, 1) for name in CPYTHON) if case]


def streams(results):
    rows = []
    for pattern, order in ORDERS.items():
        for n in dict.fromkeys((1, results.many or 1)):
            for size in results.sizes(pattern):
                lock, plain = (results.case(pattern, name, n, size) for name in ("lock", "plain"))
                if lock and plain:
                    floor = nanoseconds(plain.time) + (", loses counts" if plain.wrong else "")
                    rows.append([order, count(size), str(n), floor, nanoseconds(lock.time),
                                 factor(compare(lock, plain)), nanoseconds(difference(lock, plain))])
    return rows


def mixes(results):
    """How much of the counting is on the shared object."""
    n = results.many
    own = results.case("private", "lock", n)
    cases = [(percent, results.case(pattern, "lock", n)) for pattern, percent in MIXES.items()]
    return [[f"{percent} %", nanoseconds(case.time),
             factor(compare(case, own)) if case is not own else "-", rate(case.rate.mid)]
            for percent, case in cases if case]


def neighbours(results):
    n = results.many
    rows = []
    for name in results.names("refcount"):
        case, own = results.case("false_sharing", name, n), results.case("private", name, n)
        if case:
            rows.append([named(case), str(results.variants[name]["object_bytes"]),
                         nanoseconds(own.time) if own else "-", nanoseconds(case.time),
                         factor(compare(case, own)), case.note or ""])
    return rows


def py_none(results):
    """None of 2006 beside that of today: pairs on it, and reads of a field beside its count."""
    n = results.many
    rows = []
    for name in ["lock", *NONE]:
        shared, own = results.case("shared", name, n), results.case("private", name, n)
        read = results.case("read_mostly", name, n)
        if shared or read:
            rows.append([f"`{name}`", nanoseconds(shared.time) if shared else "-",
                         factor(compare(shared, own)), nanoseconds(read.time) if read else "-",
                         factor(compare(read, results.case("read_mostly", name, 1)))])
    return rows


def clever(results):
    n = results.many
    rows = []
    for name in CLEVER:
        cases = [results.case(pattern, name, k) for pattern, k in (
            ("private", 1), ("private", n), ("shared", n), ("mix_10", n))]
        if any(cases):
            rows.append([f"`{name}`", count(results.variants[name]["object_bytes"]),
                         *(nanoseconds(case.time) if case else "-" for case in cases),
                         fairness(cases[2])])
    return rows


def waits(results):
    """Within which time so many of the pairs were done, each timed by itself: alone, and all on one object."""
    rows = []
    for pattern, n in (("private_each", 1), ("shared_each", results.many)):
        for name in results.names("refcount"):
            case = results.case(pattern, name, n)
            if case:
                alone = "alone" if n == 1 else f"{threads(n)}, one object"
                rows.append([f"{named(case)}, {alone}", *(nanoseconds(case.waits(q)) for q in QUANTILES)])
    return rows


def locks(results):
    n = results.many
    rows = []
    for name in results.names("lock"):
        one, many = results.case("private", name, 1), results.case("shared", name, n)
        rows.append([f"`{name}`", nanoseconds(one.time) if one else "-",
                     nanoseconds(many.time) if many else "-",
                     factor(compare(many, results.case("shared", "lk_inc2006", n)))
                     if name != "lk_inc2006" else "-",
                     rate(many.rate.mid) if many else "-", fairness(many)])
    return rows


def unequal(results):
    """Of two threads that got very different shares: what each waits, for the mean is nobody's."""
    rows = []
    for case in results.cases:
        if case.threads != 2 or case.fair.mid >= UNEQUAL or min(case.fairness) <= 0:
            continue
        # ns = 2 * elapsed / (fast + slow) and fairness = slow / fast
        fast = [t * (1 + f) / 2 for t, f in zip(case.ns, case.fairness)]
        slow = [t / f for t, f in zip(fast, case.fairness)]
        where = f"`{case.pattern}`" + (f", {count(case.size)} objects" if case.size else "")
        rows.append([named(case), where, fairness(case), nanoseconds(Figure.of(fast)),
                     nanoseconds(Figure.of(slow))])
    return rows


def skipped(results):
    return [[f"`{row['pattern']}`", count(row["size"]) if row["size"] else "-", f"`{row['variant']}`",
             str(row["threads"]), row["why"]] for row in results.skipped]


def groups(results, only=None):
    """For the HTML page: (title, rows) with every case; only: of these (pattern, size, threads)."""
    found = []
    for (pattern, size, n), cases in results.groups().items():
        if only is not None and (pattern, size, n) not in only:
            continue
        title = f"`{pattern}`, {threads(n)}" + (f", {count(size)} objects" if size else "")
        found.append((title, overview_of(results, cases)))
    return found


def overview_of(results, cases):
    plain = next((case for case in cases if case.variant == "plain"), None)
    rows = []
    for case in cases:
        is_lock = results.variants[case.variant]["kind"] == "lock"
        ratio = None if is_lock or case is plain else compare(case, plain)
        rows.append([named(case), nanoseconds(case.time), factor(ratio), verdict(ratio),
                     rate(case.rate.mid), factor(results.scaling(case)) if case.threads > 1 else "-",
                     fairness(case)])
    return rows
