/* allocators.h: who serves the object domains: CPython's allocators, its debug hooks above one of them,
 * or somebody else. */
#ifndef OT_RUNTIME_CPYTHON_ALLOCATORS_H
#define OT_RUNTIME_CPYTHON_ALLOCATORS_H

#include "runtime/cpython/version.h"

#include <internal/pycore_initconfig.h>
#include <internal/pycore_runtime.h>

/* The record that the debug hooks of a domain (MEM or OBJ) call; NULL if they do not serve it. */
static inline PyMemAllocatorEx *
ot_py_below_debug_hooks(PyMemAllocatorDomain domain)
{
    PyMemAllocatorEx served;
    PyMem_GetAllocator(domain, &served);
    debug_alloc_api_t *hooks = domain == PYMEM_DOMAIN_MEM ? &_PyRuntime.allocators.debug.mem
                                                          : &_PyRuntime.allocators.debug.obj;
    return served.ctx == hooks ? &hooks->alloc : NULL;
}

/* What PYTHONMALLOC asked for, -1 if that cannot be found out. Not by _PyRuntime.preconfig: what lies before it in
 * that struct differs between micro versions. Needs: the GIL. */
static inline int
ot_py_configured_allocator(void)
{
    PyObject *configs = _Py_GetConfigsAsDict();
    PyObject *preconfig = configs == NULL ? NULL : PyDict_GetItemString(configs, "pre_config");
    PyObject *number = preconfig == NULL ? NULL : PyDict_GetItemString(preconfig, "allocator");
    int allocator = number == NULL ? -1 : PyLong_AsInt(number);
    Py_XDECREF(configs);
    PyErr_Clear();
    return allocator;
}

/* The allocator that serves the whole process by PYTHONMALLOC, NULL if that asked for none. It does so still, below
 * whoever has replaced it since. */
static inline const char *
ot_py_process_wide_at_start(void)
{
    switch (ot_py_configured_allocator()) {
    case PYMEM_ALLOCATOR_MALLOC:
        return "malloc";
    case PYMEM_ALLOCATOR_MALLOC_DEBUG:
        return "malloc_debug";
    case PYMEM_ALLOCATOR_MIMALLOC:
        return "mimalloc";
    case PYMEM_ALLOCATOR_MIMALLOC_DEBUG:
        return "mimalloc_debug";
    default:
        return NULL;
    }
}

#endif
