"""Containers that threads of a free-threaded CPython use at once: ours, dict and list, cereggii's and ft_utils'.

A case is one statement, done by 1, 2 and more threads on one container; a way is one container. A thread that is
joined by another on a shared machine may get less of it, whatever the container does: so a row also has the control, how
much faster than one so many independent C threads were in the same minute.

Main invariant: each repetition measures every way with every number of threads, and the control of that number.
"""

import os
import threading
import time
from statistics import median

from objtunnel import LockingDict, LockingList
from objtunnel.demo.control import Control
from objtunnel.demo.table import format_table, format_time

import peers
from loops import UNROLLED, choose_rounds, make_loop

KEYS = 1000
FOUND, MISSING = peers.FOUND, peers.MISSING


def key(who, i):
    return f"key {who} {i % KEYS}"


def filled(container, threads):
    for who in range(threads):
        for i in range(KEYS):
            container[key(who, i)] = i
    container["hot"] = 1
    return container


def make_dict(threads):
    return filled({}, threads)


def make_locking_dict(threads):
    return filled(LockingDict(), threads)


def make_peer(name):
    return lambda threads: filled(FOUND[name](), threads)


class Guarded:
    """A dict and the lock that makes `+=` on it one step."""

    def __init__(self):
        self.d, self.lock = {"hot": 1}, threading.Lock()


DICTS = {"dict": make_dict, "LockingDict": make_locking_dict, **{name: make_peer(name) for name in FOUND}}
STR, TREE = "text of a value", [[1, 2.5], {"a": "b"}]


def holding(value, make):
    """make's dict with the value under "hot"."""
    def made(threads):
        d = make(threads)
        d["hot"] = value
        return d
    return made


def reads(statement, makers):
    return {name: (statement, make) for name, make in makers.items()}


# {case: {way: (statement, make(threads))}}. In a statement: c the container, k a key of the thread's own, i a number.
CASES = {
    "locking_get_hot_int": reads("c['hot']", DICTS),
    "locking_get_hot_str": reads("c['hot']", {name: holding(STR, make) for name, make in DICTS.items()}),
    "locking_get_hot_tree": {"LockingDict": ("c['hot']", holding(TREE, make_locking_dict)),
                             "dict, deepcopy": ("deepcopy(c['hot'])", holding(TREE, make_dict))},
    "locking_get_own": reads("c[k]", DICTS),
    "locking_set_own": reads("c[k] = i", DICTS),
    "locking_add_hot": {"LockingDict.add": ("c.add('hot')", make_locking_dict),
                        "dict and Lock": ("with c.lock: c.d['hot'] += 1", lambda threads: Guarded())},
    "locking_list_get": {"list": ("c[7]", lambda threads: list(range(100))),
                         "LockingList": ("c[7]", lambda threads: LockingList(range(100)))},
    "locking_list_append_pop": {"list": ("c.append(i); c.pop()", lambda threads: list(range(100))),
                                "LockingList": ("c.append(i); c.pop()", lambda threads: LockingList(range(100)))},
}
NAMES = list(CASES)


def together(loop, container, threads, rounds):
    """Seconds from the common start of so many threads to the end of the last."""
    start = threading.Barrier(threads + 1)

    def work(who):
        k = key(who, 7)
        start.wait()
        loop(rounds, container, k, who)

    workers = [threading.Thread(target=work, args=(who,)) for who in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    begin = time.perf_counter()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begin


def make_statement_loop(statement):
    from copy import deepcopy
    loop = make_loop(statement, ("c", "k", "i", "deepcopy"))
    return lambda rounds, c, k, i: loop(rounds, c, k, i, deepcopy)


class Locking:
    """Measures cases; threads: 1, 2, 4 ... and the number of CPUs."""

    def __init__(self, smoke, repeat):
        self.seconds = 0.005 if smoke else 0.2
        self.repeat = repeat
        most = max(2, os.cpu_count() or 1)
        self.threads = sorted({1, *(n for n in (2, 4, 8, 16) if n <= most), most})
        self.controls = {n: Control(n, self.seconds) for n in self.threads if n > 1}

    def case(self, name):
        """{"ways": {way: {threads: ns of each op, all threads together}}, "control": {threads: samples}}."""
        loops = {way: (make_statement_loop(statement), make) for way, (statement, make) in CASES[name].items()}
        rounds = {way: choose_rounds(lambda n: together(loop, make(1), 1, n), self.seconds)
                  for way, (loop, make) in loops.items()}
        times = {way: {n: [] for n in self.threads} for way in loops}
        control = {n: [] for n in self.threads if n > 1}
        order = list(loops)
        for _ in range(self.repeat):
            for n in self.threads:
                for way in order:
                    loop, make = loops[way]
                    took = together(loop, make(n), n, rounds[way])
                    times[way][n].append(took * 1e9 / (n * rounds[way] * UNROLLED))
                if n > 1:
                    control[n].append(self.controls[n].sample())
            order.reverse()
        return {"ways": {way: {str(n): t for n, t in by.items()} for way, by in times.items()},
                "control": {str(n): c for n, c in control.items()}}


def print_cases(record):
    """Time of one operation of one thread, and how much more all get done than one, with its least and greatest."""
    for name, case in record["locking"].items():
        counts = list(case["control"])
        rows = []
        for way, times in case["ways"].items():
            gains = [sorted(one / many for one, many in zip(times["1"], times[n])) for n in counts]
            rows.append([way, format_time(median(times["1"]) / 1e9),
                         *(f"{median(g):.2f} ({g[0]:.2f}..{g[-1]:.2f})" for g in gains)])
        rows.append(["control", "", *(f"{median(case['control'][n]):.2f}" for n in counts)])
        print("\n" + format_table([name, "1 thread", *(f"{n} threads do" for n in counts)], rows))
    for name, why in record["locking_missing"].items():
        print(f"left out: {name} ({why})")
