/* frozen.h: one constant tree that all interpreters read at once, without locks.
 *
 * Purpose: what freeze() makes. The tree lies at rest (tunnel/rest_copy.h); a view is a thin object of
 * one interpreter that shows one list, dict, ... of it. What is read out of it is an ordinary object
 * of the reader's own (numbers, str, short bytes), or another view.
 * Invariant: from freeze() until the last reference is gone nothing of the tree is written to: no
 * refcount, no cached hash. No code of the tree's objects runs; of a reader's key, which is hashed and
 * compared, the reader's own does.
 * Threading: any number of readers. References: the region has one atomic count, in which each
 * interpreter's anchors count (one for each way by which it came); an interpreter's views hold its
 * anchor by an ordinary refcount, so that reading never writes to a cache line that others read.
 *
 * Shared rules: all functions need the GIL of the view's interpreter.
 */
#ifndef OT_OBJECTS_FROZEN_H
#define OT_OBJECTS_FROZEN_H

#include "objects/core/value.h"

typedef struct ot_frozen {
    ot_shared_t head;
    ot_value_t *content; /* owned: a LEAF or a TREE without placeholders */
    uint64_t secret;     /* of this region: proves that an address in a pickle is one of ours */
    uint64_t digest;     /* of the tree as it was frozen, where OT_CHECKS is on; 0: not known */
} ot_frozen_t;

/* Aborts if something of the tree, which nobody reads now, was written to since `digest` was taken. A
 * region's end begins with it where OT_CHECKS is on. */
void ot_frozen_check(const ot_frozen_t *region);

typedef enum {
    OT_FROZEN_LIST,
    OT_FROZEN_TUPLE,
    OT_FROZEN_DICT,
    OT_FROZEN_SET,
    OT_FROZEN_BYTES,
    OT_FROZEN_ARRAY,
    OT_FROZEN_TYPES,
} ot_frozen_type_t;

/* An interpreter's types. Those of handles are borrowed: its ot_objects_t owns them. */
typedef struct ot_frozen_types {
    PyTypeObject *anchor, *view[OT_FROZEN_TYPES];
    PyTypeObject *iterator; /* owned */
    void *spare;            /* blocks of views that are gone, each pointing to the next */
    int spares;
} ot_frozen_types_t;

/* handle.shared, home and module are borrowed from the anchor. */
typedef struct {
    ot_handle_head_t handle; /* first */
    PyObject *anchor;        /* owned: a handle on the region */
    PyObject *node;          /* in the region */
    PyObject *weakrefs;
} ot_frozen_view_t;

static inline ot_frozen_view_t *
ot_as_frozen(PyObject *o)
{
    return (ot_frozen_view_t *)o;
}

enum { OT_FROZEN_SHORT = 4096 }; /* longer bytes are shown, not copied */

/* What a mappingproxy shows; any other object itself. Borrowed. */
PyObject *ot_frozen_behind(PyObject *o);

/* Which type shows the node; OT_FROZEN_TYPES: it is not shown but copied. */
ot_frozen_type_t ot_frozen_type_of(PyObject *node);

/* Whether o is a view, of whichever type and interpreter. */
bool ot_is_frozen_view(PyObject *o);

/* A view of a node. Refs: anchor is borrowed. */
PyObject *ot_frozen_view(PyObject *anchor, PyObject *node);

/* What is read where the region has o: an object of the reader's own, or a view. New. */
PyObject *ot_frozen_read(ot_frozen_view_t *from, PyObject *o);

/* The end of a view: drops its anchor and its block. */
void ot_frozen_view_free(ot_frozen_view_t *view);

/* An equal object without views, all of it the reader's own. New. */
PyObject *ot_frozen_thaw(ot_frozen_view_t *from, PyObject *o);

/* Looks `key` up in a dict or set of the region: the value (of a set: the element) into *found,
 * borrowed from the region. 1, 0, or -1 with an exception. Runs: e (hashing, comparing the key). */
int ot_frozen_find(ot_frozen_view_t *in, PyObject *key, PyObject **found);

/* Goes through a dict in its order or a set in any: begin with {0}. False at the end. */
typedef struct {
    Py_ssize_t pos;
    const void *next; /* of an OrderedDict: its node */
} ot_frozen_at_t;

bool ot_frozen_next(PyObject *node, ot_frozen_at_t *at, PyObject **key, PyObject **value);

/* ot_frozen_length: how many elements a list, tuple, dict, set, bytes or bytearray of the region has. ot_frozen_data: the bytes of a
 * bytes or bytearray. */
Py_ssize_t ot_frozen_length(PyObject *node);
const char *ot_frozen_data(PyObject *node);

/* A region that shows what v holds: v itself, which is not changed while the region lives, or an equal tree of constants
 * where v has dates and the like. Its first reference. NULL: nothing is shown, *same is an object of the caller's own; or
 * that is NULL too, with an exception: it cannot be frozen.
 * Refs: takes a reference to v of its own. Needs: that v may be copied. Runs: e. */
ot_frozen_t *ot_frozen_new(ot_objects_t *home, ot_value_t *v, PyObject **same);

/* A view of the whole. Refs: takes a reference to the region of its own. */
PyObject *ot_frozen_show(ot_objects_t *home, ot_frozen_t *region);

int ot_frozen_types_traverse(ot_frozen_types_t *types, visitproc visit, void *arg);
void ot_frozen_types_free(ot_frozen_types_t *types);

/* Adds freeze() and the types. 0, or -1 with an exception set. */
int ot_frozen_types_add(ot_objects_t *home);

#endif
