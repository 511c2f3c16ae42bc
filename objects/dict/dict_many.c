/* dict_many.c: what concerns all keys of a LockingDict: snapshots, copies, update, clear, popitem.
 *
 * Main invariant: a snapshot is taken in one guard and sorted by the entries' order of coming. What is
 * there all the time is in it, once, with a value that it had meanwhile; it is not one moment's.
 * What others replace or remove during that guard is kept until its end: who took a long snapshot
 * frees it then, whoever it was that retired it.
 * Threading: see dict.h. What cannot be had within the guard (a key that is checked out, an opaque
 * value) is fetched afterwards; a key that is removed meanwhile is not in the snapshot.
 */
#include <malloc.h>
#include <stdlib.h>

#include "objects/core/hidden.h"
#include "objects/core/repr.h"
#include "objects/dict/dict.h"

enum {
    CLEARED = 128, /* keys that clear() removes in one guard */
    LONG = 1000,   /* entries: a walk during which much may have been retired */
    MANY = 10000   /* entries: a megabyte */
};

/* ---- entries in their order ------------------------------------------------------------------- */

typedef struct {
    uint64_t seq;
    ot_entry_t *entry;
} place_t;

typedef OT_VEC(place_t) places_t;

static int
by_seq(const void *a, const void *b)
{
    uint64_t x = ((const place_t *)a)->seq, y = ((const place_t *)b)->seq;
    return (x > y) - (x < y);
}

/* Within the caller's guard. -1: MemoryError. */
static int
all_places(PyObject *self, places_t *all)
{
    ot_map_cursor_t cursor = {0, NULL};
    *all = (places_t){0};
    for (ot_entry_t *e; (e = ot_map_next(ot_ldict_map(self), &cursor)) != NULL;) {
        place_t place = {atomic_load_explicit(&e->seq, memory_order_relaxed), e};
        if (ot_vec_push(all, place) < 0) {
            ot_vec_free(all);
            PyErr_NoMemory();
            return -1;
        }
    }
    if (all->len > 0) {
        qsort(all->items, all->len, sizeof *all->items, by_seq);
    }
    return 0;
}

static PyObject *
key_of(const ot_entry_t *e)
{
    ot_mapkey_t key = ot_entry_key(e);
    return ot_key_object(&key);
}

/* ---- snapshots -------------------------------------------------------------------------------- */

/* Two lists side by side, hidden. values[i] NULL: to be fetched by its key. */
typedef struct {
    PyObject *keys, *values;
} lists_t;

static void
lists_clear(lists_t *lists)
{
    Py_CLEAR(lists->keys);
    Py_CLEAR(lists->values);
}

/* Within the guard. */
static int
add_item(ot_objects_t *home, lists_t *lists, Py_ssize_t i, const ot_entry_t *e)
{
    PyObject *key = key_of(e);
    if (key == NULL) {
        return -1;
    }
    PyList_SET_ITEM(lists->keys, i, key);
    if (lists->values == NULL) {
        return 0;
    }
    ot_word_t word = ot_entry_load(e);
    bool later = !ot_word_is_there(word) || ot_word_is_claim(word) ||
                 (ot_word_is_value(word) && ot_word_value(word)->form == OT_VALUE_OPAQUE);
    PyObject *value = later ? NULL : ot_ldict_object_of(home, word);
    PyList_SET_ITEM(lists->values, i, value);
    return later || value != NULL ? 0 : -1;
}

static int
fill(PyObject *self, lists_t *lists, bool values)
{
    places_t all;
    if (all_places(self, &all) < 0) {
        return -1;
    }
    int rc = -1;
    lists->keys = ot_hidden(PyList_New((Py_ssize_t)all.len));
    lists->values =
        values && lists->keys != NULL ? ot_hidden(PyList_New((Py_ssize_t)all.len)) : NULL;
    if (lists->keys != NULL && (!values || lists->values != NULL)) {
        rc = 0;
        for (size_t i = 0; i < all.len && rc == 0; i++) {
            rc = add_item(ot_ldict_home(self), lists, (Py_ssize_t)i, all.items[i].entry);
        }
    }
    ot_vec_free(&all);
    return rc;
}

/* What the guard could not give: DONE, or MISSING if the key is gone meanwhile. */
static ot_ldict_result_t
fetch(PyObject *self, PyObject *key, PyObject **value)
{
    ot_pykey_t k;
    if (ot_pykey_init(&k, key) < 0) {
        return OT_LDICT_FAILED;
    }
    ot_ldict_result_t result = ot_ldict_lookup(self, &k.key, value);
    ot_pykey_clear(&k);
    return result;
}

/* Fetches the values that the guard could not give, and closes the gaps of keys that are gone
 * meanwhile. */
static int
fetch_the_rest(PyObject *self, lists_t *lists)
{
    Py_ssize_t n = 0, all = PyList_GET_SIZE(lists->keys);
    for (Py_ssize_t i = 0; i < all; i++) {
        PyObject *key = PyList_GET_ITEM(lists->keys, i), *value = PyList_GET_ITEM(lists->values, i);
        if (value == NULL && fetch(self, key, &value) == OT_LDICT_FAILED) {
            return -1;
        }
        PyList_SET_ITEM(lists->keys, i, NULL);
        PyList_SET_ITEM(lists->values, i, NULL);
        if (value != NULL) {
            PyList_SET_ITEM(lists->keys, n, key);
            PyList_SET_ITEM(lists->values, n++, value);
        } else {
            Py_DECREF(key);
        }
    }
    return n == all || (PyList_SetSlice(lists->keys, n, all, NULL) == 0 &&
                        PyList_SetSlice(lists->values, n, all, NULL) == 0)
               ? 0
               : -1;
}

/* 0, or -1 with an exception and nothing to clear. */
static int
take_snapshot(PyObject *self, lists_t *lists, bool values)
{
    *lists = (lists_t){NULL, NULL};
    if (!ot_epoch_enter()) {
        PyErr_NoMemory();
        return -1;
    }
    int rc = fill(self, lists, values);
    ot_epoch_leave();
    if (rc == 0 && (PyList_GET_SIZE(lists->keys) >= LONG || ot_epoch_is_asked())) {
        ot_epoch_collect(true);
    }
    if (rc == 0 && values) {
        rc = fetch_the_rest(self, lists);
    }
    if (rc < 0) {
        lists_clear(lists);
    }
    return rc;
}

PyObject *
ot_ldict_keys(PyObject *self, PyObject *unused)
{
    (void)unused;
    lists_t lists;
    return take_snapshot(self, &lists, false) < 0 ? NULL : ot_hidden_show(lists.keys);
}

PyObject *
ot_ldict_values(PyObject *self, PyObject *unused)
{
    (void)unused;
    lists_t lists;
    if (take_snapshot(self, &lists, true) < 0) {
        return NULL;
    }
    Py_DECREF(lists.keys);
    return ot_hidden_show(lists.values);
}

PyObject *
ot_ldict_items(PyObject *self, PyObject *unused)
{
    (void)unused;
    lists_t lists;
    if (take_snapshot(self, &lists, true) < 0) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(lists.keys); i++) {
        PyObject *item =
            PyTuple_Pack(2, PyList_GET_ITEM(lists.keys, i), PyList_GET_ITEM(lists.values, i));
        if (item == NULL || PyList_SetItem(lists.values, i, item) < 0) {
            lists_clear(&lists);
            return NULL;
        }
    }
    Py_DECREF(lists.keys);
    return ot_hidden_show(lists.values);
}

PyObject *
ot_ldict_snapshot(PyObject *self)
{
    lists_t lists;
    if (take_snapshot(self, &lists, true) < 0) {
        return NULL;
    }
    PyObject *dict = PyDict_New();
    for (Py_ssize_t i = 0; dict != NULL && i < PyList_GET_SIZE(lists.keys); i++) {
        if (PyDict_SetItem(dict, PyList_GET_ITEM(lists.keys, i), PyList_GET_ITEM(lists.values, i)) <
            0) {
            Py_CLEAR(dict);
        }
    }
    lists_clear(&lists);
    return dict;
}

/* ---- repr ------------------------------------------------------------------------------------- */

/* "key: value"; None: it is gone meanwhile. NULL with an exception. */
static PyObject *
repr_of_item(PyObject *self, PyObject *key)
{
    ot_pykey_t k;
    PyObject *value;
    if (ot_pykey_init(&k, key) < 0) {
        return NULL;
    }
    ot_ldict_result_t result = ot_ldict_show(self, &k.key, &value);
    ot_pykey_clear(&k);
    if (result != OT_LDICT_DONE) {
        return result == OT_LDICT_MISSING ? Py_NewRef(Py_None) : NULL;
    }
    PyObject *text = PyUnicode_FromFormat("%R: %U", key, value);
    Py_DECREF(value);
    return text;
}

static PyObject *
repr_of_items(PyObject *self)
{
    PyObject *keys = ot_ldict_keys(self, NULL), *texts = keys == NULL ? NULL : PyList_New(0);
    for (Py_ssize_t i = 0; texts != NULL && i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = Py_NewRef(PyList_GET_ITEM(keys, i)), *text = repr_of_item(self, key);
        if (text == NULL || (text != Py_None && PyList_Append(texts, text) < 0)) {
            Py_CLEAR(texts);
        }
        Py_DECREF(key);
        Py_XDECREF(text);
    }
    Py_XDECREF(keys);
    return ot_repr_join_steal("LockingDict({", texts, "})");
}

PyObject *
ot_ldict_repr(PyObject *self)
{
    ot_repr_t under_way;
    int within = ot_repr_enter(self, &under_way);
    if (within != 0) {
        return within < 0 ? NULL : PyUnicode_FromString("LockingDict({...})");
    }
    PyObject *repr = repr_of_items(self);
    ot_repr_leave(&under_way);
    return repr;
}

/* ---- copies ----------------------------------------------------------------------------------- */

PyObject *
ot_ldict_new_empty(ot_objects_t *home)
{
    ot_map_t *map = ot_map_new(ot_ldict_drop);
    return map == NULL ? PyErr_NoMemory() : ot_handle_steal(home, &map->head);
}

/* Entries of another map, with words of their own; GONE: checked out there. */
typedef struct {
    ot_entry_t **entries;
    size_t n;
} clones_t;

static void
clones_free(clones_t *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->entries[i] != NULL) {
            ot_ldict_drop(ot_entry_load(c->entries[i]));
            ot_entry_free(c->entries[i]);
        }
    }
    PyMem_Free(c->entries);
}

static int
clone_all(const places_t *all, clones_t *c)
{
    c->n = 0;
    c->entries = PyMem_Malloc((all->len + 1) * sizeof(ot_entry_t *));
    if (c->entries == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (; c->n < all->len; c->n++) {
        const ot_entry_t *e = all->items[c->n].entry;
        ot_mapkey_t key = ot_entry_key(e);
        ot_word_t word = ot_entry_load(e);
        word = ot_word_is_claim(word) ? OT_WORD_GONE : word;
        c->entries[c->n] = ot_entry_new(&key, word);
        if (c->entries[c->n] == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        ot_ldict_ref(word);
    }
    return 0;
}

/* Values are not copied: both maps hold references to them. */
static int
store_clone(PyObject *self, PyObject *other, ot_entry_t *clone)
{
    ot_mapkey_t key = ot_entry_key(clone);
    ot_word_t word = ot_entry_load(clone);
    if (word == OT_WORD_GONE) {
        PyObject *value;
        ot_ldict_result_t result = ot_ldict_lookup(other, &key, &value);
        if (result != OT_LDICT_DONE) {
            return result == OT_LDICT_MISSING ? 0 : -1;
        }
        int rc = ot_ldict_word_of(ot_ldict_home(self), value, &word);
        Py_DECREF(value);
        if (rc < 0) {
            return -1;
        }
    } else {
        atomic_store_explicit(&clone->word, OT_WORD_GONE, memory_order_relaxed);
    }
    if (ot_ldict_store(self, &key, word) < 0) {
        ot_ldict_drop(word);
        return -1;
    }
    return 0;
}

static int
update_from_other(PyObject *self, PyObject *other)
{
    places_t all;
    clones_t clones = {NULL, 0};
    if (!ot_epoch_enter()) {
        PyErr_NoMemory();
        return -1;
    }
    int rc = all_places(other, &all);
    if (rc == 0) {
        rc = clone_all(&all, &clones);
        ot_vec_free(&all);
    }
    ot_epoch_leave();
    if (rc == 0 && (clones.n >= LONG || ot_epoch_is_asked())) {
        ot_epoch_collect(true);
    }
    for (size_t i = 0; i < clones.n && rc == 0; i++) {
        rc = store_clone(self, other, clones.entries[i]);
    }
    clones_free(&clones);
    return rc;
}

PyObject *
ot_ldict_copy(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *copy = ot_ldict_new_empty(ot_ldict_home(self));
    if (copy != NULL && update_from_other(copy, self) < 0) {
        Py_CLEAR(copy);
    }
    return copy;
}

/* ---- update ----------------------------------------------------------------------------------- */

static int
store_item(PyObject *self, PyObject *key, PyObject *value)
{
    ot_pykey_t k;
    ot_word_t word;
    if (ot_pykey_init(&k, key) < 0) {
        return -1;
    }
    int rc = ot_ldict_word_of(ot_ldict_home(self), value, &word);
    if (rc == 0 && (rc = ot_ldict_store(self, &k.key, word)) < 0) {
        ot_ldict_drop(word);
    }
    ot_pykey_clear(&k);
    return rc;
}

static int
store_all(PyObject *self, PyObject *dict)
{
    PyObject *items = PyDict_Items(dict); /* storing may run Python code, which may change it */
    if (items == NULL) {
        return -1;
    }
    int rc = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items) && rc == 0; i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        rc = store_item(self, PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1));
    }
    Py_DECREF(items);
    return rc;
}

/* What dict() makes of the arguments: all errors in them come before anything is changed. */
int
ot_ldict_update_from(PyObject *self, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) == 1 && (kwargs == NULL || PyDict_GET_SIZE(kwargs) == 0) &&
        Py_IS_TYPE(PyTuple_GET_ITEM(args, 0), Py_TYPE(self))) {
        return update_from_other(self, PyTuple_GET_ITEM(args, 0));
    }
    PyObject *dict = PyObject_Call((PyObject *)&PyDict_Type, args, kwargs);
    int rc = dict == NULL ? -1 : store_all(self, dict);
    Py_XDECREF(dict);
    return rc;
}

/* ---- clear, popitem --------------------------------------------------------------------------- */

/* A copy of e's key, as an entry that is in no map and that the caller frees by ot_entry_free.
 * NULL with MemoryError. */
static ot_entry_t *
remember(const ot_entry_t *e)
{
    ot_mapkey_t key = ot_entry_key(e);
    ot_entry_t *own = ot_entry_new(&key, OT_WORD_GONE);
    return own != NULL ? own : (ot_entry_t *)PyErr_NoMemory();
}

/* The word that it removed; or the one that it left, of a claim; or GONE: others removed it. A value
 * that is replaced meanwhile is no reason to leave it: who replaced it (add, say) may have seen the
 * old one, so that the clear cannot be said to have come before. */
static ot_word_t
remove_unless_claimed(ot_map_t *map, ot_entry_t *e)
{
    ot_word_t word;
    do {
        word = ot_entry_load(e);
    } while (ot_word_is_there(word) && !ot_word_is_claim(word) && !ot_map_remove(map, e, word));
    return word;
}

/* Removes some, in a guard of their own: what they were is freed before the next ones go. From `hash`
 * on, if the cursor is under way. 1: there may be more; 0: those were the last; -1: exception.
 *
 * What came since the clear began (seq >= end) stays. A clear can meet a key again, in a second pass or
 * behind the entry that it has just removed. Without this it would act twice on one key, and remove what
 * another had added meanwhile. */
static int
clear_some(PyObject *self, uint64_t end, ot_map_cursor_t *cursor, uint64_t *hash,
           ot_entry_t **claimed)
{
    ot_map_t *map = ot_ldict_map(self);
    if (!ot_epoch_reserve(2 * CLEARED) || !ot_epoch_enter()) {
        PyErr_NoMemory();
        return -1;
    }
    if (cursor->node != NULL) {
        ot_map_resume(map, cursor, *hash);
    }
    int rc = 0;
    for (int removed = 0; rc == 0 && removed < CLEARED;) {
        ot_entry_t *e = ot_map_next(map, cursor);
        if (e == NULL) {
            break;
        }
        *hash = e->hash;
        if (atomic_load_explicit(&e->seq, memory_order_relaxed) >= end) {
            continue;
        }
        ot_word_t word = remove_unless_claimed(map, e);
        if (!ot_word_is_claim(word)) {
            ot_ldict_retire(word);
            rc = ++removed == CLEARED;
        } else if (*claimed == NULL && (*claimed = remember(e)) == NULL) {
            rc = -1;
        }
    }
    ot_epoch_leave();
    if (rc >= 0) {
        ot_epoch_collect(false);
    }
    return rc;
}

/* One pass; *claimed is then a key that is checked out, if there is one. Memory can run out before the
 * first keys are gone, and later only if somebody reads for so long that they pile up. */
static int
clear_unclaimed(PyObject *self, uint64_t end, ot_entry_t **claimed)
{
    ot_map_cursor_t cursor = {0, NULL};
    uint64_t hash = 0;
    int more;
    *claimed = NULL;
    do {
        more = clear_some(self, end, &cursor, &hash, claimed);
    } while (more > 0);
    return more;
}

PyObject *
ot_ldict_clear(PyObject *self, PyObject *unused)
{
    (void)unused;
    size_t before = ot_map_len(ot_ldict_map(self));
    uint64_t end = atomic_load(&ot_ldict_map(self)->next_seq);
    for (;;) {
        ot_entry_t *claimed;
        int rc = clear_unclaimed(self, end, &claimed);
        if (claimed == NULL) {
            if (before >= MANY) {
                /* The shards' entries lie among each other: pages are free only now. */
                malloc_trim(0);
            }
            return rc < 0 ? NULL : Py_NewRef(Py_None);
        }
        ot_mapkey_t key = ot_entry_key(claimed);
        bool failed = rc < 0 || ot_ldict_wait(self, &key, OT_FOREVER, OT_DICT_OVERRIDE,
                                              OT_WORD_GONE) == OT_LDICT_FAILED;
        ot_entry_free(claimed);
        if (failed) {
            return NULL;
        }
    }
}

/* Claims the newest key for the caller: 1. 0: somebody was faster, look again. -1 with an
 * exception. */
static int
claim_newest(PyObject *self, ot_claim_t *claim, ot_word_t *word, PyObject **key)
{
    ot_entry_t *claimed = NULL;
    if (!ot_epoch_enter()) {
        PyErr_NoMemory();
        return -1;
    }
    ot_entry_t *e = ot_claim_take_newest(claim, word, &claimed);
    if (e != NULL) {
        *key = key_of(e);
        ot_epoch_leave();
        return 1;
    }
    bool empty = claimed == NULL;
    ot_entry_t *own = empty ? NULL : remember(claimed);
    ot_epoch_leave();
    if (own == NULL) {
        if (empty) {
            PyErr_SetString(PyExc_KeyError, "popitem(): dictionary is empty");
        }
        return -1;
    }
    ot_mapkey_t waited_for = ot_entry_key(own);
    ot_ldict_result_t result =
        ot_ldict_wait(self, &waited_for, OT_FOREVER, OT_DICT_RAISE, OT_WORD_GONE);
    ot_entry_free(own);
    return result == OT_LDICT_FAILED ? -1 : 0;
}

PyObject *
ot_ldict_popitem(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *item = ot_hidden(PyTuple_New(2)), *key = NULL, *value;
    ot_word_t word;
    ot_claim_t *claim = ot_claim_new(ot_ldict_map(self), ot_ldict_home(self)->interp_id);
    int rc = 0;
    if (item == NULL || claim == NULL) {
        PyErr_NoMemory();
        rc = -1;
    }
    while (rc == 0) {
        rc = claim_newest(self, claim, &word, &key);
    }
    if (rc < 0) {
        if (claim != NULL) {
            ot_claim_free(claim);
        }
        Py_XDECREF(item);
        return NULL;
    }
    value = key == NULL ? NULL : ot_ldict_take(ot_ldict_home(self), word);
    ot_ldict_settle(claim, value == NULL ? word : OT_WORD_GONE);
    if (value == NULL) {
        Py_XDECREF(key);
        Py_DECREF(item);
        return NULL;
    }
    PyTuple_SET_ITEM(item, 0, key);
    PyTuple_SET_ITEM(item, 1, value);
    return ot_hidden_show(item);
}
