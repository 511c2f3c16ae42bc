/* instance.h: instances of Python classes, their values and shared keys (PEP 412; pycore_dict.h,
 * pycore_object.h).
 *
 * Threading: see version.h.
 */
#ifndef OT_RUNTIME_CPYTHON_INSTANCE_H
#define OT_RUNTIME_CPYTHON_INSTANCE_H

#include "runtime/cpython/dict.h"

#include <internal/pycore_typeobject.h>

/* Whether the type was made by a class statement (or type()), not by PyType_FromSpec: then everything in an instance
 * beyond its base's struct is slots, and a dict and weak references that CPython manages. Only
 * for types whose tp_dealloc is subtype_dealloc. */
static inline bool
ot_type_is_from_statement(PyTypeObject *t)
{
    return PyType_HasFeature(t, Py_TPFLAGS_HEAPTYPE) && ((PyHeapTypeObject *)t)->_ht_tpname == NULL;
}

/* One of the static types that the interpreter itself brings: list, object, type. */
static inline bool
ot_type_is_interpreters_own(PyTypeObject *t)
{
    return PyType_HasFeature(t, _Py_TPFLAGS_STATIC_BUILTIN);
}

/* A number that changes whenever the type or a base of it does, as long as somebody asks for it in between
 * with ot_type_ensure_version; 0 for good for a type that has changed a thousand times. */
static inline unsigned
ot_type_version(PyTypeObject *t)
{
    return (unsigned)t->tp_version_tag;
}

static inline unsigned
ot_type_ensure_version(PyTypeObject *t)
{
    (void)PyUnstable_Type_AssignVersionTag(t); /* fails where there are none left */
    return ot_type_version(t);
}

/* What a weak reference leads to, Py_None if that is gone. Borrowed. */
static inline PyObject *
ot_weakref_target(PyObject *weakref)
{
    return ((PyWeakReference *)weakref)->wr_object;
}

/* The n = Py_SIZE(t) members of a heap type: its own __slots__, not its bases'. */
static inline PyMemberDef *
ot_type_members(PyTypeObject *t)
{
    return (PyMemberDef *)((char *)t + Py_TYPE(t)->tp_basicsize);
}

/* The flags that say how an instance is laid out. */
static inline unsigned long
ot_type_layout_flags(PyTypeObject *t)
{
    return t->tp_flags &
           (Py_TPFLAGS_INLINE_VALUES | Py_TPFLAGS_MANAGED_WEAKREF | Py_TPFLAGS_MANAGED_DICT |
            Py_TPFLAGS_HEAPTYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_ITEMS_AT_END |
            Py_TPFLAGS_LIST_SUBCLASS | Py_TPFLAGS_TUPLE_SUBCLASS | Py_TPFLAGS_DICT_SUBCLASS |
            Py_TPFLAGS_LONG_SUBCLASS | Py_TPFLAGS_UNICODE_SUBCLASS | Py_TPFLAGS_BYTES_SUBCLASS |
            Py_TPFLAGS_BASE_EXC_SUBCLASS | Py_TPFLAGS_TYPE_SUBCLASS);
}

static inline bool
ot_type_manages_dict(PyTypeObject *t)
{
    return PyType_HasFeature(t, Py_TPFLAGS_MANAGED_DICT);
}

static inline bool
ot_has_weakrefs(PyObject *o)
{
    Py_ssize_t offset = Py_TYPE(o)->tp_weaklistoffset;
    return offset != 0 && *(PyObject **)((char *)o + offset) != NULL;
}

/* Has the object's __del__ not run (again). Only objects with a collector header remember that. */
static inline void
ot_gc_set_finalized(PyObject *o)
{
    if (PyType_IS_GC(Py_TYPE(o))) {
        _PyGC_SET_FINALIZED(o);
    }
}

/* The slot of an instance's __dict__ (NULL in it: none made yet), if its type manages one. Good
 * for an instance in transit, too. */
static inline PyObject **
ot_instance_dict(PyObject *o)
{
    return (PyObject **)((char *)o + MANAGED_DICT_OFFSET);
}

/* Attribute values in the order of the class's shared keys, either in the instance itself
 * ("inline", then also those of its dict if it has a split one), or in a block of a dict. */
typedef PyDictValues ot_values_t;

/* The inline values of an instance of that type (o itself may be in transit) if they are in use,
 * else NULL. They lie behind the object. */
static inline ot_values_t *
ot_instance_values_of(PyObject *o, PyTypeObject *type)
{
    if (!PyType_HasFeature(type, Py_TPFLAGS_INLINE_VALUES)) {
        return NULL;
    }
    ot_values_t *values = (ot_values_t *)((char *)o + type->tp_basicsize);
    return values->valid ? values : NULL;
}

static inline ot_values_t *
ot_instance_values(PyObject *o)
{
    return ot_instance_values_of(o, Py_TYPE(o));
}

/* From now on the instance's attributes are in its dict only. */
static inline void
ot_instance_invalidate_values(PyObject *o)
{
    ot_values_t *values = ot_instance_values(o);
    if (values != NULL) {
        values->valid = 0;
    }
}

static inline ot_values_t *
ot_dict_values(PyObject *d)
{
    return ((PyDictObject *)d)->ma_values;
}

static inline bool
ot_values_embedded(const ot_values_t *v)
{
    return v->embedded;
}

/* i-th of v->size attributes that were set: its place among the values and the shared keys. */
static inline int
ot_values_place(ot_values_t *v, int i)
{
    return get_insertion_order_array(v)[i];
}

static inline void
ot_values_set_place(ot_values_t *v, int i, int place)
{
    get_insertion_order_array(v)[i] = (uint8_t)place;
}

/* Frees a block of values (not inline ones) whose references are gone: free_values in dictobject.c. */
static inline void
ot_values_free(ot_values_t *v)
{
    if (!v->embedded) {
        PyMem_Free(v);
    }
}

/* A copy in a block of its own, with the same references (not counted). NULL without memory. */
static inline ot_values_t *
ot_values_clone(const ot_values_t *v)
{
    size_t size = offsetof(ot_values_t, values) + v->capacity * (sizeof(PyObject *) + 1);
    ot_values_t *clone = PyMem_Malloc(size);
    if (clone != NULL) {
        memcpy(clone, v, size);
    }
    return clone;
}

/* A new untracked dict that holds what the split dict d holds, which is left empty; `values` is
 * what its values are in from now on (d's own, or a clone of them). NULL with MemoryError, and
 * then d is as before. */
static inline PyObject *
ot_dict_take_over_split(PyObject *d, ot_values_t *values, ot_keys_t *empty)
{
    PyDictObject *from = (PyDictObject *)d;
    PyDictObject *to = (PyDictObject *)ot_py_new_container(&PyDict_Type, 0);
    if (to != NULL) {
        size_t head = offsetof(PyDictObject, ma_used);
        memcpy((char *)to + head, (char *)from + head, sizeof *to - head);
        to->ma_values = values;
        from->ma_keys = empty;
        from->ma_values = NULL;
        from->ma_used = 0;
    }
    return (PyObject *)to;
}

/* Has a split dict end its sharing: it takes over what `combined` holds, which is left empty. What
 * the split one held, and its part in the shared keys' count, must be accounted for already. */
static inline void
ot_dict_become_combined(PyObject *d, PyObject *combined, ot_keys_t *empty)
{
    PyDictObject *to = (PyDictObject *)d, *from = (PyDictObject *)combined;
    to->ma_keys = from->ma_keys;
    to->ma_values = NULL;
    to->ma_used = from->ma_used;
    from->ma_keys = empty;
    from->ma_used = 0;
}

enum { OT_MAX_SHARED_KEYS = SHARED_KEYS_MAX_SIZE };

/* The names that instances of a class share, NULL if it has none. */
static inline ot_keys_t *
ot_type_shared_keys(PyTypeObject *t)
{
    return ot_type_manages_dict(t) ? ((PyHeapTypeObject *)t)->ht_cached_keys : NULL;
}

static inline PyObject *
ot_shared_key(ot_keys_t *k, Py_ssize_t i)
{
    return DK_UNICODE_ENTRIES(k)[i].me_key;
}

/* Instances may be asked for values[i] for any i below this, whatever their own capacity is. */
static inline Py_ssize_t
ot_shared_keys_reach(ot_keys_t *k)
{
    return k->dk_nentries + k->dk_usable;
}

/* Has the class share no more names than `reach` from now on; no less than it does already. */
static inline void
ot_shared_keys_limit(ot_keys_t *k, Py_ssize_t reach)
{
    if (k->dk_nentries + k->dk_usable > reach && reach >= k->dk_nentries) {
        k->dk_usable = reach - k->dk_nentries;
    }
}

/* Adds n to the number of dicts that refer to a class's shared keys: a split dict has come (1) or gone (-1). */
static inline void
ot_shared_keys_count(ot_keys_t *k, Py_ssize_t n)
{
    k->dk_refcnt += n;
}

static inline void
ot_dict_set_shared_keys(PyObject *d, ot_keys_t *k)
{
    ((PyDictObject *)d)->ma_keys = k;
}

#endif
