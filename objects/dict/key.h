/* key.h: Python objects as keys of a table that all interpreters use, and back.
 *
 * Purpose: None, bool, int, float, str, bytes and tuples of these as canonical bytes with a hash, so
 * that comparing keys is comparing bytes, which needs no Python.
 * Invariant: two keys have the same bytes exactly if dict takes them for the same (1 == 1.0 == True,
 * 0.0 == -0.0); the one difference: all NaNs are one key, where dict asks for the same object.
 * Threading: a key made of a str or bytes points into the object, so it lives no longer.
 *
 * Subclasses are refused: what came out would be of another type than what went in.
 */
#ifndef OT_OBJECTS_KEY_H
#define OT_OBJECTS_KEY_H

#include "objects/dict/map.h"
#include "objects/dict/siphash.h"
#include "runtime/cpython/object.h"

enum {
    OT_KEY_NONE = 1,
    OT_KEY_INT,   /* in an int64_t */
    OT_KEY_LONG,  /* two's complement, as short as possible */
    OT_KEY_FLOAT, /* not integral */
    OT_KEY_STR1,  /* by the size of the characters */
    OT_KEY_STR2,
    OT_KEY_STR4,
    OT_KEY_BYTES,
    OT_KEY_TUPLE, /* meta and bytes of each element */
    OT_KEY_BOOL,  /* exact forms only */
};

typedef struct {
    ot_mapkey_t key;
    char number[8]; /* what key.bytes may point to */
    char exact[16]; /* and key.exact */
    char *canonical_block, *exact_block;
} ot_pykey_t;

/* Before the first key: draws the process's secret. 0, or -1 with OSError. */
int ot_keys_init(void);

/* Borrows o, which must live as long as the key. 0, or -1 with TypeError or MemoryError and nothing
 * to clear. Runs: no Python code. */
int ot_pykey_make(ot_pykey_t *k, PyObject *o);
void ot_pykey_free_blocks(ot_pykey_t *k);

static inline void
ot_key_of_str(ot_mapkey_t *key, PyObject *o, Py_hash_t hash)
{
    unsigned kind = PyUnicode_KIND(o);
    key->hash = (uint64_t)hash;
    key->meta = ot_key_meta((size_t)PyUnicode_GET_LENGTH(o) * kind, OT_KEY_STR1 + (kind >> 1));
    key->bytes = PyUnicode_DATA(o);
    key->exact = NULL;
    key->exact_len = 0;
}

static inline int
ot_pykey_init(ot_pykey_t *k, PyObject *o)
{
    Py_hash_t hash;
    k->canonical_block = k->exact_block = NULL;
    if (PyUnicode_CheckExact(o) && (hash = ot_str_cached_hash(o)) != -1) {
        ot_key_of_str(&k->key, o, hash);
        return 0;
    }
    return ot_pykey_make(k, o);
}

static inline void
ot_pykey_clear(ot_pykey_t *k)
{
    if (k->canonical_block != NULL) {
        ot_pykey_free_blocks(k);
    }
}

/* An equal object, of the type that was first used for it; new reference or MemoryError. */
PyObject *ot_key_object(const ot_mapkey_t *key);

#endif
