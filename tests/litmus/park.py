"""runtime/park.c: a thread that sleeps is woken, and nobody touches its semaphore when it is gone."""

from channel import UNPARK, sem_post, sem_wait
from explorer import ACQ, FREED, REL, RLX, check, choose, load, lock, peek, poke, store, unlock
from protocols import Order, Protocol

SOURCE, CHANNEL = "runtime/park.c", "tunnel/channel.c"


def publish(where, o):
    """Whether the thread was poked; says where it sleeps now."""
    yield lock("poke lock", o["lock"])
    poked = yield peek("poked")
    yield poke("poked", 0)
    yield poke("parked", where)
    yield unlock("poke lock", o["unlock"])
    return poked


def poke_threads(o):
    """Nobody but the poker wakes the sleeper."""
    def sleeps():
        poked = yield from publish("sem", o)
        if not poked:
            yield sem_wait("sem")
        late = yield from publish(None, o)
        yield poke("sem memory", FREED)
        return "did not sleep" if poked else "poked" if late else "woken"

    def pokes():
        yield lock("poke lock", o["lock"])
        yield poke("poked", 1)
        if (yield peek("parked")):
            yield from sem_post("sem")
        yield unlock("poke lock", o["unlock"])
    return sleeps, pokes


POKE = Protocol(
    "park_poke",
    (Order("lock", ACQ, RLX, True, SOURCE, "publish", "pthread_mutex_lock(&self->lock); bool poked = self->poked"),
     Order("unlock", REL, RLX, True, SOURCE, "ot_poke", "ot_unpark(self->parked); } pthread_mutex_unlock(&self->lock)")),
    poke_threads, reaches=(lambda slept, _: slept == "did not sleep", lambda slept, _: slept == "poked"))


def waiter_threads(o):
    """A waiter that gives up (a deadline, a signal) while it is being woken: its semaphore is on its stack."""
    def waits():
        woken = yield choose(True, False)
        if woken:
            yield sem_wait("sem")
        yield lock("in.lock")
        listed = yield peek("listed")
        yield poke("listed", 0)
        yield unlock("in.lock")
        yield poke("sem memory", FREED)
        return "woken" if woken else "gave up" if listed else "gave up when it was woken"

    def wakes():
        yield lock("in.lock")
        listed = yield peek("listed")
        yield poke("listed", 0)
        if listed and o["post under the lock"]:
            yield from sem_post("sem")
        yield unlock("in.lock")
        if listed and not o["post under the lock"]:
            yield from sem_post("sem")
    return waits, wakes


# The channel's waiters; those of waitlist.c do as they.
WAITER = Protocol(
    "park_waiter",
    (Order("post under the lock", "lock", None, True, CHANNEL, "ot_channel_commit",
           "wake_one_locked(&ch->waiting.receivers); if (is_watched(ch)) { ot_channel_tell_locked(ch); } pthread_mutex_unlock(&ch->in.lock)"),
     UNPARK),
    waiter_threads, initial={"listed": 1},
    reaches=tuple(lambda waited, _, want=want: waited == want for want in ("woken", "gave up", "gave up when it was woken")))


def long_sleep_threads(o):
    def sets():
        yield poke("what the function uses", "ready")
        yield store("on_long_sleep", 1, o["set"])

    def sleeps():
        if (yield load("on_long_sleep", o["get"])):
            check((yield peek("what the function uses")) == "ready", "the function is called before it may be")
            return True
    return sets, sleeps


LONG_SLEEP = Protocol(
    "park_long_sleep",
    (Order("set", REL, RLX, True, SOURCE, "ot_park_on_long_sleep", "atomic_store_explicit(&on_long_sleep, call, memory_order_release)"),
     Order("get", ACQ, RLX, True, SOURCE, "sleep_until", "atomic_load_explicit(&on_long_sleep, memory_order_acquire)")),
    long_sleep_threads, reaches=(lambda _, called: called, lambda _, called: not called))
