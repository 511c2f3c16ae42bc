/* proof.c: the tables of a proof: types, entries, what is pickled, handles, arrays, clones (see proof.h).
 *
 * Main invariant: an object has at most one entry, and a type at most one place in class_index.
 * Threading: the GIL is held; no Python code runs.
 */
#include "tunnel/proof.h"

#include "runtime/cpython/gc.h"
#include "runtime/cpython/instance.h"

/* ---- types ----------------------------------------------------------------------------------- */

static int
add_stranger(ot_proof_t *p, PyTypeObject *type)
{
    if (ot_vec_push(&p->strangers, type) < 0) {
        return -1;
    }
    Py_INCREF(type);
    return 0;
}

static bool
is_handle_type(const ot_proof_t *p, const PyTypeObject *type)
{
    const ot_handles_t *handles = &p->interp->handles;
    return handles->is_type(handles->home, type);
}

/* The index of the type's class in the tree; OT_HANDLES for a type of handles; OT_STRANGER for a type of which nothing is known; -1
 * without memory. */
static int64_t
add_class(ot_proof_t *p, PyTypeObject *type)
{
    if (is_handle_type(p, type)) {
        return ot_ptrmap_add(&p->class_index, type, OT_HANDLES) < 0 ? -1 : (int64_t)OT_HANDLES;
    }
    const ot_known_class_t *known = ot_class_known(p->interp->classes, type);
    for (size_t k = 0; known == NULL && k < p->learnt.len; k++) {
        if (p->learnt.items[k] == type) {
            known = ot_class_last_known(p->interp->classes, type);
        }
    }
    uint32_t i = OT_STRANGER;
    if (known == NULL) {
        if (add_stranger(p, type) < 0) {
            return -1;
        }
    } else {
        ot_tree_class_t c = {
            .type = type, .kind = known->kind, .known = known, .capacity = OT_NO_VALUES};
        enum { MOST_HAVE_FEWER = 4 };
        if ((p->tree->classes.cap == 0 && ot_vec_reserve(&p->tree->classes, MOST_HAVE_FEWER) < 0) ||
            ot_vec_push(&p->tree->classes, c) < 0) {
            return -1;
        }
        i = (uint32_t)p->tree->classes.len - 1;
        p->tree->rehash |= known->kind != NULL && !known->hash_stays;
    }
    return ot_ptrmap_add(&p->class_index, type, i) < 0 ? -1 : (int64_t)i;
}

static ot_standing_t
standing_of(const ot_proof_t *p, uint32_t class)
{
    if (class == OT_STRANGER || class == OT_HANDLES) {
        return class == OT_HANDLES ? OT_TYPE_HANDLE : OT_TYPE_STRANGER;
    }
    return p->tree->classes.items[class].kind == NULL ? OT_TYPE_PICKLED : OT_TYPE_HAS_ROW;
}

const ot_kind_t *
ot_proof_class_kind(ot_proof_t *p, PyTypeObject *type)
{
    const ot_kind_t *kind = ot_kind_static(type);
    if (kind != NULL) {
        return kind;
    }
    const uint32_t *found = ot_ptrmap_get(&p->class_index, type);
    int64_t i = found != NULL ? *found : add_class(p, type);
    if (i < 0) {
        p->no_memory = true;
        return NULL;
    }
    p->last_type = type;
    p->last_class = (uint32_t)i;
    p->last_standing = standing_of(p, p->last_class);
    p->last_kind = p->last_standing == OT_TYPE_HAS_ROW ? p->tree->classes.items[i].kind : NULL;
    return p->last_kind;
}

int
ot_proof_instance(ot_proof_t *p, PyObject *o, bool is_copy)
{
    if (p->last_type != Py_TYPE(o)) {
        (void)ot_proof_class_kind(p, Py_TYPE(o));
    }
    return ot_class_add_instance(p->tree, p->last_class, o, is_copy) < 0 ? ot_no_memory() : 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

static ot_verdict_t
first_verdict(ot_proof_t *p, ot_proof_entry_t *e)
{
    PyObject *o = e->obj;
    if (e->kind == NULL) {
        /* Looked up just before; another one was the last only if there was no memory. */
        bool handle = p->last_type == Py_TYPE(o) && p->last_standing == OT_TYPE_HANDLE;
        return handle ? OT_HANDLE : OT_FOREIGN;
    }
    if (e->kind == &ot_kind_str && ot_str_interned(o)) {
        return OT_INTERNED;
    }
    if (ot_is_module_static(o)) {
        return OT_THERE;
    }
    e->ndata = ot_kind_is_ndata(e->kind, o);
    if (e->ndata) {
        e->pinned = !e->kind->ndata->gives(o);
        return e->pinned ? OT_OUTSIDE : OT_PENDING;
    }
    ot_inspection_t inspection = e->kind->inspect(o);
    if (inspection != OT_MOVABLE && !ot_kind_copies(e->kind, o)) {
        return OT_FOREIGN; /* it cannot travel as it is, and we cannot copy it */
    }
    if (inspection == OT_PINNED) {
        e->pinned = true;
        return OT_OUTSIDE;
    }
    return OT_PENDING;
}

/* Index of an unknown object among the foreigners, adding it; -1 with MemoryError set. */
static Py_ssize_t
index_of_foreigner(ot_proof_t *p, PyObject *o)
{
    uint32_t *known = ot_ptrmap_get(&p->foreign_index, o);
    if (known != NULL) {
        return *known;
    }
    if (p->foreigners == NULL && (p->foreigners = PyList_New(0)) == NULL) {
        return -1;
    }
    Py_ssize_t i = PyList_GET_SIZE(p->foreigners);
    if (PyList_Append(p->foreigners, o) < 0) {
        return -1;
    }
    if (ot_ptrmap_add(&p->foreign_index, o, (uint32_t)i) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return i;
}

/* Has the message hold what the handle stands for: its index in held. One that knows what can only be
 * pickled becomes a foreigner. -1 with MemoryError set. */
static Py_ssize_t
hold(ot_proof_t *p, ot_proof_entry_t *e)
{
    const ot_handles_t *handles = &p->interp->handles;
    ot_held_list_t *held = &p->tree->held;
    ot_held_t none = {NULL, NULL};
    if (ot_vec_push(held, none) < 0) {
        return ot_no_memory();
    }
    int rc = handles->hold(handles->home, e->obj, &held->items[held->len - 1]);
    if (rc > 0) {
        return (Py_ssize_t)held->len - 1;
    }
    held->len--;
    if (rc < 0) {
        return -1;
    }
    e->verdict = OT_FOREIGN;
    return index_of_foreigner(p, e->obj);
}

int
ot_proof_make_foreign(ot_proof_t *p, Py_ssize_t i)
{
    Py_ssize_t foreign = index_of_foreigner(p, p->entries.items[i].obj);
    if (foreign < 0) {
        return -1;
    }
    p->entries.items[i].verdict = OT_FOREIGN;
    p->entries.items[i].foreign = (uint32_t)foreign;
    return 0;
}

int
ot_proof_array(ot_proof_t *p, Py_ssize_t i, bool take)
{
    ot_proof_entry_t *e = &p->entries.items[i];
    if (p->report != NULL && !take && ot_report_copied(p->report, e->obj, true) < 0) {
        return ot_no_memory();
    }
    ot_ndata_t *n = e->kind->ndata->make(e->obj, !take);
    if (n == NULL) {
        return -1;
    }
    if (ot_vec_push(&p->tree->arrays, n) < 0) {
        ot_ndata_unref(n);
        return ot_no_memory();
    }
    e->foreign = (uint32_t)p->tree->arrays.len - 1;
    e->verdict = OT_ARRAY;
    e->gives = take;
    p->receipt.moved += take;
    p->receipt.copied += !take;
    return 0;
}

Py_ssize_t
ot_proof_add_entry(ot_proof_t *p, PyObject *o)
{
    ot_proof_entry_t e = {.obj = o, .kind = ot_proof_kind(p, o)};
    if (p->strangers.len > 0) {
        return -1; /* learn the type first, then begin anew */
    }
    e.verdict = first_verdict(p, &e);
    Py_ssize_t extra = 0;
    if (e.verdict == OT_FOREIGN) {
        extra = index_of_foreigner(p, o);
    } else if (e.verdict == OT_HANDLE) {
        extra = hold(p, &e);
    }
    if (extra < 0) {
        return -1;
    }
    e.foreign = (uint32_t)extra;
    if (p->entries.len >= UINT32_MAX || ot_vec_push(&p->entries, e) < 0) {
        return ot_no_memory();
    }
    return (Py_ssize_t)p->entries.len - 1;
}

Py_ssize_t
ot_proof_entry(ot_proof_t *p, PyObject *o)
{
    uint32_t *known = ot_ptrmap_get(&p->index, o);
    if (known != NULL) {
        return *known;
    }
    Py_ssize_t i = ot_proof_add_entry(p, o);
    if (i >= 0 && ot_ptrmap_add(&p->index, o, (uint32_t)i) < 0) {
        return ot_no_memory();
    }
    return i;
}

/* ---- copies ---------------------------------------------------------------------------------- */

PyObject *
ot_proof_clone(ot_proof_t *p, PyObject *o, const ot_kind_t *kind)
{
    if (p->report != NULL && ot_report_copied(p->report, o, kind->leaf) < 0) {
        return PyErr_NoMemory();
    }
    PyObject *copy = ot_copying_clone(&p->jobs, o, kind, p->tree);
    if (copy == NULL) {
        return NULL;
    }
    p->receipt.copied++;
    if (kind->leaf) {
        return copy;
    }
    if (PyType_HasFeature(Py_TYPE(copy), Py_TPFLAGS_HEAPTYPE)) {
        p->tree->rehash |= !kind->keeps_hash; /* a class of its own may hash by address */
        if (ot_proof_instance(p, copy, true) < 0) {
            p->jobs.len--;
            ot_py_drop_unfinished(copy);
            return NULL;
        }
    }
    /* 3.13.0 leaves an instance's dict untracked while the instance has the values itself; the copy
     * has them in its dict. */
    if (ot_gc_is_tracked(o) || (PyDict_CheckExact(o) && ot_dict_is_split(o))) {
        ot_gc_chain_add(&p->tree->tracked, copy); /* at once: undo() must find cycles of clones */
    }
    return copy;
}

/* ---- invariants ------------------------------------------------------------------------------ */

/* An object whose content is taken has all of its references in the tree, unless it is shared. */
static void
check_entry(const ot_proof_t *p, const ot_proof_entry_t *e)
{
    bool taken = e->verdict == OT_INSIDE || e->verdict == OT_REHOMED || e->gives;
    OT_MUST(e->verdict != OT_PENDING);
    OT_MUST(0 <= e->key_edges && e->key_edges <= e->edges && e->edges <= Py_REFCNT(e->obj));
    OT_MUST(!taken || e->edges == Py_REFCNT(e->obj) || ot_proof_shares(p, e->obj, e->kind));
    OT_MUST((e->copy != NULL) == (e->verdict == OT_REHOMED || e->verdict == OT_ROOT));
    OT_MUST(e->kind != NULL || e->verdict == OT_FOREIGN || e->verdict == OT_HANDLE);
}

void
ot_proof_check(const ot_proof_t *p)
{
    Py_ssize_t edges = 0, keys = 0;
    ot_ptrmap_check(&p->index);
    ot_ptrmap_check(&p->number_index);
    OT_MUST(p->stack.len == 0 && p->depth == 0);
    for (size_t i = 0; i < p->entries.len; i++) {
        const ot_proof_entry_t *e = &p->entries.items[i];
        const uint32_t *at = ot_ptrmap_get(&p->index, e->obj);
        check_entry(p, e);
        OT_MUST(at == NULL ? e->edges == 1 : *at == i); /* by one reference it is met once */
        edges += e->edges;
        keys += e->key_edges;
    }
    OT_MUST((size_t)(edges - keys) == p->edges.len);
    for (size_t i = 0; i < p->edges.len; i++) {
        const ot_edge_t *edge = &p->edges.items[i];
        OT_MUST(edge->entry < p->entries.len);
        OT_MUST(*edge->slot == p->entries.items[edge->entry].obj);
    }
    for (size_t i = 0; i < p->numbers.len; i++) {
        const ot_number_t *n = &p->numbers.items[i];
        OT_MUST(0 < n->edges && n->edges <= Py_REFCNT(n->obj));
    }
}
