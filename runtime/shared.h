/* shared.h: C objects that belong to the process: what all interpreters use at the same time.
 *
 * Purpose: the head of every such object: a count of its handles and messages, an id by which it is
 * found when a handle travels as a pickle, and what its kind does at its end and around fork().
 * Invariant: an object is in the registry from ot_shared_init until its last reference is dropped;
 * ids are never used twice in a process. Of the live objects of one kind at most one has a given name. A holder (an
 * interpreter) lists the references that its handles own, so that a person can be told who holds what.
 * Threading: any thread, any interpreter or none. No Python.
 *
 * Which may run at once: all of them, each as long as its caller holds a reference.
 */
#ifndef OT_RUNTIME_SHARED_H
#define OT_RUNTIME_SHARED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics/refcount.h"

typedef struct ot_shared ot_shared_t;
struct ot_patience; /* waitlist.h */

typedef enum {
    OT_BEFORE_FORK,          /* take the object's own lock */
    OT_AFTER_FORK_IN_PARENT, /* give it back */
    OT_AFTER_FORK_IN_CHILD,  /* give it back, and make the rest anew: all other threads are gone */
} ot_fork_stage_t;

/* Does for an object's mutex what the stage asks for. Whether this is the child: whoever waited in the object is a thread
 * that the child does not have. */
bool ot_guard_fork(pthread_mutex_t *guard, ot_fork_stage_t stage);

typedef struct {
    const char *name;
    /* The last reference is gone. Called without any lock, by whoever dropped it, maybe with a GIL:
     * must not wait for anybody, and must not need Python, which may be at its end. */
    void (*free)(ot_shared_t *self);
    /* NULL: no lock of its own. Called with the registry's lock. */
    void (*fork)(ot_shared_t *self, ot_fork_stage_t stage);
    /* What must be done before `free` and can wait for others (a pipe's reader): called without any
     * lock and without a GIL, and given up when patience says so. NULL: there is no such thing. */
    void (*close)(ot_shared_t *self, const struct ot_patience *patience);
} ot_shared_kind_t;

/* First member of every object. */
struct ot_shared {
    ot_ref_t ref;
    const ot_shared_kind_t *kind;
    uint64_t id;
    struct ot_name *name;     /* owned; NULL: it has none */
    ot_shared_t *next, *prev; /* in its bucket of the registry, under the registry's lock */
};

/* Enters a new object, whose own fields are ready, with one reference: the caller's. */
void ot_shared_init(ot_shared_t *self, const ot_shared_kind_t *kind);

/* ot_shared_init of an object with a name. Returns `self`; or a new reference to the live object of that kind and name, if
 * there is one; or NULL without memory. In the last two cases `self` was not entered. */
ot_shared_t *ot_shared_init_named(ot_shared_t *self, const ot_shared_kind_t *kind,
                                  const char *name);

/* New reference to the live object of that kind and name, NULL if there is none. */
ot_shared_t *ot_shared_find_named(const ot_shared_kind_t *kind, const char *name);

/* Borrowed; NULL: it has none. */
const char *ot_shared_name(const ot_shared_t *self);

void ot_shared_ref(ot_shared_t *self);

/* Drops a reference, with the last one the object. Refs: steals.
 * With an attached thread state the GIL is let go of while a kind's `close` waits, and signal handlers
 * may run: hold no lock, and let nothing be half done. */
void ot_shared_unref(ot_shared_t *self);

/* How `close` is to be called by a thread that may have a GIL: what knows Python says so, once. Without
 * it `close` is called as it is, and waits for ever. */
void ot_shared_set_closer(void (*closer)(ot_shared_t *self));

/* New reference to the live object with this id, NULL if there is none any more. */
ot_shared_t *ot_shared_find(uint64_t id);

/* Calls visit for each live object of the kind, under the registry's lock: visit may take the
 * object's own lock, nothing else. */
void ot_shared_visit(const ot_shared_kind_t *kind, void (*visit)(ot_shared_t *self, void *arg),
                     void *arg);

/* ---- who holds what --------------------------------------------------------------------------- */

/* A handle's place in its holder's list. */
typedef struct ot_grip {
    struct ot_grip *next, *prev;
    ot_shared_t *shared; /* the handle's own reference */
} ot_grip_t;

/* Invariant (under lock): `first` is the list of the grips that were added and not removed. The lock is
 * hardly ever contended: one interpreter adds and removes, under its GIL. */
typedef struct ot_holder {
    pthread_mutex_t lock;
    ot_grip_t *first;
    int64_t interp;
    struct ot_holder *next, *prev; /* under the registry's lock */
} ot_holder_t;

/* From here to its leaving the holder is listed. */
void ot_holder_enter(ot_holder_t *holder, int64_t interp);
void ot_holder_leave(ot_holder_t *holder);

void ot_holder_add(ot_holder_t *holder, ot_grip_t *grip, ot_shared_t *shared);

/* Before the handle drops its reference. */
void ot_holder_remove(ot_holder_t *holder, ot_grip_t *grip);

/* A row for each object (interp -1), and one for each handle of it. */
typedef struct {
    const ot_shared_kind_t *kind;
    uint64_t id;
    char *name;          /* of an object; NULL: it has none */
    uint64_t references; /* of an object: all of them, those of handles included */
    int64_t interp;      /* whose handle; -1: the object */
} ot_shared_row_t;

/* All live objects and handles, in no order; for ot_shared_free_list. 0, or -1 without memory. Each object's rows
 * are of one moment, but for what comes and goes meanwhile. */
int ot_shared_list(ot_shared_row_t **rows, size_t *n);
void ot_shared_free_list(ot_shared_row_t *rows, size_t n);

/* ---- counting ---------------------------------------------------------------------------------- */

/* Live objects in the process; those of one kind. */
size_t ot_shared_count(void);
size_t ot_shared_count_kind(const ot_shared_kind_t *kind);

/* Aborts if the registry is broken. ot_shared_count begins with it where OT_CHECKS is on, coming and going
 * with a look at the object's neighbours. */
void ot_shared_check(void);

#endif
