"""All executions of a small program that C's memory model allows: the RC11 model of Lahav et al. (PLDI 2017).

A program is a tuple of threads; a thread is a generator function that yields operations (load, store, ...) and
gets their results. `explore` builds the executions event by event, in every order that matters, and reports
what the threads return, and what goes wrong: a check that fails, a data race on plain memory, a thread that
waits for ever.

Main invariant: an event is added after all that happens before it, so its `hb` is complete when it is added
and never changes. (RC11 has no execution in which a load reads from a store that depends on it, so every
execution can be built in such an order. Hardware that reorders a relaxed load behind a later relaxed store is
thereby left out.)

Release sequences are those of C++20. `light` and `heavy` are the two halves of a membarrier: of each pair, one
happens before the other. The threads' orders that do not matter are not tried: a store, a fence and an access
to plain memory are added at once, for later events see all their effects.
"""

from dataclasses import dataclass
from typing import NamedTuple

RLX, ACQ, REL, ACQ_REL, SC = "relaxed", "acquire", "release", "acq_rel", "seq_cst"
PLAIN = "plain"
INITIAL = -1  # the event that wrote a place's first value
FREED = "freed"
ROOM = 48  # events of a thread


class Operation(NamedTuple):
    kind: str  # load store update cas fence light heavy choose
    place: str = ""
    order: str = PLAIN
    value: object = None  # to be stored; of an update: a function of the old value; of choose: the choices
    where: object = None  # loads: a test; the thread waits until a value passes it
    expected: object = None  # cas
    failure: str = RLX  # cas: the order of the load that finds another value


def load(place, order, where=None):
    return Operation("load", place, order, where=where)


def store(place, value, order):
    return Operation("store", place, order, value)


def update(place, function, order, where=None):
    """An atomic read-modify-write; its result is the old value."""
    return Operation("update", place, order, function, where)


def cas(place, expected, value, order, failure=RLX):
    """A strong compare-and-swap; its result is the old value."""
    return Operation("cas", place, order, value, expected=expected, failure=failure)


def fence(order):
    return Operation("fence", order=order)


def light():
    return Operation("light")


def heavy():
    return Operation("heavy", order=SC)


def peek(place):
    """A load that is not atomic."""
    return Operation("load", place)


def poke(place, value):
    """A store that is not atomic."""
    return Operation("store", place, PLAIN, value)


def choose(*values):
    return Operation("choose", value=values)


def lock(place, order=ACQ):
    return update(place, lambda old: 1, order, where=lambda old: old == 0)


def unlock(place, order=REL):
    return store(place, 0, order)


class Violation(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Violation(text)


class Event(NamedTuple):
    id: int
    thread: int
    kind: str  # load store update fence light heavy
    place: str
    order: str
    value: object  # written
    source: int  # id of the event that it read from
    hb: int  # all that happens before it: a bit an event
    release: int  # what who acquires its value has behind it


class Thread(NamedTuple):
    results: tuple = ()
    sources: tuple = ()  # of the events, for State.key
    hb: int = 0  # all that happens before its next event
    pending: int = 0  # what an acquire fence would add to that
    fenced: int = 0  # what was before its last release fence


def acquires(order):
    return order in (ACQ, ACQ_REL, SC)


def releases(order):
    return order in (REL, ACQ_REL, SC)


def reads(event):
    return event.kind in ("load", "update")


def writes(event):
    return event.kind in ("store", "update")


@dataclass
class State:
    threads: tuple
    events: dict
    mo: dict  # place -> ids of its stores, in their order
    fault: str = ""  # the last event is half of a race

    def key(self):
        asymmetric = tuple((e.id, e.hb) for e in self.events.values() if e.kind in ("light", "heavy"))
        return (tuple((t.sources, t.results) for t in self.threads), tuple(sorted(self.mo.items())),
                tuple(sorted(asymmetric)))


class Outcome(NamedTuple):
    returned: set  # what the threads returned, a tuple an execution
    violations: list  # texts
    states: int


class Explorer:
    def __init__(self, threads, initial=None, final=None, may_block=False):
        self.functions, self.initial, self.final, self.may_block = threads, initial or {}, final, may_block
        self.next_operations = {}

    def run(self, most=2_000_000):
        stack, seen = [State(tuple(Thread() for _ in self.functions), {}, {})], set()
        returned, violations = set(), {}
        while stack:
            state = stack.pop()
            key = state.key()
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > most:
                raise RuntimeError(f"more than {most} states")
            try:
                check(not state.fault, state.fault)
                successors = self.successors(state)
                if successors is not None:
                    stack += successors
                elif not has_psc_cycle(state):
                    returned.add(self.end(state))
            except Violation as violation:
                if not has_psc_cycle(state):  # else there is no such execution
                    violations.setdefault(str(violation), self.story(state))
        return Outcome(returned, [f"{text}\n{story}" for text, story in violations.items()], len(seen))

    # ---- threads -----------------------------------------------------------------------------

    def next_of(self, number, results):
        """("operation", what a thread does after these results), or ("returns", value)."""
        if (number, results) not in self.next_operations:
            generator = self.functions[number]()
            try:
                operation = next(generator)
                for result in results:
                    operation = generator.send(result)
                found = "operation", operation
            except StopIteration as end:
                found = "returns", end.value
            self.next_operations[number, results] = found
        return self.next_operations[number, results]

    def successors(self, state):
        """None: no thread can do anything."""
        pending = []
        for number, thread in enumerate(state.threads):
            what, operation = self.next_of(number, thread.results)
            if what == "operation":
                if operation.kind in ("store", "fence") or operation.order == PLAIN and operation.kind == "load":
                    return self.steps(state, number, operation)
                pending.append((number, operation))
        found = [s for number, operation in pending for s in self.steps(state, number, operation)]
        return found or (None if self.nothing_left(state, pending) else found)

    def nothing_left(self, state, pending):
        """Whether no thread has a step; and not only none that seq_cst allows."""
        return not any(o.kind in ("light", "heavy", "choose") or self.sources(state, n, o) for n, o in pending)

    def end(self, state):
        values = []
        for number, thread in enumerate(state.threads):
            what, value = self.next_of(number, thread.results)
            if what == "operation":
                if self.may_block:
                    value = "blocked"
                else:
                    raise Violation(f"{self.functions[number].__name__} waits for ever for {value.place}")
            values.append(value)
        if self.final is not None:
            self.final(*values)
        return tuple(values)

    # ---- steps -------------------------------------------------------------------------------

    def steps(self, state, number, operation):
        if operation.kind == "choose":
            return [self.without_event(state, number, value) for value in operation.value]
        if operation.kind in ("fence", "light", "heavy"):
            made = [self.add_fence(state, number, operation)]
        elif operation.kind == "store":
            made = self.add_stores(state, number, operation)
        else:
            made = [self.add_read(state, number, operation, at) for at in self.sources(state, number, operation)]
        if operation.order == SC:
            made = [s for s in made if not has_psc_cycle(s)]
        return made

    @staticmethod
    def without_event(state, number, result):
        thread = state.threads[number]
        return State(replaced(state.threads, number, thread._replace(results=(*thread.results, result))),
                     state.events, state.mo)

    def stores_of(self, state, place):
        return state.mo.get(place, (INITIAL,))

    def value_of(self, state, place, id):
        return self.initial.get(place, 0) if id == INITIAL else state.events[id].value

    def bound(self, state, place, hb):
        """The index of the oldest store that what comes after `hb` may still see."""
        order = self.stores_of(state, place)
        seen = 0
        for event in state.events.values():
            if event.place == place and hb >> event.id & 1:
                seen = max(seen, order.index(event.id if writes(event) else event.source))
        return seen

    def sources(self, state, number, operation):
        """Indices of the stores that a load, update or cas may read from."""
        order = self.stores_of(state, operation.place)
        bound = self.bound(state, operation.place, state.threads[number].hb)
        if operation.order == PLAIN:
            return [len(order) - 1]  # add() finds the race if that is not the only one
        return [at for at in range(bound, len(order)) if self.can_read(state, operation, order, at)]

    def can_read(self, state, operation, order, at):
        value = self.value_of(state, operation.place, order[at])
        if operation.where is not None and not operation.where(value):
            return False
        if operation.kind == "load" or operation.kind == "cas" and value != operation.expected:
            return True
        after = state.events[order[at + 1]] if at + 1 < len(order) else None
        return after is None or after.kind != "update" or after.source != order[at]

    def add_read(self, state, number, operation, at):
        order = self.stores_of(state, operation.place)
        source = order[at]
        value = self.value_of(state, operation.place, source)
        updates = operation.kind == "update" or operation.kind == "cas" and value == operation.expected
        strength = operation.failure if operation.kind == "cas" and not updates else operation.order
        thread = state.threads[number]
        released = 0 if source == INITIAL else state.events[source].release
        if acquires(strength):
            thread = thread._replace(hb=thread.hb | released)
        else:
            thread = thread._replace(pending=thread.pending | released)
        written, mo = None, state.mo
        id = number * ROOM + len(thread.sources)
        if updates:
            written = operation.value(value) if operation.kind == "update" else operation.value
            mo = {**mo, operation.place: (*order[:at + 1], id, *order[at + 1:])}
        event = Event(id, number, "update" if updates else "load", operation.place, strength, written, source,
                      thread.hb, self.release(thread, id, strength) | released if updates else 0)
        return self.add(state, thread, event, value, mo)

    def add_stores(self, state, number, operation):
        thread = state.threads[number]
        id = number * ROOM + len(thread.sources)
        event = Event(id, number, "store", operation.place, operation.order, operation.value, INITIAL, thread.hb,
                      self.release(thread, id, operation.order))
        order = self.stores_of(state, operation.place)
        made = []
        for at in range(self.bound(state, operation.place, thread.hb) + 1, len(order) + 1):
            after = state.events[order[at]] if at < len(order) else None
            if after is not None and after.kind == "update" and after.source == order[at - 1]:
                continue
            mo = {**state.mo, operation.place: (*order[:at], id, *order[at:])}
            made.append(self.add(state, thread, event, None, mo))
        return made

    @staticmethod
    def release(thread, id, order):
        return thread.hb | 1 << id if releases(order) else thread.fenced

    def add_fence(self, state, number, operation):
        thread = state.threads[number]
        id = number * ROOM + len(thread.sources)
        hb = thread.hb
        if acquires(operation.order):
            hb |= thread.pending
        other = {"light": "heavy", "heavy": "light"}.get(operation.kind)
        for event in state.events.values():
            if event.kind == other:
                hb |= event.hb | 1 << event.id
        thread = thread._replace(hb=hb)
        if releases(operation.order):
            thread = thread._replace(fenced=hb | 1 << id)
        event = Event(id, number, operation.kind, "", operation.order, None, INITIAL, hb, 0)
        return self.add(state, thread, event, None, state.mo)

    def add(self, state, thread, event, result, mo):
        thread = thread._replace(results=(*thread.results, result), sources=(*thread.sources, event.source),
                                 hb=thread.hb | 1 << event.id)
        return State(replaced(state.threads, event.thread, thread), {**state.events, event.id: event}, mo,
                     self.race(state, event))

    def race(self, state, event):
        for other in state.events.values():
            if (event.place and other.place == event.place and PLAIN in (event.order, other.order)
                    and (writes(event) or writes(other)) and not event.hb >> other.id & 1):
                names = [self.functions[e.thread].__name__ for e in (other, event)]
                return f"{names[0]} and {names[1]} race for {event.place}"
        return ""

    def story(self, state):
        lines = []
        for event in sorted(state.events.values()):
            value = "" if event.value is None else f" := {event.value}"
            if reads(event):
                value += f" (was {self.value_of(state, event.place, event.source)})"
            lines.append(f"    {self.functions[event.thread].__name__}: {event.kind} {event.place}{value} {event.order}")
        return "\n".join(lines)


def replaced(threads, number, thread):
    return (*threads[:number], thread, *threads[number + 1:])


# ---- the order of seq_cst events -----------------------------------------------------------------

def bits(mask):
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def has_psc_cycle(state):
    """Whether RC11's `psc` has a cycle: relations as masks of successors."""
    events = state.events
    strong = [e for e in events.values() if e.order == SC]
    if len(strong) < 2:
        return False
    hb = {id: 0 for id in events}
    for event in events.values():
        for before in bits(event.hb):
            hb[before] |= 1 << event.id
    mo, rb, rf = communication(state)
    scb = {id: scb_of(events, hb, event) | mo[id] | rb[id] for id, event in events.items()}
    eco = {id: rf[id] | mo[id] | rb[id] | union(rf, mo[id] | rb[id]) for id in events}
    psc = {}
    for event in strong:
        start = 1 << event.id
        if not event.place:
            start |= hb[event.id]
            far = union(hb, union(eco, hb[event.id])) | hb[event.id]
        reach = union(scb, start)
        psc[event.id] = 0
        for other in strong:
            ends = 1 << other.id | (0 if other.place else other.hb)
            if reach & ends or not event.place and not other.place and far >> other.id & 1:
                psc[event.id] |= 1 << other.id
    return is_cyclic(psc)


def communication(state):
    """mo, reads-before and reads-from."""
    mo, rb, rf = ({id: 0 for id in state.events} for _ in range(3))
    after = {}  # (place, id of a store) -> later stores
    for place, order in state.mo.items():
        later = 0
        for id in reversed(order):
            after[place, id] = later
            if id != INITIAL:
                mo[id] = later
                later |= 1 << id
    for event in state.events.values():
        if reads(event):
            rb[event.id] = after.get((event.place, event.source), 0) & ~(1 << event.id)
            if event.source != INITIAL:
                rf[event.source] |= 1 << event.id
    return mo, rb, rf


def scb_of(events, hb, event):
    """sb, hb between accesses of one place, and sb;hb;sb whose sb lead to other places."""
    found, away = 0, 0
    for id in bits(hb[event.id]):
        other = events[id]
        if other.thread == event.thread:
            found |= 1 << id
            if not event.place or other.place != event.place:
                away |= 1 << id
        elif event.place and other.place == event.place:
            found |= 1 << id
    for id in bits(union(hb, away)):
        for later in bits(hb[id]):
            if events[later].thread == events[id].thread and (not events[id].place or events[later].place != events[id].place):
                found |= 1 << later
    return found


def union(relation, mask):
    found = 0
    for id in bits(mask):
        found |= relation[id]
    return found


def is_cyclic(relation):
    left = dict(relation)
    while True:
        nodes = sum(1 << id for id in left)
        ends = [id for id, after in left.items() if not after & nodes]
        if not ends:
            return bool(left)
        for id in ends:
            del left[id]


def explore(*threads, initial=None, final=None, may_block=False):
    return Explorer(threads, initial, final, may_block).run()
