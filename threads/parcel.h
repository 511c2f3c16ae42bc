/* parcel.h: a message between two threads of one interpreter, on free-threaded builds.
 *
 *   sender                                              receiver
 *   ot_prove           whom only the tree refers to     ot_bias_take, for each of them: the receiver's own now
 *   ot_copy_outsiders  the rest, where it can change    and the containers go back to the collector
 *
 * Main invariant, from the proof to the receive: an object in `moved` has as many references as the tree has
 * edges to it, the collector does not see it, and so no thread can come by a reference to it.
 *
 * Why no lock is needed: the proof goes down from a root that only the caller has. What has one reference,
 * from an object that nobody else reaches, is reached by nobody else either. What has several waits until
 * all of them were met. So the walk reads only objects that no other thread can change meanwhile. (A cycle never
 * has all its references met first: it is copied.)
 *
 * Threading: a parcel is one thread's at each moment.
 */
#ifndef OT_THREADS_PARCEL_H
#define OT_THREADS_PARCEL_H

#include "threads/walk.h"
#include "tunnel/ptrmap.h"
#include "tunnel/tree.h"

enum { OT_WAS_TRACKED = 1 };

typedef OT_VEC(uintptr_t) ot_moved_t; /* PyObject *, borrowed from the tree, | OT_WAS_TRACKED */

/* First the head that Tunnel knows; bare, so that nothing of it past `bare` is used. */
typedef struct {
    ot_tree_t head;
    uintptr_t from; /* the thread that proved it */
    ot_moved_t moved;
} ot_parcel_t;

/* What was met and is not (yet) known to be the tree's alone. */
typedef struct {
    PyObject *object; /* borrowed */
    uint32_t wanted;  /* references that there are; 0: more than can be counted */
    uint32_t found;   /* edges so far; `wanted` means that it moves */
    PyObject *copy;   /* owned: what the receiver gets instead, or NULL so far */
    PyObject *kept;   /* owned: object, once it has a copy: no other object has its address then */
} ot_outsider_t;

typedef struct {
    PyObject **slot; /* of an object that moves */
    uint32_t index;  /* into outsiders */
} ot_outward_t;

/* A slot that a copy has been put into. */
typedef struct {
    PyObject **slot;
    PyObject *was; /* owned */
} ot_replaced_t;

/* The working state of a send. Zero-initialised but for the parcel. */
typedef struct {
    ot_parcel_t *parcel;
    uintptr_t me;
    OT_VEC(PyObject *) todo; /* of `moved`, whose slots were not looked at */
    OT_VEC(ot_outsider_t) outsiders;
    ot_ptrmap_t index; /* object -> place in outsiders */
    OT_VEC(ot_outward_t) outward;
    OT_VEC(ot_replaced_t) replaced;
    OT_VEC(PyObject *) fresh; /* copies whose slots were not looked at */
    PyObject *deepcopy;       /* owned: copy.deepcopy, or NULL so far */
    PyObject *memo;           /* owned: its memo, or NULL so far */
    PyObject *refused;        /* owned: what it cannot copy, or NULL */
    size_t copied, pickled;
    bool may_stop;  /* other threads, to take strangers over; else those are copied */
    bool strangers; /* containers that a collection may have given back to another thread */
} ot_send_t;

/* Finds out what moves from a root that only the caller reaches, and has the collector forget it; and
 * notes where the tree leads outside. If containers seem to be the tree's alone but are another thread's by a
 * collection, they are taken over first, where the send may stop threads. 0, or -1 with MemoryError. Runs: -. */
int ot_prove(ot_send_t *send, PyObject *root);

/* A root that others reach too: what stands in parcel->head.root is to be replaced. 0, or -1 with MemoryError. */
int ot_prove_root_outside(ot_send_t *send);

/* The first object that would have to be copied, NULL if there is none: borrowed. *n: how many references to it
 * the tree does not have. */
PyObject *ot_prove_first_outsider(const ot_send_t *send, Py_ssize_t *n);

/* A dict with the same objects that has its keys to itself. NULL with MemoryError. */
PyObject *ot_copy_dict(PyObject *d);

/* Replaces what does not move and could change by copies. 0, or -1 with an exception. Runs: e. */
int ot_copy_outsiders(ot_send_t *send);

/* After a failure: all slots as they were, all containers back to the collector. Runs: e. */
void ot_send_undo(ot_send_t *send);

/* Frees the working state, not what was replaced. Runs: e. */
void ot_send_clear(ot_send_t *send);

/* A parcel around root. Refs: steals root, also on failure. NULL with MemoryError; or if root is NULL, with the exception
 * that is set. */
ot_parcel_t *ot_parcel_new(PyObject *root);

/* Makes the calling thread the owner of what moves, gives the containers back to the collector and frees the
 * parcel. Returns the root, a new reference. Cannot fail. Runs: -. */
PyObject *ot_parcel_open(ot_parcel_t *parcel);

/* Frees a parcel without its root. */
void ot_parcel_free(ot_parcel_t *parcel);

/* Gives the containers back to the collector, without taking anything over. */
void ot_parcel_track(ot_parcel_t *parcel);

#endif
