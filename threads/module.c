/* module.c: objtunnel._core on free-threaded builds: what threads of one interpreter can use without a GIL.
 *
 * Main invariant: after the import no field of the state changes.
 * Threading: any thread of the interpreter at any time. What they change in common lies in channels and shared
 * objects, which have locks of their own.
 */
#include "threads/threads.h"

#include "objects/objects.h"
#include "objtunnel/state.h"
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

static PyMethodDef functions[] = {
    {"_build_info", build_info, METH_NOARGS,
     "How this extension was built (for `python -m objtunnel info`)."},
    {"_take_old_blocks", take_old_blocks, METH_NOARGS, "Nothing: there is no heap of objtunnel's."},
    {NULL, NULL, 0, NULL},
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
    state->has_made_tunnels = true;
    if (check_version() < 0 || add_absent(module) < 0 || ot_state_begin(module, state) < 0) {
        return -1;
    }
    ot_park_on_long_sleep(ot_signals_after_long_sleep);
    return ot_objects_add(module, &state->objects) < 0 || ot_tunnel_add(module, state) < 0 ||
                   ot_globals_add(module, state) < 0 || ot_owners_add(module) < 0 ||
                   ot_parcel_type_add(module) < 0
               ? -1
               : 0;
}

static void
module_free(void *self)
{
    ot_state_t *state = ot_state_of_module(self);
    ot_consumers_clear(&state->consumers);
    ot_objects_set_leaving(&state->objects); /* nothing can be imported any more */
    ot_globals_leave(state);
    ot_objects_set_leaving(NULL);
    ot_state_end(state);
}

/* One interpreter: a container must never move between two on these builds (docs/free-threading.md). */
static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "objtunnel._core",
    .m_doc = "The C side of objtunnel.",
    .m_size = sizeof(ot_state_t),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = ot_state_traverse,
    .m_clear = ot_state_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
