/* semaphore.c: Semaphore, BoundedSemaphore and Event, without Python (see sync.h).
 *
 * Main invariant of a semaphore: while its value is not 0 and somebody waits, as many have been woken
 * and are on the way as the value allows.
 */
#include "objects/sync/sync.h"

#include <stdlib.h>

#include "runtime/checks.h"

/* ---- semaphore ------------------------------------------------------------------------------- */

void
ot_semaphore_check_locked(const ot_semaphore_t *semaphore)
{
    OT_MUST(semaphore->value <= semaphore->bound);
    ot_waitlist_check_locked(&semaphore->waiters);
}

static void
unlock_semaphore(ot_semaphore_t *semaphore)
{
    OT_CHECK(ot_semaphore_check_locked(semaphore));
    pthread_mutex_unlock(&semaphore->guard);
}

static void
semaphore_free(ot_shared_t *self)
{
    pthread_mutex_destroy(&((ot_semaphore_t *)self)->guard);
    free(self);
}

static void
semaphore_fork(ot_shared_t *self, ot_fork_stage_t stage)
{
    ot_semaphore_t *semaphore = (ot_semaphore_t *)self;
    if (ot_guard_fork(&semaphore->guard, stage)) {
        ot_waitlist_wake_own(&semaphore->waiters);
    }
}

const ot_shared_kind_t ot_semaphore_kind = {"Semaphore", semaphore_free, semaphore_fork, NULL};
const ot_shared_kind_t ot_bounded_semaphore_kind = {"BoundedSemaphore", semaphore_free,
                                                    semaphore_fork, NULL};

ot_semaphore_t *
ot_semaphore_new(const ot_shared_kind_t *kind, uint64_t value)
{
    ot_semaphore_t *semaphore = calloc(1, sizeof *semaphore);
    if (semaphore != NULL) {
        semaphore->value = value;
        semaphore->bound = kind == &ot_bounded_semaphore_kind ? value : UINT64_MAX;
        pthread_mutex_init(&semaphore->guard, NULL);
        ot_shared_init(&semaphore->head, kind);
    }
    return semaphore;
}

static ot_sync_result_t
acquire_locked(ot_semaphore_t *semaphore, const ot_patience_t *patience)
{
    bool patient = patience->deadline != OT_DONT_WAIT, waited = false;
    for (;;) {
        if (semaphore->value > 0) {
            semaphore->value--;
            return OT_SYNC_OK;
        }
        if (!patient) {
            return OT_SYNC_TIMEOUT;
        }
        ot_waiter_t w;
        ot_wait_result_t why =
            ot_wait_locked(&semaphore->waiters, &w, waited, &semaphore->guard, patience);
        if (why == OT_WAIT_GAVE_UP) {
            if (w.outcome != 0 && semaphore->value > 0) {
                ot_wake_one_locked(&semaphore->waiters, 1);
            }
            return OT_SYNC_INTERRUPTED;
        }
        waited = true;
        patient = why != OT_WAIT_TIMEOUT;
    }
}

ot_sync_result_t
ot_semaphore_acquire(ot_semaphore_t *semaphore, const ot_patience_t *patience)
{
    pthread_mutex_lock(&semaphore->guard);
    ot_sync_result_t result = acquire_locked(semaphore, patience);
    unlock_semaphore(semaphore);
    return result;
}

ot_sync_result_t
ot_semaphore_release(ot_semaphore_t *semaphore, uint64_t n)
{
    ot_sync_result_t result = OT_SYNC_TOO_MANY;
    pthread_mutex_lock(&semaphore->guard);
    if (n <= semaphore->bound - semaphore->value) {
        semaphore->value += n;
        result = OT_SYNC_OK;
        while (n > 0 && ot_wake_one_locked(&semaphore->waiters, 1)) {
            n--;
        }
    }
    unlock_semaphore(semaphore);
    return result;
}

uint64_t
ot_semaphore_value(ot_semaphore_t *semaphore)
{
    pthread_mutex_lock(&semaphore->guard);
    uint64_t value = semaphore->value;
    unlock_semaphore(semaphore);
    return value;
}

/* ---- event ----------------------------------------------------------------------------------- */

void
ot_event_check_locked(const ot_event_t *event)
{
    OT_MUST(!event->is_set || event->waiters.first == NULL);
    ot_waitlist_check_locked(&event->waiters);
}

static void
unlock_event(ot_event_t *event)
{
    OT_CHECK(ot_event_check_locked(event));
    pthread_mutex_unlock(&event->guard);
}

static void
event_free(ot_shared_t *self)
{
    pthread_mutex_destroy(&((ot_event_t *)self)->guard);
    free(self);
}

static void
event_fork(ot_shared_t *self, ot_fork_stage_t stage)
{
    ot_event_t *event = (ot_event_t *)self;
    if (ot_guard_fork(&event->guard, stage)) {
        (void)ot_waitlist_keep_own(&event->waiters);
    }
}

const ot_shared_kind_t ot_event_kind = {"Event", event_free, event_fork, NULL};

ot_event_t *
ot_event_new(void)
{
    ot_event_t *event = calloc(1, sizeof *event);
    if (event != NULL) {
        pthread_mutex_init(&event->guard, NULL);
        ot_shared_init(&event->head, &ot_event_kind);
    }
    return event;
}

void
ot_event_set(ot_event_t *event)
{
    pthread_mutex_lock(&event->guard);
    event->is_set = true;
    ot_wake_all_locked(&event->waiters, 1);
    unlock_event(event);
}

void
ot_event_clear(ot_event_t *event)
{
    pthread_mutex_lock(&event->guard);
    event->is_set = false;
    unlock_event(event);
}

bool
ot_event_is_set(ot_event_t *event)
{
    pthread_mutex_lock(&event->guard);
    bool is_set = event->is_set;
    unlock_event(event);
    return is_set;
}

ot_sync_result_t
ot_event_wait(ot_event_t *event, const ot_patience_t *patience)
{
    ot_sync_result_t result = OT_SYNC_OK;
    pthread_mutex_lock(&event->guard);
    if (!event->is_set) {
        ot_waiter_t w;
        ot_wait_result_t why = OT_WAIT_TIMEOUT;
        if (patience->deadline != OT_DONT_WAIT) {
            why = ot_wait_locked(&event->waiters, &w, false, &event->guard, patience);
        }
        /* GAVE_UP, TIMEOUT, WOKEN are INTERRUPTED, TIMEOUT, OK here. */
        result = (ot_sync_result_t)why;
    }
    unlock_event(event);
    return result;
}
