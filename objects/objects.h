/* objects.h: an interpreter's shared types, all of them.
 *
 * Shared rules: as in handle.h.
 */
#ifndef OT_OBJECTS_OBJECTS_H
#define OT_OBJECTS_OBJECTS_H

#include "objects/core/handle.h"

/* Sets up the interpreter's types; 0 or -1 with an exception set. */
int ot_objects_add(PyObject *module, ot_objects_t *home);
int ot_objects_traverse(ot_objects_t *home, visitproc visit, void *arg);
void ot_objects_clear(ot_objects_t *home);

#endif
