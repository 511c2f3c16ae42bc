/* str.h: a str and its blocks (unicodeobject.h).
 *
 * Threading: see version.h.
 */
#ifndef OT_RUNTIME_CPYTHON_STR_H
#define OT_RUNTIME_CPYTHON_STR_H

#include "runtime/cpython/object.h"

#include <stdatomic.h>

/* Interned in some interpreter's own table: that interpreter's, even when immortal. */
static inline bool
ot_str_interned(PyObject *o)
{
    unsigned state = PyUnicode_CHECK_INTERNED(o);
    return state == SSTATE_INTERNED_MORTAL || state == SSTATE_INTERNED_IMMORTAL;
}

/* A str compiled into the interpreter's image: the same in every interpreter. */
static inline bool
ot_str_static(PyObject *o)
{
    PyASCIIObject *s = (PyASCIIObject *)o;
    return s->state.interned == SSTATE_INTERNED_IMMORTAL_STATIC || s->state.statically_allocated;
}

/* "__name__", which is static: the same object in each interpreter, so it is asked for once. Not by its place in
 * _PyRuntime, which differs between micro versions. Borrowed; NULL without an exception if there is no memory. */
static inline PyObject *
ot_str_dunder_name(void)
{
    static _Atomic(PyObject *) known;
    PyObject *name = atomic_load_explicit(&known, memory_order_relaxed);
    if (name == NULL) {
        name = PyUnicode_InternFromString("__name__");
        if (name == NULL || !ot_str_static(name)) {
            PyErr_Clear();
            Py_XDECREF(name);
            return NULL;
        }
        atomic_store_explicit(&known, name, memory_order_relaxed);
    }
    return name;
}

/* The characters of an instance of a subclass of str lie in a block of their own. */
static inline void *
ot_str_data_block(PyObject *o)
{
    return PyUnicode_IS_COMPACT(o) ? NULL : ((PyUnicodeObject *)o)->data.any;
}

/* The separately allocated UTF-8 form of a non-ASCII str, NULL if none. */
static inline void *
ot_str_side_block(PyObject *o)
{
    if (PyUnicode_IS_COMPACT_ASCII(o)) {
        return NULL;
    }
    char *utf8 = ((PyCompactUnicodeObject *)o)->utf8;
    return utf8 == ot_str_data_block(o) ? NULL : utf8;
}

/* A copy that no table knows of, hash computed. New reference or MemoryError. */
static inline PyObject *
ot_str_copy(PyObject *o)
{
    size_t head =
        PyUnicode_IS_COMPACT_ASCII(o) ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject);
    size_t length = (size_t)PyUnicode_GET_LENGTH(o) + 1;
    PyObject *copy = ot_py_copy_block(o, head + length * (size_t)PyUnicode_KIND(o));
    if (copy == NULL) {
        return NULL;
    }
    ((PyASCIIObject *)copy)->state.interned = SSTATE_NOT_INTERNED;
    ((PyASCIIObject *)copy)->state.statically_allocated = 0;
    if (!PyUnicode_IS_COMPACT_ASCII(copy)) {
        ((PyCompactUnicodeObject *)copy)->utf8 = NULL;
        ((PyCompactUnicodeObject *)copy)->utf8_length = 0;
    }
    if (PyObject_Hash(copy) == -1) { /* dict look-ups compare cached hashes */
        Py_DECREF(copy);
        return NULL;
    }
    return copy;
}

#endif
