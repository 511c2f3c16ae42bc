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
    OT_SYNC_BROKEN = -5,      /* a barrier was broken (crew.h gives it another meaning) */
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

/* A free lock, one reference; NULL without memory. kind: ot_rlock_kind's holder may acquire it again. */
ot_lock_t *ot_lock_new(const ot_shared_kind_t *kind);

/* Acquires the lock, and waits while another thread has it: OK, TIMEOUT, INTERRUPTED. ABANDONED: the interpreter of the
 * holder has ended. Then nobody can acquire the lock before ot_lock_recover. */
ot_sync_result_t ot_lock_acquire(ot_lock_t *lock, int64_t interp, const ot_patience_t *patience);

/* Takes one level off. Any thread may release a plain lock, only its holder a recursive one. OK, NOT_HELD, ABANDONED. */
ot_sync_result_t ot_lock_release(ot_lock_t *lock);

/* ot_lock_release_all takes off all levels and says in *depth how many there were; ot_lock_acquire_all acquires so many
 * at once. They return what ot_lock_release and ot_lock_acquire do. */
ot_sync_result_t ot_lock_release_all(ot_lock_t *lock, uint64_t *depth);
ot_sync_result_t ot_lock_acquire_all(ot_lock_t *lock, int64_t interp, uint64_t depth,
                                     const ot_patience_t *patience);

/* Acquires an abandoned lock. True for one caller; false: the lock is not abandoned, or another caller was faster. */
bool ot_lock_recover(ot_lock_t *lock, int64_t interp);

/* Keeps all other threads out for some loads and stores, without acquiring the lock. OK: the lock is free or the calling
 * thread's, and stays so until ot_lock_brief_end. In between nothing may block, so the caller may hold a GIL. TIMEOUT:
 * another thread holds the lock. ABANDONED. Only after OK ot_lock_brief_end is to be called. */
ot_sync_result_t ot_lock_brief_begin(ot_lock_t *lock);
void ot_lock_brief_end(ot_lock_t *lock);

/* Keeps all other threads from ot_lock_brief_begin until ot_lock_brief_end, for a caller that only looks. Another thread may
 * hold the lock and be in the middle of a change. */
void ot_lock_look_begin(ot_lock_t *lock);

/* Makes the lock free, whoever held it, and wakes the first that waits for it. */
void ot_lock_reset(ot_lock_t *lock);

ot_lock_state_t ot_lock_state(ot_lock_t *lock);

/* At the end of an interpreter: marks the locks that its threads hold as abandoned, and wakes who waits for them.
 * ot_locks_abandon: Lock and RLock; ot_locks_abandon_kind: objects of a kind that begin with an ot_lock_t. */
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

/* A condition on the lock, one reference; NULL without memory. Refs: takes a reference to lock of its own. */
ot_condition_t *ot_condition_new(ot_lock_t *lock);

/* Releases all levels of the lock, waits for a notification, and acquires as many levels again, however long that takes.
 * OK: notified. TIMEOUT, INTERRUPTED: not notified. In these three cases the lock is held again. NOT_HELD: nothing was done.
 * ABANDONED: the lock cannot be acquired again. *interrupted: patience gave up, whatever the result. */
ot_sync_result_t ot_condition_wait(ot_condition_t *condition, int64_t interp,
                                   const ot_patience_t *patience, bool *interrupted);

/* Wakes n of the threads that wait, or all if there are fewer. OK; NOT_HELD: nothing was done. */
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

/* One reference; NULL without memory. A bounded semaphore's bound is the value that it begins with. */
ot_semaphore_t *ot_semaphore_new(const ot_shared_kind_t *kind, uint64_t value);

/* Takes one off the value, and waits while that is 0: OK, TIMEOUT, INTERRUPTED. */
ot_sync_result_t ot_semaphore_acquire(ot_semaphore_t *semaphore, const ot_patience_t *patience);

/* Adds n to the value, and wakes as many threads. OK; TOO_MANY: the sum would be above the bound, and nothing was done. */
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

/* Waits until the event is set: OK, also if another thread has cleared it again by now; TIMEOUT, INTERRUPTED. */
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
    uint64_t
        index; /* how many of the threads that have passed came before this one; the last one's: ot_barrier_open's */
    uint64_t round; /* for ot_barrier_open */
    bool
        last; /* all have come: the caller runs the action, then calls ot_barrier_open or ot_barrier_abort */
} ot_arrival_t;

/* Comes to the barrier, and waits until the last thread of the round opens it: OK. The last thread does not wait. BROKEN:
 * the barrier is broken, was reset, or this thread's time was up, which breaks the barrier for all. INTERRUPTED: patience
 * gave up, and the barrier is as if this thread had not come. */
ot_sync_result_t ot_barrier_arrive(ot_barrier_t *barrier, const ot_patience_t *patience,
                                   ot_arrival_t *arrival);

/* The last thread of a round lets all others go on. OK: arrival->index is set; BROKEN: the barrier was aborted or reset
 * meanwhile. */
ot_sync_result_t ot_barrier_open(ot_barrier_t *barrier, ot_arrival_t *arrival);

/* Breaks the barrier: threads that wait in it, and those that come until it is reset, get BROKEN. */
void ot_barrier_abort(ot_barrier_t *barrier);

/* Makes the barrier as new; threads that wait in it get BROKEN. */
void ot_barrier_reset(ot_barrier_t *barrier);

uint64_t ot_barrier_waiting(ot_barrier_t *barrier);
bool ot_barrier_is_broken(ot_barrier_t *barrier);

#endif
