/* kinds.h: what the tunnel knows of each type.
 *
 * One row (ot_kind_t) a type, each in its own file under kinds/. The tree code asks a row four
 * things: may this object's storage change hands (inspect), what does it refer to (visit), give
 * me an equal object that takes over its content (shell/disown), give me a copy (clone/fill).
 *
 * Shared rules: the caller holds the GIL of the interpreter that owns the objects; none of these
 * functions runs Python code or lets go of the GIL; those that allocate return NULL or -1 with
 * MemoryError set and have changed nothing.
 */
#ifndef OT_TUNNEL_KINDS_H
#define OT_TUNNEL_KINDS_H

#include "runtime/heap.h"
#include "runtime/pyversion.h"

/* ---- visiting ---------------------------------------------------------------------------- */

typedef struct ot_visitor ot_visitor_t;

struct ot_visitor {
    /* Called for every reference that is not an exclusive leaf in our heap. */
    int (*edge)(ot_visitor_t *v, PyObject **slot);
    /* The same for a str that is a key of an all-str dict; these slots are not remembered one
     * by one. Returns 1 if the key may have to be substituted in the receiver, 0, or -1. */
    int (*key)(ot_visitor_t *v, PyObject *key);
    size_t leaves; /* exclusive leaves passed over */
};

/* Bits of visit's result (but TRACK), and of pointers to containers, which are 8-aligned. */
enum {
    OT_NEEDS_TRACK = 1,  /* was tracked by the sender's collector: the receiver's shall be */
    OT_NEEDS_KEYS = 2,   /* a dict with keys that the receiver substitutes */
    OT_NEEDS_REHASH = 4, /* looks things up by keys whose hash a rebuilt element may change */
    OT_NEEDS_MASK = 7,
};

static inline PyObject *
ot_untag(uintptr_t item)
{
    return (PyObject *)(item & ~(uintptr_t)OT_NEEDS_MASK);
}

/* Types whose objects are one block and refer to nothing; str is one with conditions. */
static inline bool
ot_is_plain_leaf_type(PyTypeObject *t)
{
    return t == &PyFloat_Type || t == &PyLong_Type || t == &PyBytes_Type || t == &PyComplex_Type;
}

static inline bool
ot_str_is_movable(PyObject *o)
{
    return !ot_str_interned(o) &&
           (ot_str_side_block(o) == NULL || ot_heap_owns(ot_str_side_block(o)));
}

/* A leaf that only this reference reaches and whose memory anybody may free: nothing to do. */
static inline bool
ot_is_exclusive_leaf(PyObject *o)
{
    if (Py_REFCNT(o) != 1 || !ot_heap_owns(o)) {
        return false;
    }
    return ot_is_plain_leaf_type(Py_TYPE(o)) || (PyUnicode_CheckExact(o) && ot_str_is_movable(o));
}

enum {
    OT_BATCH = 4,   /* references looked at together */
    OT_AHEAD = 256, /* how far ahead objects are fetched into the cache */
};

/* Whether OT_BATCH references from item on all lead to exclusive leaves of the plain leaf type t.
 * No branches: one test for all of them. */
static inline bool
ot_is_leaf_batch(PyObject **item, PyTypeObject *t, uintptr_t base, size_t span)
{
    uintptr_t bad = 0;
    for (int k = 0; k < OT_BATCH; k++) {
        PyObject *o = item[k];
        bad |= (uintptr_t)(Py_REFCNT(o) ^ 1) | ((uintptr_t)Py_TYPE(o) ^ (uintptr_t)t) |
               ((uintptr_t)o - base >= span);
    }
    return bad == 0;
}

/* Visits n references in a row; returns how many were exclusive leaves, or -1. This is the fast
 * path of everything, a million floats: no call, no table; the heap's bounds and the type seen
 * last stay in registers, and objects are fetched ahead, each being a cache miss otherwise. */
static inline Py_ssize_t
ot_visit_items(ot_visitor_t *v, PyObject **item, Py_ssize_t n)
{
    const uintptr_t base = ot_heap.base;
    const size_t span = ot_heap.span;
    PyTypeObject *last = &PyFloat_Type;
    Py_ssize_t leaves = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        while (i + OT_AHEAD + OT_BATCH <= n && ot_is_leaf_batch(&item[i], last, base, span)) {
            for (int k = 0; k < OT_BATCH; k++) {
                __builtin_prefetch(item[i + OT_AHEAD + k]);
            }
            leaves += OT_BATCH;
            i += OT_BATCH;
        }
        PyObject *o = item[i];
        PyTypeObject *t = Py_TYPE(o);
        if (Py_REFCNT(o) == 1 && (uintptr_t)o - base < span) {
            if (t == last || ot_is_plain_leaf_type(t)) {
                last = t;
                leaves++;
                continue;
            }
            if (t == &PyUnicode_Type && ot_str_is_movable(o)) {
                leaves++;
                continue;
            }
        }
        if (v->edge(v, &item[i]) < 0) {
            return -1;
        }
    }
    v->leaves += (size_t)leaves;
    return leaves;
}

static inline int
ot_visit_edge(ot_visitor_t *v, PyObject **slot)
{
    return ot_visit_items(v, slot, 1) < 0 ? -1 : 0;
}

/* ---- copying ----------------------------------------------------------------------------- */

typedef struct ot_copier ot_copier_t;

struct ot_copier {
    /* A new reference to what a copy holds where its original holds o; may note that `slot` of
     * the copy is to be filled by the receiver. NULL with an exception set. */
    PyObject *(*copy)(ot_copier_t *c, PyObject *o, PyObject **slot);
};

/* ---- the row ------------------------------------------------------------------------------ */

typedef enum {
    OT_MOVABLE, /* storage wholly in the shared heap, nobody else can look in */
    OT_REHOME,  /* nobody else can look in, but a block is not in the shared heap: make a shell */
    OT_PINNED,  /* something else can reach inside (weakref, buffer, watcher): copy, leave as is */
} ot_inspection_t;

typedef struct ot_kind {
    const char *name;
    bool leaf;      /* refers to nothing */
    bool emptiable; /* as a root it is taken over and left empty, as std::move does in C++ */

    /* Of an object with no outside references. */
    ot_inspection_t (*inspect)(PyObject *o);

    /* Calls v->edge for each reference. Returns OT_NEEDS_KEYS/REHASH bits, or -1. */
    int (*visit)(PyObject *o, ot_visitor_t *v);

    /* A new untracked object of the same type that lists o's content without owning it yet:
     * either both point at one side block, or the shell has its own copy of it. Slots of the
     * shell are final. For leaves: a copy. */
    PyObject *(*shell)(PyObject *o);

    /* Settles a shell: `loser` forgets the content that `winner` keeps, without touching
     * refcounts. Called with (original, shell) on success, (shell, original) to undo. */
    void (*disown)(PyObject *loser, PyObject *winner);

    /* An untracked object of o's shape whose references are all NULL, safe to free at once; for
     * leaves the finished copy. */
    PyObject *(*clone)(PyObject *o);

    /* Fills a clone, through c->copy. Returns OT_NEEDS_* bits or -1 (then still safe to free). */
    int (*fill)(PyObject *clone, PyObject *o, ot_copier_t *c);

    /* Empties an emptiable object the ordinary way, giving up its references. May run Python
     * code. Used when the collector is at work and the root was copied. */
    int (*clear)(PyObject *o);
} ot_kind_t;

/* The types that each interpreter has its own object for. */
typedef struct {
    PyTypeObject *array;  /* array.array */
    PyTypeObject *handle; /* our Tunnel */
} ot_types_t;

/* Whether o is the same object in every interpreter (None, small ints, static types...). */
bool ot_is_process_static(PyObject *o);

/* Takes note of static objects' addresses and checks that array.array looks as pyversion.h says.
 * Returns 0, or -1 with an exception set. Call once an interpreter, at import. */
int ot_kinds_init(const ot_types_t *types);

/* Undoes/does what a retyped object owes its type: see kinds/array.c. */
void ot_array_set_type_steal(PyObject *array, PyTypeObject *type);

/* ---- shared by the rows -------------------------------------------------------------------- */

ot_inspection_t ot_kind_leaf_inspect(PyObject *o);

/* Whether the elements of a dict or set whose key is `key` may hash differently when rebuilt. */
bool ot_key_is_composite(PyObject *key);

extern const ot_kind_t ot_kind_list, ot_kind_tuple, ot_kind_dict, ot_kind_set, ot_kind_str,
    ot_kind_int, ot_kind_float, ot_kind_complex, ot_kind_bytes, ot_kind_bytearray, ot_kind_range,
    ot_kind_slice, ot_kind_array;

const ot_kind_t *ot_kind_of_rarer(PyTypeObject *type, const ot_types_t *types);

/* The row for o's exact type, NULL if we know nothing of it. */
static inline const ot_kind_t *
ot_kind_of(PyObject *o, const ot_types_t *types)
{
    PyTypeObject *t = Py_TYPE(o);
    if (t == &PyDict_Type) {
        return &ot_kind_dict;
    }
    if (t == &PyList_Type) {
        return &ot_kind_list;
    }
    return t == &PyTuple_Type ? &ot_kind_tuple : ot_kind_of_rarer(t, types);
}

#endif
