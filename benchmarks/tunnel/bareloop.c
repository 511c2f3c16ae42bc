/* bareloop.c: a Python module with the loop that no walk over a list can beat: it reads each
 * object's refcount and type once. Built for the benchmark alone.
 *
 * Threading: the GIL.
 */
#include <Python.h>

/* look(list) -> (sum of the refcounts, number of floats): both, so that nothing is left out. */
static PyObject *
look(PyObject *module, PyObject *list)
{
    (void)module;
    if (!PyList_CheckExact(list)) {
        return PyErr_Format(PyExc_TypeError, "look takes a list, not a %s", Py_TYPE(list)->tp_name);
    }
    Py_ssize_t references = 0, floats = 0;
    PyObject **items = ((PyListObject *)list)->ob_item;
    for (Py_ssize_t i = 0, n = PyList_GET_SIZE(list); i < n; i++) {
        references += Py_REFCNT(items[i]);
        floats += Py_TYPE(items[i]) == &PyFloat_Type;
    }
    return Py_BuildValue("nn", references, floats);
}

static PyMethodDef functions[] = {
    {"look", look, METH_O, "look(list): (sum of the items' refcounts, number of floats)."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,  .m_name = "bareloop", .m_doc = "The floor of a walk over a list.",
    .m_methods = functions, .m_slots = slots,
};

PyMODINIT_FUNC PyInit_bareloop(void);

PyMODINIT_FUNC
PyInit_bareloop(void)
{
    return PyModuleDef_Init(&module_def);
}
