/* opaque.h: a tree at rest that only Python code can copy: it has instances, or what is pickled.
 *
 * Purpose: what a value of form OT_VALUE_OPAQUE holds. Reading it means: attach the tree, make an equal
 * one, put that back, give the caller the first.
 * Invariant (under `lock`, whenever that is free): the tree is at rest; or it strayed, because it could
 * not be put back: then the object is kept by the interpreter that tried, which may read and take it as
 * before; or that interpreter has ended, and only then it is lost.
 * Threading: `lock` is held while Python code rebuilds and takes apart the tree, by one thread; others
 * wait for it without a GIL. Which objects strayed is guarded by a mutex of opaque.c's.
 *
 * Shared rules: an attached thread state, that of `home`'s interpreter, unless it says otherwise.
 */
#ifndef OT_OBJECTS_OPAQUE_H
#define OT_OBJECTS_OPAQUE_H

#include "objects/sync/sync_type.h"

typedef struct ot_opaque {
    ot_lock_t *lock; /* owned; guards tree. NULL: whoever has the value is alone with it */
    ot_tree_t *tree; /* owned */
    /* Under opaque.c's mutex: owned by interpreter `interp`; in its list while not NULL. */
    PyObject *stray;
    int64_t interp;
    struct ot_opaque *next, *prev;
    bool doomed; /* its value is gone: the interpreter that has the stray frees it all */
} ot_opaque_t;

/* Makes the struct. lock NULL: the value is never copied. Refs: steals the tree and the lock. NULL without memory, no
 * exception, and nothing was stolen. */
ot_opaque_t *ot_opaque_new(ot_tree_t *tree, ot_lock_t *lock);

/* A new object that equals the tree, which is at rest again afterwards. NULL with an exception: nothing is lost. NULL without
 * one: other threads had the lock until the deadline. Runs: e. Hold no lock. */
PyObject *ot_opaque_copy(ot_objects_t *home, ot_opaque_t *opaque, int64_t deadline);

/* The object itself, for a caller that nobody else can have the value beside; frees `opaque`. NULL with an exception: it is
 * as it was. Runs: e. */
PyObject *ot_opaque_take(ot_objects_t *home, ot_opaque_t *opaque);

/* Returns the tree, which the caller disposes of; NULL: there is none. Frees `opaque`, unless another interpreter has its
 * stray: then that interpreter frees it. Needs: nothing; the stray of the calling interpreter dies here if a thread state is
 * attached. Runs: e. */
ot_tree_t *ot_opaque_free(ot_opaque_t *opaque);

/* Frees strays of the calling interpreter whose values are gone. Costs one load if there are none. Runs: e. */
void ot_opaque_free_doomed(void);

/* Frees the strays of home's interpreter when it ends. Call once, at import. 0, or -1 with an exception. */
int ot_opaque_watch(ot_objects_t *home);

#endif
