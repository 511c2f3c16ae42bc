"""A small simulator of cores whose caches share lines by a directory and the MESI protocol.

It answers one question: how much do N cores get done that count on the same line? It knows nothing of
instructions but `think` (time without the line), `read` and `count` (a LOCKed read-modify-write).

- A core whose cache has the line in a state that will do is served in `hit`.
- Otherwise its request goes to the line's directory, which serves one request at a time, in the order
  of arrival. After `reach` the former owner learns of it: until then it goes on using the line, after
  its operation under way it has lost it. `carry` later the line is there.
- Without an owner, `fetch` brings the line from memory. Of other cores' copies the last is gone after
  `reach`.

Times are numbers, or functions without arguments that draw them. Main invariant (checked at each change
of a state): an owner (M or E) is alone, and several have a line only as S. What is left out: the size of
caches, the way between cores (each pair is alike), other lines' load on the network.
"""

import heapq
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True)
class Machine:
    """Times in nanoseconds."""

    hit: object = 5.0
    reach: object = 20.0
    carry: object = 40.0
    fetch: object = 80.0


def _draw(time):
    return time() if callable(time) else time


@dataclass
class _Line:
    states: dict = field(default_factory=dict)  # core -> "M", "E" or "S"; not there: I
    queue: list = field(default_factory=list)  # (core, kind), the one being served first
    busy_until: float = 0.0  # an operation under way on it
    value: int = 0
    transactions: int = 0

    def check(self):
        owners = [core for core, state in self.states.items() if state in "ME"]
        if len(owners) > 1 or (owners and len(self.states) > 1):
            raise AssertionError(f"an owner is not alone: {self.states}")


class Simulation:
    """Cores that run programs: generators of ("think", ns), ("read", line) and ("count", line)."""

    def __init__(self, machine, programs):
        self.machine, self.now = machine, 0.0
        self.lines, self.done = {}, [0] * len(programs)
        self.waits = []  # of each count: from its issue to its end
        self._programs = [iter(program) for program in programs]
        self._events, self._order = [], count()
        for core in range(len(programs)):
            self._at(0.0, self._advance, core)

    def run(self, until):
        """Runs up to that time; returns the counts a nanosecond of all cores together."""
        while self._events and self._events[0][0] <= until:
            self.now, _, _, act, arguments = heapq.heappop(self._events)
            act(*arguments)
        self.now = until
        return sum(self.done) / until

    def transactions(self):
        return sum(line.transactions for line in self.lines.values())

    # ---- events

    def _at(self, time, act, *arguments):
        # At the same moment who asked for a line comes before who would use it again: or it never left.
        rank = 0 if act == self._reached else 1
        heapq.heappush(self._events, (time, rank, next(self._order), act, arguments))

    def _advance(self, core):
        step = next(self._programs[core], None)
        if step is None:
            return
        kind, what = step
        if kind == "think":
            self._at(self.now + _draw(what), self._advance, core)
            return
        line = self.lines.setdefault(what, _Line())
        self._use(core, kind, line, self.now)

    def _use(self, core, kind, line, issued):
        state = line.states.get(core)
        if state is not None and (kind == "read" or state in "ME"):
            if kind == "count":
                line.states[core] = "M"
                line.value += 1
            end = self.now + _draw(self.machine.hit)
            if kind == "count":
                line.busy_until = max(line.busy_until, end)
            self._at(end, self._finished, core, kind, issued)
            return
        line.queue.append((core, kind, issued))
        if len(line.queue) == 1:
            self._serve(line)

    def _finished(self, core, kind, issued):
        if kind == "count":
            self.done[core] += 1
            self.waits.append(self.now - issued)
        self._advance(core)

    def _serve(self, line):
        """The directory takes up the first request."""
        line.transactions += 1
        core = line.queue[0][0]
        others = [other for other in line.states if other != core]
        if others:
            self._at(self.now + _draw(self.machine.reach), self._reached, line)
        elif line.states:  # only our own S: nobody to ask
            self._at(self.now, self._arrived, line)
        else:
            self._at(self.now + _draw(self.machine.fetch), self._arrived, line)

    def _reached(self, line):
        """The others learn of it. A LOCKed operation under way is finished first."""
        if line.busy_until > self.now:
            self._at(line.busy_until, self._reached, line)
            return
        core, kind, _ = line.queue[0]
        if kind == "count":
            had = core in line.states
            line.states = {core: "S"} if had else {}
        else:
            had = False
            line.states = {other: "S" for other in line.states}
        line.check()
        # An upgrade moves no data.
        self._at(self.now + (0 if had else _draw(self.machine.carry)), self._arrived, line)

    def _arrived(self, line):
        core, kind, issued = line.queue[0]
        if kind == "count":
            line.states = {core: "M"}
        else:
            line.states[core] = "S" if line.states else "E"
        line.check()
        self._use(core, kind, line, issued)
        line.queue.pop(0)
        if line.queue:
            self._serve(line)


# ---- programs ------------------------------------------------------------------------------------

def counting(line, think=0.0, look=False):
    """Counts for ever. look: reads the count before it, as a test for immortality does."""
    while True:
        if think:
            yield "think", think
        if look:
            yield "read", line
        yield "count", line


def throughput(machine, cores, think=0.0, look=False, until=200_000.0):
    """Counts a nanosecond on one line by so many cores."""
    return Simulation(machine, [counting("line", think, look) for _ in range(cores)]).run(until)
