/* frozen_view.c: what the Python types of frozen views share.
 *
 * Main invariant: see frozen_view.h.
 * Threading: the GIL of the view's interpreter.
 */
#include "objects/frozen/frozen_view.h"

bool
ot_is_frozen_view(PyObject *o)
{
    return Py_TYPE(o)->tp_dealloc == ot_view_dealloc;
}

void
ot_view_dealloc(PyObject *self)
{
    if (ot_as_frozen(self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    ot_frozen_view_free(ot_as_frozen(self));
}

PyObject *
ot_view_thaw(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ot_frozen_thaw(ot_as_frozen(self), ot_view_node(self));
}

PyObject *
ot_view_repr(PyObject *self)
{
    PyObject *thawed = ot_view_thaw(self, NULL);
    const char *dot = strrchr(Py_TYPE(self)->tp_name, '.');
    PyObject *repr = thawed == NULL ? NULL : PyUnicode_FromFormat("%s(%R)", dot + 1, thawed);
    Py_XDECREF(thawed);
    return repr;
}

Py_ssize_t
ot_view_length(PyObject *self)
{
    return ot_frozen_length(ot_view_node(self));
}

/* The thawed object's hash: equal objects have equal ones. */
Py_hash_t
ot_view_hash(PyObject *self)
{
    PyObject *thawed = ot_view_thaw(self, NULL);
    Py_hash_t hash = thawed == NULL ? -1 : PyObject_Hash(thawed);
    Py_XDECREF(thawed);
    return hash;
}

/* A new reference to what o is without views. */
PyObject *
ot_view_thawed(PyObject *o)
{
    return ot_is_frozen_view(o) ? ot_view_thaw(o, NULL) : Py_NewRef(o);
}

/* By thawed copies of both: for what is seldom compared. */
PyObject *
ot_view_compare_thawed(PyObject *self, PyObject *other, int op)
{
    PyObject *a = ot_view_thaw(self, NULL), *b = a == NULL ? NULL : ot_view_thawed(other);
    PyObject *result = b == NULL ? NULL : PyObject_RichCompare(a, b, op);
    Py_XDECREF(a);
    Py_XDECREF(b);
    return result;
}

int
ot_view_contains(PyObject *self, PyObject *key)
{
    PyObject *found;
    return ot_frozen_find(ot_as_frozen(self), key, &found);
}

PyObject *
ot_view_truth(int equal, int op)
{
    return equal < 0 ? NULL : PyBool_FromLong(equal == (op == Py_EQ));
}

/* Views that show the same are equal; so are those of the same list in two interpreters. */
bool
ot_views_show_the_same(PyObject *a, PyObject *b)
{
    return Py_IS_TYPE(a, Py_TYPE(b)) && ot_view_node(a) == ot_view_node(b);
}

PyMemberDef ot_view_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(ot_frozen_view_t, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyGetSetDef ot_view_getset[] = {
    {"id", ot_handle_id, NULL, "Number of the whole frozen tree, unique in the process.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
