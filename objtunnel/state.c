/* state.c: finding the state that _core keeps per interpreter, and what its parts share.
 *
 * Threading: the GIL of that interpreter.
 */
#include "objtunnel/state.h"

#include "runtime/free_lists.h"

ot_state_t *
ot_state_of_module(PyObject *module)
{
    return PyModule_GetState(module);
}

ot_state_t *
ot_state_current(void)
{
    PyObject *module = PyImport_ImportModule("objtunnel._core");
    if (module == NULL) {
        return NULL;
    }
    ot_state_t *state = PyModule_GetState(module);
    Py_DECREF(module); /* sys.modules keeps it */
    return state;
}

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

int
ot_state_take_old_blocks(ot_state_t *state)
{
    if (!state->may_have_old_blocks) {
        return 0;
    }
    if (state->old_blocks == NULL && (state->old_blocks = PyList_New(0)) == NULL) {
        return -1;
    }
    return ot_take_old_free_lists(state->old_blocks);
}
