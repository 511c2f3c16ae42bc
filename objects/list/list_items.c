/* list_items.c: how LockingList's operations take the lock, and what they put in and take out.
 *
 * Main invariant: values are made before the array is touched, and copied or dropped afterwards.
 * Threading: the GIL of the handle's interpreter, let go of while somebody holds the list's lock.
 */
#include "objects/list/list_type.h"

#include "objects/core/hidden.h"
#include "runtime/grow.h"

_Static_assert(offsetof(ot_value_t, ref) == 0, "list.c knows values by their refcount");

static ot_objects_t *
home_of(PyObject *self)
{
    return ot_as_handle(self)->home;
}

/* ---- the lock -------------------------------------------------------------------------------- */

static int
not_acquired(PyObject *self, ot_sync_result_t result)
{
    if (result == OT_SYNC_ABANDONED) {
        ot_raise_abandoned(self);
    }
    return -1; /* interrupted: the exception is set */
}

int
ot_list_hold(PyObject *self)
{
    ot_sync_result_t result =
        ot_acquire_waiting(ot_list_of(self)->lock, home_of(self)->interp_id, OT_FOREVER);
    return result == OT_SYNC_OK ? 0 : not_acquired(self, result);
}

void
ot_list_release(PyObject *self)
{
    ot_lock_release(ot_list_of(self)->lock); /* cannot fail: this thread holds it */
}

int
ot_list_begin(PyObject *self, ot_list_use_t *use)
{
    *use = (ot_list_use_t){ot_list_of(self), false};
    ot_sync_result_t result = ot_lock_brief_begin(use->list->lock);
    if (result == OT_SYNC_OK) {
        return 0;
    }
    if (result == OT_SYNC_ABANDONED) {
        return not_acquired(self, result);
    }
    if (ot_list_hold(self) < 0) {
        return -1;
    }
    use->acquired = true;
    ot_lock_brief_begin(use->list->lock); /* it is ours: OK */
    return 0;
}

void
ot_list_end(ot_list_use_t *use)
{
    ot_lock_brief_end(use->list->lock);
    if (use->acquired) {
        ot_lock_release(use->list->lock);
    }
}

/* ---- items ----------------------------------------------------------------------------------- */

void
ot_item_drop(ot_ref_t *item)
{
    ot_value_unref((ot_value_t *)item);
}

void
ot_items_drop(ot_items_t *items)
{
    for (size_t i = 0; i < items->len; i++) {
        ot_item_drop(items->items[i]);
    }
    free(items->items);
    *items = (ot_items_t){NULL, 0};
}

static int
no_memory(void)
{
    PyErr_NoMemory();
    return -1;
}

int
ot_list_snapshot(PyObject *self, ot_items_t *items, uint64_t *version)
{
    ot_list_use_t use;
    if (ot_list_begin(self, &use) < 0) {
        return -1;
    }
    bool done = ot_list_copy_locked(use.list, 0, 1, use.list->len, items);
    if (version != NULL) {
        *version = use.list->version;
    }
    ot_list_end(&use);
    return done ? 0 : no_memory();
}

int
ot_list_look(PyObject *self, ot_items_t *items)
{
    ot_list_t *list = ot_list_of(self);
    ot_lock_look_begin(list->lock);
    bool done = ot_list_copy_locked(list, 0, 1, list->len, items);
    ot_lock_brief_end(list->lock);
    return done ? 0 : no_memory();
}

PyObject *
ot_items_copy(ot_objects_t *home, const ot_items_t *items)
{
    PyObject *list = ot_hidden(PyList_New((Py_ssize_t)items->len));
    for (size_t i = 0; list != NULL && i < items->len; i++) {
        PyObject *o = ot_value_copy(home, (ot_value_t *)items->items[i]);
        if (o == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, o);
        }
    }
    return ot_hidden_show(list);
}

PyObject *
ot_list_plain(PyObject *self)
{
    ot_items_t items;
    if (ot_list_snapshot(self, &items, NULL) < 0) {
        return NULL;
    }
    PyObject *list = ot_items_copy(home_of(self), &items);
    ot_items_drop(&items);
    return list;
}

static bool
push(ot_items_t *items, size_t *cap, ot_ref_t *item)
{
    if (!ot_grow(&items->items, cap, items->len + 1, sizeof *items->items, realloc)) {
        return false;
    }
    items->items[items->len++] = item;
    return true;
}

static int
gather_from(ot_objects_t *home, PyObject *iterator, ot_items_t *items)
{
    PyObject *o;
    size_t cap = 0;
    while ((o = PyIter_Next(iterator)) != NULL) {
        ot_value_t *v = ot_value_new(home, o);
        Py_DECREF(o);
        if (v == NULL) {
            return -1;
        }
        if (!push(items, &cap, &v->ref)) {
            ot_value_unref(v);
            return no_memory();
        }
    }
    return PyErr_Occurred() ? -1 : 0;
}

int
ot_list_gather(PyObject *self, PyObject *iterable, const char *complaint, ot_items_t *items)
{
    *items = (ot_items_t){NULL, 0};
    if (Py_IS_TYPE(iterable, Py_TYPE(self))) {
        return ot_list_snapshot(iterable, items, NULL);
    }
    PyObject *iterator = PyObject_GetIter(iterable);
    if (iterator == NULL) {
        if (complaint != NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_SetString(PyExc_TypeError, complaint);
        }
        return -1;
    }
    int rc = gather_from(home_of(self), iterator, items);
    Py_DECREF(iterator);
    if (rc < 0) {
        PyObject *error = PyErr_GetRaisedException();
        ot_items_drop(items);
        PyErr_SetRaisedException(error);
    }
    return rc;
}
