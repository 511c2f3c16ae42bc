/* array_values.c: Python's numbers into and out of a SharedArray, one and many at once.
 *
 * Main invariant: what is not converted changes nothing: the values of an assignment are all converted
 * before the first is stored.
 * Threading: the GIL of the handle's interpreter; elements are loaded and stored as storage.h says.
 */
#include "objects/array/array_parts.h"

/* ---- elements ------------------------------------------------------------------------------- */

int
ot_array_out_of_range(PyObject *self)
{
    PyErr_Format(PyExc_OverflowError, "the result is out of range for elements of type '%s'",
                 type_of(self)->code);
    return -1;
}

/* An int of Python's of at most 64 bits and a sign: the difference of any two elements is one. */
int
ot_wide_from(PyObject *o, ot_wide_t *value)
{
    int overflow;
    PyObject *n = PyNumber_Index(o);
    if (n == NULL) {
        return -1;
    }
    *value = PyLong_AsLongLongAndOverflow(n, &overflow);
    if (overflow < 0) {
        Py_SETREF(n, PyNumber_Negative(n));
    }
    if (overflow != 0 && n != NULL) {
        *value = overflow * (ot_wide_t)PyLong_AsUnsignedLongLong(n);
    }
    Py_XDECREF(n);
    return PyErr_Occurred() ? -1 : 0;
}

PyObject *
ot_wide_as_int(ot_wide_t value)
{
    return value > INT64_MAX ? PyLong_FromUnsignedLongLong((unsigned long long)value)
                             : PyLong_FromLongLong((long long)value);
}

PyObject *
ot_array_load(PyObject *self, const ot_view_t *element)
{
    const ot_number_type_t *type = type_of(self);
    const char *at = address(self, element);
    return type->is_float ? PyFloat_FromDouble(ot_float_load(type, at))
                          : ot_wide_as_int(ot_integer_load(type, at));
}

/* Writes the number that the object is to `at`. 0, or -1 with an exception, and nothing written. */
static int
convert(PyObject *self, char *at, PyObject *value)
{
    const ot_number_type_t *type = type_of(self);
    if (type->is_float) {
        double d = PyFloat_AsDouble(value);
        if (d == -1.0 && PyErr_Occurred()) {
            return -1;
        }
        ot_float_store(type, at, d);
        return 0;
    }
    ot_wide_t n;
    if (ot_wide_from(value, &n) < 0) {
        return -1;
    }
    return ot_integer_store(type, at, n) ? 0 : ot_array_out_of_range(self);
}

static int
store(PyObject *self, const ot_view_t *element, PyObject *value)
{
    return convert(self, address(self, element), value);
}

/* ---- many at once --------------------------------------------------------------------------- */

static bool
is_number(PyObject *o)
{
    return PyFloat_Check(o) || (PyIndex_Check(o) && !PySequence_Check(o));
}

/* Elements at `from`, `step` bytes from one to the next, into the view's places in their order. Returns
 * where the next one is. */
static const char *
put(PyObject *self, const ot_view_t *view, const char *from, size_t step)
{
    const ot_number_type_t *type = type_of(self);
    if (view->ndim == 0) {
        char *at = address(self, view);
        if (type->is_float) {
            ot_float_store(type, at, ot_float_load(type, from));
        } else {
            (void)ot_integer_store(type, at,
                                   ot_integer_load(type, from)); /* of this type: it fits */
        }
        return from + step;
    }
    for (Py_ssize_t i = 0; i < view->shape[0]; i++) {
        ot_view_t row;
        ot_view_row(view, i, &row);
        from = put(self, &row, from, step);
    }
    return from;
}

static int
fill(PyObject *self, const ot_view_t *view, PyObject *value)
{
    _Alignas(8) char element[8];
    if (convert(self, element, value) < 0) {
        return -1;
    }
    (void)put(self, view, element, 0);
    return 0;
}

static bool
same_shape(const ot_view_t *view, const Py_buffer *b)
{
    return b->ndim == view->ndim &&
           memcmp(b->shape, view->shape, sizeof *b->shape * (size_t)b->ndim) == 0;
}

/* Copies from a source that is a buffer of the view's type and shape. If the source is the
 * array's own memory, which may overlap, the items go through a copy. 1: done; 0: the source is
 * no such buffer; -1 with an exception. */
static int
copy_buffer(PyObject *self, const ot_view_t *view, PyObject *source)
{
    const ot_numbers_t *numbers = numbers_of(self);
    Py_buffer b;
    if (!PyObject_CheckBuffer(source)) {
        return 0;
    }
    if (PyObject_GetBuffer(source, &b, PyBUF_FULL_RO) < 0) {
        return -1;
    }
    int rc = 0;
    const char *format = b.format == NULL ? "B" : b.format + (*b.format == '@');
    char *from = b.buf, *temporary = NULL;
    bool ours =
        from >= numbers->data && from < numbers->data + numbers->count * type_of(self)->size;
    if (strcmp(format, type_of(self)->code) == 0 && same_shape(view, &b) &&
        ot_view_is_packed(view, type_of(self)->size) && PyBuffer_IsContiguous(&b, 'C')) {
        rc = 1;
        if (ours && (temporary = PyMem_RawMalloc((size_t)b.len + 1)) == NULL) {
            PyErr_NoMemory();
            rc = -1;
        } else {
            memcpy(address(self, view), ours ? memcpy(temporary, from, (size_t)b.len) : from,
                   (size_t)b.len);
        }
        PyMem_RawFree(temporary);
    }
    PyBuffer_Release(&b);
    return rc;
}

static int
wrong_number(Py_ssize_t values, Py_ssize_t places)
{
    PyErr_Format(PyExc_ValueError, "%zd values for %zd places", values, places);
    return -1;
}

/* A new list of what is in a source, which may be ourselves. */
static PyObject *
list_of(PyObject *self, PyObject *source)
{
    bool numbers = Py_IS_TYPE(source, Py_TYPE(self)) || PyMemoryView_Check(source);
    return numbers ? PyObject_CallMethod(source, "tolist", NULL) : PySequence_List(source);
}

static int collect(PyObject *self, const ot_view_t *view, PyObject *value, bool may_be_flat,
                   char **to);

/* One row after the other. A list of as many numbers as there are elements in several dimensions is
 * taken in their order. Python code runs: the list's items are ours while they are used. */
static int
collect_rows(PyObject *self, const ot_view_t *view, PyObject *list, bool may_be_flat, char **to)
{
    ot_view_t row = {.ndim = 0};
    Py_ssize_t n = PyList_GET_SIZE(list), places = view->shape[0];
    bool flat = may_be_flat && view->ndim > 1 && n > 0 && is_number(PyList_GET_ITEM(list, 0));
    if (flat) {
        places = ot_view_count(view);
    } else if (places > 0) {
        ot_view_row(view, 0, &row);
    }
    int rc = n == places ? 0 : wrong_number(n, places);
    for (Py_ssize_t i = 0; rc == 0 && i < n; i++) {
        if (i >= PyList_GET_SIZE(list)) {
            return wrong_number(i, places); /* found by the collector, and changed */
        }
        PyObject *item = Py_NewRef(PyList_GET_ITEM(list, i));
        rc = collect(self, &row, item, false, to);
        Py_DECREF(item);
    }
    return rc;
}

/* Converts what `value` has for the view's places, in their order, to *to, which moves on. */
static int
collect(PyObject *self, const ot_view_t *view, PyObject *value, bool may_be_flat, char **to)
{
    size_t size = type_of(self)->size;
    if (view->ndim == 0 || is_number(value)) {
        Py_ssize_t n = ot_view_count(view);
        if (n == 0) {
            return 0;
        }
        int rc = convert(self, *to, value);
        for (Py_ssize_t i = 1; rc == 0 && i < n; i++) {
            memcpy(*to + (size_t)i * size, *to, size);
        }
        *to += (size_t)n * size;
        return rc;
    }
    PyObject *list = list_of(self, value);
    int rc = list == NULL ? -1 : collect_rows(self, view, list, may_be_flat, to);
    Py_XDECREF(list);
    return rc;
}

/* view[...] = value: a number goes into all, else there must be as many as there are places. On failure
 * none is changed: all are converted before. */
int
ot_array_assign(PyObject *self, const ot_view_t *view, PyObject *value)
{
    if (view->ndim == 0) {
        return store(self, view, value);
    }
    if (is_number(value)) {
        return fill(self, view, value);
    }
    int rc = copy_buffer(self, view, value);
    if (rc != 0) {
        return rc < 0 ? -1 : 0;
    }
    size_t bytes = (size_t)ot_view_count(view) * type_of(self)->size;
    char *elements = PyMem_RawMalloc(bytes + 1), *end = elements;
    if (elements == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    rc = collect(self, view, value, true, &end);
    if (rc == 0) {
        (void)put(self, view, elements, type_of(self)->size);
    }
    PyMem_RawFree(elements);
    return rc;
}
