/* condition.c: Condition, without Python (see sync.h).
 *
 * Main invariant: who waits is in the list before it releases the lock, so that a notification by the
 * next holder finds it. The guard is never held together with the lock's.
 */
#include "objects/sync/sync.h"

#include <stdlib.h>

static void
condition_free(ot_shared_t *self)
{
    ot_condition_t *condition = (ot_condition_t *)self;
    pthread_mutex_destroy(&condition->guard);
    ot_shared_unref(&condition->lock->head);
    free(condition);
}

static void
condition_fork(ot_shared_t *self, ot_fork_stage_t stage)
{
    ot_condition_t *condition = (ot_condition_t *)self;
    if (ot_guard_fork(&condition->guard, stage)) {
        (void)ot_waitlist_keep_own(&condition->waiters);
    }
}

const ot_shared_kind_t ot_condition_kind = {"Condition", condition_free, condition_fork, NULL};

ot_condition_t *
ot_condition_new(ot_lock_t *lock)
{
    ot_condition_t *condition = calloc(1, sizeof *condition);
    if (condition != NULL) {
        ot_shared_ref(&lock->head);
        condition->lock = lock;
        pthread_mutex_init(&condition->guard, NULL);
        ot_shared_init(&condition->head, &ot_condition_kind);
    }
    return condition;
}

/* Whether the caller may use the condition. As in threading, of a plain lock it is enough that somebody holds it. */
static bool
is_held(ot_lock_t *lock)
{
    ot_lock_state_t state = ot_lock_state(lock);
    return lock->head.kind == &ot_rlock_kind ? state.mine : state.depth > 0 && !state.abandoned;
}

/* Enters and leaves the list; the lock is free in between. NOT_HELD, ABANDONED: never left. */
static ot_sync_result_t
wait_for_notification(ot_condition_t *condition, const ot_patience_t *patience, uint64_t *depth)
{
    ot_waiter_t w;
    ot_patience_t now = {.deadline = OT_DONT_WAIT};
    pthread_mutex_lock(&condition->guard);
    ot_waiter_enter_locked(&condition->waiters, &w, false);
    pthread_mutex_unlock(&condition->guard);
    ot_sync_result_t released = ot_lock_release_all(condition->lock, depth);
    pthread_mutex_lock(&condition->guard);
    ot_wait_result_t why = ot_waiter_wait_locked(&condition->waiters, &w, &condition->guard,
                                                 released == OT_SYNC_OK ? patience : &now);
    if (w.outcome != 0 && (why == OT_WAIT_GAVE_UP || released != OT_SYNC_OK)) {
        ot_wake_one_locked(&condition->waiters, 1); /* the notification is for somebody else then */
    }
    pthread_mutex_unlock(&condition->guard);
    if (released != OT_SYNC_OK) {
        return released;
    }
    return why == OT_WAIT_GAVE_UP   ? OT_SYNC_INTERRUPTED
           : why == OT_WAIT_TIMEOUT ? OT_SYNC_TIMEOUT
                                    : OT_SYNC_OK;
}

ot_sync_result_t
ot_condition_wait(ot_condition_t *condition, int64_t interp, const ot_patience_t *patience,
                  bool *interrupted)
{
    uint64_t depth;
    ot_patience_t for_ever = {.deadline = OT_FOREVER};
    *interrupted = false;
    if (!is_held(condition->lock)) {
        return OT_SYNC_NOT_HELD;
    }
    ot_sync_result_t result = wait_for_notification(condition, patience, &depth);
    if (result < OT_SYNC_INTERRUPTED) {
        return result;
    }
    *interrupted = result == OT_SYNC_INTERRUPTED;
    ot_sync_result_t again = ot_lock_acquire_all(condition->lock, interp, depth, &for_ever);
    return again == OT_SYNC_OK ? result : again;
}

ot_sync_result_t
ot_condition_notify(ot_condition_t *condition, uint64_t n)
{
    if (!is_held(condition->lock)) {
        return OT_SYNC_NOT_HELD;
    }
    pthread_mutex_lock(&condition->guard);
    while (n > 0 && ot_wake_one_locked(&condition->waiters, 1)) {
        n--;
    }
    pthread_mutex_unlock(&condition->guard);
    return OT_SYNC_OK;
}

size_t
ot_condition_waiters(ot_condition_t *condition)
{
    size_t n = 0;
    pthread_mutex_lock(&condition->guard);
    for (const ot_waiter_t *w = condition->waiters.first; w != NULL; w = w->next) {
        n++;
    }
    pthread_mutex_unlock(&condition->guard);
    return n;
}
