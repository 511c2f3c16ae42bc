/* constant.h: what stands in a frozen tree for a date, a Decimal, a UUID: an object that each reader makes anew.
 *
 * Such objects belong to a type of one interpreter, or lead to some. freeze() puts a constant in the place of each,
 * which holds its hash and its pickle. What is looked up by it is found by that hash.
 * Main invariant: a constant is never shown to a program, so that its type needs no PyType_Ready: it has the
 * three functions that are asked for.
 * Threading: never written to; any interpreter may read it.
 */
#ifndef OT_TUNNEL_CONSTANT_H
#define OT_TUNNEL_CONSTANT_H

#include "tunnel/kinds.h"
#include "tunnel/tree.h"

extern PyTypeObject ot_constant_type;
extern const ot_kind_t ot_kind_constant;

static inline bool
ot_is_constant(PyObject *o)
{
    return Py_IS_TYPE(o, &ot_constant_type);
}

/* A new one. nan: it is a Decimal that equals nothing, itself included. NULL with MemoryError. */
PyObject *ot_constant_new(Py_hash_t hash, bool nan, const char *pickle, Py_ssize_t n);

bool ot_constant_is_nan(PyObject *o);

/* The object that it stands for, the caller's own. NULL with an exception. Runs: e. */
PyObject *ot_constant_read(const ot_interp_t *interp, PyObject *o);

#endif
