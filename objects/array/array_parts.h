/* array_parts.h: the parts of the Python type SharedArray.
 *
 * Shared rules: every function needs an attached thread state, that of the handle's interpreter; and
 * returns NULL or -1 with an exception set.
 */
#ifndef OT_OBJECTS_ARRAY_PARTS_H
#define OT_OBJECTS_ARRAY_PARTS_H

#include "objects/array/array_type.h"
#include "objects/array/view.h"

typedef struct {
    ot_handle_t handle;
    ot_view_t view;
} array_t;

static inline array_t *
as_array(PyObject *o)
{
    return (array_t *)o;
}

static inline ot_numbers_t *
numbers_of(PyObject *o)
{
    return (ot_numbers_t *)ot_as_handle(o)->shared;
}

static inline const ot_number_type_t *
type_of(PyObject *o)
{
    return numbers_of(o)->type;
}

static inline char *
address(PyObject *self, const ot_view_t *view)
{
    return numbers_of(self)->data + view->offset;
}

/* ---- array_values.c --------------------------------------------------------------------------- */

/* The element that a view of no dimensions shows. */
PyObject *ot_array_load(PyObject *self, const ot_view_t *element);

/* view[...] = value: a number goes into all, else there must be as many as there are places. On failure
 * none is changed. Runs: e. */
int ot_array_assign(PyObject *self, const ot_view_t *view, PyObject *value);

/* An int of Python's of at most 64 bits and a sign: the difference of any two elements is one. */
int ot_wide_from(PyObject *o, ot_wide_t *value);
PyObject *ot_wide_as_int(ot_wide_t value);

/* OverflowError. -1. */
int ot_array_out_of_range(PyObject *self);

#endif
