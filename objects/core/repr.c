/* repr.c: see repr.h.
 *
 * Main invariant: the thread's dict has a set of the ids of the objects whose reprs are under way.
 * Threading: the GIL of the handle's interpreter.
 */
#include "objects/core/repr.h"

/* A handle on a container that is within itself is another object each time, so Py_ReprEnter would not
 * know it. Borrowed; NULL with an exception. */
static PyObject *
under_way(void)
{
    PyObject *dict = PyThreadState_GetDict(); /* borrowed */
    PyObject *key = dict == NULL ? NULL : PyUnicode_FromString("objtunnel repr");
    PyObject *set = key == NULL ? NULL : PyDict_GetItemWithError(dict, key);
    if (set == NULL && key != NULL && !PyErr_Occurred()) {
        PyObject *made = PySet_New(NULL);
        if (made != NULL && PyDict_SetItem(dict, key, made) == 0) {
            set = made; /* the dict has a reference */
        }
        Py_XDECREF(made);
    }
    Py_XDECREF(key);
    if (set == NULL && !PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    return set;
}

int
ot_repr_enter(PyObject *handle, ot_repr_t *repr)
{
    PyObject *set = under_way();
    PyObject *id = set == NULL ? NULL : ot_handle_id(handle, NULL);
    int within = id == NULL ? -1 : PySet_Contains(set, id);
    if (within == 0 && PySet_Add(set, id) < 0) {
        within = -1;
    }
    if (within == 0) {
        *repr = (ot_repr_t){Py_NewRef(set), id};
        return 0;
    }
    Py_XDECREF(id);
    return within;
}

void
ot_repr_leave(ot_repr_t *repr)
{
    PyObject *error = PyErr_GetRaisedException();
    if (PySet_Discard(repr->set, repr->id) < 0) { /* hashes an int and frees: cannot fail */
        PyErr_WriteUnraisable(NULL);
    }
    Py_DECREF(repr->set);
    Py_DECREF(repr->id);
    PyErr_SetRaisedException(error);
}

PyObject *
ot_repr_of_value(ot_objects_t *home, ot_value_t *v)
{
    PyObject *o = ot_value_copy_at_once(home, v);
    if (o == NULL) {
        return PyErr_Occurred() ? NULL : PyUnicode_FromString("<in use>");
    }
    PyObject *repr = PyObject_Repr(o);
    Py_DECREF(o);
    return repr;
}

PyObject *
ot_repr_join_steal(const char *before, PyObject *texts, const char *after)
{
    PyObject *comma = texts == NULL ? NULL : PyUnicode_FromString(", ");
    PyObject *joined = comma == NULL ? NULL : PyUnicode_Join(comma, texts);
    PyObject *repr = joined == NULL ? NULL : PyUnicode_FromFormat("%s%U%s", before, joined, after);
    Py_XDECREF(texts);
    Py_XDECREF(comma);
    Py_XDECREF(joined);
    return repr;
}
