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

/* Adds the type Box. 0, or -1 with an exception set. */
int ot_box_type_add(ot_objects_t *home);

#endif
