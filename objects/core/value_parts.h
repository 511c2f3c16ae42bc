/* value_parts.h: what value.c leaves to others: values that are an object or a tree.
 *
 * objects/core/value_tree.c has it for interpreters, threads/value_tree.c for the threads of free-threaded builds.
 *
 * Shared rules: as in value.h.
 */
#ifndef OT_OBJECTS_VALUE_PARTS_H
#define OT_OBJECTS_VALUE_PARTS_H

#include "objects/core/value.h"
#include "runtime/clock.h"

/* ---- value.c ------------------------------------------------------------------------------------ */

/* A value with one reference, whose `u` the caller fills as `form` says. NULL without memory, no exception. */
ot_value_t *ot_value_blank(ot_value_form_t form);

/* A value of o: whatever ot_value_new takes. `rule` says what becomes of the root. Needs, runs, returns: as ot_value_new. */
ot_value_t *ot_value_new_by_rule(ot_objects_t *home, PyObject *o, ot_root_rule_t rule);

/* ---- value_tree.c ------------------------------------------------------------------------------- */

/* A LEAF or STATIC value of an object that refers to nothing which can change. NULL without an exception: o is another kind
 * of object. NULL with MemoryError. */
ot_value_t *ot_value_new_leaf(PyObject *o);

/* A new object that equals the one of a LEAF value; NULL with MemoryError. */
PyObject *ot_value_leaf_copy(const ot_value_t *v);

/* A TREE or OPAQUE value of o and all that it leads to. NULL with an exception, and nothing has changed. Runs: e. */
ot_value_t *ot_value_new_tree(ot_objects_t *home, PyObject *o, ot_root_rule_t rule);

/* A new object that equals that of a TREE or OPAQUE value, which stays as it is. NULL with an exception. NULL without one:
 * other threads were copying it until the deadline. Runs: e. */
PyObject *ot_value_tree_copy(ot_objects_t *home, ot_value_t *v, int64_t deadline);

/* The object itself of a TREE or OPAQUE value, whose last reference the caller has; the value has no tree then. NULL with an
 * exception: the value is as it was. Runs: e. */
PyObject *ot_value_tree_take(ot_objects_t *home, ot_value_t *v);

/* Frees the tree of a value whose last reference is gone. Runs: e. */
void ot_value_tree_free(ot_value_t *v);

/* Frees strays of the calling interpreter whose values are gone (opaque.h). Costs one load if there are none. Runs: e. */
void ot_value_free_doomed(void);

#endif
