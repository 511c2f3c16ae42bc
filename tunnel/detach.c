/* detach.c: taking a tree out of the sender (see tree.h).
 *
 * prove and copy read, allocate and untrack; if anything fails up to then, undo() restores what
 * little there is to restore. commit() cannot fail and runs no Python code: afterwards the tree
 * belongs to nobody but the message.
 *
 * Main invariant: between two calls that may run Python code there is no shell (an object that
 * lists another's content without owning it), so nobody ever sees one.
 * Threading: the sender's GIL is held throughout, but for pickling, which may let go of it;
 * afterwards everything is proved anew.
 */
#include "tunnel/foreign.h"
#include "tunnel/path.h"
#include "tunnel/proof.h"
#include "tunnel/strict.h"
#include "tunnel/weigh.h"
#include "runtime/cpython/gc.h"
#include "runtime/cpython/instance.h"
#include "runtime/cpython/interp.h"

enum { MAX_ATTEMPTS = 8 }; /* of a tree that each time turns out to hold new foreign objects */
enum { KEPT_ITEMS = 128 }; /* tables of this capacity and below are kept for the next send */

static Py_ssize_t
foreigners(const ot_proof_t *p)
{
    return p->foreigners == NULL ? 0 : PyList_GET_SIZE(p->foreigners);
}

/* ---- undo -------------------------------------------------------------------------------- */

#define empty_table(v, most) ((v)->cap > (most) ? (void)ot_vec_free(v) : (void)((v)->len = 0))

/* Forgets what an attempt has found; nothing in the tables is owned any more. A table with room for more than `most`
 * gives its memory back: 0 frees all of them. */
static void
reset(ot_proof_t *p, size_t most)
{
    empty_table(&p->entries, most);
    empty_table(&p->edges, most);
    empty_table(&p->numbers, most);
    empty_table(&p->number_slots, most);
    empty_table(&p->stack, most);
    empty_table(&p->jobs, most);
    ot_ptrmap_clear(&p->index, most);
    ot_ptrmap_clear(&p->number_index, most);
    ot_ptrmap_clear(&p->class_index, most);
    memset(p->recent_keys, 0, sizeof p->recent_keys);
    p->last_type = NULL;
    p->depth = 0;
    p->receipt = (ot_receipt_t){0};
}

/* Drops the references to shared objects that a message would have held, which was not made. Most of these objects live on by
 * the handles in the tree. One that dies here had a handle that a __reduce__ made while pickling. */
static void
drop_held(const ot_interp_t *interp, ot_held_list_t *held)
{
    ot_node_t *left = ot_held_drop(held);
    if (left != NULL) {
        PyObject *error = PyErr_GetRaisedException();
        ot_tree_dispose_chain(interp, left);
        PyErr_SetRaisedException(error);
    }
}

static void
drop_arrays(ot_tree_t *tree)
{
    while (tree->arrays.len > 0) {
        ot_ndata_unref(tree->arrays.items[--tree->arrays.len]);
    }
}

static void
undo(ot_proof_t *p)
{
    ot_tree_t *tree = p->tree;
    ot_classes_disarm_copies(tree);
    /* What the walk took off the lists; and copies, which may form cycles that it must find. */
    ot_gc_chain_track(&tree->tracked);
    for (size_t i = 0; i < p->entries.len; i++) {
        ot_proof_entry_t *e = &p->entries.items[i];
        bool shell = e->copy != NULL && (e->verdict == OT_REHOMED || e->verdict == OT_ROOT);
        if (shell && !e->kind->leaf) {
            e->kind->disown(e->copy, e->obj);
        }
    }
    for (size_t i = 0; i < p->entries.len; i++) {
        ot_py_drop_unfinished(p->entries.items[i].copy);
    }
    ot_numbers_drop(p);
    Py_CLEAR(tree->root);
    drop_held(p->interp, &tree->held); /* the sender's handles still have these objects */
    drop_arrays(tree);
    ot_classes_reset(tree);
    tree->containers.len = tree->fixes.len = 0;
    tree->rehash = false;
    reset(p, SIZE_MAX); /* keeps all memory: the next attempt finds as much */
}

/* ---- looking ----------------------------------------------------------------------------- */

/* Whether an object of this kind is left empty when it is sent. A frozenset shares set's row. */
static bool
is_emptied(const ot_kind_t *kind, PyObject *root)
{
    return kind->emptiable && !PyFrozenSet_CheckExact(root);
}

/* Whether another send under way has the same root: pickling a part of it may send it again, and has
 * it copied then. */
static bool
is_being_sent(const ot_proof_t *p)
{
    const ot_proof_t *other = p->interp->consumers->sends;
    while (other != NULL && (other == p || other->root != p->root)) {
        other = other->older;
    }
    return other != NULL;
}

typedef struct {
    PyObject *dict;
    bool found;
} namespace_search_t;

static int
look_at_module(PyObject *o, void *arg)
{
    namespace_search_t *search = arg;
    search->found = PyModule_Check(o) && PyModule_GetDict(o) == search->dict;
    return !search->found; /* 0 ends the search */
}

/* Whether the root is the namespace of a module, in sys.modules or not. Only a dict that looks like
 * one is searched for. */
static bool
is_namespace(PyObject *root)
{
    if (!PyDict_CheckExact(root) || Py_REFCNT(root) == 1) {
        return false;
    }
    PyObject *name = ot_str_dunder_name();
    int named = name == NULL ? -1 : PyDict_Contains(root, name);
    if (named == 0) {
        return false;
    }
    if (named < 0) {
        PyErr_Clear(); /* no memory to look: search */
    }
    namespace_search_t search = {.dict = root};
    PyUnstable_GC_VisitObjects(look_at_module, &search);
    return search.found;
}

/* Whether others go on using the root, so that it may not be emptied whatever its kind is. */
static bool
stays_whole(const ot_proof_t *p)
{
    return is_being_sent(p) || is_namespace(p->root);
}

/* Whether o is an instance with a split dict (its values lie in the instance, or in the order of
 * its class's keys). A shell cannot take such a dict over: the dict would point into the husk. */
static bool
has_split_dict(PyObject *o)
{
    PyObject *dict = ot_type_manages_dict(Py_TYPE(o)) ? *ot_instance_dict(o) : NULL;
    return dict != NULL && ot_dict_values(dict) != NULL;
}

/* Whether the root's content is taken over. A mutable root is; of immutable ones only such as
 * nobody can look at after the call. While the collector runs (send from a finaliser) its lists
 * must not lose objects: copy. */
static bool
takes_over(const ot_proof_t *p, const ot_kind_t *kind)
{
    PyObject *root = p->root;
    bool array = ot_kind_is_ndata(kind, root);
    if (kind == NULL || (kind->leaf && !array) || p->rule == OT_ROOT_KEPT || stays_whole(p) ||
        ot_py_collecting(PyInterpreterState_Get())) {
        return false;
    }
    bool alone = p->rule == OT_ROOT_OWNED && Py_REFCNT(root) == 1;
    bool emptied = p->rule != OT_ROOT_LENT && is_emptied(kind, root);
    bool ours = alone || emptied || ot_is_temporary(p->interp->consumers, root);
    if (array) {
        return ours && kind->ndata->gives(root);
    }
    return ours && kind->shell != NULL && kind->inspect(root) != OT_PINNED && !has_split_dict(root);
}

static int
examine_contents(ot_proof_t *p, const ot_kind_t *kind)
{
    ot_proof_entry_t e = {.obj = p->root, .kind = kind, .verdict = OT_ROOT};
    e.copy = kind->shell(p->root);
    if (e.copy == NULL) {
        return -1;
    }
    if (ot_vec_push(&p->entries, e) < 0) {
        kind->disown(e.copy, e.obj);
        ot_py_drop_unfinished(e.copy);
        PyErr_NoMemory();
        return -1;
    }
    if (ot_ptrmap_add(&p->index, p->root, 0) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    p->receipt.moved++;
    bool tracked = ot_gc_is_tracked(p->root);
    return ot_prove(p, e.copy, tracked) < 0 || ot_copy_outsiders(p) < 0 ? -1 : 0;
}

/* Takes the root's own data. */
static int
examine_array(ot_proof_t *p)
{
    Py_ssize_t i = ot_proof_entry(p, p->root);
    return i < 0 || ot_proof_array(p, i, true) < 0 ? -1 : ot_copy_root(p);
}

static int
examine(ot_proof_t *p, const ot_kind_t *kind, bool take_over)
{
    if (take_over) {
        return ot_kind_is_ndata(kind, p->root) ? examine_array(p) : examine_contents(p, kind);
    }
    return ot_copy_root(p);
}

/* 0, or -1 with SharedReferenceError set and everything undone. */
static int
check_strict(ot_proof_t *p, const ot_kind_t *kind, bool take_over)
{
    PyObject *culprit = NULL;
    Py_ssize_t outside = 0;
    bool is_static = ot_is_process_static(p->root) || ot_is_module_static(p->root);
    bool array = ot_kind_is_ndata(kind, p->root);
    if (!take_over && kind != NULL && (!kind->leaf || array) && !is_static) {
        culprit = Py_NewRef(p->root);
    } else {
        culprit = Py_XNewRef(ot_strict_culprit(p, &outside));
        if (culprit == NULL) {
            return 0;
        }
    }
    undo(p); /* finding the path may run Python code (repr of keys) */
    ot_strict_raise(p, culprit, outside);
    Py_DECREF(culprit);
    return -1;
}

/* ---- commit ------------------------------------------------------------------------------ */

static void
free_leftovers(ot_leftovers_t *leftovers)
{
    if (leftovers->items != leftovers->few) {
        PyMem_RawFree(leftovers->items);
    }
    leftovers->items = leftovers->few;
    leftovers->len = 0;
}

static int
reserve_for_commit(ot_proof_t *p, ot_leftovers_t *leftovers)
{
    size_t fixes = 0, keys = 0;
    for (size_t i = 0; i < p->edges.len; i++) {
        ot_verdict_t verdict = p->entries.items[p->edges.items[i].entry].verdict;
        fixes += verdict == OT_FOREIGN || verdict == OT_HANDLE || verdict == OT_ARRAY;
    }
    for (size_t i = 0; i < p->entries.len; i++) {
        keys += p->entries.items[i].key_edges > 0;
    }
    size_t most = p->edges.len + p->number_slots.len + 2;
    if (most > Py_ARRAY_LENGTH(leftovers->few)) {
        leftovers->items = PyMem_RawMalloc(most * sizeof(PyObject *));
    }
    if (leftovers->items == NULL || ot_vec_reserve(&p->tree->fixes, fixes) < 0 ||
        ot_vec_reserve(&p->tree->keys, keys) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return ot_classes_reserve(p->tree);
}

/* Where what stands for the object in the receiver comes from; -1: it is in the tree. */
static int
source_of(const ot_proof_entry_t *e)
{
    switch (e->verdict) {
    case OT_FOREIGN:
        return OT_FROM_PICKLE;
    case OT_HANDLE:
        return OT_FROM_HELD;
    case OT_ARRAY:
        return OT_FROM_ARRAYS;
    default:
        return -1;
    }
}

static void
commit_edges(ot_proof_t *p, ot_leftovers_t *leftovers)
{
    for (size_t i = 0; i < p->edges.len; i++) {
        ot_edge_t *edge = &p->edges.items[i];
        ot_proof_entry_t *e = &p->entries.items[edge->entry];
        if (e->verdict == OT_INSIDE || e->verdict == OT_THERE) {
            continue;
        }
        leftovers->items[leftovers->len++] = *edge->slot;
        int source = source_of(e);
        if (source >= 0) {
            ot_fix_t fix = {edge->slot, e->foreign, (uint8_t)source, (uint8_t)edge->what};
            p->tree->fixes.items[p->tree->fixes.len++] = fix;
            *edge->slot = ot_slot_placeholder(edge->what);
        } else {
            *edge->slot = Py_NewRef(e->copy);
        }
    }
}

static void
commit_entries(ot_proof_t *p)
{
    ot_tree_t *tree = p->tree;
    for (size_t i = 0; i < p->entries.len; i++) {
        ot_proof_entry_t *e = &p->entries.items[i];
        if (e->verdict == OT_ROOT) {
            tree->root = Py_NewRef(e->copy);
        }
        if ((e->verdict == OT_ROOT || e->verdict == OT_REHOMED) && !e->kind->leaf) {
            e->kind->disown(e->obj, e->copy);
        }
        if (e->gives) {
            e->kind->ndata->give(e->obj, tree->arrays.items[e->foreign]);
        }
        if (e->key_edges > 0 && e->copy != NULL) {
            ot_key_t key = {e->obj, Py_NewRef(e->copy), e->verdict == OT_INTERNED};
            tree->keys.items[tree->keys.len++] = key;
        }
    }
    for (size_t i = 0; i < p->entries.len; i++) {
        ot_proof_entry_t *e = &p->entries.items[i];
        bool substituted = e->key_edges > 0 && e->copy != NULL;
        Py_XDECREF(e->copy);
        if (substituted) {
            ot_py_release(e->obj, e->key_edges); /* the dicts' references; strs only */
        }
    }
}

static bool
is_bare(const ot_tree_t *tree)
{
    return tree->containers.cap == 0 && tree->classes.cap == 0 && tree->fixes.cap == 0 &&
           tree->keys.cap == 0 && tree->held.cap == 0 && tree->arrays.cap == 0 &&
           tree->pickle == NULL && !tree->rehash;
}

/* Whether no cycle can go through the tree's containers: each inner one has one reference, and the root
 * has none from within. What is copied may refer to any copy, so a copied container says "no". */
static bool
is_acyclic(const ot_proof_t *p)
{
    for (size_t i = 0; i < p->entries.len; i++) {
        const ot_proof_entry_t *e = &p->entries.items[i];
        bool single =
            e->verdict == OT_ROOT ? e->edges == 0 : e->verdict == OT_INSIDE && e->edges <= 1;
        if (e->kind != NULL && !e->kind->leaf && !e->ndata && !single) {
            return false;
        }
    }
    return true;
}

/* Makes the message complete: its pickle and the memory for all that is noted here are in the tree already. Cannot
 * fail. */
static void
commit(ot_proof_t *p, ot_leftovers_t *leftovers)
{
    commit_edges(p, leftovers);
    ot_numbers_commit(p, leftovers);
    commit_entries(p);
    ot_classes_leave(p->tree);
    p->tree->acyclic = is_acyclic(p);
    p->tree->shares = p->share != OT_SHARE_NOTHING;
    ot_gc_chain_depart(&p->tree->tracked);
    p->receipt.pickled = (size_t)foreigners(p);
    p->tree->bare = is_bare(p->tree);
}

/* ---- the whole ---------------------------------------------------------------------------- */

static int
keep_pickle(ot_tree_t *tree, PyObject *bytes, ot_held_list_t *kept)
{
    if (bytes == NULL) {
        return 0;
    }
    size_t n = (size_t)PyBytes_GET_SIZE(bytes);
    tree->pickle = PyMem_RawMalloc(n ? n : 1);
    if (tree->pickle == NULL || ot_vec_reserve(&tree->held, kept->len) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(tree->pickle, PyBytes_AS_STRING(bytes), n);
    tree->pickle_len = (Py_ssize_t)n;
    for (size_t i = 0; i < kept->len; i++) {
        tree->held.items[tree->held.len++] = kept->items[i];
    }
    kept->len = 0;
    return 0;
}

/* One attempt. pickle: the pickle of the first `pickled` foreign objects, or NULL; kept: what the message must hold for
 * handles in it. 1: committed, or undone if only a report is wanted; 0: there are types to learn, or foreign objects that
 * are not pickled yet, nothing changed; -1: failed, or not admitted (then without
 * an exception), nothing changed. */
static int
try_detach(ot_proof_t *p, bool strict, PyObject *pickle, Py_ssize_t pickled, ot_held_list_t *kept,
           ot_leftovers_t *leftovers)
{
    const ot_kind_t *kind = ot_proof_kind(p, p->root);
    bool take_over = takes_over(p, kind);
    if (p->report != NULL) {
        ot_report_begin(p->report);
    }
    int rc = examine(p, kind, take_over);
    if (p->no_memory && rc == 0) {
        PyErr_NoMemory();
        rc = -1;
    }
    if (rc < 0 || p->strangers.len > 0) {
        undo(p);
        return PyErr_Occurred() ? -1 : 0;
    }
    if (strict && check_strict(p, kind, take_over) < 0) {
        return -1;
    }
    if (foreigners(p) > pickled) {
        undo(p);
        return 0;
    }
    if (p->report != NULL) {
        rc = ot_report_fill(p->report, p, take_over);
        undo(p);
        return rc < 0 ? -1 : 1;
    }
    if (p->gate != NULL && ot_weigh_admits(p, pickle) <= 0) {
        undo(p);
        return -1;
    }
    if (reserve_for_commit(p, leftovers) < 0 || keep_pickle(p->tree, pickle, kept) < 0) {
        free_leftovers(leftovers);
        undo(p);
        return -1;
    }
    commit(p, leftovers);
    if (!take_over && p->rule != OT_ROOT_KEPT && p->rule != OT_ROOT_LENT && kind != NULL &&
        is_emptied(kind, p->root) && !stays_whole(p) && kind->inspect(p->root) != OT_PINNED) {
        /* The root was copied because the collector is at work. A sent root is left empty, so clear it. */
        leftovers->items[leftovers->len++] = Py_NewRef(p->root);
        if (kind->clear(p->root) < 0) {
            PyErr_WriteUnraisable(p->root); /* the message is complete: too late to fail */
        }
    }
    return 1;
}

/* Finds out about the types that the last attempt did not know. Objects that it took for foreign may have a row
 * then. 0, or -1 with an exception. */
static int
learn_strangers(ot_proof_t *p)
{
    int rc = 0;
    Py_CLEAR(p->foreigners);
    ot_ptrmap_free(&p->foreign_index);
    if (p->report != NULL) {
        ot_report_forget_foreign(p->report);
    }
    while (p->strangers.len > 0) {
        PyTypeObject *type = p->strangers.items[--p->strangers.len];
        rc = rc < 0 ? rc : ot_class_learn(p->interp->classes, type);
        if (rc < 0) {
            Py_DECREF(type);
        } else if (ot_vec_push(&p->learnt, type) < 0) {
            Py_DECREF(type);
            PyErr_NoMemory();
            rc = -1;
        }
    }
    return rc;
}

/* What is foreign, as a pickle; for a report each is pickled alone, and nothing is kept of it. NULL with an
 * exception. */
static PyObject *
pickle_foreigners(ot_proof_t *p, ot_held_list_t *kept)
{
    if (p->report != NULL) {
        return ot_report_weigh(p->report, p) < 0 ? NULL : PyBytes_FromStringAndSize(NULL, 0);
    }
    return ot_foreign_pickle(p->interp, p->foreigners, p->root, kept);
}

static int
detach(ot_proof_t *p, bool strict, ot_leftovers_t *leftovers)
{
    PyObject *pickle = NULL;
    ot_held_list_t kept = {0};
    int rc = 0;
    for (int attempt = 0; rc == 0;) {
        Py_ssize_t pickled = pickle == NULL ? 0 : foreigners(p);
        rc = try_detach(p, strict, pickle, pickled, &kept, leftovers);
        bool strangers = p->strangers.len > 0;
        if (rc == 0 && !strangers && attempt++ == MAX_ATTEMPTS) {
            PyErr_SetString(PyExc_RuntimeError,
                            "the tree kept changing while it was being sent: pickling one of its "
                            "objects adds new ones each time");
            rc = -1;
        }
        if (rc == 0) {
            drop_held(p->interp, &kept);
            Py_CLEAR(pickle);
            rc = strangers ? learn_strangers(p) : 0;
            if (rc == 0 && foreigners(p) > 0) {
                pickle = pickle_foreigners(p, &kept);
                rc = pickle == NULL ? -1 : 0;
            }
        }
    }
    drop_held(p->interp, &kept);
    ot_vec_free(&kept);
    Py_XDECREF(pickle);
    return rc;
}

/* ---- the working state ------------------------------------------------------------------- */

static void
drop_types(ot_proof_t *p)
{
    while (p->strangers.len > 0) {
        Py_DECREF(p->strangers.items[--p->strangers.len]);
    }
    while (p->learnt.len > 0) {
        Py_DECREF(p->learnt.items[--p->learnt.len]);
    }
    ot_vec_free(&p->strangers);
    ot_vec_free(&p->learnt);
}

static void
free_proof(ot_proof_t *p)
{
    reset(p, 0);
    drop_types(p);
    ot_ptrmap_free(&p->foreign_index);
    Py_XDECREF(p->foreigners);
    PyMem_RawFree(p);
}

/* The interpreter's spare one, or a new one: a send within another one (pickling may send) finds
 * none. NULL without an exception. */
static ot_proof_t *
take_proof(const ot_interp_t *interp)
{
    ot_proof_t *p = *interp->spare;
    *interp->spare = NULL;
    return p != NULL ? p : PyMem_RawCalloc(1, sizeof *p);
}

/* After a send that succeeded: makes it the spare one. */
static void
keep_proof(const ot_interp_t *interp, ot_proof_t *p)
{
    if (*interp->spare != NULL || p->foreigners != NULL || p->strangers.cap > 0) {
        /* a send with classes or a pickle takes longer than allocating tables anew */
        free_proof(p);
        return;
    }
    reset(p, KEPT_ITEMS); /* a large tree's tables are not kept */
    *interp->spare = p;
}

void
ot_tree_drop_spare(const ot_interp_t *interp)
{
    /* If there is no pointer, the module's import has failed before it was set. */
    if (interp->spare != NULL && *interp->spare != NULL) {
        free_proof(*interp->spare);
        *interp->spare = NULL;
    }
}

/* ---- all of it --------------------------------------------------------------------------- */

void
ot_tree_free(ot_tree_t *tree)
{
    if (!tree->bare) {
        ot_vec_free(&tree->containers);
        ot_classes_reset(tree);
        ot_vec_free(&tree->classes);
        ot_vec_free(&tree->fixes);
        ot_vec_free(&tree->keys);
        drop_arrays(tree);
        ot_vec_free(&tree->arrays);
        assert(tree->held.len == 0);
        ot_vec_free(&tree->held);
        PyMem_RawFree(tree->pickle);
    }
    PyMem_Free(tree);
}

/* The memory of messages is allocated here and freed there, like the objects: in their heap, which
 * is made for that. */
static ot_tree_t *
new_tree(size_t size)
{
    ot_tree_t *tree = PyMem_Calloc(1, size);
    if (tree == NULL) {
        PyErr_NoMemory();
    }
    return tree;
}

/* What a leaf is sent as: itself if every interpreter has it, else a copy. Nothing to prove. */
static ot_tree_t *
detach_leaf(PyObject *root, const ot_kind_t *kind, ot_receipt_t *receipt)
{
    ot_tree_t *tree = new_tree(OT_BARE_TREE_SIZE);
    if (tree == NULL) {
        return NULL;
    }
    tree->bare = true;
    tree->root = kind == NULL ? Py_NewRef(root) : kind->clone(root);
    if (tree->root == NULL) {
        ot_tree_free(tree);
        return NULL;
    }
    *receipt = (ot_receipt_t){.copied = kind != NULL};
    return tree;
}

/* Enters a send among those under way, and takes it out again: other threads' may have come since. */
static void
begin_send(ot_proof_t *p)
{
    ot_consumers_t *consumers = p->interp->consumers;
    p->older = consumers->sends;
    consumers->sends = p;
}

static void
end_send(const ot_proof_t *p)
{
    ot_proof_t **at = &p->interp->consumers->sends;
    while (*at != p) {
        at = &(*at)->older;
    }
    *at = p->older;
}

/* With a report: an empty tree, everything else as it was. */
static ot_tree_t *
detach_tree(const ot_interp_t *interp, PyObject *root, ot_root_rule_t rule, bool strict,
            ot_share_t share, ot_report_t *report, ot_gate_t *gate, ot_receipt_t *receipt,
            ot_leftovers_t *leftovers)
{
    ot_tree_t *tree = new_tree(sizeof *tree);
    if (tree == NULL) {
        return NULL;
    }
    ot_proof_t *p = take_proof(interp);
    if (p == NULL) {
        PyErr_NoMemory();
        ot_tree_free(tree);
        return NULL;
    }
    p->interp = interp;
    p->share = share;
    p->rule = rule;
    p->root = root;
    p->tree = tree;
    p->report = report;
    p->gate = gate;
    begin_send(p);
    int rc = detach(p, strict, leftovers);
    end_send(p);
    if (rc < 0) {
        ot_tree_free(tree);
        free_proof(p);
        return NULL;
    }
    *receipt = p->receipt;
    p->report = NULL;
    p->gate = NULL;
    keep_proof(interp, p);
    return tree;
}

ot_tree_t *
ot_tree_detach(const ot_interp_t *interp, PyObject *root, bool strict, ot_share_t share,
               ot_receipt_t *receipt, ot_leftovers_t *leftovers)
{
    leftovers->len = 0;
    leftovers->items = leftovers->few;
    const ot_kind_t *kind = ot_kind_static(Py_TYPE(root));
    if (ot_is_process_static(root)) {
        return detach_leaf(root, NULL, receipt);
    }
    if (ot_report_trace(interp, root, OT_ROOT_AS_SENT, share) < 0) {
        return NULL;
    }
    if (kind != NULL && kind->leaf && share == OT_SHARE_NOTHING) {
        return detach_leaf(root, kind, receipt);
    }
    return detach_tree(interp, root, OT_ROOT_AS_SENT, strict, share, NULL, NULL, receipt,
                       leftovers);
}

ot_tree_t *
ot_tree_detach_root_counted(const ot_interp_t *interp, PyObject *root, ot_root_rule_t rule,
                            bool strict, ot_receipt_t *receipt, ot_leftovers_t *leftovers)
{
    return ot_tree_detach_gated(interp, root, rule, strict, OT_SHARE_NOTHING, NULL, receipt,
                                leftovers);
}

ot_tree_t *
ot_tree_detach_gated(const ot_interp_t *interp, PyObject *root, ot_root_rule_t rule, bool strict,
                     ot_share_t share, ot_gate_t *gate, ot_receipt_t *receipt,
                     ot_leftovers_t *leftovers)
{
    leftovers->len = 0;
    leftovers->items = leftovers->few;
    if (ot_is_process_static(root)) {
        return detach_leaf(root, NULL, receipt);
    }
    if ((gate == NULL || !gate->traced) && ot_report_trace(interp, root, rule, share) < 0) {
        return NULL;
    }
    if (gate != NULL) {
        gate->traced = true;
    }
    return detach_tree(interp, root, rule, strict, share, NULL, gate, receipt, leftovers);
}

void
ot_tree_settle(ot_leftovers_t *leftovers)
{
    for (size_t i = 0; i < leftovers->len; i++) {
        Py_XDECREF(leftovers->items[i]);
    }
    free_leftovers(leftovers);
}

int
ot_tree_explain(const ot_interp_t *interp, PyObject *root, ot_root_rule_t rule, ot_share_t share,
                ot_report_t *report)
{
    ot_receipt_t receipt;
    ot_leftovers_t unused = {0};
    *report = (ot_report_t){0};
    ot_tree_t *tree =
        detach_tree(interp, root, rule, false, share, report, NULL, &receipt, &unused);
    if (tree == NULL) {
        return -1;
    }
    ot_tree_free(tree);
    return 0;
}
