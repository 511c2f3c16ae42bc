/* waitlist.h: threads that wait in a line for what somebody else does.
 *
 * Purpose: what locks, semaphores, events and the like have in common: a list of sleepers, each
 * woken with a word (an outcome), and patience: how long, and whether a signal ends it.
 * Invariant (under the owner's lock): a waiter is in the list exactly while its outcome is 0.
 * Threading: the owner's lock guards a list and all its waiters. It is held for a few loads and
 * stores and while somebody is woken, never while one sleeps. No Python; hold no GIL while waiting.
 */
#ifndef OT_RUNTIME_WAITLIST_H
#define OT_RUNTIME_WAITLIST_H

#include "runtime/awaited.h"
#include "runtime/park.h"

typedef struct ot_waiter {
    struct ot_waiter *next, *prev;
    ot_parker_t parker;
    uint64_t thread; /* whose it is: ot_thread_token() */
    int outcome;     /* what it was woken with */
} ot_waiter_t;

typedef struct {
    ot_waiter_t *first, *last;
} ot_waitlist_t;

typedef struct ot_patience {
    int64_t deadline; /* on the monotonic clock; OT_DONT_WAIT, OT_FOREVER */
    /* After a signal handler ran in this thread, or it was poked: whether to give up. Called without
     * any lock. NULL: never. */
    bool (*gives_up)(void *arg);
    void *arg;
    ot_awaited_t *awaited; /* the caller's; what a dump says of the wait. NULL: nothing */
} ot_patience_t;

typedef enum {
    OT_WAIT_GAVE_UP = -1, /* maybe woken as well: if outcome is set, pass it on */
    OT_WAIT_TIMEOUT = 0,  /* not woken */
    OT_WAIT_WOKEN = 1,
} ot_wait_result_t;

/* Enters a new waiter, at the front if it has waited before. ot_waiter_wait_locked must follow. */
void ot_waiter_enter_locked(ot_waitlist_t *list, ot_waiter_t *w, bool at_front);

/* Sleeps until woken, or out of patience; then w is in no list. Called and returns with `lock`,
 * which is the owner's; lets go of it in between. */
ot_wait_result_t ot_waiter_wait_locked(ot_waitlist_t *list, ot_waiter_t *w, pthread_mutex_t *lock,
                                       const ot_patience_t *patience);

/* Enters a new waiter (at_front: it has waited before) and sleeps until it is woken, or out of patience; then it is
 * in no list. Called and returns with `lock`, the owner's; lets go of it in between. */
ot_wait_result_t ot_wait_locked(ot_waitlist_t *list, ot_waiter_t *w, bool at_front,
                                pthread_mutex_t *lock, const ot_patience_t *patience);

/* Wakes the first waiter with this outcome, which is not 0. Whether there was one. */
bool ot_wake_one_locked(ot_waitlist_t *list, int outcome);
void ot_wake_all_locked(ot_waitlist_t *list, int outcome);

/* The owner's part in fork(), in the child: removes all waiters but the calling thread's, and returns how many stay. A signal
 * handler runs during a wait and may fork. Its thread then goes on waiting in the child, which has no other thread. The
 * waiter stays in the line, so that a thread of the child that acts before the handler returns finds it. Reads the other
 * threads' stacks, which the child still has. */
size_t ot_waitlist_keep_own(ot_waitlist_t *list);

/* ot_waitlist_keep_own for an owner whose waiters look again when they are woken: wakes those that stay, with outcome 1. What
 * they wait for may be otherwise in the child, or the waiter that was woken for it may be gone. */
void ot_waitlist_wake_own(ot_waitlist_t *list);

/* Aborts if the line is broken, or somebody in it was woken. Every operation calls it where the list is known to live, if
 * OT_CHECKS is on. */
void ot_waitlist_check_locked(const ot_waitlist_t *list);

#endif
