/* cown.c: see cown.h.
 *
 * Main invariant: that of ot_cown_t. Whoever makes a cown free hands it on before it lets go of the guard: to the
 * behaviour that is first in the queue, with all readers behind it if it reads, or by waking the thread that is first.
 */
#include "objects/box/cown.h"

#include <sched.h>
#include <stdlib.h>

#include "runtime/checks.h"

void
ot_cown_check_locked(const ot_cown_t *cown)
{
    size_t behaviours = 0;
    const ot_request_t *before = NULL;
    for (const ot_request_t *r = cown->first; r != NULL; before = r, r = r->next) {
        OT_MUST(r->prev == before && r->cown == cown);
        OT_MUST(r->behaviour == NULL || r->behaviour->missing > 0);
        OT_MUST(r->behaviour != NULL || !r->reads);
        behaviours += r->behaviour != NULL;
    }
    OT_MUST(cown->last == before && cown->behaviours == behaviours);
    OT_MUST(cown->lock.depth <= 1 && !cown->lock.abandoned && cown->lock.waiters.first == NULL);
    const ot_request_t *first = cown->first;
    OT_MUST(cown->lock.depth == 1 || first == NULL ||
            (first->behaviour == NULL && first->sleeper.first == NULL));
    OT_MUST(cown->readers == 0 || (cown->lock.depth == 1 && cown->lock.thread == OT_NO_THREAD));
    OT_MUST(cown->readers == 0 || first == NULL || !first->reads);
}

static void
lock_guard(ot_cown_t *cown)
{
    pthread_mutex_lock(&cown->lock.guard);
}

static void
unlock_guard(ot_cown_t *cown)
{
    OT_CHECK(ot_cown_check_locked(cown));
    pthread_mutex_unlock(&cown->lock.guard);
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void
append_locked(ot_request_t *r)
{
    ot_cown_t *cown = r->cown;
    r->next = NULL;
    r->prev = cown->last;
    *(r->prev ? &r->prev->next : &cown->first) = r;
    cown->last = r;
    cown->behaviours += r->behaviour != NULL;
}

static void
remove_locked(ot_request_t *r)
{
    ot_cown_t *cown = r->cown;
    *(r->prev ? &r->prev->next : &cown->first) = r->next;
    *(r->next ? &r->next->prev : &cown->last) = r->prev;
    cown->behaviours -= r->behaviour != NULL;
}

static void
take_locked(ot_cown_t *cown, uint64_t thread, int64_t interp)
{
    /* Atomic for who dumps what others wait for, without the guard. */
    __atomic_store_n(&cown->lock.thread, thread, __ATOMIC_RELAXED);
    cown->lock.interp = interp;
    cown->lock.depth = 1;
}

static bool
can_have_locked(const ot_cown_t *cown, bool reads)
{
    return cown->lock.depth == 0 || (reads && cown->readers > 0);
}

static void
give_locked(ot_cown_t *cown, bool reads)
{
    take_locked(cown, OT_NO_THREAD, -1);
    cown->readers += reads;
}

/* One cown less is missing. Whether none is. The last one to come acquires what the others have released: what was done
 * with each of the cowns happens before `ready`. */
static bool
has_all(ot_behaviour_t *b)
{
    return atomic_fetch_sub_explicit(&b->missing, 1, memory_order_acq_rel) == 1;
}

/* Behaviours that have all, in the order in which they stood in the queue, linked by next. */
typedef struct {
    ot_behaviour_t *first, **end;
} complete_t;

#define NONE_COMPLETE(list)                                                                        \
    {                                                                                              \
        NULL, &(list).first                                                                        \
    }

/* The cown is free, or others may join its readers: to whom it goes. Whose `ready` the caller must call, without the guard,
 * is appended to *complete. */
static void
hand_on_locked(ot_cown_t *cown, complete_t *complete)
{
    ot_request_t *r;
    while ((r = cown->first) != NULL && can_have_locked(cown, r->reads)) {
        if (r->behaviour == NULL) {
            ot_wake_one_locked(&r->sleeper, 1); /* nothing to do if it was woken before */
            return;
        }
        remove_locked(r);
        give_locked(cown, r->reads);
        if (has_all(r->behaviour)) {
            r->behaviour->next = NULL;
            *complete->end = r->behaviour;
            complete->end = &r->behaviour->next;
        }
    }
}

/* Each may be gone once it was told. */
static void
tell_all(const complete_t *complete)
{
    for (ot_behaviour_t *b = complete->first, *next; b != NULL; b = next) {
        next = b->next;
        b->ready(b);
    }
}

static void
unlock_and_tell(ot_cown_t *cown, const complete_t *complete)
{
    unlock_guard(cown);
    tell_all(complete);
}

/* ---- life ------------------------------------------------------------------------------------ */

void
ot_cown_init(ot_cown_t *cown, const ot_shared_kind_t *kind, bool held)
{
    cown->first = cown->last = NULL;
    cown->behaviours = cown->readers = 0;
    if (held) {
        take_locked(cown, OT_NO_THREAD, -1);
    }
    ot_lock_init(&cown->lock, kind);
}

void
ot_cown_destroy(ot_cown_t *cown)
{
    ot_lock_destroy(&cown->lock);
}

/* Only the calling thread's own requests stay in the queue. They are woken, and look again whether they have the cown. */
static void
keep_own_requests(ot_cown_t *cown)
{
    ot_request_t *r = cown->first;
    cown->first = cown->last = NULL;
    cown->behaviours = 0;
    for (ot_request_t *next; r != NULL; r = next) {
        next = r->next;
        if (r->behaviour == NULL && r->thread == ot_thread_token()) {
            append_locked(r);
            ot_wake_one_locked(&r->sleeper, 1);
        }
    }
}

/* In the child no other thread exists, and no worker: who had it is gone. */
void
ot_cown_fork(ot_shared_t *self, ot_fork_stage_t stage)
{
    ot_cown_t *cown = (ot_cown_t *)self;
    ot_lock_fork(self, stage);
    if (stage == OT_AFTER_FORK_IN_CHILD) {
        cown->readers = 0;
        if (cown->lock.abandoned) {
            cown->lock.abandoned = false;
            cown->lock.depth = 0;
        }
        keep_own_requests(cown);
        OT_CHECK(ot_cown_check_locked(cown));
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

/* Waits in the queue. *complete: as hand_on_locked has it. */
static ot_sync_result_t
wait_locked(ot_cown_t *cown, int64_t interp, const ot_patience_t *patience, complete_t *complete)
{
    ot_request_t r = {.cown = cown, .thread = ot_thread_token()};
    ot_sync_result_t result = OT_SYNC_BROKEN; /* undecided */
    if (patience->awaited != NULL) {
        patience->awaited->owner_at = &cown->lock.thread;
    }
    append_locked(&r);
    while (result == OT_SYNC_BROKEN) {
        ot_waiter_t w;
        ot_wait_result_t why = ot_wait_locked(&r.sleeper, &w, false, &cown->lock.guard, patience);
        if (why == OT_WAIT_GAVE_UP) {
            result = OT_SYNC_INTERRUPTED;
        } else if (cown->lock.depth == 0 && cown->first == &r) {
            result = OT_SYNC_OK;
        } else if (why == OT_WAIT_TIMEOUT) {
            result = OT_SYNC_TIMEOUT;
        }
    }
    remove_locked(&r);
    if (result == OT_SYNC_OK) {
        take_locked(cown, ot_thread_token(), interp);
    } else {
        hand_on_locked(cown, complete); /* readers behind it may join those before it */
    }
    return result;
}

ot_sync_result_t
ot_cown_acquire(ot_cown_t *cown, int64_t interp, const ot_patience_t *patience)
{
    ot_sync_result_t result = OT_SYNC_OK;
    complete_t complete = NONE_COMPLETE(complete);
    lock_guard(cown);
    if (cown->lock.depth == 0 && cown->behaviours == 0) {
        take_locked(cown, ot_thread_token(), interp);
    } else if (patience->deadline == OT_DONT_WAIT) {
        result = OT_SYNC_TIMEOUT;
    } else {
        result = wait_locked(cown, interp, patience, &complete);
    }
    unlock_and_tell(cown, &complete);
    return result;
}

void
ot_cown_release(ot_cown_t *cown)
{
    complete_t complete = NONE_COMPLETE(complete);
    lock_guard(cown);
    OT_CHECK(OT_MUST(cown->lock.depth == 1));
    cown->readers -= cown->readers > 0;
    if (cown->readers == 0) {
        cown->lock.depth = 0;
        hand_on_locked(cown, &complete);
    }
    unlock_and_tell(cown, &complete);
}

ot_behaviour_t *
ot_cown_next(ot_cown_t *cown, bool *reads)
{
    lock_guard(cown);
    const ot_request_t *first = cown->readers > 1 ? NULL : cown->first;
    ot_behaviour_t *next = first == NULL ? NULL : first->behaviour;
    next = next == NULL || next->is_thread ? NULL : next;
    *reads = first != NULL && first->reads;
    unlock_guard(cown);
    return next;
}

size_t
ot_cown_readers(ot_cown_t *cown)
{
    lock_guard(cown);
    size_t readers = cown->readers;
    unlock_guard(cown);
    return readers;
}

void
ot_cown_run_by(ot_cown_t *cown, int64_t interp)
{
    lock_guard(cown);
    take_locked(cown, ot_thread_token(), interp);
    unlock_guard(cown);
}

/* Behaviours that are complete by it are told once the registry's lock is free. */
typedef struct {
    int64_t interp;
    complete_t complete;
} abandoned_t;

static void
abandon(ot_shared_t *self, void *arg)
{
    ot_cown_t *cown = (ot_cown_t *)self;
    abandoned_t *found = arg;
    lock_guard(cown);
    if (cown->lock.depth == 1 && cown->lock.interp == found->interp) {
        cown->lock.depth = 0;
        hand_on_locked(cown, &found->complete);
    }
    unlock_guard(cown);
}

void
ot_cowns_abandon(const ot_shared_kind_t *kind, int64_t interp)
{
    abandoned_t found = {interp, NONE_COMPLETE(found.complete)};
    ot_shared_visit(kind, abandon, &found);
    tell_all(&found.complete);
}

/* ---- behaviours ------------------------------------------------------------------------------ */

static int
by_id(const void *a, const void *b)
{
    uint64_t left = ((const ot_request_t *)a)->cown->lock.head.id;
    uint64_t right = ((const ot_request_t *)b)->cown->lock.head.id;
    return (left > right) - (left < right);
}

void
ot_behaviour_init(ot_behaviour_t *self, ot_request_t *requests, size_t n,
                  void (*ready)(ot_behaviour_t *self))
{
    self->next = NULL;
    self->n = n;
    self->is_thread = false;
    self->requests = requests;
    self->ready = ready;
    if (n > 1) {
        qsort(requests, n, sizeof *requests, by_id);
    }
    for (size_t i = 0; i < n; i++) {
        requests[i].behaviour = self;
        requests[i].sleeper = (ot_waitlist_t){NULL, NULL};
    }
    atomic_init(&self->missing, n + 1);
}

/* All guards at once. Only the first is waited for; if another one is not to be had, it is the first one in the next
 * round, with nothing held meanwhile. So this cannot deadlock, not even with a fork, which takes all guards of the
 * process in an order of its own. */
static void
lock_all(ot_behaviour_t *b)
{
    size_t first = 0;
    for (;;) {
        lock_guard(b->requests[first].cown);
        size_t i = 0;
        while (i < b->n &&
               (i == first || pthread_mutex_trylock(&b->requests[i].cown->lock.guard) == 0)) {
            i++;
        }
        if (i == b->n) {
            return;
        }
        for (size_t j = 0; j < b->n; j++) {
            if (j < i || j == first) {
                pthread_mutex_unlock(&b->requests[j].cown->lock.guard);
            }
        }
        first = i;
        sched_yield();
    }
}

void
ot_behaviour_enqueue(ot_behaviour_t *self)
{
    size_t n = self->n, had = 1; /* one for being enqueued */
    if (n > 0) {
        lock_all(self);
    }
    for (size_t i = 0; i < n; i++) {
        ot_cown_t *cown = self->requests[i].cown;
        if (cown->first == NULL && can_have_locked(cown, self->requests[i].reads)) {
            give_locked(cown, self->requests[i].reads);
            had++;
        } else {
            append_locked(&self->requests[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        unlock_guard(self->requests[i].cown); /* it stays: this behaviour cannot be complete yet */
    }
    if (atomic_fetch_sub_explicit(&self->missing, had, memory_order_acq_rel) == had) {
        self->ready(self);
    }
}

bool
ot_behaviour_withdraw(ot_behaviour_t *self)
{
    ot_cown_t *cown = self->requests[0].cown;
    complete_t complete = NONE_COMPLETE(complete);
    OT_CHECK(OT_MUST(self->n == 1));
    lock_guard(cown);
    bool queued = atomic_load(&self->missing) > 0;
    if (queued) {
        remove_locked(&self->requests[0]);
        hand_on_locked(cown, &complete);
    }
    unlock_and_tell(cown, &complete);
    return queued;
}
