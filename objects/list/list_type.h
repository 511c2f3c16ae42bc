/* list_type.h: the parts of the Python type LockingList.
 *
 * Shared rules: every function needs an attached thread state, that of the handle's interpreter; errors
 * are NULL or -1 with an exception set.
 */
#ifndef OT_OBJECTS_LIST_TYPE_H
#define OT_OBJECTS_LIST_TYPE_H

#include "objects/list/list.h"
#include "objects/sync/sync_type.h"
#include "objects/core/value.h"

static inline ot_list_t *
ot_list_of(PyObject *self)
{
    return (ot_list_t *)ot_as_handle(self)->shared;
}

/* ---- list_items.c ---------------------------------------------------------------------------- */

/* Around an operation on the array: between them no Python, no exception set, nothing freed. If somebody
 * holds the list's lock, begin waits without the GIL. */
typedef struct {
    ot_list_t *list;
    bool acquired; /* the lock, because we had to wait for it */
} ot_list_use_t;

int ot_list_begin(PyObject *self, ot_list_use_t *use);
void ot_list_end(ot_list_use_t *use);

/* Acquires the list's lock as `with l.locked()` does; Python code may run under it. */
int ot_list_hold(PyObject *self);
void ot_list_release(PyObject *self);

/* New references to all items; *version (or NULL): of what was seen. */
int ot_list_snapshot(PyObject *self, ot_items_t *items, uint64_t *version);

/* New references to all items, without waiting for a thread that holds the list's lock (it may be half done). */
int ot_list_look(PyObject *self, ot_items_t *items);

/* Drop a reference, or all references of an array and the array. Runs: e. */
void ot_item_drop(ot_ref_t *item);
void ot_items_drop(ot_items_t *items);

/* A list of equal objects, the caller's own. */
PyObject *ot_items_copy(ot_objects_t *home, const ot_items_t *items);

/* An ordinary list of equal objects of all items: a snapshot, copied. */
PyObject *ot_list_plain(PyObject *self);

/* The items of an iterable as new values; a LockingList's are shared. `complaint`: the message of the TypeError for an
 * object that is no iterable; NULL: Python's own. */
int ot_list_gather(PyObject *self, PyObject *iterable, const char *complaint, ot_items_t *items);

/* ---- list_type.c ----------------------------------------------------------------------------- */

/* 0, or -1 with an exception set. */
int ot_list_type_add(ot_objects_t *home);

/* ---- list_order.c: what compares items, which may run Python code ------------------------------ */

PyObject *ot_list_repr(PyObject *self);
PyObject *ot_list_compare(PyObject *self, PyObject *other, int op);
int ot_list_contains(PyObject *self, PyObject *x);
PyObject *ot_list_count(PyObject *self, PyObject *x);
PyObject *ot_list_index(PyObject *self, PyObject *args);
PyObject *ot_list_remove(PyObject *self, PyObject *x);
PyObject *ot_list_sort(PyObject *self, PyObject *args, PyObject *kwargs);

#endif
