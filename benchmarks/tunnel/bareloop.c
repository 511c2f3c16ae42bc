/* bareloop.c: a Python module with what proving a tree cannot do without: a walk over it that reads
 * each object's refcount and type once, in plain C, and does nothing else. Built for the benchmark
 * alone.
 *
 * Threading: the GIL.
 */
#include <Python.h>

enum { MAX_DEPTH = 1000 };

/* Both are answered, so that the compiler leaves nothing out. */
typedef struct {
    Py_ssize_t references, floats;
} seen_t;

static int look_into(PyObject *o, int depth, seen_t *seen);

static inline int
look_at(PyObject *o, int depth, seen_t *seen)
{
    seen->references += Py_REFCNT(o);
    if (Py_TYPE(o) == &PyFloat_Type) {
        seen->floats++;
        return 0;
    }
    return PyType_HasFeature(Py_TYPE(o), Py_TPFLAGS_HAVE_GC) ? look_into(o, depth, seen) : 0;
}

/* Lists, tuples and dicts; other containers count as leaves. 0, or -1 with RecursionError. */
static int
look_into(PyObject *o, int depth, seen_t *seen)
{
    int rc = 0;
    if (depth == MAX_DEPTH) {
        PyErr_SetString(PyExc_RecursionError, "bareloop: too deep a tree");
        return -1;
    }
    if (PyDict_CheckExact(o)) {
        PyObject *key, *value;
        for (Py_ssize_t at = 0; rc == 0 && PyDict_Next(o, &at, &key, &value);) {
            rc = look_at(key, depth + 1, seen);
            rc = rc == 0 ? look_at(value, depth + 1, seen) : rc;
        }
    } else if (PyList_CheckExact(o) || PyTuple_CheckExact(o)) {
        PyObject **items = PySequence_Fast_ITEMS(o);
        for (Py_ssize_t i = 0, n = Py_SIZE(o); rc == 0 && i < n; i++) {
            rc = look_at(items[i], depth + 1, seen);
        }
    }
    return rc;
}

/* look(tree) -> (sum of the refcounts, number of floats) of what is in it. */
static PyObject *
look(PyObject *module, PyObject *tree)
{
    (void)module;
    seen_t seen = {0};
    return look_into(tree, 0, &seen) < 0 ? NULL : Py_BuildValue("nn", seen.references, seen.floats);
}

static PyMethodDef functions[] = {
    {"look", look, METH_O,
     "look(tree): (sum of the refcounts, number of floats) of what is in it."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,  .m_name = "bareloop", .m_doc = "The floor of a walk over a tree.",
    .m_methods = functions, .m_slots = slots,
};

PyMODINIT_FUNC PyInit_bareloop(void);

PyMODINIT_FUNC
PyInit_bareloop(void)
{
    return PyModuleDef_Init(&module_def);
}
