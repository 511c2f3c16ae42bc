"""What bench_beside.py times, in a process of its own: one case, one repetition.

    python -c "import beside_cases; beside_cases.main()" CASE COUNT

prints {"seconds": for one operation, "answer": what both builds must agree on} as JSON. Two interpreters work at once, each
for itself, except in the cases that end in `_one`. What they prepare is not timed.
"""

import collections
import itertools
import json
import random
import re
import sys
import time

from objtunnel import Box, Interpreter, LockingDict, freeze, start, wait, when

import inputs

WORDS = re.compile(r"\w+")


# ---- programs that read a frozen tree: (what is frozen, the interpreter's own data), then (tree, data) -> (operations, answer)

TEXTS, KEYS = 40, 30_000  # sources that are read; keys of the configuration


def word_counts():
    return dict(collections.Counter(word for text in inputs.source_texts(TEXTS) for word in WORDS.findall(text)))


def own_words(who, count):
    words = [word for text in inputs.source_texts(TEXTS)[who::2] for word in WORDS.findall(text)]
    return list(itertools.islice(itertools.cycle(words), count))


def look_up_words(counts, words):
    """How common the words of a text are, each looked up where it stands."""
    return len(words), sum(counts[word] for word in words)


def config():
    return inputs.config(KEYS)


def own_keys(who, count):
    return [f"key {i}" for i in random.Random(who).choices(range(KEYS), k=count)]


def look_up_config(tree, keys):
    """The workload `config` of bench-peers: a big dict of dicts, read all over."""
    return len(keys), sum(tree[key]["weight"] for key in keys)


def rates():
    return {f"C{i:02}": {"rate": 1 + i / 32, "digits": i % 3, "name": f"currency {i}"} for i in range(32)}


def own_amounts(who, count):
    """A few currencies are in most rows."""
    names = [f"C{i:02}" for i in range(32)]
    return random.Random(who).choices([{"amount": i % 977, "currency": names[int(31 * (i / 4096) ** 3)]} for i in range(4096)],
                                      k=count)


def convert(tree, rows):
    """A small table that each row is looked up in."""
    total = 0.0
    for row in rows:
        currency = tree[row["currency"]]
        total += round(row["amount"] * currency["rate"], currency["digits"])
    return len(rows), round(total, 6)


SIDE = 60


def grid():
    """Which places of a grid one gets to from each, and how far that is."""
    rng = random.Random(1)
    return [[(y * SIDE + x, rng.randint(1, 9)) for x, y in ((i % SIDE + 1, i // SIDE), (i % SIDE, i // SIDE + 1))
             if x < SIDE and y < SIDE] for i in range(SIDE * SIDE)]


def own_starts(who, count):
    return [random.Random(who + i).randrange(SIDE * SIDE // 4) for i in range(max(1, count // (SIDE * SIDE)))]


def find_ways(edges, starts):
    """The shortest ways from a place to all others, in a frozen graph."""
    seen = total = 0
    for first in starts:
        far = {first: 0}
        for i in range(first, len(edges)):
            if i in far:
                seen += 1
                for to, way in edges[i]:
                    far[to] = min(far.get(to, 10 ** 9), far[i] + way)
        total += sum(far.values())
    return seen, total


def settings():
    return {"limits": {"upload": {"bytes": 1_000_000, "files": 20}, "seconds": 2.5}, "names": {"host": "example", "port": 8080}}


def own_sizes(who, count):
    return random.Random(who).choices(range(2_000_000), k=count)


def check_sizes(tree, sizes):
    """A few settings, asked for again and again."""
    return len(sizes), sum(size <= tree["limits"]["upload"]["bytes"] and tree["names"]["port"] == 8080 for size in sizes)


FROZEN = {
    "frozen_words": (word_counts, own_words, look_up_words),
    "frozen_config": (config, own_keys, look_up_config),
    "frozen_rates": (rates, own_amounts, convert),
    "frozen_grid": (grid, own_starts, find_ways),
    "frozen_settings": (settings, own_sizes, check_sizes),
}
_kept = {}


def prepare(name, tree, who, count):
    _kept[name] = (tree, FROZEN[name][1](who, count))
    FROZEN[name][2](tree, FROZEN[name][1](who, 1000))


def work(name):
    return timed(FROZEN[name][2], *_kept[name])


def read_frozen(name, count):
    return by_two(prepare, work, name, freeze(FROZEN[name][0]()), count)


# ---- LockingDict.popitem -------------------------------------------------------------------------

def fill(name, d, who, count):
    _kept[name] = d, [f"{who} {i % 1000}" for i in range(count)]


def put_and_pop(d, keys):
    """Each key is put in, and the newest is taken out again."""
    for key in keys:
        d[key] = 1
        d.popitem()
    return len(keys), 0


def pop(name):
    return timed(put_and_pop, *_kept[name])


def filled():
    d = LockingDict()
    d.update((f"key {i}", i) for i in range(1000))
    return d


def popitem_one(name, count):
    fill(name, filled(), 0, count)
    (operations, answer), began, ended = pop(name)
    return (ended - began) / operations, answer


def popitem_two(name, count):
    return by_two(fill, pop, name, filled(), count)


# ---- behaviours: what the crew's workers take out of their queues --------------------------------

def behaviours(name, count):
    """Chains of empty behaviours, each on a box of its own, by two workers."""
    del name
    start(2)
    boxes = [Box(0) for _ in range(64)]
    for box in boxes:  # the workers are up
        when(box)(empty)
    wait()
    began = time.perf_counter_ns()
    for i in range(count):
        when(boxes[i % 64])(empty)
    wait()
    return (time.perf_counter_ns() - began) / count, 0


def empty(box):
    pass


CASES = {  # what runs it, operations of each worker
    **{name: (read_frozen, 200_000) for name in FROZEN},
    "popitem_one": (popitem_one, 200_000),
    "popitem_two": (popitem_two, 100_000),
    "behaviours": (behaviours, 20_000),
}


# ---- running -------------------------------------------------------------------------------------

def timed(function, *arguments):
    began = time.perf_counter_ns()
    result = function(*arguments)
    return result, began, time.perf_counter_ns()


def by_two(prepare, work, name, shared, count):
    """Nanoseconds for one operation of any of two interpreters: the clock is the process's."""
    with Interpreter("one") as one, Interpreter("two") as two:
        for job in [worker.submit(prepare, name, shared, who, count) for who, worker in enumerate((one, two))]:
            job.result()
        done = [job.result() for job in [worker.submit(work, name) for worker in (one, two)]]
    took = max(ended for _, _, ended in done) - min(began for _, began, _ in done)
    return took / sum(result[0] for result, _, _ in done), [result[1] for result, _, _ in done]


def main():
    name, count = sys.argv[1], int(sys.argv[2])
    nanoseconds, answer = CASES[name][0](name, count)
    print(json.dumps({"seconds": nanoseconds / 1e9, "answer": answer}))
