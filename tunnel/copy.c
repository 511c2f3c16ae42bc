/* copy.c: copies of what something outside of the tree can still reach.
 *
 * Each outsider is copied once per message, whatever number of references lead to it, and with
 * it all that it reaches; the originals are not written to.
 *
 * Main invariant: that of copying.h.
 * Threading: the GIL is held throughout and no Python code runs, so refcounts stand still.
 */
#include "tunnel/proof.h"

#include "runtime/cpython/gc.h"
#include "runtime/cpython/instance.h"

static ot_proof_t *
proof_of(ot_copier_t *c)
{
    return (ot_proof_t *)((char *)c - offsetof(ot_proof_t, copier));
}

static PyObject *
leave_to_receiver(ot_proof_t *p, PyObject **slot, uint32_t index, ot_source_t source)
{
    ot_fix_t fix = {slot, index, (uint8_t)source, (uint8_t)p->copier.what};
    if (ot_vec_push(&p->tree->fixes, fix) < 0) {
        return PyErr_NoMemory();
    }
    p->copier.left = true;
    p->tree->rehash |= source == OT_FROM_PICKLE;
    return Py_NewRef(Py_None);
}

/* The copy that stands for entry i's object, made at first use. Borrowed. */
static PyObject *
entry_copy(ot_proof_t *p, size_t i)
{
    if (p->entries.items[i].copy == NULL) {
        PyObject *copy = ot_proof_clone(p, p->entries.items[i].obj, p->entries.items[i].kind);
        p->entries.items[i].copy = copy;
    }
    return p->entries.items[i].copy;
}

/* Copies an array's data, once for each array, and notes that `slot` gets an object for them in
 * the receiver. */
static PyObject *
copy_array(ot_proof_t *p, PyObject *o, PyObject **slot)
{
    Py_ssize_t i = ot_proof_entry(p, o);
    if (i < 0 || (p->entries.items[i].verdict != OT_ARRAY && ot_proof_array(p, i, false) < 0)) {
        return NULL;
    }
    return leave_to_receiver(p, slot, p->entries.items[i].foreign, OT_FROM_ARRAYS);
}

static PyObject *
copy_reference(ot_copier_t *c, PyObject *o, PyObject **slot)
{
    ot_proof_t *p = proof_of(c);
    if (ot_is_process_static(o)) {
        return Py_NewRef(o);
    }
    const ot_kind_t *kind = ot_proof_kind(p, o);
    if (ot_kind_is_ndata(kind, o)) {
        return copy_array(p, o, slot);
    }
    if (kind != NULL && kind->leaf && ot_proof_shares(p, o, kind)) {
        return Py_NewRef(o);
    }
    bool once = Py_REFCNT(o) == 1 && !(kind == &ot_kind_str && ot_str_interned(o));
    bool copied = kind != NULL && ot_kind_copies(kind, o);
    if (once && copied) {
        return ot_proof_clone(p, o, kind);
    }
    if (ot_is_number(o) && p->share == OT_SHARE_NOTHING) {
        return Py_XNewRef(ot_number_copy(p, o, kind));
    }
    Py_ssize_t i = ot_proof_entry(p, o);
    if (i < 0) {
        return NULL;
    }
    ot_verdict_t verdict = p->entries.items[i].verdict;
    bool undecided = verdict != OT_INSIDE && verdict != OT_THERE;
    if (kind != NULL && !copied && undecided && ot_proof_make_foreign(p, i) < 0) {
        return NULL;
    }
    ot_proof_entry_t *e = &p->entries.items[i];
    switch (e->verdict) {
    case OT_FOREIGN:
    case OT_HANDLE:
        return leave_to_receiver(p, slot, e->foreign,
                                 e->verdict == OT_HANDLE ? OT_FROM_HELD : OT_FROM_PICKLE);
    case OT_THERE:
        return Py_NewRef(o);
    case OT_INSIDE:
        if (ot_proof_shares(p, o, kind)) {
            return Py_NewRef(o);
        }
        /* fall through */
    case OT_REHOMED:
        PyErr_Format(PyExc_SystemError,
                     "objtunnel: a %s proved exclusive is reachable from outside",
                     Py_TYPE(o)->tp_name);
        return NULL;
    default:
        return Py_XNewRef(entry_copy(p, (size_t)i));
    }
}

static void
add_part(ot_copier_t *c, PyObject *part)
{
    ot_gc_chain_add(&proof_of(c)->tree->tracked, part);
}

/* For a report: what the copy refers to is copied because of the original. */
static void
note_reason(ot_copier_t *c, PyObject *original)
{
    ot_report_t *report = proof_of(c)->report;
    report->because = *ot_ptrmap_get(&report->containers, original);
}

static int
fill_copies(ot_proof_t *p)
{
    return ot_copying_fill(&p->jobs, &p->copier, p->tree, OT_NEEDS_MASK);
}

int
ot_copy_outsiders(ot_proof_t *p)
{
    p->copier = (ot_copier_t){
        .copy = copy_reference, .part = add_part, .begin = p->report == NULL ? NULL : note_reason};
    if (ot_numbers_copy(p) < 0) {
        return -1;
    }
    for (size_t i = 0; i < p->entries.len; i++) {
        ot_proof_entry_t *e = &p->entries.items[i];
        if (e->verdict == OT_FOREIGN) {
            p->tree->rehash = true;
        } else if (e->verdict == OT_REHOMED) {
            p->tree->rehash |= ot_leaf_hashes_by_address(e->obj);
        }
        bool wanted = (e->verdict == OT_OUTSIDE || e->verdict == OT_INTERNED) && e->edges > 0;
        if (wanted && p->report != NULL) {
            p->report->because = ot_because_of_entry(i);
        }
        if (wanted &&
            (e->ndata ? ot_proof_array(p, (Py_ssize_t)i, false) < 0 : entry_copy(p, i) == NULL)) {
            return -1;
        }
    }
    return fill_copies(p);
}

int
ot_copy_root(ot_proof_t *p)
{
    p->copier = (ot_copier_t){
        .copy = copy_reference, .part = add_part, .begin = p->report == NULL ? NULL : note_reason};
    p->tree->root = copy_reference(&p->copier, p->root, &p->tree->root);
    return p->tree->root == NULL ? -1 : fill_copies(p); /* if it fails, undo() drops the root */
}
