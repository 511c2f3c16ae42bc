/* deque.c: the row for collections.deque. Side blocks: the chain that the items lie in, and the
 * blocks kept for reuse.
 *
 * Main invariant: a deque that somebody may look at has a block, also when it is empty. A shell
 * therefore brings a spare one along, for the deque that loses its own.
 * Threading: see kinds.h.
 */
#include "tunnel/kinds.h"

#include "runtime/cpython/stdlib.h"

enum { MIDDLE = (OT_DEQUE_BLOCK - 1) / 2 };

static bool
blocks_are_home(const ot_deque_t *d)
{
    for (Py_ssize_t i = 0; i < d->n_free; i++) {
        if (!ot_heap_owns(d->free[i])) {
            return false;
        }
    }
    const ot_deque_block_t *b = d->first;
    for (; b != d->last; b = b->right) {
        if (!ot_heap_owns(b)) {
            return false;
        }
    }
    return b == NULL || ot_heap_owns(b);
}

static ot_inspection_t
deque_inspect(PyObject *o)
{
    ot_deque_t *d = (ot_deque_t *)o;
    if (d->weakreflist != NULL) {
        return OT_PINNED;
    }
    return ot_heap_owns(o) && blocks_are_home(d) ? OT_MOVABLE : OT_REHOME;
}

/* Calls fn(context, slot) for each item; stops at a result < 0 and returns it. */
OT_ALWAYS_INLINE int
each_item(ot_deque_t *d, int (*fn)(void *, PyObject **), void *context)
{
    ot_deque_block_t *b = d->first;
    Py_ssize_t at = d->first_index;
    for (Py_ssize_t left = Py_SIZE(d); left > 0; left--, at++) {
        if (at == OT_DEQUE_BLOCK) {
            b = b->right;
            at = 0;
        }
        if (fn(context, &b->item[at]) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
visit_item(void *visitor, PyObject **slot)
{
    return ot_visit_edge(visitor, slot);
}

static int
deque_visit(PyObject *o, ot_visitor_t *v)
{
    return each_item((ot_deque_t *)o, visit_item, v);
}

/* ---- chains ------------------------------------------------------------------------------- */

static void
free_chain(ot_deque_block_t *first, ot_deque_block_t *last)
{
    while (first != NULL) {
        ot_deque_block_t *next = first == last ? NULL : first->right;
        PyMem_Free(first);
        first = next;
    }
}

/* A chain as long as d's. 0, or -1 without an exception. */
static int
new_chain(const ot_deque_t *d, ot_deque_block_t **first, ot_deque_block_t **last)
{
    *first = *last = NULL;
    for (const ot_deque_block_t *b = d->first;; b = b->right) {
        ot_deque_block_t *fresh = PyMem_Malloc(sizeof *fresh);
        if (fresh == NULL) {
            free_chain(*first, *last);
            return -1;
        }
        fresh->left = *last;
        fresh->right = NULL;
        *(*last == NULL ? first : &(*last)->right) = fresh;
        *last = fresh;
        if (b == d->last) {
            return 0;
        }
    }
}

static void
make_empty(ot_deque_t *d, ot_deque_block_t *block)
{
    block->left = block->right = NULL;
    d->first = d->last = block;
    d->first_index = MIDDLE + 1;
    d->last_index = MIDDLE;
    Py_SET_SIZE(d, 0);
}

/* An untracked deque of o's type and maxlen around a chain: as many items, at the same places. */
static ot_deque_t *
bare_deque(const ot_deque_t *from, ot_deque_block_t *first, ot_deque_block_t *last)
{
    ot_deque_t *d = (ot_deque_t *)ot_py_new_container(Py_TYPE(from), 0);
    if (d != NULL) {
        d->first = first;
        d->last = last;
        d->first_index = from->first_index;
        d->last_index = from->last_index;
        d->maxlen = from->maxlen;
        Py_SET_SIZE(d, Py_SIZE(from));
    }
    return d;
}

/* ---- shells and copies --------------------------------------------------------------------- */

static void
list_items(const ot_deque_t *to, const ot_deque_t *from)
{
    ot_deque_block_t *b = to->first;
    for (const ot_deque_block_t *old = from->first;; old = old->right, b = b->right) {
        memcpy(b->item, old->item, sizeof b->item);
        if (old == from->last) {
            return;
        }
    }
}

static PyObject *
deque_shell(PyObject *o)
{
    ot_deque_t *from = (ot_deque_t *)o, *shell = NULL;
    ot_deque_block_t *first = from->first, *last = from->last, *spare = PyMem_Malloc(sizeof *spare);
    bool share = blocks_are_home(from);
    if (spare == NULL || (!share && new_chain(from, &first, &last) < 0)) {
        PyMem_Free(spare);
        return PyErr_NoMemory();
    }
    shell = bare_deque(from, first, last);
    if (shell == NULL) {
        PyMem_Free(spare);
        if (!share) {
            free_chain(first, last);
        }
        return NULL;
    }
    shell->free[shell->n_free++] = spare;
    if (!share) {
        list_items(shell, from);
    }
    return (PyObject *)shell;
}

static void
deque_disown(PyObject *loser, PyObject *winner)
{
    ot_deque_t *d = (ot_deque_t *)loser, *w = (ot_deque_t *)winner;
    d->state++;
    if (d->first != w->first) {
        if (d->first != d->last) {
            free_chain(d->first->right, d->last);
        }
        make_empty(d, d->first);
        return;
    }
    ot_deque_t *keeper = d->n_free > 0 ? d : w; /* the shell has one, whichever of the two it is */
    make_empty(d, keeper->free[--keeper->n_free]);
}

/* deque_dealloc does not look for NULL: None stands for what is not filled in yet. */
static PyObject *
deque_clone(PyObject *o)
{
    ot_deque_t *from = (ot_deque_t *)o;
    ot_deque_block_t *first, *last;
    if (new_chain(from, &first, &last) < 0) {
        return PyErr_NoMemory();
    }
    ot_deque_t *d = bare_deque(from, first, last);
    if (d == NULL) {
        free_chain(first, last);
        return NULL;
    }
    for (ot_deque_block_t *b = first; b != NULL; b = b->right) {
        for (int i = 0; i < OT_DEQUE_BLOCK; i++) {
            b->item[i] = Py_None;
        }
    }
    return (PyObject *)d;
}

typedef struct {
    ot_copier_t *copier;
    ot_deque_block_t *block; /* of the copy: where the next item goes */
    Py_ssize_t at;
} filling_t;

static int
fill_item(void *filling, PyObject **from)
{
    filling_t *f = filling;
    if (f->at == OT_DEQUE_BLOCK) {
        f->block = f->block->right;
        f->at = 0;
    }
    PyObject **to = &f->block->item[f->at++];
    PyObject *copy = f->copier->copy(f->copier, *from, to);
    if (copy == NULL) {
        return -1;
    }
    *to = copy;
    return 0;
}

static int
deque_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    ot_deque_t *to = (ot_deque_t *)clone;
    filling_t filling = {c, to->first, to->first_index};
    return each_item((ot_deque_t *)o, fill_item, &filling);
}

static int
deque_clear(PyObject *o)
{
    PyObject *none = PyObject_CallMethod(o, "clear", NULL);
    Py_XDECREF(none);
    return none == NULL ? -1 : 0;
}

/* ---- the layout ---------------------------------------------------------------------------- */

static bool
looks_right(PyTypeObject *type, PyObject *o, PyObject *items)
{
    ot_deque_t *d = (ot_deque_t *)o;
    return type->tp_basicsize == sizeof(ot_deque_t) &&
           type->tp_weaklistoffset == offsetof(ot_deque_t, weakreflist) && Py_SIZE(d) == 100 &&
           d->maxlen == 100 && d->weakreflist == NULL && d->first != d->last &&
           d->first->right == d->last && d->last->left == d->first && d->n_free == 1 &&
           d->first_index + 99 == d->last_index + OT_DEQUE_BLOCK &&
           d->first->item[d->first_index] == PyTuple_GET_ITEM(items, 140) &&
           d->last->item[d->last_index] == PyTuple_GET_ITEM(items, 239);
}

/* Looks at a deque that was given 240 items and keeps the last 100: such a deque has put an
 * emptied block aside for reuse. */
static int
deque_check(PyTypeObject *type)
{
    PyObject *items = PyTuple_New(240), *o = NULL;
    for (Py_ssize_t i = 0; items != NULL && i < 240; i++) {
        PyObject *item = PyLong_FromSsize_t(i);
        if (item == NULL) {
            Py_CLEAR(items);
        } else {
            PyTuple_SET_ITEM(items, i, item);
        }
    }
    if (items != NULL) {
        o = PyObject_CallFunction((PyObject *)type, "Oi", items, 100);
    }
    int good = o == NULL ? -1 : looks_right(type, o, items);
    Py_XDECREF(o);
    Py_XDECREF(items);
    return good;
}

const ot_kind_t ot_kind_deque = {
    .name = "deque",
    .emptiable = true,
    .subclassable = true,
    .keeps_hash = true,
    .inspect = deque_inspect,
    .visit = deque_visit,
    .shell = deque_shell,
    .disown = deque_disown,
    .clone = deque_clone,
    .fill = deque_fill,
    .clear = deque_clear,
};

OT_C_TYPE(deque, "collections.deque", &ot_kind_deque, deque_check);
