/* retype.h: instances change from the sender's class to the receiver's.
 *
 *   sender    ot_class_add_instance  an instance, as the walk finds it
 *             ot_classes_reserve, ot_classes_leave
 *   receiver  ot_classes_find   the same classes here (imports)
 *             ot_classes_plan   how attributes map; allocates
 *             ot_classes_enter  instances become this interpreter's
 *
 * In transit an instance's ob_type is NULL; no class's refcount and no class's shared keys count
 * it. The object itself stays where it is.
 */
#ifndef OT_TUNNEL_RETYPE_H
#define OT_TUNNEL_RETYPE_H

#include "tunnel/tree.h"
#include "runtime/cpython/gc.h"

typedef struct ot_arrivals ot_arrivals_t;

/* Notes an instance of class i, a copy made for this message or (is_copy false) one that moves
 * itself. Returns -1 without an exception if there is no memory. Runs: -. */
int ot_class_add_instance(ot_tree_t *tree, size_t i, PyObject *o, bool is_copy);

/* Copies what the receiver must know of the classes. 0, or -1 with MemoryError. Runs: m. */
int ot_classes_reserve(ot_tree_t *tree);

/* Takes all instances from the sender's classes; cannot fail. */
void ot_classes_leave(ot_tree_t *tree);

/* Copies that are about to be dropped shall not run their __del__: nobody ever saw them. */
void ot_classes_disarm_copies(ot_tree_t *tree);

/* Empties the list of classes. */
void ot_classes_reset(ot_tree_t *tree);

/* Finds this interpreter's classes: by import, or (for_disposal) only among what is imported
 * already, with a stand-in for a class that is not. Returns NULL with an exception that names the
 * class, and in *failed (not NULL) which of the tree's classes that is, NULL if none; the message is as
 * before. Runs: e. */
ot_arrivals_t *ot_classes_find(const ot_interp_t *interp, ot_tree_t *tree, bool for_disposal,
                               const ot_tree_class_t **failed);

/* The first instance of one of the tree's classes that has any. Borrowed. */
PyObject *ot_class_first_instance(const ot_tree_class_t *c);

/* Allocates all that ot_classes_enter needs. Nothing that runs Python code may come between the
 * two. 0, or -1 with MemoryError. Runs: m. */
int ot_classes_plan(ot_arrivals_t *arrivals);

/* Makes all instances this interpreter's; cannot fail. tracked: the tree's; dicts are added to it. */
void ot_classes_enter(ot_arrivals_t *arrivals, ot_gc_chain_t *tracked);

/* While no Python code runs: instances in transit are lent their classes, which do not count them,
 * or are without one again. NULL is fine. */
void ot_arrivals_lend(const ot_arrivals_t *arrivals, bool lend);

/* What the sender's class called the attribute at that place of the values. Borrowed: a message's. */
PyObject *ot_arrivals_name(const ot_arrivals_t *arrivals, const PyTypeObject *type, int place);

/* NULL is fine. */
void ot_arrivals_free(ot_arrivals_t *arrivals);

#endif
