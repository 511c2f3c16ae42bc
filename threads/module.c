/* module.c: objtunnel._core on free-threaded builds: what threads of one interpreter can use without a GIL.
 *
 * Main invariant: after the import nothing of the state changes.
 * Threading: any thread of the interpreter at any time. What they change in common lies in channels and shared
 * objects, which have locks of their own.
 */
#include "threads/threads.h"

#include "objects/objects.h"
#include "objtunnel/state.h"
#include "runtime/control.h"
#include "runtime/free_lists.h"
#include "runtime/import.h"
#include "runtime/signals.h"

/* For state.c: no free list holds blocks from before a heap of ours. */
int
ot_take_old_free_lists(PyObject *blocks)
{
    (void)blocks;
    return 0;
}

static PyObject *
build_info(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
#ifdef OT_CHECKS
    PyObject *checks = Py_True;
#else
    PyObject *checks = Py_False;
#endif
    return Py_BuildValue("{s:s,s:s,s:O}", "python", PY_VERSION, "compiler", __VERSION__, "checks",
                         checks);
}

static PyObject *
take_old_blocks(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    Py_RETURN_NONE;
}

static PyObject *
live_tunnels(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromSize_t(ot_channel_count());
}

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

static PyMethodDef functions[] = {
    {"_build_info", build_info, METH_NOARGS,
     "How this extension was built (for `python -m objtunnel info`)."},
    {"_take_old_blocks", take_old_blocks, METH_NOARGS, "Nothing: there is no heap of objtunnel's."},
    {"_live_tunnels", live_tunnels, METH_NOARGS, "Channels in the process (for leak tests)."},
    {"spin_control", spin_control, METH_VARARGS,
     "spin_control(threads, rounds)\n--\n\n"
     "Wall seconds for independent C threads to spin through so many rounds each."},
    {NULL, NULL, 0, NULL},
};

static PyStructSequence_Desc receipt_desc = {
    .name = "objtunnel.Receipt",
    .doc = "What happened to the objects of a sent tree.",
    .fields =
        (PyStructSequence_Field[]){
            {"moved", "objects that became the receiver's as they are"},
            {"copied", "containers of which the receiver gets a copy"},
            {"pickled", "objects that copy.deepcopy has copied"},
            {NULL, NULL},
        },
    .n_in_sequence = 3,
};

/* Each name that is not offered here is a class that says so (PEP 562). */
static int
add_absent(PyObject *module)
{
    PyObject *of = ot_import_attr("objtunnel._absent", "of");
    int rc = of == NULL ? -1 : PyModule_AddObjectRef(module, "__getattr__", of);
    Py_XDECREF(of);
    return rc;
}

/* What bias.h relies on is read for each micro version: no other one will do. */
static int
check_version(void)
{
    if (Py_Version >> 8 == PY_VERSION_HEX >> 8) {
        return 0;
    }
    PyErr_Format(
        PyExc_ImportError,
        "objtunnel was built for free-threaded Python %s and knows the objects of that version only; this is "
        "%s. Build it again with this Python (make, or pip install --force-reinstall --no-binary objtunnel "
        "objtunnel)",
        PY_VERSION, Py_GetVersion());
    return -1;
}

static int
module_exec(PyObject *module)
{
    ot_state_t *state = ot_state_of_module(module);
    ot_interp_t *interp = &state->interp;
    state->module = module;
    state->objects.interp = interp;
    state->has_made_tunnels = true;
    interp->handles = ot_handles_for_trees(&state->objects);
    interp->consumers = &state->consumers;
    if (check_version() < 0 || add_absent(module) < 0 ||
        ot_import_into("objtunnel._errors", "SharedReferenceError",
                       &interp->shared_reference_error) < 0 ||
        ot_import_into("objtunnel._errors", "TunnelEmpty", &state->tunnel_empty) < 0 ||
        ot_import_into("objtunnel._errors", "TunnelFull", &state->tunnel_full) < 0 ||
        ot_import_into("objtunnel._errors", "TunnelClosed", &state->tunnel_closed) < 0 ||
        ot_import_into("objtunnel._errors", "TunnelTimeout", &state->tunnel_timeout) < 0 ||
        ot_import_into("objtunnel._errors", "TunnelSendTimeout", &state->tunnel_send_timeout) < 0) {
        return -1;
    }
    ot_park_on_long_sleep(ot_signals_after_long_sleep);
    return ot_struct_type_add(module, &receipt_desc, &state->receipt_type) < 0 ||
                   ot_objects_add(module, &state->objects) < 0 ||
                   ot_tunnel_add(module, state) < 0 || ot_owners_add(module) < 0 ||
                   ot_parcel_type_add(module) < 0
               ? -1
               : 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    ot_state_t *state = ot_state_of_module(module);
    Py_VISIT(state->interp.shared_reference_error);
    Py_VISIT(state->tunnel_type);
    Py_VISIT(state->receipt_type);
    Py_VISIT(state->tunnel_empty);
    Py_VISIT(state->tunnel_full);
    Py_VISIT(state->tunnel_closed);
    Py_VISIT(state->tunnel_timeout);
    Py_VISIT(state->tunnel_send_timeout);
    int rc = ot_consumers_traverse(&state->consumers, visit, arg);
    return rc != 0 ? rc : ot_objects_traverse(&state->objects, visit, arg);
}

/* As on builds with a GIL: handles that die later still need the rest. */
static int
module_clear(PyObject *module)
{
    ot_consumers_clear(&ot_state_of_module(module)->consumers);
    return 0;
}

static void
module_free(void *self)
{
    ot_state_t *state = ot_state_of_module(self);
    ot_consumers_clear(&state->consumers);
    ot_objects_clear(&state->objects);
    Py_CLEAR(state->interp.shared_reference_error);
    Py_CLEAR(state->tunnel_type);
    Py_CLEAR(state->receipt_type);
    Py_CLEAR(state->tunnel_empty);
    Py_CLEAR(state->tunnel_full);
    Py_CLEAR(state->tunnel_closed);
    Py_CLEAR(state->tunnel_timeout);
    Py_CLEAR(state->tunnel_send_timeout);
}

/* One interpreter: a container must never move between two on these builds (docs/free-threading.md). */
static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,         .m_name = "objtunnel._core", .m_doc = "The C side of objtunnel.",
    .m_size = sizeof(ot_state_t),  .m_methods = functions,      .m_slots = slots,
    .m_traverse = module_traverse, .m_clear = module_clear,     .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
