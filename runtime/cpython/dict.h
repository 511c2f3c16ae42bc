/* dict.h: a dict and its table of keys (pycore_dict.h, Objects/dictobject.c).
 *
 * Threading: see version.h.
 */
#ifndef OT_RUNTIME_CPYTHON_DICT_H
#define OT_RUNTIME_CPYTHON_DICT_H

#include "runtime/cpython/object.h"

#include <internal/pycore_dict.h>

typedef PyDictKeysObject ot_keys_t;

static inline ot_keys_t *
ot_dict_keys(PyObject *d)
{
    return ((PyDictObject *)d)->ma_keys;
}

/* Whether the dict is split: its keys belong to a class, and the dicts of that class's instances share them. */
static inline bool
ot_dict_is_split(PyObject *d)
{
    PyDictObject *dict = (PyDictObject *)d;
    return dict->ma_values != NULL || dict->ma_keys->dk_kind == DICT_KEYS_SPLIT;
}

static inline bool
ot_dict_is_watched(PyObject *d)
{
#if PY_VERSION_HEX >= 0x030e0000
    return (((PyDictObject *)d)->_ma_watcher_tag & DICT_WATCHER_MASK) != 0;
#else
    return (((PyDictObject *)d)->ma_version_tag & DICT_WATCHER_MASK) != 0;
#endif
}

/* Whether these are the keys of an empty dict: one static object of the process. */
static inline bool
ot_keys_static(ot_keys_t *k)
{
    return k->dk_log2_size == 0;
}

static inline size_t
ot_keys_block_size(ot_keys_t *k)
{
    size_t usable = ((size_t)DK_SIZE(k) << 1) / 3;
    size_t entry = DK_IS_UNICODE(k) ? sizeof(PyDictUnicodeEntry) : sizeof(PyDictKeyEntry);
    return offsetof(ot_keys_t, dk_indices) + ((size_t)1 << k->dk_log2_index_bytes) + usable * entry;
}

/* Versions come from a counter of the interpreter; 0 means "none given". */
static inline void
ot_keys_forget_version(ot_keys_t *k)
{
    if (k->dk_version != 0) {
        k->dk_version = 0;
    }
}

/* All-str tables hold (key, value) pairs, general ones (hash, key, value) triples. */
static inline bool
ot_keys_all_str(ot_keys_t *k)
{
    return DK_IS_UNICODE(k);
}

static inline Py_ssize_t
ot_keys_count(ot_keys_t *k)
{
    return k->dk_nentries;
}

/* An entry of an all-str table: me_key, and me_value, which is NULL where it was deleted. */
typedef PyDictUnicodeEntry ot_str_entry_t;

static inline ot_str_entry_t *
ot_keys_str_entries(ot_keys_t *k)
{
    return DK_UNICODE_ENTRIES(k);
}

static inline void
ot_keys_entry(ot_keys_t *k, Py_ssize_t i, PyObject ***key, PyObject ***value)
{
    if (DK_IS_UNICODE(k)) {
        ot_str_entry_t *e = &ot_keys_str_entries(k)[i];
        *key = &e->me_key;
        *value = &e->me_value;
    } else {
        PyDictKeyEntry *e = &DK_ENTRIES(k)[i];
        *key = &e->me_key;
        *value = &e->me_value;
    }
}

/* The entries of a table whose hash is `hash`, in the order in which a look-up meets them; no more
 * than reading, as dictobject.c's do_lookup does it. Begin with {.perturb = (size_t)hash, .i = hash}. */
typedef struct {
    size_t perturb, i;
} ot_keys_probe_t;

static inline Py_ssize_t
ot_keys_index(const ot_keys_t *k, size_t i)
{
    const void *indices = k->dk_indices;
    if (k->dk_log2_size < 8) {
        return ((const int8_t *)indices)[i];
    }
    if (k->dk_log2_size < 16) {
        return ((const int16_t *)indices)[i];
    }
    if (k->dk_log2_size < 32) {
        return ((const int32_t *)indices)[i];
    }
    return (Py_ssize_t)((const int64_t *)indices)[i];
}

/* The next entry with that hash: its number, or -1. */
static inline Py_ssize_t
ot_keys_next(ot_keys_t *k, Py_hash_t hash, ot_keys_probe_t *at)
{
    size_t mask = ((size_t)1 << k->dk_log2_size) - 1;
    for (;;) {
        Py_ssize_t ix = ot_keys_index(k, at->i & mask);
        if (ix == DKIX_EMPTY) {
            return -1;
        }
        at->perturb >>= 5;
        at->i = (at->i & mask) * 5 + at->perturb + 1;
        if (ix < 0) {
            continue; /* deleted */
        }
        Py_hash_t found = DK_IS_UNICODE(k)
                              ? ((PyASCIIObject *)DK_UNICODE_ENTRIES(k)[ix].me_key)->hash
                              : DK_ENTRIES(k)[ix].me_hash;
        if (found == hash) {
            return ix;
        }
    }
}

/* A new untracked dict of that type around `keys` (stolen). NULL and MemoryError, and then keys
 * are still the caller's. */
static inline PyObject *
ot_dict_from_keys_steal(PyTypeObject *type, ot_keys_t *keys, Py_ssize_t used)
{
    PyDictObject *d = (PyDictObject *)ot_py_new_container(type, 0);
    if (d == NULL) {
        return NULL;
    }
    d->ma_used = used;
#if PY_VERSION_HEX >= 0x030e0000
    d->_ma_watcher_tag = 0;
#else
    d->ma_version_tag = 0;
#endif
    d->ma_keys = keys;
    d->ma_values = NULL;
    return (PyObject *)d;
}

/* A byte copy of a combined table in a block of its own, its entries' pointers included (they
 * carry no references). NULL without an exception if there is no memory. */
static inline ot_keys_t *
ot_keys_clone(ot_keys_t *k)
{
    size_t size = ot_keys_block_size(k);
    ot_keys_t *clone = PyMem_Malloc(size);
    if (clone != NULL) {
        memcpy(clone, k, size);
        clone->dk_refcnt = 1;
        clone->dk_version = 0;
    }
    return clone;
}

/* Swaps what two combined dicts hold; both keep their identity and watchers. */
static inline void
ot_dict_swap(PyObject *a, PyObject *b)
{
    PyDictObject *x = (PyDictObject *)a, *y = (PyDictObject *)b;
    ot_keys_t *keys = x->ma_keys;
    Py_ssize_t used = x->ma_used;
    x->ma_keys = y->ma_keys;
    x->ma_used = y->ma_used;
    y->ma_keys = keys;
    y->ma_used = used;
}

/* frozendict came with 3.15: a dict's struct, but no subclass of dict. */
#if PY_VERSION_HEX >= 0x030f0000
#define OT_HAS_FROZENDICT 1

static inline bool
ot_is_frozendict(PyObject *o)
{
    return PyFrozenDict_Check(o);
}

static inline void
ot_frozendict_forget_hash(PyObject *o)
{
    ((PyFrozenDictObject *)o)->ma_hash = -1;
}
#else
#define OT_HAS_FROZENDICT 0

static inline bool
ot_is_frozendict(PyObject *o)
{
    (void)o;
    return false;
}

static inline void
ot_frozendict_forget_hash(PyObject *o)
{
    (void)o;
}
#endif

/* A dict, a frozendict, or an instance of a subclass of either. */
static inline bool
ot_is_any_dict(PyObject *o)
{
    return PyDict_Check(o) || ot_is_frozendict(o);
}

static inline void
ot_dict_set_keys(PyObject *d, ot_keys_t *keys, Py_ssize_t used)
{
    ((PyDictObject *)d)->ma_keys = keys;
    ((PyDictObject *)d)->ma_used = used;
}

#endif
