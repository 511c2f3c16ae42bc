/* frozen_dict.c: the types FrozenDict and FrozenSet.
 *
 * Main invariant: see frozen_view.h.
 * Threading: the GIL of the view's interpreter.
 */
#include "objects/frozen/frozen_view.h"

static PyObject *
dict_subscript(PyObject *self, PyObject *key)
{
    PyObject *found;
    int there = ot_frozen_find(ot_as_frozen(self), key, &found);
    if (there > 0) {
        return ot_frozen_read(ot_as_frozen(self), found);
    }
    if (there == 0) {
        PyErr_SetObject(PyExc_KeyError, key);
    }
    return NULL;
}

static PyObject *
dict_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1 || nargs > 2) {
        return PyErr_Format(PyExc_TypeError, "get expected 1 or 2 arguments, got %zd", nargs);
    }
    PyObject *found;
    int there = ot_frozen_find(ot_as_frozen(self), args[0], &found);
    if (there < 0) {
        return NULL;
    }
    return there ? ot_frozen_read(ot_as_frozen(self), found)
                 : Py_NewRef(nargs == 2 ? args[1] : Py_None);
}

/* keys(), values() and items() are objects with dict's interface, by collections.abc. */
static PyObject *
show(PyObject *self, const char *name)
{
    PyObject *module = PyImport_ImportModule("objtunnel._frozen");
    PyObject *shown = module == NULL ? NULL : PyObject_CallMethod(module, name, "O", self);
    Py_XDECREF(module);
    return shown;
}

static PyObject *
dict_keys(PyObject *self, PyObject *unused)
{
    (void)unused;
    return show(self, "Keys");
}

static PyObject *
dict_values(PyObject *self, PyObject *unused)
{
    (void)unused;
    return show(self, "Values");
}

static PyObject *
dict_items(PyObject *self, PyObject *unused)
{
    (void)unused;
    return show(self, "Items");
}

static PyObject *
dict_iter_values(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ot_view_iterate(self, OT_ITERATE_VALUES);
}

static PyObject *
dict_iter_items(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ot_view_iterate(self, OT_ITERATE_ITEMS);
}

/* 1, 0, or -1: whether `other`, a dict or a view of one of the same size, has the same items. */
static int
same_entries(PyObject *self, PyObject *other)
{
    ot_frozen_at_t at = {0};
    PyObject *key, *value;
    int equal = 1;
    while (equal > 0 && ot_frozen_next(ot_view_node(self), &at, &key, &value)) {
        PyObject *pair = ot_view_pair(ot_as_frozen(self), key, value), *its = NULL;
        if (pair == NULL) {
            return -1;
        }
        its = PyObject_GetItem(other, PyTuple_GET_ITEM(pair, 0));
        if (its != NULL) {
            equal = PyObject_RichCompareBool(PyTuple_GET_ITEM(pair, 1), its, Py_EQ);
        } else {
            equal = PyErr_ExceptionMatches(PyExc_KeyError) ? 0 : -1;
            if (equal == 0) {
                PyErr_Clear();
            }
        }
        Py_XDECREF(its);
        Py_DECREF(pair);
    }
    return equal;
}

static PyObject *
dict_compare(PyObject *self, PyObject *other, int op)
{
    bool alike = Py_IS_TYPE(other, Py_TYPE(self)) || ot_is_any_dict(other);
    if (!alike || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (ot_views_show_the_same(self, other)) {
        return ot_view_truth(1, op);
    }
    if (Py_EnterRecursiveCall(" in comparison")) {
        return NULL;
    }
    Py_ssize_t n = PyObject_Size(other);
    int equal = n < 0 ? -1 : n == ot_view_length(self) ? same_entries(self, other) : 0;
    Py_LeaveRecursiveCall();
    return ot_view_truth(equal, op);
}

static PyMethodDef dict_methods[] = {
    OT_VIEW_METHODS,
    {"get", OT_METHOD(dict_get), METH_FASTCALL,
     "get($self, key, default=None, /)\n--\n\nThe key's value, or default."},
    {"keys", dict_keys, METH_NOARGS, "keys($self)\n--\n\nThe keys, like dict's."},
    {"values", dict_values, METH_NOARGS, "values($self)\n--\n\nThe values, like dict's."},
    {"items", dict_items, METH_NOARGS, "items($self)\n--\n\nThe pairs, like dict's."},
    {"_iter_values", dict_iter_values, METH_NOARGS, NULL},
    {"_iter_items", dict_iter_items, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* ---- set ------------------------------------------------------------------------------------- */

static PyObject *
set_compare(PyObject *self, PyObject *other, int op)
{
    if (!Py_IS_TYPE(other, Py_TYPE(self)) && !PyAnySet_Check(other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    return ot_view_compare_thawed(self, other, op);
}

/* An operator of sets: a, b or both are views. */
static PyObject *
set_binary(PyObject *a, PyObject *b, binaryfunc operation)
{
    PyObject *x = ot_view_thawed(a), *y = x == NULL ? NULL : ot_view_thawed(b), *result = NULL;
    if (y != NULL) {
        bool sets = PyAnySet_Check(x) && PyAnySet_Check(y);
        result = sets ? operation(x, y) : Py_NewRef(Py_NotImplemented);
    }
    Py_XDECREF(x);
    Py_XDECREF(y);
    return result;
}

static PyObject *
set_and(PyObject *a, PyObject *b)
{
    return set_binary(a, b, PyNumber_And);
}

static PyObject *
set_or(PyObject *a, PyObject *b)
{
    return set_binary(a, b, PyNumber_Or);
}

static PyObject *
set_subtract(PyObject *a, PyObject *b)
{
    return set_binary(a, b, PyNumber_Subtract);
}

static PyObject *
set_xor(PyObject *a, PyObject *b)
{
    return set_binary(a, b, PyNumber_Xor);
}

static PyObject *
set_isdisjoint(PyObject *self, PyObject *other)
{
    PyObject *thawed = ot_view_thaw(self, NULL), *theirs = NULL, *result = NULL;
    if (thawed != NULL && (theirs = ot_view_thawed(other)) != NULL) {
        result = PyObject_CallMethod(thawed, "isdisjoint", "O", theirs);
    }
    Py_XDECREF(thawed);
    Py_XDECREF(theirs);
    return result;
}

static bool
is_mapping(PyObject *o)
{
    return ot_is_any_dict(o) || Py_TYPE(o)->tp_richcompare == dict_compare;
}

/* A dict of both, with views of what the view has in it; as dict's |. */
static PyObject *
dict_or(PyObject *a, PyObject *b)
{
    if (!is_mapping(a) || !is_mapping(b)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *dict = PyDict_New();
    if (dict != NULL && (PyDict_Update(dict, a) < 0 || PyDict_Update(dict, b) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyMethodDef set_methods[] = {
    OT_VIEW_METHODS,
    {"isdisjoint", set_isdisjoint, METH_O,
     "isdisjoint($self, other, /)\n--\n\nWhether they have no element in common."},
    {NULL, NULL, 0, NULL},
};

PyType_Slot ot_frozen_dict_slots[] = {
    OT_VIEW_SLOTS("A dict of a frozen tree; see freeze().", dict_compare,
                  PyObject_HashNotImplemented, dict_methods),
    {Py_tp_iter, ot_view_iter},
    {Py_sq_contains, ot_view_contains},
    {Py_mp_subscript, dict_subscript},
    {Py_nb_or, dict_or},
    {0, NULL},
};

PyType_Slot ot_frozen_set_slots[] = {
    OT_VIEW_SLOTS("A set or frozenset of a frozen tree; see freeze().", set_compare, ot_view_hash,
                  set_methods),
    {Py_tp_iter, ot_view_iter},
    {Py_sq_contains, ot_view_contains},
    {Py_nb_and, set_and},
    {Py_nb_or, set_or},
    {Py_nb_subtract, set_subtract},
    {Py_nb_xor, set_xor},
    {0, NULL},
};
