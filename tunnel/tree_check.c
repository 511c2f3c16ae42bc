/* tree_check.c: what must hold of a tree, as code (see tree.h).
 *
 * Purpose: ot_tree_check looks at a tree that has just arrived, ot_tree_digest at one at rest. Both go over
 * it as the walk of a send does, by the rows' visit.
 * Main invariant: nothing is changed but the caches that a walk drops; memory comes from the C library,
 * so that tests in which an allocation fails are not told of these.
 * Threading: the caller is alone with the tree.
 */
#include "runtime/checks.h"
#include "runtime/cpython/instance.h"
#include "tunnel/kinds.h"
#include "tunnel/tree.h"

/* An object that the walk met, and by how many references. */
typedef struct {
    PyObject *o;
    Py_ssize_t edges;
    bool opaque; /* of the receiver's own: not looked into */
} met_t;

/* Invariant: met[0..len) in the order in which they were met; table has room for twice as many places,
 * each 0 or an index + 1 into met. */
typedef struct {
    ot_visitor_t visitor; /* first: the callbacks find the walk by it */
    const ot_tree_t *tree;
    met_t *met;
    size_t len, cap;
    size_t *table;
    bool no_memory;
    bool
        partial; /* something is of a type that we have no row for: its references are not counted */
} walk_t;

static size_t *
place_of(const walk_t *w, const PyObject *o)
{
    size_t mask = 2 * w->cap - 1,
           i = (size_t)((uintptr_t)o >> 4) * 0x9E3779B97F4A7C15u >> 20 & mask;
    while (w->table[i] != 0 && w->met[w->table[i] - 1].o != o) {
        i = (i + 1) & mask;
    }
    return &w->table[i];
}

static bool
grow(walk_t *w)
{
    size_t cap = w->cap == 0 ? 64 : 2 * w->cap;
    met_t *met = realloc(w->met, cap * sizeof *met);
    if (met != NULL) {
        w->met = met;
    }
    size_t *table = calloc(2 * cap, sizeof *table);
    if (met == NULL || table == NULL) {
        free(table);
        w->no_memory = true;
        return false;
    }
    free(w->table);
    w->table = table;
    w->cap = cap;
    for (size_t i = 0; i < w->len; i++) {
        *place_of(w, w->met[i].o) = i + 1;
    }
    return true;
}

/* The record of o, new ones with no edges; NULL without memory. */
static met_t *
meet(walk_t *w, PyObject *o)
{
    if (w->len == w->cap && !grow(w)) {
        return NULL;
    }
    size_t *place = place_of(w, o);
    if (*place == 0) {
        w->met[w->len] = (met_t){.o = o};
        *place = ++w->len;
    }
    return &w->met[*place - 1];
}

static int
count_edge(ot_visitor_t *v, PyObject **slot)
{
    if (ot_is_process_static(*slot) || ot_is_module_static(*slot)) {
        return 0;
    }
    met_t *met = meet((walk_t *)v, *slot);
    if (met == NULL) {
        return -1;
    }
    met->edges++;
    return 0;
}

static int
count_key(ot_visitor_t *v, PyObject *key, Py_ssize_t i)
{
    (void)i;
    return count_edge(v, &key);
}

/* The row that an object of the tree follows: a static type's, or that of one of the message's classes. */
static const ot_kind_t *
kind_of(const walk_t *w, PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    const ot_kind_t *kind = ot_kind_static(type);
    const ot_tree_t *tree = w->tree;
    for (size_t i = 0; kind == NULL && tree != NULL && !tree->bare && i < tree->classes.len; i++) {
        const ot_tree_class_t *c = &tree->classes.items[i];
        PyTypeObject *there = c->type;
        if (c->instances.len > 0) {
            there = Py_TYPE((PyObject *)(c->instances.items[0] & ~(uintptr_t)OT_IS_COPY));
        }
        kind = there == type ? c->kind : NULL;
    }
    return kind;
}

/* Goes over all that the root reaches. False without memory. */
static bool
go_over(walk_t *w, PyObject *root)
{
    w->visitor = (ot_visitor_t){.edge = count_edge, .key = count_key};
    if (count_edge(&w->visitor, &root) < 0) {
        return false;
    }
    for (size_t i = 0; i < w->len; i++) {
        PyObject *o = w->met[i].o;
        const ot_kind_t *kind = w->met[i].opaque ? NULL : kind_of(w, o);
        w->partial |= kind == NULL && !w->met[i].opaque;
        if (kind != NULL && !kind->leaf && kind->visit(o, &w->visitor) < 0) {
            return false;
        }
    }
    return !w->no_memory;
}

static void
end_walk(walk_t *w)
{
    free(w->met);
    free(w->table);
}

/* ---- a tree that has arrived ------------------------------------------------------------------- */

static void
check_met(const walk_t *w, const met_t *met)
{
    PyObject *o = met->o;
    bool ours = !met->opaque && !w->tree->shares;
    bool interned = PyUnicode_CheckExact(o) && ot_str_interned(o);
    OT_MUST(Py_REFCNT(o) >= met->edges);
    OT_MUST(!ours || interned || w->partial || Py_REFCNT(o) == met->edges);
    OT_MUST(!ours || interned || ot_heap_owns(o));
}

/* Meets what the receiver has put in. False without memory. */
static bool
meet_strangers(walk_t *w, PyObject *const *strangers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        met_t *met = strangers[i] == NULL ? NULL : meet(w, strangers[i]);
        if (met == NULL && strangers[i] != NULL) {
            return false;
        }
        if (met != NULL) {
            met->opaque = true;
        }
    }
    return true;
}

void
ot_tree_check(const ot_tree_t *tree, PyObject *unpickled, PyObject *const *handles, size_t n)
{
    walk_t w = {.tree = tree};
    bool good = meet_strangers(&w, handles, n);
    ot_gc_chain_check(&tree->tracked);
    if (good && unpickled != NULL) {
        good = meet_strangers(&w, ((PyListObject *)unpickled)->ob_item,
                              (size_t)PyList_GET_SIZE(unpickled));
    }
    if (good && go_over(&w, tree->root)) {
        for (size_t i = 0; i < w.len; i++) {
            check_met(&w, &w.met[i]);
        }
    }
    end_walk(&w);
}

/* ---- a tree at rest ---------------------------------------------------------------------------- */

uint64_t
ot_tree_digest(PyObject *root)
{
    walk_t w = {0};
    uint64_t digest = 0;
    if (go_over(&w, root)) {
        digest = w.visitor.leaves * 2 + 1;
        for (size_t i = 0; i < w.len; i++) {
            digest = (digest ^ (uintptr_t)w.met[i].o) * 0x9E3779B97F4A7C15u;
            digest = (digest ^ (uint64_t)Py_REFCNT(w.met[i].o)) * 0x9E3779B97F4A7C15u;
        }
        digest |= 1;
    }
    end_walk(&w);
    return digest;
}
