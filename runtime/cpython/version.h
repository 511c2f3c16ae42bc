/* version.h: the version of CPython that this is built for and runs in.
 *
 * The headers of this folder are the only ones that know CPython's private layouts: everything that
 * objtunnel reads or writes behind the public C API, as small functions named for what they mean.
 * Porting to a new Python version means reading this folder beside that version's headers, and nothing
 * else.
 *
 * Invariant: a layout is used only in the micro version that it was compiled against, or in one that was shown to
 * have the same (layouts.h, at import): 3.14's collector changed its layout between two of them. So each private field that
 * this folder reads or writes has a line in layouts.c.
 *
 * Threading, in all of the folder: unless a function says otherwise the caller holds the GIL of the
 * interpreter that owns the object, or the object is in transit and reachable from one thread only.
 */
#ifndef OT_RUNTIME_CPYTHON_VERSION_H
#define OT_RUNTIME_CPYTHON_VERSION_H

#define Py_BUILD_CORE_MODULE 1
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030d0000
#error "objtunnel needs CPython 3.13 or newer"
#endif
/* The sources compile with the headers of 3.14 and 3.15, but bias.h names what must be read again before they are let in. */
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030e0000
#error "objtunnel knows CPython 3.13 only of those without a GIL: docs/free-threading.md"
#endif
#if defined(Py_GIL_DISABLED) != defined(OT_FREE_THREADED)
#error                                                                                             \
    "sources.mk lists the sources for free-threaded builds, and those for builds with a GIL: these are the others"
#endif

#include <internal/pycore_pymem.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef Py_DEBUG
#define OT_PY_DEBUG true
#else
#define OT_PY_DEBUG false
#endif

/* The allocator set up at start ("pymalloc", "malloc_debug", ...), NULL if somebody replaced it. */
static inline const char *
ot_py_allocator_name(void)
{
    return _PyMem_GetCurrentAllocatorName();
}

#endif
