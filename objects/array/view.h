/* view.h: which elements of an array a handle shows: the arithmetic of indices and slices.
 *
 * Main invariant: all elements lie within the array; 1 <= ndim <= OT_VIEW_DIMS, but 0 for a single
 * element that select found.
 * Threading: plain data. Functions that take Python objects need an attached thread state.
 */
#ifndef OT_OBJECTS_VIEW_H
#define OT_OBJECTS_VIEW_H

#include "objects/array/storage.h"
#include "runtime/cpython/version.h"

enum { OT_VIEW_DIMS = 8 };

typedef struct {
    Py_ssize_t offset; /* of the first element; this and the strides in bytes */
    Py_ssize_t ndim;
    Py_ssize_t shape[OT_VIEW_DIMS];
    Py_ssize_t strides[OT_VIEW_DIMS];
} ot_view_t;

/* Reads a shape, an int or a sequence of ints; -1 with an exception set. Runs: e. */
int ot_view_from_shape(ot_view_t *view, PyObject *shape, Py_ssize_t itemsize);

/* Rows in C's order; shape and ndim are set already. -1 with ValueError if it is too big. */
int ot_view_pack(ot_view_t *view, Py_ssize_t itemsize);

/* Number of elements. */
Py_ssize_t ot_view_count(const ot_view_t *view);

bool ot_view_is_packed(const ot_view_t *view, Py_ssize_t itemsize);

/* Whether all elements lie within `bytes` bytes: for views that come from outside. */
bool ot_view_is_within(const ot_view_t *view, Py_ssize_t itemsize, size_t bytes);

/* What view[key] shows: key is an int, slice, Ellipsis, or a tuple of these. -1 with IndexError or
 * TypeError set. Runs: e. */
int ot_view_select(const ot_view_t *view, PyObject *key, ot_view_t *part);

/* What view[i] shows, for 0 <= i < shape[0]. Cannot fail. */
void ot_view_row(const ot_view_t *view, Py_ssize_t i, ot_view_t *row);

#endif
