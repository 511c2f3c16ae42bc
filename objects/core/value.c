/* value.c: see value.h.
 *
 * Main invariant: an OPAQUE value's tree is at rest whenever its lock is free (NULL only if putting
 * it back failed twice, or its interpreter ended meanwhile); the tree of a TREE value and a LEAF's
 * object are never written to.
 * Threading: an OPAQUE value's lock is held while Python code rebuilds and takes apart its tree, by
 * one thread; others wait for it without a GIL.
 */
#include "objects/core/value.h"

#include <pthread.h>

#include "objects/sync/sync_type.h"
#include "tunnel/kinds.h"
#include "tunnel/rest_copy.h"

typedef struct ot_opaque {
    ot_lock_t *lock; /* owned; guards tree. NULL: whoever has the value is alone with it */
    ot_tree_t *tree; /* owned */
} opaque_t;

/* ---- freeing ------------------------------------------------------------------------------------ */

/* Values whose last reference was dropped without a thread state: freed by whoever makes or frees a
 * value next. Guarded by orphans_lock; may be looked at without. */
static ot_value_t *_Atomic orphans;
static pthread_mutex_t orphans_lock = PTHREAD_MUTEX_INITIALIZER;

/* Frees messages, in this interpreter if it can still import what that takes. */
static void
dispose_chain(ot_node_t *chain)
{
    if (chain == NULL) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    ot_objects_t *home = ot_objects_current();
    if (home == NULL) {
        PyErr_Clear(); /* the interpreter is ending: another one will free them */
        ot_tree_leave_chain(chain);
    } else {
        ot_tree_dispose_chain(home->interp, chain);
    }
    PyErr_SetRaisedException(error);
}

static void
free_opaque(opaque_t *opaque)
{
    if (opaque->tree != NULL) {
        opaque->tree->node.next = NULL;
        dispose_chain(&opaque->tree->node);
    }
    if (opaque->lock != NULL) {
        ot_shared_unref(&opaque->lock->head);
    }
    PyMem_RawFree(opaque);
}

static void
free_value(ot_value_t *v)
{
    switch (v->form) {
    case OT_VALUE_LEAF:
        Py_DECREF(v->u.object);
        break;
    case OT_VALUE_HANDLE:
        ot_shared_unref(v->u.shared);
        break;
    case OT_VALUE_TREE:
        dispose_chain(ot_rest_free(v->u.rest));
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
    if (orphans == NULL) {
        return;
    }
    pthread_mutex_lock(&orphans_lock);
    ot_value_t *v = orphans;
    orphans = NULL;
    pthread_mutex_unlock(&orphans_lock);
    for (ot_value_t *next; v != NULL; v = next) {
        next = v->next;
        free_value(v);
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
        return;
    }
    pthread_mutex_lock(&orphans_lock);
    v->next = orphans;
    orphans = v;
    pthread_mutex_unlock(&orphans_lock);
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
    opaque_t *opaque = PyMem_RawMalloc(sizeof *opaque);
    ot_lock_t *lock = opaque == NULL ? NULL : ot_lock_new(&ot_lock_kind);
    if (lock == NULL) {
        PyMem_RawFree(opaque);
        PyErr_NoMemory();
        return -1;
    }
    *opaque = (opaque_t){lock, tree};
    v->form = OT_VALUE_OPAQUE;
    v->u.opaque = opaque;
    return 0;
}

/* Of a value that could not be made: a copy, or what a temporary held that nobody can look at. */
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
new_exclusive_tree(ot_objects_t *home, PyObject *o, ot_root_rule_t rule)
{
    ot_value_t *v = new_value(OT_VALUE_OPAQUE);
    opaque_t *opaque = PyMem_RawCalloc(1, sizeof *opaque);
    ot_leftovers_t leftovers;
    if (v == NULL || opaque == NULL) {
        PyErr_NoMemory();
        goto error;
    }
    opaque->tree = ot_tree_detach_root(home->interp, o, rule, &leftovers);
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

static ot_value_t *
new_any(ot_objects_t *home, PyObject *o, ot_root_rule_t rule, bool exclusive)
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
    if (PyErr_Occurred()) {
        return NULL;
    }
    return (exclusive ? new_exclusive_tree : new_tree)(home, o, rule);
}

ot_value_t *
ot_value_new(ot_objects_t *home, PyObject *o)
{
    return new_any(home, o,
                   ot_seems_temporary(home->interp->consumers, o) ? OT_ROOT_TAKEN : OT_ROOT_KEPT,
                   false);
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
    return new_any(home, o, rule, true);
}

/* An exclusive tree becomes one that may be copied. Refs: steals the lock. Cannot fail: without memory
 * for more it stays opaque. */
static void
open_to_all(ot_value_t *v, ot_lock_t *lock)
{
    opaque_t *opaque = v->form == OT_VALUE_OPAQUE ? v->u.opaque : NULL;
    if (opaque != NULL && ot_rest_suits(opaque->tree)) {
        struct ot_rest *rest = ot_rest_new(opaque->tree);
        if (rest != NULL) {
            v->form = OT_VALUE_TREE;
            v->u.rest = rest;
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

ot_value_t *
ot_value_new_own(ot_objects_t *home, PyObject *o)
{
    if (Py_REFCNT(o) != 1) {
        return new_any(home, o, OT_ROOT_KEPT, false);
    }
    ot_lock_t *lock = ot_lock_new(&ot_lock_kind);
    if (lock == NULL) {
        return (ot_value_t *)PyErr_NoMemory();
    }
    ot_value_t *v = new_any(home, o, OT_ROOT_TAKEN, true);
    if (v != NULL) {
        open_to_all(v, lock);
    } else {
        ot_shared_unref(&lock->head);
    }
    return v;
}

/* ---- what only Python can copy ------------------------------------------------------------------ */

static int
raise_lost(void)
{
    PyErr_SetString(PyExc_RuntimeError,
                    "this value is lost: the interpreter that was copying it has ended, or could "
                    "not put it back for want of memory or because it no longer lets itself be "
                    "pickled");
    return -1;
}

/* Acquires the value's lock. */
static int
enter(const ot_objects_t *home, const opaque_t *opaque)
{
    ot_sync_result_t result = ot_acquire_once(opaque->lock, home->interp_id, OT_FOREVER,
                                              "this value is being copied by this thread: pickling "
                                              "or unpickling it may not ask for it");
    if (result == OT_SYNC_ABANDONED) {
        (void)ot_lock_recover(opaque->lock, home->interp_id); /* false: somebody else did */
        return raise_lost();
    }
    return result == OT_SYNC_OK ? 0 : -1;
}

/* Puts an equal tree to rest; `o` is the caller's. If that fails, o itself is put back, as far as it
 * can be, and -1 returned with an exception. Nobody but the caller refers to o. */
static int
put_copy_back(ot_objects_t *home, opaque_t *opaque, PyObject *o, ot_leftovers_t *leftovers)
{
    opaque->tree = ot_tree_detach_root(home->interp, o, OT_ROOT_KEPT, leftovers);
    if (opaque->tree != NULL) {
        return 0;
    }
    PyObject *error = PyErr_GetRaisedException();
    opaque->tree = ot_tree_detach_root(home->interp, o, OT_ROOT_TAKEN, leftovers);
    PyErr_SetRaisedException(error);
    return -1;
}

static PyObject *
copy_opaque(ot_objects_t *home, opaque_t *opaque)
{
    if (enter(home, opaque) < 0) {
        return NULL;
    }
    PyObject *o = NULL;
    ot_leftovers_t leftovers = {.items = NULL};
    if (opaque->tree == NULL) {
        raise_lost();
    } else {
        o = ot_tree_attach(home->interp, &opaque->tree);
    }
    if (o != NULL && put_copy_back(home, opaque, o, &leftovers) < 0) {
        Py_CLEAR(o);
    }
    (void)ot_lock_release(opaque->lock);
    if (leftovers.items != NULL) {
        settle(&leftovers);
    }
    return o;
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
        return copy_opaque(home, v->u.opaque);
    default:
        return ot_value_scalar(v);
    }
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
    } else if (v->u.opaque->tree == NULL) {
        raise_lost();
        return NULL;
    } else {
        o = ot_tree_attach(home->interp, &v->u.opaque->tree);
        if (o != NULL) {
            free_opaque(v->u.opaque);
        }
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
