/* stdlib.h: C types of the standard library that are laid out privately.
 *
 * Threading: see version.h.
 */
#ifndef OT_RUNTIME_CPYTHON_STDLIB_H
#define OT_RUNTIME_CPYTHON_STDLIB_H

#include "runtime/cpython/dict.h"

/* ---- array.array (Modules/arraymodule.c; the same layout from 3.12 to 3.15) --------------- */

typedef struct {
    PyObject_VAR_HEAD
    char *ob_item;
    Py_ssize_t allocated;
    const void *ob_descr; /* into a static table of the module's shared object */
    PyObject *weakreflist;
    Py_ssize_t ob_exports;
} ot_array_t;

/* Every array.array descriptor begins with these two (typecode, itemsize). */
typedef struct {
    char typecode;
    int itemsize;
} ot_array_descr_t;

/* ---- collections (Modules/_collectionsmodule.c, Objects/odictobject.c; the same from 3.13 to
 * 3.15) ---------------------------------------------------------------------------------------- */

enum { OT_DEQUE_BLOCK = 64, OT_DEQUE_FREE_BLOCKS = 16 };

typedef struct ot_deque_block {
    struct ot_deque_block *left; /* NULL at the ends in debug builds, else anything */
    PyObject *item[OT_DEQUE_BLOCK];
    struct ot_deque_block *right;
} ot_deque_block_t;

/* Item k lies at first_index + k, counted through the blocks. Empty: one block, both indices in
 * its middle; a deque without a block can only be freed. */
typedef struct {
    PyObject_VAR_HEAD
    ot_deque_block_t *first, *last;
    Py_ssize_t first_index, last_index; /* inclusive */
    size_t state;                       /* iterators stop when it changes */
    Py_ssize_t maxlen;                  /* or -1 */
    Py_ssize_t n_free;
    ot_deque_block_t *free[OT_DEQUE_FREE_BLOCKS];
    PyObject *weakreflist;
} ot_deque_t;

typedef struct {
    PyDictObject dict;
    PyObject *default_factory; /* or NULL */
} ot_defaultdict_t;

/* An OrderedDict's order: a list of nodes with a key reference each, beside the dict's own; nodes
 * are found by the index that the key's entry has in the dict's table. */
typedef struct ot_odict_node {
    PyObject *key;
    Py_hash_t hash;
    struct ot_odict_node *next, *prev;
} ot_odict_node_t;

typedef struct {
    PyDictObject dict;
    ot_odict_node_t *first, *last;
    ot_odict_node_t **node; /* node[i]: of the table's entry i */
    Py_ssize_t n_node;      /* the table's size when node was made */
    void *made_for;         /* and the table itself: remade if either has changed */
    size_t state;           /* iterators stop when it changes */
    PyObject *inst_dict;    /* its __dict__ or NULL */
    PyObject *weakreflist;
} ot_odict_t;

/* Size of a dict's hash table: what n_node is compared with. */
static inline Py_ssize_t
ot_keys_size(ot_keys_t *k)
{
    return (Py_ssize_t)DK_SIZE(k);
}

/* ---- decimal.Decimal (Modules/_decimal/_decimal.c, libmpdec's mpd_t) ------------------------ */

enum { OT_DECIMAL_INLINE = 4, OT_DECIMAL_STATIC_DATA = 32 };

typedef struct {
    PyObject_HEAD
    Py_hash_t hash; /* -1: not asked for yet */
    uint8_t flags;
    Py_ssize_t exp, digits, len, alloc;
    size_t *data; /* `word`, or a block from PyMem_Malloc where the number is long */
    size_t word[OT_DECIMAL_INLINE];
} ot_decimal_t;

/* libmpdec's MPD_NAN and MPD_SNAN. */
static inline bool
ot_decimal_is_nan(PyObject *o)
{
    enum { NAN_FLAGS = 4 | 8 };
    return (((ot_decimal_t *)o)->flags & NAN_FLAGS) != 0;
}

/* ---- datetime.timezone (Modules/_datetimemodule.c; the others are public, in datetime.h) ---- */

typedef struct {
    PyObject_HEAD
    PyObject *offset; /* a timedelta */
    PyObject *name;   /* a str or NULL */
} ot_timezone_t;

#endif
