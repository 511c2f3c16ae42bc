"""objects/dict/epoch.{h,c}: what a reader may still be looking at is not freed."""

from explorer import (ACQ, ACQ_REL, FREED, REL, RLX, SC, cas, check, fence, heavy, light, load, lock, peek, poke, store, unlock,
                      update)
from protocols import Order, Protocol

HEADER, SOURCE, TTAS, CPU = "objects/dict/epoch.h", "objects/dict/epoch.c", "atomics/lock/ttas.h", "atomics/cpu.h"

LOCK = (
    Order("lock", ACQ, RLX, True, TTAS, "ot_lk_ttas_lock", "atomic_exchange_explicit(&lk->taken, true, memory_order_acquire)"),
    Order("unlock", REL, RLX, True, TTAS, "ot_lk_ttas_unlock", "atomic_store_explicit(&lk->taken, false, memory_order_release)"),
)
READING = (
    Order("announce", RLX, None, False, HEADER, "ot_epoch_enter_as", "atomic_store_explicit(&me->turn, turn, memory_order_relaxed)"),
    Order("leave", REL, RLX, True, HEADER, "ot_epoch_leave", "atomic_store_explicit(&me->turn, turn, memory_order_release)"),
    Order("find", ACQ, None, False, "objects/dict/map.h", "ot_map_next_link",
          "atomic_load_explicit(&node->next, memory_order_acquire)"),
)
COLLECTING = (
    Order("begun", SC, RLX, False, SOURCE, "retire", "atomic_load(&gp.begun) + 1", "the barrier before it does the work"),
    Order("look", SC, RLX, True, SOURCE, "is_in_the_way_locked", "atomic_load(&r->turn) == r->noted"),
    Order("over", REL, RLX, True, SOURCE, "advance", "atomic_store_explicit(&gp.over, now, memory_order_release)"),
    Order("ready", ACQ, RLX, True, SOURCE, "take_ready", "atomic_load_explicit(&gp.over, memory_order_acquire)"),
    Order("retire's barrier", SC, None, True, SOURCE, "retire", "ot_full_barrier()"),
)
BEGIN = SOURCE, "begin_locked", "atomic_fetch_add(&gp.begun, 1)"
NOTE = SOURCE, "begin_locked", "r->noted = atomic_load(&r->turn)"
LIGHT = Order("light", "light", None, True, HEADER, "ot_epoch_enter_as", "atomic_signal_fence(memory_order_seq_cst)")
HEAVY = Order("heavy", "heavy", None, True, SOURCE, "begin_locked", "if (!barrier_for_all())")
READERS_BARRIER = Order("reader's barrier", SC, None, True, HEADER, "ot_epoch_enter_as", "ot_full_barrier()")


def announces(asymmetric, o):
    yield store("turn", 1, o["announce"])
    if asymmetric:
        if o["light"] is not None:
            yield light()
    elif o["reader's barrier"] is not None:
        yield fence(o["reader's barrier"])


def reader_of(asymmetric, o):
    def reader():
        yield from announces(asymmetric, o)
        there = yield load("link", o["find"])
        if there:
            entry = yield peek("entry")
            check(entry != FREED, "a reader has what was freed")
        yield store("turn", 2, o["leave"])
        return bool(there)
    return reader


def moved_on(o):
    """everybody_moved_on_locked"""
    noted = yield peek("noted")
    if noted % 2 == 0:
        return True
    turn = yield load("turn", o["look"])
    return turn != noted


def begins(asymmetric, o):
    """begin_locked"""
    yield update("begun", lambda n: n + 1, o["begin"])
    if asymmetric and o["heavy"] is not None:
        yield heavy()
    noted = yield load("turn", o["note"])
    yield poke("noted", noted)


def advances(asymmetric, o, until):
    yield lock("gp", o["lock"])
    while True:
        now = yield load("begun", RLX)
        over = yield load("over", RLX)
        if over < now:
            moved = yield from moved_on(o)
            if not moved:
                break
            yield store("over", now, o["over"])
        if now >= until:
            break
        yield from begins(asymmetric, o)
    yield unlock("gp", o["unlock"])


def remover_of(asymmetric, o):
    def remover():
        yield store("link", 0, REL)
        if o["retire's barrier"] is not None:
            yield fence(o["retire's barrier"])
        after = (yield load("begun", o["begun"])) + 1
        yield from advances(asymmetric, o, after)
        over = yield load("over", o["ready"])
        if after <= over:
            yield poke("entry", FREED)
        return after <= over
    return remover


def collector_of(asymmetric, o):
    def collector():
        yield from advances(asymmetric, o, 1)
    return collector


def threads(asymmetric):
    return lambda o: (reader_of(asymmetric, o), remover_of(asymmetric, o), collector_of(asymmetric, o))


GOES_BOTH_WAYS = (lambda read, freed, _: read and freed, lambda read, freed, _: read and not freed,
                  lambda read, freed, _: not read and freed)

# A reader, a thread that unlinks and frees, and one that begins and ends a grace period for its own sake meanwhile.
WITH_MEMBARRIER = Protocol(
    "epoch_membarrier",
    (*LOCK, *READING, *COLLECTING, LIGHT, HEAVY,
     Order("begin", SC, RLX, False, *BEGIN, "a membarrier follows"),
     Order("note", SC, RLX, True, *NOTE)),
    threads(True), initial={"link": 1}, reaches=GOES_BOTH_WAYS)

WITHOUT_MEMBARRIER = Protocol(
    "epoch_barriers",
    (*LOCK, *READING, *COLLECTING, READERS_BARRIER,
     Order("begin", SC, ACQ_REL, True, *BEGIN),
     Order("note", SC, ACQ, True, *NOTE)),
    threads(False), initial={"link": 1}, reaches=GOES_BOTH_WAYS)


def quiet_threads(asymmetric):
    def threads(o):
        def remover():
            yield store("link", 0, REL)
            if asymmetric:
                if o["heavy"] is not None:
                    yield heavy()
            elif o["quiet's barrier"] is not None:
                yield fence(o["quiet's barrier"])
            turn = yield load("turn", o["first look"])
            if turn % 2 == 1:
                yield load("turn", o["later look"], where=lambda now: now != turn)
            yield poke("entry", FREED)
            return turn
        return reader_of(asymmetric, o), remover
    return threads


QUIET = (
    Order("first look", SC, RLX, True, SOURCE, "ot_epoch_quiet", "uint64_t turn = atomic_load(&r->turn)"),
    Order("later look", SC, RLX, True, SOURCE, "ot_epoch_quiet", "atomic_load(&r->turn) == turn"),
)
QUIET_GOES_BOTH_WAYS = (lambda read, turn: read and turn == 1, lambda read, turn: not read)

# A thread that waits until nobody reads.
QUIET_WITH_MEMBARRIER = Protocol("epoch_quiet_membarrier", (*READING, *QUIET, LIGHT, HEAVY), quiet_threads(True), initial={"link": 1},
                                 reaches=QUIET_GOES_BOTH_WAYS)
QUIET_WITHOUT_MEMBARRIER = Protocol(
    "epoch_quiet_barriers",
    (*READING, *QUIET, READERS_BARRIER, Order("quiet's barrier", SC, None, True, SOURCE, "ot_epoch_quiet", "ot_full_barrier()")),
    quiet_threads(False), initial={"link": 1}, reaches=QUIET_GOES_BOTH_WAYS)


def new_reader_threads(o):
    def reader():
        yield poke("record", "complete")
        yield update("readers", lambda old: 1, o["list"])
        return (yield from reader_of(True, o)())

    def remover():
        yield store("link", 0, REL)
        if o["heavy"] is not None:
            yield heavy()
        listed = yield load("readers", o["walk"])
        if listed:
            record = yield peek("record")
            check(record == "complete", "a record is in the list before it is complete")
            turn = yield load("turn", SC)
            if turn % 2 == 1:
                yield load("turn", SC, where=lambda now: now != turn)
        yield poke("entry", FREED)
        return listed
    return reader, remover


# A thread that reads for the first time puts its record into the list: who misses it there need not wait for it.
NEW_READER = Protocol(
    "epoch_new_reader",
    (*READING, LIGHT, HEAVY,
     Order("list", SC, RLX, True, SOURCE, "new_record", "atomic_compare_exchange_weak(&readers, &r->next, r)"),
     Order("walk", SC, RLX, True, SOURCE, "begin_locked", "ot_reader_t *r = atomic_load(&readers)")),
    new_reader_threads, initial={"link": 1}, reaches=(lambda read, listed: not listed, lambda read, listed: read and listed))


def taken_threads(o):
    def ends():
        yield poke("record", "left")
        yield store("taken", 0, o["give"])

    def begins():
        if (yield load("taken", RLX)):
            return None
        if (yield cas("taken", 0, 1, o["take"])):
            return None
        yield poke("record", "mine")
        return True
    return ends, begins, begins


# A thread's record goes to another one.
TAKEN = Protocol(
    "epoch_taken",
    (Order("give", REL, RLX, True, SOURCE, "thread_ends", "&((ot_reader_t *)record)->taken, false, memory_order_release"),
     Order("take", SC, RLX, True, SOURCE, "take_free_record", "atomic_compare_exchange_strong(&r->taken, &taken, true)")),
    taken_threads, initial={"taken": 1}, reaches=(lambda _, a, b: a and not b,))
