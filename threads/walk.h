/* walk.h: what the walk over a tree of free-threaded builds knows of types.
 *
 * Few kinds, each with an inline loop over its slots: a slot is a place that holds one reference of the object.
 *
 * Threading: the caller has the object for itself, or all other threads are stopped.
 */
#ifndef OT_THREADS_WALK_H
#define OT_THREADS_WALK_H

#include "runtime/cpython/bias.h"
#include "runtime/cpython/instance.h"

typedef enum {
    OT_WALK_LEAF, /* refers to nothing and never changes */
    OT_WALK_LIST, /* the containers: these four and set, frozenset */
    OT_WALK_TUPLE,
    OT_WALK_DICT,
    OT_WALK_SET,
    OT_WALK_FROZENSET,
    OT_WALK_INSTANCE, /* of a class that is written in Python and so are its bases, but for object */
    OT_WALK_FIXED, /* what all threads use in common anyway: a class, a function, a module, a handle of ours */
    OT_WALK_OTHER, /* where a copy is needed, copy.deepcopy makes it */
} ot_walk_kind_t;

static inline bool
ot_walk_is_class(PyTypeObject *t)
{
    while (ot_type_is_from_statement(t)) {
        t = t->tp_base;
    }
    return t == &PyBaseObject_Type;
}

static inline ot_walk_kind_t
ot_walk_kind_slow(PyTypeObject *t)
{
    if (t == &PySet_Type) {
        return OT_WALK_SET;
    }
    if (t == &PyFrozenSet_Type) {
        return OT_WALK_FROZENSET;
    }
    if (t == &PyComplex_Type || t == &PyBool_Type || t == &PyRange_Type || t == Py_TYPE(Py_None) ||
        t == Py_TYPE(Py_Ellipsis)) {
        return OT_WALK_LEAF;
    }
    if (PyType_FastSubclass(t, Py_TPFLAGS_TYPE_SUBCLASS) || t == &PyFunction_Type ||
        t == &PyCFunction_Type || t == &PyModule_Type || t == &PyCode_Type) {
        return OT_WALK_FIXED;
    }
    return t != &PyBaseObject_Type && ot_walk_is_class(t) ? OT_WALK_INSTANCE : OT_WALK_OTHER;
}

static inline ot_walk_kind_t
ot_walk_kind(PyTypeObject *t)
{
    if (t == &PyFloat_Type || t == &PyLong_Type || t == &PyUnicode_Type || t == &PyBytes_Type) {
        return OT_WALK_LEAF;
    }
    return t == &PyDict_Type    ? OT_WALK_DICT
           : t == &PyList_Type  ? OT_WALK_LIST
           : t == &PyTuple_Type ? OT_WALK_TUPLE
                                : ot_walk_kind_slow(t);
}

/* Whether the walk looks at its slots one by one. Of other dicts somebody else has a part: a class has the keys of
 * a split one, and whoever watches a dict must hear of each change. */
static inline bool
ot_walk_is_plain_dict(PyObject *d)
{
    return !ot_dict_is_split(d) && !ot_dict_is_watched(d);
}

/* Whether the attributes of an instance are in its slots and inline values, or in a dict that is its own. Not if
 * somebody has asked for the __dict__ of one whose values are inline: both have them then. */
static inline bool
ot_walk_is_plain_instance(PyObject *o, uintptr_t me)
{
    PyObject *dict = ot_type_manages_dict(Py_TYPE(o)) ? *ot_instance_dict(o) : NULL;
    return dict == NULL || (ot_instance_values(o) == NULL && PyDict_CheckExact(dict) &&
                            ot_bias_count(dict, me) == 1 && ot_walk_is_plain_dict(dict));
}

/* is_key: the place of a key or of a set's element, whose hash counts. 0, or -1 to end the loop. */
typedef int (*ot_walk_slot_t)(PyObject **slot, bool is_key, void *arg);

static inline int
ot_walk_array(PyObject **items, Py_ssize_t n, ot_walk_slot_t visit, void *arg)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        if (items[i] != NULL && visit(&items[i], false, arg) < 0) {
            return -1;
        }
    }
    return 0;
}

static inline int
ot_walk_dict(PyObject *d, ot_walk_slot_t visit, void *arg)
{
    ot_keys_t *keys = ot_dict_keys(d);
    for (Py_ssize_t i = 0, n = ot_keys_count(keys); i < n; i++) {
        PyObject **key, **value;
        ot_keys_entry(keys, i, &key, &value);
        if (*value != NULL && (visit(key, true, arg) < 0 || visit(value, false, arg) < 0)) {
            return -1;
        }
    }
    return 0;
}

static inline int
ot_walk_set(PyObject *o, ot_walk_slot_t visit, void *arg)
{
    PySetObject *set = (PySetObject *)o;
    for (Py_ssize_t i = 0; i <= set->mask; i++) {
        setentry *e = &set->table[i];
        if (e->key != NULL && e->hash != -1 && visit(&e->key, true, arg) < 0) { /* -1: a dummy */
            return -1;
        }
    }
    return 0;
}

static inline int
ot_walk_instance(PyObject *o, ot_walk_slot_t visit, void *arg)
{
    ot_values_t *values = ot_instance_values(o);
    if (values != NULL && ot_walk_array(values->values, values->capacity, visit, arg) < 0) {
        return -1;
    }
    if (ot_type_manages_dict(Py_TYPE(o)) && ot_walk_array(ot_instance_dict(o), 1, visit, arg) < 0) {
        return -1;
    }
    for (PyTypeObject *t = Py_TYPE(o); t != &PyBaseObject_Type; t = t->tp_base) {
        const PyMemberDef *members = ot_type_members(t);
        for (Py_ssize_t i = 0, n = Py_SIZE(t); i < n; i++) {
            if (ot_walk_array((PyObject **)((char *)o + members[i].offset), 1, visit, arg) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* Calls visit for each slot of a container (a dict or an instance: a plain one). 0, or -1 as soon as visit does. */
static inline int
ot_walk_slots(PyObject *o, ot_walk_kind_t kind, ot_walk_slot_t visit, void *arg)
{
    switch (kind) {
    case OT_WALK_LIST:
        return ot_walk_array(((PyListObject *)o)->ob_item, Py_SIZE(o), visit, arg);
    case OT_WALK_TUPLE:
        return ot_walk_array(((PyTupleObject *)o)->ob_item, Py_SIZE(o), visit, arg);
    case OT_WALK_DICT:
        return ot_walk_dict(o, visit, arg);
    case OT_WALK_SET:
    case OT_WALK_FROZENSET:
        return ot_walk_set(o, visit, arg);
    case OT_WALK_INSTANCE:
        return ot_walk_instance(o, visit, arg);
    default:
        return 0;
    }
}

#endif
