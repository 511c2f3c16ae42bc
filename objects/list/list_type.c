/* list_type.c: the Python type LockingList: list's interface on an array of values at rest.
 *
 * Main invariant: these are handles only. What goes in becomes a value before the list is touched, what
 * comes out is copied, or dropped, afterwards: between ot_list_begin and ot_list_end pointers move.
 * Threading: the GIL of the handle's interpreter, let go of while somebody holds the list's lock.
 */
#include "objects/list/list_type.h"
#include "runtime/import.h"

static ot_objects_t *
home_of(PyObject *self)
{
    return ot_as_handle(self)->home;
}

static int
no_memory(void)
{
    PyErr_NoMemory();
    return -1;
}

/* ---- reading --------------------------------------------------------------------------------- */

static PyObject *
out_of_range(const char *what)
{
    PyErr_SetString(PyExc_IndexError, what);
    return NULL;
}

/* A scalar is made under the lock, without a reference to the value: all who read it would write that refcount. */
static PyObject *
item_at(PyObject *self, Py_ssize_t i, bool from_end)
{
    ot_list_use_t use;
    if (ot_list_begin(self, &use) < 0) {
        return NULL;
    }
    Py_ssize_t len = (Py_ssize_t)use.list->len;
    i += i < 0 && from_end ? len : 0;
    if (i < 0 || i >= len) {
        ot_list_end(&use);
        return out_of_range("list index out of range");
    }
    ot_value_t *v = (ot_value_t *)use.list->items[i];
    if (ot_value_is_scalar(v)) {
        ot_value_t scalar = {.form = v->form, .u = v->u};
        ot_list_end(&use);
        return ot_value_scalar(&scalar);
    }
    ot_value_ref(v);
    ot_list_end(&use);
    PyObject *o = ot_value_copy(home_of(self), v);
    ot_value_unref(v);
    return o;
}

static PyObject *
list_item(PyObject *self, Py_ssize_t i)
{
    return item_at(self, i, false);
}

static Py_ssize_t
list_length(PyObject *self)
{
    ot_list_use_t use;
    if (ot_list_begin(self, &use) < 0) {
        return -1;
    }
    Py_ssize_t n = (Py_ssize_t)use.list->len;
    ot_list_end(&use);
    return n;
}

typedef struct {
    Py_ssize_t start, stop, step;
} slice_t;

static int
slice_items(PyObject *self, slice_t s, ot_items_t *items)
{
    ot_list_use_t use;
    if (ot_list_begin(self, &use) < 0) {
        return -1;
    }
    Py_ssize_t n = PySlice_AdjustIndices((Py_ssize_t)use.list->len, &s.start, &s.stop, s.step);
    bool done = ot_list_copy_locked(use.list, (size_t)s.start, s.step, (size_t)n, items);
    ot_list_end(&use);
    return done ? 0 : no_memory();
}

static PyObject *
wrong_index(PyObject *key)
{
    return PyErr_Format(PyExc_TypeError, "list indices must be integers or slices, not %s",
                        Py_TYPE(key)->tp_name);
}

static PyObject *
list_subscript(PyObject *self, PyObject *key)
{
    if (PyIndex_Check(key)) {
        Py_ssize_t i = PyNumber_AsSsize_t(key, PyExc_IndexError);
        return i == -1 && PyErr_Occurred() ? NULL : item_at(self, i, true);
    }
    slice_t s;
    ot_items_t items;
    if (!PySlice_Check(key)) {
        return wrong_index(key);
    }
    if (PySlice_Unpack(key, &s.start, &s.stop, &s.step) < 0 || slice_items(self, s, &items) < 0) {
        return NULL;
    }
    PyObject *list = ot_items_copy(home_of(self), &items);
    ot_items_drop(&items);
    return list;
}

/* ---- changing -------------------------------------------------------------------------------- */

/* An end of a slice, as list.insert takes it. */
static size_t
clamp(Py_ssize_t i, size_t len)
{
    if (i < 0) {
        i += (Py_ssize_t)len;
        i = i < 0 ? 0 : i;
    }
    return (size_t)i < len ? (size_t)i : len;
}

/* One new item at i, as list.insert does. */
static int
insert_value(PyObject *self, Py_ssize_t i, ot_value_t *v)
{
    ot_list_use_t use;
    if (ot_list_begin(self, &use) < 0) {
        return -1;
    }
    ot_ref_t *item = &v->ref;
    ot_items_t in = {&item, 1}, out;
    bool done = ot_list_splice_locked(use.list, clamp(i, use.list->len), 0, &in, &out);
    ot_list_end(&use);
    return done ? 0 : no_memory();
}

static PyObject *
insert(PyObject *self, Py_ssize_t i, PyObject *o)
{
    ot_value_t *v = ot_value_new(home_of(self), o);
    if (v == NULL) {
        return NULL;
    }
    if (insert_value(self, i, v) < 0) {
        PyObject *error = PyErr_GetRaisedException();
        ot_value_unref(v);
        PyErr_SetRaisedException(error);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
list_append(PyObject *self, PyObject *o)
{
    return insert(self, PY_SSIZE_T_MAX, o);
}

/* METH_FASTCALL, so that the value can be a temporary (tunnel/temporary.h): a tuple of arguments would refer to it as well. */
static PyObject *
list_insert(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    if (n != 2) {
        return PyErr_Format(PyExc_TypeError, "insert expected 2 arguments, got %zd", n);
    }
    Py_ssize_t i = PyNumber_AsSsize_t(args[0], PyExc_OverflowError); /* as list's */
    return i == -1 && PyErr_Occurred() ? NULL : insert(self, i, args[1]);
}

/* Replaces a slice of step 1. Refs: steals the items, not their array; on failure nothing. */
static int
replace(PyObject *self, slice_t s, const ot_items_t *in)
{
    ot_list_use_t use;
    ot_items_t out;
    if (ot_list_begin(self, &use) < 0) {
        return -1;
    }
    Py_ssize_t n = PySlice_AdjustIndices((Py_ssize_t)use.list->len, &s.start, &s.stop, 1);
    bool done = ot_list_splice_locked(use.list, (size_t)s.start, (size_t)n, in, &out);
    ot_list_end(&use);
    if (!done) {
        return no_memory();
    }
    ot_items_drop(&out);
    return 0;
}

static int
wrong_size(size_t given, Py_ssize_t wanted)
{
    PyErr_Format(PyExc_ValueError,
                 "attempt to assign sequence of size %zu to extended slice of size %zd", given,
                 wanted);
    return -1;
}

/* In *in are then the items that were there. */
static int
exchange(PyObject *self, slice_t s, ot_items_t *in)
{
    ot_list_use_t use;
    if (ot_list_begin(self, &use) < 0) {
        return -1;
    }
    Py_ssize_t n = PySlice_AdjustIndices((Py_ssize_t)use.list->len, &s.start, &s.stop, s.step);
    if ((size_t)n == in->len && n > 0) {
        ot_list_exchange_stepped_locked(use.list, (size_t)s.start, s.step, in);
    }
    ot_list_end(&use);
    return (size_t)n == in->len ? 0 : wrong_size(in->len, n);
}

static const slice_t everything = {0, PY_SSIZE_T_MAX, 1},
                     the_end = {PY_SSIZE_T_MAX, PY_SSIZE_T_MAX, 1};

/* Puts what an iterable has in the place of a slice. */
static int
assign(PyObject *self, slice_t s, PyObject *iterable, const char *complaint)
{
    ot_items_t in;
    if (ot_list_gather(self, iterable, complaint, &in) < 0) {
        return -1;
    }
    int rc = s.step == 1 ? replace(self, s, &in) : exchange(self, s, &in);
    if (rc == 0 && s.step == 1) {
        in.len = 0; /* the list has them */
    }
    PyObject *error = PyErr_GetRaisedException();
    ot_items_drop(&in);
    PyErr_SetRaisedException(error);
    return rc;
}

static int
remove_slice(PyObject *self, slice_t s)
{
    const ot_items_t nothing = {NULL, 0};
    if (s.step == 1) {
        return replace(self, s, &nothing);
    }
    ot_list_use_t use;
    ot_items_t out = {NULL, 0};
    if (ot_list_begin(self, &use) < 0) {
        return -1;
    }
    Py_ssize_t n = PySlice_AdjustIndices((Py_ssize_t)use.list->len, &s.start, &s.stop, s.step);
    bool done = true;
    if (n > 0 && s.step < 0) {
        s.start += s.step * (n - 1);
        s.step = -s.step;
    }
    if (n > 0) {
        done = ot_list_remove_stepped_locked(use.list, (size_t)s.start, (size_t)s.step, (size_t)n,
                                             &out);
    }
    ot_list_end(&use);
    ot_items_drop(&out);
    return done ? 0 : no_memory();
}

/* Exchanges one item for `v`, or takes it out (NULL); what was there is in *old. */
static int
change_at(PyObject *self, Py_ssize_t i, ot_value_t *v, const char *complaint, ot_value_t **old)
{
    ot_list_use_t use;
    if (ot_list_begin(self, &use) < 0) {
        return -1;
    }
    size_t len = use.list->len;
    i += i < 0 ? (Py_ssize_t)len : 0;
    bool there = i >= 0 && (size_t)i < len, done = true;
    if (there && v != NULL) {
        ot_ref_t *item = &v->ref;
        ot_list_exchange_stepped_locked(use.list, (size_t)i, 1, &(ot_items_t){&item, 1});
        *old = (ot_value_t *)item;
    } else if (there) {
        ot_items_t nothing = {NULL, 0}, out;
        done = ot_list_splice_locked(use.list, (size_t)i, 1, &nothing, &out);
        *old = done ? (ot_value_t *)out.items[0] : NULL;
        free(out.items);
    }
    ot_list_end(&use);
    if (!there) {
        out_of_range(len == 0 && complaint[0] == 'p' ? "pop from empty list" : complaint);
    }
    return !there ? -1 : done ? 0 : no_memory();
}

static int
assign_item(PyObject *self, Py_ssize_t i, PyObject *o)
{
    ot_value_t *v = o == NULL ? NULL : ot_value_new_stored(home_of(self), self, o), *old;
    if (o != NULL && v == NULL) {
        return -1;
    }
    int rc = change_at(self, i, v, "list assignment index out of range", &old);
    PyObject *error = PyErr_GetRaisedException();
    ot_value_unref(rc < 0 ? v : old);
    PyErr_SetRaisedException(error);
    return rc;
}

static int
list_assign(PyObject *self, PyObject *key, PyObject *o)
{
    if (PyIndex_Check(key)) {
        Py_ssize_t i = PyNumber_AsSsize_t(key, PyExc_IndexError);
        return i == -1 && PyErr_Occurred() ? -1 : assign_item(self, i, o);
    }
    slice_t s;
    if (!PySlice_Check(key)) {
        wrong_index(key);
        return -1;
    }
    if (PySlice_Unpack(key, &s.start, &s.stop, &s.step) < 0) {
        return -1;
    }
    if (o == NULL) {
        return remove_slice(self, s);
    }
    return assign(self, s, o,
                  s.step == 1 ? "can only assign an iterable"
                              : "must assign iterable to extended slice");
}

static PyObject *
list_pop(PyObject *self, PyObject *args)
{
    PyObject *index = NULL;
    if (!PyArg_ParseTuple(args, "|O:pop", &index)) {
        return NULL;
    }
    Py_ssize_t i = index == NULL ? -1 : PyNumber_AsSsize_t(index, PyExc_OverflowError);
    ot_value_t *v;
    if ((i == -1 && PyErr_Occurred()) ||
        change_at(self, i, NULL, "pop index out of range", &v) < 0) {
        return NULL;
    }
    PyObject *o = ot_value_take(home_of(self), v);
    if (o == NULL) { /* back to where it was, as near as may be */
        PyObject *error = PyErr_GetRaisedException();
        if (insert_value(self, i == -1 ? PY_SSIZE_T_MAX : i < 0 ? i + 1 : i, v) < 0) {
            PyErr_FormatUnraisable("objtunnel: an item that could not be popped is lost");
            ot_value_unref(v);
        }
        PyErr_SetRaisedException(error);
    }
    return o;
}

static PyObject *
none_if(int rc)
{
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
list_extend(PyObject *self, PyObject *iterable)
{
    return none_if(assign(self, the_end, iterable, NULL));
}

static PyObject *
list_clear(PyObject *self, PyObject *unused)
{
    (void)unused;
    return none_if(remove_slice(self, everything));
}

static PyObject *
list_reverse(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_list_use_t use;
    if (ot_list_begin(self, &use) < 0) {
        return NULL;
    }
    ot_list_reverse_locked(use.list);
    ot_list_end(&use);
    Py_RETURN_NONE;
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

static PyObject *
list_inplace_concat(PyObject *self, PyObject *other)
{
    return assign(self, the_end, other, NULL) < 0 ? NULL : Py_NewRef(self);
}

static PyObject *
list_inplace_repeat(PyObject *self, Py_ssize_t n)
{
    if (n <= 0) {
        return remove_slice(self, everything) < 0 ? NULL : Py_NewRef(self);
    }
    ot_list_use_t use;
    if (ot_list_begin(self, &use) < 0) {
        return NULL;
    }
    bool done = ot_list_repeat_locked(use.list, (size_t)n);
    ot_list_end(&use);
    return done ? Py_NewRef(self) : PyErr_NoMemory();
}

static PyObject *
list_repeat(PyObject *self, Py_ssize_t n)
{
    PyObject *list = ot_list_plain(self);
    PyObject *result = list == NULL ? NULL : PySequence_Repeat(list, n);
    Py_XDECREF(list);
    return result;
}

static bool
is_ours(PyObject *o)
{
    return Py_TYPE(o)->tp_richcompare == ot_list_compare;
}

/* A list and one of ours, in either order; the result is an ordinary list. */
static PyObject *
list_add(PyObject *left, PyObject *right)
{
    if ((!is_ours(left) && !PyList_Check(left)) || (!is_ours(right) && !PyList_Check(right))) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *a = is_ours(left) ? ot_list_plain(left) : Py_NewRef(left);
    PyObject *b = a == NULL ? NULL : is_ours(right) ? ot_list_plain(right) : Py_NewRef(right);
    PyObject *sum = b == NULL ? NULL : PySequence_Concat(a, b);
    Py_XDECREF(a);
    Py_XDECREF(b);
    return sum;
}

/* ---- iteration ------------------------------------------------------------------------------- */

/* An iterator over the items. It goes through a new LockingList of the same values that nobody
 * else has a handle of. Refs: steals the items. */
static PyObject *
iterate_steal(PyObject *self, ot_items_t *items)
{
    ot_list_t *hidden = ot_list_new(ot_item_drop);
    if (hidden == NULL) {
        ot_items_drop(items);
        return PyErr_NoMemory();
    }
    hidden->items = items->items;
    hidden->len = hidden->cap = items->len;
    PyObject *handle = ot_handle_steal(home_of(self), &hidden->head);
    PyObject *iterator = handle == NULL ? NULL : PySeqIter_New(handle);
    Py_XDECREF(handle);
    return iterator;
}

static PyObject *
list_iter(PyObject *self)
{
    ot_items_t items;
    return ot_list_snapshot(self, &items, NULL) < 0 ? NULL : iterate_steal(self, &items);
}

static PyObject *
list_reversed(PyObject *self, PyObject *unused)
{
    (void)unused;
    const slice_t backwards = {PY_SSIZE_T_MAX, PY_SSIZE_T_MIN, -1};
    ot_items_t items;
    return slice_items(self, backwards, &items) < 0 ? NULL : iterate_steal(self, &items);
}

/* ---- life ------------------------------------------------------------------------------------ */

static PyObject *
list_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)type;
    (void)args;
    (void)kwargs;
    return ot_handle_new((ot_shared_t *)ot_list_new(ot_item_drop));
}

/* __init__: a second call replaces the items, as list's does. */
static int
list_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *iterable = NULL;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "LockingList() takes no keyword arguments");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "|O:LockingList", &iterable)) {
        return -1;
    }
    return iterable == NULL ? remove_slice(self, everything)
                            : assign(self, everything, iterable, NULL);
}

static PyObject *
list_copy(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ot_list_plain(self);
}

static PyObject *
list_locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_lock_t *lock = ot_list_of(self)->lock;
    ot_shared_ref(&lock->head);
    return ot_handle_steal(home_of(self), &lock->head);
}

/* ---- the type -------------------------------------------------------------------------------- */

static PyMethodDef methods[] = {
    {"append", list_append, METH_O,
     "append($self, object, /)\n--\n\nAdd it at the end: moved if nobody else can reach it, else a copy."},
    {"extend", list_extend, METH_O,
     "extend($self, iterable, /)\n--\n\nAdd all of them at the end, in one piece."},
    {"insert", OT_METHOD(list_insert), METH_FASTCALL,
     "insert($self, index, object, /)\n--\n\nInsert it before index."},
    {"pop", list_pop, METH_VARARGS,
     "pop($self, index=-1, /)\n--\n\n"
     "Take the item out and return it, without a copy. Raises IndexError."},
    {"remove", ot_list_remove, METH_O,
     "remove($self, value, /)\n--\n\nRemove the first that is equal. Raises ValueError."},
    {"clear", list_clear, METH_NOARGS, "clear($self)\n--\n\nRemove all."},
    {"copy", list_copy, METH_NOARGS, "copy($self)\n--\n\nAn ordinary list of equal objects."},
    {"count", ot_list_count, METH_O, "count($self, value, /)\n--\n\nHow many are equal."},
    {"index", ot_list_index, METH_VARARGS,
     "index($self, value, start=0, stop=9223372036854775807, /)\n--\n\n"
     "Where the first is that is equal. Raises ValueError."},
    {"sort", OT_METHOD(ot_list_sort), METH_VARARGS | METH_KEYWORDS,
     "sort($self, *, key=None, reverse=False)\n--\n\n"
     "Sort in place, stably, as list.sort does. Holds the list's lock while it compares.\n\n"
     "If comparing raises, nothing has changed. Raises ValueError if key or a comparison\n"
     "changes the list."},
    {"reverse", list_reverse, METH_NOARGS, "reverse($self)\n--\n\nReverse in place."},
    {"locked", list_locked, METH_NOARGS,
     "locked($self)\n--\n\n"
     "The list's lock, an RLock: while it is held, others wait with all they do to the list.\n\n"
     ">>> with l.locked():\n...     l[0] += 1"},
    {"__reversed__", list_reversed, METH_NOARGS, "Iterate over what is there now, backwards."},
    {"__reduce__", ot_handle_reduce, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "LockingList(iterable=(), /)\n--\n\n"
     "A list that all interpreters of the process use at the same time.\n\n"
     "Each operation is atomic. Items are not shared, they are handed over: what goes in is\n"
     "moved or copied, l[i] is an equal object of the caller's own, pop() takes the item out.\n"
     "So l[0].append(1) changes a copy. Slices, +, * and copy() give ordinary lists; iteration\n"
     "is over what was there when it began. == compares items.\n"
     "For JSON: json.dumps(l, default=objtunnel.frozen_default).\n\n"
     ">>> l = LockingList([3, 1]); l.append([2]); l.pop()\n[2]"},
    {Py_tp_new, list_new},
    {Py_tp_init, list_init},
    OT_HANDLE_LIFE,
    {Py_tp_repr, ot_list_repr},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_richcompare, ot_list_compare},
    {Py_tp_iter, list_iter},
    {Py_tp_methods, methods},
    {Py_tp_getset, ot_handle_getset},
    {Py_nb_add, list_add},
    {Py_nb_inplace_add, list_inplace_concat},
    {Py_sq_length, list_length},
    {Py_sq_item, list_item},
    {Py_sq_contains, ot_list_contains},
    {Py_sq_repeat, list_repeat},
    {Py_sq_inplace_repeat, list_inplace_repeat},
    {Py_mp_length, list_length},
    {Py_mp_subscript, list_subscript},
    {Py_mp_ass_subscript, list_assign},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "objtunnel.LockingList",
    .basicsize = sizeof(ot_handle_t),
    .flags = OT_HANDLE_FLAGS | Py_TPFLAGS_SEQUENCE,
    .slots = slots,
};

int
ot_list_type_add(ot_objects_t *home)
{
    PyTypeObject *type = ot_handle_add_type(home, &ot_list_kind, &spec, NULL);
    ot_consumers_t *consumers = home->interp->consumers;
    if (type == NULL || ot_consumer_add(consumers, (PyObject *)type, "append") < 0 ||
        ot_consumer_add(consumers, (PyObject *)type, "insert") < 0) {
        return -1;
    }
    return ot_import_register(type, "_collections_abc", "MutableSequence");
}
