/* biased.h: biased reference counting (Choi, Shull, Torrellas, PACT 2018; PEP 703): the thread
 * that made the object counts without atomics, all others in a second, atomic count.
 *
 * The true count is local + shared. The owner merges the two when its own reaches zero; from then
 * on everybody, the owner too, uses the shared one, and zero there is zero. A thread that is not
 * the owner and finds nothing in `shared` to take away cannot know whether the owner's references
 * are gone: it puts the object, with the reference it was to give up, on the owner's queue, and
 * the owner merges when it polls. If the owner has left, that thread merges in its place.
 *
 * Order: local is the owner's alone. Shared: inc relaxed, everything that may take the count to
 * zero acquire-release, so that who reports zero sees everybody's writes.
 * Cost: owner: plain.h and a comparison of thread identities; others: LOCK for inc, a CAS loop for
 * dec. 32 bytes. On one shared line the owner goes far ahead of the others, whose LOCKs queue.
 * Wrong when: objects are used mostly by threads that did not make them (queues between threads:
 * then it is lock.h and a test), or when an owner never polls: its queued objects wait.
 */
#ifndef OT_ATOMICS_REFCOUNT_BIASED_H
#define OT_ATOMICS_REFCOUNT_BIASED_H

#include <pthread.h>
#include <stdlib.h>

#include "atomics/refcount/contract.h"
#include "atomics/thread_index.h"

typedef struct ot_rc_biased ot_rc_biased_t;

/* One for each thread that has made objects; lives as long as the process, for objects may refer
 * to it after the thread's end. */
typedef struct ot_bias_owner {
    pthread_mutex_t lock;
    bool gone;                  /* by lock: the thread has left and will not merge any more */
    ot_rc_biased_t *queue;      /* by lock: linked by ot_rc_biased_t.next */
    atomic_size_t merges;       /* counts merged by or for this thread; for tests and statistics */
    struct ot_bias_owner *next; /* by ot_bias_owners_lock */
} ot_bias_owner_t;

/* Invariant: references = local + shared / 4. `owner` goes to ot_bias_nobody once, together with
 * local becoming 0 and OT_BIAS_MERGED being set, and only by the owner's thread, or under
 * owner->lock if the owner is gone. An object is queued at most once. */
struct ot_rc_biased {
    ot_bias_owner_t *_Atomic owner;
    atomic_uint local;  /* written by the owner alone */
    atomic_long shared; /* 4 * count | state; the count may be negative while the owner has some */
    ot_rc_biased_t *next;
};

enum {
    OT_BIAS_QUEUED = 2, /* on the owner's queue, which has one of the references */
    OT_BIAS_MERGED = 3,
    OT_BIAS_STATE = 3,
    OT_BIAS_ONE = 4,
};

OT_ATOMICS_GLOBAL ot_bias_owner_t ot_bias_nobody;
OT_ATOMICS_GLOBAL ot_bias_owner_t *ot_bias_owners; /* all ever made */
OT_ATOMICS_GLOBAL pthread_mutex_t ot_bias_owners_lock = PTHREAD_MUTEX_INITIALIZER;
OT_ATOMICS_GLOBAL _Thread_local ot_bias_owner_t *ot_bias_self;

/* The calling thread's record; without memory for one, "nobody": then its objects are counted in
 * `shared` from the start. */
static inline ot_bias_owner_t *
ot_bias_join(void)
{
    if (ot_bias_self != NULL) {
        return ot_bias_self;
    }
    ot_bias_owner_t *owner = calloc(1, sizeof *owner);
    if (owner == NULL) {
        return &ot_bias_nobody;
    }
    pthread_mutex_init(&owner->lock, NULL);
    pthread_mutex_lock(&ot_bias_owners_lock);
    owner->next = ot_bias_owners;
    ot_bias_owners = owner;
    pthread_mutex_unlock(&ot_bias_owners_lock);
    return ot_bias_self = owner;
}

static inline void
ot_rc_biased_init(ot_rc_biased_t *rc)
{
    ot_bias_owner_t *owner = ot_bias_join();
    bool biased = owner != &ot_bias_nobody;
    atomic_init(&rc->owner, owner);
    atomic_init(&rc->local, biased ? 1 : 0);
    atomic_init(&rc->shared, biased ? 0 : OT_BIAS_ONE | OT_BIAS_MERGED);
    rc->next = NULL;
}

/* relaxed: only the owner can find itself there, and it wrote that itself */
static inline bool
ot_bias_is_mine(ot_rc_biased_t *rc)
{
    return atomic_load_explicit(&rc->owner, memory_order_relaxed) == ot_bias_self;
}

static inline unsigned
ot_bias_local(ot_rc_biased_t *rc)
{
    return atomic_load_explicit(&rc->local, memory_order_relaxed);
}

static inline void
ot_bias_set_local(ot_rc_biased_t *rc, unsigned n)
{
    atomic_store_explicit(&rc->local, n, memory_order_relaxed);
}

static inline void
ot_rc_biased_inc(ot_rc_biased_t *rc)
{
    if (ot_bias_is_mine(rc)) {
        ot_bias_set_local(rc, ot_bias_local(rc) + 1);
    } else {
        atomic_fetch_add_explicit(&rc->shared, OT_BIAS_ONE, memory_order_relaxed);
    }
}

/* Adds local and extra to shared for good; whether the sum is zero. Called by the owner, or under
 * its lock once it is gone. Harmless if merged already: then it adds extra only.
 * The owner field goes first: as soon as `shared` says merged, another thread may free the object.
 * Acquire: the others' writes, if this is zero; release: ours, if a later dec is. */
static inline bool
ot_bias_merge(ot_rc_biased_t *rc, long extra)
{
    ot_bias_owner_t *owner = atomic_load_explicit(&rc->owner, memory_order_relaxed);
    if (owner != &ot_bias_nobody) {
        atomic_fetch_add_explicit(&owner->merges, 1, memory_order_relaxed);
    }
    long more = (long)ot_bias_local(rc) + extra;
    ot_bias_set_local(rc, 0);
    atomic_store_explicit(&rc->owner, &ot_bias_nobody, memory_order_relaxed);
    long old = atomic_load_explicit(&rc->shared, memory_order_relaxed), merged;
    do {
        merged = (old & ~(long)OT_BIAS_STATE) + more * OT_BIAS_ONE + OT_BIAS_MERGED;
    } while (!atomic_compare_exchange_weak_explicit(&rc->shared, &old, merged, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return merged == OT_BIAS_MERGED;
}

static inline bool
ot_bias_dec_local(ot_rc_biased_t *rc)
{
    unsigned n = ot_bias_local(rc) - 1;
    ot_bias_set_local(rc, n);
    if (n != 0) {
        return false;
    }
    if (atomic_load_explicit(&rc->shared, memory_order_acquire) == 0) {
        return true; /* never shared, or all given back to `shared`: nobody else has one */
    }
    return ot_bias_merge(rc, 0);
}

static inline bool ot_bias_dec_shared(ot_rc_biased_t *rc);

/* Hands the caller's reference to the owner's queue; whether merging here brought zero. */
static inline bool
ot_bias_queue(ot_rc_biased_t *rc)
{
    ot_bias_owner_t *owner = atomic_load_explicit(&rc->owner, memory_order_relaxed);
    if (owner == &ot_bias_nobody) {
        return ot_bias_dec_shared(rc); /* the owner has merged meanwhile; its references are gone */
    }
    bool zero = false;
    pthread_mutex_lock(&owner->lock);
    if (owner->gone) {
        zero = ot_bias_merge(rc, -1);
    } else {
        rc->next = owner->queue;
        owner->queue = rc;
    }
    pthread_mutex_unlock(&owner->lock);
    return zero;
}

static inline bool
ot_bias_dec_shared(ot_rc_biased_t *rc)
{
    long old = atomic_load_explicit(&rc->shared, memory_order_relaxed), left;
    do {
        left = old == 0 ? OT_BIAS_QUEUED : old - OT_BIAS_ONE;
    } while (!atomic_compare_exchange_weak_explicit(&rc->shared, &old, left, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return old == 0 ? ot_bias_queue(rc) : left == OT_BIAS_MERGED;
}

static inline bool
ot_rc_biased_dec(ot_rc_biased_t *rc)
{
    return ot_bias_is_mine(rc) ? ot_bias_dec_local(rc) : ot_bias_dec_shared(rc);
}

OT_RC_DROP_IS_DEC(biased)

static inline long
ot_rc_biased_get(ot_rc_biased_t *rc)
{
    long shared = atomic_load_explicit(&rc->shared, memory_order_relaxed);
    return (long)ot_bias_local(rc) + (shared - (shared & OT_BIAS_STATE)) / OT_BIAS_ONE;
}

static inline void
ot_bias_drain(ot_bias_owner_t *self, bool leave, ot_rc_zero_fn zero, void *arg)
{
    pthread_mutex_lock(&self->lock);
    ot_rc_biased_t *rc = self->queue;
    self->queue = NULL;
    self->gone = leave;
    pthread_mutex_unlock(&self->lock);
    while (rc != NULL) {
        ot_rc_biased_t *next = rc->next;
        if (ot_bias_merge(rc, -1)) { /* -1: the reference that the queue had */
            zero(rc, arg);
        }
        rc = next;
    }
}

static inline void
ot_rc_biased_poll(ot_rc_zero_fn zero, void *arg)
{
    if (ot_bias_self != NULL) {
        ot_bias_drain(ot_bias_self, false, zero, arg);
    }
}

static inline void
ot_rc_biased_leave(ot_rc_zero_fn zero, void *arg)
{
    if (ot_bias_self != NULL) {
        ot_bias_drain(ot_bias_self, true, zero, arg);
        ot_bias_self = NULL;
    }
}

#endif
