/* state.c: finding the state that _core keeps per interpreter.
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

int
ot_state_take_old_blocks(ot_state_t *state)
{
    if (state->old_blocks == NULL && (state->old_blocks = PyList_New(0)) == NULL) {
        return -1;
    }
    return ot_take_old_free_lists(state->old_blocks);
}
