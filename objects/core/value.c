/* value.c: see value.h. Scalars, handles and the life of all values; trees are value_parts.h's.
 *
 * Main invariant: that of value.h.
 * Threading: as in the header.
 */
#include "objects/core/value_parts.h"

/* ---- freeing ------------------------------------------------------------------------------------ */

/* Values whose last reference was dropped without a thread state: freed by whoever makes or frees a
 * value next. */
static ot_pile_t orphans;

static void
free_value(ot_value_t *v)
{
    switch (v->form) {
    case OT_VALUE_LEAF:
        Py_DECREF(v->u.object);
        break;
    case OT_VALUE_HANDLE:
        ot_handle_drop(v->u.shared);
        break;
    case OT_VALUE_TREE:
    case OT_VALUE_OPAQUE:
        ot_value_tree_free(v);
        break;
    default:
        break;
    }
    PyMem_RawFree(v);
}

static void
free_orphans(void)
{
    ot_value_free_doomed();
    for (ot_piled_t *o = ot_pile_take(&orphans), *next; o != NULL; o = next) {
        next = o->next;
        free_value((ot_value_t *)((char *)o - offsetof(ot_value_t, piled)));
    }
}

void
ot_value_unref(ot_value_t *v)
{
    if (v == NULL || !ot_ref_dec(&v->ref)) {
        return;
    }
    if (PyThreadState_GetUnchecked() != NULL) {
        free_value(v);
        free_orphans();
    } else {
        ot_pile_put(&orphans, &v->piled);
    }
}

/* ---- making ------------------------------------------------------------------------------------- */

ot_value_t *
ot_value_blank(ot_value_form_t form)
{
    ot_value_t *v = PyMem_RawCalloc(1, sizeof *v);
    if (v != NULL) {
        ot_ref_init(&v->ref);
        v->form = form;
    }
    return v;
}

ot_value_t *
ot_value_new_int(int64_t i)
{
    ot_value_t *v = ot_value_blank(OT_VALUE_INT);
    if (v != NULL) {
        v->u.i = i;
    }
    return v;
}

/* NULL without memory, no exception. */
static ot_value_t *
new_float(double d)
{
    ot_value_t *v = ot_value_blank(OT_VALUE_FLOAT);
    if (v != NULL) {
        v->u.d = d;
    }
    return v;
}

/* What fits into the value, or is one object. NULL without an exception: o is no such object; or with
 * one. */
static ot_value_t *
new_simple(PyObject *o)
{
    ot_value_t *v = NULL;
    int overflow = 0;
    int64_t i = PyLong_CheckExact(o) ? PyLong_AsLongLongAndOverflow(o, &overflow) : 0;
    if (PyLong_CheckExact(o) && overflow == 0) {
        v = ot_value_new_int(i);
    } else if (PyFloat_CheckExact(o)) {
        v = new_float(PyFloat_AS_DOUBLE(o));
    } else if (o == Py_None) {
        v = ot_value_blank(OT_VALUE_NONE);
    } else if (PyBool_Check(o)) {
        v = ot_value_blank(OT_VALUE_BOOL);
        if (v != NULL) {
            v->u.i = o == Py_True;
        }
    } else {
        return ot_value_new_leaf(o);
    }
    return v != NULL ? v : (ot_value_t *)PyErr_NoMemory();
}

static ot_value_t *
new_handle(ot_shared_t *shared)
{
    ot_value_t *v = ot_value_blank(OT_VALUE_HANDLE);
    if (v == NULL) {
        return (ot_value_t *)PyErr_NoMemory();
    }
    ot_shared_ref(shared);
    v->u.shared = shared;
    return v;
}

ot_value_t *
ot_value_new_treeless(ot_objects_t *home, PyObject *o)
{
    free_orphans();
    ot_value_t *v = new_simple(o);
    if (v != NULL || PyErr_Occurred()) {
        return v;
    }
    bool may_be_handle = PyType_HasFeature(Py_TYPE(o), Py_TPFLAGS_HEAPTYPE);
    ot_shared_t *shared = may_be_handle ? ot_handle_plain(home, o) : NULL;
    return shared == NULL ? NULL : new_handle(shared);
}

ot_value_t *
ot_value_new_by_rule(ot_objects_t *home, PyObject *o, ot_root_rule_t rule)
{
    ot_value_t *v = ot_value_new_treeless(home, o);
    return v != NULL || PyErr_Occurred() ? v : ot_value_new_tree(home, o, rule);
}

ot_value_t *
ot_value_new(ot_objects_t *home, PyObject *o)
{
    bool temporary = ot_seems_temporary(home->interp->consumers, o);
    return ot_value_new_by_rule(home, o, temporary ? OT_ROOT_TAKEN : OT_ROOT_KEPT);
}

ot_value_t *
ot_value_new_stored(ot_objects_t *home, PyObject *container, PyObject *o)
{
    PyObject *before = ot_consumer_stores(container);
    ot_value_t *v = ot_value_new(home, o);
    (void)ot_consumer_stores(before);
    return v;
}

/* ---- getting ------------------------------------------------------------------------------------ */

PyObject *
ot_value_copy(ot_objects_t *home, ot_value_t *v)
{
    switch (v->form) {
    case OT_VALUE_STATIC:
        return Py_NewRef(v->u.object);
    case OT_VALUE_LEAF:
        return ot_value_leaf_copy(v);
    case OT_VALUE_HANDLE:
        ot_shared_ref(v->u.shared);
        return ot_handle_steal(home, v->u.shared);
    case OT_VALUE_TREE:
    case OT_VALUE_OPAQUE:
        return ot_value_tree_copy(home, v, OT_FOREVER);
    default:
        return ot_value_scalar(v);
    }
}

PyObject *
ot_value_copy_at_once(ot_objects_t *home, ot_value_t *v)
{
    return v->form == OT_VALUE_OPAQUE ? ot_value_tree_copy(home, v, OT_DONT_WAIT)
                                      : ot_value_copy(home, v);
}

/* Who has the last reference takes the object out. */
static PyObject *
take_last(ot_objects_t *home, ot_value_t *v)
{
    PyObject *o = v->form == OT_VALUE_LEAF ? v->u.object : ot_value_tree_take(home, v);
    if (o != NULL) {
        PyMem_RawFree(v);
    }
    return o;
}

PyObject *
ot_value_take(ot_objects_t *home, ot_value_t *v)
{
    bool moves = v->form == OT_VALUE_LEAF || v->form == OT_VALUE_TREE || v->form == OT_VALUE_OPAQUE;
    if (moves && ot_ref_is_last(&v->ref)) {
        return take_last(home, v);
    }
    PyObject *o = ot_value_copy(home, v);
    if (o != NULL) {
        ot_value_unref(v);
    }
    return o;
}
