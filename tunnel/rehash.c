/* rehash.c: see rehash.h.
 *
 * First the containers are put in order, which runs no Python code: those that a key's hash may
 * depend on come before what holds the key. What lies below the keys is gone over depth-first, on an
 * explicit stack; a container comes when all below it has come. Then each is filled anew from its own
 * elements, once, and swaps what it holds with the new one: identity stays. So the work is bounded
 * whatever __hash__ does.
 *
 * What a hash depends on: hash() of an object that hashes by its address depends on nothing; that of
 * a tuple or frozenset on its elements' hashes, not on a subclass's attributes. A __hash__ in Python
 * may ask for all that its object reaches. Then containers may seem to depend on each other, as a
 * dict and the frozenset that is its key and has an element that refers to the dict. Of those, the
 * frozensets come first: they alone hash by the hashes in their tables. A frozenset comes after those
 * that it reaches by way of hashable objects, and after its elements in any case. A limit: where such
 * a way leads back through an object with a __hash__ in Python, which does not ask for all of it, the
 * order is a guess.
 *
 * Main invariant: between the two parts the order owns references to its containers, so that Python
 * code may change the tree, or drop parts of it.
 * Threading: the receiver's GIL; the tree is nobody else's yet.
 */
#include "tunnel/rehash.h"

#include "runtime/worker.h"
#include "tunnel/kinds.h"

/* ---- the order ------------------------------------------------------------------------------- */

/* What is known of an object. */
enum {
    MARKED = 1,  /* is to be rehashed, and not listed yet */
    SHALLOW = 2, /* entered for the hashes of its elements or keys */
    DEEP = 4,    /* entered for all that it refers to */
    DONE = 8,    /* its group is complete */
    NESTED = 16, /* the elements of its elements were gone over, too */
    NUMBER = 32, /* and above: when it was entered, from 1 on; 0 if it was not */
};

/* Bits of pointers on the stack. */
enum {
    LEAVING = 1,    /* all below it has come */
    SHALLOWLY = 2,  /* nobody asked for more than its elements' or keys' hashes */
    STACK_BITS = 3, /* objects are 8-aligned */
};

/* Objects that seem to depend on each other are a group (a strongly connected component). Groups are
 * found in one go, by Gabow's algorithm: the path is what led to the object that is looked at, and
 * each group on it is one entry. */
typedef struct {
    uint32_t number; /* of its object that was entered first, as NUMBER says */
    size_t first;    /* from here on, those in `waiting` are of this group, or of one behind it */
} group_t;

typedef struct {
    ot_visitor_t visitor;       /* first: the callbacks find the order by it */
    ot_ptrmap_t known;          /* object -> the first enum's bits */
    OT_VEC(uintptr_t) stack;    /* borrowed: nothing changes meanwhile */
    OT_VEC(group_t) path;       /* by number, ascending */
    OT_VEC(PyObject *) waiting; /* borrowed: left, but their group is not complete; in order */
    OT_VEC(PyObject *) list;    /* owned: what is to be rehashed, in order */
    uint32_t last;              /* the last number given */
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

/* Whether hash(o) asks for its elements only. */
static bool
hashes_by_elements(PyObject *o)
{
    hashfunc hash = Py_TYPE(o)->tp_hash;
    return hash == PyTuple_Type.tp_hash || hash == PyFrozenSet_Type.tp_hash;
}

/* The callback for a key, or an element of one: pushes it unless its hash depends on nothing in the tree. */
static int
push_hashed(ot_visitor_t *v, PyObject **slot)
{
    bool by_address = Py_TYPE(*slot)->tp_hash == PyBaseObject_Type.tp_hash;
    return !by_address && is_of_interest(*slot)
               ? push((order_t *)v, *slot, hashes_by_elements(*slot) ? SHALLOWLY : 0)
               : 0;
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
        if (*value != NULL && push_hashed(&order->visitor, key) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Calls edge for what o refers to; shallow: but not from a subclass's attributes. A tuple that is visited
 * forgets its hash, as does a frozenset. */
static int
visit(order_t *order, PyObject *o, bool shallow, ot_edge_fn edge)
{
    const ot_kind_t *kind = !shallow            ? ot_kind_at_hand(Py_TYPE(o))
                            : PyAnySet_Check(o) ? &ot_kind_set
                                                : &ot_kind_tuple;
    order->visitor.edge = edge;
    return kind->visit(o, &order->visitor) < 0 ? -1 : 0;
}

static int
enter(order_t *order, PyObject *o, uint32_t *bits)
{
    enum { LAST = UINT32_MAX / NUMBER };
    group_t group = {.number = ++order->last, .first = order->waiting.len};
    if (group.number == LAST || ot_vec_push(&order->path, group) < 0) {
        return no_memory();
    }
    *bits |= group.number * NUMBER;
    return push(order, o, LEAVING);
}

/* The path has come back to the object with this number: all objects that it has passed since belong to that object's group. */
static void
close_cycle(order_t *order, uint32_t number)
{
    while (order->path.items[order->path.len - 1].number > number) {
        order->path.len--;
    }
}

/* Lists o if it is marked. */
static int
list(order_t *order, PyObject *o, uint32_t *bits)
{
    *bits |= DONE;
    if (!(*bits & MARKED)) {
        return 0;
    }
    *bits &= ~(uint32_t)MARKED;
    if (ot_vec_push(&order->list, o) < 0) {
        return no_memory();
    }
    Py_INCREF(o);
    return 0;
}

/* The callback for what a hash most likely asks for: pushes what can be hashed itself, unless by its address. */
static int
push_hashable(ot_visitor_t *v, PyObject **slot)
{
    hashfunc hash = Py_TYPE(*slot)->tp_hash;
    return hash == PyObject_HashNotImplemented || hash == PyBaseObject_Type.tp_hash
               ? 0
               : push_edge(v, slot);
}

/* The callback for a typed place, which holds an instance's dict: pushes the dict, whose values a __hash__ may ask for. */
static int
push_typed(ot_visitor_t *v, PyObject **slot, ot_slot_t what)
{
    (void)what;
    return push_edge(v, slot);
}

/* The callback for elements of elements: pushes a tuple or frozenset, whose hash surely asks for its elements' hashes. */
static int
push_nested(ot_visitor_t *v, PyObject **slot)
{
    return hashes_by_elements(*slot) ? push_edge(v, slot) : 0;
}

/* Lists o, whose group is being listed, after what edge leads to below it. What was gone over has the
 * bit `seen`. */
static int
list_from_below(order_t *order, PyObject *o, uint32_t seen, ot_edge_fn edge)
{
    size_t bottom = order->stack.len;
    int rc = push(order, o, 0);
    while (rc == 0 && order->stack.len > bottom) {
        uintptr_t item = order->stack.items[--order->stack.len];
        o = (PyObject *)(item & ~(uintptr_t)STACK_BITS);
        uint32_t *bits = ot_ptrmap_get(&order->known, o);
        if (item & LEAVING) {
            rc = seen != NESTED && PyFrozenSet_Check(o)
                     ? list_from_below(order, o, NESTED, push_nested)
                     : list(order, o, bits);
        } else if (bits != NULL && !(*bits & seen)) {
            *bits |= seen;
            rc = push(order, o, LEAVING);
            rc = rc < 0 ? rc : visit(order, o, hashes_by_elements(o), edge);
        }
    }
    return rc;
}

/* Lists what is waiting from `first` on: a group. */
static int
list_group(order_t *order, size_t first)
{
    order->visitor.typed = push_typed;
    for (size_t i = first; i < order->waiting.len; i++) {
        PyObject *o = order->waiting.items[i];
        if (PyFrozenSet_Check(o) && list_from_below(order, o, DONE, push_hashable) < 0) {
            return -1;
        }
    }
    order->visitor.typed = NULL;
    for (size_t i = first; i < order->waiting.len; i++) {
        PyObject *o = order->waiting.items[i];
        if (list(order, o, ot_ptrmap_get(&order->known, o)) < 0) {
            return -1;
        }
    }
    order->waiting.len = first;
    return 0;
}

static int
leave(order_t *order, PyObject *o, uint32_t *bits)
{
    group_t group = order->path.items[order->path.len - 1];
    bool complete = group.number == *bits / NUMBER;
    order->path.len -= complete;
    if (complete && group.first == order->waiting.len) { /* nothing depends on each other */
        return list(order, o, bits);
    }
    if (ot_vec_push(&order->waiting, o) < 0) {
        return no_memory();
    }
    return complete ? list_group(order, group.first) : 0;
}

/* Takes the top of the stack. */
static int
step(order_t *order)
{
    uintptr_t item = order->stack.items[--order->stack.len];
    PyObject *o = (PyObject *)(item & ~(uintptr_t)STACK_BITS);
    uint32_t *bits = bits_of(order, o);
    if (bits == NULL) {
        return -1;
    }
    if (item & LEAVING) {
        return leave(order, o, bits);
    }
    bool shallow = item & SHALLOWLY, on_the_way = *bits >= NUMBER && !(*bits & DONE);
    if (on_the_way) {
        close_cycle(order, *bits / NUMBER);
    }
    if (*bits & (shallow ? SHALLOW | DEEP : DEEP)) {
        return 0;
    }
    if (!on_the_way) { /* for the first time; or again, to look deeper */
        *bits &= MARKED | SHALLOW | NESTED;
        if (enter(order, o, bits) < 0) {
            return -1;
        }
    }
    *bits |= shallow ? SHALLOW : DEEP;
    return shallow && ot_is_any_dict(o)
               ? push_keys(order, o)
               : visit(order, o, shallow, shallow ? push_hashed : push_edge);
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
        *bits |= SHALLOW | DEEP | DONE;
    }
    return 0;
}

static int
put_in_order(order_t *order, const ot_tree_t *tree, PyObject *rebuilt)
{
    order->visitor = (ot_visitor_t){.edge = push_edge, .key = ot_ignore_key};
    if (mark(order, tree, rebuilt) < 0) {
        return -1;
    }
    for (size_t i = 0; i < tree->containers.len; i++) {
        uintptr_t item = tree->containers.items[i];
        if (item & OT_NEEDS_REHASH && push(order, ot_untag(item), SHALLOWLY) < 0) {
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
    bool ordered = PyODict_Check(o), is_dict = ot_is_any_dict(o);
    PyObject *fresh = ordered   ? refill_odict(o, keys)
                      : is_dict ? refill_dict(o, keys)
                                : refill_set(o, keys);
    if (fresh == NULL) {
        return -1;
    }
    if (is_dict) {
        (ordered ? ot_odict_swap : ot_dict_swap)(o, fresh);
        if (ot_is_frozendict(o)) {
            ot_frozendict_forget_hash(o);
        }
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
    ot_vec_free(&order.path);
    ot_vec_free(&order.waiting);
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
