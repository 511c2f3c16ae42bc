/* list_order.c: what compares LockingList's items, or shows them: Python code may run.
 *
 * Main invariant: it runs on copies of a snapshot, under no lock but the one that users may hold.
 * Threading: the GIL of the handle's interpreter. sort and remove hold the list's lock meanwhile, so
 * that others wait; the same thread is let in, and its changes are noticed by the version.
 */
#include "objects/core/hidden.h"
#include "objects/core/repr.h"
#include "objects/list/list_type.h"

static ot_objects_t *
home_of(PyObject *self)
{
    return ot_as_handle(self)->home;
}

/* Drops, whatever exception is set. */
static void
drop_quietly(ot_items_t *items)
{
    PyObject *error = PyErr_GetRaisedException();
    ot_items_drop(items);
    PyErr_SetRaisedException(error);
}

/* ---- repr ------------------------------------------------------------------------------------ */

/* The repr of what is in the list, also while somebody holds the list's lock or is gone with it. */
static PyObject *
repr_of_items(PyObject *self)
{
    ot_items_t items;
    if (ot_list_look(self, &items) < 0) {
        return NULL;
    }
    PyObject *texts = PyList_New(0);
    for (size_t i = 0; texts != NULL && i < items.len; i++) {
        PyObject *text = ot_repr_of_value(home_of(self), (ot_value_t *)items.items[i]);
        if (text == NULL || PyList_Append(texts, text) < 0) {
            Py_CLEAR(texts);
        }
        Py_XDECREF(text);
    }
    drop_quietly(&items);
    return ot_repr_join_steal("LockingList([", texts, "])");
}

PyObject *
ot_list_repr(PyObject *self)
{
    ot_repr_t under_way;
    int within = ot_repr_enter(self, &under_way);
    if (within != 0) {
        return within < 0 ? NULL : PyUnicode_FromString("LockingList([...])");
    }
    PyObject *repr = NULL;
    if (Py_EnterRecursiveCall(" while getting the repr of a LockingList") == 0) {
        repr = repr_of_items(self);
        Py_LeaveRecursiveCall();
    }
    ot_repr_leave(&under_way);
    return repr;
}

/* ---- comparing ------------------------------------------------------------------------------- */

PyObject *
ot_list_compare(PyObject *self, PyObject *other, int op)
{
    bool both = Py_IS_TYPE(other, Py_TYPE(self));
    if (!both && !PyList_Check(other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (both && ot_list_of(self) == ot_list_of(other) && (op == Py_EQ || op == Py_NE)) {
        return PyBool_FromLong(op == Py_EQ);
    }
    if (Py_EnterRecursiveCall(" in comparison of LockingLists") != 0) {
        return NULL;
    }
    PyObject *a = ot_list_plain(self);
    PyObject *b = a == NULL ? NULL : both ? ot_list_plain(other) : Py_NewRef(other);
    PyObject *result = b == NULL ? NULL : PyObject_RichCompare(a, b, op);
    Py_LeaveRecursiveCall();
    Py_XDECREF(a);
    Py_XDECREF(b);
    return result;
}

/* ---- looking for equal ones ------------------------------------------------------------------- */

/* Whether the i-th is equal; -1 with an exception set. */
static int
is_equal(PyObject *self, const ot_items_t *items, size_t i, PyObject *x)
{
    PyObject *o = ot_value_copy(home_of(self), (ot_value_t *)items->items[i]);
    int equal = o == NULL ? -1 : PyObject_RichCompareBool(o, x, Py_EQ);
    Py_XDECREF(o);
    return equal;
}

/* The first in [start, stop), stop if there is none; -1 with an exception set. */
static Py_ssize_t
find(PyObject *self, const ot_items_t *items, Py_ssize_t start, Py_ssize_t stop, PyObject *x)
{
    for (Py_ssize_t i = start; i < stop; i++) {
        int equal = is_equal(self, items, (size_t)i, x);
        if (equal != 0) {
            return equal < 0 ? -1 : i;
        }
    }
    return stop;
}

int
ot_list_contains(PyObject *self, PyObject *x)
{
    ot_items_t items;
    if (ot_list_snapshot(self, &items, NULL) < 0) {
        return -1;
    }
    Py_ssize_t len = (Py_ssize_t)items.len, i = find(self, &items, 0, len, x);
    drop_quietly(&items);
    return i < 0 ? -1 : i < len;
}

PyObject *
ot_list_count(PyObject *self, PyObject *x)
{
    ot_items_t items;
    if (ot_list_snapshot(self, &items, NULL) < 0) {
        return NULL;
    }
    Py_ssize_t count = 0;
    for (size_t i = 0; i < items.len && count >= 0; i++) {
        int equal = is_equal(self, &items, i, x);
        count = equal < 0 ? -1 : count + equal;
    }
    drop_quietly(&items);
    return count < 0 ? NULL : PyLong_FromSsize_t(count);
}

static int
bound_from(PyObject *o, Py_ssize_t *bound)
{
    if (o == NULL) {
        return 0;
    }
    if (!PyIndex_Check(o)) {
        PyErr_SetString(PyExc_TypeError,
                        "slice indices must be integers or have an __index__ method");
        return -1;
    }
    *bound = PyNumber_AsSsize_t(o, NULL);
    return *bound == -1 && PyErr_Occurred() ? -1 : 0;
}

PyObject *
ot_list_index(PyObject *self, PyObject *args)
{
    PyObject *x, *from = NULL, *to = NULL;
    Py_ssize_t start = 0, stop = PY_SSIZE_T_MAX;
    ot_items_t items;
    if (!PyArg_ParseTuple(args, "O|OO:index", &x, &from, &to) || bound_from(from, &start) < 0 ||
        bound_from(to, &stop) < 0 || ot_list_snapshot(self, &items, NULL) < 0) {
        return NULL;
    }
    PySlice_AdjustIndices((Py_ssize_t)items.len, &start, &stop, 1);
    stop = stop < start ? start : stop;
    Py_ssize_t i = find(self, &items, start, stop, x);
    drop_quietly(&items);
    if (i < 0) {
        return NULL;
    }
    return i < stop ? PyLong_FromSsize_t(i)
                    : PyErr_Format(PyExc_ValueError, "%R is not in list", x);
}

/* ---- changes that depend on comparing --------------------------------------------------------- */

static int
changed_meanwhile(const char *what)
{
    PyErr_Format(PyExc_ValueError, "list modified during %s", what);
    return -1;
}

/* Takes the i-th of the list as it was at `version` out. The list is held. */
static int
remove_at(PyObject *self, Py_ssize_t i, uint64_t version)
{
    const ot_items_t nothing = {NULL, 0};
    ot_items_t out = {NULL, 0};
    ot_list_use_t use;
    if (ot_list_begin(self, &use) < 0) {
        return -1;
    }
    bool same = use.list->version == version, done = true;
    if (same) {
        done = ot_list_splice_locked(use.list, (size_t)i, 1, &nothing, &out);
    }
    ot_list_end(&use);
    ot_items_drop(&out);
    if (!done) {
        PyErr_NoMemory();
    }
    return !same ? changed_meanwhile("remove") : done ? 0 : -1;
}

PyObject *
ot_list_remove(PyObject *self, PyObject *x)
{
    ot_items_t items;
    uint64_t version;
    if (ot_list_hold(self) < 0) {
        return NULL;
    }
    int rc = ot_list_snapshot(self, &items, &version);
    if (rc == 0) {
        Py_ssize_t len = (Py_ssize_t)items.len, i = find(self, &items, 0, len, x);
        rc = i < 0 || i == len ? -1 : remove_at(self, i, version);
        if (i == len) {
            PyErr_SetString(PyExc_ValueError, "list.remove(x): x not in list");
        }
        drop_quietly(&items);
    }
    ot_list_release(self);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* What is compared: copies, or what key makes of them. Refs: steals the list; NULL is fine. */
static PyObject *
keys_steal(PyObject *list, PyObject *key)
{
    for (Py_ssize_t i = 0; list != NULL && key != Py_None && i < PyList_GET_SIZE(list); i++) {
        PyObject *item = PyList_GetItemRef(list, i); /* key may find the list */
        PyObject *o = item == NULL ? NULL : PyObject_CallOneArg(key, item);
        Py_XDECREF(item);
        if (o == NULL || PyList_SetItem(list, i, o) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* By an interned name: of others the method cache keeps some thousand. */
static PyObject *
method(PyObject *o, const char *name)
{
    PyObject *interned = PyUnicode_InternFromString(name);
    PyObject *bound = interned == NULL ? NULL : PyObject_GetAttr(o, interned);
    Py_XDECREF(interned);
    return bound;
}

/* order.sort(key=keys.__getitem__, reverse=reverse) */
static PyObject *
sort_by(PyObject *order, PyObject *keys, PyObject *reverse)
{
    PyObject *done = NULL, *sort = method(order, "sort");
    PyObject *key = sort == NULL ? NULL : method(keys, "__getitem__");
    PyObject *none = key == NULL ? NULL : PyTuple_New(0);
    PyObject *options = none == NULL ? NULL : PyDict_New();
    if (options != NULL && PyDict_SetItemString(options, "key", key) == 0 &&
        PyDict_SetItemString(options, "reverse", reverse) == 0) {
        done = PyObject_Call(sort, none, options);
    }
    Py_XDECREF(none);
    Py_XDECREF(options);
    Py_XDECREF(sort);
    Py_XDECREF(key);
    return done;
}

/* 0..n-1 in the order of the keys: list.sort knows how. */
static PyObject *
sorted_indices(PyObject *keys, PyObject *reverse)
{
    PyObject *order = PyList_New(PyList_GET_SIZE(keys));
    for (Py_ssize_t i = 0; order != NULL && i < PyList_GET_SIZE(keys); i++) {
        PyObject *number = PyLong_FromSsize_t(i);
        if (number == NULL) {
            Py_CLEAR(order);
        } else {
            PyList_SET_ITEM(order, i, number);
        }
    }
    PyObject *done = order == NULL ? NULL : sort_by(order, keys, reverse);
    if (done == NULL) {
        Py_CLEAR(order);
    }
    Py_XDECREF(done);
    return order;
}

/* Fills `order`. The comparing code may have found the list of indices by way of the collector; `indices` is a copy that
 * nobody finds. */
static bool
is_permutation(PyObject *indices, size_t *order, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        order[i] = SIZE_MAX;
    }
    for (size_t i = 0; i < n; i++) {
        PyObject *o = PyList_GET_ITEM(indices, (Py_ssize_t)i);
        size_t at = PyLong_CheckExact(o) ? PyLong_AsSize_t(o) : SIZE_MAX;
        if (at >= n || order[at] != SIZE_MAX) {
            PyErr_Clear();
            return false;
        }
        order[at] = i;
    }
    for (size_t i = 0; i < n; i++) {
        order[i] = PyLong_AsSize_t(PyList_GET_ITEM(indices, (Py_ssize_t)i));
    }
    return true;
}

static int
permute_by(PyObject *self, PyObject *indices, uint64_t version)
{
    size_t n = (size_t)PyList_GET_SIZE(indices);
    size_t *order = PyMem_RawMalloc(n > 0 ? n * sizeof *order : 1);
    ot_list_use_t use;
    if (order == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (!is_permutation(indices, order, n)) {
        PyMem_RawFree(order);
        return changed_meanwhile("sort");
    }
    int rc = ot_list_begin(self, &use);
    if (rc == 0) {
        bool same = use.list->version == version && use.list->len == n;
        if (same) {
            ot_list_permute_locked(use.list, order);
        }
        ot_list_end(&use);
        rc = same ? 0 : changed_meanwhile("sort");
    }
    PyMem_RawFree(order);
    return rc;
}

static int
permute(PyObject *self, PyObject *found, uint64_t version)
{
    PyObject *indices = ot_hidden(PyList_GetSlice(found, 0, PY_SSIZE_T_MAX));
    int rc = indices == NULL ? -1 : permute_by(self, indices, version);
    Py_XDECREF(indices);
    return rc;
}

/* The list is held. */
static int
sort_held(PyObject *self, PyObject *key, PyObject *reverse)
{
    ot_items_t items;
    uint64_t version;
    if (ot_list_snapshot(self, &items, &version) < 0) {
        return -1;
    }
    PyObject *keys = keys_steal(ot_items_copy(home_of(self), &items), key);
    drop_quietly(&items);
    PyObject *indices = keys == NULL ? NULL : sorted_indices(keys, reverse);
    Py_XDECREF(keys);
    int rc = indices == NULL ? -1 : permute(self, indices, version);
    Py_XDECREF(indices);
    return rc;
}

PyObject *
ot_list_sort(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"key", "reverse", NULL};
    PyObject *key = Py_None;
    int reverse = 0;
    if (PyTuple_GET_SIZE(args) > 0) {
        return PyErr_Format(PyExc_TypeError, "sort() takes no positional arguments");
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$Op:sort", names, &key, &reverse) ||
        ot_list_hold(self) < 0) {
        return NULL;
    }
    int rc = sort_held(self, key, reverse ? Py_True : Py_False);
    ot_list_release(self);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}
