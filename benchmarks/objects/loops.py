"""Statements timed in a loop of their own.

Main invariant: what is timed is a function made of the statement, UNROLLED times in a row in a for
loop, whose names are its locals. So the loop costs a statement a few tenths of a nanosecond, and
CPython specialises the statement as it would in a program.
"""

from time import perf_counter_ns

UNROLLED = 20


def make_loop(statement, names):
    """A function (rounds, *values of the names) that returns nanoseconds for UNROLLED * rounds
    times the statement."""
    body = "\n".join(f"        {line}" for _ in range(UNROLLED) for line in statement.split("\n"))
    source = (f"def loop(rounds, {', '.join(names)}):\n"
              f"    began = clock()\n"
              f"    for _ in range(rounds):\n{body}\n"
              f"    return clock() - began\n")
    space = {"clock": perf_counter_ns}
    exec(source, space)
    return space["loop"]


def choose_rounds(measure, seconds):
    """How many rounds take about so long; measure(rounds) is seconds. Warms up, too."""
    rounds = 1
    while (took := measure(rounds)) < seconds / 4:
        rounds *= 4 if took < seconds / 16 else 2
    return max(1, int(rounds * seconds / took))


class Statement:
    """One way of doing something in one interpreter: measure() is seconds for once."""

    def __init__(self, statement, **names):
        self._loop = make_loop(statement, names)
        self._values = list(names.values())
        self._rounds = 1

    def calibrate(self, seconds):
        self._rounds = choose_rounds(lambda n: self._loop(n, *self._values) / 1e9, seconds)

    def measure(self):
        took = self._loop(self._rounds, *self._values)
        return took / (self._rounds * UNROLLED) / 1e9
