/* value.c: see value.h.
 *
 * Main invariant: the tree of a TREE value and a LEAF's object are never written to; that of an OPAQUE
 * value is opaque.c's business.
 * Threading: as in the header.
 */
#include "objects/core/value.h"

#include "objects/core/opaque.h"
#include "tunnel/kinds.h"
#include "tunnel/rest_copy.h"

/* ---- freeing ------------------------------------------------------------------------------------ */

/* Values whose last reference was dropped without a thread state: freed by whoever makes or frees a
 * value next. */
static ot_pile_t orphans;

static void
free_opaque(ot_opaque_t *opaque)
{
    ot_tree_t *tree = ot_opaque_free(opaque);
    if (tree != NULL) {
        tree->node.next = NULL;
        ot_dispose_chain(&tree->node);
    }
}

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
        ot_dispose_chain(ot_rest_free(v->u.rest));
        break;
    case OT_VALUE_OPAQUE:
        free_opaque(v->u.opaque);
        break;
    default:
        break;
    }
    PyMem_RawFree(v);
}

static void
free_orphans(void)
{
    ot_opaque_free_doomed();
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

static ot_value_t *
new_value(ot_value_form_t form)
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
    ot_value_t *v = new_value(OT_VALUE_INT);
    if (v != NULL) {
        v->u.i = i;
    }
    return v;
}

ot_value_t *
ot_value_new_float(double d)
{
    ot_value_t *v = new_value(OT_VALUE_FLOAT);
    if (v != NULL) {
        v->u.d = d;
    }
    return v;
}

/* What fits into the value or is there in every interpreter. NULL without an exception: o is no such
 * object; or with one. */
static ot_value_t *
new_simple(PyObject *o)
{
    ot_value_t *v = NULL;
    int overflow = 0;
    int64_t i = PyLong_CheckExact(o) ? PyLong_AsLongLongAndOverflow(o, &overflow) : 0;
    if (PyLong_CheckExact(o) && overflow == 0) {
        v = ot_value_new_int(i);
    } else if (PyFloat_CheckExact(o)) {
        v = ot_value_new_float(PyFloat_AS_DOUBLE(o));
    } else if (o == Py_None) {
        v = new_value(OT_VALUE_NONE);
    } else if (PyBool_Check(o)) {
        v = new_value(OT_VALUE_BOOL);
        if (v != NULL) {
            v->u.i = o == Py_True;
        }
    } else if (ot_is_process_static(o)) {
        v = new_value(OT_VALUE_STATIC);
        if (v != NULL) {
            v->u.object = o;
        }
    } else {
        return NULL;
    }
    return v != NULL ? v : (ot_value_t *)PyErr_NoMemory();
}

static ot_value_t *
new_leaf(const ot_kind_t *kind, PyObject *o)
{
    ot_value_t *v = new_value(OT_VALUE_LEAF);
    if (v == NULL) {
        return (ot_value_t *)PyErr_NoMemory();
    }
    v->u.object = kind->clone(o);
    if (v->u.object == NULL) {
        PyMem_RawFree(v);
        return NULL;
    }
    return v;
}

static ot_value_t *
new_handle(ot_shared_t *shared)
{
    ot_value_t *v = new_value(OT_VALUE_HANDLE);
    if (v == NULL) {
        return (ot_value_t *)PyErr_NoMemory();
    }
    ot_shared_ref(shared);
    v->u.shared = shared;
    return v;
}

/* Refs: steals the tree on success. */
static int
fill_tree(ot_value_t *v, ot_tree_t *tree)
{
    if (ot_rest_suits(tree)) {
        v->form = OT_VALUE_TREE;
        v->u.rest = ot_rest_new(tree);
        return v->u.rest == NULL ? -1 : 0;
    }
    ot_lock_t *lock = ot_lock_new(&ot_lock_kind);
    ot_opaque_t *opaque = lock == NULL ? NULL : ot_opaque_new(tree, lock);
    if (opaque == NULL) {
        if (lock != NULL) {
            ot_shared_unref(&lock->head);
        }
        PyErr_NoMemory();
        return -1;
    }
    v->form = OT_VALUE_OPAQUE;
    v->u.opaque = opaque;
    return 0;
}

/* Drops the tree of a value that could not be made: a copy, or what a temporary held that nobody can look at. */
static void
drop_tree(ot_objects_t *home, ot_tree_t *tree)
{
    PyObject *error = PyErr_GetRaisedException();
    ot_tree_dispose(home->interp, tree);
    PyErr_SetRaisedException(error);
}

static void
settle(ot_leftovers_t *leftovers)
{
    PyObject *error = PyErr_GetRaisedException();
    ot_tree_settle(leftovers);
    PyErr_SetRaisedException(error);
}

static ot_value_t *
new_tree(ot_objects_t *home, PyObject *o, ot_root_rule_t rule)
{
    ot_value_t *v = new_value(OT_VALUE_NONE);
    if (v == NULL) {
        return (ot_value_t *)PyErr_NoMemory();
    }
    ot_leftovers_t leftovers;
    ot_tree_t *tree = ot_tree_detach_root(home->interp, o, rule, &leftovers);
    if (tree == NULL) {
        PyMem_RawFree(v);
        return NULL;
    }
    if (fill_tree(v, tree) < 0) {
        drop_tree(home, tree);
        PyMem_RawFree(v);
        v = NULL;
    }
    settle(&leftovers);
    return v;
}

static ot_value_t *
new_exclusive_tree(ot_objects_t *home, PyObject *o, ot_root_rule_t rule, bool strict,
                   ot_receipt_t *receipt)
{
    ot_value_t *v = new_value(OT_VALUE_OPAQUE);
    ot_opaque_t *opaque = ot_opaque_new(NULL, NULL);
    ot_leftovers_t leftovers;
    if (v == NULL || opaque == NULL) {
        PyErr_NoMemory();
        goto error;
    }
    opaque->tree = ot_tree_detach_root_counted(home->interp, o, rule, strict, receipt, &leftovers);
    if (opaque->tree == NULL) {
        goto error;
    }
    v->u.opaque = opaque;
    settle(&leftovers);
    return v;
error:
    PyMem_RawFree(v);
    PyMem_RawFree(opaque);
    return NULL;
}

ot_value_t *
ot_value_new_treeless(ot_objects_t *home, PyObject *o)
{
    free_orphans();
    ot_value_t *v = new_simple(o);
    if (v != NULL || PyErr_Occurred()) {
        return v;
    }
    const ot_kind_t *kind = ot_kind_static(Py_TYPE(o));
    if (kind != NULL && kind->leaf) {
        return new_leaf(kind, o);
    }
    ot_shared_t *shared = kind == NULL ? ot_handle_plain(home, o) : NULL;
    if (shared != NULL) {
        return new_handle(shared);
    }
    return NULL;
}

static ot_value_t *
new_any(ot_objects_t *home, PyObject *o, ot_root_rule_t rule)
{
    ot_value_t *v = ot_value_new_treeless(home, o);
    return v != NULL || PyErr_Occurred() ? v : new_tree(home, o, rule);
}

ot_value_t *
ot_value_new(ot_objects_t *home, PyObject *o)
{
    return new_any(home, o,
                   ot_seems_temporary(home->interp->consumers, o) ? OT_ROOT_TAKEN : OT_ROOT_KEPT);
}

ot_value_t *
ot_value_new_stored(ot_objects_t *home, PyObject *container, PyObject *o)
{
    home->interp->consumers->stores_into = container;
    ot_value_t *v = ot_value_new(home, o);
    home->interp->consumers->stores_into = NULL;
    return v;
}

ot_value_t *
ot_value_new_exclusive(ot_objects_t *home, PyObject *o, ot_root_rule_t rule)
{
    ot_receipt_t receipt;
    return ot_value_new_counted(home, o, rule, false, &receipt);
}

ot_value_t *
ot_value_new_counted(ot_objects_t *home, PyObject *o, ot_root_rule_t rule, bool strict,
                     ot_receipt_t *receipt)
{
    *receipt = (ot_receipt_t){0};
    ot_value_t *v = ot_value_new_treeless(home, o);
    return v != NULL || PyErr_Occurred() ? v : new_exclusive_tree(home, o, rule, strict, receipt);
}

/* An exclusive tree becomes one that may be copied. Refs: steals the lock. Cannot fail: without memory
 * for more it stays opaque. */
static void
open_to_all(ot_value_t *v, ot_lock_t *lock)
{
    ot_opaque_t *opaque = v->form == OT_VALUE_OPAQUE ? v->u.opaque : NULL;
    if (opaque != NULL && ot_rest_suits(opaque->tree)) {
        struct ot_rest *rest = ot_rest_new(opaque->tree);
        if (rest != NULL) {
            v->u.rest = rest;
            __atomic_store_n(&v->form, OT_VALUE_TREE, __ATOMIC_RELAXED); /* see ot_value_is_tree */
            PyMem_RawFree(opaque);
            opaque = NULL;
        } else {
            PyErr_Clear();
        }
    }
    if (opaque != NULL) {
        opaque->lock = lock;
    } else {
        ot_shared_unref(&lock->head);
    }
}

int
ot_value_open(ot_value_t *v)
{
    if (v->form != OT_VALUE_OPAQUE || v->u.opaque->lock != NULL) {
        return 0;
    }
    ot_lock_t *lock = ot_lock_new(&ot_lock_kind);
    if (lock == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    open_to_all(v, lock);
    return 0;
}

bool
ot_value_is_tree(const ot_value_t *v)
{
    return __atomic_load_n(&v->form, __ATOMIC_RELAXED) >= OT_VALUE_TREE;
}

ot_value_t *
ot_value_new_own(ot_objects_t *home, PyObject *o)
{
    if (Py_REFCNT(o) != 1) {
        return new_any(home, o, OT_ROOT_KEPT);
    }
    ot_lock_t *lock = ot_lock_new(&ot_lock_kind);
    if (lock == NULL) {
        return (ot_value_t *)PyErr_NoMemory();
    }
    ot_value_t *v = ot_value_new_exclusive(home, o, OT_ROOT_TAKEN);
    if (v != NULL) {
        open_to_all(v, lock);
    } else {
        ot_shared_unref(&lock->head);
    }
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
        return ot_kind_static(Py_TYPE(v->u.object))->clone(v->u.object);
    case OT_VALUE_HANDLE:
        ot_shared_ref(v->u.shared);
        return ot_handle_steal(home, v->u.shared);
    case OT_VALUE_TREE:
        return ot_rest_copy(home->interp, v->u.rest);
    case OT_VALUE_OPAQUE:
        return ot_opaque_copy(home, v->u.opaque, OT_FOREVER);
    default:
        return ot_value_scalar(v);
    }
}

PyObject *
ot_value_copy_at_once(ot_objects_t *home, ot_value_t *v)
{
    return v->form == OT_VALUE_OPAQUE ? ot_opaque_copy(home, v->u.opaque, OT_DONT_WAIT)
                                      : ot_value_copy(home, v);
}

/* Who has the last reference takes the object out. */
static PyObject *
take_last(ot_objects_t *home, ot_value_t *v)
{
    PyObject *o;
    if (v->form == OT_VALUE_LEAF) {
        o = v->u.object;
    } else if (v->form == OT_VALUE_TREE) {
        o = ot_rest_take(home->interp, v->u.rest);
    } else {
        o = ot_opaque_take(home, v->u.opaque);
    }
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
