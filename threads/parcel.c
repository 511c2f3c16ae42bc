/* parcel.c: see parcel.h. What a parcel is by itself: made, opened, freed.
 *
 * Main invariant: that of parcel.h.
 * Threading: one thread's at each moment; who hands it over orders the two (a channel's lock, an atomic exchange).
 */
#include "threads/parcel.h"

ot_parcel_t *
ot_parcel_new(PyObject *root)
{
    ot_parcel_t *parcel = root == NULL ? NULL : PyMem_RawCalloc(1, sizeof *parcel);
    if (parcel == NULL) {
        if (root != NULL) {
            Py_DECREF(root);
            PyErr_NoMemory();
        }
        return NULL;
    }
    parcel->head.bare = true;
    parcel->head.root = root;
    parcel->from = ot_bias_me();
    return parcel;
}

void
ot_parcel_free(ot_parcel_t *parcel)
{
    ot_vec_free(&parcel->moved);
    PyMem_RawFree(parcel);
}

static inline PyObject *
object_of(uintptr_t moved)
{
    return (PyObject *)(moved & ~(uintptr_t)OT_WAS_TRACKED);
}

static void
take_over(const ot_parcel_t *parcel)
{
    enum { AHEAD = 12 };
    uintptr_t me = ot_bias_me(), from = parcel->from;
    size_t n = parcel->moved.len;
    const uintptr_t *moved = parcel->moved.items;
    for (size_t i = 0; from != me && i < n; i++) {
        __builtin_prefetch(object_of(moved[i + AHEAD < n ? i + AHEAD : i]), 1);
        (void)ot_bias_take(object_of(moved[i]), from, me);
    }
}

void
ot_parcel_track(ot_parcel_t *parcel)
{
    for (size_t i = 0; i < parcel->moved.len; i++) {
        if (parcel->moved.items[i] & OT_WAS_TRACKED) {
            ot_gc_track(object_of(parcel->moved.items[i]));
        }
    }
}

PyObject *
ot_parcel_open(ot_parcel_t *parcel)
{
    PyObject *root = parcel->head.root;
    take_over(parcel);
    ot_parcel_track(parcel); /* after that: the collector may change owners of what it sees */
    ot_parcel_free(parcel);
    return root;
}
