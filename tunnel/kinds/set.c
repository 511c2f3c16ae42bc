/* set.c: the row for set and frozenset. Side block: the table, once it outgrows the eight
 * entries in the object itself.
 */
#include "tunnel/kinds.h"

static bool
in_object(PySetObject *so)
{
    return so->table == so->smalltable;
}

/* Unused slots have no key, dummies (deleted) have hash -1, which no element has. */
static bool
is_live(const setentry *e)
{
    return e->key != NULL && e->hash != -1;
}

static ot_inspection_t
set_inspect(PyObject *o)
{
    PySetObject *so = (PySetObject *)o;
    if (so->weakreflist != NULL) {
        return OT_PINNED;
    }
    return ot_heap_owns(o) && (in_object(so) || ot_heap_owns(so->table)) ? OT_MOVABLE : OT_REHOME;
}

static int
set_visit(PyObject *o, ot_visitor_t *v)
{
    PySetObject *so = (PySetObject *)o;
    Py_ssize_t leaves = 0;
    int needs = 0;
    for (Py_ssize_t i = 0; i <= so->mask; i++) {
        setentry *e = &so->table[i];
        if (!is_live(e)) {
            continue;
        }
        needs |= ot_key_is_composite(e->key) ? OT_NEEDS_REHASH : 0;
        if (ot_is_exclusive_leaf(e->key)) {
            leaves++;
        } else if (v->edge(v, &e->key) < 0) {
            return -1;
        }
    }
    v->leaves += (size_t)leaves;
    if (leaves != so->used) {
        so->hash = -1; /* an element may be replaced; a cache, so always right to drop */
    }
    return needs;
}

/* An untracked empty set or frozenset with room for `mask` + 1 entries, all unused. */
static PySetObject *
bare_set(PyTypeObject *type, Py_ssize_t mask)
{
    PySetObject *so = (PySetObject *)ot_py_new_container(type, 0);
    if (so == NULL) {
        return NULL;
    }
    memset((char *)so + sizeof(PyObject), 0, sizeof *so - sizeof(PyObject));
    so->table = so->smalltable;
    so->mask = PySet_MINSIZE - 1;
    so->hash = -1;
    if (mask >= PySet_MINSIZE) {
        setentry *table = PyMem_Calloc((size_t)mask + 1, sizeof *table);
        if (table == NULL) {
            ot_py_drop_unfinished((PyObject *)so);
            PyErr_NoMemory();
            return NULL;
        }
        so->table = table;
        so->mask = mask;
    }
    return so;
}

static PyObject *
set_shell(PyObject *o)
{
    PySetObject *old = (PySetObject *)o;
    bool share = !in_object(old) && ot_heap_owns(old->table);
    PySetObject *so = bare_set(Py_TYPE(o), share ? 0 : old->mask);
    if (so == NULL) {
        return NULL;
    }
    if (share) {
        so->table = old->table;
        so->mask = old->mask;
    } else {
        memcpy(so->table, old->table, ((size_t)old->mask + 1) * sizeof(setentry));
    }
    so->fill = old->fill;
    so->used = old->used;
    so->hash = old->hash;
    so->finger = old->finger;
    return (PyObject *)so;
}

static void
set_disown(PyObject *loser, PyObject *winner)
{
    PySetObject *so = (PySetObject *)loser;
    if (!in_object(so) && so->table != ((PySetObject *)winner)->table) {
        PyMem_Free(so->table);
    }
    memset(so->smalltable, 0, sizeof so->smalltable);
    so->table = so->smalltable;
    so->mask = PySet_MINSIZE - 1;
    so->fill = so->used = 0;
    so->hash = -1;
    so->finger = 0;
}

static PyObject *
set_clone(PyObject *o)
{
    PySetObject *old = (PySetObject *)o;
    return (PyObject *)bare_set(Py_TYPE(o), old->mask);
}

/* Entry by entry into the same places, dummies too, since probing goes through them; `used` and
 * `fill` follow what is there, for set_dealloc counts by them. */
static int
set_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    PySetObject *to = (PySetObject *)clone, *from = (PySetObject *)o;
    int needs = 0;
    for (Py_ssize_t i = 0; i <= from->mask; i++) {
        setentry *e = &from->table[i], *copy = &to->table[i];
        if (!is_live(e)) {
            *copy = *e; /* the dummy is static */
            to->fill += e->key != NULL;
            continue;
        }
        PyObject *key = c->copy(c, e->key, &copy->key);
        if (key == NULL) {
            return -1;
        }
        copy->key = key;
        copy->hash = e->hash;
        to->fill++;
        to->used++;
        needs |= ot_key_is_composite(e->key) ? OT_NEEDS_REHASH : 0;
    }
    return needs;
}

static int
set_clear(PyObject *o)
{
    return PySet_Clear(o);
}

/* The row for set and frozenset. A frozenset as root is taken over only if it is a temporary. */
const ot_kind_t ot_kind_set = {
    .name = "set",
    .subclassable = true,
    .emptiable = true,
    .inspect = set_inspect,
    .visit = set_visit,
    .shell = set_shell,
    .disown = set_disown,
    .clone = set_clone,
    .fill = set_fill,
    .clear = set_clear,
};
