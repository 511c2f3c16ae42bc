/* struct_sequence.c: see struct_sequence.h. */
#include "runtime/struct_sequence.h"

#include <stdbool.h>

PyObject *
ot_struct_steal(PyTypeObject *type, PyObject **fields, size_t n)
{
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        good = good && fields[i] != NULL;
    }
    PyObject *made = good ? PyStructSequence_New(type) : NULL;
    for (size_t i = 0; i < n; i++) {
        if (made != NULL) {
            PyStructSequence_SetItem(made, (Py_ssize_t)i, fields[i]);
        } else {
            Py_XDECREF(fields[i]);
        }
    }
    return made;
}

int
ot_struct_type_add(PyObject *module, PyStructSequence_Desc *desc, PyTypeObject **type)
{
    *type = PyStructSequence_NewType(desc);
    return *type == NULL ? -1 : PyModule_AddType(module, *type);
}
