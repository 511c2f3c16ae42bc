/* copy.c: copies of what the sender's side goes on referring to. See parcel.h.
 *
 * Level by level and without recursion: a container's copy first has the same objects as the container, taken in one
 * call that holds its lock. Then each of them that can change is replaced by its own copy, one for each original.
 *
 * Main invariant: a fresh copy is the sender's own, in `moved`, and nobody else has seen it.
 * Threading: the caller's thread. copy.deepcopy runs Python code; nothing that moves can be reached by it.
 */
#include "threads/parcel.h"

static bool
is_container(ot_walk_kind_t kind)
{
    return kind == OT_WALK_LIST || kind == OT_WALK_TUPLE || kind == OT_WALK_DICT ||
           kind == OT_WALK_SET;
}

/* What both sides may have. */
static bool
stays(PyObject *o, ot_walk_kind_t kind)
{
    return kind == OT_WALK_LEAF || kind == OT_WALK_FROZENSET || kind == OT_WALK_FIXED ||
           ot_py_immortal(o);
}

PyObject *
ot_copy_dict(PyObject *d)
{
    PyObject *copy = PyDict_Copy(d);
    if (copy != NULL &&
        ot_dict_is_split(copy)) { /* an instance's __dict__: keys that its class has a part of */
        PyObject *combined = PyDict_New();
        if (combined != NULL && PyDict_Merge(combined, copy, 1) < 0) {
            Py_CLEAR(combined);
        }
        Py_DECREF(copy);
        copy = combined;
    }
    return copy;
}

static PyObject *
copy_tuple(PyObject *t)
{
    Py_ssize_t n = PyTuple_GET_SIZE(t), kept = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyTuple_GET_ITEM(t, i);
        kept += stays(item, ot_walk_kind(Py_TYPE(item)));
    }
    if (kept == n) {
        return Py_NewRef(t);
    }
    PyObject *copy = PyTuple_New(n);
    for (Py_ssize_t i = 0; copy != NULL && i < n; i++) {
        PyTuple_SET_ITEM(copy, i, Py_NewRef(PyTuple_GET_ITEM(t, i)));
    }
    return copy;
}

static PyObject *
copy_shallow(PyObject *o, ot_walk_kind_t kind)
{
    switch (kind) {
    case OT_WALK_LIST:
        return PyList_GetSlice(o, 0, PY_SSIZE_T_MAX);
    case OT_WALK_TUPLE:
        return copy_tuple(o);
    case OT_WALK_DICT:
        return ot_copy_dict(o);
    default:
        return PySet_New(o);
    }
}

static int
find_deepcopy(ot_send_t *send)
{
    PyObject *module = PyImport_ImportModule("copy");
    if (module != NULL) {
        send->deepcopy = PyObject_GetAttrString(module, "deepcopy");
        Py_DECREF(module);
    }
    if (send->deepcopy == NULL) {
        return -1;
    }
    send->memo = PyDict_New();
    return send->memo == NULL ? -1 : 0;
}

static PyObject *
copy_deeply(ot_send_t *send, PyObject *o)
{
    if (send->memo == NULL && find_deepcopy(send) < 0) {
        return NULL;
    }
    PyObject *copy = PyObject_CallFunctionObjArgs(send->deepcopy, o, send->memo, NULL);
    if (copy == NULL) {
        send->refused = Py_NewRef(o);
    }
    send->pickled += copy != NULL && copy != o;
    return copy;
}

/* Enters a new container into `moved` and `fresh`. Refs: steals it, also on failure. */
static PyObject *
adopt(ot_send_t *send, PyObject *copy, PyObject *original)
{
    if (copy == NULL || copy == original) {
        return copy;
    }
    /* 3.13 tracks the copy of a dict if the dict is tracked. One that lies in a parcel is not. */
    bool tracked_later = PyDict_CheckExact(copy) && PyDict_GET_SIZE(copy) > 0;
    uintptr_t tracked = ot_bias_untrack(copy) || tracked_later ? OT_WAS_TRACKED : 0;
    if (ot_vec_push(&send->fresh, copy) < 0) {
        goto error;
    }
    if (ot_vec_push(&send->parcel->moved, (uintptr_t)copy | tracked) < 0) {
        send->fresh.len--;
        goto error;
    }
    send->copied++;
    return copy;
error:
    if (tracked) {
        ot_gc_track(copy);
    }
    Py_DECREF(copy);
    return PyErr_NoMemory();
}

static PyObject *
make_copy(ot_send_t *send, PyObject *o)
{
    ot_walk_kind_t kind = ot_walk_kind(Py_TYPE(o));
    return is_container(kind) ? adopt(send, copy_shallow(o, kind), o) : copy_deeply(send, o);
}

/* The copy that stands for o: borrowed, the outsider's. NULL with an exception. */
static PyObject *
copy_of(ot_send_t *send, PyObject *o)
{
    const uint32_t *known = ot_ptrmap_get(&send->index, o);
    uint32_t index = known != NULL ? *known : (uint32_t)send->outsiders.len;
    if (known == NULL) {
        if (ot_vec_push(&send->outsiders, ((ot_outsider_t){.object = o})) < 0 ||
            ot_ptrmap_add(&send->index, o, index) < 0) {
            return PyErr_NoMemory();
        }
    }
    if (send->outsiders.items[index].copy == NULL) {
        send->outsiders.items[index].kept = Py_NewRef(o);
        PyObject *copy = make_copy(send, o); /* may move the outsiders */
        send->outsiders.items[index].copy = copy;
    }
    return send->outsiders.items[index].copy;
}

/* A slot of a fresh copy, which has a reference to the original. */
static int
fill(PyObject **slot, bool is_key, void *arg)
{
    PyObject *was = *slot;
    if (is_key || stays(was, ot_walk_kind(Py_TYPE(was)))) {
        return 0;
    }
    PyObject *copy = copy_of(arg, was);
    if (copy == NULL) {
        return -1;
    }
    if (copy != was) {
        *slot = Py_NewRef(copy);
        Py_DECREF(was); /* the original has another */
    }
    return 0;
}

/* A slot of an object that moves. */
static int
replace(ot_send_t *send, PyObject **slot)
{
    PyObject *copy = copy_of(send, *slot);
    if (copy == NULL || copy == *slot) {
        return copy == NULL ? -1 : 0;
    }
    if (ot_vec_push(&send->replaced, ((ot_replaced_t){slot, *slot})) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    *slot = Py_NewRef(copy);
    return 0;
}

int
ot_copy_outsiders(ot_send_t *send)
{
    for (size_t i = 0; i < send->outward.len; i++) {
        ot_outward_t at = send->outward.items[i];
        const ot_outsider_t *out = &send->outsiders.items[at.index];
        bool moves = out->wanted != 0 && out->found == out->wanted;
        if (!moves && replace(send, at.slot) < 0) {
            return -1;
        }
    }
    while (send->fresh.len > 0) {
        PyObject *copy = send->fresh.items[--send->fresh.len];
        if (ot_walk_slots(copy, ot_walk_kind(Py_TYPE(copy)), fill, send) < 0) {
            return -1;
        }
    }
    return 0;
}

void
ot_send_undo(ot_send_t *send)
{
    PyObject *error = PyErr_GetRaisedException();
    ot_parcel_track(send->parcel);
    while (send->replaced.len > 0) {
        ot_replaced_t last = send->replaced.items[--send->replaced.len];
        PyObject *copy = *last.slot;
        *last.slot = last.was;
        Py_DECREF(copy);
    }
    send->parcel->moved.len = 0;
    PyErr_SetRaisedException(error);
}

void
ot_send_clear(ot_send_t *send)
{
    for (size_t i = 0; i < send->outsiders.len; i++) {
        Py_XDECREF(send->outsiders.items[i].copy);
        Py_XDECREF(send->outsiders.items[i].kept);
    }
    Py_CLEAR(send->deepcopy);
    Py_CLEAR(send->memo);
    Py_CLEAR(send->refused);
    ot_vec_free(&send->todo);
    ot_vec_free(&send->outsiders);
    ot_ptrmap_free(&send->index);
    ot_vec_free(&send->outward);
    ot_vec_free(&send->replaced);
    ot_vec_free(&send->fresh);
}
