/* awaited.c: see awaited.h.
 *
 * Main invariant: who reads through note->awaited has counted itself in note->readers before it loaded the
 * pointer, and a wait ends only after it took the pointer back and then saw no readers. Both sides are
 * sequentially consistent: of "pointer taken back, readers looked at" and "reader counted, pointer looked
 * at" one sees the other.
 */
#include "runtime/awaited.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct ot_note {
    struct ot_note *next;   /* never changes once listed */
    _Atomic uint64_t token; /* 0: nobody's */
    atomic_ulong thread;
    atomic_int tid;
    _Atomic(ot_awaited_t *) awaited; /* NULL: its thread does not wait */
    atomic_uint readers;
};

static _Atomic(ot_note_t *) notes;
static _Thread_local ot_note_t *mine;
static pthread_key_t at_thread_exit;

/* ---- records ------------------------------------------------------------------------------------ */

static void
give_back(void *note)
{
    mine = NULL;
    atomic_store(&((ot_note_t *)note)->token, 0);
}

/* In the child only the calling thread exists. */
static void
after_fork_in_child(void)
{
    for (ot_note_t *n = atomic_load(&notes); n != NULL; n = n->next) {
        atomic_store(&n->readers, 0);
        if (n == mine) {
            atomic_store(&n->tid, gettid());
        } else {
            atomic_store(&n->awaited, NULL);
            atomic_store(&n->token, 0);
        }
    }
}

static void
set_up(void)
{
    (void)pthread_key_create(&at_thread_exit, give_back);
    (void)pthread_atfork(NULL, NULL, after_fork_in_child);
}

/* One that nobody uses, with the token in it; NULL without memory. */
static ot_note_t *
take_note(uint64_t token)
{
    for (ot_note_t *n = atomic_load(&notes); n != NULL; n = n->next) {
        uint64_t nobody = 0;
        if (atomic_compare_exchange_strong(&n->token, &nobody, token)) {
            return n;
        }
    }
    ot_note_t *n = calloc(1, sizeof *n);
    if (n != NULL) {
        atomic_store(&n->token, token);
        n->next = atomic_load(&notes);
        while (!atomic_compare_exchange_weak(&notes, &n->next, n)) {
        }
    }
    return n;
}

/* Without memory the thread has no record, and nobody is told of its waits. */
static void
enter_thread(uint64_t token)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up);
    ot_note_t *n = take_note(token);
    if (n != NULL) {
        atomic_store(&n->thread, (unsigned long)pthread_self());
        atomic_store(&n->tid, gettid());
        mine = n;
        (void)pthread_setspecific(at_thread_exit, n);
    }
}

uint64_t
ot_thread_token(void)
{
    static _Atomic uint64_t last;
    static _Thread_local uint64_t token;
    if (token == 0) {
        token = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
        enter_thread(token);
    }
    return token;
}

/* ---- waiting ------------------------------------------------------------------------------------ */

void
ot_await_begin(ot_awaited_t *awaited)
{
    if (awaited == NULL) {
        return;
    }
    (void)ot_thread_token();
    if (awaited->since == 0) {
        awaited->since = ot_clock_now();
    }
    awaited->outer = mine == NULL ? NULL : atomic_load(&mine->awaited);
    if (mine != NULL) {
        atomic_store(&mine->awaited, awaited);
    }
}

void
ot_await_end(ot_awaited_t *awaited)
{
    if (awaited != NULL && mine != NULL) {
        atomic_store(&mine->awaited, awaited->outer);
        while (atomic_load(&mine->readers) != 0) { /* they copy some words */
            sched_yield();
        }
    }
}

/* ---- reading ------------------------------------------------------------------------------------ */

const ot_note_t *
ot_note_first(void)
{
    return atomic_load(&notes);
}

const ot_note_t *
ot_note_next(const ot_note_t *note)
{
    return note->next;
}

bool
ot_note_read(const ot_note_t *note, ot_note_view_t *view)
{
    ot_note_t *n = (ot_note_t *)note; /* to be counted in it */
    view->token = atomic_load(&n->token);
    if (view->token == 0) {
        return false;
    }
    view->thread = atomic_load(&n->thread);
    view->tid = atomic_load(&n->tid);
    atomic_fetch_add(&n->readers, 1);
    const ot_awaited_t *awaited = atomic_load(&n->awaited);
    view->waits = awaited != NULL;
    if (awaited != NULL) {
        view->awaited = *awaited;
        if (awaited->owner_at != NULL) {
            view->awaited.owner = __atomic_load_n(awaited->owner_at, __ATOMIC_RELAXED);
        }
    }
    atomic_fetch_sub(&n->readers, 1);
    return true;
}
