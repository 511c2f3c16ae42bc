"""A chapter of the findings while it is written: sentences, tables, and what was not measured."""

from results import Figure, compare
from words import (count, factor, listing, nanoseconds, number, rate, spread, threads,
                   variant)

UNEQUAL = 0.5  # fairness below which a mean over the threads misleads


class Section:
    """`sentences` and `tables` are what the pages show; Markdown's backquotes mark names."""

    def __init__(self, results, title, lead, plot=None):
        self.results, self.title, self.lead, self.plot = results, title, lead, plot
        self.sentences = []
        self.tables = []  # (caption, header, rows)
        self._missing = {}  # (pattern, size, threads) -> variants

    def say(self, *sentences):
        self.sentences += sentences

    def case(self, pattern, variant, n, size=None):
        """The case, or None, which close() then accounts for; also None for threads None."""
        if n is None:
            return None
        case = self.results.case(pattern, variant, n, size)
        if case is None:
            self._missing.setdefault((pattern, size, n), []).append(variant)
        return case

    def present(self, pattern, variants, n, size=None):
        """The cases of these variants that there are; silently so: for tables and rankings."""
        found = [self.results.case(pattern, name, n, size) for name in variants]
        return [case for case in found if case is not None]

    def table(self, caption, header, rows):
        if rows:
            self.tables.append((caption, header, rows))

    def overview(self, pattern, n, names):
        """A table of all these variants in a pattern."""
        plain = self.results.case(pattern, "plain", n)
        rows = [[variant(case), nanoseconds(case.time),
                 factor(compare(case, plain)) if plain and case is not plain else "-",
                 rate(case.rate.mid), number(case.scaling) if case.scaling is not None else "-",
                 fairness(case) if n > 1 else "-"]
                for case in self.present(pattern, names, n)]
        self.table(f"All variants, `{pattern}`, {threads(n)}",
                   ["variant", "ns a pair", "to plain", "all threads together", "scaling",
                    "fairness"], rows)

    def close(self, *shared_patterns):
        """The last sentences: missing cases, and patterns during which cores were missing."""
        results = self.results
        for (pattern, size, n), variants in self._missing.items():
            names = listing(f"`{name}`" for name in dict.fromkeys(variants))
            where = f"`{pattern}`" + (f", {count(size)} objects" if size is not None else "")
            why = {results.why_skipped(pattern, name, n, size) for name in variants} - {None}
            self.say(f"Not measured: {names} in {where} with {threads(n)}"
                     + (f" ({'; '.join(sorted(why))})" if why else "") + ".")
        if results.many is None:
            if shared_patterns:
                self.say("Not measured: anything with two threads or more.")
            return self
        for pattern in shared_patterns:
            n = 2 if pattern == "ping_pong" else results.many
            worst = results.fell_short(n, pattern)
            if worst is not None:
                self.say(f"Doubtful: during `{pattern}` the machine at times did only "
                         f"{number(worst)} times the work of one core with {threads(n)}.")
        return self


def unequal(case):
    """A sentence if the threads got very different shares, for then the mean hides much."""
    if not case.fairness or case.fair.mid >= UNEQUAL or min(case.fairness) <= 0:
        return []
    text = (f"{variant(case)} treats threads unequally: the slowest got done "
            f"{fairness(case)} of what the fastest did")
    if case.threads != 2:
        return [text + "."]
    # ns = 2 * elapsed / (fast + slow) and fairness = slow / fast
    fast = [t * (1 + f) / 2 for t, f in zip(case.ns, case.fairness)]
    slow = [t / f for t, f in zip(fast, case.fairness)]
    return [f"{text}. One waits {nanoseconds(Figure.of(fast))}, "
            f"the other {nanoseconds(Figure.of(slow))}."]


def fairness(case):
    return f"{case.fair.mid:.2f} ({spread(case.fair)})" if case and case.fairness else "-"
