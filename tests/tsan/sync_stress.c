// TSAN-SOURCES: runtime/park.c runtime/waitlist.c runtime/awaited.c runtime/shared.c objects/sync/lock.c objects/sync/condition.c objects/sync/semaphore.c objects/sync/barrier.c
/* sync_stress.c: locks, conditions, semaphores, events and barriers under ThreadSanitizer, without
 * Python.
 *
 * Threads with impatience of every kind, poked and with deadlines, use all of them at once. What a
 * lock guards is written without atomics, so that a lock which does not exclude is a race.
 * Main invariants: counts add up; never more inside than a semaphore lets in; whoever passes a
 * barrier's n-th round comes before whoever passes the next; nobody waits for ever.
 *
 * environment: THREADS (4), SECONDS (3), SEED (the clock)
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "objects/sync/sync.h"
#include "runtime/clock.h"
#include "tests/tsan/stress.h"

enum { MAX_THREADS = 64, TURNS = 300, LET_IN = 2 };

typedef struct {
    ot_lock_t *lock, *rlock;
    ot_condition_t *condition;
    ot_semaphore_t *semaphore;
    ot_event_t *event;
    ot_barrier_t *barrier;
    long guarded, items, given; /* under lock, rlock, rlock */
    atomic_long inside, passed, abandoned, interrupted, timeouts, broken;
    atomic_int running;
} world_t;

typedef struct {
    world_t *world;
    pthread_t thread;
    ot_pokeable_t pokeable;
    unsigned seed;
    long added, taken;
    int number;
    bool gives_up;
} actor_t;

static bool
maybe_give_up(void *arg)
{
    actor_t *a = arg;
    return a->gives_up && rand_r(&a->seed) % 2;
}

static ot_patience_t
some_patience(actor_t *a, bool always_ends)
{
    int64_t deadlines[] = {OT_DONT_WAIT, ot_clock_now() + rand_r(&a->seed) % 300000,
                           always_ends ? ot_clock_now() + 1000000 : OT_FOREVER};
    a->gives_up = true;
    return (ot_patience_t){deadlines[rand_r(&a->seed) % 3], maybe_give_up, a, NULL};
}

/* Notes why nothing came of it. */
static bool
succeeded(world_t *w, ot_sync_result_t result)
{
    atomic_fetch_add(&w->timeouts, result == OT_SYNC_TIMEOUT);
    atomic_fetch_add(&w->interrupted, result == OT_SYNC_INTERRUPTED);
    atomic_fetch_add(&w->broken, result == OT_SYNC_BROKEN);
    return result == OT_SYNC_OK;
}

/* The interpreter of thread n is n: it "ends" now and then with the lock held. */
static void
use_lock(actor_t *a)
{
    world_t *w = a->world;
    ot_patience_t patience = some_patience(a, false);
    ot_sync_result_t result = ot_lock_acquire(w->lock, a->number, &patience);
    if (result == OT_SYNC_ABANDONED) {
        atomic_fetch_add(&w->abandoned, 1);
        if (!ot_lock_recover(w->lock, a->number)) {
            return; /* another one was first */
        }
        result = OT_SYNC_OK;
    }
    if (!succeeded(w, result)) {
        return;
    }
    w->guarded++;
    a->added++;
    if (rand_r(&a->seed) % 32 == 0) {
        ot_locks_abandon(a->number); /* left held: somebody will find it so */
    } else {
        check(ot_lock_release(w->lock) == OT_SYNC_OK, "a held lock cannot be released");
    }
}

/* Two levels deep, and a queue of items: given by some, taken by others. */
static void
use_condition(actor_t *a)
{
    world_t *w = a->world;
    ot_patience_t patience = some_patience(a, false);
    if (!succeeded(w, ot_lock_acquire(w->rlock, 1000, &patience))) {
        return;
    }
    ot_patience_t now = {.deadline = OT_DONT_WAIT};
    check(ot_lock_acquire(w->rlock, 1000, &now) == OT_SYNC_OK, "no second level");
    if (rand_r(&a->seed) % 2) {
        w->items++;
        w->given++;
        check(ot_condition_notify(w->condition, 1) == OT_SYNC_OK, "cannot notify");
    } else {
        for (bool interrupted = false; w->items == 0;) {
            patience = some_patience(a, true);
            if (!succeeded(w, ot_condition_wait(w->condition, 1000, &patience, &interrupted))) {
                break;
            }
        }
        ot_lock_state_t state = ot_lock_state(w->rlock);
        check(state.mine && state.depth == 2, "the lock is not held again as it was");
        if (w->items > 0) {
            w->items--;
            a->taken++;
        }
    }
    check(ot_lock_release(w->rlock) == OT_SYNC_OK && ot_lock_release(w->rlock) == OT_SYNC_OK,
          "a recursive lock cannot be released");
    check(!ot_lock_state(w->rlock).mine, "still held");
}

static void
use_semaphore(actor_t *a)
{
    world_t *w = a->world;
    ot_patience_t patience = some_patience(a, false);
    if (succeeded(w, ot_semaphore_acquire(w->semaphore, &patience))) {
        check(atomic_fetch_add(&w->inside, 1) < LET_IN, "too many inside");
        atomic_fetch_sub(&w->inside, 1);
        check(ot_semaphore_release(w->semaphore, 1) == OT_SYNC_OK, "cannot release a semaphore");
    }
}

static void
use_event(actor_t *a)
{
    ot_patience_t patience = some_patience(a, true);
    switch (rand_r(&a->seed) % 3) {
    case 0:
        ot_event_set(a->world->event);
        break;
    case 1:
        ot_event_clear(a->world->event);
        break;
    default:
        (void)succeeded(a->world, ot_event_wait(a->world->event, &patience));
    }
}

static void
use_barrier(actor_t *a)
{
    world_t *w = a->world;
    ot_arrival_t arrival;
    ot_patience_t patience = some_patience(a, true);
    ot_sync_result_t result = ot_barrier_arrive(w->barrier, &patience, &arrival);
    if (result == OT_SYNC_OK && arrival.last) {
        result = ot_barrier_open(w->barrier, &arrival);
    }
    if (succeeded(w, result)) {
        atomic_fetch_add(&w->passed, 1);
    } else if (result == OT_SYNC_BROKEN && rand_r(&a->seed) % 2) {
        ot_barrier_reset(w->barrier);
    } else if (rand_r(&a->seed) % 16 == 0) {
        ot_barrier_abort(w->barrier);
    }
}

static void *
act(void *arg)
{
    static void (*const uses[])(actor_t *) = {use_lock, use_condition, use_semaphore, use_event,
                                              use_barrier};
    actor_t *a = arg;
    ot_pokeable_enter(&a->pokeable);
    for (int i = 0; i < TURNS; i++) {
        uses[rand_r(&a->seed) % 5](a);
    }
    ot_pokeable_enter(NULL);
    atomic_fetch_sub(&a->world->running, 1);
    return NULL;
}

/* Rounds in lockstep: between two waits all threads see the same number. */
static atomic_long step;

static void *
march(void *arg)
{
    actor_t *a = arg;
    ot_patience_t patience = {.deadline = OT_FOREVER};
    ot_arrival_t arrival;
    for (long i = 0; i < 50; i++) {
        for (int half = 0; half < 2; half++) {
            check(ot_barrier_arrive(a->world->barrier, &patience, &arrival) == OT_SYNC_OK,
                  "broken");
            if (arrival.last) {
                atomic_fetch_add(&step, 1); /* the others wait for this */
                check(ot_barrier_open(a->world->barrier, &arrival) == OT_SYNC_OK, "broken");
            }
            check(arrival.last == (arrival.index == a->world->barrier->parties - 1), "misnumbered");
            check(atomic_load(&step) == 2 * i + half + 1 || half == 1, "somebody is ahead");
        }
    }
    return NULL;
}

static void
start(world_t *w, actor_t *actors, int threads, void *(*body)(void *), unsigned *seed)
{
    for (int i = 0; i < threads; i++) {
        actors[i] = (actor_t){.world = w, .number = i, .seed = (unsigned)rand_r(seed)};
        ot_pokeable_init(&actors[i].pokeable);
    }
    for (int i = 0; i < threads; i++) {
        check(pthread_create(&actors[i].thread, NULL, body, &actors[i]) == 0, "no thread");
    }
}

static void
make_world(world_t *w, int threads)
{
    *w = (world_t){
        .lock = ot_lock_new(&ot_lock_kind),
        .rlock = ot_lock_new(&ot_rlock_kind),
        .semaphore = ot_semaphore_new(&ot_bounded_semaphore_kind, LET_IN),
        .event = ot_event_new(),
        .barrier = ot_barrier_new((uint64_t)threads, -1),
    };
    w->condition = ot_condition_new(w->rlock);
    atomic_store(&w->running, threads);
}

static void
run_round(int threads, unsigned *seed, long *totals)
{
    static actor_t actors[MAX_THREADS];
    static world_t w;
    long added = 0, taken = 0;
    make_world(&w, threads);
    start(&w, actors, threads, act, seed);
    while (atomic_load(&w.running) > 0) {
        ot_poke(&actors[rand_r(seed) % threads].pokeable);
        struct timespec pause = {0, 30000};
        nanosleep(&pause, NULL);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(actors[i].thread, NULL);
        added += actors[i].added;
        taken += actors[i].taken;
    }
    check(w.guarded == added, "the lock does not exclude");
    check(w.given == taken + w.items, "an item was taken twice, or lost");
    check(ot_semaphore_value(w.semaphore) == LET_IN, "the semaphore lost count");
    check(ot_semaphore_release(w.semaphore, 1) == OT_SYNC_TOO_MANY, "no bound");
    check(ot_condition_waiters(w.condition) == 0, "a waiter is left");
    ot_barrier_reset(w.barrier);
    atomic_store(&step, 0);
    start(&w, actors, threads, march, seed);
    for (int i = 0; i < threads; i++) {
        pthread_join(actors[i].thread, NULL);
    }
    check(atomic_load(&step) == 100, "a round is missing");
    totals[0] += added, totals[1] += taken, totals[2] += atomic_load(&w.passed);
    totals[3] += atomic_load(&w.abandoned), totals[4] += atomic_load(&w.interrupted);
    totals[5] += atomic_load(&w.timeouts), totals[6] += atomic_load(&w.broken);
    ot_shared_unref(&w.lock->head);
    ot_shared_unref(&w.rlock->head);
    ot_shared_unref(&w.condition->head);
    ot_shared_unref(&w.semaphore->head);
    ot_shared_unref(&w.event->head);
    ot_shared_unref(&w.barrier->head);
    check(ot_shared_count() == 0, "an object is left");
}

int
main(void)
{
    int threads = (int)setting("THREADS", 4);
    int64_t until = ot_clock_now() + setting("SECONDS", 3) * 1000000000;
    unsigned seed = (unsigned)setting("SEED", ot_clock_now() & 0x7fffffff);
    check(threads >= 2 && threads <= MAX_THREADS, "THREADS must be 2 to 64");
    printf("sync_stress: THREADS=%d SEED=%u\n", threads, seed);
    fflush(stdout);
    long rounds = 0, totals[7] = {0};
    for (; ot_clock_now() < until; rounds++) {
        run_round(threads, &seed, totals);
    }
    printf("sync_stress: %ld rounds: %ld locked, %ld items, %ld passed, %ld abandoned, "
           "%ld interrupted, %ld timeouts, %ld broken\n",
           rounds, totals[0], totals[1], totals[2], totals[3], totals[4], totals[5], totals[6]);
    return 0;
}
