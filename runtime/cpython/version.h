/* version.h: the version of CPython that this is built for and runs in.
 *
 * The headers of this folder are the only ones that know CPython's private layouts: everything that
 * objtunnel reads or writes behind the public C API, as small functions named for what they mean.
 * Porting to a new Python version means reading this folder beside that version's headers, and nothing
 * else.
 *
 * Invariant: a layout is used only in the micro version it was compiled against
 * (ot_py_check_version, called at import): CPython keeps private structs stable within a micro
 * version only; 3.14's collector changed its between two of them.
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
#ifdef Py_GIL_DISABLED
#error "objtunnel does not support free-threaded builds yet: use a build with a GIL"
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

/* Returns -1 with ImportError set if the running micro version is not the compiled one, or if one of them is a
 * debug build: private structs have more in it. */
static inline int
ot_py_check_version(void)
{
    if ((PySys_GetObject("gettotalrefcount") != NULL) != OT_PY_DEBUG) {
        PyErr_Format(
            PyExc_ImportError,
            "objtunnel was built for a %s build of Python and knows the object layouts of that "
            "only; this is %s. Build it again with this Python and its headers",
            OT_PY_DEBUG ? "debug" : "release", OT_PY_DEBUG ? "none" : "a debug build");
        return -1;
    }
    if ((Py_Version >> 8) == (PY_VERSION_HEX >> 8)) {
        return 0;
    }
    PyErr_Format(PyExc_ImportError,
                 "objtunnel was built for Python %s and knows the object layouts of that version "
                 "only; this is %s. Build it again with this Python (make, or pip install "
                 "--force-reinstall --no-binary objtunnel objtunnel)",
                 PY_VERSION, Py_GetVersion());
    return -1;
}

/* The allocator set up at start ("pymalloc", "malloc_debug", ...), NULL if somebody replaced it. */
static inline const char *
ot_py_allocator_name(void)
{
    return _PyMem_GetCurrentAllocatorName();
}

#endif
