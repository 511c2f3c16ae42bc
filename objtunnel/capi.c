/* capi.c: objtunnel's C API: the functions of include/objtunnel_global.h, registering movable
 * types (tunnel/kinds/registered.c), and shared modules (_modules.py), behind a capsule.
 *
 * Main invariant: one domain (include/objtunnel_core.h) for the extensions that come this way and
 * for objtunnel's own process-wide things; the table is constant and as old as the process.
 * Threading: the table is read by anybody; making the capsule wants the importing interpreter's GIL.
 */
#include "objtunnel/state.h"

#include "runtime/checks.h" /* first: it decides whether the header below checks */

#include "include/objtunnel_global.h"

#include "include/objtunnel_api.h"

/* Written in Python: each module calls it once, so its speed does not matter. */
static PyObject *
module_namespace(PyObject *module)
{
    PyObject *modules = PyImport_ImportModule("objtunnel._modules");
    PyObject *namespace =
        modules == NULL ? NULL : PyObject_CallMethod(modules, "module_namespace", "O", module);
    Py_XDECREF(modules);
    return namespace;
}

static ot_global_t *
named(const char *name, void (*exit)(void), void (*call_exit)(void (*exit)(void)))
{
    ot_global_t *g = ot_core_named(name, exit, call_exit);
    return g != NULL ? g : (ot_global_t *)PyErr_NoMemory();
}

static const ot_api_t api = {
    .version = OT_API_VERSION,
    .size = sizeof(ot_api_t),
    .global_enter = ot_global_enter,
    .global_leave = ot_global_leave,
    .global_enter_module = ot_global_enter_module,
    .global_leave_module = ot_global_leave_module,
    .registry_get = ot_registry_get,
    .registry_put = ot_registry_put,
    .register_type = ot_kind_register,
    .module_namespace = module_namespace,
    .enter_for = ot_base_enter,
    .leave_for = ot_base_leave,
    .get_for = ot_base_get,
    .put_for = ot_base_put,
    .named = named,
    .global_size = sizeof(ot_global_t),
    .registry_size = sizeof(ot_registry_t),
};

int
ot_capi_add(PyObject *module, ot_state_t *state)
{
    (void)state;
    PyObject *capsule = PyCapsule_New((void *)&api, OT_API_CAPSULE, NULL);
    int rc = PyModule_AddObjectRef(module, "_C_API", capsule);
    Py_XDECREF(capsule);
    return rc;
}
