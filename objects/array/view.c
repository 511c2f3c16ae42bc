/* view.c: see view.h. */
#include "objects/array/view.h"

int
ot_view_pack(ot_view_t *view, Py_ssize_t itemsize)
{
    Py_ssize_t stride = itemsize;
    view->offset = 0;
    for (Py_ssize_t d = view->ndim - 1; d >= 0; d--) {
        view->strides[d] = stride;
        if (view->shape[d] < 0) {
            PyErr_SetString(PyExc_ValueError, "a shape has no negative numbers");
            return -1;
        }
        if (view->shape[d] != 0 && __builtin_mul_overflow(stride, view->shape[d], &stride)) {
            PyErr_SetString(PyExc_ValueError, "the shape is too big for memory");
            return -1;
        }
    }
    return 0;
}

int
ot_view_from_shape(ot_view_t *view, PyObject *shape, Py_ssize_t itemsize)
{
    view->ndim = 1;
    if (PyIndex_Check(shape)) {
        view->shape[0] = PyNumber_AsSsize_t(shape, PyExc_OverflowError);
        if (view->shape[0] == -1 && PyErr_Occurred()) {
            return -1;
        }
        return ot_view_pack(view, itemsize);
    }
    PyObject *numbers = PySequence_Tuple(shape);
    if (numbers == NULL) {
        return -1;
    }
    view->ndim = PyTuple_GET_SIZE(numbers);
    int rc = -1;
    if (view->ndim < 1 || view->ndim > OT_VIEW_DIMS) {
        PyErr_Format(PyExc_ValueError, "a shape has 1 to %d numbers", OT_VIEW_DIMS);
    } else {
        rc = 0;
    }
    for (Py_ssize_t d = 0; rc == 0 && d < view->ndim; d++) {
        view->shape[d] = PyNumber_AsSsize_t(PyTuple_GET_ITEM(numbers, d), PyExc_OverflowError);
        if (view->shape[d] == -1 && PyErr_Occurred()) {
            rc = -1;
        }
    }
    Py_DECREF(numbers);
    return rc < 0 ? -1 : ot_view_pack(view, itemsize);
}

Py_ssize_t
ot_view_count(const ot_view_t *view)
{
    Py_ssize_t n = 1;
    for (Py_ssize_t d = 0; d < view->ndim; d++) {
        n *= view->shape[d];
    }
    return n;
}

bool
ot_view_is_packed(const ot_view_t *view, Py_ssize_t itemsize)
{
    Py_ssize_t stride = itemsize;
    for (Py_ssize_t d = view->ndim - 1; d >= 0 && ot_view_count(view) > 0; d--) {
        if (view->shape[d] > 1 && view->strides[d] != stride) {
            return false;
        }
        stride *= view->shape[d];
    }
    return true;
}

bool
ot_view_is_within(const ot_view_t *view, Py_ssize_t itemsize, size_t bytes)
{
    __int128 least = view->offset, most = view->offset;
    if (view->ndim < 1 || view->ndim > OT_VIEW_DIMS) {
        return false;
    }
    bool empty = false;
    for (Py_ssize_t d = 0; d < view->ndim; d++) {
        if (view->shape[d] < 0 || view->strides[d] % itemsize != 0) {
            return false;
        }
        empty |= view->shape[d] == 0;
        __int128 reach = (__int128)view->strides[d] * (view->shape[d] - 1);
        *(reach < 0 ? &least : &most) += view->shape[d] == 0 ? 0 : reach;
    }
    return empty ||
           (least >= 0 && view->offset % itemsize == 0 && most + itemsize <= (__int128)bytes);
}

void
ot_view_row(const ot_view_t *view, Py_ssize_t i, ot_view_t *row)
{
    ot_view_t whole = *view; /* row may be view */
    *row = (ot_view_t){.offset = whole.offset + i * whole.strides[0], .ndim = whole.ndim - 1};
    memcpy(row->shape, whole.shape + 1, sizeof *row->shape * (size_t)row->ndim);
    memcpy(row->strides, whole.strides + 1, sizeof *row->strides * (size_t)row->ndim);
}

/* Applies one part of a key to the view's dimension d, and goes on to the next part of the key. */
static int
select_one(const ot_view_t *view, Py_ssize_t d, PyObject *key, ot_view_t *part)
{
    Py_ssize_t length = view->shape[d], stride = view->strides[d];
    if (PySlice_Check(key)) {
        Py_ssize_t start, stop, step;
        if (PySlice_Unpack(key, &start, &stop, &step) < 0) {
            return -1;
        }
        Py_ssize_t n = PySlice_AdjustIndices(length, &start, &stop, step);
        part->offset += n > 0 ? start * stride : 0;
        part->shape[part->ndim] = n;
        part->strides[part->ndim++] = n > 1 ? stride * step : stride;
        return 0;
    }
    if (!PyIndex_Check(key)) {
        PyErr_Format(PyExc_TypeError, "array indices are integers, slices or Ellipsis, not %s",
                     Py_TYPE(key)->tp_name);
        return -1;
    }
    Py_ssize_t i = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (i < -length || i >= length) {
        PyErr_Format(PyExc_IndexError, "index %zd is out of range for %zd elements", i, length);
        return -1;
    }
    part->offset += (i < 0 ? i + length : i) * stride;
    return 0;
}

static void
keep_dimensions(const ot_view_t *view, Py_ssize_t d, Py_ssize_t end, ot_view_t *part)
{
    for (; d < end; d++) {
        part->shape[part->ndim] = view->shape[d];
        part->strides[part->ndim++] = view->strides[d];
    }
}

int
ot_view_select(const ot_view_t *view, PyObject *key, ot_view_t *part)
{
    bool is_tuple = PyTuple_Check(key);
    Py_ssize_t n = is_tuple ? PyTuple_GET_SIZE(key) : 1, d = 0;
    bool ellipsis = false;
    *part = (ot_view_t){.offset = view->offset};
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *k = is_tuple ? PyTuple_GET_ITEM(key, i) : key;
        Py_ssize_t left = n - i - 1; /* parts of the key still to come */
        if (k == Py_Ellipsis && !ellipsis && d + left <= view->ndim) {
            ellipsis = true;
            keep_dimensions(view, d, view->ndim - left, part);
            d = view->ndim - left;
        } else if (d == view->ndim) {
            PyErr_Format(PyExc_IndexError, "too many indices for an array of %zd dimensions",
                         view->ndim);
            return -1;
        } else if (select_one(view, d++, k, part) < 0) {
            return -1;
        }
    }
    keep_dimensions(view, d, view->ndim, part);
    return 0;
}
