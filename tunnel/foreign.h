/* foreign.h: objects of types that the tunnel does not know travel as one pickle per message. */
#ifndef OT_TUNNEL_FOREIGN_H
#define OT_TUNNEL_FOREIGN_H

#include "tunnel/tree.h"

/* Pickles the list `objects`, so that they keep what they share among each other. What the message is to
 * hold for handles inside them is added to `kept`. `root` is for the error's path.
 * Runs: e. Returns new bytes; NULL with TypeError (path, type, remedy), or MemoryError, or a
 * BaseException that is no Exception, as raised. */
PyObject *ot_foreign_pickle(const ot_interp_t *interp, PyObject *objects, PyObject *root,
                            ot_held_list_t *kept);

/* Whether pickle writes down o's name only, so that the receiver gets an object of its own and
 * nothing is copied: classes, functions, modules. Runs: -. */
bool ot_foreign_by_name(PyObject *o);

/* Rebuilds them. Returns a new list of the right length, or NULL with an exception. Runs: e. */
PyObject *ot_foreign_unpickle(const ot_interp_t *interp, const ot_tree_t *tree);

/* The pickle of o alone, for what becomes of it: nothing is kept. A new bytes object; NULL with what pickling
 * raised. Runs: e. */
PyObject *ot_foreign_pickle_one(const ot_interp_t *interp, PyObject *o);

#endif
