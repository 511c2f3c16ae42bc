/* copying.h: copies of containers, made by the rows' clone and fill without recursion.
 *
 * copy.c copies what a send may not take, rest_copy.c copies trees at rest. Each says by a copier (kinds.h) what
 * becomes of a reference; how a copy is begun and filled is the same for both, and is here.
 *
 * Main invariant: a clone is always safe to free: its references are NULL (or None) until they are filled, and what it
 * holds it owns.
 * Shared rules: the GIL; no Python code runs. NULL or -1: MemoryError is set.
 */
#ifndef OT_TUNNEL_COPYING_H
#define OT_TUNNEL_COPYING_H

#include "tunnel/tree.h"

/* A clone that is to be filled. Borrowed: something else sees to it that both live. */
typedef struct {
    PyObject *clone, *original;
    const ot_kind_t *kind;
} ot_copy_job_t;

typedef OT_VEC(ot_copy_job_t) ot_copy_jobs_t;

/* A new copy of o by its row: of a leaf it is finished, of anything else it is on the work list. Notes in tree->rehash if
 * the copy hashes otherwise. */
PyObject *ot_copying_clone(ot_copy_jobs_t *jobs, PyObject *o, const ot_kind_t *kind,
                           ot_tree_t *tree);

/* Fills what is on the work list until nothing is. A copy with needs (OT_NEEDS_*) that are among `wanted` is added to
 * tree->containers with those. 0, or -1 with an exception: what the copier raised, too. */
int ot_copying_fill(ot_copy_jobs_t *jobs, ot_copier_t *copier, ot_tree_t *tree, int wanted);

#endif
