/* rehash.c: see rehash.h.
 *
 * First the containers are put in order, which runs no Python code: those that a key's hash may
 * depend on come before what holds the key. What lies below the keys is gone over depth-first, on an
 * explicit stack; a container comes when all below it has come. Then each is filled anew from its own
 * elements, once, and swaps what it holds with the new one: identity stays. So the work is bounded
 * whatever __hash__ does. Where containers hold each other as keys, whichever was met first comes
 * last.
 *
 * Main invariant: between the two parts the order owns references to its containers, so that Python
 * code may change the tree, or drop parts of it.
 * Threading: the receiver's GIL; the tree is nobody else's yet.
 */
#include "tunnel/rehash.h"

#include "runtime/worker.h"
#include "tunnel/kinds.h"

/* ---- the order ------------------------------------------------------------------------------- */

enum {
    MARKED = 1,  /* is to be rehashed */
    PLACED = 2,  /* what its hashes may depend on was gone over */
    ENTERED = 4, /* all that it refers to was, or will be when the stack is empty */
};

/* Bits of pointers on the stack. */
enum {
    LEAVING = 1,  /* all below it has come */
    KEYS_ONLY = 2 /* only its keys are looked into: nobody asked for its values */
};

typedef struct {
    ot_visitor_t visitor;    /* first: the callbacks find the order by it */
    ot_ptrmap_t known;       /* object -> the first enum's bits */
    OT_VEC(uintptr_t) stack; /* borrowed: nothing changes meanwhile */
    OT_VEC(PyObject *) list; /* owned: what is to be rehashed, in order */
} order_t;

static int
no_memory(void)
{
    PyErr_NoMemory();
    return -1;
}

static int
push(order_t *order, PyObject *o, uintptr_t bits)
{
    return ot_vec_push(&order->stack, (uintptr_t)o | bits) < 0 ? no_memory() : 0;
}

/* Whether a hash may depend on what o refers to. */
static bool
is_of_interest(PyObject *o)
{
    const ot_kind_t *kind = ot_is_process_static(o) ? NULL : ot_kind_at_hand(Py_TYPE(o));
    return kind != NULL && !kind->leaf;
}

static int
push_edge(ot_visitor_t *v, PyObject **slot)
{
    return is_of_interest(*slot) ? push((order_t *)v, *slot, 0) : 0;
}

static int
ignore_key(ot_visitor_t *v, PyObject *key, Py_ssize_t i)
{
    (void)v;
    (void)key;
    (void)i;
    return 0;
}

/* The bits of o, which is added if need be; NULL with MemoryError. Good until the next one. */
static uint32_t *
bits_of(order_t *order, PyObject *o)
{
    uint32_t *bits = ot_ptrmap_get(&order->known, o);
    if (bits == NULL) {
        if (ot_ptrmap_add(&order->known, o, 0) < 0) {
            PyErr_NoMemory();
            return NULL;
        }
        bits = ot_ptrmap_get(&order->known, o);
    }
    return bits;
}

static int
push_keys(order_t *order, PyObject *dict)
{
    ot_keys_t *keys = ot_dict_keys(dict);
    for (Py_ssize_t i = 0, n = ot_keys_count(keys); i < n; i++) {
        PyObject **key, **value;
        ot_keys_entry(keys, i, &key, &value);
        if (*value != NULL && is_of_interest(*key) && push(order, *key, 0) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
leave(order_t *order, PyObject *o, uint32_t *bits)
{
    bool first = (*bits & (MARKED | PLACED)) == MARKED;
    *bits |= PLACED;
    if (!first) {
        return 0;
    }
    if (ot_vec_push(&order->list, o) < 0) {
        return no_memory();
    }
    Py_INCREF(o);
    return 0;
}

/* Takes the top of the stack. A tuple that is visited forgets its hash, as does a frozenset. */
static int
step(order_t *order)
{
    uintptr_t item = order->stack.items[--order->stack.len];
    PyObject *o = (PyObject *)(item & ~(uintptr_t)(LEAVING | KEYS_ONLY));
    uint32_t *bits = bits_of(order, o);
    if (bits == NULL) {
        return -1;
    }
    if (item & LEAVING) {
        return leave(order, o, bits);
    }
    bool keys_only = item & KEYS_ONLY && PyDict_Check(o);
    if (*bits & (keys_only ? ENTERED | PLACED : ENTERED)) {
        return 0;
    }
    *bits |= keys_only ? 0 : ENTERED;
    if (push(order, o, LEAVING) < 0) {
        return -1;
    }
    return keys_only                                                    ? push_keys(order, o)
           : ot_kind_at_hand(Py_TYPE(o))->visit(o, &order->visitor) < 0 ? -1
                                                                        : 0;
}

/* Takes note of what is to be rehashed, and of what is not to be looked into. */
static int
mark(order_t *order, const ot_tree_t *tree, PyObject *rebuilt)
{
    for (size_t i = 0; i < tree->containers.len; i++) {
        uintptr_t item = tree->containers.items[i];
        uint32_t *bits = item & OT_NEEDS_REHASH ? bits_of(order, ot_untag(item)) : NULL;
        if (bits != NULL) {
            *bits |= MARKED;
        } else if (item & OT_NEEDS_REHASH) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; rebuilt != NULL && i < PyList_GET_SIZE(rebuilt); i++) {
        uint32_t *bits = bits_of(order, PyList_GET_ITEM(rebuilt, i));
        if (bits == NULL) {
            return -1;
        }
        *bits |= ENTERED | PLACED;
    }
    return 0;
}

static int
put_in_order(order_t *order, const ot_tree_t *tree, PyObject *rebuilt)
{
    order->visitor = (ot_visitor_t){.edge = push_edge, .key = ignore_key};
    if (mark(order, tree, rebuilt) < 0) {
        return -1;
    }
    for (size_t i = 0; i < tree->containers.len; i++) {
        uintptr_t item = tree->containers.items[i];
        if (item & OT_NEEDS_REHASH && push(order, ot_untag(item), KEYS_ONLY) < 0) {
            return -1;
        }
        while (order->stack.len > 0) {
            if (step(order) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* ---- filling anew ---------------------------------------------------------------------------- */

/* Ctrl-C, and Interpreter.interrupt, end it: what hashes keys may be C code alone. */
static int
look_at_signals(size_t *keys)
{
    enum { NOW_AND_THEN = 1024 };
    return ++*keys % NOW_AND_THEN == 0 && (PyErr_CheckSignals() < 0 || ot_worker_check_interrupt())
               ? -1
               : 0;
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
refill_set(PyObject *o, size_t *keys)
{
    PyObject *fresh = PyFrozenSet_Check(o) ? PyFrozenSet_New(NULL) : PySet_New(NULL);
    PySetObject *so = (PySetObject *)o;
    for (Py_ssize_t i = 0; fresh != NULL && i <= so->mask; i++) {
        setentry *e = &so->table[i];
        if (e->key == NULL || e->hash == -1) {
            continue;
        }
        PyObject *key = Py_NewRef(e->key);
        if (look_at_signals(keys) < 0 || PySet_Add(fresh, key) < 0) {
            Py_CLEAR(fresh);
        }
        Py_DECREF(key);
    }
    return fresh;
}

static PyObject *
refill_odict(PyObject *o, size_t *keys)
{
    if (!ot_kind_odict.copies(o)) { /* its nodes do not lead to its entries */
        PyErr_SetString(PyExc_RuntimeError, "a received OrderedDict changed while it was rehashed");
        return NULL;
    }
    PyObject *items = ot_odict_items(o), *fresh = items == NULL ? NULL : PyODict_New();
    for (Py_ssize_t i = 0; fresh != NULL && i < PyList_GET_SIZE(items); i++) {
        PyObject *pair = PyList_GET_ITEM(items, i), *key = PyTuple_GET_ITEM(pair, 0);
        if (look_at_signals(keys) < 0 ||
            PyODict_SetItem(fresh, key, PyTuple_GET_ITEM(pair, 1)) < 0) {
            Py_CLEAR(fresh);
        }
    }
    Py_XDECREF(items);
    return fresh;
}

static PyObject *
refill_dict(PyObject *o, size_t *keys)
{
    PyObject *fresh = PyDict_New(), *key, *value;
    Py_ssize_t pos = 0;
    while (fresh != NULL && PyDict_Next(o, &pos, &key, &value)) {
        Py_INCREF(key);
        Py_INCREF(value);
        if (look_at_signals(keys) < 0 || PyDict_SetItem(fresh, key, value) < 0) {
            Py_CLEAR(fresh);
        }
        Py_DECREF(key);
        Py_DECREF(value);
    }
    return fresh;
}

static int
rehash_one(PyObject *o, size_t *keys)
{
    bool ordered = PyODict_Check(o), is_dict = PyDict_Check(o);
    PyObject *fresh = ordered   ? refill_odict(o, keys)
                      : is_dict ? refill_dict(o, keys)
                                : refill_set(o, keys);
    if (fresh == NULL) {
        return -1;
    }
    if (is_dict) {
        (ordered ? ot_odict_swap : ot_dict_swap)(o, fresh);
    } else {
        swap_sets((PySetObject *)o, (PySetObject *)fresh);
        ((PySetObject *)o)->hash = -1;
    }
    Py_DECREF(fresh);
    return 0;
}

int
ot_rehash(const ot_tree_t *tree, PyObject *rebuilt)
{
    order_t order = {.stack = {0}};
    size_t keys = 0;
    int rc = put_in_order(&order, tree, rebuilt);
    ot_vec_free(&order.stack);
    ot_ptrmap_free(&order.known);
    for (size_t i = 0; rc == 0 && i < order.list.len; i++) {
        rc = rehash_one(order.list.items[i], &keys);
    }
    while (order.list.len > 0) {
        Py_DECREF(order.list.items[--order.list.len]);
    }
    ot_vec_free(&order.list);
    return rc;
}
