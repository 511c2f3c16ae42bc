/* reading.c: a box's tree as several behaviours read it at once (see box.h).
 *
 * Nobody's objects are made of the tree: it stays at rest, and each reader looks at it through views of its own
 * (objects/frozen/frozen.h). What keeps a tree at rest from being looked at is the form that is cheapest to take out
 * again (ot_value_new_exclusive): the first reader changes that, in place, in one pass over the tree.
 *
 * Main invariant: while `region` is not NULL its views may be anywhere. Whoever gets the box alone drops it first; a view that
 * somebody has kept holds the old content, and ot_value_take then yields a copy.
 * Threading: `reading` is held while the region is made, by one of the readers; others wait for it without a GIL.
 */
#include "objects/box/box.h"
#include "objects/frozen/frozen.h"
#include "objects/sync/sync_type.h"

/* NULL with MemoryError. */
static ot_lock_t *
lock_of(ot_box_t *box)
{
    ot_lock_t *lock = box->reading, *none = NULL;
    if (lock != NULL) {
        return lock;
    }
    lock = ot_lock_new(&ot_lock_kind);
    if (lock == NULL) {
        return (ot_lock_t *)PyErr_NoMemory();
    }
    if (!atomic_compare_exchange_strong(&box->reading, &none, lock)) {
        ot_shared_unref(&lock->head); /* another reader was faster */
        lock = none;
    }
    return lock;
}

/* 0: the caller has the lock. -1 with an exception. */
static int
enter(const ot_objects_t *home, ot_lock_t *lock)
{
    ot_sync_result_t result =
        lock == NULL ? OT_SYNC_INTERRUPTED
                     : ot_acquire_once(lock, home->interp_id, OT_FOREVER,
                                       "this thread is just making the tree of this box readable");
    if (result == OT_SYNC_ABANDONED) { /* whoever had it ended; nothing was half done */
        (void)ot_lock_recover(lock, home->interp_id);
        result = OT_SYNC_OK;
    }
    return result == OT_SYNC_OK ? 0 : -1;
}

/* The region, borrowed from the box, or *same; or an exception. */
static ot_frozen_t *
region_of(ot_objects_t *home, ot_box_t *box, PyObject **same)
{
    *same = NULL;
    ot_frozen_t *region = atomic_load(&box->region);
    ot_lock_t *lock = region == NULL ? lock_of(box) : NULL;
    if (region != NULL || enter(home, lock) < 0) {
        return region;
    }
    region = box->region;
    if (region == NULL && ot_value_open(box->content) == 0) {
        region = ot_frozen_new(home, box->content, same);
        atomic_store(&box->region, region);
    }
    (void)ot_lock_release(lock);
    return region;
}

/* A TypeError says what a reader can do. */
static void
name_remedy(PyObject *who)
{
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyErr_Format(PyExc_TypeError,
                 "tree of %R: %S; behaviours that name a box in read= share a frozen view of its "
                 "tree: take a copy of your own by copy(), or name the box before read=",
                 who, error);
    Py_DECREF(error);
}

PyObject *
ot_box_read(ot_objects_t *home, ot_box_t *box, PyObject *who)
{
    if (box->content == NULL) {
        return ot_box_raise_absent(home, box, who);
    }
    if (!ot_value_is_tree(box->content) && box->content->form != OT_VALUE_LEAF) {
        return ot_value_copy(home, box->content); /* a number, a handle: constant anyway */
    }
    PyObject *same;
    ot_frozen_t *region = region_of(home, box, &same);
    if (region != NULL) {
        return ot_frozen_show(home, region);
    }
    if (same == NULL) {
        name_remedy(who);
    }
    return same;
}

PyObject *
ot_box_copy(ot_objects_t *home, ot_box_t *box, PyObject *who)
{
    if (box->content == NULL) {
        return ot_box_raise_absent(home, box, who);
    }
    ot_lock_t *lock = lock_of(box);
    if (enter(home, lock) < 0) {
        return NULL;
    }
    int opened = ot_value_open(box->content);
    (void)ot_lock_release(lock);
    return opened < 0 ? NULL : ot_value_copy(home, box->content);
}

void
ot_box_end_reading(ot_box_t *box)
{
    ot_frozen_t *region = box->region;
    if (region != NULL) {
        box->region = NULL;
        ot_shared_unref(&region->head);
    }
}
