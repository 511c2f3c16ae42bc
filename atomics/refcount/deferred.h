/* deferred.h: buffered counting, as in Hastings's Gilectomy: a thread writes down which counts it
 * would have changed, and now and then one thread applies what all have written down.
 *
 * inc and dec store the object's address in a ring of the thread's own; no atomic read-modify-
 * write, no line that others write. commit() applies all rings under a lock.
 *
 * Main invariant: an applied count never falls short of the true one. commit first notes how far
 * each ring of decs is filled, then how far each ring of incs is; it applies those incs, then
 * those decs. A reference is made from another one that is still held, so its inc is written down
 * before that other one's dec; if the dec was noted, so is the inc. Hence zero is final: by
 * induction back to the creator's reference, whose dec would be missing.
 *
 * Order: how far a ring is filled is released by its thread and acquired by commit: then what was
 * written down before is seen. How far it is emptied is released by commit and acquired by the
 * thread. The counts are written under the lock.
 * Cost: a store and a release store each; a commit every OT_RC_DEFERRED operations of a thread walks
 * all threads' rings, whose lines it has to fetch from their cores: with two threads that is most of
 * the cost, on private objects too.
 * Wrong when: memory must be freed at once, or when threads stop polling: objects wait.
 */
#ifndef OT_ATOMICS_REFCOUNT_DEFERRED_H
#define OT_ATOMICS_REFCOUNT_DEFERRED_H

#include <pthread.h>
#include <stdlib.h>

#include "atomics/cpu.h"
#include "atomics/refcount/contract.h"
#include "atomics/thread_index.h"

enum { OT_RC_DEFERRED = 512 };

typedef struct ot_rc_deferred {
    atomic_long count;           /* written under ot_deferred.lock */
    struct ot_rc_deferred *next; /* in ot_deferred.dead */
} ot_rc_deferred_t;

/* Invariant: emptied <= filled <= emptied + OT_RC_DEFERRED; entries in between are valid. */
typedef struct {
    atomic_size_t filled;  /* written by the thread */
    atomic_size_t emptied; /* written under the lock */
    size_t noted;          /* by the lock: how much of it the commit at work applies */
    ot_rc_deferred_t *entry[OT_RC_DEFERRED];
} ot_deferred_ring_t;

typedef struct ot_deferred_thread {
    OT_OWN_LINE ot_deferred_ring_t incs;
    OT_OWN_LINE ot_deferred_ring_t decs;
    struct ot_deferred_thread *next; /* by the lock */
} ot_deferred_thread_t;

typedef struct {
    pthread_mutex_t lock;
    ot_deferred_thread_t *threads; /* by lock */
    ot_rc_deferred_t *dead;        /* by lock: reached zero, not yet reported */
} ot_deferred_t;

OT_ATOMICS_GLOBAL ot_deferred_t ot_deferred = {.lock = PTHREAD_MUTEX_INITIALIZER};
OT_ATOMICS_GLOBAL _Thread_local ot_deferred_thread_t *ot_deferred_self;

/* The calling thread's rings, NULL without memory. */
static inline ot_deferred_thread_t *
ot_deferred_join(void)
{
    if (ot_deferred_self == NULL) {
        ot_deferred_thread_t *t = aligned_alloc(_Alignof(ot_deferred_thread_t), sizeof *t);
        if (t == NULL) {
            return NULL;
        }
        ot_deferred_ring_t *rings[] = {&t->incs, &t->decs};
        for (int i = 0; i < 2; i++) {
            atomic_init(&rings[i]->filled, 0);
            atomic_init(&rings[i]->emptied, 0);
            rings[i]->noted = 0;
        }
        pthread_mutex_lock(&ot_deferred.lock);
        t->next = ot_deferred.threads;
        ot_deferred.threads = t;
        pthread_mutex_unlock(&ot_deferred.lock);
        ot_deferred_self = t;
    }
    return ot_deferred_self;
}

static inline void
ot_deferred_note(ot_deferred_ring_t *ring)
{
    ring->noted = atomic_load_explicit(&ring->filled, memory_order_acquire);
}

static inline void
ot_deferred_add_locked(ot_rc_deferred_t *rc, long n)
{
    long count = atomic_load_explicit(&rc->count, memory_order_relaxed) + n;
    atomic_store_explicit(&rc->count, count, memory_order_relaxed);
    if (count == 0) {
        rc->next = ot_deferred.dead;
        ot_deferred.dead = rc;
    }
}

static inline void
ot_deferred_apply_locked(ot_deferred_ring_t *ring, long n)
{
    size_t i = atomic_load_explicit(&ring->emptied, memory_order_relaxed);
    for (; i != ring->noted; i++) {
        ot_deferred_add_locked(ring->entry[i % OT_RC_DEFERRED], n);
    }
    atomic_store_explicit(&ring->emptied, ring->noted, memory_order_release);
}

/* The order of these four loops is the main invariant. */
static inline void
ot_deferred_commit_locked(void)
{
    for (ot_deferred_thread_t *t = ot_deferred.threads; t != NULL; t = t->next) {
        ot_deferred_note(&t->decs);
    }
    for (ot_deferred_thread_t *t = ot_deferred.threads; t != NULL; t = t->next) {
        ot_deferred_note(&t->incs);
    }
    for (ot_deferred_thread_t *t = ot_deferred.threads; t != NULL; t = t->next) {
        ot_deferred_apply_locked(&t->incs, 1);
    }
    for (ot_deferred_thread_t *t = ot_deferred.threads; t != NULL; t = t->next) {
        ot_deferred_apply_locked(&t->decs, -1);
    }
}

static inline void
ot_deferred_commit(void)
{
    pthread_mutex_lock(&ot_deferred.lock);
    ot_deferred_commit_locked();
    pthread_mutex_unlock(&ot_deferred.lock);
}

static inline void
ot_deferred_write(ot_deferred_ring_t *ring, ot_rc_deferred_t *rc)
{
    size_t filled = atomic_load_explicit(&ring->filled, memory_order_relaxed);
    /* acquire: the entry that we overwrite was read before */
    if (filled - atomic_load_explicit(&ring->emptied, memory_order_acquire) == OT_RC_DEFERRED) {
        ot_deferred_commit();
    }
    ring->entry[filled % OT_RC_DEFERRED] = rc;
    atomic_store_explicit(&ring->filled, filled + 1, memory_order_release);
}

static inline void
ot_rc_deferred_init(ot_rc_deferred_t *rc)
{
    atomic_init(&rc->count, 1);
    rc->next = NULL;
}

static inline void
ot_rc_deferred_inc(ot_rc_deferred_t *rc)
{
    ot_deferred_thread_t *self = ot_deferred_join();
    if (self != NULL) {
        ot_deferred_write(&self->incs, rc);
        return;
    }
    pthread_mutex_lock(&ot_deferred.lock); /* no memory: at once; an inc is never too early */
    ot_deferred_add_locked(rc, 1);
    pthread_mutex_unlock(&ot_deferred.lock);
}

/* Always false: only a commit finds out. */
static inline bool
ot_rc_deferred_dec(ot_rc_deferred_t *rc)
{
    ot_deferred_thread_t *self = ot_deferred_join();
    if (self != NULL) {
        ot_deferred_write(&self->decs, rc);
        return false;
    }
    pthread_mutex_lock(&ot_deferred.lock); /* no memory: as the last dec of a commit of its own */
    ot_deferred_commit_locked();
    ot_deferred_add_locked(rc, -1);
    pthread_mutex_unlock(&ot_deferred.lock);
    return false;
}

OT_RC_DROP_IS_DEC(deferred)

static inline long
ot_rc_deferred_get(ot_rc_deferred_t *rc)
{
    return atomic_load_explicit(&rc->count, memory_order_relaxed);
}

static inline void
ot_rc_deferred_poll(ot_rc_zero_fn zero, void *arg)
{
    pthread_mutex_lock(&ot_deferred.lock);
    ot_deferred_commit_locked();
    ot_rc_deferred_t *rc = ot_deferred.dead;
    ot_deferred.dead = NULL;
    pthread_mutex_unlock(&ot_deferred.lock);
    while (rc != NULL) {
        ot_rc_deferred_t *next = rc->next;
        zero(rc, arg);
        rc = next;
    }
}

static inline void
ot_rc_deferred_leave(ot_rc_zero_fn zero, void *arg)
{
    ot_rc_deferred_poll(zero, arg);
    ot_deferred_thread_t *self = ot_deferred_self;
    if (self == NULL) {
        return;
    }
    pthread_mutex_lock(&ot_deferred.lock);
    ot_deferred_thread_t **link = &ot_deferred.threads;
    while (*link != self) {
        link = &(*link)->next;
    }
    *link = self->next;
    pthread_mutex_unlock(&ot_deferred.lock);
    ot_deferred_self = NULL;
    free(self);
}

#endif
