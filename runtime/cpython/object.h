/* object.h: references, types and collector headers of single objects (object.h, pycore_gc.h).
 *
 * Threading: see version.h.
 */
#ifndef OT_RUNTIME_CPYTHON_OBJECT_H
#define OT_RUNTIME_CPYTHON_OBJECT_H

#include "runtime/cpython/version.h"

#include <internal/pycore_gc.h>
#include <internal/pycore_object.h>

/* A str's hash, -1 if it was not asked for yet. */
static inline Py_hash_t
ot_str_cached_hash(PyObject *o)
{
    return ((PyASCIIObject *)o)->hash;
}

static inline bool
ot_py_immortal(PyObject *o)
{
    return _Py_IsImmortal(o);
}

/* Whether reference counts are atomic, as in the variants of CPython that lab/ builds and on free-threaded
 * builds: then references to one object may be taken and given back by several threads at once. */
static inline bool
ot_py_counts_atomically(void)
{
#if defined(OT_ATOMIC_REFCOUNTS) || defined(Py_GIL_DISABLED)
    return true;
#else
    return false;
#endif
}

/* Adds n to the refcount of an object that is not immortal. */
static inline void
ot_py_add_refs(PyObject *o, Py_ssize_t n)
{
#ifdef OT_ATOMIC_REFCOUNTS
    ot_refcnt_add(&o->ob_refcnt, n);
#else
    Py_SET_REFCNT(o, Py_REFCNT(o) + n);
#endif
}

/* Gives back n references at once. May free o: the caller is ready for what a dealloc of a str
 * or a type does, and for nothing else. */
static inline void
ot_py_release(PyObject *o, Py_ssize_t n)
{
    if (n <= 0 || _Py_IsImmortal(o)) {
        return;
    }
    ot_py_add_refs(o, 1 - n);
    Py_DECREF(o);
}

/* Takes n references at once. */
static inline void
ot_py_retain(PyObject *o, Py_ssize_t n)
{
    if (!_Py_IsImmortal(o)) {
        ot_py_add_refs(o, n);
    }
}

/* A bitwise copy of a leaf of `size` bytes, refcount 1, in a block of its own (never from a
 * free list, which may hold blocks of an older allocator). New reference or MemoryError. */
static inline PyObject *
ot_py_copy_block(PyObject *o, size_t size)
{
    PyObject *copy = PyObject_Malloc(size);
    if (copy == NULL) {
        return PyErr_NoMemory();
    }
    memcpy((void *)copy, (void *)o, size);
    return PyObject_Init(copy, Py_TYPE(o));
}

/* For an object of a type that is known to have a collector header. */
static inline bool
ot_gc_header_is_tracked(PyObject *o)
{
    return _Py_AS_GC(o)->_gc_next != 0;
}

static inline bool
ot_gc_is_tracked(PyObject *o)
{
    return PyType_IS_GC(Py_TYPE(o)) && _PyObject_GC_IS_TRACKED(o);
}

/* Has the collector track a container that may refer to instances still without a type, which a
 * debug build's PyObject_GC_Track would look at. */
static inline void
ot_gc_track(PyObject *o)
{
    _PyObject_GC_TRACK(o);
}

/* Gives up a reference to an object that nobody ever saw: its class's __del__ does not run. It may
 * not be tracked yet: 3.13's slice_dealloc takes it for granted that it is. NULL is fine. */
static inline void
ot_py_drop_unfinished(PyObject *o)
{
    if (o != NULL && PyType_IS_GC(Py_TYPE(o))) {
        _PyGC_SET_FINALIZED(o);
        if (!ot_gc_is_tracked(o)) {
            ot_gc_track(o);
        }
    }
    Py_XDECREF(o);
}

/* A new untracked object of a type with a collector header: of a heap type, its slots and fields
 * are zero; of a built-in one they are the caller's to fill. n: items, for types with items. */
static inline PyObject *
ot_py_new_container(PyTypeObject *type, Py_ssize_t n)
{
    if (!PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) {
        return type->tp_itemsize == 0 ? (PyObject *)PyObject_GC_New(PyObject, type)
                                      : (PyObject *)PyObject_GC_NewVar(PyVarObject, type, n);
    }
    PyObject *o = PyType_GenericAlloc(type, n);
    if (o != NULL) {
        PyObject_GC_UnTrack(o);
    }
    return o;
}

static inline void
ot_py_set_type_steal(PyObject *o, PyTypeObject *type)
{
    o->ob_type = type;
}

#endif
