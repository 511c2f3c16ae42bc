/* SPDX-License-Identifier: MIT. Copyright (c) the objtunnel developers; this file may be copied. */
/* objtunnel_core.h: the life of process-wide state, without Python.
 *
 * Purpose: the state machine EMPTY -> STARTING -> READY -> EXITING -> EMPTY of ot_global_t, who uses
 * it, who waits for it. Python (what is called when, with which GIL) is objtunnel_global.h's.
 *
 * Main invariant: init and exit of one global strictly alternate and never overlap: whoever moves
 * it to STARTING or EXITING is alone with it until it says so; everybody else waits asleep. What a
 * global entered within its init (a need) stays entered until its exit has run.
 *
 * Threading: one mutex a domain guards all fields of all of its globals and registries. A domain is
 * an extension module (or objtunnel's _core, for all that come through its capsule). The mutex is
 * held for a few list operations, never while anybody's code runs or a GIL is waited for; so it may
 * be taken with or without a GIL. Functions named _locked need it.
 */
#ifndef OBJTUNNEL_CORE_H
#define OBJTUNNEL_CORE_H

#include "objtunnel_types.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One for all translation units of a shared object, and none of another's: that makes a domain. */
#define OT_ONE_PER_MODULE __attribute__((weak, visibility("hidden")))

typedef enum {
    OT_GLOBAL_EMPTY = 0,
    OT_GLOBAL_STARTING,
    OT_GLOBAL_READY,
    OT_GLOBAL_EXITING,
    OT_GLOBAL_ABANDONED, /* for good: the thread at its init or exit has ended */
} ot_global_state_t;

#define OT_INTERP_NONE ((int64_t)-1)
#define OT_INTERP_GLOBAL ((int64_t)-2)

/* An interpreter's entries, for one holder (a module object; NULL: anonymous), or (interp
 * OT_INTERP_GLOBAL) those of the global `holder`, which then has it among its needs. count > 0;
 * given_back of them have been left in the holder's exit, and go after it. */
typedef struct ot_user {
    struct ot_user *next;
    int64_t interp;
    const void *holder;
    ot_global_t *global; /* that is entered */
    struct ot_user *next_need;
    long count, given_back;
} ot_user_t;

/* A registry's resource. pins: calls that have it in their hands; 0 and EMPTY: it is freed. */
typedef struct ot_core_entry {
    ot_global_t global; /* its life; global.entry points back here */
    ot_registry_t *registry;
    struct ot_core_entry *next;
    void *value; /* written while STARTING, constant while READY */
    char *key;   /* in the same block */
    long pins;
} ot_core_entry_t;

enum { OT_CIRCLE_TEXT = 240 };

/* A sleeping thread, on its own stack. global: what it waits for, NULL once it was woken. owner,
 * owner_interp: who was at it when the wait began. circle: after OT_ENTER_RECURSIVE and
 * OT_ENTER_CIRCLE, the names. */
typedef struct ot_core_waiter {
    struct ot_core_waiter *next;
    ot_global_t *global;
    uintptr_t thread, owner;
    int64_t owner_interp;
    pthread_cond_t woken;
    char circle[OT_CIRCLE_TEXT];
} ot_core_waiter_t;

typedef struct {
    pthread_mutex_t mutex;
    pthread_once_t once;
    ot_global_t *globals; /* all that are not EMPTY; the READY ones first, the newest first */
    ot_core_waiter_t
        *sleepers;          /* no chain from owner to what it waits for ever closes to a circle */
    struct ot_named *named; /* see ot_core_named */
    pthread_key_t ends;     /* its destructor runs when a thread ends that was at an init or exit */
    int has_ends;
} ot_domain_t;

OT_ONE_PER_MODULE ot_domain_t ot_domain = {
    PTHREAD_MUTEX_INITIALIZER, PTHREAD_ONCE_INIT, NULL, NULL, NULL, 0, 0};

/* That the thread is within the init or exit of `global`, for the interpreter and holder that came
 * first or went last; on its stack. */
typedef struct ot_within {
    struct ot_within *outer;
    ot_global_t *global;
    int64_t interp;
    const void *holder;
} ot_within_t;

OT_ONE_PER_MODULE __thread ot_within_t *ot_within_now = NULL;

typedef enum {
    OT_ENTER_FOREIGN = -5,   /* another shared object has entered it, with a domain of its own */
    OT_ENTER_ABANDONED = -4, /* see OT_GLOBAL_ABANDONED */
    OT_ENTER_NO_MEMORY = -3,
    OT_ENTER_RECURSIVE = -2, /* this thread is within this global's init or exit */
    OT_ENTER_CIRCLE = -1,    /* waiting would close a circle of threads that wait for each other */
    OT_ENTERED = 0,
    OT_ENTER_INIT, /* the caller initialises, then calls ot_core_started */
    OT_ENTER_WAIT, /* somebody is at it: ot_core_sleep(waiter), then again */
} ot_enter_result_t;

typedef enum {
    OT_LEAVE_NO_ENTRY = -1, /* nothing changed */
    OT_LEFT = 0,
    OT_LEAVE_EXIT, /* the caller runs exit, then calls ot_core_exited */
} ot_leave_result_t;

typedef enum {
    OT_SLEEP_TIMEOUT = 0,
    OT_SLEEP_WOKEN = 1,
} ot_sleep_result_t;

static inline uintptr_t
ot_core_thread(void)
{
    return (uintptr_t)pthread_self();
}

static inline int64_t
ot_core_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void
ot_core_lock(void)
{
    pthread_mutex_lock(&ot_domain.mutex);
}

static inline void
ot_core_unlock(void)
{
    pthread_mutex_unlock(&ot_domain.mutex);
}

/* ---- changes of state ---------------------------------------------------------------------- */

static inline void
ot_core_list_locked(ot_global_t *g)
{
    g->next = ot_domain.globals;
    ot_domain.globals = g;
}

static inline void
ot_core_unlist_locked(ot_global_t *g)
{
    ot_global_t **link = &ot_domain.globals;
    while (*link != g) {
        link = &(*link)->next;
    }
    *link = g->next;
}

static inline void
ot_core_wake_locked(ot_global_t *g)
{
    ot_core_waiter_t **link = &ot_domain.sleepers;
    while (*link != NULL) {
        ot_core_waiter_t *w = *link;
        if (w->global == g) {
            *link = w->next;
            w->global = NULL;
            pthread_cond_signal(&w->woken);
        } else {
            link = &w->next;
        }
    }
}

static inline void
ot_core_set_locked(ot_global_t *g, ot_global_state_t state, uintptr_t owner, int64_t interp)
{
    if (g->state != OT_GLOBAL_EMPTY && (state == OT_GLOBAL_EMPTY || state == OT_GLOBAL_READY)) {
        ot_core_unlist_locked(g);
    }
    if (state == OT_GLOBAL_STARTING || state == OT_GLOBAL_READY) {
        ot_core_list_locked(g); /* in the order in which they are ready, for ot_core_settle */
    }
    if (owner != 0 && ot_domain.has_ends) {
        pthread_setspecific(ot_domain.ends, &ot_domain);
    }
    g->state = (int)state;
    g->owner = owner;
    g->owner_interp = interp;
    g->since = ot_core_now();
    if (owner == 0) {
        ot_core_wake_locked(g);
    }
}

/* Frees what is on no list of users any more. */
static inline void
ot_core_free_user_locked(ot_user_t *user)
{
    if (user->interp == OT_INTERP_GLOBAL) {
        ot_user_t **link = &((ot_global_t *)user->holder)->needs;
        while (*link != user) {
            link = &(*link)->next_need;
        }
        *link = user->next_need;
    }
    free(user);
}

static inline void
ot_core_drop_users_locked(ot_global_t *g)
{
    while (g->users != NULL) {
        ot_user_t *user = g->users;
        g->users = user->next;
        ot_core_free_user_locked(user);
    }
    g->entries = 0;
}

/* ---- invariants ----------------------------------------------------------------------------- */

/* What is wrong with g between two operations; NULL: nothing. */
static inline const char *
ot_core_fault_locked(const ot_global_t *g)
{
    long entries = 0;
    int listed = 0, busy = g->state == OT_GLOBAL_STARTING || g->state == OT_GLOBAL_EXITING;
    for (const ot_user_t *user = g->users; user != NULL; user = user->next) {
        if (user->count <= 0) {
            return "a user without an entry";
        }
        entries += user->count;
    }
    for (const ot_global_t *other = ot_domain.globals; other != NULL; other = other->next) {
        listed += other == g;
    }
    if (entries != g->entries) {
        return "entries are not the sum of the users'";
    }
    if (listed != (g->state != OT_GLOBAL_EMPTY)) {
        return "listed, though empty, or not listed";
    }
    if (busy != (g->owner != 0)) {
        return "an owner where nobody is at it, or none";
    }
    if (entries != 0 && (g->state == OT_GLOBAL_EMPTY || g->state == OT_GLOBAL_EXITING)) {
        return "users of what is not there";
    }
    for (const ot_user_t *need = g->needs; need != NULL; need = need->next_need) {
        if (need->interp != OT_INTERP_GLOBAL || need->holder != g ||
            need->given_back > need->count) {
            return "a need that is not its own";
        }
    }
    for (const ot_core_waiter_t *w = ot_domain.sleepers; w != NULL; w = w->next) {
        if (w->global == g && !busy) {
            return "somebody sleeps for what is over";
        }
    }
    return NULL;
}

/* Aborts if there is a fault. The operations end with it in objtunnel's own builds with OT_CHECKS. */
static inline void
ot_core_check_locked(const ot_global_t *g)
{
    const char *fault = ot_core_fault_locked(g);
    if (fault != NULL) {
        fprintf(stderr, "objtunnel: an invariant does not hold: global %s: %s\n",
                g->name == NULL ? "?" : g->name, fault);
        abort();
    }
}

#ifdef OT_CHECKS
#define OT_CORE_CHECK(g) ot_core_check_locked(g)
#else
#define OT_CORE_CHECK(g) ((void)0)
#endif

/* ---- threads that end ------------------------------------------------------------------------ */

/* This thread ends in the middle of inits or exits. Nobody knows what they have left behind, so it
 * is not tried again. */
static inline void
ot_core_thread_ends(void *unused)
{
    (void)unused;
    ot_core_lock();
    for (ot_global_t *g = ot_domain.globals; g != NULL; g = g->next) {
        if ((g->state == OT_GLOBAL_STARTING || g->state == OT_GLOBAL_EXITING) &&
            g->owner == ot_core_thread()) {
            ot_core_set_locked(g, OT_GLOBAL_ABANDONED, 0, OT_INTERP_NONE);
        }
    }
    ot_core_unlock();
}

/* ---- fork ----------------------------------------------------------------------------------- */

/* In the child the forking thread is alone: nobody else waits, and what another thread was about
 * to initialise or give back will never be finished, so it counts as never begun. Its needs stay
 * entered, to be given back by its next exit if there is one. */
static inline void
ot_core_after_fork_in_child(void)
{
    ot_global_t *g = ot_domain.globals, *next;
    ot_domain.sleepers = NULL;
    for (; g != NULL; g = next) {
        next = g->next;
        if ((g->state == OT_GLOBAL_STARTING || g->state == OT_GLOBAL_EXITING) &&
            g->owner != ot_core_thread()) {
            ot_core_drop_users_locked(g);
            ot_core_set_locked(g, OT_GLOBAL_EMPTY, 0, OT_INTERP_NONE);
        }
    }
    ot_core_unlock();
}

static inline void
ot_core_watch_threads(void)
{
    pthread_atfork(ot_core_lock, ot_core_unlock, ot_core_after_fork_in_child);
    ot_domain.has_ends = pthread_key_create(&ot_domain.ends, ot_core_thread_ends) == 0;
}

/* ---- within an init or exit ------------------------------------------------------------------ */

static inline void
ot_core_begin(ot_within_t *w, ot_global_t *g, int64_t interp, const void *holder)
{
    w->outer = ot_within_now;
    w->global = g;
    w->interp = interp;
    w->holder = holder;
    ot_within_now = w;
}

static inline void
ot_core_end(const ot_within_t *w)
{
    ot_within_now = w->outer;
}

/* The global whose need an entry is that is made now: the one whose init or exit this thread is at.
 * NULL for another interpreter, and for a holder (a module imported by the init) that has a life of
 * its own. */
static inline ot_global_t *
ot_core_dependent(int64_t interp, const void *holder)
{
    const ot_within_t *w = ot_within_now;
    int its = w != NULL && w->interp == interp && (holder == NULL || holder == w->holder);
    return its ? w->global : NULL;
}

/* ---- users ---------------------------------------------------------------------------------- */

static inline ot_user_t **
ot_core_find_user_locked(ot_global_t *g, int64_t interp, const void *holder)
{
    ot_user_t **link = &g->users;
    while (*link != NULL && !((*link)->interp == interp && (*link)->holder == holder)) {
        link = &(*link)->next;
    }
    return link;
}

/* Counts one entry more, for which *fresh is taken if need be. A holder that is a module enters
 * once, however often it is executed (importlib.reload): it is freed once. */
static inline void
ot_core_count_locked(ot_global_t *g, int64_t interp, const void *holder, ot_user_t **fresh)
{
    ot_user_t *user = *ot_core_find_user_locked(g, interp, holder);
    if (user == NULL) {
        user = *fresh;
        *fresh = NULL;
        user->interp = interp;
        user->holder = holder;
        user->global = g;
        user->count = user->given_back = 0;
        user->next = g->users;
        g->users = user;
        if (interp == OT_INTERP_GLOBAL) {
            ot_global_t *dependent = (ot_global_t *)holder;
            user->next_need = dependent->needs;
            dependent->needs = user;
        }
    } else if (holder != NULL && interp != OT_INTERP_GLOBAL) {
        return;
    }
    user->count++;
    g->entries++;
}

static inline void
ot_core_uncount_locked(ot_global_t *g, ot_user_t **link, long count)
{
    ot_user_t *user = *link;
    user->count -= count;
    g->entries -= count;
    if (user->count == 0) {
        *link = user->next;
        ot_core_free_user_locked(user);
    }
}

/* ---- entering ------------------------------------------------------------------------------- */

/* What the thread at g's init or exit waits for. */
static inline ot_global_t *
ot_core_owner_waits_locked(const ot_global_t *g)
{
    const ot_core_waiter_t *w = ot_domain.sleepers;
    while (w != NULL && w->thread != g->owner) {
        w = w->next;
    }
    return w == NULL ? NULL : w->global;
}

/* What `me` is at and the owner of g waits for, through however many others; g itself, perhaps. */
static inline ot_global_t *
ot_core_waits_for_me_locked(ot_global_t *g, uintptr_t me)
{
    while (g != NULL && (g->state == OT_GLOBAL_STARTING || g->state == OT_GLOBAL_EXITING)) {
        if (g->owner == me) {
            return g;
        }
        g = ot_core_owner_waits_locked(g);
    }
    return NULL;
}

/* A circle's names, one after the other, in a text that may turn out too short for them. */
static inline void
ot_core_tell(char *text, const ot_global_t *g)
{
    size_t used = strlen(text);
    snprintf(text + used, OT_CIRCLE_TEXT - used, "%s'%s%s%s%s'", used == 0 ? "" : " needs ",
             g->name, g->entry == NULL ? "" : "[", g->entry == NULL ? "" : g->entry->key,
             g->entry == NULL ? "" : "]");
}

/* The circle that closes when this thread waits for g, whose owner waits for `mine`. */
static inline void
ot_core_tell_circle_locked(char *text, const ot_global_t *g, const ot_global_t *mine)
{
    enum { MOST = 16 };
    const ot_global_t *path[MOST];
    int n = 0;
    text[0] = '\0';
    for (const ot_within_t *w = ot_within_now; w != NULL && n < MOST; w = w->outer) {
        path[n++] = w->global;
        if (w->global == mine) {
            break;
        }
    }
    if (n == 0 || path[n - 1] != mine) {
        n = 0;
        ot_core_tell(text, mine);
    }
    while (n > 0) {
        ot_core_tell(text, path[--n]);
    }
    for (; g != mine; g = ot_core_owner_waits_locked(g)) {
        ot_core_tell(text, g);
    }
    ot_core_tell(text, mine);
}

static inline ot_enter_result_t
ot_core_enter_locked(ot_global_t *g, int64_t interp, const void *holder, ot_user_t **fresh,
                     ot_core_waiter_t *waiter)
{
    uintptr_t me = ot_core_thread();
    const void *needing = ot_core_dependent(interp, holder);
    int64_t user = needing == NULL ? interp : OT_INTERP_GLOBAL;
    holder = needing == NULL ? holder : needing;
    switch (g->state) {
    case OT_GLOBAL_READY:
        ot_core_count_locked(g, user, holder, fresh);
        return OT_ENTERED;
    case OT_GLOBAL_EMPTY:
        ot_core_count_locked(g, user, holder, fresh);
        ot_core_set_locked(g, OT_GLOBAL_STARTING, me, interp);
        return OT_ENTER_INIT;
    case OT_GLOBAL_ABANDONED:
        return OT_ENTER_ABANDONED;
    default: {
        const ot_global_t *mine = ot_core_waits_for_me_locked(g, me);
        if (mine != NULL) {
            ot_core_tell_circle_locked(waiter->circle, g, mine);
            return mine == g ? OT_ENTER_RECURSIVE : OT_ENTER_CIRCLE;
        }
        waiter->global = g;
        waiter->thread = me;
        waiter->owner = g->owner;
        waiter->owner_interp = g->owner_interp;
        waiter->next = ot_domain.sleepers;
        ot_domain.sleepers = waiter;
        pthread_cond_init(&waiter->woken, NULL);
        return OT_ENTER_WAIT;
    }
    }
}

/* Whether g (or a registry) is looked after by this domain: by the first one that asks. */
static inline int
ot_core_claim(void **domain)
{
    void *none = NULL;
    return __atomic_compare_exchange_n(domain, &none, (void *)&ot_domain, 0, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED) ||
           none == (void *)&ot_domain;
}

/* Enters g for interp if it is ready; see the results for what else there is to do. Within the init
 * or exit of another global it is entered for that one. */
static inline ot_enter_result_t
ot_core_enter(ot_global_t *g, int64_t interp, const void *holder, ot_core_waiter_t *waiter)
{
    if (!ot_core_claim(&g->domain)) {
        return OT_ENTER_FOREIGN;
    }
    ot_user_t *fresh = (ot_user_t *)malloc(sizeof *fresh);
    if (fresh == NULL) {
        return OT_ENTER_NO_MEMORY;
    }
    pthread_once(&ot_domain.once, ot_core_watch_threads);
    ot_core_lock();
    ot_enter_result_t result = ot_core_enter_locked(g, interp, holder, &fresh, waiter);
    OT_CORE_CHECK(g);
    ot_core_unlock();
    free(fresh);
    return result;
}

/* After OT_ENTER_INIT: init succeeded, and the caller has entered; or it failed, and has not. Before a
 * failure is told, the needs go: ot_core_release. */
static inline void
ot_core_started(ot_global_t *g, int success)
{
    ot_core_lock();
    if (success) {
        g->inits++;
        ot_core_set_locked(g, OT_GLOBAL_READY, 0, OT_INTERP_NONE);
    } else {
        ot_core_drop_users_locked(g);
        ot_core_set_locked(g, OT_GLOBAL_EMPTY, 0, OT_INTERP_NONE);
    }
    OT_CORE_CHECK(g);
    ot_core_unlock();
}

/* After OT_ENTER_WAIT: sleeps until g changed its state or timeout nanoseconds passed (< 0: never).
 * The waiter is nobody's afterwards. Hold no GIL here. */
static inline ot_sleep_result_t
ot_core_sleep(ot_core_waiter_t *w, int64_t timeout)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    if (timeout >= 0) {
        until.tv_nsec += (long)(timeout % 1000000000);
        until.tv_sec += (time_t)(timeout / 1000000000) + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
    }
    int error = 0;
    ot_core_lock();
    while (w->global != NULL && error != ETIMEDOUT) {
        error = timeout < 0 ? pthread_cond_wait(&w->woken, &ot_domain.mutex)
                            : pthread_cond_timedwait(&w->woken, &ot_domain.mutex, &until);
    }
    int woken = w->global == NULL;
    if (!woken) {
        ot_core_waiter_t **link = &ot_domain.sleepers;
        while (*link != w) {
            link = &(*link)->next;
        }
        *link = w->next;
    }
    ot_core_unlock();
    pthread_cond_destroy(&w->woken);
    return woken ? OT_SLEEP_WOKEN : OT_SLEEP_TIMEOUT;
}

/* ---- leaving -------------------------------------------------------------------------------- */

/* To EXITING if nobody uses g any more; whether the caller is to run exit. */
static inline int
ot_core_left_locked(ot_global_t *g, int64_t interp)
{
    if (g->entries != 0) {
        return 0;
    }
    ot_core_set_locked(g, OT_GLOBAL_EXITING, ot_core_thread(), interp);
    return 1;
}

static inline ot_leave_result_t
ot_core_leave_locked(ot_global_t *g, int64_t interp, const void *holder)
{
    const ot_global_t *dependent = ot_core_dependent(interp, holder);
    if (dependent != NULL) {
        ot_user_t **need = ot_core_find_user_locked(g, OT_INTERP_GLOBAL, dependent);
        if (*need != NULL && dependent->state == OT_GLOBAL_EXITING) {
            if ((*need)->given_back < (*need)->count) {
                (*need)->given_back++; /* it is needed until the exit is over */
                return OT_LEFT;
            }
        } else if (*need != NULL) {
            ot_core_uncount_locked(g, need, 1);
            return ot_core_left_locked(g, interp) ? OT_LEAVE_EXIT : OT_LEFT;
        }
    }
    ot_user_t **link = ot_core_find_user_locked(g, interp, holder);
    if (*link == NULL) {
        return OT_LEAVE_NO_ENTRY;
    }
    ot_core_uncount_locked(g, link, 1);
    return ot_core_left_locked(g, interp) ? OT_LEAVE_EXIT : OT_LEFT;
}

static inline ot_leave_result_t
ot_core_leave(ot_global_t *g, int64_t interp, const void *holder)
{
    ot_leave_result_t result = OT_LEAVE_NO_ENTRY;
    if (!ot_core_claim(&g->domain)) {
        return result;
    }
    ot_core_lock();
    if (g->state == OT_GLOBAL_READY) {
        result = ot_core_leave_locked(g, interp, holder);
    }
    OT_CORE_CHECK(g);
    ot_core_unlock();
    return result;
}

/* Takes one of its needs, the newest, from a global whose exit has run or whose init has failed.
 * NULL when there is none left. *last: the caller is to run the exit of what is returned; a registry's
 * resource is pinned for the caller. */
static inline ot_global_t *
ot_core_release(ot_global_t *g, int64_t interp, int *last)
{
    ot_global_t *needed = NULL;
    *last = 0;
    ot_core_lock();
    if (g->needs != NULL) {
        needed = g->needs->global;
        if (needed->entry != NULL) {
            needed->entry->pins++;
        }
        ot_user_t **link = ot_core_find_user_locked(needed, OT_INTERP_GLOBAL, g);
        ot_core_uncount_locked(needed, link, (*link)->count);
        *last = needed->state == OT_GLOBAL_READY && ot_core_left_locked(needed, interp);
        OT_CORE_CHECK(needed);
    }
    ot_core_unlock();
    return needed;
}

/* After OT_LEAVE_EXIT, and after each global that ot_core_settle or ot_core_release returned to be
 * exited; when its needs are released. */
static inline void
ot_core_exited(ot_global_t *g)
{
    ot_core_lock();
    ot_core_set_locked(g, OT_GLOBAL_EMPTY, 0, OT_INTERP_NONE);
    OT_CORE_CHECK(g);
    ot_core_unlock();
}

/* Takes one global from an interpreter that has ended: all of its entries in it at once. NULL when
 * there is none left. *entries: how many there were; *last: the caller is to run exit. A
 * registry's resource is pinned for the caller. */
static inline ot_global_t *
ot_core_settle(int64_t interp, long *entries, int *last)
{
    ot_global_t *g;
    *entries = 0;
    *last = 0;
    ot_core_lock();
    for (g = ot_domain.globals; g != NULL; g = g->next) {
        ot_user_t **link = &g->users;
        while (g->state == OT_GLOBAL_READY && *link != NULL) {
            if ((*link)->interp == interp) {
                *entries += (*link)->count;
                ot_core_uncount_locked(g, link, (*link)->count);
            } else {
                link = &(*link)->next;
            }
        }
        if (*entries != 0) {
            *last = ot_core_left_locked(g, interp);
            if (g->entry != NULL) {
                g->entry->pins++;
            }
            OT_CORE_CHECK(g);
            break;
        }
    }
    ot_core_unlock();
    return g;
}

#ifdef __cplusplus
}
#endif
#endif
