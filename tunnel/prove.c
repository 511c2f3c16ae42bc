/* prove.c: which objects of the tree can nothing but the tree reach?
 *
 * Depth-first; what lies very deep waits on an explicit stack (trees may be a million deep). An
 * object with one reference, reached by an edge, is exclusive: go on into it. One with several is
 * entered in a table and its edges are counted; as soon as they equal its refcount it is exclusive
 * too. What is left then is either referenced from outside or part of a cycle: the collector's
 * partition decides (subtract the references among the candidates, spread "outside" from what
 * still has some left).
 *
 * Main invariant: an object is looked into by prove_edge's walk only when every reference to it
 * comes from objects looked into, so its content belongs to the tree alone.
 *
 * Threading: the GIL is held throughout and no Python code runs, so refcounts stand still. The
 * only writes are to caches (a dict's version, a cached hash), which may always be dropped, and
 * to the collector's lists, which undo() in detach.c makes good.
 */
#include "tunnel/proof.h"

#include "runtime/cpython/gc.h"

enum { MAX_DEPTH = 100 }; /* of recursion; whatever lies deeper waits on the explicit stack */

static ot_proof_t *
proof_of(ot_visitor_t *v)
{
    return (ot_proof_t *)v;
}

/* ---- the walk ---------------------------------------------------------------------------- */

static int
push(ot_proof_t *p, uintptr_t item)
{
    return ot_vec_push(&p->stack, item) < 0 ? ot_no_memory() : 0;
}

static int prove_edge(ot_visitor_t *v, PyObject **slot);
static int prove_key(ot_visitor_t *v, PyObject *key, Py_ssize_t i);

/* The functions marked OT_ALWAYS_INLINE are compiled once for each of the kinds that most
 * containers are of, and once for all others: see prove_exclusive. */

OT_ALWAYS_INLINE bool
is_frequent(const ot_kind_t *kind)
{
    return kind == &ot_kind_dict || kind == &ot_kind_list || kind == &ot_kind_tuple;
}

/* kind->visit, with what is frequent put in place. */
OT_ALWAYS_INLINE int
visit(ot_proof_t *p, PyObject *o, const ot_kind_t *kind)
{
    if (kind == &ot_kind_dict && ot_dict_is_plain(o)) {
        return ot_walk_str_dict(o, &p->visitor, prove_edge, prove_key);
    }
    if (kind == &ot_kind_list) {
        return ot_walk_list(o, &p->visitor, prove_edge);
    }
    if (kind == &ot_kind_tuple) {
        return ot_walk_tuple(o, &p->visitor, prove_edge);
    }
    return kind->visit(o, &p->visitor);
}

/* Visits a container that is the tree's alone, and takes it off the collector's lists while it
 * is in the cache; undo() puts it back if the send fails. */
OT_ALWAYS_INLINE int
look_into(ot_proof_t *p, PyObject *o, const ot_kind_t *kind, bool tracked)
{
    int needs = visit(p, o, kind);
    if (needs < 0) {
        return -1;
    }
    if (needs && ot_vec_push(&p->tree->containers, (uintptr_t)o | (uintptr_t)needs) < 0) {
        return ot_no_memory();
    }
    if (!is_frequent(kind) && PyType_HasFeature(Py_TYPE(o), Py_TPFLAGS_HEAPTYPE) &&
        ot_proof_instance(p, o, false) < 0) {
        return -1;
    }
    if (tracked) {
        ot_gc_chain_add(&p->tree->tracked, o);
    }
    return 0;
}

/* Goes on into a container: at once, for its memory is at hand now and may not be later; put off
 * to the stack where the tree is deep. */
OT_ALWAYS_INLINE int
descend(ot_proof_t *p, PyObject *container, const ot_kind_t *kind, bool tracked)
{
    if (p->depth == MAX_DEPTH) {
        return push(p, (uintptr_t)container | (tracked ? OT_NEEDS_TRACK : 0));
    }
    p->depth++;
    int rc = look_into(p, container, kind, tracked);
    p->depth--;
    return rc;
}

static int
descend_any(ot_proof_t *p, PyObject *container, const ot_kind_t *kind, bool tracked)
{
    return descend(p, container, kind, tracked);
}

/* Moves entry i's object into a new block: its content goes on living in the shell. */
static int
rehome(ot_proof_t *p, Py_ssize_t i)
{
    ot_proof_entry_t *e = &p->entries.items[i];
    PyObject *shell = e->kind->shell(e->obj);
    if (shell == NULL) {
        return -1;
    }
    e->copy = shell;
    e->verdict = OT_REHOMED;
    p->receipt.copied++;
    return e->kind->leaf ? 0 : descend_any(p, shell, e->kind, ot_gc_is_tracked(e->obj));
}

/* All references to entry i's object come from the tree: it is moved, go on into it. */
static int
admit(ot_proof_t *p, Py_ssize_t i)
{
    ot_proof_entry_t *e = &p->entries.items[i];
    if (e->ndata) {
        return ot_proof_array(p, i, true);
    }
    if (e->kind->inspect(e->obj) == OT_REHOME) {
        return rehome(p, i);
    }
    e->verdict = OT_INSIDE;
    p->receipt.moved++;
    return e->kind->leaf ? 0 : descend_any(p, e->obj, e->kind, ot_gc_is_tracked(e->obj));
}

static int
remember_edge(ot_proof_t *p, PyObject **slot, Py_ssize_t entry)
{
    ot_edge_t edge = {slot, (uint32_t)entry, OT_SLOT_ANY};
    p->entries.items[entry].edges++;
    return ot_vec_push(&p->edges, edge) < 0 ? ot_no_memory() : 0;
}

/* kind->inspect, with what is frequent put in place. */
OT_ALWAYS_INLINE ot_inspection_t
inspect(PyObject *o, const ot_kind_t *kind)
{
    if (kind == &ot_kind_dict) {
        return ot_dict_inspect(o);
    }
    if (kind == &ot_kind_list) {
        return ot_list_inspect(o);
    }
    if (kind == &ot_kind_tuple) {
        return ot_tuple_inspect(o);
    }
    return kind->inspect(o);
}

static int
admit_one(ot_proof_t *p, PyObject **slot)
{
    Py_ssize_t i = ot_proof_add_entry(p, *slot); /* nobody looks it up again */
    if (i < 0 || remember_edge(p, slot, i) < 0) {
        return -1;
    }
    return p->entries.items[i].verdict == OT_PENDING ? admit(p, i) : 0;
}

OT_ALWAYS_INLINE int
prove_kind(ot_proof_t *p, PyObject **slot, const ot_kind_t *kind)
{
    PyObject *o = *slot;
    if (inspect(o, kind) != OT_MOVABLE) {
        return admit_one(p, slot);
    }
    p->receipt.moved++;
    if (kind->leaf) {
        return 0;
    }
    return descend(p, o, kind,
                   is_frequent(kind) ? ot_gc_header_is_tracked(o) : ot_gc_is_tracked(o));
}

/* An object that only this reference reaches. */
static int
prove_exclusive(ot_proof_t *p, PyObject **slot)
{
    PyTypeObject *t = Py_TYPE(*slot);
    if (t == &PyDict_Type) {
        return prove_kind(p, slot, &ot_kind_dict);
    }
    if (t == &PyList_Type) {
        return prove_kind(p, slot, &ot_kind_list);
    }
    if (t == &PyTuple_Type) {
        return prove_kind(p, slot, &ot_kind_tuple);
    }
    const ot_kind_t *kind = ot_proof_kind(p, *slot);
    return kind == NULL ? admit_one(p, slot) : prove_kind(p, slot, kind);
}

static int
admit_if_complete(ot_proof_t *p, Py_ssize_t i)
{
    ot_proof_entry_t *e = &p->entries.items[i];
    bool ours = e->verdict == OT_PENDING &&
                (e->edges == Py_REFCNT(e->obj) || ot_proof_shares(p, e->obj, e->kind));
    return ours ? admit(p, i) : 0;
}

/* An edge that is remembered is remembered before the walk goes on below it. */
static int
prove_typed(ot_visitor_t *v, PyObject **slot, ot_slot_t what)
{
    ot_proof_t *p = proof_of(v);
    size_t at = p->edges.len;
    int rc = prove_edge(v, slot);
    if (p->edges.len > at && p->edges.items[at].slot == slot) {
        p->edges.items[at].what = what;
    }
    return rc;
}

static int
prove_edge(ot_visitor_t *v, PyObject **slot)
{
    ot_proof_t *p = proof_of(v);
    PyObject *o = *slot;
    if (Py_REFCNT(o) == 1 && !(PyUnicode_CheckExact(o) && ot_str_interned(o))) {
        return prove_exclusive(p, slot);
    }
    if (ot_is_process_static(o)) {
        return 0;
    }
    if (ot_is_number(o) && p->share == OT_SHARE_NOTHING) {
        ot_number_slot_t noted = {.slot = slot};
        return ot_vec_push(&p->number_slots, noted) < 0 ? ot_no_memory() : 0;
    }
    Py_ssize_t i = ot_proof_entry(p, o);
    if (i < 0 || remember_edge(p, slot, i) < 0) {
        return -1;
    }
    return admit_if_complete(p, i);
}

/* Admits the str of entry i. Not inlined: it is rare, and prove_key is part of the walk, whose
 * instructions are counted. */
static __attribute__((noinline)) int
admit_key(ot_proof_t *p, Py_ssize_t i)
{
    return admit(p, i) < 0 ? -1 : 1;
}

/* Counts one more reference to the str of entry i. An interned str is always copied. One that is not interned, as a JSON
 * parser makes for the keys of all rows, moves once all dicts that have it are in the tree. */
OT_ALWAYS_INLINE int
count_key(ot_proof_t *p, PyObject *key, Py_ssize_t i)
{
    ot_proof_entry_t *e = &p->entries.items[i];
    e->edges++;
    e->key_edges++;
    return e->edges == Py_REFCNT(key) && e->verdict == OT_PENDING ? admit_key(p, i) : 1;
}

/* A key that was not the last one at its place. */
static int
prove_new_key(ot_proof_t *p, PyObject *key, ot_recent_key_t *recent)
{
    if (ot_str_static(key)) {
        return 0;
    }
    Py_ssize_t i = ot_proof_entry(p, key);
    if (i < 0) {
        return -1;
    }
    *recent = (ot_recent_key_t){key, (uint32_t)i};
    return count_key(p, key, i);
}

/* Keys are counted, their slots are not remembered: the receiver goes over marked dicts. */
static int
prove_key(ot_visitor_t *v, PyObject *key, Py_ssize_t i)
{
    ot_proof_t *p = proof_of(v);
    ot_recent_key_t *recent = &p->recent_keys[i % OT_RECENT_KEYS];
    if (recent->key != key) {
        return prove_new_key(p, key, recent);
    }
    return count_key(p, key, recent->entry);
}

static void
take_part(ot_visitor_t *v, PyObject *part)
{
    ot_gc_chain_add(&proof_of(v)->tree->tracked, part);
}

static int
drain(ot_proof_t *p)
{
    while (p->stack.len > 0) {
        uintptr_t item = p->stack.items[--p->stack.len];
        PyObject *o = ot_untag(item);
        const ot_kind_t *kind = ot_proof_kind(p, o);
        if (look_into(p, o, kind, item & OT_NEEDS_TRACK) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- cycles and outsiders ---------------------------------------------------------------- */

static bool
is_candidate(const ot_proof_entry_t *e)
{
    return e->verdict == OT_PENDING && !e->kind->leaf;
}

/* Visits what is on the stack, and all that `edge` pushes, without taking part in the walk. */
static int
spread(ot_proof_t *p, int (*edge)(ot_visitor_t *, PyObject **))
{
    ot_visitor_t walk = p->visitor;
    int rc = 0;
    p->visitor = (ot_visitor_t){.edge = edge, .key = ot_ignore_key};
    while (rc >= 0 && p->stack.len > 0) {
        PyObject *o = (PyObject *)p->stack.items[--p->stack.len];
        rc = ot_proof_kind(p, o)->visit(o, &p->visitor);
    }
    p->visitor = walk;
    return rc < 0 ? -1 : 0;
}

/* The container behind an edge if the collector's partition is about it, else NULL. */
static PyObject *
container_at(ot_proof_t *p, PyObject **slot)
{
    const ot_kind_t *kind = ot_proof_kind(p, *slot);
    return kind == NULL || kind->leaf || ot_is_process_static(*slot) ? NULL : *slot;
}

/* Whether an object is copied or pickled even if nothing else refers to it. */
static bool
stays(const ot_kind_t *kind, PyObject *o)
{
    ot_inspection_t inspection = kind->inspect(o);
    return inspection == OT_PINNED || (inspection == OT_REHOME && !ot_kind_copies(kind, o));
}

static int
trial_edge(ot_visitor_t *v, PyObject **slot)
{
    ot_proof_t *p = proof_of(v);
    PyObject *o = container_at(p, slot);
    if (o == NULL) {
        return 0;
    }
    if (Py_REFCNT(o) == 1) {
        /* An object that stays with the sender keeps its content, so references from it count as
         * references from outside. */
        return stays(ot_proof_kind(p, o), o) ? 0 : push(p, (uintptr_t)o);
    }
    Py_ssize_t i = ot_proof_entry(p, o);
    if (i < 0) {
        return -1;
    }
    ot_proof_entry_t *e = &p->entries.items[i];
    if (!is_candidate(e)) {
        return 0;
    }
    e->trial++;
    if (e->explored) {
        return 0;
    }
    e->explored = true;
    return push(p, (uintptr_t)o);
}

static int
spread_edge(ot_visitor_t *v, PyObject **slot)
{
    ot_proof_t *p = proof_of(v);
    PyObject *o = container_at(p, slot);
    if (o == NULL) {
        return 0;
    }
    if (Py_REFCNT(o) == 1) {
        return push(p, (uintptr_t)o);
    }
    Py_ssize_t i = ot_proof_entry(p, o);
    if (i < 0) {
        return -1;
    }
    if (!is_candidate(&p->entries.items[i])) {
        return 0;
    }
    p->entries.items[i].verdict = OT_OUTSIDE;
    return push(p, (uintptr_t)o);
}

/* Decides the containers whose references did not add up in the walk. */
static int
settle_cycles(ot_proof_t *p)
{
    size_t candidates = 0;
    for (size_t i = 0; i < p->entries.len; i++) {
        ot_proof_entry_t *e = &p->entries.items[i];
        e->trial = e->edges;
        e->explored = is_candidate(e);
        if (e->explored && (candidates++, push(p, (uintptr_t)e->obj)) < 0) {
            return -1;
        }
    }
    if (candidates == 0) {
        return 0;
    }
    if (spread(p, trial_edge) < 0) {
        return -1;
    }
    for (size_t i = 0; i < p->entries.len; i++) {
        ot_proof_entry_t *e = &p->entries.items[i];
        if (is_candidate(e) && e->trial < Py_REFCNT(e->obj)) {
            e->verdict = OT_OUTSIDE;
            if (push(p, (uintptr_t)e->obj) < 0) {
                return -1;
            }
        }
    }
    if (spread(p, spread_edge) < 0) {
        return -1;
    }
    /* The rest is reached from the tree alone, cycles included. One that admitting another has
     * completed is no candidate any more. */
    size_t known = p->entries.len;
    for (size_t i = 0; i < known; i++) {
        if (is_candidate(&p->entries.items[i]) && admit(p, (Py_ssize_t)i) < 0) {
            return -1;
        }
    }
    return drain(p);
}

int
ot_prove(ot_proof_t *p, PyObject *shell, bool tracked)
{
    const ot_kind_t *kind = ot_proof_kind(p, shell);
    p->visitor = (ot_visitor_t){
        .edge = prove_edge, .key = prove_key, .typed = prove_typed, .part = take_part};
    if (descend_any(p, shell, kind, tracked) < 0 || drain(p) < 0 || settle_cycles(p) < 0) {
        return -1;
    }
    for (size_t i = 0; i < p->entries.len; i++) {
        ot_proof_entry_t *e = &p->entries.items[i];
        if (e->verdict == OT_PENDING) {
            e->verdict = OT_OUTSIDE; /* a leaf with references elsewhere */
        }
        if (e->verdict == OT_OUTSIDE && !e->ndata && !ot_kind_copies(e->kind, e->obj) &&
            ot_proof_make_foreign(p, (Py_ssize_t)i) < 0) {
            return -1;
        }
    }
    p->receipt.moved += p->visitor.leaves;
    int rc = ot_numbers_count(p);
    if (rc == 0) {
        OT_CHECK(ot_proof_check(p));
    }
    return rc;
}
