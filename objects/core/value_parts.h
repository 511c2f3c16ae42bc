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

/* One reference, and nothing in it. NULL without memory, no exception. */
ot_value_t *ot_value_blank(ot_value_form_t form);

/* ot_value_new; `rule` says what becomes of the root. */
ot_value_t *ot_value_new_by_rule(ot_objects_t *home, PyObject *o, ot_root_rule_t rule);

/* ---- value_tree.c ------------------------------------------------------------------------------- */

/* A LEAF or STATIC value of an object that refers to nothing which can change. NULL without an exception: o is no such
 * object; or with MemoryError. */
ot_value_t *ot_value_new_leaf(PyObject *o);

/* Of a LEAF value: an equal object, a new reference, or MemoryError. */
PyObject *ot_value_leaf_copy(const ot_value_t *v);

/* A TREE or OPAQUE value. NULL with an exception. Runs: e. */
ot_value_t *ot_value_new_tree(ot_objects_t *home, PyObject *o, ot_root_rule_t rule);

/* Of a TREE or OPAQUE value: an equal object. NULL with an exception; or without one: others are copying it, until the
 * deadline. Runs: e. */
PyObject *ot_value_tree_copy(ot_objects_t *home, ot_value_t *v, int64_t deadline);

/* The object itself, for who has the last reference; the tree is gone then. NULL with an exception: as it was. Runs: e. */
PyObject *ot_value_tree_take(ot_objects_t *home, ot_value_t *v);

/* Frees the tree of a value whose last reference is gone. Runs: e. */
void ot_value_tree_free(ot_value_t *v);

/* Frees what could not be freed where its value went. Costs a load if there is nothing. Runs: e. */
void ot_value_free_doomed(void);

#endif
