/* visit.h: going over the references of a container.
 *
 * The walk that proves a tree looks at every reference of it, so what it does for each is counted
 * in instructions. Lists, tuples and dicts are therefore visited by inline functions that take
 * the callback as an argument: prove.c calls them with its own, which the compiler can then put
 * in place; everybody else goes through the row's `visit` and the visitor's pointers.
 *
 * Threading: see kinds.h.
 */
#ifndef OT_TUNNEL_VISIT_H
#define OT_TUNNEL_VISIT_H

#include "atomics/cpu.h"
#include "runtime/heap.h"
#include "runtime/cpython/builtin.h"
#include "runtime/cpython/dict.h"
#include "runtime/cpython/str.h"
#include "tunnel/slot.h"

typedef struct ot_visitor ot_visitor_t;

struct ot_visitor {
    /* Called for every reference that is neither None nor an exclusive leaf in our heap. */
    int (*edge)(ot_visitor_t *v, PyObject **slot);
    /* Called in place of edge for a str that is the i-th key of an all-str dict; these slots are not
     * remembered one by one. Returns 1 if the key may have to be substituted in the receiver, 0, or -1. */
    int (*key)(ot_visitor_t *v, PyObject *key, Py_ssize_t i);
    /* Called in place of edge for a place that holds one C type only (slot.h); NULL: edge is called. */
    int (*typed)(ot_visitor_t *v, PyObject **slot, ot_slot_t what);
    /* Called for each part (ot_visit_part); NULL: parts are of no interest. */
    void (*part)(ot_visitor_t *v, PyObject *part);
    size_t leaves; /* exclusive leaves passed over */
};

/* The `key` of a visitor to which dicts' str keys are of no interest. */
static inline int
ot_ignore_key(ot_visitor_t *v, PyObject *key, Py_ssize_t i)
{
    (void)v;
    (void)key;
    (void)i;
    return 0;
}

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
    if (Py_REFCNT(o) != 1 || !ot_heap_owns(o) ||
        PyType_HasFeature(Py_TYPE(o), Py_TPFLAGS_HAVE_GC)) { /* most that are no leaves */
        return false;
    }
    return PyUnicode_CheckExact(o) ? ot_str_is_movable(o) : ot_is_plain_leaf_type(Py_TYPE(o));
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

#define OT_ALWAYS_INLINE static inline __attribute__((always_inline))

typedef int (*ot_edge_fn)(ot_visitor_t *, PyObject **);
typedef int (*ot_key_fn)(ot_visitor_t *, PyObject *, Py_ssize_t);

/* Visits n references in a row; returns how many were exclusive leaves, or -1. This is the fast
 * path of everything, a million floats: no call, no table; the heap's bounds and the type seen
 * last stay in registers, and objects are fetched ahead, each being a cache miss otherwise. */
OT_ALWAYS_INLINE Py_ssize_t
ot_walk_items(ot_visitor_t *v, PyObject **item, Py_ssize_t n, ot_edge_fn edge)
{
    const uintptr_t base = ot_heap.base;
    const size_t span = ot_heap.span;
    const Py_ssize_t last_batch = n - OT_AHEAD - OT_BATCH;
    PyTypeObject *last = &PyFloat_Type;
    Py_ssize_t leaves = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *o = item[i];
        if (Py_REFCNT(o) == 1 && (uintptr_t)o - base < span) {
            PyTypeObject *t = Py_TYPE(o);
            if (t == last) {
                leaves++;
                while (i < last_batch && ot_is_leaf_batch(&item[i + 1], t, base, span)) {
                    for (int k = 1; k <= OT_BATCH; k++) {
                        ot_prefetch(item[i + OT_AHEAD + k]);
                    }
                    leaves += OT_BATCH;
                    i += OT_BATCH;
                }
                continue;
            }
            if (!PyType_HasFeature(t, Py_TPFLAGS_HAVE_GC)) { /* most that are no leaves */
                if (ot_is_plain_leaf_type(t)) {
                    last = t;
                    leaves++;
                    continue;
                }
                if (t == &PyUnicode_Type && ot_str_is_movable(o)) {
                    leaves++;
                    continue;
                }
            }
        }
        if (o != Py_None && edge(v, &item[i]) < 0) {
            return -1;
        }
    }
    v->leaves += (size_t)leaves;
    return leaves;
}

OT_ALWAYS_INLINE int
ot_walk_edge(ot_visitor_t *v, PyObject **slot, ot_edge_fn edge)
{
    if (ot_is_exclusive_leaf(*slot)) {
        v->leaves++;
        return 0;
    }
    return *slot == Py_None ? 0 : edge(v, slot);
}

OT_ALWAYS_INLINE int
ot_walk_list(PyObject *o, ot_visitor_t *v, ot_edge_fn edge)
{
    return ot_walk_items(v, ((PyListObject *)o)->ob_item, PyList_GET_SIZE(o), edge) < 0 ? -1 : 0;
}

OT_ALWAYS_INLINE int
ot_walk_tuple(PyObject *o, ot_visitor_t *v, ot_edge_fn edge)
{
    Py_ssize_t n = PyTuple_GET_SIZE(o);
    Py_ssize_t leaves = ot_walk_items(v, ((PyTupleObject *)o)->ob_item, n, edge);
    if (leaves < 0) {
        return -1;
    }
    if (leaves != n) {
        ot_tuple_forget_hash(o); /* an item may be replaced; a cache, so always right to drop */
    }
    return 0;
}

/* A combined dict whose keys are all str. */
OT_ALWAYS_INLINE int
ot_walk_str_dict(PyObject *o, ot_visitor_t *v, ot_edge_fn edge, ot_key_fn on_key)
{
    ot_keys_t *keys = ot_dict_keys(o);
    int needs = 0;
    ot_keys_forget_version(keys); /* a cache's tag: dropping it is always right */
    ot_str_entry_t *e = ot_keys_str_entries(keys);
    for (Py_ssize_t i = 0, n = ot_keys_count(keys); i < n; i++, e++) {
        if (e->me_value == NULL) {
            continue; /* deleted */
        }
        if (ot_is_exclusive_leaf(e->me_key)) {
            v->leaves++;
        } else {
            int substituted = on_key(v, e->me_key, i);
            if (substituted < 0) {
                return -1;
            }
            needs |= substituted ? OT_NEEDS_KEYS : 0;
        }
        if (ot_walk_edge(v, &e->me_value, edge) < 0) {
            return -1;
        }
    }
    return needs;
}

static inline bool
ot_dict_is_plain(PyObject *o)
{
    return !ot_dict_is_split(o) && ot_keys_all_str(ot_dict_keys(o));
}

static inline int
ot_visit_edge(ot_visitor_t *v, PyObject **slot)
{
    return ot_walk_edge(v, slot, v->edge);
}

/* For a place that is not NULL and holds one C type only (slot.h). */
static inline int
ot_visit_typed(ot_visitor_t *v, PyObject **slot, ot_slot_t what)
{
    if (*slot == Py_None || ot_is_exclusive_leaf(*slot)) {
        return ot_visit_edge(v, slot);
    }
    return v->typed != NULL ? v->typed(v, slot, what) : v->edge(v, slot);
}

/* A part is an object with a collector header that belongs to the visited object alone and is no object of the tree. It goes where its
 * owner goes; only the collectors have to know of it. */
static inline void
ot_visit_part(ot_visitor_t *v, PyObject *part)
{
    if (v->part != NULL) {
        v->part(v, part);
    }
}

#endif
