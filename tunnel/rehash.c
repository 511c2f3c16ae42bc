/* rehash.c: see rehash.h.
 *
 * A container is filled anew from its own elements, then the two swap what they hold: identity
 * stays. Frozensets may be nested in each other through tuples, in any order of sharing; a
 * pass that changes some hash may make another one stale, so passes repeat until none changes
 * (at most once per level of nesting).
 *
 * Threading: the receiver's GIL; the tree is nobody else's yet.
 */
#include "tunnel/rehash.h"

#include "tunnel/kinds.h"

/* Forgets the cached hashes of tuples on the way to an element. */
static int
forget_hashes(PyObject *key)
{
    if (!PyTuple_Check(key)) {
        return 0;
    }
    if (Py_EnterRecursiveCall(" while rehashing a received tuple")) {
        return -1;
    }
    ot_tuple_forget_hash(key);
    int rc = 0;
    for (Py_ssize_t i = 0; rc == 0 && i < PyTuple_GET_SIZE(key); i++) {
        rc = forget_hashes(PyTuple_GET_ITEM(key, i));
    }
    Py_LeaveRecursiveCall();
    return rc;
}

/* Swaps tables; the embedded ones by value. Python's set_swap_bodies does the same. */
static void
swap_sets(PySetObject *a, PySetObject *b)
{
    bool a_inside = a->table == a->smalltable, b_inside = b->table == b->smalltable;
    PySetObject t = *a;
    a->fill = b->fill;
    a->used = b->used;
    a->mask = b->mask;
    a->finger = b->finger;
    a->table = b_inside ? a->smalltable : b->table;
    memcpy(a->smalltable, b->smalltable, sizeof a->smalltable);
    b->fill = t.fill;
    b->used = t.used;
    b->mask = t.mask;
    b->finger = t.finger;
    b->table = a_inside ? b->smalltable : t.table;
    memcpy(b->smalltable, t.smalltable, sizeof b->smalltable);
}

static PyObject *
refill_set(PyObject *o)
{
    PyObject *fresh = PyFrozenSet_Check(o) ? PyFrozenSet_New(NULL) : PySet_New(NULL);
    PySetObject *so = (PySetObject *)o;
    for (Py_ssize_t i = 0; fresh != NULL && i <= so->mask; i++) {
        setentry *e = &so->table[i];
        if (e->key == NULL || e->hash == -1) {
            continue;
        }
        PyObject *key = Py_NewRef(e->key);
        if (forget_hashes(key) < 0 || PySet_Add(fresh, key) < 0) {
            Py_CLEAR(fresh);
        }
        Py_DECREF(key);
    }
    return fresh;
}

static PyObject *
refill_odict(PyObject *o)
{
    PyObject *items = ot_odict_items(o), *fresh = items == NULL ? NULL : PyODict_New();
    for (Py_ssize_t i = 0; fresh != NULL && i < PyList_GET_SIZE(items); i++) {
        PyObject *pair = PyList_GET_ITEM(items, i), *key = PyTuple_GET_ITEM(pair, 0);
        if (forget_hashes(key) < 0 || PyODict_SetItem(fresh, key, PyTuple_GET_ITEM(pair, 1)) < 0) {
            Py_CLEAR(fresh);
        }
    }
    Py_XDECREF(items);
    return fresh;
}

static PyObject *
refill_dict(PyObject *o)
{
    PyObject *fresh = PyDict_New(), *key, *value;
    Py_ssize_t pos = 0;
    while (fresh != NULL && PyDict_Next(o, &pos, &key, &value)) {
        Py_INCREF(key);
        Py_INCREF(value);
        if (forget_hashes(key) < 0 || PyDict_SetItem(fresh, key, value) < 0) {
            Py_CLEAR(fresh);
        }
        Py_DECREF(key);
        Py_DECREF(value);
    }
    return fresh;
}

/* 1 if a hash that others may depend on has changed, 0 if not, -1 on error. */
static int
rehash_one(PyObject *o)
{
    if (PyDict_Check(o)) {
        bool ordered = PyODict_Check(o);
        PyObject *fresh = ordered ? refill_odict(o) : refill_dict(o);
        if (fresh == NULL) {
            return -1;
        }
        (ordered ? ot_odict_swap : ot_dict_swap)(o, fresh);
        Py_DECREF(fresh);
        return 0; /* nobody hashes a dict */
    }
    Py_hash_t before = 0;
    bool frozen = PyFrozenSet_Check(o);
    if (frozen && (before = PyObject_Hash(o)) == -1) {
        return -1;
    }
    PyObject *fresh = refill_set(o);
    if (fresh == NULL) {
        return -1;
    }
    swap_sets((PySetObject *)o, (PySetObject *)fresh);
    Py_DECREF(fresh);
    ((PySetObject *)o)->hash = -1;
    return frozen && PyObject_Hash(o) != before;
}

int
ot_rehash(const ot_tree_t *tree)
{
    bool changed = true;
    while (changed) {
        changed = false;
        for (size_t i = 0; i < tree->containers.len; i++) { /* inner ones mostly come first */
            uintptr_t item = tree->containers.items[i];
            if (!(item & OT_NEEDS_REHASH)) {
                continue;
            }
            int rc = rehash_one(ot_untag(item));
            if (rc < 0) {
                return -1;
            }
            changed |= rc > 0;
        }
    }
    return 0;
}
