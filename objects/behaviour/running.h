/* running.h: a behaviour in the worker that runs it, and the handles of its boxes. Private to this folder.
 *
 * Main invariant: a Running has its job until it is ended. A Held has a tree exactly while `out` is not NULL; then its box
 * has no content, unless it is only read.
 * Threading: the GIL of the worker's interpreter. Other threads of the interpreter may use a Held meanwhile.
 */
#ifndef OT_OBJECTS_RUNNING_H
#define OT_OBJECTS_RUNNING_H

#include "objects/behaviour/behaviour_type.h"

typedef struct {
    PyObject_HEAD
    ot_objects_t *home;
    PyObject *module;   /* keeps home */
    ot_job_t *job;      /* NULL: ended */
    PyObject *handles;  /* a tuple of Held, NULL once they are of no use */
    ot_value_t *result; /* owned: what the function returned, at rest */
    Py_ssize_t where;   /* the box whose tree cannot travel, -1: none */
    /* After how many behaviours in a row before this one that tree was not put to rest: they may be to blame, too. */
    unsigned stayed;
    bool returned; /* the function has */
    bool closed;   /* trees go back now: no Held gives any more */
    bool stays;    /* a tree stays here for the next behaviour */
    ot_box_inside_t inside;
} ot_running_t;

typedef struct {
    PyObject_HEAD
    ot_running_t *running; /* owned */
    ot_box_t *box;         /* borrowed from the job, while the Running has it */
    PyObject *out;         /* owned: the tree, or a view of it */
    uint64_t id;           /* the box's */
    bool reads;            /* the tree stays where it is */
    bool is_new;           /* `out` never came out of a box: it was assigned */
    bool was_kept;         /* it could not travel when it was taken out, and is not to blame */
    bool busy;             /* a thread is taking the tree out */
} ot_held_box_t;

static inline ot_running_t *
ot_as_running(PyObject *o)
{
    return (ot_running_t *)o;
}

static inline ot_held_box_t *
ot_as_held(PyObject *o)
{
    return (ot_held_box_t *)o;
}

/* A Held of the i-th box. */
PyObject *ot_held_new(ot_running_t *running, size_t i);

/* held.value. */
PyObject *ot_held_value(PyObject *held, void *unused);

/* Adds the type. 0, or -1 with an exception set. */
int ot_held_type_add(ot_objects_t *home);

#endif
