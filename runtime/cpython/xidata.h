/* xidata.h: the cross-interpreter registry (PEP 734; pycore_crossinterp.h).
 *
 * Threading: see version.h.
 */
#ifndef OT_RUNTIME_CPYTHON_XIDATA_H
#define OT_RUNTIME_CPYTHON_XIDATA_H

#include "runtime/cpython/version.h"

#include <internal/pycore_crossinterp.h>

#if PY_VERSION_HEX >= 0x030e0000
typedef _PyXIData_t ot_xidata_t;
#define OT_XIDATA_INIT _PyXIData_Init
#define OT_XIDATA_SET_FREE _PyXIData_SET_FREE
#define OT_XIDATA_DATA _PyXIData_DATA
#else
typedef _PyCrossInterpreterData ot_xidata_t;
#define OT_XIDATA_INIT _PyCrossInterpreterData_Init
#define OT_XIDATA_SET_FREE _PyCrossInterpreterData_SET_FREE
#define OT_XIDATA_DATA _PyCrossInterpreterData_DATA
#endif

typedef int (*ot_xidata_getter_t)(PyThreadState *, PyObject *, ot_xidata_t *);

/* Makes instances of a heap type shareable through _interpreters and concurrent.interpreters,
 * in the current interpreter. Returns -1 with an exception set. */
static inline int
ot_xidata_register(PyTypeObject *type, ot_xidata_getter_t getter)
{
#if PY_VERSION_HEX >= 0x030e0000
    _PyXIData_getdata_t entry = {.basic = getter};
    return _PyXIData_RegisterClass(PyThreadState_Get(), type, entry);
#else
    return _PyCrossInterpreterData_RegisterClass(type, getter);
#endif
}

#endif
