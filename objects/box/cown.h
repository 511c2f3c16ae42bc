/* cown.h: what one at a time may have, or several that only read, and the queue of those who want it: threads and behaviours.
 *
 * Purpose: a Box's lock. A thread asks for one cown and sleeps until it has it. A behaviour asks for several at once and
 * never sleeps: whoever frees the last of them is told, and sees to it that the behaviour runs. "Cown" is the word of
 * behaviour-oriented concurrency (Cheeseman et al., OOPSLA 2023) for a concurrent owner.
 * Threading: any thread. A cown's guard (its lock's) is held for some loads and stores, never while anybody sleeps or is
 * called. A behaviour enters all of its queues while it holds all of their guards, so that any two behaviours have the same
 * order in each queue that both are in. That is why no circle of waiting behaviours can come about. No Python; who waits
 * holds no GIL.
 *
 * The order. A request comes after all that were in its queue before it, but that requests to read which stand next to each
 * other have the cown together: a reader joins those that have it exactly if nobody stands in the queue. So if one call of
 * ot_behaviour_enqueue or ot_cown_acquire happens before another one, in one thread or by way of anything that orders
 * threads, and both ask for a cown, not both to read, then the first one has it first, and has released it when the second
 * one gets it. Nobody waits for readers that came later. Between threads alone a newcomer may overtake a thread that is waking up, which
 * nothing can tell from another order of their calls.
 *
 * Ruled out: the list of the paper, where who enters swaps a tail pointer and spins until those before it have entered all
 * their queues. A thread whose patience ends must leave the middle of a queue, which such a list cannot do; and a
 * spinning thread waits for one that may have been preempted, as one that waits for a guard does, but does not sleep.
 */
#ifndef OT_OBJECTS_COWN_H
#define OT_OBJECTS_COWN_H

#include <stdatomic.h>

#include "objects/sync/sync.h"

typedef struct ot_cown ot_cown_t;
typedef struct ot_behaviour ot_behaviour_t;

/* A place in a cown's queue. Invariant (under the cown's guard): in the queue until it has the cown, or a thread's
 * patience has ended. */
typedef struct ot_request {
    struct ot_request *next, *prev;
    ot_cown_t *cown;           /* the caller's reference */
    ot_behaviour_t *behaviour; /* NULL: a thread's, which lives on its stack */
    bool reads;                /* a behaviour's, which is content to have it beside other readers */
    ot_waitlist_t sleeper;     /* a thread's: itself, while it has not been woken */
    uint64_t thread;           /* a thread's token */
} ot_request_t;

/* Invariants (under the guard): `behaviours` counts those in the queue. Held exactly while lock.depth is 1; free: the
 * queue is empty, or its first is a thread that was woken and is on its way. While `readers` is not 0 that many behaviours
 * have it, all to read, and the queue is empty or its first does not read. lock.abandoned is never set, and nobody waits in
 * lock.waiters. */
struct ot_cown {
    ot_lock_t lock; /* first; its guard guards all */
    ot_request_t *first, *last;
    size_t behaviours;
    size_t readers;
};

/* Who holds a cown for a behaviour that no thread runs yet: nobody's token. */
#define OT_NO_THREAD UINT64_MAX

/* Invariant: `missing` is how many of its cowns it does not have, and one more until it is in all queues. It falls to 0
 * once. */
struct ot_behaviour {
    ot_behaviour_t *next; /* its owner's, once it has all */
    atomic_size_t missing;
    size_t n;
    /* A thread waits until `ready` was called, and has the cowns then. Set before ot_behaviour_enqueue. */
    bool is_thread;
    ot_request_t *requests; /* in the order of the cowns' ids, none twice */
    /* Called once, without a lock, as soon as the behaviour has all of its cowns: by the thread that releases the last one,
     * or by ot_behaviour_enqueue. Must not wait. */
    void (*ready)(ot_behaviour_t *self);
};

/* Aborts if the invariants do not hold. Every change ends with it where OT_CHECKS is on. */
void ot_cown_check_locked(const ot_cown_t *cown);

/* For objects that begin with a cown, zeroed but for their own fields, and have a kind of their own: its `fork` is
 * ot_cown_fork, its `free` calls ot_cown_destroy. held: it is a behaviour's from the beginning, which asks for it nowhere. */
void ot_cown_init(ot_cown_t *cown, const ot_shared_kind_t *kind, bool held);
void ot_cown_destroy(ot_cown_t *cown);
void ot_cown_fork(ot_shared_t *self, ot_fork_stage_t stage);

/* Waits in the queue for the calling thread, of interpreter `interp`: OK (it has the cown), TIMEOUT or INTERRUPTED (patience
 * gave up). */
ot_sync_result_t ot_cown_acquire(ot_cown_t *cown, int64_t interp, const ot_patience_t *patience);

/* Gives the cown, which the caller or its behaviour has, to whoever is first in the queue. May call the `ready` of
 * behaviours. */
void ot_cown_release(ot_cown_t *cown);

/* The behaviour that gets the cown once the caller, who has it, releases it. *reads: it wants the cown to read.
 * NULL: a thread gets it, or nobody wants it, or the caller is not the only one that reads it. The answer stays true if the
 * behaviour misses no cown but those that the caller has. */
ot_behaviour_t *ot_cown_next(ot_cown_t *cown, bool *reads);

/* How many behaviours read the cown now. */
size_t ot_cown_readers(ot_cown_t *cown);

/* Notes that the calling thread, of interpreter `interp`, runs the behaviour that has the cown: Box.owner and dumps say so. */
void ot_cown_run_by(ot_cown_t *cown, int64_t interp);

/* At the end of an interpreter: releases the cowns of this kind that its threads have. */
void ot_cowns_abandon(const ot_shared_kind_t *kind, int64_t interp);

/* Fills in a behaviour. requests: n of them, with `cown`, all different, and `reads` set; they are sorted here. */
void ot_behaviour_init(ot_behaviour_t *self, ot_request_t *requests, size_t n,
                       void (*ready)(ot_behaviour_t *self));

/* Enters the queues of all its cowns in one atomic step. May call its `ready`, after which it may be gone. */
void ot_behaviour_enqueue(ot_behaviour_t *self);

/* Takes a behaviour with a single request out of the queue. False: it has the cown, and `ready` was called or will be. */
bool ot_behaviour_withdraw(ot_behaviour_t *self);

#endif
