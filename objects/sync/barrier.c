/* barrier.c: Barrier, without Python (see sync.h).
 *
 * Main invariant: who waits is told its outcome by whoever ends its round, so that the next round may begin while those
 * of the last are still waking up.
 */
#include "objects/sync/sync.h"

#include <stdlib.h>

#include "runtime/checks.h"

/* Outcomes: BROKE, or PASSED plus the number of threads that came before and stayed. */
enum { BROKE = -1, PASSED = 1 };

void
ot_barrier_check_locked(const ot_barrier_t *barrier)
{
    OT_MUST(barrier->broken || barrier->acting || barrier->count < barrier->parties);
    ot_waitlist_check_locked(&barrier->waiters);
    ot_waitlist_check_locked(&barrier->entrants);
}

static void
unlock_guard(ot_barrier_t *barrier)
{
    OT_CHECK(ot_barrier_check_locked(barrier));
    pthread_mutex_unlock(&barrier->guard);
}

static void
barrier_free(ot_shared_t *self)
{
    pthread_mutex_destroy(&((ot_barrier_t *)self)->guard);
    free(self);
}

/* Of those that have come the child has this thread alone, if it waits. Nobody is at the action. */
static void
barrier_fork(ot_shared_t *self, ot_fork_stage_t stage)
{
    ot_barrier_t *barrier = (ot_barrier_t *)self;
    if (ot_guard_fork(&barrier->guard, stage)) {
        barrier->count = ot_waitlist_keep_own(&barrier->waiters);
        barrier->acting = false;
        barrier->round++;
        ot_waitlist_wake_own(&barrier->entrants);
    }
}

const ot_shared_kind_t ot_barrier_kind = {"Barrier", barrier_free, barrier_fork, NULL};

ot_barrier_t *
ot_barrier_new(uint64_t parties, double timeout)
{
    ot_barrier_t *barrier = calloc(1, sizeof *barrier);
    if (barrier != NULL) {
        barrier->parties = parties;
        barrier->timeout = timeout;
        pthread_mutex_init(&barrier->guard, NULL);
        ot_shared_init(&barrier->head, &ot_barrier_kind);
    }
    return barrier;
}

static void
begin_round_locked(ot_barrier_t *barrier)
{
    barrier->count = 0;
    barrier->round++;
    ot_wake_all_locked(&barrier->entrants, 1);
}

static void
break_locked(ot_barrier_t *barrier)
{
    barrier->broken = true;
    ot_wake_all_locked(&barrier->waiters, BROKE);
    begin_round_locked(barrier);
}

/* How many have waited. */
static uint64_t
pass_locked(ot_barrier_t *barrier)
{
    uint64_t n = 0;
    while (ot_wake_one_locked(&barrier->waiters, PASSED + (int)n)) {
        n++;
    }
    begin_round_locked(barrier);
    return n;
}

/* Until nobody is at the action of the last round. */
static ot_sync_result_t
enter_locked(ot_barrier_t *barrier, const ot_patience_t *patience)
{
    bool waited = false;
    while (barrier->acting && !barrier->broken) {
        ot_waiter_t w;
        ot_wait_result_t why =
            ot_wait_locked(&barrier->entrants, &w, waited, &barrier->guard, patience);
        if (why == OT_WAIT_GAVE_UP) {
            return OT_SYNC_INTERRUPTED;
        }
        if (why == OT_WAIT_TIMEOUT) {
            break_locked(barrier);
        }
        waited = true;
    }
    return barrier->broken ? OT_SYNC_BROKEN : OT_SYNC_OK;
}

static ot_sync_result_t
wait_for_the_rest_locked(ot_barrier_t *barrier, const ot_patience_t *patience, uint64_t *index)
{
    ot_waiter_t w;
    ot_wait_result_t why = ot_wait_locked(&barrier->waiters, &w, false, &barrier->guard, patience);
    if (why == OT_WAIT_GAVE_UP) {
        barrier->count -= w.outcome == 0; /* otherwise the round is over */
        return OT_SYNC_INTERRUPTED;
    }
    if (why == OT_WAIT_TIMEOUT) {
        break_locked(barrier);
        return OT_SYNC_BROKEN;
    }
    if (w.outcome == BROKE) {
        return OT_SYNC_BROKEN;
    }
    *index = (uint64_t)(w.outcome - PASSED);
    return OT_SYNC_OK;
}

ot_sync_result_t
ot_barrier_arrive(ot_barrier_t *barrier, const ot_patience_t *patience, ot_arrival_t *arrival)
{
    pthread_mutex_lock(&barrier->guard);
    ot_sync_result_t result = enter_locked(barrier, patience);
    if (result == OT_SYNC_OK) {
        *arrival = (ot_arrival_t){.round = barrier->round};
        arrival->last = ++barrier->count == barrier->parties;
        if (arrival->last) {
            barrier->acting = true;
        } else {
            result = wait_for_the_rest_locked(barrier, patience, &arrival->index);
        }
    }
    unlock_guard(barrier);
    return result;
}

ot_sync_result_t
ot_barrier_open(ot_barrier_t *barrier, ot_arrival_t *arrival)
{
    pthread_mutex_lock(&barrier->guard);
    bool good = barrier->round == arrival->round && !barrier->broken;
    barrier->acting = false;
    if (good) {
        arrival->index = pass_locked(barrier);
    } else {
        ot_wake_all_locked(&barrier->entrants, 1);
    }
    unlock_guard(barrier);
    return good ? OT_SYNC_OK : OT_SYNC_BROKEN;
}

void
ot_barrier_abort(ot_barrier_t *barrier)
{
    pthread_mutex_lock(&barrier->guard);
    break_locked(barrier);
    unlock_guard(barrier);
}

void
ot_barrier_reset(ot_barrier_t *barrier)
{
    pthread_mutex_lock(&barrier->guard);
    break_locked(barrier);
    barrier->broken = false;
    unlock_guard(barrier);
}

uint64_t
ot_barrier_waiting(ot_barrier_t *barrier)
{
    pthread_mutex_lock(&barrier->guard);
    uint64_t n = barrier->broken || barrier->acting ? 0 : barrier->count;
    unlock_guard(barrier);
    return n;
}

bool
ot_barrier_is_broken(ot_barrier_t *barrier)
{
    pthread_mutex_lock(&barrier->guard);
    bool broken = barrier->broken;
    unlock_guard(barrier);
    return broken;
}
