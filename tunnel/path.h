/* path.h: where in a tree does an object lie? For error messages: $[3]['rows'][0]. */
#ifndef OT_TUNNEL_PATH_H
#define OT_TUNNEL_PATH_H

#include "runtime/vec.h"

/* The path from root to the first place where target is found. Walks the whole tree.
 * Refs: both borrowed. Returns a new str ("$" for the root itself, "$..." if it is not found);
 * NULL with an exception set. Runs: e (repr of keys). */
PyObject *ot_path_to(PyObject *root, PyObject *target);

/* The paths to n targets at once, as ot_path_to gives one. A target may be listed more than once. The search goes no deeper
 * than `depth` steps (SIZE_MAX: to the end). A new list of strs, None for what is not found or was listed before; NULL with an
 * exception set. */
PyObject *ot_paths_to(PyObject *root, PyObject *const *targets, size_t n, size_t depth);

#endif
