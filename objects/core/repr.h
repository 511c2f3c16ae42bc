/* repr.h: what the reprs of containers have in common: they show what is there without waiting for it.
 *
 * Shared rules: an attached thread state, that of the handle's interpreter.
 */
#ifndef OT_OBJECTS_REPR_H
#define OT_OBJECTS_REPR_H

#include "objects/core/value.h"

/* One repr under way: what leaving it takes, which must not fail. Owned. */
typedef struct {
    PyObject *set, *id;
} ot_repr_t;

/* Whether this thread is in the middle of the repr of the handle's object: 1 if it is, -1 with an
 * exception. 0: it is now, until ot_repr_leave, which keeps an exception that is set. */
int ot_repr_enter(PyObject *handle, ot_repr_t *repr);
void ot_repr_leave(ot_repr_t *repr);

/* The repr of an equal object of the value's; "<in use>" if another thread is copying it just now and
 * that would have to be waited for. NULL with an exception. Runs: e. Hold no lock. */
PyObject *ot_repr_of_value(ot_objects_t *home, ot_value_t *v);

/* `before`, the texts with commas between them, `after`. Refs: steals the list; NULL is fine. */
PyObject *ot_repr_join_steal(const char *before, PyObject *texts, const char *after);

#endif
