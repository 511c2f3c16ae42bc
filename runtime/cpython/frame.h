/* frame.h: what lies on the evaluation stack of a Python frame (pycore_frame.h).
 *
 * Threading: see version.h.
 */
#ifndef OT_RUNTIME_CPYTHON_FRAME_H
#define OT_RUNTIME_CPYTHON_FRAME_H

#include "runtime/cpython/version.h"

#include <internal/pycore_frame.h>
#include <internal/pycore_pystate.h>

/* Whether the caller's evaluation stack holds the only reference to o, as in f((a, b)): then
 * nobody can look at o again once the call returns. 3.13 cannot tell such a temporary from one
 * that a C caller (functools.partial) still owns: always "no". */
static inline bool
ot_py_is_temporary(PyObject *o)
{
#if PY_VERSION_HEX >= 0x030e0000
    return PyUnstable_Object_IsUniqueReferencedTemporary(o);
#else
    (void)o;
    return false;
#endif
}

/* The same where being wrong does no harm to memory. On 3.13 wrong of an object that only a C caller
 * owns and whose address still lies, stale, on the calling function's stack. */
static inline bool
ot_py_seems_temporary(PyObject *o)
{
#if PY_VERSION_HEX >= 0x030e0000
    return ot_py_is_temporary(o);
#else
    _PyInterpreterFrame *frame = PyThreadState_Get()->current_frame;
    if (Py_REFCNT(o) != 1 || frame == NULL || frame->owner == FRAME_OWNED_BY_CSTACK) {
        return false;
    }
    const PyCodeObject *code = _PyFrame_GetCode(frame);
    PyObject **slot = frame->localsplus + code->co_nlocalsplus, **end = slot + code->co_stacksize;
    while (slot < end && *slot != o) {
        slot++;
    }
    return slot < end;
#endif
}

#endif
