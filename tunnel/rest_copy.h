/* rest_copy.h: trees at rest, which several interpreters may copy at once.
 *
 * Purpose: a detached tree of built-in types stays as it lies, in no interpreter, and whoever wants
 * an equal one copies it: in C, without a lock, reading only.
 * Invariant: all that is reachable from the root is valid without looking anything up: keys that
 * the sender had interned are strs of the tree's own, the places of a handle and of a NumPy array hold
 * placeholders, an array.array, which in transit has no type, has one of ours that only knows how to free it. Nothing
 * of it is written to, refcounts included, from ot_rest_new until it is taken or freed.
 * Threading: copies may run at once, in any interpreters; taking and freeing are for who is alone
 * with it.
 *
 * Shared rules: each function needs an attached thread state; `interp` is that interpreter's.
 */
#ifndef OT_TUNNEL_REST_COPY_H
#define OT_TUNNEL_REST_COPY_H

#include "tunnel/tree.h"
#include "runtime/cpython/stdlib.h"

typedef struct ot_rest ot_rest_t;

extern PyTypeObject ot_rest_array_type;

/* An array.array (ot_array_t) of a tree at rest. */
static inline bool
ot_rest_is_array(PyObject *o)
{
    return Py_TYPE(o) == &ot_rest_array_type;
}

/* Whether the tree consists of what can be copied at rest. */
bool ot_rest_suits(const ot_tree_t *tree);

/* Refs: steals the tree, which suits, on success.
 * Returns NULL with MemoryError; then the tree is as it was. Runs: m. */
ot_rest_t *ot_rest_new(ot_tree_t *tree);

/* A new object of the caller's interpreter, equal to the root; shared references and cycles inside
 * the tree are kept. NULL with an exception. Runs: m; if there are arrays or constants in it, e. */
PyObject *ot_rest_copy(const ot_interp_t *interp, const ot_rest_t *rest);

/* ot_rest_copy of a part of the tree: an object that the root reaches. */
PyObject *ot_rest_copy_part(const ot_interp_t *interp, const ot_rest_t *rest, PyObject *part);

/* Whether there is a handle or a NumPy array in it. */
bool ot_rest_has_placeholders(const ot_rest_t *rest);

/* The root itself, moved into the interpreter; frees `rest`. NULL with MemoryError, and then it is
 * as it was. Runs: as a copy. */
PyObject *ot_rest_take(const ot_interp_t *interp, ot_rest_t *rest);

/* Frees it all. Runs: -. Returns the messages of channels that died with it: the caller's, to be
 * given to ot_tree_dispose_chain. */
ot_node_t *ot_rest_free(ot_rest_t *rest);

/* Borrowed: to be looked at only. */
PyObject *ot_rest_root(const ot_rest_t *rest);

#endif
