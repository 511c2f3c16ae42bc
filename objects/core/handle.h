/* handle.h: the Python side of shared objects: thin handles, one type per kind and interpreter.
 *
 * A handle owns one reference to its object. It travels as a pickle by id (within a message the
 * message holds a reference meanwhile) or as cross-interpreter data, which holds one, too.
 *
 * Shared rules: every function needs an attached thread state, that of the handle's interpreter.
 */
#ifndef OT_OBJECTS_HANDLE_H
#define OT_OBJECTS_HANDLE_H

#include "objects/core/shared.h"
#include "runtime/cpython/version.h"
#include "tunnel/tree.h"

struct ot_objects;

enum { OT_MAX_HANDLE_TYPES = 32 };

/* What a handle knows beside its object (which part of an array it is, say), for types that have
 * such. bytes travel every way; anything else must be picklable and travels only so. */
typedef struct {
    PyObject *(*save)(PyObject *self);              /* new; None: nothing */
    int (*restore)(PyObject *self, PyObject *from); /* not called for None; 0 or -1, exception */
    /* Not NULL for a kind with handles of several types: makes the right one, also for None, and
     * restore is not called. Steals the reference, also on failure. */
    PyObject *(*make)(struct ot_objects *home, ot_shared_t *shared, PyObject *from);
} ot_handle_extra_t;

/* What an interpreter keeps for shared objects; lives in the state of its _core module.
 * Invariant: types[0..n) are owned. Of a kind's types the first makes handles. */
typedef struct ot_objects {
    PyObject *module;          /* borrowed: we live in it */
    const ot_interp_t *interp; /* of the same module state */
    int64_t interp_id;         /* never used twice in a process */
    size_t n;
    struct {
        const ot_shared_kind_t *kind;
        PyTypeObject *type;
        const ot_handle_extra_t *extra; /* NULL: nothing */
    } types[OT_MAX_HANDLE_TYPES];
    PyObject *lock_abandoned;       /* an exception class */
    struct ot_frozen_types *frozen; /* owned: raw memory (frozen_type.c) */
    PyTypeObject *checkout;         /* no handle: a LockingDict's */
    PyTypeObject *held, *running;   /* no handles: a behaviour's */
} ot_objects_t;

/* First members of every handle. */
typedef struct {
    PyObject_HEAD
    ot_shared_t *shared; /* owned, never changes; NULL only while being made */
    ot_objects_t *home;
    PyObject *module; /* keeps home; not by way of the type, which the collector may clear first */
} ot_handle_t;

static inline ot_handle_t *
ot_as_handle(PyObject *o)
{
    return (ot_handle_t *)o;
}

/* Fills in `home`, and adds what all handles need to the module; 0 or -1 with an exception set. */
int ot_handles_init(PyObject *module, ot_objects_t *home);

/* The calling interpreter's, for code that has no handle at hand: imports objtunnel if need be.
 * Borrowed; NULL with an exception set. Runs: e. */
ot_objects_t *ot_objects_current(void);

/* Makes the type from its spec, adds it to the module, and declares it to be the handle of `kind`.
 * Returns a borrowed type, NULL with an exception set. */
PyTypeObject *ot_handle_add_type(ot_objects_t *home, const ot_shared_kind_t *kind,
                                 PyType_Spec *spec, const ot_handle_extra_t *extra);

/* Declares a type that exists already; its reference is stolen, also on failure. 0 or -1. */
int ot_handle_register(ot_objects_t *home, const ot_shared_kind_t *kind, PyTypeObject *type,
                       const ot_handle_extra_t *extra);

/* A handle around `shared`. Refs: steals the reference, also on failure. */
PyObject *ot_handle_steal(ot_objects_t *home, ot_shared_t *shared);

/* The object that o stands for if o is a handle and knows nothing beside it: borrowed. NULL
 * otherwise, without an exception; or with one. Runs: e (ot_handle_extra_t's save). */
ot_shared_t *ot_handle_plain(const ot_objects_t *home, PyObject *o);

/* The same, of that very type. */
PyObject *ot_handle_alloc_steal(ot_objects_t *home, PyTypeObject *type, ot_shared_t *shared);

/* ---- slots and methods that all handle types have ------------------------------------------- */

int ot_handle_traverse(PyObject *self, visitproc visit, void *arg);
void ot_handle_dealloc(PyObject *self);
Py_hash_t ot_handle_hash(PyObject *self);
PyObject *ot_handle_compare(PyObject *self, PyObject *other, int op); /* the same object? */
PyObject *ot_handle_reduce(PyObject *self, PyObject *unused);
PyObject *ot_handle_id(PyObject *self, void *unused);

#define OT_HANDLE_FLAGS                                                                            \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |                          \
     Py_TPFLAGS_MANAGED_WEAKREF)

#endif
