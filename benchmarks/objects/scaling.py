"""How much more two workers get done than one, on one container that both use.

CPUs of a shared machine are not equally fast at all times, and no container can help that: so each
worker is compared with itself. Alone, each does its rounds by itself; together, both do at once.
What both get done together is the sum of alone / together: 2 if neither is in the other's way.

Main invariant: each repetition measures both workers alone, together, and the control of independent
C threads (objtunnel.demo.control) one after the other; a share of the control is one repetition's.
"""

import random
from dataclasses import dataclass, field
from typing import Callable

from targets import Figure

from crew import Crew
from loops import UNROLLED, choose_rounds, make_loop

HOT_KEY = "hot"
MIX = "\n".join(["        for k0, k1, k2, k3, k4, k5, k6, k7, k8, k9 in chunks:",
                 *(f"            d[k{i}]" for i in range(9)), "            d[k9] = 1"])
CHUNK = 10
WORKERS = (0, 1)


@dataclass(frozen=True)
class Way:
    """prepare(worker's number, container, options.keys): what the workers keep; step(that, rounds).
    make(keys): the container that both use; None: each its own."""

    in_threads: bool
    make: Callable | None


@dataclass(frozen=True)
class Scaling:
    """A case: ways {name: Way} of doing `what`; goal: the least share of the control, {way: share}."""

    name: str
    what: str
    prepare: Callable
    ways: dict
    goals: dict
    missing: dict = field(default_factory=dict)


# ---- in the workers ------------------------------------------------------------------------------

def key_name(i):
    return f"key {i}"


def fill(container, keys):
    for i in range(keys):
        container[key_name(i)] = i
    container[HOT_KEY] = 1
    return container


def prepare_hot(_who, container, keys):
    """Reads of one key."""
    del keys
    d = fill({}, 100) if container is None else container
    loop = make_loop("d[k]", ("d", "k"))
    return lambda rounds: loop(rounds, d, HOT_KEY), UNROLLED


def prepare_mix(who, container, keys):
    """Nine reads, one write, all over the container."""
    names = [key_name(i) for i in range(keys)]
    if container is None:
        container = {name: i for i, name in enumerate(names)}
    rng = random.Random(who)
    chunks = [tuple(rng.choices(names, k=CHUNK)) for _ in range(max(1, keys // CHUNK // 2))]
    space = {}
    exec(f"def loop(rounds, d, chunks):\n    for _ in range(rounds):\n{MIX}\n", space)
    return lambda rounds: space["loop"](rounds, container, chunks), CHUNK * len(chunks)


def step(kept, rounds):
    loop, _ = kept
    loop(rounds)


def operations(kept):
    return kept[1]


# ---- here ----------------------------------------------------------------------------------------

def run(case, options):
    """{"ways": {way: {"one", "two": [[each worker's seconds for one operation]]}}, "control": [...]}:
    alone and together."""
    open_ways = {}
    record = {"ways": {name: {"one": [], "two": []} for name in case.ways}, "control": []}
    try:
        for name, way in case.ways.items():
            open_ways[name] = _Measurement(case, way, options)
        order = list(open_ways)
        for _ in range(options.repeat):
            record["control"].append(options.sample_control())
            for name in order:
                alone, together = open_ways[name].measure()
                record["ways"][name]["one"].append(alone)
                record["ways"][name]["two"].append(together)
            order.reverse()
    finally:
        for measurement in open_ways.values():
            measurement.close()
    return record


class _Measurement:
    def __init__(self, case, way, options):
        container = way.make() if way.make is not None else None
        if container is not None:
            fill(container, options.keys)
        self._crew = Crew(way.in_threads, options.pair, options.cpus)
        self._crew.prepare(case.prepare, container, options.keys)
        self._operations = self._crew.run(2, operations)[1]
        self._rounds = [choose_rounds(lambda n, w=who: self._crew.time_each([w], step, {w: n})[0],
                                      options.seconds) for who in WORKERS]

    def measure(self):
        alone = [self._crew.time_each([who], step, self._rounds)[0] for who in WORKERS]
        together = self._crew.time_each(WORKERS, step, self._rounds)
        return self._for_once(alone), self._for_once(together)

    def _for_once(self, took):
        return [seconds / (self._rounds[who] * self._operations[who])
                for who, seconds in zip(WORKERS, took)]

    def close(self):
        self._crew.close()


def alone(samples):
    """Seconds for one operation of one worker, the mean of both, one for each repetition."""
    return [sum(times) / len(times) for times in samples["one"]]


def together(samples):
    """Seconds for one operation of any of two."""
    return [1 / sum(1 / t for t in times) for times in samples["two"]]


def factors(samples):
    """How many times the work of one, one for each repetition."""
    return [sum(one / two for one, two in zip(alone, together))
            for alone, together in zip(samples["one"], samples["two"])]


def shares(samples, control):
    """factors(), each as a share of what independent C threads get."""
    return [factor / free for factor, free in zip(factors(samples), control)]


def figures(record):
    for name, case in record["scaling"].items():
        for way, share in case["goals"].items():
            if way in case["ways"]:
                yield Figure(name, f"{way}: of the control's scaling",
                             shares(case["ways"][way], case["control"]), share, True, "x")
