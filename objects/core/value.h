/* value.h: what shared containers hold: an object at rest, in no interpreter.
 *
 * Purpose: what goes into a LockingDict, LockingList or Box, and how it comes out: an equal object
 * for whoever asks, or the object itself for who takes the last reference.
 * Invariant: a value is never changed once it is made, but for its refcount, and for trees of form
 * OT_VALUE_OPAQUE, which are changed under the value's own lock and stay equal.
 * Threading: any thread, any interpreter; whoever uses a value holds a reference (or keeps by
 * other means whoever holds one from dropping it). A value never refers to an interpreter, so it
 * outlives the one that made it.
 *
 * The rule of entry is the tunnel's (what only the tree can reach is moved, the rest is copied),
 * with one difference to Tunnel.send: what the caller still holds is never emptied. A root that is
 * a temporary nobody else can look at is moved, any other is copied.
 *
 * Which may run at once: all of them.
 */
#ifndef OT_OBJECTS_VALUE_H
#define OT_OBJECTS_VALUE_H

#include "objects/core/handle.h"
#include "runtime/pile.h"

typedef struct ot_value ot_value_t;

typedef enum {
    OT_VALUE_NONE,
    OT_VALUE_BOOL,
    OT_VALUE_INT,    /* fits into an int64_t */
    OT_VALUE_FLOAT,  /* here the scalars end */
    OT_VALUE_STATIC, /* an object that is the same in every interpreter: Ellipsis, int, () */
    OT_VALUE_LEAF,   /* one block that refers to nothing: str, bytes, longer int, complex */
    OT_VALUE_HANDLE, /* on a shared object */
    OT_VALUE_TREE,   /* of built-in types: copied as it lies, by any number at once */
    OT_VALUE_OPAQUE, /* of anything: copied by taking it, under the value's lock */
} ot_value_form_t;

/* Invariant: nothing but `ref` and, at the end, `piled` is written after ot_value_new; `form` says which of u is valid.
 * Private to value.c but for what the inline functions below read. */
struct ot_value {
    ot_ref_t ref;
    ot_piled_t piled; /* used once the last reference is gone */
    ot_value_form_t form;
    union {
        int64_t i; /* INT; BOOL: 0 or 1 */
        double d;
        PyObject *object;         /* STATIC: borrowed for ever; LEAF: owned, in no interpreter */
        ot_shared_t *shared;      /* HANDLE: owned */
        struct ot_rest *rest;     /* TREE: owned */
        struct ot_opaque *opaque; /* OPAQUE: owned */
    } u;
};

/* Needs: an attached thread state of `home`'s interpreter. Refs: o is borrowed.
 * Runs: e, before anything is taken: pickling. After a success it may run finalisers of what was
 * replaced (o may have been the last to refer to something). Hold no lock.
 * Returns: one reference; NULL with what Tunnel.send raises, and then nothing has changed. */
ot_value_t *ot_value_new(ot_objects_t *home, PyObject *o);

/* ot_value_new of an object that the caller owns: if its reference is the only one the root is moved, and
 * the caller's is an empty one then. A failure loses nothing. */
ot_value_t *ot_value_new_own(ot_objects_t *home, PyObject *o);

/* ot_value_new of what is stored by container[...] = o: a temporary is recognised by that instruction. */
ot_value_t *ot_value_new_stored(ot_objects_t *home, PyObject *container, PyObject *o);

/* A value that is never copied, only taken (a Box's): cheaper, and the rule for the root is the
 * caller's to choose. Otherwise as ot_value_new; on failure a root that was to be emptied is not. */
ot_value_t *ot_value_new_exclusive(ot_objects_t *home, PyObject *o, ot_root_rule_t rule);

/* From now on an exclusive value may be copied. The caller is alone with it. 0, or -1 with MemoryError. */
int ot_value_open(ot_value_t *v);

/* Whether it holds a tree, which is at rest, and not one object or something that is no object at all. Also while another
 * thread opens it. */
bool ot_value_is_tree(const ot_value_t *v);

/* ot_value_new_exclusive, with Tunnel.send's `strict`. *receipt counts what was moved, copied and pickled; nothing for what
 * needs no tree (numbers, strs, handles). */
ot_value_t *ot_value_new_counted(ot_objects_t *home, PyObject *o, ot_root_rule_t rule, bool strict,
                                 ot_receipt_t *receipt);

/* A value of an object that needs no tree: a number, a str, a handle ... NULL without an exception: o needs a tree. Runs: m. */
ot_value_t *ot_value_new_treeless(ot_objects_t *home, PyObject *o);

/* A value of an int, made without Python. NULL without memory, no exception. */
ot_value_t *ot_value_new_int(int64_t i);

/* An equal object of the caller's own, a new reference.
 * Needs: an attached thread state of `home`'s interpreter. v is not written to (OPAQUE: but for its
 * tree, under its lock; waiting lets go of the GIL).
 * Runs: m; for OPAQUE e: unpickling, pickling, waiting. Hold no lock.
 * Returns: NULL with MemoryError, or what rebuilding raised; v is as it was. */
PyObject *ot_value_copy(ot_objects_t *home, ot_value_t *v);

/* ot_value_copy, but NULL without an exception if another thread is copying v and would have to be waited
 * for. */
PyObject *ot_value_copy_at_once(ot_objects_t *home, ot_value_t *v);

/* For a caller that gives up its reference: the last one gets the object itself, without a
 * copy; any other a copy.
 * Refs: steals a reference on success. On failure the caller keeps it, v as it was.
 * Needs, runs: as ot_value_copy. */
PyObject *ot_value_take(ot_objects_t *home, ot_value_t *v);

static inline void
ot_value_ref(ot_value_t *v)
{
    ot_ref_inc(&v->ref);
}

/* Refs: steals; NULL is fine. Needs: nothing; without an attached thread state what is freed is kept
 * for an interpreter that frees something later. Runs: e (finalisers of instances). Hold no lock. */
void ot_value_unref(ot_value_t *v);

/* None, a bool, an int in int64_t, a float: ot_value_scalar makes it without a call that can do
 * anything but fail for memory. */
static inline bool
ot_value_is_scalar(const ot_value_t *v)
{
    return v->form <= OT_VALUE_FLOAT;
}

/* New reference or MemoryError. Needs: an attached thread state. */
static inline PyObject *
ot_value_scalar(const ot_value_t *v)
{
    switch (v->form) {
    case OT_VALUE_INT:
        return PyLong_FromLongLong(v->u.i);
    case OT_VALUE_FLOAT:
        return PyFloat_FromDouble(v->u.d);
    case OT_VALUE_BOOL:
        return PyBool_FromLong((long)v->u.i);
    default:
        return Py_NewRef(Py_None);
    }
}

#endif
