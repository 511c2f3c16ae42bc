/* box.h: one tree that several interpreters use by turns.
 *
 * Purpose: Box. Who has acquired it has the live tree, as objects of its own interpreter; when it is
 * released the tree is at rest, in no interpreter.
 * Invariant: content is NULL exactly while the lock is held, or if the tree is lost (its holder could not put
 * it back before it ended).
 * Threading: content is its holder's, under the lock. No Python here but through objects/core/value.h.
 */
#ifndef OT_OBJECTS_BOX_H
#define OT_OBJECTS_BOX_H

#include "objects/sync/sync.h"
#include "objects/core/value.h"

typedef struct {
    ot_lock_t lock;      /* first; guards content */
    ot_value_t *content; /* owned, exclusive (value.h) */
} ot_box_t;

extern const ot_shared_kind_t ot_box_kind;

/* Aborts if the invariant does not hold, as seen by a handle: it has the tree exactly if its interpreter
 * holds the lock, and then the box is empty. acquire and release call it where OT_CHECKS is on.
 * Needs: the GIL of the handle's interpreter, and that no other thread of it uses the handle. */
void ot_box_check(PyObject *handle);

/* Adds the type Box. 0, or -1 with an exception set. */
int ot_box_type_add(ot_objects_t *home);

#endif
