"""Hash tables in C: LockingDict's and its peers', without Python around them. Of the same keys, whose
hashes are there already; see tables/tables.h.
"""

import ctypes
import os
from pathlib import Path

from cases import Case
from loops import choose_rounds

# `make bench-objects` builds these, those of others where their headers are.
LIBRARIES = {"objects/dict/map.c": "table_map.so", "liburcu cds_lfht": "table_urcu.so",
             "Concurrency Kit ck_ht": "table_ck.so"}
FOLDER = Path(os.environ.get("OT_BENCH_TABLES", ""))
FOUND = {name: FOLDER / file for name, file in LIBRARIES.items()
         if "OT_BENCH_TABLES" in os.environ and (FOLDER / file).exists()}
MISSING = {name: "`make bench-objects` builds it, with the Debian packages of tools/get_peers"
           for name in LIBRARIES if name not in FOUND}


class Table:
    """So many threads on a table of n keys; seconds for one operation of all."""

    def __init__(self, path, n, mix, threads, options):
        self._library = ctypes.CDLL(path)
        self._library.bench_tables_new.restype = ctypes.c_void_p
        self._library.bench_tables_run.restype = ctypes.c_double
        self._table = ctypes.c_void_p(self._library.bench_tables_new(ctypes.c_size_t(n)))
        if self._table.value is None:
            raise MemoryError(f"{path}: {n} keys")
        self._mix, self._threads = mix, threads
        cpus = options.pair[:threads]
        self._cpus = (ctypes.c_int * threads)(*(-1 if cpu is None else cpu for cpu in cpus))

    def calibrate(self, seconds):
        self._rounds = choose_rounds(self._run, seconds)

    def measure(self):
        return self._run(self._rounds) / self._rounds / self._threads

    def close(self):
        self._library.bench_tables_free(self._table)

    def _run(self, rounds):
        seconds = self._library.bench_tables_run(self._table, self._mix, self._threads,
                                                 ctypes.c_long(rounds), self._cpus)
        if seconds < 0:
            raise AssertionError("a table lost a key, or a thread could not be started")
        return seconds


def ways(of_keys, mix):
    def make(options):
        return {f"{name}, {threads} thread{'s' * (threads > 1)}":
                Table(path, of_keys(options), mix, threads, options)
                for name, path in FOUND.items() for threads in (1, 2)}
    return make


def one(_options):
    return 1


def many(options):
    return options.keys


CASES = [
    Case("table_hot", "C tables: look one key up", ways(one, False), missing=MISSING),
    Case("table_read", "C tables: look keys up all over a large table", ways(many, False),
         missing=MISSING),
    Case("table_mix", "C tables: 90 % look up, 10 % replace a value", ways(many, True),
         missing=MISSING),
] if FOUND else []
