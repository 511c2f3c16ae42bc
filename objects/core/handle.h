/* handle.h: the Python side of shared objects: thin handles, one type per kind and interpreter.
 *
 * A handle owns one reference to its object. In a tree it travels as what the message holds (ot_held_t):
 * a reference of the message's own, of which the receiver makes its handle. Inside of what is pickled it
 * travels by id, and the message holds a reference, too. Cross-interpreter data holds one as well.
 *
 * Shared rules: every function needs an attached thread state, that of the handle's interpreter.
 */
#ifndef OT_OBJECTS_HANDLE_H
#define OT_OBJECTS_HANDLE_H

#include "runtime/shared.h"
#include "runtime/cpython/version.h"
#include "tunnel/tree.h"

struct ot_objects;

enum { OT_MAX_HANDLE_TYPES = 32, OT_MOST_BESIDE = 256 };

/* What a handle knows beside its object (which part of an array it is, say), for types that have
 * such: bytes, which travel every way, or an object, which must be picklable and travels only so. */
typedef struct {
    size_t size;                            /* <= OT_MOST_BESIDE; 0: the type has no bytes */
    bool (*save)(PyObject *self, void *to); /* false: it knows nothing. Runs: - */
    int (*restore)(PyObject *self, const void *from); /* 0 or -1, exception */
    /* For a kind with handles of several types, else NULL: makes a handle of the right type from what save wrote (NULL: save
     * wrote nothing). restore is not called then. Steals the reference, also on failure. */
    PyObject *(*make)(struct ot_objects *home, ot_shared_t *shared, const void *from);
    PyObject *(*object)(PyObject *self); /* borrowed; NULL: none. Runs: - */
    void (*set_object)(PyObject *self, PyObject *object);
} ot_handle_extra_t;

/* What an interpreter keeps for shared objects; lives in the state of its _core module.
 * Invariant: types[0..n) are owned. Of a kind's types the first makes handles. */
typedef struct ot_objects {
    PyObject *module;          /* borrowed: we live in it */
    const ot_interp_t *interp; /* of the same module state */
    int64_t interp_id;         /* never used twice in a process */
    ot_holder_t holder;        /* of its handles */
    size_t n;
    struct {
        const ot_shared_kind_t *kind;
        PyTypeObject *type;
        const ot_handle_extra_t *extra; /* NULL: nothing */
    } types[OT_MAX_HANDLE_TYPES];
    PyObject *lock_abandoned;                        /* an exception class */
    struct ot_frozen_types *frozen;                  /* owned: raw memory (frozen_type.c) */
    PyTypeObject *checkout;                          /* no handle: a LockingDict's */
    PyTypeObject *held, *running, *code, *scheduler; /* no handles: a behaviour's */
    struct ot_code_caches *codes;                    /* owned: raw memory (code.c) */
    PyTypeObject *live_object;                       /* a struct sequence (live.c) */
    PyTypeObject *box;                               /* borrowed from types[] */
} ot_objects_t;

/* shared: owned, never changes; NULL only while being made. module: keeps home; not by way of the type, which
 * the collector may clear first. */
#define OT_HANDLE_HEAD                                                                             \
    PyObject_HEAD                                                                                  \
    ot_shared_t *shared;                                                                           \
    ot_objects_t *home;                                                                            \
    PyObject *module;

/* The first members of every handle. A frozen view (frozen.h) has only these, and borrows them
 * from its anchor. */
typedef struct {
    OT_HANDLE_HEAD
} ot_handle_head_t;

typedef struct {
    OT_HANDLE_HEAD
    ot_grip_t grip; /* in home's list from ot_handle_alloc_steal to the end */
} ot_handle_t;

static inline ot_handle_t *
ot_as_handle(PyObject *o)
{
    return (ot_handle_t *)o;
}

/* Fills in `home`, and adds what all handles need to the module; 0 or -1 with an exception set. To be
 * undone by ot_handles_end, in any case. The traverse visits all that `home` owns but `codes` and `frozen`. */
int ot_handles_init(PyObject *module, ot_objects_t *home);
int ot_handles_traverse(ot_objects_t *home, visitproc visit, void *arg);
void ot_handles_end(ot_objects_t *home);

/* Adds live_objects(). 0 or -1 with an exception set. */
int ot_live_objects_add(ot_objects_t *home);

/* The calling interpreter's, for code that has no handle at hand: imports objtunnel if need be.
 * Borrowed; NULL with an exception set. Runs: e. */
ot_objects_t *ot_objects_current(void);

/* What ot_objects_current returns in this thread, as the module that has it goes; NULL: as ever. */
void ot_objects_set_leaving(ot_objects_t *home);

/* Makes the type from its spec, adds it to the module, and declares it to be the handle of `kind`.
 * Returns a borrowed type, NULL with an exception set. */
PyTypeObject *ot_handle_add_type(ot_objects_t *home, const ot_shared_kind_t *kind,
                                 PyType_Spec *spec, const ot_handle_extra_t *extra);

/* A handle around `shared`. Refs: steals the reference, also on failure. */
PyObject *ot_handle_steal(ot_objects_t *home, ot_shared_t *shared);

/* A handle of the calling interpreter around an object that was made just now; NULL: there was no memory for it, which
 * raises MemoryError. Refs: steals the reference, also on failure. Runs: e. */
PyObject *ot_handle_new(ot_shared_t *shared);

/* The object that o stands for if o is a handle and knows nothing beside it: borrowed. NULL
 * otherwise, without an exception. Runs: -. */
ot_shared_t *ot_handle_plain(const ot_objects_t *home, PyObject *o);

/* What the tree code asks about handles of this interpreter. */
ot_handles_t ot_handles_for_trees(ot_objects_t *home);

/* Drops a reference that no handle has. Frees the messages of a tunnel that dies with it here if this
 * interpreter can still import what that takes, else elsewhere. */
void ot_handle_drop(ot_shared_t *shared);

/* Frees messages here if this interpreter can still import what that takes, else elsewhere. NULL is fine. Keeps the
 * current exception. */
void ot_dispose_chain(ot_node_t *chain);

/* A handle of that very type around `shared`. Refs: steals the reference, also on failure. */
PyObject *ot_handle_alloc_steal(ot_objects_t *home, PyTypeObject *type, ot_shared_t *shared);

/* ---- slots and methods that all handle types have ------------------------------------------- */

int ot_handle_traverse(PyObject *self, visitproc visit, void *arg);
void ot_handle_dealloc(PyObject *self);
Py_hash_t ot_handle_hash(PyObject *self);
PyObject *ot_handle_compare(PyObject *self, PyObject *other, int op); /* the same object? */
PyObject *ot_handle_reduce(PyObject *self, PyObject *unused);
PyObject *ot_handle_id(PyObject *self, void *unused);

/* A row of a type's PyGetSetDef; and a table with that row alone. */
#define OT_HANDLE_ID                                                                               \
    {                                                                                              \
        "id", ot_handle_id, NULL, "Number of the object, unique in the process.", NULL             \
    }
extern PyGetSetDef ot_handle_getset[];

/* Rows of a PyType_Slot: those of a type whose handles know nothing beside their object; and those that say
 * that two handles are equal if their object is the same. */
#define OT_HANDLE_LIFE                                                                             \
    {Py_tp_dealloc, ot_handle_dealloc},                                                            \
    {                                                                                              \
        Py_tp_traverse, ot_handle_traverse                                                         \
    }
#define OT_HANDLE_IDENTITY                                                                         \
    {Py_tp_hash, ot_handle_hash},                                                                  \
    {                                                                                              \
        Py_tp_richcompare, ot_handle_compare                                                       \
    }

/* A method that takes keywords, or its arguments in C, in a row of a PyMethodDef. */
#define OT_METHOD(function) ((PyCFunction)(void (*)(void))(function))

#define OT_HANDLE_FLAGS                                                                            \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |                          \
     Py_TPFLAGS_MANAGED_WEAKREF)

#endif
