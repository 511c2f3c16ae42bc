"""What the findings ask of a run, chapter by chapter; each function returns a Section."""

from results import compare, difference
from section import Section, fairness, unequal
from words import (beside, count, direction, factor, listing, nanoseconds, number, rate, threads,
                   variant, verdict, versus)

ATOMIC = ["xadd", "seq_cst", "acq_rel", "cas"]
IMMORTAL = ["immortal_plain", "immortal_lock"]
NONE = ["immortal_plain_none", "immortal_lock_none"]
CLEVER = ["biased", "sharded", "deferred"]
MIXES = {"mix_1": 1, "mix_10": 10, "mix_50": 50}
ORDERS = {"stream_seq": "In order", "stream_rand": "In random order"}


def alone(results):
    section = Section(results, "What LOCK INC costs alone",
                      "One thread counts up and down on one object that nobody else touches.",
                      plot="cost")
    plain, lock = (section.case("private", name, 1) for name in ("plain", "lock"))
    if plain and lock:
        section.say(versus(lock, plain))
        extra = difference(lock, plain)
        if extra.low > 0:
            section.say(f"A pair has two LOCKed instructions; each adds {number(extra.mid / 2)} ns "
                        f"here, half of the difference of {nanoseconds(extra)}.")
        if lock.cycles_per_op is not None and plain.cycles_per_op is not None:
            section.say(f"In cycles a pair: `lock` {number(lock.cycles_per_op)}, "
                        f"`plain` {number(plain.cycles_per_op)}.")
    if lock:
        section.say(*beside(section.present("private", ATOMIC, 1), lock))
    for name, base in (("immortal_plain", plain), ("immortal_lock", lock)):
        checked = section.present("private", [name], 1)
        if checked and base:
            section.say("The test for immortal objects, on one that is not: "
                        + versus(checked[0], base))
    section.overview("private", 1, results.names("refcount"))
    return section.close()


def streams(results):
    section = Section(results, "What it costs in streams of objects",
                      "Up and down once on each object of an array, then the next one. Memory is "
                      "part of the time, and in big arrays most of it.", plot="streams")
    rows = []
    for pattern, order in ORDERS.items():
        sizes = results.sizes(pattern)
        if not sizes:
            section.say(f"Not measured: `{pattern}`.")
            continue
        for n in dict.fromkeys((1, results.many or 1)):
            pairs = {}
            for size in sizes:
                lock, plain = (section.case(pattern, name, n, size) for name in ("lock", "plain"))
                if lock and plain:
                    pairs[size] = lock, plain
                    floor = nanoseconds(plain.time) + (", loses counts" if plain.wrong else "")
                    rows.append([order, count(size), str(n), floor, nanoseconds(lock.time),
                                 factor(compare(lock, plain))])
            if n == 1 and pairs:
                section.say(*_stream_trend(order, pairs))
    section.table("`lock` beside `plain`, ns a pair", ["order", "objects", "threads", "plain",
                                                      "lock", "lock / plain"], rows)
    if results.many and rows:
        section.say(f"With {threads(results.many)} the array is shared, so `plain` loses counts "
                    "there; it is there to compare, not a choice.")
    return section.close(*ORDERS)


def _stream_trend(order, pairs):
    small, large = min(pairs), max(pairs)
    yield (f"{order}, one thread, {count(small)} objects: `lock` against `plain`: "
           f"{verdict(compare(*pairs[small]))}.")
    if small == large:
        return
    yield (f"{order}, one thread, {count(large)} objects: `lock` against `plain`: "
           f"{verdict(compare(*pairs[large]))}.")
    before, after = difference(*pairs[small]), difference(*pairs[large])
    added = f"{nanoseconds(before)} a pair among {count(small)} objects"
    if after.low <= 0 <= after.high:
        yield (f"What LOCK adds, {added}, is lost in the noise of memory among {count(large)} "
               f"({nanoseconds(after)}).")
    elif after.high < before.low:
        yield (f"What LOCK adds, {added}, shrinks to {nanoseconds(after)} among {count(large)}: "
               "memory hides a part of it.")
    elif after.low > before.high:
        yield (f"What LOCK adds, {added}, grows to {nanoseconds(after)} among {count(large)}: "
               "memory does not hide it. A LOCKed instruction waits for its own line and lets "
               "nothing after it overtake.")
    else:
        yield (f"What LOCK adds, {added}, is {nanoseconds(after)} among {count(large)}: "
               "no measurable difference.")


def shared_line(results):
    n = results.many
    section = Section(results, "What it costs on one shared line",
                      "All threads count on the same object, as all did on Py_None in 2006.",
                      plot="throughput")
    if n is None:
        return section.close("shared")
    for name in ("lock", "plain"):
        shared, own = section.case("shared", name, n), section.case("private", name, n)
        if shared and own:
            section.say(versus(shared, own, f"{variant(shared)} on one line with {threads(n)}",
                               f"`{name}` on a line each"))
    lock, plain = section.case("shared", "lock", n), section.case("shared", "plain", n)
    if lock and plain:
        section.say(versus(lock, plain, "On that line `lock`"))
    alone_there = section.case("shared", "lock", 1)
    if lock and alone_there:
        section.say(_together(lock, alone_there))
    if lock:
        section.say(*beside(section.present("shared", ATOMIC, n), lock, "`lock` on that line"))
    section.overview("shared", n, results.names("refcount"))
    _mixes(section, n)
    return section.close("private", "shared", *MIXES)


def _together(many, one):
    """Whether more threads get more done on one line."""
    gain = compare(many, one, of="ops_per_s")
    says = {1: "more threads get more done", -1: "more threads get less done",
            0: "no measurable gain"}[direction(gain)]
    return (f"{threads(many.threads)} together on that line do {factor(gain)} times the pairs of "
            f"one: {says}.")


def _mixes(section, n):
    rows = []
    own = section.results.case("private", "lock", n)
    for pattern, percent in {"private": 0, **MIXES, "shared": 100}.items():
        case = section.results.case(pattern, "lock", n)
        if case:
            rows.append([f"{percent} %", nanoseconds(case.time),
                         factor(compare(case, own)) if own and case is not own else "-",
                         rate(case.rate.mid)])
    if len(rows) > 2:
        section.table(f"`lock`: how much of the counting is on the shared object, {threads(n)}",
                      ["shared", "ns a pair", "to 0 %", "all threads together"], rows)


def false_sharing(results):
    n = results.many
    section = Section(results, "What false sharing costs",
                      "Each thread has an object of its own, but the objects are neighbours on "
                      "one line.", plot="cost")
    if n is None:
        return section.close("false_sharing")
    for name in ("lock", "plain"):
        beside_it, own, same = (section.case(pattern, name, n)
                                for pattern in ("false_sharing", "private", "shared"))
        if beside_it and own:
            section.say(versus(beside_it, own, f"`{name}` on neighbours with {threads(n)}",
                               f"`{name}` on a line each"))
        if beside_it and same:
            section.say(f"`{name}` on neighbours, against all on one object: "
                        f"{verdict(compare(beside_it, same))}.")
    rows = []
    for case in section.present("false_sharing", results.names("refcount"), n):
        own = results.case("private", case.variant, n)
        rows.append([variant(case), str(results.variants[case.variant]["object_bytes"]),
                     nanoseconds(own.time) if own else "-", nanoseconds(case.time),
                     factor(compare(case, own)) if own else "-", case.note or ""])
    section.table(f"Neighbours beside a line each, {threads(n)}",
                  ["variant", "bytes", "line each", "neighbours", "factor", "note"], rows)
    return section.close("private", "false_sharing")


def py_none(results):
    n = results.many
    section = Section(results, "What Py_None costs: 2006 and today",
                      "In 2006 None was an object as any other: LOCK INC on one line for all. "
                      "Since PEP 683 it is immortal: its count is looked at, never written.",
                      plot="throughput")
    if n is None:
        return section.close("shared", "read_mostly")
    then = section.case("shared", "lock", n)
    for name in NONE:
        now = section.case("shared", name, n)
        if then and now:
            section.say(versus(then, now, f"`lock` on the shared None, {threads(n)},"))
    for name in NONE:
        now, own = section.present("shared", [name], n), section.present("private", [name], n)
        if now and own:
            section.say(f"`{name}` on one object for all, against one each: "
                        f"{verdict(compare(now[0], own[0]))}.")
    quiet = section.case("read_mostly", "lock", 1)
    written = section.case("read_mostly", "lock", n)
    if written and quiet:
        section.say(versus(written, quiet, "Reading a field beside a count that "
                           f"{threads(n - 1)} writ{'es' if n == 2 else 'e'} with `lock`",
                           "reading it undisturbed"))
    for name in NONE:
        immortal = section.case("read_mostly", name, n)
        if written and immortal:
            section.say(versus(written, immortal, "Reading it beside `lock`",
                               f"reading it beside `{name}`"))
    return section.close("private", "shared", "read_mostly")


def clever(results):
    n = results.many
    section = Section(results, "Biased, sharded, deferred",
                      "Three ways around the shared line: the owner counts apart, each thread "
                      "counts apart, or changes are written down and applied in batches.")
    present = [name for name in CLEVER if name in results.names("refcount")]
    if not present:
        section.say("Not measured: " + listing(f"`{name}`" for name in CLEVER) + ".")
        return section
    section.say(listing(f"`{name}` takes {count(results.variants[name]['object_bytes'])} bytes"
                        for name in present) + " an object.")
    for pattern, k, where in (("private", 1, "Alone"), ("shared", n, f"Shared by {n} threads")):
        cases = section.present(pattern, present, k) if k else []
        for base in ("plain", "lock") if k == 1 else ("lock",):
            base_case = section.case(pattern, base, k) if cases else None
            if base_case:
                section.say(*(f"{where}. {text}" for text in beside(cases, base_case)))
        for case in cases if k == n else []:
            section.say(*unequal(case))
    for name in present if n else []:
        many, one = section.present("private", [name], n), section.present("private", [name], 1)
        if many and one:
            section.say(f"`{name}` on objects of their own, {threads(n)} against one: "
                        f"{verdict(compare(many[0], one[0]))}.")
    rows = []
    for name in present:
        row = [f"`{name}`"]
        for pattern, k in (("private", 1), ("private", n), ("shared", n), ("mix_10", n)):
            case = results.case(pattern, name, k) if k else None
            row.append(nanoseconds(case.time) if case else "-")
        shared = results.case("shared", name, n) if n else None
        rows.append(row + [fairness(shared)])
    section.table("ns a pair", ["variant", "private, 1 thread", f"private, {n or '-'}",
                                f"shared, {n or '-'}", f"10 % shared, {n or '-'}",
                                "fairness, shared"], rows)
    return section.close("shared")


def hand_over(results):
    section = Section(results, "Handed from core to core",
                      "Two threads own an object in turns: eight pairs, then the other's turn. "
                      "Handing over is part of the time.")
    lock, plain = (section.case("ping_pong", name, 2 if results.many else None)
                   for name in ("lock", "plain"))
    if lock and plain:
        section.say(versus(lock, plain))
    if lock:
        others = [name for name in results.names("refcount") if name not in ("lock", "plain")]
        section.say(*beside(section.present("ping_pong", others, 2), lock))
    return section.close("ping_pong")


def locks(results):
    n, names = results.many, results.names("lock")
    section = Section(results, "The locks, that of 2006 among them",
                      "Take the lock, count, release it. Fairness is the slowest thread's share "
                      "of what the fastest got done: 1 is fair.")
    if not names:
        section.say("Not measured: no lock is in this run.")
        return section
    for pattern, k, where in (("private", 1, "Alone"),
                              ("shared", n, f"Contended by {n} threads")):
        ours = section.case(pattern, "lk_inc2006", k)
        others = section.present(pattern, [x for x in names if x != "lk_inc2006"], k) if k else []
        if ours:
            section.say(f"{where}, `lk_inc2006` takes {nanoseconds(ours.time)} for lock and "
                        "unlock.")
            section.say(*(f"{where}. {text}" for text in beside(others, ours)))
    shared = section.present("shared", names, n) if n else []
    shared = [case for case in shared if case.fairness]
    if len(shared) > 1:
        best, worst = (pick(shared, key=lambda case: case.fair.mid) for pick in (max, min))
        if worst.fair.high < best.fair.low:
            section.say(f"Fairest: `{best.variant}`, {fairness(best)}; least fair: "
                        f"`{worst.variant}`, {fairness(worst)}.")
        else:
            section.say(f"No measurable difference in fairness: from {fairness(worst)} "
                        f"(`{worst.variant}`) to {fairness(best)} (`{best.variant}`).")
    for case in shared:
        section.say(*unequal(case))
    rows = []
    for name in names:
        one = results.case("private", name, 1)
        many = results.case("shared", name, n) if n else None
        rows.append([f"`{name}`", nanoseconds(one.time) if one else "-",
                     nanoseconds(many.time) if many else "-",
                     rate(many.rate.mid) if many else "-", fairness(many)])
    section.table("ns for lock and unlock", ["lock", "alone", f"contended, {n or '-'}",
                                             "all threads together", "fairness"], rows)
    return section.close("shared")


ALL = [alone, streams, shared_line, false_sharing, py_none, clever, hand_over, locks]
