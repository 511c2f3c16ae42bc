/* import.c: see import.h. */
#include "runtime/import.h"

PyObject *
ot_import_attr(const char *module, const char *name)
{
    PyObject *m = PyImport_ImportModule(module);
    PyObject *attr = m == NULL ? NULL : PyObject_GetAttrString(m, name);
    Py_XDECREF(m);
    return attr;
}

int
ot_import_into(const char *module, const char *name, PyObject **where)
{
    *where = ot_import_attr(module, name);
    return *where == NULL ? -1 : 0;
}

int
ot_type_add(PyObject *module, PyType_Spec *spec, PyTypeObject **type)
{
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *type == NULL ? -1 : PyModule_AddType(module, *type);
}

int
ot_import_register(PyTypeObject *type, const char *module, const char *abstract)
{
    PyObject *class = ot_import_attr(module, abstract);
    PyObject *done = class == NULL ? NULL : PyObject_CallMethod(class, "register", "O", type);
    Py_XDECREF(class);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}
