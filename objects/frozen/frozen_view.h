/* frozen_view.h: what the Python types of frozen views share (see frozen.h). Private to this folder.
 *
 * Main invariant: a view holds its anchor, which holds the region; views are not known to the
 * collector, for all that they refer to of their interpreter is the anchor.
 * Threading: the GIL of the view's interpreter.
 */
#ifndef OT_OBJECTS_FROZEN_VIEW_H
#define OT_OBJECTS_FROZEN_VIEW_H

#include "objects/frozen/frozen.h"

#include <structmember.h>

static inline ot_frozen_t *
ot_view_region(PyObject *self)
{
    return (ot_frozen_t *)ot_as_handle(self)->shared;
}

static inline PyObject *
ot_view_node(PyObject *self)
{
    return ot_as_frozen(self)->node;
}

/* The elements of a list or tuple. */
static inline PyObject **
ot_view_items(PyObject *node)
{
    return PyList_CheckExact(node) ? ((PyListObject *)node)->ob_item
                                   : ((PyTupleObject *)node)->ob_item;
}

/* Slots and methods of all views. */
void ot_view_dealloc(PyObject *self);
PyObject *ot_view_thaw(PyObject *self, PyObject *unused);
PyObject *ot_view_repr(PyObject *self);
Py_ssize_t ot_view_length(PyObject *self);
Py_hash_t ot_view_hash(PyObject *self); /* the thawed object's: equal objects have equal ones */
PyObject *ot_view_iter(PyObject *self);
int ot_view_contains(PyObject *self, PyObject *key); /* of a dict or set */
extern PyMemberDef ot_view_members[];
extern PyGetSetDef ot_view_getset[];

/* A new reference to what o is without views. */
PyObject *ot_view_thawed(PyObject *o);

/* Compares thawed copies of both: for what is seldom compared. */
PyObject *ot_view_compare_thawed(PyObject *self, PyObject *other, int op);

/* Views that show the same are equal; so are those of the same list in two interpreters. */
bool ot_views_show_the_same(PyObject *a, PyObject *b);

/* The answer of == or != from 1, 0 or -1 (then NULL). */
PyObject *ot_view_truth(int equal, int op);

/* ---- iterators (frozen_iter.c) --------------------------------------------------------------- */

typedef enum { OT_ITERATE_KEYS, OT_ITERATE_VALUES, OT_ITERATE_ITEMS } ot_iterated_t;

/* A new iterator over a view; of a sequence or set by OT_ITERATE_KEYS. */
PyObject *ot_view_iterate(PyObject *view, ot_iterated_t what);

/* A new pair of what is read where the region has key and value. */
PyObject *ot_view_pair(ot_frozen_view_t *view, PyObject *key, PyObject *value);

extern PyType_Spec ot_frozen_iterator_spec;

/* ---- the slots of each type ------------------------------------------------------------------ */

extern PyType_Slot ot_frozen_list_slots[], ot_frozen_tuple_slots[], ot_frozen_dict_slots[],
    ot_frozen_set_slots[], ot_frozen_bytes_slots[], ot_frozen_array_slots[];

#define OT_VIEW_METHODS                                                                            \
    {"thaw", ot_view_thaw, METH_NOARGS,                                                            \
     "thaw($self)\n--\n\nAn ordinary, equal object of your own, copied whole."},                   \
    {                                                                                              \
        "__reduce__", ot_handle_reduce, METH_NOARGS, NULL                                          \
    }

#define OT_VIEW_SLOTS(doc, compare, hash, methods)                                                 \
    {Py_tp_doc, doc}, {Py_tp_dealloc, ot_view_dealloc}, {Py_tp_repr, ot_view_repr},                \
        {Py_tp_richcompare, compare}, {Py_tp_hash, hash}, {Py_tp_methods, methods},                \
        {Py_tp_members, ot_view_members}, {Py_tp_getset, ot_view_getset},                          \
        {Py_mp_length, ot_view_length},                                                            \
    {                                                                                              \
        Py_sq_length, ot_view_length                                                               \
    }

#define OT_VIEW_FLAGS                                                                              \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)

#endif
