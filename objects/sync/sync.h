/* sync.h: locks and the like between interpreters: what threading has, for the whole process.
 *
 * Purpose: Lock, RLock, Condition, Semaphore, Event, Barrier as C objects. Their semantics are those
 * of Python's threading; the difference is that a holder may be another interpreter's thread, and
 * that one whose interpreter is gone is noticed.
 * Threading: any thread. Each object has a guard, a mutex that is held for some loads and stores
 * only, never while waiting, never together with another guard but around fork(). No Python; who waits
 * holds no GIL.
 *
 * No wake-up is lost: whoever makes something available wakes one waiter; a woken one that gives
 * up passes it on. Waiters stand in line, but a newcomer may overtake one that is waking up.
 *
 * Shared rules: `patience` says how long and when to give up (waitlist.h). `interp` is the id of
 * the caller's interpreter. The caller holds a reference.
 */
#ifndef OT_OBJECTS_SYNC_H
#define OT_OBJECTS_SYNC_H

#include "runtime/shared.h"
#include "runtime/waitlist.h"

typedef enum {
    OT_SYNC_BROKEN = -5,      /* a barrier: somebody did not come */
    OT_SYNC_TOO_MANY = -4,    /* a bounded semaphore: released more often than acquired */
    OT_SYNC_ABANDONED = -3,   /* a lock: its holder's interpreter has ended */
    OT_SYNC_NOT_HELD = -2,    /* a lock: not held, or (recursive) not by this thread */
    OT_SYNC_INTERRUPTED = -1, /* patience gave up */
    OT_SYNC_TIMEOUT = 0,
    OT_SYNC_OK = 1,
} ot_sync_result_t;

/* ---- lock ------------------------------------------------------------------------------------ */

/* Invariant (under guard): depth > 0 exactly while held; abandoned implies depth > 0, and that
 * nobody waits: waiters learn of it at once. */
typedef struct {
    ot_shared_t head;
    pthread_mutex_t guard; /* guards all below */
    ot_waitlist_t waiters;
    uint64_t thread; /* the holder's token */
    int64_t interp;  /* where it acquired */
    uint64_t depth;
    bool abandoned;
} ot_lock_t;

typedef struct {
    int64_t interp;
    uint64_t depth; /* 0: free */
    bool mine;      /* the calling thread's */
    bool abandoned;
} ot_lock_state_t;

/* Aborts if the invariant of ot_lock_t does not hold. Every change ends with it where OT_CHECKS is on. The other objects
 * below have checks of their own, and call them likewise. */
void ot_lock_check_locked(const ot_lock_t *lock);

extern const ot_shared_kind_t ot_lock_kind, ot_rlock_kind;

/* NULL without memory. The kind says whether its holder may acquire it again. */
ot_lock_t *ot_lock_new(const ot_shared_kind_t *kind);

/* OK, TIMEOUT, INTERRUPTED, or ABANDONED: not acquired then, nor by anybody until recovered. */
ot_sync_result_t ot_lock_acquire(ot_lock_t *lock, int64_t interp, const ot_patience_t *patience);

/* OK, NOT_HELD or ABANDONED. A plain lock may be released by any thread. */
ot_sync_result_t ot_lock_release(ot_lock_t *lock);

/* Release all levels of a lock, *depth of them; and acquire as many again. */
ot_sync_result_t ot_lock_release_all(ot_lock_t *lock, uint64_t *depth);
ot_sync_result_t ot_lock_acquire_all(ot_lock_t *lock, int64_t interp, uint64_t depth,
                                     const ot_patience_t *patience);

/* Makes an abandoned lock the caller's, once. False: it is not abandoned (any more). */
bool ot_lock_recover(ot_lock_t *lock, int64_t interp);

/* For what takes some loads and stores only: keeps everybody else out without acquiring the lock. OK:
 * the lock is free or the caller's, and stays so until ot_lock_brief_end; nothing that blocks may come
 * in between, so a GIL may be held. TIMEOUT: somebody has it; ABANDONED: acquire says so, too. */
ot_sync_result_t ot_lock_brief_begin(ot_lock_t *lock);
void ot_lock_brief_end(ot_lock_t *lock);

/* Keeps everybody from changing anything until ot_lock_brief_end, for a caller that only looks. Somebody may hold the
 * lock, and may be half done. */
void ot_lock_look_begin(ot_lock_t *lock);

/* Free, whoever held it; for a child after fork(). */
void ot_lock_reset(ot_lock_t *lock);

ot_lock_state_t ot_lock_state(ot_lock_t *lock);

/* An interpreter has ended: the locks that it holds are abandoned; or those of another kind that begins with a
 * lock. */
void ot_locks_abandon(int64_t interp);
void ot_locks_abandon_kind(const ot_shared_kind_t *kind, int64_t interp);

/* For objects that begin with a lock, zeroed but for their own fields, and have a kind of their own:
 * its `fork` is ot_lock_fork, its `free` calls ot_lock_destroy. */
void ot_lock_init(ot_lock_t *lock, const ot_shared_kind_t *kind);
void ot_lock_destroy(ot_lock_t *lock);
void ot_lock_fork(ot_shared_t *self, ot_fork_stage_t stage);

/* ---- condition ------------------------------------------------------------------------------- */

typedef struct {
    ot_shared_t head;
    ot_lock_t *lock; /* a reference, never changes */
    pthread_mutex_t guard;
    ot_waitlist_t waiters;
} ot_condition_t;

extern const ot_shared_kind_t ot_condition_kind;

/* Refs: takes a reference to lock of its own. NULL without memory. */
ot_condition_t *ot_condition_new(ot_lock_t *lock);

/* Releases the lock, waits, acquires it again, however long that takes. OK: notified; TIMEOUT,
 * INTERRUPTED: not, the lock is held again; NOT_HELD: nothing done; ABANDONED: the lock could not
 * be had again. *interrupted: patience gave up, whatever the result. */
ot_sync_result_t ot_condition_wait(ot_condition_t *condition, int64_t interp,
                                   const ot_patience_t *patience, bool *interrupted);

/* Wakes n of those that wait. OK or NOT_HELD. */
ot_sync_result_t ot_condition_notify(ot_condition_t *condition, uint64_t n);

size_t ot_condition_waiters(ot_condition_t *condition);

/* ---- semaphore ------------------------------------------------------------------------------- */

/* Invariant (under guard): value <= bound. */
typedef struct {
    ot_shared_t head;
    uint64_t bound; /* of the value; UINT64_MAX: none */
    pthread_mutex_t guard;
    ot_waitlist_t waiters;
    uint64_t value;
} ot_semaphore_t;

void ot_semaphore_check_locked(const ot_semaphore_t *semaphore);

extern const ot_shared_kind_t ot_semaphore_kind, ot_bounded_semaphore_kind;

/* A bounded one's bound is its first value. NULL without memory. */
ot_semaphore_t *ot_semaphore_new(const ot_shared_kind_t *kind, uint64_t value);

/* OK, TIMEOUT, INTERRUPTED. */
ot_sync_result_t ot_semaphore_acquire(ot_semaphore_t *semaphore, const ot_patience_t *patience);

/* OK; TOO_MANY: nothing done. */
ot_sync_result_t ot_semaphore_release(ot_semaphore_t *semaphore, uint64_t n);

uint64_t ot_semaphore_value(ot_semaphore_t *semaphore);

/* ---- event ----------------------------------------------------------------------------------- */

/* Invariant (under guard): while it is set nobody waits. */
typedef struct {
    ot_shared_t head;
    pthread_mutex_t guard;
    ot_waitlist_t waiters;
    bool is_set;
} ot_event_t;

void ot_event_check_locked(const ot_event_t *event);

extern const ot_shared_kind_t ot_event_kind;

ot_event_t *ot_event_new(void);
void ot_event_set(ot_event_t *event);
void ot_event_clear(ot_event_t *event);
bool ot_event_is_set(ot_event_t *event);

/* OK also if it was set and cleared again meanwhile; TIMEOUT, INTERRUPTED. */
ot_sync_result_t ot_event_wait(ot_event_t *event, const ot_patience_t *patience);

/* ---- barrier --------------------------------------------------------------------------------- */

/* Invariant (under guard): broken, or count threads have come in this round: count < parties, or
 * acting (the last one is at its action and newcomers wait in `entrants`). */
typedef struct {
    ot_shared_t head;
    uint64_t parties;
    double timeout; /* default, in seconds; negative: for ever */
    pthread_mutex_t guard;
    ot_waitlist_t waiters, entrants;
    uint64_t count, round;
    bool broken, acting;
} ot_barrier_t;

void ot_barrier_check_locked(const ot_barrier_t *barrier);

extern const ot_shared_kind_t ot_barrier_kind;

ot_barrier_t *ot_barrier_new(uint64_t parties, double timeout);

/* What ot_barrier_arrive has found out. */
typedef struct {
    uint64_t index; /* how many were here before */
    uint64_t round;
    bool last; /* all are here: do what is to be done, then open or abort */
} ot_arrival_t;

/* OK, BROKEN (also after a timeout, which breaks it for all), INTERRUPTED. */
ot_sync_result_t ot_barrier_arrive(ot_barrier_t *barrier, const ot_patience_t *patience,
                                   ot_arrival_t *arrival);

/* The last one lets all go on. OK; BROKEN: it was aborted or reset meanwhile. */
ot_sync_result_t ot_barrier_open(ot_barrier_t *barrier, uint64_t round);

/* Breaks it: all that wait or come get BROKEN. */
void ot_barrier_abort(ot_barrier_t *barrier);

/* Makes the barrier as new; threads that wait in it get BROKEN. */
void ot_barrier_reset(ot_barrier_t *barrier);

uint64_t ot_barrier_waiting(ot_barrier_t *barrier);
bool ot_barrier_is_broken(ot_barrier_t *barrier);

#endif
