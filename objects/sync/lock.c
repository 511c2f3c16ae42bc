/* lock.c: Lock and RLock, without Python (see sync.h).
 *
 * Main invariant: that of ot_lock_t; and: while a lock is free and somebody waits for it, somebody
 * has been woken and is on the way.
 */
#include "objects/sync/sync.h"

#include <stdlib.h>

#include "runtime/checks.h"

static bool
is_recursive(const ot_lock_t *lock)
{
    return lock->head.kind == &ot_rlock_kind;
}

void
ot_lock_check_locked(const ot_lock_t *lock)
{
    OT_MUST(lock->depth == 0 || lock->thread != 0);
    OT_MUST(lock->depth <= 1 || is_recursive(lock));
    OT_MUST(!lock->abandoned || lock->depth > 0);
    OT_MUST(!lock->abandoned || lock->waiters.first == NULL);
    ot_waitlist_check_locked(&lock->waiters);
}

static void
unlock_guard(ot_lock_t *lock)
{
    OT_CHECK(ot_lock_check_locked(lock));
    pthread_mutex_unlock(&lock->guard);
}

/* ---- life ------------------------------------------------------------------------------------ */

void
ot_lock_destroy(ot_lock_t *lock)
{
    pthread_mutex_destroy(&lock->guard);
}

static void
lock_free(ot_shared_t *self)
{
    ot_lock_destroy((ot_lock_t *)self);
    free(self);
}

/* In the child no other thread exists: what one of them held is abandoned. */
void
ot_lock_fork(ot_shared_t *self, ot_fork_stage_t stage)
{
    ot_lock_t *lock = (ot_lock_t *)self;
    if (ot_guard_fork(&lock->guard, stage)) {
        lock->abandoned |= lock->depth > 0 && lock->thread != ot_thread_token();
        ot_waitlist_wake_own(&lock->waiters);
    }
}

const ot_shared_kind_t ot_lock_kind = {"Lock", lock_free, ot_lock_fork, NULL};
const ot_shared_kind_t ot_rlock_kind = {"RLock", lock_free, ot_lock_fork, NULL};

void
ot_lock_init(ot_lock_t *lock, const ot_shared_kind_t *kind)
{
    pthread_mutex_init(&lock->guard, NULL);
    ot_shared_init(&lock->head, kind);
}

ot_lock_t *
ot_lock_new(const ot_shared_kind_t *kind)
{
    ot_lock_t *lock = calloc(1, sizeof *lock);
    if (lock != NULL) {
        ot_lock_init(lock, kind);
    }
    return lock;
}

/* ---- acquire --------------------------------------------------------------------------------- */

static void
take_locked(ot_lock_t *lock, int64_t interp, uint64_t depth)
{
    /* Atomic for who dumps what others wait for, without the guard. */
    __atomic_store_n(&lock->thread, ot_thread_token(), __ATOMIC_RELAXED);
    lock->interp = interp;
    lock->depth = depth;
    lock->abandoned = false;
}

static ot_sync_result_t
acquire_locked(ot_lock_t *lock, int64_t interp, uint64_t depth, const ot_patience_t *patience)
{
    bool patient = patience->deadline != OT_DONT_WAIT, waited = false;
    for (;;) {
        if (lock->abandoned) {
            return OT_SYNC_ABANDONED;
        }
        if (lock->depth == 0) {
            take_locked(lock, interp, depth);
            return OT_SYNC_OK;
        }
        if (!patient) {
            return OT_SYNC_TIMEOUT;
        }
        if (patience->awaited != NULL) {
            patience->awaited->owner_at = &lock->thread;
        }
        ot_waiter_t w;
        ot_wait_result_t why = ot_wait_locked(&lock->waiters, &w, waited, &lock->guard, patience);
        if (why == OT_WAIT_GAVE_UP) {
            if (w.outcome != 0 && lock->depth == 0) {
                ot_wake_one_locked(&lock->waiters, 1);
            }
            return OT_SYNC_INTERRUPTED;
        }
        waited = true;
        patient = why != OT_WAIT_TIMEOUT; /* then it is the last look */
    }
}

ot_sync_result_t
ot_lock_acquire_all(ot_lock_t *lock, int64_t interp, uint64_t depth, const ot_patience_t *patience)
{
    pthread_mutex_lock(&lock->guard);
    ot_sync_result_t result = acquire_locked(lock, interp, depth, patience);
    unlock_guard(lock);
    return result;
}

ot_sync_result_t
ot_lock_acquire(ot_lock_t *lock, int64_t interp, const ot_patience_t *patience)
{
    ot_sync_result_t result = OT_SYNC_OK;
    pthread_mutex_lock(&lock->guard);
    if (is_recursive(lock) && lock->depth > 0 && !lock->abandoned &&
        lock->thread == ot_thread_token()) {
        lock->depth++;
    } else {
        result = acquire_locked(lock, interp, 1, patience);
    }
    unlock_guard(lock);
    return result;
}

/* ---- release --------------------------------------------------------------------------------- */

static ot_sync_result_t
check_held_locked(const ot_lock_t *lock)
{
    if (lock->abandoned) {
        return OT_SYNC_ABANDONED;
    }
    bool held = lock->depth > 0 && (!is_recursive(lock) || lock->thread == ot_thread_token());
    return held ? OT_SYNC_OK : OT_SYNC_NOT_HELD;
}

/* Takes `levels` off, as far as there are; *had is how many there were. */
static ot_sync_result_t
release(ot_lock_t *lock, uint64_t levels, uint64_t *had)
{
    pthread_mutex_lock(&lock->guard);
    ot_sync_result_t result = check_held_locked(lock);
    if (result == OT_SYNC_OK) {
        *had = lock->depth;
        lock->depth -= levels < lock->depth ? levels : lock->depth;
        if (lock->depth == 0) {
            ot_wake_one_locked(&lock->waiters, 1);
        }
    }
    unlock_guard(lock);
    return result;
}

ot_sync_result_t
ot_lock_release(ot_lock_t *lock)
{
    uint64_t had;
    return release(lock, 1, &had);
}

ot_sync_result_t
ot_lock_release_all(ot_lock_t *lock, uint64_t *depth)
{
    return release(lock, UINT64_MAX, depth);
}

/* ---- briefly --------------------------------------------------------------------------------- */

ot_sync_result_t
ot_lock_brief_begin(ot_lock_t *lock)
{
    pthread_mutex_lock(&lock->guard);
    if (!lock->abandoned && (lock->depth == 0 || lock->thread == ot_thread_token())) {
        return OT_SYNC_OK;
    }
    ot_sync_result_t result = lock->abandoned ? OT_SYNC_ABANDONED : OT_SYNC_TIMEOUT;
    unlock_guard(lock);
    return result;
}

void
ot_lock_look_begin(ot_lock_t *lock)
{
    pthread_mutex_lock(&lock->guard);
}

void
ot_lock_brief_end(ot_lock_t *lock)
{
    unlock_guard(lock);
}

/* ---- holders that are gone ------------------------------------------------------------------- */

static void
abandon(ot_shared_t *self, void *interp)
{
    ot_lock_t *lock = (ot_lock_t *)self;
    pthread_mutex_lock(&lock->guard);
    if (lock->depth > 0 && lock->interp == *(const int64_t *)interp) {
        lock->abandoned = true;
        ot_wake_all_locked(&lock->waiters, 1);
    }
    unlock_guard(lock);
}

void
ot_locks_abandon_kind(const ot_shared_kind_t *kind, int64_t interp)
{
    ot_shared_visit(kind, abandon, &interp);
}

void
ot_locks_abandon(int64_t interp)
{
    ot_locks_abandon_kind(&ot_lock_kind, interp);
    ot_locks_abandon_kind(&ot_rlock_kind, interp);
}

bool
ot_lock_recover(ot_lock_t *lock, int64_t interp)
{
    pthread_mutex_lock(&lock->guard);
    bool recovered = lock->abandoned;
    if (recovered) {
        take_locked(lock, interp, 1);
    }
    unlock_guard(lock);
    return recovered;
}

void
ot_lock_reset(ot_lock_t *lock)
{
    pthread_mutex_lock(&lock->guard);
    lock->depth = 0;
    lock->abandoned = false;
    ot_wake_one_locked(&lock->waiters, 1);
    unlock_guard(lock);
}

ot_lock_state_t
ot_lock_state(ot_lock_t *lock)
{
    pthread_mutex_lock(&lock->guard);
    ot_lock_state_t state = {
        .interp = lock->interp,
        .depth = lock->depth,
        .mine = lock->depth > 0 && !lock->abandoned && lock->thread == ot_thread_token(),
        .abandoned = lock->abandoned,
    };
    unlock_guard(lock);
    return state;
}
