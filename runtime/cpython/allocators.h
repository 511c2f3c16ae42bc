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

/* The allocator that serves the whole process by PYTHONMALLOC, NULL if that asked for none. It does so still, below
 * whoever has replaced it since. */
static inline const char *
ot_py_process_wide_at_start(void)
{
    switch (_PyRuntime.preconfig.allocator) {
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
