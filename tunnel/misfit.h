/* misfit.h: what to say where unpickling gave an object that its place in the tree cannot hold. */
#ifndef OT_TUNNEL_MISFIT_H
#define OT_TUNNEL_MISFIT_H

#include "tunnel/retype.h"

/* Raises TypeError about fix, a place that holds one C type, and o, which is of another (borrowed;
 * NULL: a Tunnel). The tree is in transit, its classes are found, and it stays as it is.
 * arrivals: NULL where the tree has none. Runs: m. Returns -1, possibly with MemoryError. */
int ot_raise_misfit(ot_tree_t *tree, ot_arrivals_t *arrivals, const ot_fix_t *fix, PyObject *o);

#endif
