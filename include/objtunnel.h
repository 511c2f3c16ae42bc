/* SPDX-License-Identifier: MIT. Copyright (c) the objtunnel developers; this file may be copied. */
/* objtunnel.h: objtunnel's C API for other extension modules, through a capsule.
 *
 * Purpose: process-wide state as in objtunnel_global.h, with the one implementation in
 * objtunnel._core: it shows up in objtunnel.process_globals(), circles of waiting threads are found
 * across extensions, and extensions can share a global (objtunnel_calls.h documents the functions). objtunnel must be installed at run time;
 * objtunnel.get_include() says where this file lies.
 *
 * Threading: as objtunnel_global.h. ot_import() may run in several interpreters at once: they find
 * the same table, which lives as long as the process.
 */
#ifndef OBJTUNNEL_H
#define OBJTUNNEL_H

#ifdef OBJTUNNEL_GLOBAL_H
#error "include objtunnel.h or objtunnel_global.h, not both"
#endif
#include <Python.h>

#include "objtunnel_api.h"
#include "objtunnel_locks.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One for all translation units of the extension; NULL before ot_import. */
__attribute__((weak, visibility("hidden"))) const ot_api_t *ot_api;

/* Imports objtunnel's table. The functions below that can raise do it by themselves; call it in
 * Py_mod_exec to have the error there. 0, or -1 with ImportError set. */
static inline int
ot_import(void)
{
    if (__atomic_load_n(&ot_api, __ATOMIC_ACQUIRE) != NULL) {
        return 0;
    }
    PyObject *module =
        PyImport_ImportModule("objtunnel._core"); /* PyCapsule_Import sees no cause */
    const ot_api_t *api =
        module == NULL ? NULL : (const ot_api_t *)PyCapsule_Import(OT_API_CAPSULE, 0);
    Py_XDECREF(module);
    if (api == NULL) {
        return -1;
    }
    if (api->version != OT_API_VERSION || api->size < sizeof(ot_api_t)) {
        PyErr_Format(
            PyExc_ImportError,
            "this extension was built for version %u of objtunnel's C API (%zu bytes), and "
            "the installed objtunnel has version %u (%u bytes)",
            OT_API_VERSION, sizeof(ot_api_t), api->version, api->size);
        return -1;
    }
    if (api->global_size != sizeof(ot_global_t) || api->registry_size != sizeof(ot_registry_t)) {
        PyErr_Format(
            PyExc_ImportError,
            "this extension has an ot_global_t of %zu bytes and an ot_registry_t of %zu, and the "
            "installed objtunnel works on %u and %u bytes: build the extension again, with the "
            "headers in objtunnel.get_include()",
            sizeof(ot_global_t), sizeof(ot_registry_t), api->global_size, api->registry_size);
        return -1;
    }
    __atomic_store_n(&ot_api, api, __ATOMIC_RELEASE);
    return 0;
}

static inline int
ot_base_enter(ot_global_t *g, const void *holder, ot_init_t init, void *arg)
{
    return ot_import() < 0 ? -1 : ot_api->enter_for(g, holder, init, arg);
}

/* Nothing was entered while there is no table. */
static inline int
ot_base_leave(ot_global_t *g, const void *holder)
{
    return ot_api == NULL ? -1 : ot_api->leave_for(g, holder);
}

static inline int
ot_base_get(ot_registry_t *r, const char *key, const void *holder, ot_create_t create, void *arg,
            void **value)
{
    return ot_import() < 0 ? -1 : ot_api->get_for(r, key, holder, create, arg, value);
}

static inline int
ot_base_put(ot_registry_t *r, const char *key, const void *holder)
{
    return ot_api == NULL ? -1 : ot_api->put_for(r, key, holder);
}

/* The process's one global of that name, for extensions that wrap the same library and know nothing
 * of each other: by convention the name is the library's ("libxml2"). NULL with ImportError or
 * MemoryError set; else it is good until the process ends, the same pointer for the same name and
 * exit in all interpreters. Use it as any other: enter it with an init of your own.
 *
 * Whose functions count: the init of whoever comes first while nobody uses it, and then the exit of
 * that same extension, whoever leaves last. So init and exit of all of them must leave the library in
 * a state that the others can use: the library's documented defaults. */
static inline ot_global_t *
ot_global_named(const char *name, void (*exit)(void))
{
    return ot_import() < 0 ? NULL : ot_api->named(name, exit, OT_CALL_EXIT_);
}

/* Has instances of the type move through tunnels instead of being pickled: see
 * objtunnel_kinds.h. Call it in Py_mod_exec, in each interpreter, with the same spec.
 * 0, or -1 with ImportError, TypeError, ValueError or RuntimeError (256 types) set.
 * Refs: type is borrowed. Needs: the GIL. */
static inline int
ot_register_type(PyTypeObject *type, const ot_type_spec_t *spec)
{
    return ot_import() < 0 ? -1 : ot_api->register_type(type, spec);
}

/* The module's attributes as a LockingDict that all interpreters share, a new reference; NULL with
 * ImportError, TypeError or MemoryError set.
 *
 * Call it at the end of Py_mod_exec, in each interpreter. What the module has of plain data (None,
 * numbers, str, bytes and containers of these) moves there, unless an earlier interpreter's is
 * there already; from then on PyObject_GetAttrString(module, ...) gives an equal object of the
 * interpreter's own, and PyObject_SetAttrString(module, ...) sets it for all. Functions and types
 * stay the interpreter's. PyModule_GetDict(module) has only those: PyDict_* and PyModule_Add* on a
 * shared name afterwards would make one of the interpreter's own.
 * Refs: module is borrowed. Needs: the GIL. Runs: Python code. */
static inline PyObject *
ot_module_namespace(PyObject *module)
{
    return ot_import() < 0 ? NULL : ot_api->module_namespace(module);
}

#ifdef __cplusplus
}
#endif

#include "objtunnel_calls.h"
#endif
