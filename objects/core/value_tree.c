/* value_tree.c: values that are objects or trees, at rest in no interpreter. See value_parts.h.
 *
 * Main invariant: the tree of a TREE value and a LEAF's object are never written to; that of an OPAQUE
 * value is opaque.c's business.
 * Threading: as value.h has it.
 */
#include "objects/core/value_parts.h"

#include "objects/core/opaque.h"
#include "tunnel/kinds.h"
#include "tunnel/rest_copy.h"

/* ---- objects of their own ------------------------------------------------------------------------ */

static ot_value_t *
new_clone(const ot_kind_t *kind, PyObject *o)
{
    ot_value_t *v = ot_value_blank(OT_VALUE_LEAF);
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

ot_value_t *
ot_value_new_leaf(PyObject *o)
{
    if (ot_is_process_static(o)) {
        ot_value_t *v = ot_value_blank(OT_VALUE_STATIC);
        if (v == NULL) {
            return (ot_value_t *)PyErr_NoMemory();
        }
        v->u.object = o;
        return v;
    }
    const ot_kind_t *kind = ot_kind_static(Py_TYPE(o));
    return kind != NULL && kind->leaf ? new_clone(kind, o) : NULL;
}

PyObject *
ot_value_leaf_copy(const ot_value_t *v)
{
    return ot_kind_static(Py_TYPE(v->u.object))->clone(v->u.object);
}

/* ---- making trees -------------------------------------------------------------------------------- */

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

ot_value_t *
ot_value_new_tree(ot_objects_t *home, PyObject *o, ot_root_rule_t rule)
{
    ot_value_t *v = ot_value_blank(OT_VALUE_NONE);
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
    ot_value_t *v = ot_value_blank(OT_VALUE_OPAQUE);
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
        return ot_value_new_by_rule(home, o, OT_ROOT_KEPT);
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

/* ---- getting and freeing them -------------------------------------------------------------------- */

PyObject *
ot_value_tree_copy(ot_objects_t *home, ot_value_t *v, int64_t deadline)
{
    return v->form == OT_VALUE_TREE ? ot_rest_copy(home->interp, v->u.rest)
                                    : ot_opaque_copy(home, v->u.opaque, deadline);
}

PyObject *
ot_value_tree_take(ot_objects_t *home, ot_value_t *v)
{
    return v->form == OT_VALUE_TREE ? ot_rest_take(home->interp, v->u.rest)
                                    : ot_opaque_take(home, v->u.opaque);
}

static void
free_opaque(ot_opaque_t *opaque)
{
    ot_tree_t *tree = ot_opaque_free(opaque);
    if (tree != NULL) {
        tree->node.next = NULL;
        ot_dispose_chain(&tree->node);
    }
}

void
ot_value_tree_free(ot_value_t *v)
{
    if (v->form == OT_VALUE_TREE) {
        ot_dispose_chain(ot_rest_free(v->u.rest));
    } else {
        free_opaque(v->u.opaque);
    }
}

void
ot_value_free_doomed(void)
{
    ot_opaque_free_doomed();
}
