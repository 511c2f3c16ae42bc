/* frozen_sequence.c: the types FrozenList and FrozenTuple.
 *
 * Main invariant: see frozen_view.h.
 * Threading: the GIL of the view's interpreter.
 */
#include "objects/frozen/frozen_view.h"

/* Borrowed from the region; NULL with IndexError. */
static PyObject *
node_at(PyObject *self, Py_ssize_t i)
{
    if (i < 0 || i >= Py_SIZE(ot_view_node(self))) {
        PyErr_SetString(PyExc_IndexError, "index out of range");
        return NULL;
    }
    return ot_view_items(ot_view_node(self))[i];
}

static PyObject *
sequence_item(PyObject *self, Py_ssize_t i)
{
    PyObject *node = node_at(self, i);
    return node == NULL ? NULL : ot_frozen_read(ot_as_frozen(self), node);
}

static PyObject *
sequence_slice(PyObject *self, PyObject *slice)
{
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(slice, &start, &stop, &step) < 0) {
        return NULL;
    }
    Py_ssize_t n = PySlice_AdjustIndices(Py_SIZE(ot_view_node(self)), &start, &stop, step);
    bool is_list = PyList_CheckExact(ot_view_node(self));
    PyObject *part = is_list ? PyList_New(n) : PyTuple_New(n);
    for (Py_ssize_t i = 0; part != NULL && i < n; i++) {
        PyObject *o = sequence_item(self, start + i * step);
        if (o == NULL) {
            Py_CLEAR(part);
        } else if (is_list) {
            PyList_SET_ITEM(part, i, o);
        } else {
            PyTuple_SET_ITEM(part, i, o);
        }
    }
    return part;
}

static PyObject *
sequence_subscript(PyObject *self, PyObject *index)
{
    Py_ssize_t i;
    if (PyLong_CheckExact(index) && PyUnstable_Long_IsCompact((PyLongObject *)index)) {
        i = PyUnstable_Long_CompactValue((PyLongObject *)index);
    } else if (PySlice_Check(index)) {
        return sequence_slice(self, index);
    } else {
        i = PyNumber_AsSsize_t(index, PyExc_IndexError);
        if (i == -1 && PyErr_Occurred()) {
            return NULL;
        }
    }
    PyObject *node = node_at(self, i < 0 ? i + Py_SIZE(ot_view_node(self)) : i);
    return node == NULL ? NULL : ot_frozen_read(ot_as_frozen(self), node);
}

/* Calls found(arg) for each element that equals `o`, until it returns false. 0, or -1. */
static int
find_equal(PyObject *self, PyObject *o, Py_ssize_t from, Py_ssize_t to,
           bool (*found)(Py_ssize_t i, Py_ssize_t *arg), Py_ssize_t *arg)
{
    for (Py_ssize_t i = from; i < to && i < Py_SIZE(ot_view_node(self)); i++) {
        PyObject *item = sequence_item(self, i);
        int equal = item == NULL ? -1 : PyObject_RichCompareBool(item, o, Py_EQ);
        Py_XDECREF(item);
        if (equal < 0) {
            return -1;
        }
        if (equal && !found(i, arg)) {
            break;
        }
    }
    return 0;
}

static bool
is_first(Py_ssize_t i, Py_ssize_t *at)
{
    *at = i;
    return false;
}

static bool
is_one_more(Py_ssize_t i, Py_ssize_t *n)
{
    (void)i;
    ++*n;
    return true;
}

static int
sequence_contains(PyObject *self, PyObject *o)
{
    Py_ssize_t at = -1;
    return find_equal(self, o, 0, PY_SSIZE_T_MAX, is_first, &at) < 0 ? -1 : at >= 0;
}

static PyObject *
sequence_count(PyObject *self, PyObject *o)
{
    Py_ssize_t n = 0;
    return find_equal(self, o, 0, PY_SSIZE_T_MAX, is_one_more, &n) < 0 ? NULL
                                                                       : PyLong_FromSsize_t(n);
}

static PyObject *
sequence_index(PyObject *self, PyObject *args)
{
    PyObject *o;
    Py_ssize_t from = 0, to = PY_SSIZE_T_MAX, at = -1, n = Py_SIZE(ot_view_node(self));
    if (!PyArg_ParseTuple(args, "O|nn:index", &o, &from, &to)) {
        return NULL;
    }
    from = from < 0 ? from + n : from;
    to = to < 0 ? to + n : to;
    if (find_equal(self, o, from < 0 ? 0 : from, to, is_first, &at) < 0) {
        return NULL;
    }
    return at < 0 ? PyErr_Format(PyExc_ValueError, "%R is not in it", o) : PyLong_FromSsize_t(at);
}

/* 1, 0, or -1: whether all elements equal those of `other`, which has as many. */
static int
same_items(PyObject *self, PyObject *other)
{
    for (Py_ssize_t i = 0; i < Py_SIZE(ot_view_node(self)); i++) {
        PyObject *a = sequence_item(self, i), *b = a == NULL ? NULL : PySequence_GetItem(other, i);
        int equal = b == NULL ? -1 : PyObject_RichCompareBool(a, b, Py_EQ);
        Py_XDECREF(a);
        Py_XDECREF(b);
        if (equal <= 0) {
            return equal;
        }
    }
    return 1;
}

static PyObject *
sequence_compare(PyObject *self, PyObject *other, int op)
{
    bool is_list = PyList_CheckExact(ot_view_node(self));
    bool alike =
        Py_IS_TYPE(other, Py_TYPE(self)) || (is_list ? PyList_Check(other) : PyTuple_Check(other));
    if (!alike) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (op != Py_EQ && op != Py_NE) {
        return ot_view_compare_thawed(self, other, op);
    }
    if (ot_views_show_the_same(self, other)) {
        return ot_view_truth(1, op);
    }
    if (Py_EnterRecursiveCall(" in comparison")) {
        return NULL;
    }
    Py_ssize_t n = PySequence_Size(other);
    int equal = n < 0 ? -1 : n == Py_SIZE(ot_view_node(self)) ? same_items(self, other) : 0;
    Py_LeaveRecursiveCall();
    return ot_view_truth(equal, op);
}

static bool
is_sequence_view(PyObject *o)
{
    return Py_TYPE(o)->tp_richcompare == sequence_compare;
}

/* An ordinary list or tuple of what a view shows, as its slices are; any other as it is. New. */
static PyObject *
plain_of(PyObject *o)
{
    if (!is_sequence_view(o)) {
        return Py_NewRef(o);
    }
    PyObject *everything = PySlice_New(NULL, NULL, NULL);
    PyObject *plain = everything == NULL ? NULL : sequence_slice(o, everything);
    Py_XDECREF(everything);
    return plain;
}

/* The slot of a number's +: Python asks it of both operands before it asks a sequence's, so [1] + view comes here. */
static PyObject *
sequence_add(PyObject *left, PyObject *right)
{
    PyObject *a = plain_of(left), *b = a == NULL ? NULL : plain_of(right), *sum = NULL;
    if (b != NULL) {
        bool alike = PyList_Check(a) ? PyList_Check(b) : PyTuple_Check(a) && PyTuple_Check(b);
        sum = alike ? PySequence_Concat(a, b) : Py_NewRef(Py_NotImplemented);
    }
    Py_XDECREF(a);
    Py_XDECREF(b);
    return sum;
}

static PyObject *
sequence_repeat(PyObject *self, Py_ssize_t n)
{
    PyObject *plain = plain_of(self);
    PyObject *result = plain == NULL ? NULL : PySequence_Repeat(plain, n);
    Py_XDECREF(plain);
    return result;
}

static PyMethodDef sequence_methods[] = {
    OT_VIEW_METHODS,
    {"count", sequence_count, METH_O,
     "count($self, value, /)\n--\n\nHow many elements equal value."},
    {"index", sequence_index, METH_VARARGS,
     "index($self, value, start=0, stop=sys.maxsize, /)\n--\n\n"
     "Where the first element is that equals value. Raises ValueError."},
    {NULL, NULL, 0, NULL},
};

#define SEQUENCE_SLOTS(doc, hash)                                                                  \
    {                                                                                              \
        OT_VIEW_SLOTS(doc, sequence_compare, hash, sequence_methods), {Py_tp_iter, ot_view_iter},  \
            {Py_sq_item, sequence_item}, {Py_sq_contains, sequence_contains},                      \
            {Py_mp_subscript, sequence_subscript}, {Py_nb_add, sequence_add},                      \
            {Py_sq_repeat, sequence_repeat},                                                       \
        {                                                                                          \
            0, NULL                                                                                \
        }                                                                                          \
    }

PyType_Slot ot_frozen_list_slots[] =
    SEQUENCE_SLOTS("A list of a frozen tree; see freeze().", PyObject_HashNotImplemented);

PyType_Slot ot_frozen_tuple_slots[] =
    SEQUENCE_SLOTS("A tuple of a frozen tree; see freeze().", ot_view_hash);
