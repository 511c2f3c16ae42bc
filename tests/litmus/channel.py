"""tunnel/channel.c: no message comes half, no wake-up is lost, qsize() is never below nothing.

pthread's mutexes and semaphores are taken to be what POSIX says: taking one acquires, giving it releases.
"""

from explorer import ACQ, FREED, REL, RLX, SC, check, load, lock, peek, poke, store, unlock, update
from protocols import Order, Protocol

SOURCE, PARK = "tunnel/channel.c", "runtime/park.c"


def sem_post(place):
    """It may look at the semaphore after the one who waited has gone on."""
    yield update(place, lambda n: n + 1, REL)
    check((yield peek(f"{place} memory")) != FREED, f"{place} is posted to after it was destroyed")


def sem_wait(place):
    return update(place, lambda n: n - 1, ACQ, where=lambda n: n > 0)


UNPARK = Order("unpark", REL, None, False, PARK, "ot_unpark", "sem_post(&p->sem)")

# ---- a sender waits for a place ------------------------------------------------------------------


def place_threads(o):
    """maxsize 1, and one message in the tunnel: the second sender waits, the receiver takes the message."""
    def sends():
        yield lock("in.lock")
        yield store("some", 1, o["raise some"])
        taken = yield load("taken", o["look at taken"])
        if taken:
            yield store("some", 0, RLX)
            yield unlock("in.lock")
            return "did not wait"
        yield poke("listed", 1)
        yield unlock("in.lock")
        yield sem_wait("sem")
        return "woken"

    def receives():
        yield lock("out.lock")
        yield store("taken", 1, o["raise taken"])
        yield unlock("out.lock")
        if (yield load("some", o["look at some"])):
            yield lock("in.lock")
            if (yield peek("listed")):
                yield poke("listed", 0)
                yield store("some", 0, RLX)
                yield from sem_post("sem")
            yield unlock("in.lock")
    return sends, receives


PLACE = Protocol(
    "channel_place",
    (Order("raise some", SC, REL, True, SOURCE, "wait_for_place_locked", "atomic_store(&ch->waiting.senders.some, true); if (ot_channel_may_reserve_locked"),
     Order("look at taken", SC, ACQ, True, SOURCE, "has_place_locked", "ch->in.taken_seen = atomic_load(&ch->out.taken)"),
     Order("raise taken", SC, REL, True, SOURCE, "take_locked", "atomic_store(&ch->out.taken, taken + 1)"),
     Order("look at some", SC, ACQ, True, SOURCE, "after_taking", "atomic_load(&ch->waiting.senders.some)"),
     UNPARK),
    place_threads, reaches=(lambda sent, _: sent == "woken", lambda sent, _: sent == "did not wait"))

# ---- a receiver waits for a message --------------------------------------------------------------


def message_threads(o):
    """Two receivers, two messages: each gets one, whole, and nobody sleeps on."""
    def sends():
        for message in ("first", "second"):
            yield poke(message, "complete")
            yield lock("in.lock")
            yield poke("in.first", (*(yield peek("in.first")), message))
            yield store("committed", (yield load("committed", RLX)) + 1, o["committed"])
            waiting = yield peek("waiting")
            if waiting:
                yield poke("waiting", waiting[1:])
                yield from sem_post(waiting[0])
            yield unlock("in.lock")

    def takes():
        """take_locked: None if there is nothing."""
        taken = yield load("taken", RLX)
        out = yield peek("out.first")
        if not out:
            if (yield load("committed", o["glance"])) == taken:
                return None
            yield lock("in.lock")
            out = yield peek("in.first")
            yield poke("in.first", ())
            yield unlock("in.lock")
            check(out, "a message was committed, and there is none")
        yield poke("out.first", out[1:])
        yield store("taken", taken + 1, REL)
        return out[0]

    def receiver(name):
        def receives():
            while True:
                yield lock("out.lock")
                message = yield from takes()
                if message:
                    yield unlock("out.lock")
                    check((yield peek(message)) == "complete", "a message arrives before it is complete")
                    return message
                yield lock("in.lock")
                sleeps = not (yield peek("in.first"))
                if sleeps and not o["enter under the same lock"]:
                    yield unlock("in.lock")
                    yield lock("in.lock")
                if sleeps:
                    yield poke("waiting", (*(yield peek("waiting")), name))
                yield unlock("in.lock")
                yield unlock("out.lock")
                if sleeps:
                    yield sem_wait(name)
        receives.__name__ = f"receives {name}"
        return receives
    return sends, receiver("A"), receiver("B")


MESSAGE = Protocol(
    "channel_message",
    (Order("committed", RLX, None, False, SOURCE, "ot_channel_commit", "set_relaxed(&ch->news.committed, relaxed(&ch->news.committed) + 1)"),
     Order("glance", RLX, None, False, SOURCE, "take_locked", "if (relaxed(&ch->news.committed) == taken) { return NULL;"),
     Order("enter under the same lock", "lock", None, True, SOURCE, "wait_for_message_unlock",
           "blocked_append_locked(&ch->waiting.receivers, &w); unlock_both(ch)"),
     UNPARK),
    message_threads, initial={"in.first": (), "out.first": (), "waiting": ()},
    reaches=(lambda _, a, b: a == "first", lambda _, a, b: b == "first"))

# ---- qsize() -------------------------------------------------------------------------------------


def qsize_threads(o):
    def sends():
        yield lock("in.lock")
        yield store("committed", 1, RLX)
        yield unlock("in.lock")

    def receives():
        yield lock("in.lock")
        committed = yield load("committed", RLX)
        yield unlock("in.lock")
        if committed:
            yield store("taken", 1, o["taken"])

    def looks():
        taken = yield load("taken", o["look"])
        committed = yield load("committed", RLX)
        check(committed >= taken, "qsize() is below nothing")
        return committed - taken
    return sends, receives, looks


QSIZE = Protocol(
    "channel_qsize",
    (Order("taken", REL, RLX, True, SOURCE, "set_taken_locked", "atomic_store_explicit(&ch->out.taken, taken, memory_order_release)"),
     Order("look", ACQ, RLX, True, SOURCE, "ot_channel_qsize", "atomic_load_explicit(&ch->out.taken, memory_order_acquire)")),
    qsize_threads, reaches=(lambda *r: r[2] == 0, lambda *r: r[2] == 1))

# ---- close() while a place is reserved -----------------------------------------------------------


def close_threads(o):
    """One place is reserved when the tunnel is closed; its message comes later, and a second receiver waits in vain."""
    def closes():
        yield lock("out.lock")
        yield lock("in.lock")
        yield store("closed", 1, o["close"])
        yield from wake_all()
        yield unlock("in.lock")
        yield unlock("out.lock")

    def wake_all():
        for name in (yield peek("waiting")):
            yield from sem_post(name)
        yield poke("waiting", ())

    def commits():
        yield lock("in.lock")
        yield poke("reserved", 0)
        yield poke("in.first", 1)
        waiting = yield peek("waiting")
        if waiting:
            yield poke("waiting", waiting[1:])
            yield from sem_post(waiting[0])
        yield unlock("in.lock")

    def after_taking():
        if o["is closed"] and (yield load("closed", o["is closed"])):
            yield lock("out.lock")
            yield lock("in.lock")
            if not (yield peek("in.first")) and not (yield peek("reserved")):
                yield from wake_all()
            yield unlock("in.lock")
            yield unlock("out.lock")

    def receiver(name):
        def receives():
            while True:
                yield lock("out.lock")
                yield lock("in.lock")
                message = yield peek("in.first")
                closed = (yield load("closed", RLX)) and not (yield peek("reserved"))
                if message:
                    yield poke("in.first", 0)
                elif not closed:
                    yield poke("waiting", (*(yield peek("waiting")), name))
                yield unlock("in.lock")
                yield unlock("out.lock")
                if message:
                    yield from after_taking()
                    return "message"
                if closed:
                    return "closed"
                yield sem_wait(name)
        receives.__name__ = f"receives {name}"
        return receives
    return closes, commits, receiver("A"), receiver("B")


CLOSE = Protocol(
    "channel_close",
    (Order("close", RLX, None, False, SOURCE, "ot_channel_close", "atomic_store_explicit(&ch->news.closed, true, memory_order_relaxed)"),
     Order("is closed", RLX, None, True, SOURCE, "after_taking", "if (is_closed(ch)) { lock_both(ch);")),
    close_threads, initial={"waiting": (), "reserved": 1},
    reaches=(lambda c, s, a, b: (a, b) == ("message", "closed"), lambda c, s, a, b: (a, b) == ("closed", "message")))
