/* value_tree.c: what objects/core/value_parts.h declares, between threads of one interpreter on free-threaded builds.
 *
 * What never changes (strings, numbers, bytes, frozensets, classes, functions, modules) is held as it is, and who asks gets
 * the same object. A tree lies in a parcel (parcel.h), which nobody else reaches, and who asks gets a copy of it.
 *
 * Main invariant: nobody writes to a tree while it is a value. (Code of a class that copies its instances gets hold of
 * those; what it does to them is its own affair.)
 * Threading: any thread. Any number of them copy a tree at once; each container is copied under its own lock. That can
 * stop a thread, so it is never done within an epoch guard: all trees are OPAQUE.
 */
#include "objects/core/value_parts.h"

#include "threads/parcel.h"

struct ot_opaque {
    ot_parcel_t *parcel; /* owned */
    /* Set by each reader before it reads. A reader may hold strings and numbers of the tree for ever, so their owners may
     * not change any more. */
    atomic_bool was_read;
};

/* ---- objects of their own ------------------------------------------------------------------------ */

ot_value_t *
ot_value_new_leaf(PyObject *o)
{
    ot_walk_kind_t kind = ot_walk_kind(Py_TYPE(o));
    if (kind != OT_WALK_LEAF && kind != OT_WALK_FROZENSET && kind != OT_WALK_FIXED) {
        return NULL;
    }
    ot_value_t *v = ot_value_blank(OT_VALUE_LEAF);
    if (v == NULL) {
        return (ot_value_t *)PyErr_NoMemory();
    }
    v->u.object = Py_NewRef(o);
    return v;
}

PyObject *
ot_value_leaf_copy(const ot_value_t *v)
{
    return Py_NewRef(v->u.object);
}

/* ---- trees ----------------------------------------------------------------------------------------- */

/* By OT_ROOT_TAKEN the content of a list, dict or set moves into the value. In all other cases the value is a copy. */
ot_value_t *
ot_value_new_tree(ot_objects_t *home, PyObject *o, ot_root_rule_t rule)
{
    ot_value_t *v = ot_value_blank(OT_VALUE_OPAQUE);
    struct ot_opaque *opaque = PyMem_RawCalloc(1, sizeof *opaque);
    ot_leftovers_t leftovers;
    if (v == NULL || opaque == NULL) {
        PyErr_NoMemory();
        goto error;
    }
    opaque->parcel = (ot_parcel_t *)ot_tree_detach_root(home->interp, o, rule, &leftovers);
    if (opaque->parcel == NULL) {
        goto error;
    }
    v->u.opaque = opaque;
    ot_tree_settle(&leftovers);
    return v;
error:
    PyMem_RawFree(v);
    PyMem_RawFree(opaque);
    return NULL;
}

ot_value_t *
ot_value_new_own(ot_objects_t *home, PyObject *o)
{
    return ot_value_new_by_rule(home, o, Py_REFCNT(o) == 1 ? OT_ROOT_TAKEN : OT_ROOT_KEPT);
}

/* Nobody waits here, so the deadline does not matter. */
PyObject *
ot_value_tree_copy(ot_objects_t *home, ot_value_t *v, int64_t deadline)
{
    (void)deadline;
    ot_leftovers_t leftovers;
    /* Relaxed: giving back the reference to v orders it before who has the last one. */
    atomic_store_explicit(&v->u.opaque->was_read, true, memory_order_relaxed);
    ot_tree_t *copy =
        ot_tree_detach_root(home->interp, v->u.opaque->parcel->head.root, OT_ROOT_KEPT, &leftovers);
    if (copy == NULL) {
        return NULL;
    }
    ot_tree_settle(&leftovers);
    return ot_tree_attach(home->interp, &copy);
}

/* Cannot fail. */
static PyObject *
open_tree(struct ot_opaque *opaque)
{
    ot_parcel_t *parcel = opaque->parcel;
    if (atomic_load_explicit(&opaque->was_read, memory_order_relaxed)) {
        parcel->from = ot_bias_me(); /* no owner changes */
    }
    PyMem_RawFree(opaque);
    return ot_parcel_open(parcel);
}

PyObject *
ot_value_tree_take(ot_objects_t *home, ot_value_t *v)
{
    (void)home;
    return open_tree(v->u.opaque);
}

void
ot_value_tree_free(ot_value_t *v)
{
    PyObject *error = PyErr_GetRaisedException();
    Py_DECREF(open_tree(v->u.opaque));
    PyErr_SetRaisedException(error);
}

void
ot_value_free_doomed(void)
{
}
