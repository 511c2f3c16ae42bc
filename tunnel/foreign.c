/* foreign.c: see foreign.h.
 *
 * Main invariant: nothing of the tree has been changed while this runs, so pickling may run any
 * Python code, which may even change the tree: detach.c proves it again afterwards.
 * Threading: `keeping` is thread-local, the rest as in tree.h.
 */
#include "tunnel/foreign.h"

#include "tunnel/path.h"

/* Where handles pickled by this thread right now leave references to their objects. */
static _Thread_local ot_held_list_t *keeping;

int
ot_tree_pickling_shared(ot_shared_t *shared)
{
    if (keeping == NULL) {
        return 0;
    }
    ot_held_t held = {shared, NULL};
    if (ot_vec_push(keeping, held) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    ot_shared_ref(shared);
    return 0;
}

/* The pickle of a list of objects that the tree refers to; if `only`, of the single object in
 * that list. */
static PyObject *
pickle(const ot_interp_t *interp, PyObject *objects, bool only)
{
    PyObject *bytes =
        PyObject_CallFunction(interp->dumps, "OO", objects, only ? Py_True : Py_False);
    if (bytes != NULL && !PyBytes_Check(bytes)) {
        PyErr_Format(PyExc_TypeError, "pickle.dumps returned a %s", Py_TYPE(bytes)->tp_name);
        Py_CLEAR(bytes);
    }
    return bytes;
}

PyObject *
ot_foreign_pickle_one(const ot_interp_t *interp, PyObject *o)
{
    PyObject *alone = PyList_New(1);
    if (alone == NULL) {
        return NULL;
    }
    PyList_SET_ITEM(alone, 0, Py_NewRef(o));
    PyObject *bytes = pickle(interp, alone, true);
    Py_DECREF(alone);
    return bytes;
}

/* What to do about o, which cannot be sent: a new str, or NULL without an exception if nothing
 * is known. */
static PyObject *
remedy_for(const ot_interp_t *interp, PyObject *o)
{
    PyObject *remedy = PyObject_CallOneArg(interp->remedy, o);
    if (remedy == NULL) {
        PyErr_Clear();
    }
    return remedy;
}

/* Replaces the current exception by a TypeError that says where and what; the old one stays as
 * its cause. */
static void
explain(const ot_interp_t *interp, PyObject *o, PyObject *root)
{
    PyObject *cause = PyErr_GetRaisedException();
    PyObject *remedy = remedy_for(interp, o);
    PyObject *path = ot_path_to(root, o);
    if (path == NULL) {
        PyErr_Clear();
        path = PyUnicode_FromString("$...");
    }
    if (path != NULL) {
        PyErr_Format(PyExc_TypeError,
                     remedy == NULL ? "%U: cannot send this %s object: %S"
                                    : "%U: cannot send this %s object: %S; %S",
                     path, Py_TYPE(o)->tp_name, cause, remedy);
        Py_DECREF(path);
    }
    Py_XDECREF(remedy);
    PyObject *error = PyErr_GetRaisedException();
    PyException_SetCause(error, cause);
    PyErr_SetRaisedException(error);
}

/* The current exception came from pickling them all: find the one it came from. */
static void
explain_failure(const ot_interp_t *interp, PyObject *objects, PyObject *root)
{
    if (PyErr_ExceptionMatches(PyExc_MemoryError) || !PyErr_ExceptionMatches(PyExc_Exception)) {
        return; /* Ctrl-C, say: not about any object */
    }
    PyObject *first = PyErr_GetRaisedException();
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(objects); i++) {
        PyObject *o = Py_NewRef(PyList_GET_ITEM(objects, i));
        PyObject *bytes = ot_foreign_pickle_one(interp, o);
        if (bytes == NULL) {
            explain(interp, o, root);
            Py_DECREF(o);
            Py_DECREF(first);
            return;
        }
        Py_DECREF(bytes);
        Py_DECREF(o);
    }
    PyErr_SetRaisedException(first);
}

bool
ot_foreign_by_name(PyObject *o)
{
    if (PyCFunction_Check(o)) {
        PyObject *self = PyCFunction_GET_SELF(o); /* of a bound method: an object, pickled, too */
        return self == NULL || PyModule_Check(self);
    }
    return PyType_Check(o) || PyFunction_Check(o) || PyModule_Check(o);
}

PyObject *
ot_foreign_pickle(const ot_interp_t *interp, PyObject *objects, PyObject *root,
                  ot_held_list_t *kept)
{
    ot_held_list_t *outer = keeping; /* a __reduce__ may send something itself */
    keeping = kept;
    PyObject *bytes = pickle(interp, objects, false);
    if (bytes == NULL) {
        explain_failure(interp, objects, root);
    }
    keeping = outer;
    return bytes;
}

PyObject *
ot_foreign_unpickle(const ot_interp_t *interp, const ot_tree_t *tree)
{
    PyObject *bytes = PyBytes_FromStringAndSize(tree->pickle, tree->pickle_len);
    if (bytes == NULL) {
        return NULL;
    }
    PyObject *objects = PyObject_CallOneArg(interp->loads, bytes);
    Py_DECREF(bytes);
    for (size_t i = 0; objects != NULL && i < tree->fixes.len; i++) {
        const ot_fix_t *fix = &tree->fixes.items[i];
        bool there = PyList_CheckExact(objects) && (fix->source != OT_FROM_PICKLE ||
                                                    fix->index < (size_t)PyList_GET_SIZE(objects));
        if (!there) {
            PyErr_SetString(PyExc_SystemError, "objtunnel: unpickling gave another list back");
            Py_CLEAR(objects);
        }
    }
    return objects;
}
