/* misfit.h: what to say of a message that cannot be received: where in it the fault lies. */
#ifndef OT_TUNNEL_MISFIT_H
#define OT_TUNNEL_MISFIT_H

#include "tunnel/retype.h"

/* Raises TypeError about fix, a place that holds one C type, and o, which is of another (borrowed).
 * The tree is in transit, its classes are found, and it stays as it is.
 * arrivals: NULL where the tree has none. Runs: m. Returns -1, possibly with MemoryError. */
int ot_raise_misfit(ot_tree_t *tree, ot_arrivals_t *arrivals, const ot_fix_t *fix, PyObject *o);

/* Whether no instance of a Python class has an array for an attribute that is no ndarray here, where NumPy
 * is not imported: its class would not expect a memoryview. made: what stands for each of the tree's arrays. The
 * tree is in transit, its classes are found, and it stays as it is. 0, or -1 with TypeError, which
 * names the place, or MemoryError. Runs: m. */
int ot_check_array_attributes(ot_tree_t *tree, ot_arrivals_t *arrivals, PyObject **made);

/* Gives the current exception the attributes `where`, the path to the first object that cannot be had
 * here, and `type_name`, its class, and a note that says both; a TypeError of ours has the path as its text's
 * beginning instead. failed: that class; NULL: what was pickled, and where several objects were, they are rebuilt
 * again up to the one that fails. Not to MemoryError, Ctrl-C and their like. The tree is
 * in transit and stays as it is. Runs: e. */
void ot_say_where(const ot_interp_t *interp, ot_tree_t *tree, const ot_tree_class_t *failed);

#endif
