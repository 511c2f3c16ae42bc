/* settings.c: a test extension of the old kind: what it knows stands in its module's globals, which its
 * functions read and write through the attribute interface. One line more shares them between all
 * interpreters.
 *
 * Threading: the caller's GIL; that of other interpreters is another, so bump() loses counts, as it
 * would under one GIL if it let go of it in between. bump_atomically() does not.
 */
#include "objtunnel.h"

/* As it was before: module.count += 1. */
static PyObject *
bump(PyObject *module, PyObject *unused)
{
    (void)unused;
    PyObject *count = PyObject_GetAttrString(module, "count");
    long n = count == NULL ? -1 : PyLong_AsLong(count);
    Py_XDECREF(count);
    PyObject *more = PyErr_Occurred() != NULL ? NULL : PyLong_FromLong(n + 1);
    if (more != NULL && PyObject_SetAttrString(module, "count", more) < 0) {
        Py_CLEAR(more);
    }
    return more;
}

static PyObject *
bump_atomically(PyObject *module, PyObject *unused)
{
    (void)unused;
    PyObject *namespace = ot_module_namespace(module);
    PyObject *count =
        namespace == NULL ? NULL : PyObject_CallMethod(namespace, "add", "si", "count", 1);
    Py_XDECREF(namespace);
    return count;
}

static PyObject *
set_names(PyObject *module, PyObject *names)
{
    return PyObject_SetAttrString(module, "names", names) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
forget_names(PyObject *module, PyObject *unused)
{
    (void)unused;
    return PyObject_DelAttrString(module, "names") < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef functions[] = {
    {"bump", bump, METH_NOARGS, "Add 1 to count, in two steps."},
    {"bump_atomically", bump_atomically, METH_NOARGS, "Add 1 to count, in one."},
    {"set_names", set_names, METH_O, "Set names."},
    {"forget_names", forget_names, METH_NOARGS, "Delete names."},
    {NULL, NULL, 0, NULL},
};

static int
settings_exec(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "count", 100) < 0 ||
        PyModule_AddStringConstant(module, "unit", "m") < 0) {
        return -1;
    }
    PyObject *error = PyErr_NewException("settings.Error", NULL, NULL);
    int rc = PyModule_AddObjectRef(module, "Error", error);
    Py_XDECREF(error);
    PyObject *namespace = rc < 0 ? NULL : ot_module_namespace(module); /* the line */
    Py_XDECREF(namespace);
    return namespace == NULL ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)settings_exec},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};

static PyModuleDef def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "settings",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_settings(void)
{
    return PyModuleDef_Init(&def);
}
