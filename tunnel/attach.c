/* attach.c: putting a tree into the receiver, or freeing one that nobody receives (see tree.h).
 *
 * What may fail or run Python code comes first (unpickling, handles); then the tree is made
 * whole, which cannot fail; last, containers with rebuilt keys are rehashed.
 *
 * Main invariant: until make_whole the tree is as detach left it, so a failed attach may be
 * repeated, here or in another interpreter.
 * Threading: the receiver's GIL.
 */
#include "tunnel/foreign.h"
#include "tunnel/misfit.h"
#include "tunnel/ndarray.h"
#include "tunnel/rehash.h"
#include "tunnel/retype.h"
#include "runtime/cpython/gc.h"
#include "runtime/pile.h"

/* ---- keys -------------------------------------------------------------------------------- */

typedef struct {
    const void *old; /* the sender's key object: an address, never followed */
    PyObject *here;  /* owned: what the key is called in this interpreter */
    size_t uses;     /* references to `here` that are not in its refcount yet */
} here_t;

/* The i-th key of the last dict: rows have the same keys in order. */
typedef struct {
    const void *address;
    here_t *to;     /* NULL: it stays as it is; so does NULL, a deleted key */
    PyObject *copy; /* borrowed: the message's */
} recent_key_t;

enum { RECENT_KEYS = 16 };

typedef struct {
    const ot_tree_t *tree;
    here_t *keys;
    ot_ptrmap_t index; /* address of a key -> i; for speed only, may be empty */
    recent_key_t recent[RECENT_KEYS];
} keys_t;

/* Index of the key with this address, or keys.len. Only the address is looked at: the sender's
 * key behind it may be gone. */
static size_t
find_key(const keys_t *k, const void *address)
{
    if (k->index.cap != 0) {
        uint32_t *found = ot_ptrmap_get(&k->index, address);
        return found == NULL ? k->tree->keys.len : *found;
    }
    size_t i = 0;
    while (i < k->tree->keys.len && k->tree->keys.items[i].old != address &&
           k->tree->keys.items[i].copy != address) {
        i++;
    }
    return i;
}

/* Looks the i-th key of a dict up. */
static void
look_up(const keys_t *k, recent_key_t *recent, PyObject *key)
{
    size_t at = find_key(k, key);
    bool found = at < k->tree->keys.len;
    *recent = (recent_key_t){.address = key,
                             .to = found ? &k->keys[at] : NULL,
                             .copy = found ? k->tree->keys.items[at].copy : NULL};
}

static void
substitute_keys(keys_t *k, PyObject *dict)
{
    ot_keys_t *table = ot_dict_keys(dict);
    ot_str_entry_t *e = ot_keys_str_entries(table);
    for (Py_ssize_t i = 0, n = ot_keys_count(table); i < n; i++, e++) {
        recent_key_t *recent = &k->recent[(size_t)i % RECENT_KEYS];
        if (recent->address != e->me_key) {
            look_up(k, recent, e->me_key);
        }
        if (recent->to == NULL) {
            continue;
        }
        bool owned = e->me_key == recent->copy; /* a copied dict's; a moved one's is gone already */
        e->me_key = recent->to->here;
        recent->to->uses++;
        if (owned) {
            Py_DECREF(recent->copy);
        }
    }
}

/* Without memory the index stays partial, so it is dropped and look-ups go the slow way. */
static void
index_keys(keys_t *k)
{
    for (size_t i = 0; i < k->tree->keys.len; i++) {
        const ot_key_t *key = &k->tree->keys.items[i];
        if (ot_ptrmap_add(&k->index, key->old, (uint32_t)i) < 0 ||
            ot_ptrmap_add(&k->index, key->copy, (uint32_t)i) < 0) {
            ot_ptrmap_free(&k->index);
            return;
        }
    }
}

/* Prefetches the dicts that come next, which lie in another core's cache. First a dict's own block; by the time its turn
 * is near, that has arrived and tells where the dict's table lies. */
static void
fetch_ahead(const ot_tree_t *tree, size_t i)
{
    enum { DICTS = 24, TABLES = 12, LINES = 3 };
    if (i + DICTS < tree->containers.len) {
        ot_prefetch((void *)tree->containers.items[i + DICTS]);
    }
    if (i + TABLES < tree->containers.len) {
        uintptr_t item = tree->containers.items[i + TABLES];
        if (item & OT_NEEDS_KEYS) {
            const char *table = (const char *)ot_dict_keys(ot_untag(item));
            for (int line = 0; line < LINES; line++) {
                ot_prefetch(table + line * OT_CACHE_LINE);
            }
        }
    }
}

/* Gives every marked dict keys of this interpreter: interned ones where they were interned.
 * `here` has room for keys.len of them. */
static void
settle_keys(ot_tree_t *tree, here_t *here, bool intern)
{
    enum { FEW_KEYS = 8 }; /* are found as fast without an index */
    keys_t k = {.tree = tree, .keys = here};
    for (size_t i = 0; i < tree->keys.len; i++) {
        const ot_key_t *key = &tree->keys.items[i];
        here[i] = (here_t){.old = key->old, .here = Py_NewRef(key->copy)};
        if (intern && key->intern) {
            PyUnicode_InternInPlace(&here[i].here);
        }
    }
    if (tree->keys.len > FEW_KEYS) {
        index_keys(&k);
    }
    for (size_t i = 0; i < tree->containers.len; i++) {
        fetch_ahead(tree, i);
        if (tree->containers.items[i] & OT_NEEDS_KEYS) {
            substitute_keys(&k, ot_untag(tree->containers.items[i]));
        }
    }
    ot_ptrmap_free(&k.index);
    for (size_t i = 0; i < tree->keys.len; i++) {
        ot_py_retain(here[i].here, (Py_ssize_t)here[i].uses);
        Py_DECREF(here[i].here);
        Py_DECREF(tree->keys.items[i].copy);
    }
    tree->keys.len = 0;
}

int
ot_tree_own_keys(ot_tree_t *tree)
{
    ot_ptrmap_t index = {0};
    for (size_t i = 0; i < tree->keys.len; i++) {
        if (ot_ptrmap_add(&index, tree->keys.items[i].old, (uint32_t)i) < 0) {
            ot_ptrmap_free(&index);
            PyErr_NoMemory();
            return -1;
        }
    }
    for (size_t i = 0; i < tree->containers.len; i++) {
        if (!(tree->containers.items[i] & OT_NEEDS_KEYS)) {
            continue;
        }
        ot_keys_t *keys = ot_dict_keys(ot_untag(tree->containers.items[i]));
        ot_str_entry_t *e = ot_keys_str_entries(keys);
        for (Py_ssize_t k = 0, n = ot_keys_count(keys); k < n; k++, e++) {
            const uint32_t *at = e->me_key == NULL ? NULL : ot_ptrmap_get(&index, e->me_key);
            ot_key_t *key = at == NULL ? NULL : &tree->keys.items[*at];
            if (key != NULL && key->old != key->copy) {
                e->me_key = Py_NewRef(key->copy);
            }
        }
    }
    for (size_t i = 0; i < tree->keys.len; i++) {
        tree->keys.items[i].old = tree->keys.items[i].copy;
    }
    ot_ptrmap_free(&index);
    return 0;
}

/* ---- making it whole --------------------------------------------------------------------- */

/* Whether the place is filled only after ot_classes_enter: an instance's __dict__. That function expects there what the
 * sender's class laid out, or nothing, and not a dict of the receiver's. */
static bool
is_for_later(const ot_fix_t *fix)
{
    return fix->what == OT_SLOT_DICT;
}

/* The object that fills the place, borrowed. `made` has a handle for each shared object that the
 * message holds, then an object for each array. */
static PyObject *
what_fills(const ot_tree_t *tree, const ot_fix_t *fix, PyObject *objects, PyObject **made)
{
    switch (fix->source) {
    case OT_FROM_HELD:
        return made[fix->index];
    case OT_FROM_ARRAYS:
        return made[tree->held.len + fix->index];
    default:
        return PyList_GET_ITEM(objects, fix->index);
    }
}

/* Fills the places for which is_for_later() is `later`. */
static void
fill_fixes(const ot_tree_t *tree, PyObject *objects, PyObject **made, bool later)
{
    for (size_t i = 0; i < tree->fixes.len; i++) {
        const ot_fix_t *fix = &tree->fixes.items[i];
        if (is_for_later(fix) == later) {
            *fix->slot = Py_NewRef(what_fills(tree, fix, objects, made));
        }
    }
}

/* Whether each place that holds one C type gets an object of it. 0, or -1 with TypeError. */
static int
check_fixes(ot_tree_t *tree, ot_arrivals_t *arrivals, PyObject *objects, PyObject **made)
{
    for (size_t i = 0; i < tree->fixes.len; i++) {
        const ot_fix_t *fix = &tree->fixes.items[i];
        if (fix->what == OT_SLOT_ANY) {
            continue;
        }
        PyObject *o = what_fills(tree, fix, objects, made);
        if (!ot_slot_takes(fix->what, o)) {
            return ot_raise_misfit(tree, arrivals, fix, o);
        }
    }
    return 0;
}

/* Makes the tree the current interpreter's; cannot fail. Most fixes are filled already: some
 * of their slots are attributes, which may be put elsewhere here. */
static void
make_whole(ot_tree_t *tree, ot_arrivals_t *arrivals, here_t *here, bool intern)
{
    if (arrivals != NULL) {
        ot_classes_enter(arrivals, &tree->tracked);
    }
    if (tree->keys.len > 0) {
        settle_keys(tree, here, intern);
    }
}

/* One handle per object that a slot refers to; -1 with an exception set. */
static int
make_handles(const ot_interp_t *interp, const ot_tree_t *tree, PyObject **handles)
{
    for (size_t i = 0; i < tree->fixes.len; i++) {
        const ot_fix_t *fix = &tree->fixes.items[i];
        if (fix->source != OT_FROM_HELD || handles[fix->index] != NULL) {
            continue;
        }
        handles[fix->index] =
            interp->handles.make(interp->handles.home, &tree->held.items[fix->index]);
        if (handles[fix->index] == NULL) {
            return -1;
        }
    }
    return 0;
}

/* An object for each array; -1 with an exception set. */
static int
make_arrays(const ot_interp_t *interp, const ot_tree_t *tree, PyObject **made)
{
    for (size_t i = 0; i < tree->arrays.len; i++) {
        made[i] = ot_ndata_object(interp, tree->arrays.items[i]);
        if (made[i] == NULL) {
            return -1;
        }
    }
    return 0;
}

/* Gives the arrays' data to the objects that stand for them; cannot fail. */
static void
fill_arrays(ot_tree_t *tree, PyObject **made)
{
    for (size_t i = 0; i < tree->arrays.len; i++) {
        ot_ndata_give(tree->arrays.items[i], made[i]);
    }
}

ot_node_t *
ot_held_drop(ot_held_list_t *held)
{
    ot_node_t *chain = NULL;
    while (held->len > 0) {
        ot_held_t last = held->items[--held->len];
        PyMem_RawFree(last.beside);
        ot_node_t *left = ot_channel_unref_any(last.shared);
        while (left != NULL) {
            ot_node_t *next = left->next;
            left->next = chain;
            chain = left;
            left = next;
        }
    }
    return chain;
}

/* Room for as many things as a small message needs, without an allocation. */
enum { FEW = 8 };

/* Room for n things, zeroed; `few` if it has that, else raw memory. NULL without memory. */
static void *
array_of(size_t n, size_t size, void *few)
{
    return n > FEW ? PyMem_RawCalloc(n, size) : memset(few, 0, n * size);
}

static void
free_array(void *array, void *few)
{
    if (array != few) {
        PyMem_RawFree(array);
    }
}

/* Classes to find for instances; NULL is fine where there are none. 0, or -1 with an exception. */
static int
find_classes(const ot_interp_t *interp, ot_tree_t *tree, bool for_disposal,
             ot_arrivals_t **arrivals)
{
    const ot_tree_class_t *failed;
    if (tree->classes.len == 0) {
        return 0;
    }
    *arrivals = ot_classes_find(interp, tree, for_disposal, &failed);
    if (*arrivals == NULL && !for_disposal && failed != NULL) {
        ot_say_where(interp, tree, failed);
    }
    return *arrivals == NULL ? -1 : 0;
}

/* Drops what the message has beside the objects, and its struct; keeps the current exception. */
static void
end_message(const ot_interp_t *interp, ot_tree_t *tree)
{
    PyObject *error = PyErr_GetRaisedException();
    ot_tree_dispose_chain(interp, ot_held_drop(&tree->held));
    PyErr_SetRaisedException(error);
    ot_tree_free(tree);
}

/* Says with the current exception, whose cause is `why`, that the message is lost. Steals both. */
static void
say_lost_steal(PyObject *error, PyObject *why)
{
    PyObject *note = PyUnicode_FromFormat(
        "The message is lost: it had been rebuilt in part and could not be put back (%S)", why);
    PyObject *none = note == NULL ? NULL : PyObject_CallMethod(error, "add_note", "O", note);
    if (none == NULL) {
        PyErr_WriteUnraisable(error);
    }
    Py_XDECREF(none);
    Py_XDECREF(note);
    Py_DECREF(why);
    PyErr_SetRaisedException(error);
}

/* An attached tree whose keys could not be rehashed, or not all of them, is made a message again, by
 * the same rules as any tree is sent: what the failed code still refers to is copied. With the current
 * exception; returns NULL where that is impossible, and the exception says so. refused: of the message
 * that it was. Refs: steals root. */
static ot_tree_t *
take_back_steal(const ot_interp_t *interp, PyObject *root, uint64_t refused)
{
    PyObject *error = PyErr_GetRaisedException();
    ot_leftovers_t leftovers;
    ot_tree_t *tree = ot_tree_detach_root(interp, root, OT_ROOT_OWNED, &leftovers);
    if (tree == NULL) {
        Py_DECREF(root);
        say_lost_steal(error, PyErr_GetRaisedException());
        return NULL;
    }
    Py_DECREF(root);
    ot_tree_settle(&leftovers);
    PyErr_SetRaisedException(error);
    /* Some hashes are stale, for whatever reason they were to be rehashed. */
    tree->bare = false;
    tree->rehash = true;
    tree->refused = refused;
    return tree;
}

static PyObject *
attach(const ot_interp_t *interp, ot_tree_t **message)
{
    ot_tree_t *tree = *message;
    PyObject *root = NULL, *objects = NULL;
    ot_arrivals_t *arrivals = NULL;
    here_t few_here[FEW], *here = array_of(tree->keys.len, sizeof *here, few_here);
    size_t n_held = tree->held.len, n_made = n_held + tree->arrays.len;
    PyObject *few_made[FEW], **made = array_of(n_made, sizeof *made, few_made);
    if (here == NULL || made == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    if (find_classes(interp, tree, false, &arrivals) < 0) {
        goto done;
    }
    if (tree->pickle != NULL && (objects = ot_foreign_unpickle(interp, tree)) == NULL) {
        ot_say_where(interp, tree, NULL);
        goto done;
    }
    if (make_handles(interp, tree, made) < 0 || make_arrays(interp, tree, made + n_held) < 0 ||
        check_fixes(tree, arrivals, objects, made) < 0 ||
        ot_check_array_attributes(tree, arrivals, made + n_held) < 0 ||
        (arrivals != NULL && ot_classes_plan(arrivals) < 0)) {
        goto done;
    }
    fill_arrays(tree, made + n_held);
    fill_fixes(tree, objects, made, false);
    make_whole(tree, arrivals, here, true);
    fill_fixes(tree, objects, made, true);
    OT_CHECK(ot_tree_check(tree, objects, made, n_made));
    ot_gc_chain_arrive(&tree->tracked, tree->acyclic);
    tree->fixes.len = 0;
    root = tree->root;
    *message = NULL;
    if (tree->rehash && ot_rehash(tree, objects) < 0) {
        *message = take_back_steal(interp, root, tree->refused);
        root = NULL;
    }
    end_message(interp, tree);
done:
    ot_arrivals_free(arrivals);
    Py_XDECREF(objects);
    for (size_t i = 0; made != NULL && i < n_made; i++) {
        Py_XDECREF(made[i]);
    }
    free_array(made, few_made);
    free_array(here, few_here);
    return root;
}

/* ---- disposal ---------------------------------------------------------------------------- */

/* Messages that could not be freed where it was tried: their classes cannot be imported there, or
 * no longer, as the interpreter ends; or who had them last has no thread state. Whoever disposes of or
 * receives something next tries again. */
static ot_pile_t orphans;
_Static_assert(offsetof(ot_node_t, next) == 0, "a message lies on the pile by its link");

/* A bare tree has no room for `tried`, and is freed wherever it is tried. */
static void
orphan(ot_tree_t *tree, int64_t tried)
{
    if (!tree->bare) {
        tree->tried = tried;
    }
    ot_pile_put(&orphans, (ot_piled_t *)&tree->node);
}

/* Puts those before `chain` that were not tried here last. */
static ot_node_t *
adopt_orphans(ot_node_t *chain)
{
    int64_t here = PyInterpreterState_GetID(PyInterpreterState_Get());
    for (ot_node_t *o = (ot_node_t *)ot_pile_take(&orphans), *next; o != NULL; o = next) {
        next = o->next;
        const ot_tree_t *tree = (ot_tree_t *)o;
        if (!tree->bare && tree->tried == here) {
            ot_pile_put(&orphans, (ot_piled_t *)o);
        } else {
            o->next = chain;
            chain = o;
        }
    }
    return chain;
}

/* Frees a bare tree's struct; its root, a new reference. Cannot fail. */
static PyObject *
unwrap(ot_tree_t *tree)
{
    PyObject *root = tree->root;
    OT_CHECK(ot_tree_check(tree, NULL, NULL, 0));
    ot_gc_chain_arrive(&tree->tracked, tree->acyclic);
    ot_tree_free(tree);
    return root;
}

void
ot_tree_leave_chain(ot_node_t *chain)
{
    for (ot_node_t *next; chain != NULL; chain = next) {
        next = chain->next;
        ot_tree_t *tree = (ot_tree_t *)chain;
        if (tree->bare) {
            Py_DECREF(unwrap(tree)); /* needs no interpreter's help */
        } else {
            orphan(tree, -1);
        }
    }
}

void
ot_tree_inherit(ot_node_t *chain)
{
    for (ot_node_t *next; chain != NULL; chain = next) {
        next = chain->next;
        orphan((ot_tree_t *)chain, -1);
    }
}

/* Whether the tree could be made whole, to be dropped. */
static bool
settle_for_disposal(const ot_interp_t *interp, ot_tree_t *tree)
{
    PyObject *error = PyErr_GetRaisedException();
    ot_arrivals_t *arrivals = NULL;
    here_t few_here[FEW], *here = array_of(tree->keys.len, sizeof *here, few_here);
    bool ready = here != NULL && find_classes(interp, tree, true, &arrivals) == 0 &&
                 (arrivals == NULL || ot_classes_plan(arrivals) == 0);
    if (ready) {
        make_whole(tree, arrivals, here, false);
        ot_gc_chain_arrive(&tree->tracked, tree->acyclic);
    }
    ot_arrivals_free(arrivals);
    free_array(here, few_here);
    PyErr_SetRaisedException(error);
    return ready;
}

/* Frees one message; returns the messages of channels that died with it. */
static ot_node_t *
dispose_one(const ot_interp_t *interp, ot_tree_t *tree)
{
    if (tree->bare) {
        Py_DECREF(unwrap(tree));
        return NULL;
    }
    if (!settle_for_disposal(interp, tree)) {
        orphan(tree, PyInterpreterState_GetID(PyInterpreterState_Get()));
        return NULL;
    }
    Py_DECREF(tree->root);
    ot_node_t *chain = ot_held_drop(&tree->held);
    ot_tree_free(tree);
    return chain;
}

void
ot_tree_dispose_chain(const ot_interp_t *interp, ot_node_t *chain)
{
    chain = adopt_orphans(chain);
    while (chain != NULL) {
        ot_node_t *next = chain->next;
        ot_node_t *more = dispose_one(interp, (ot_tree_t *)chain);
        while (more != NULL) {
            ot_node_t *after = more->next;
            more->next = next;
            next = more;
            more = after;
        }
        chain = next;
    }
}

void
ot_tree_dispose(const ot_interp_t *interp, ot_tree_t *tree)
{
    tree->node.next = NULL;
    ot_tree_dispose_chain(interp, &tree->node);
}

/* ---- arriving ---------------------------------------------------------------------------- */

PyObject *
ot_tree_attach(const ot_interp_t *interp, ot_tree_t **message)
{
    ot_tree_t *tree = *message;
    if (!tree->bare) {
        return attach(interp, message);
    }
    *message = NULL;
    PyObject *root = unwrap(tree);
    if (!ot_pile_is_empty(&orphans)) {
        ot_tree_dispose_chain(interp, NULL);
    }
    return root;
}
