/* state.c: finding the state that _core keeps per interpreter, and what its parts share.
 *
 * Threading: the GIL of that interpreter.
 */
#include "objtunnel/state.h"

#include "objects/objects.h"
#include "runtime/control.h"
#include "runtime/free_lists.h"
#include "runtime/import.h"

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
    if (!state->may_have_old_blocks) {
        return 0;
    }
    if (state->old_blocks == NULL && (state->old_blocks = PyList_New(0)) == NULL) {
        return -1;
    }
    return ot_take_old_free_lists(state->old_blocks);
}

/* ---- what the module has on all builds ----------------------------------------------------- */

static PyStructSequence_Desc receipt_desc = {
    .name = "objtunnel.Receipt",
    .doc = "What happened to the objects of a sent tree.",
    .fields =
        (PyStructSequence_Field[]){
            {"moved", "objects that became the receiver's as they are"},
            {"copied", "objects of which the receiver gets a copy"},
            {"pickled",
             "objects that were pickled in their place; on a free-threaded build: copied by copy.deepcopy"},
            {NULL, NULL},
        },
    .n_in_sequence = 3,
};

static PyObject *
spin_control(PyObject *module, PyObject *args)
{
    (void)module;
    int threads;
    long rounds;
    if (!PyArg_ParseTuple(args, "il:spin_control", &threads, &rounds)) {
        return NULL;
    }
    if (threads < 1 || rounds < 0) {
        PyErr_SetString(PyExc_ValueError, "spin_control needs 1 thread or more, and rounds >= 0");
        return NULL;
    }
    double seconds;
    Py_BEGIN_ALLOW_THREADS
    seconds = ot_control_spin(threads, rounds);
    Py_END_ALLOW_THREADS
    return seconds < 0 ? PyErr_NoMemory() : PyFloat_FromDouble(seconds);
}

static PyObject *
live_tunnels(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromSize_t(ot_channel_count());
}

static PyMethodDef functions[] = {
    {"_live_tunnels", live_tunnels, METH_NOARGS, "Channels in the process (for leak tests)."},
    {"spin_control", spin_control, METH_VARARGS,
     "spin_control(threads, rounds)\n--\n\n"
     "Wall seconds for independent C threads to spin through so many rounds each: what the\n"
     "machine can do in parallel right now. Does not hold the GIL."},
    {NULL, NULL, 0, NULL},
};

/* ---- the state's life ---------------------------------------------------------------------- */

int
ot_state_begin(PyObject *module, ot_state_t *state)
{
    ot_interp_t *interp = &state->interp;
    state->module = module;
    state->objects.interp = interp;
    interp->handles = ot_handles_for_trees(&state->objects);
    interp->consumers = &state->consumers;
    return ot_import_into("objtunnel._errors", "SharedReferenceError",
                          &interp->shared_reference_error) < 0 ||
                   ot_import_into("objtunnel._errors", "TunnelEmpty", &state->tunnel_empty) < 0 ||
                   ot_import_into("objtunnel._errors", "TunnelFull", &state->tunnel_full) < 0 ||
                   ot_import_into("objtunnel._errors", "TunnelClosed", &state->tunnel_closed) < 0 ||
                   ot_import_into("objtunnel._errors", "TunnelTimeout", &state->tunnel_timeout) <
                       0 ||
                   ot_import_into("objtunnel._errors", "TunnelSendTimeout",
                                  &state->tunnel_send_timeout) < 0 ||
                   ot_struct_type_add(module, &receipt_desc, &state->receipt_type) < 0
               ? -1
               : PyModule_AddFunctions(module, functions);
}

/* Where in the state the references lie that the collector knows of. The others are cleared by ot_state_end alone:
 * blank_receipt has no items yet, old_blocks keeps dead objects. */
static const size_t owned[] = {
    offsetof(ot_state_t, interp.dumps),
    offsetof(ot_state_t, interp.loads),
    offsetof(ot_state_t, interp.remedy),
    offsetof(ot_state_t, interp.tracer),
    offsetof(ot_state_t, interp.ndarray),
    offsetof(ot_state_t, interp.array_data),
    offsetof(ot_state_t, interp.shared_reference_error),
    offsetof(ot_state_t, tunnel_type),
    offsetof(ot_state_t, gil_type),
    offsetof(ot_state_t, worker_type),
    offsetof(ot_state_t, receipt_type),
    offsetof(ot_state_t, last_receipt),
    offsetof(ot_state_t, heap_info_type),
    offsetof(ot_state_t, tunnel_empty),
    offsetof(ot_state_t, tunnel_full),
    offsetof(ot_state_t, tunnel_closed),
    offsetof(ot_state_t, tunnel_timeout),
    offsetof(ot_state_t, tunnel_send_timeout),
    offsetof(ot_state_t, process_global_type),
    offsetof(ot_state_t, process_keys),
};

static PyObject **
owned_at(ot_state_t *state, size_t i)
{
    return (PyObject **)((char *)state + owned[i]);
}

int
ot_state_traverse(PyObject *module, visitproc visit, void *arg)
{
    ot_state_t *state = ot_state_of_module(module);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(owned); i++) {
        Py_VISIT(*owned_at(state, i));
    }
    int rc = ot_consumers_traverse(&state->consumers, visit, arg);
    return rc != 0 ? rc : ot_objects_traverse(&state->objects, visit, arg);
}

/* The consumers hold functions of this module, and a function that holds its module clears nothing by itself: the
 * cycle is broken here. All else stays: handles that die later in the interpreter's last collection still need the
 * state, to dispose of messages. */
int
ot_state_clear(PyObject *module)
{
    ot_consumers_clear(&ot_state_of_module(module)->consumers);
    return 0;
}

void
ot_state_end(ot_state_t *state)
{
    ot_consumers_clear(&state->consumers);
    ot_objects_clear(&state->objects);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(owned); i++) {
        Py_CLEAR(*owned_at(state, i));
    }
    Py_CLEAR(state->old_blocks);
    Py_CLEAR(state->blank_receipt);
}
