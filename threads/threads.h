/* threads.h: the parts of _core on free-threaded builds, for each other.
 *
 * Shared rules: an attached thread state.
 */
#ifndef OT_THREADS_THREADS_H
#define OT_THREADS_THREADS_H

#include "objtunnel/state.h"

/* Adds owner(), rebias() and the type Owner. 0, or -1 with an exception. */
int ot_owners_add(PyObject *module);

/* Makes the calling thread the owner of root and of all that it leads to; lone: only of what has one reference, and
 * of root. Stops all other threads meanwhile. How many objects; -1 with MemoryError. */
Py_ssize_t ot_take_over(PyObject *root, bool lone);

/* Adds the type _Parcel. 0, or -1 with an exception. */
int ot_parcel_type_add(PyObject *module);

#endif
