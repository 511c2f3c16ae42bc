/* objtunnel_core.h: the life of process-wide state, without Python.
 *
 * Purpose: the state machine EMPTY -> STARTING -> READY -> EXITING -> EMPTY of ot_global_t, who uses
 * it, who waits for it. Python (what is called when, with which GIL) is objtunnel_global.h's.
 *
 * Main invariant: init and exit of one global strictly alternate and never overlap: whoever moves
 * it to STARTING or EXITING is alone with it until it says so; everybody else waits asleep.
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
#include <semaphore.h>
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
} ot_global_state_t;

/* An interpreter's entries, for one holder (a module object; NULL: anonymous). count > 0. */
typedef struct ot_user {
    struct ot_user *next;
    int64_t interp;
    const void *holder;
    long count;
} ot_user_t;

/* A registry's resource. pins: calls that have it in their hands; 0 and EMPTY: it is freed. */
typedef struct ot_entry {
    ot_global_t global; /* its life; global.entry points back here */
    ot_registry_t *registry;
    struct ot_entry *next;
    void *value; /* written while STARTING, constant while READY */
    char *key;   /* in the same block */
    long pins;
} ot_entry_t;

/* A sleeping thread, on its own stack. global: what it waits for, NULL once it was woken. owner,
 * owner_interp: who was at it when the wait began. */
typedef struct ot_waiter {
    struct ot_waiter *next;
    ot_global_t *global;
    uintptr_t thread, owner;
    int64_t owner_interp;
    sem_t sem;
} ot_waiter_t;

typedef struct {
    pthread_mutex_t mutex;
    pthread_once_t once;
    ot_global_t *globals;  /* all that are not EMPTY */
    ot_waiter_t *sleepers; /* no chain from owner to what it waits for ever closes to a circle */
} ot_domain_t;

OT_ONE_PER_MODULE ot_domain_t ot_domain = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_ONCE_INIT, NULL,
                                           NULL};

typedef enum {
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
    OT_SLEEP_INTERRUPTED = -1, /* a signal handler ran in this thread */
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
    ot_waiter_t **link = &ot_domain.sleepers;
    while (*link != NULL) {
        ot_waiter_t *w = *link;
        if (w->global == g) {
            *link = w->next;
            w->global = NULL;
            sem_post(&w->sem); /* the last touch: it may return now */
        } else {
            link = &w->next;
        }
    }
}

static inline void
ot_core_set_locked(ot_global_t *g, ot_global_state_t state, uintptr_t owner, int64_t interp)
{
    if (g->state == OT_GLOBAL_EMPTY) {
        ot_core_list_locked(g);
    } else if (state == OT_GLOBAL_EMPTY) {
        ot_core_unlist_locked(g);
    }
    g->state = state;
    g->owner = owner;
    g->owner_interp = interp;
    g->since = ot_core_now();
    if (state == OT_GLOBAL_READY || state == OT_GLOBAL_EMPTY) {
        ot_core_wake_locked(g);
    }
}

static inline void
ot_core_drop_users_locked(ot_global_t *g)
{
    while (g->users != NULL) {
        ot_user_t *user = g->users;
        g->users = user->next;
        free(user);
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
    for (const ot_waiter_t *w = ot_domain.sleepers; w != NULL; w = w->next) {
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

/* ---- fork ----------------------------------------------------------------------------------- */

/* In the child the forking thread is alone: nobody else waits, and what another thread was about
 * to initialise or give back will never be finished, so it counts as never begun. */
static inline void
ot_core_after_fork_in_child(void)
{
    ot_global_t *g = ot_domain.globals, *next;
    ot_domain.sleepers = NULL;
    for (; g != NULL; g = next) {
        next = g->next;
        if (g->state != OT_GLOBAL_READY && g->owner != ot_core_thread()) {
            ot_core_drop_users_locked(g);
            ot_core_set_locked(g, OT_GLOBAL_EMPTY, 0, -1);
        }
    }
    ot_core_unlock();
}

static inline void
ot_core_watch_forks(void)
{
    pthread_atfork(ot_core_lock, ot_core_unlock, ot_core_after_fork_in_child);
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
        user->count = 0;
        user->next = g->users;
        g->users = user;
    } else if (holder != NULL) {
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
        free(user);
    }
}

/* ---- entering ------------------------------------------------------------------------------- */

/* Whether the owner of g waits, through however many others, for something that `me` is at. */
static inline int
ot_core_waits_for_me_locked(const ot_global_t *g, uintptr_t me)
{
    while (g != NULL && g->state != OT_GLOBAL_READY && g->state != OT_GLOBAL_EMPTY) {
        if (g->owner == me) {
            return 1;
        }
        const ot_waiter_t *w = ot_domain.sleepers;
        while (w != NULL && w->thread != g->owner) {
            w = w->next;
        }
        g = w == NULL ? NULL : w->global;
    }
    return 0;
}

static inline ot_enter_result_t
ot_core_enter_locked(ot_global_t *g, int64_t interp, const void *holder, ot_user_t **fresh,
                     ot_waiter_t *waiter)
{
    uintptr_t me = ot_core_thread();
    switch (g->state) {
    case OT_GLOBAL_READY:
        ot_core_count_locked(g, interp, holder, fresh);
        return OT_ENTERED;
    case OT_GLOBAL_EMPTY:
        ot_core_count_locked(g, interp, holder, fresh);
        ot_core_set_locked(g, OT_GLOBAL_STARTING, me, interp);
        return OT_ENTER_INIT;
    default:
        if (g->owner == me) {
            return OT_ENTER_RECURSIVE;
        }
        if (ot_core_waits_for_me_locked(g, me)) {
            return OT_ENTER_CIRCLE;
        }
        waiter->global = g;
        waiter->thread = me;
        waiter->owner = g->owner;
        waiter->owner_interp = g->owner_interp;
        waiter->next = ot_domain.sleepers;
        ot_domain.sleepers = waiter;
        sem_init(&waiter->sem, 0, 0);
        return OT_ENTER_WAIT;
    }
}

/* Enters g for interp if it is ready; see the results for what else there is to do. */
static inline ot_enter_result_t
ot_core_enter(ot_global_t *g, int64_t interp, const void *holder, ot_waiter_t *waiter)
{
    ot_user_t *fresh = (ot_user_t *)malloc(sizeof *fresh);
    if (fresh == NULL) {
        return OT_ENTER_NO_MEMORY;
    }
    pthread_once(&ot_domain.once, ot_core_watch_forks);
    ot_core_lock();
    ot_enter_result_t result = ot_core_enter_locked(g, interp, holder, &fresh, waiter);
    OT_CORE_CHECK(g);
    ot_core_unlock();
    free(fresh);
    return result;
}

/* After OT_ENTER_INIT: init succeeded, and the caller has entered; or it failed, and has not. */
static inline void
ot_core_started(ot_global_t *g, int success)
{
    ot_core_lock();
    if (success) {
        g->inits++;
        ot_core_set_locked(g, OT_GLOBAL_READY, 0, -1);
    } else {
        ot_core_drop_users_locked(g);
        ot_core_set_locked(g, OT_GLOBAL_EMPTY, 0, -1);
    }
    OT_CORE_CHECK(g);
    ot_core_unlock();
}

/* After OT_ENTER_WAIT: sleeps until g changed its state, a signal came, or timeout nanoseconds
 * passed (< 0: never). The waiter is nobody's afterwards. Hold no GIL here. */
static inline ot_sleep_result_t
ot_core_sleep(ot_waiter_t *w, int64_t timeout)
{
    int rc;
    if (timeout < 0) {
        rc = sem_wait(&w->sem);
    } else {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += (long)(timeout % 1000000000);
        until.tv_sec += (time_t)(timeout / 1000000000) + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        rc = sem_timedwait(&w->sem, &until);
    }
    int error = rc == 0 ? 0 : errno;
    ot_core_lock();
    if (w->global != NULL) { /* nobody woke it */
        ot_waiter_t **link = &ot_domain.sleepers;
        while (*link != w) {
            link = &(*link)->next;
        }
        *link = w->next;
    }
    ot_core_unlock();
    sem_destroy(&w->sem);
    return error == 0 ? OT_SLEEP_WOKEN : error == EINTR ? OT_SLEEP_INTERRUPTED : OT_SLEEP_TIMEOUT;
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
ot_core_leave(ot_global_t *g, int64_t interp, const void *holder)
{
    ot_leave_result_t result = OT_LEAVE_NO_ENTRY;
    ot_core_lock();
    ot_user_t **link = ot_core_find_user_locked(g, interp, holder);
    if (g->state == OT_GLOBAL_READY && *link != NULL) {
        ot_core_uncount_locked(g, link, 1);
        result = ot_core_left_locked(g, interp) ? OT_LEAVE_EXIT : OT_LEFT;
    }
    OT_CORE_CHECK(g);
    ot_core_unlock();
    return result;
}

/* After OT_LEAVE_EXIT, and after each global that ot_core_settle returned to be exited. */
static inline void
ot_core_exited(ot_global_t *g)
{
    ot_core_lock();
    ot_core_set_locked(g, OT_GLOBAL_EMPTY, 0, -1);
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

/* ---- registries ----------------------------------------------------------------------------- */

static inline ot_entry_t *
ot_core_find_locked(ot_registry_t *r, const char *key)
{
    ot_entry_t *e = r->resources;
    while (e != NULL && strcmp(e->key, key) != 0) {
        e = e->next;
    }
    return e;
}

static inline ot_entry_t *
ot_core_new_entry(ot_registry_t *r, const char *key)
{
    size_t length = strlen(key) + 1;
    ot_entry_t *e = (ot_entry_t *)calloc(1, sizeof *e + length);
    if (e != NULL) {
        e->global.name = r->name;
        e->global.owner_interp = -1;
        e->global.entry = e;
        e->registry = r;
        e->key = (char *)(e + 1);
        memcpy(e->key, key, length);
    }
    return e;
}

/* The resource of that key, pinned. NULL if there is none, or with `make` only without memory. */
static inline ot_entry_t *
ot_core_pin(ot_registry_t *r, const char *key, int make)
{
    ot_entry_t *fresh = make ? ot_core_new_entry(r, key) : NULL;
    if (make && fresh == NULL) {
        return NULL;
    }
    ot_core_lock();
    ot_entry_t *e = ot_core_find_locked(r, key);
    if (e == NULL && fresh != NULL) {
        e = fresh;
        fresh = NULL;
        e->next = r->resources;
        r->resources = e;
    }
    if (e != NULL) {
        e->pins++;
    }
    ot_core_unlock();
    free(fresh);
    return e;
}

/* Ends a pin; frees what is neither used nor in anybody's hands. */
static inline void
ot_core_unpin(ot_entry_t *e)
{
    ot_core_lock();
    int dead = --e->pins == 0 && e->global.state == OT_GLOBAL_EMPTY;
    if (dead) {
        ot_entry_t **link = &e->registry->resources;
        while (*link != e) {
            link = &(*link)->next;
        }
        *link = e->next;
    }
    ot_core_unlock();
    if (dead) {
        free(e);
    }
}

/* ---- inspection ----------------------------------------------------------------------------- */

/* One user interpreter of one global, or a global without any (interp -1). */
typedef struct {
    const char *name;
    char *key; /* of a registry's resource, to be freed; NULL for a global */
    const void *global;
    int state;
    int64_t interp, age; /* nanoseconds in this state */
    uint64_t inits;
    long entries;
} ot_global_row_t;

static inline void
ot_core_free_rows(ot_global_row_t *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(rows[i].key);
    }
    free(rows);
}

/* Adds a row; 0, or -1 without memory. */
static inline int
ot_core_add_row_locked(ot_global_row_t **rows, size_t *n, const ot_global_t *g,
                       const ot_user_t *user)
{
    char *key = g->entry == NULL ? NULL : strdup(g->entry->key);
    ot_global_row_t *more = (ot_global_row_t *)realloc(*rows, (*n + 1) * sizeof **rows);
    if (more != NULL) {
        *rows = more;
    }
    if (more == NULL || (g->entry != NULL && key == NULL)) {
        free(key);
        return -1;
    }
    ot_global_row_t row = {g->name,
                           key,
                           g,
                           g->state,
                           user == NULL ? -1 : user->interp,
                           ot_core_now() - g->since,
                           g->inits,
                           user == NULL ? 0 : user->count};
    more[(*n)++] = row;
    return 0;
}

/* All globals of the domain that are not EMPTY, those of one global in a row. The caller frees
 * *rows. 0, or -1 without memory. */
static inline int
ot_core_snapshot(ot_global_row_t **rows, size_t *n)
{
    int rc = 0;
    *rows = NULL;
    *n = 0;
    ot_core_lock();
    for (const ot_global_t *g = ot_domain.globals; g != NULL && rc == 0; g = g->next) {
        const ot_user_t *user = g->users;
        do {
            rc = ot_core_add_row_locked(rows, n, g, user);
            user = user == NULL ? NULL : user->next;
        } while (user != NULL && rc == 0);
    }
    ot_core_unlock();
    if (rc < 0) {
        ot_core_free_rows(*rows, *n);
        *rows = NULL;
        *n = 0;
    }
    return rc;
}

#ifdef __cplusplus
}
#endif
#endif
