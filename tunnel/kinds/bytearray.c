/* bytearray.c: the row for bytearray. Side block: the bytes, moved whatever their size. */
#include "tunnel/kinds.h"

ot_inspection_t
ot_bytearray_inspect(PyObject *o, Py_ssize_t exports)
{
    if (ot_bytearray_pinned(o, exports)) {
        return OT_PINNED;
    }
    void *block = ot_bytearray_block(o);
    return ot_heap_owns(o) && (block == NULL || ot_heap_owns(block)) ? OT_MOVABLE : OT_REHOME;
}

static ot_inspection_t
bytearray_inspect(PyObject *o)
{
    return ot_bytearray_inspect(o, 0);
}

PyObject *
ot_bytearray_of(Py_ssize_t n)
{
    /* Empty first: without memory 3.13 frees a half-made one by fields that it has not set yet. */
    PyObject *o = PyByteArray_FromStringAndSize(NULL, 0);
    if (o == NULL || PyByteArray_Resize(o, n) < 0) {
        Py_XDECREF(o);
        return NULL;
    }
    return o;
}

/* By the public constructor: the collector does not track bytearrays, and CPython has no free list of them, so that the block comes
 * from our heap. */
static PyObject *
bytearray_clone(PyObject *o)
{
    Py_ssize_t n = PyByteArray_GET_SIZE(o);
    PyObject *copy = ot_bytearray_of(n);
    if (copy != NULL) {
        memcpy(PyByteArray_AS_STRING(copy), PyByteArray_AS_STRING(o), (size_t)n);
    }
    return copy;
}

/* The shell is an empty bytearray: bytearray_disown moves the bytes into it. */
static PyObject *
bytearray_shell(PyObject *o)
{
    void *block = ot_bytearray_block(o);
    if (block != NULL && !ot_heap_owns(block)) {
        return bytearray_clone(o);
    }
    return PyByteArray_FromStringAndSize(NULL, 0);
}

static void
bytearray_disown(PyObject *loser, PyObject *winner)
{
    void *block = ot_bytearray_block(loser);
    if (PyByteArray_GET_SIZE(winner) == 0 && (block == NULL || ot_heap_owns(block))) {
        ot_bytearray_swap(loser, winner);
    } else if (PyByteArray_GET_SIZE(loser) != 0) {
        PyObject *error = PyErr_GetRaisedException(); /* undo() runs while one is under way */
        (void)PyByteArray_Resize(loser, 0); /* shrinking to nothing; at worst it keeps a copy */
        PyErr_SetRaisedException(error);
    }
}

static int
bytearray_clear(PyObject *o)
{
    return PyByteArray_Resize(o, 0);
}

const ot_kind_t ot_kind_bytearray = {
    .name = "bytearray",
    .emptiable = true,
    .inspect = bytearray_inspect,
    .visit = ot_kind_visit_nothing,
    .shell = bytearray_shell,
    .disown = bytearray_disown,
    .clone = bytearray_clone,
    .fill = ot_kind_fill_nothing,
    .clear = bytearray_clear,
};
