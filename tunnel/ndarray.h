/* ndarray.h: making an object of an array's data in the receiver (kinds/ndarray.c).
 *
 * Threading: the receiver's GIL.
 */
#ifndef OT_TUNNEL_NDARRAY_H
#define OT_TUNNEL_NDARRAY_H

#include "tunnel/ndata.h"
#include "tunnel/tree.h"

/* The object that stands for such data here: an ndarray where NumPy is imported; elsewhere an array.array,
 * or a memoryview for several dimensions and for items that array.array has not. Nothing of n has changed:
 * but for the memoryview, the object gets the data from ot_ndata_give. A new reference; NULL with an
 * exception. Runs: e. */
PyObject *ot_ndata_object(const ot_interp_t *interp, ot_ndata_t *n);

/* Gives the data to the object that ot_ndata_object made for n; cannot fail. The caller is alone with n,
 * unless the object is a memoryview, and then drops it. Runs: -. */
void ot_ndata_give(ot_ndata_t *n, PyObject *o);

#endif
