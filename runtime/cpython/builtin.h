/* builtin.h: built-in types that are laid out privately, but for str and dict: int, tuple, range,
 * bytearray, mappingproxy.
 *
 * Threading: see version.h.
 */
#ifndef OT_RUNTIME_CPYTHON_BUILTIN_H
#define OT_RUNTIME_CPYTHON_BUILTIN_H

#include "runtime/cpython/object.h"

/* ---- int ---------------------------------------------------------------------------------*/

static inline size_t
ot_int_block_size(PyObject *o)
{
    Py_ssize_t digits = (Py_ssize_t)(((PyLongObject *)o)->long_value.lv_tag >> 3);
    return offsetof(PyLongObject, long_value.ob_digit) +
           sizeof(digit) * (size_t)(digits > 0 ? digits : 1);
}

/* Whether o is an int of one digit, but none of those that all share. */
static inline bool
ot_int_takes_one_digit(PyObject *o)
{
    return PyLong_CheckExact(o) && !ot_py_immortal(o) &&
           ((PyLongObject *)o)->long_value.lv_tag >> 3 == 1;
}

/* Gives `mine`, which nobody else refers to, the value of another; false if it is not of one digit.
 * `from` is. No hash of an int is cached (longintrepr.h). */
static inline bool
ot_int_overwrite(PyObject *mine, PyObject *from)
{
    if (!ot_int_takes_one_digit(mine)) {
        return false;
    }
    _PyLongValue *to = &((PyLongObject *)mine)->long_value;
    const _PyLongValue *value = &((PyLongObject *)from)->long_value;
    to->lv_tag = value->lv_tag;
    to->ob_digit[0] = value->ob_digit[0]; /* the block may end here, before the struct does */
    return true;
}

/* ---- tuple, frozenset: cached hashes ---------------------------------------------------- */

static inline void
ot_tuple_forget_hash(PyObject *o)
{
#if PY_VERSION_HEX >= 0x030e0000
    ((PyTupleObject *)o)->ob_hash = -1;
#else
    (void)o;
#endif
}

/* ---- range ------------------------------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
    PyObject *part[4]; /* start, stop, step, length */
} ot_range_t;

/* ---- bytearray -------------------------------------------------------------------------- */

/* The block that the bytes lie in, NULL if it has none of its own. From 3.15 on it is a bytes
 * object that only the bytearray refers to. */
static inline void *
ot_bytearray_block(PyObject *o)
{
#if PY_VERSION_HEX >= 0x030f0000
    PyObject *bytes = ((PyByteArrayObject *)o)->ob_bytes_object;
    return bytes == NULL || _Py_IsImmortal(bytes) ? NULL : bytes;
#else
    return ((PyByteArrayObject *)o)->ob_bytes;
#endif
}

/* Somebody looks into the bytes: not just through so many buffers, or (3.15) through the bytes
 * object. */
static inline bool
ot_bytearray_pinned(PyObject *o, Py_ssize_t exports)
{
    PyByteArrayObject *b = (PyByteArrayObject *)o;
#if PY_VERSION_HEX >= 0x030f0000
    if (b->ob_bytes_object != NULL && !_Py_IsImmortal(b->ob_bytes_object) &&
        Py_REFCNT(b->ob_bytes_object) != 1) {
        return true;
    }
#endif
    return b->ob_exports != exports;
}

/* Swaps what two bytearrays hold; neither may be pinned. */
static inline void
ot_bytearray_swap(PyObject *a, PyObject *b)
{
    PyByteArrayObject *x = (PyByteArrayObject *)a, *y = (PyByteArrayObject *)b, t;
    t.ob_base.ob_size = Py_SIZE(x);
    t.ob_alloc = x->ob_alloc;
    t.ob_bytes = x->ob_bytes;
    t.ob_start = x->ob_start;
    Py_SET_SIZE(x, Py_SIZE(y));
    x->ob_alloc = y->ob_alloc;
    x->ob_bytes = y->ob_bytes;
    x->ob_start = y->ob_start;
    Py_SET_SIZE(y, t.ob_base.ob_size);
    y->ob_alloc = t.ob_alloc;
    y->ob_bytes = t.ob_bytes;
    y->ob_start = t.ob_start;
#if PY_VERSION_HEX >= 0x030f0000
    PyObject *bytes = x->ob_bytes_object;
    x->ob_bytes_object = y->ob_bytes_object;
    y->ob_bytes_object = bytes;
#endif
}

/* ---- types.MappingProxyType (Objects/descrobject.c) ---------------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *mapping;
} ot_mappingproxy_t;

#endif
