/* class.h: what an interpreter knows of types that are not built in.
 *
 * Which row their instances follow, under which name another interpreter finds them, how their
 * instances are laid out. Learning a type runs Python code and so happens between two attempts to
 * prove a tree, never within one; what was learnt is kept until the type changes or dies.
 *
 * Threading: a cache belongs to one interpreter, under its GIL.
 */
#ifndef OT_TUNNEL_CLASS_H
#define OT_TUNNEL_CLASS_H

#include "runtime/vec.h"
#include "tunnel/kinds.h"
#include "tunnel/layout.h"
#include "tunnel/ptrmap.h"

typedef struct {
    PyTypeObject *type;          /* borrowed, good while weakref leads to it */
    PyObject *weakref;           /* owned; NULL for a static type */
    unsigned version;            /* of the type when it was learnt */
    const ot_kind_t *kind;       /* NULL: its instances are pickled */
    PyObject *module, *qualname; /* owned strs; NULL if kind is */
    ot_layout_t layout;
    bool hash_stays; /* a moved instance hashes as before, as far as its class has a say */
} ot_known_class_t;

typedef struct {
    OT_VEC(ot_known_class_t) known;
    ot_ptrmap_t index;  /* type -> place in known */
    PyObject *array;    /* array.array, owned: imported and learnt from the start */
    PyObject *describe; /* _classes.describe, owned */
    PyObject *find;     /* _classes.find, owned */
    PyObject *stand_in; /* _classes.stand_in, owned */
} ot_class_cache_t;

/* Imports what learning needs and finds out what a class is. 0, or -1 with an exception.
 * Runs: e. */
int ot_class_cache_init(ot_class_cache_t *cache);
void ot_class_cache_clear(ot_class_cache_t *cache);

/* What is known of the type, NULL if nothing, or nothing that still holds. Borrowed, good until
 * something is learnt. Runs: -. */
const ot_known_class_t *ot_class_known(const ot_class_cache_t *cache, PyTypeObject *type);

/* What was last learnt of the type, though it may have changed since. NULL: it was never learnt. Borrowed, good until
 * something is learnt. Runs: -. */
const ot_known_class_t *ot_class_last_known(const ot_class_cache_t *cache, PyTypeObject *type);

/* The living type that is known under that name and deallocated like that; NULL without an
 * exception. Borrowed. Runs: -. */
PyTypeObject *ot_class_known_as(const ot_class_cache_t *cache, destructor dealloc, PyObject *module,
                                PyObject *qualname);

/* Aborts if the index and what is known contradict each other. Every function that changes them calls it at its end
 * where OT_CHECKS is on. */
void ot_class_cache_check(const ot_class_cache_t *cache);

/* Finds out about a type. 0, or -1 with an exception. Runs: e. */
int ot_class_learn(ot_class_cache_t *cache, PyTypeObject *type);

#endif
