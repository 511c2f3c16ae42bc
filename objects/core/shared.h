/* shared.h: C objects that belong to the process: what all interpreters use at the same time.
 *
 * Purpose: the head of every such object: a count of its handles and messages, an id by which it is
 * found when a handle travels as a pickle, and what its kind does at its end and around fork().
 * Invariant: an object is in the registry from ot_shared_init until its last reference is dropped;
 * ids are never used twice in a process.
 * Threading: any thread, any interpreter or none. No Python.
 *
 * Which may run at once: all of them, each as long as its caller holds a reference.
 */
#ifndef OT_OBJECTS_SHARED_H
#define OT_OBJECTS_SHARED_H

#include <stddef.h>
#include <stdint.h>

#include "atomics/refcount.h"

typedef struct ot_shared ot_shared_t;

typedef enum {
    OT_BEFORE_FORK,          /* take the object's own lock */
    OT_AFTER_FORK_IN_PARENT, /* give it back */
    OT_AFTER_FORK_IN_CHILD,  /* make it anew; of all threads only the calling one exists */
} ot_fork_stage_t;

typedef struct {
    const char *name;
    /* The last reference is gone. Called without any lock, by whoever dropped it: must not need
     * Python, which may be at its end. */
    void (*free)(ot_shared_t *self);
    /* NULL: no lock of its own. Called with the registry's lock. */
    void (*fork)(ot_shared_t *self, ot_fork_stage_t stage);
} ot_shared_kind_t;

/* First member of every object. */
struct ot_shared {
    ot_ref_t ref;
    const ot_shared_kind_t *kind;
    uint64_t id;
    ot_shared_t *next, *prev; /* in its bucket of the registry, under the registry's lock */
};

/* Enters a new object, whose own fields are ready, with one reference: the caller's. */
void ot_shared_init(ot_shared_t *self, const ot_shared_kind_t *kind);

void ot_shared_ref(ot_shared_t *self);

/* Drops a reference, with the last one the object. Refs: steals. */
void ot_shared_unref(ot_shared_t *self);

/* New reference to the live object with this id, NULL if there is none any more. */
ot_shared_t *ot_shared_find(uint64_t id);

/* Calls visit for each live object of the kind, under the registry's lock: visit may take the
 * object's own lock, nothing else. */
void ot_shared_visit(const ot_shared_kind_t *kind, void (*visit)(ot_shared_t *self, void *arg),
                     void *arg);

/* Live objects in the process. */
size_t ot_shared_count(void);

#endif
