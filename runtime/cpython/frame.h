/* frame.h: what lies on the evaluation stack of a Python frame, and what the frame does with it
 * (pycore_frame.h, Python/bytecodes.c).
 *
 * A C function that is given a temporary cannot tell from its refcount whether the Python frame called
 * it, or a C function that the frame called and that will go on to use the temporary (bisect.insort, a
 * monitoring tool). So the frame's current instruction is read: which callable does it call?
 *
 * Threading: see version.h.
 */
#ifndef OT_RUNTIME_CPYTHON_FRAME_H
#define OT_RUNTIME_CPYTHON_FRAME_H

#include "runtime/cpython/version.h"

#if PY_VERSION_HEX >= 0x030e0000
#include <internal/pycore_interpframe.h>
#include <internal/pycore_stackref.h>
#else
#include <internal/pycore_frame.h>
#endif
#include <internal/pycore_pystate.h>
#include <opcode_ids.h>

/* What an instruction does with the values on top of the stack. */
typedef enum {
    OT_INSTR_OTHER,
    OT_INSTR_CALL,    /* callable, self or NULL, arguments */
    OT_INSTR_CALL_KW, /* callable, self or NULL, arguments, a tuple of names */
    OT_INSTR_STORE,   /* value, container, key */
} ot_instr_t;

/* A whitelist. Instrumented forms are not on it: their tools get the arguments after the call. Nor is
 * CALL_FUNCTION_EX: its arguments lie in a tuple. */
static inline ot_instr_t
ot_py_instr(int opcode)
{
    switch (opcode) {
    case CALL:
    case CALL_BUILTIN_CLASS:
    case CALL_BUILTIN_FAST:
    case CALL_BUILTIN_FAST_WITH_KEYWORDS:
    case CALL_BUILTIN_O:
    case CALL_METHOD_DESCRIPTOR_FAST:
    case CALL_METHOD_DESCRIPTOR_FAST_WITH_KEYWORDS:
    case CALL_METHOD_DESCRIPTOR_O:
    case CALL_NON_PY_GENERAL:
        return OT_INSTR_CALL;
    case CALL_KW:
#ifdef CALL_KW_NON_PY
    case CALL_KW_NON_PY:
#endif
        return OT_INSTR_CALL_KW;
    case STORE_SUBSCR:
        return OT_INSTR_STORE;
    default:
        return OT_INSTR_OTHER;
    }
}

/* Whether `callee` is one that the caller means; for OT_INSTR_STORE the container. Must only compare
 * addresses on 3.13, where the callee may be a stale one. */
typedef bool (*ot_is_callee_t)(ot_instr_t instr, PyObject *callee, void *arg);

#if PY_VERSION_HEX >= 0x030e0000

typedef _PyStackRef ot_stack_slot_t;

static inline PyObject *
ot_py_stack_object(ot_stack_slot_t slot)
{
    return PyStackRef_IsNull(slot) || PyStackRef_IsTaggedInt(slot)
               ? NULL
               : PyStackRef_AsPyObjectBorrow(slot);
}

/* Exact: the frame tells where its stack ends. */
static inline ot_stack_slot_t *
ot_py_stack_top(_PyInterpreterFrame *frame)
{
    return frame->stackpointer;
}

#else

typedef PyObject *ot_stack_slot_t;

static inline PyObject *
ot_py_stack_object(ot_stack_slot_t slot)
{
    return slot;
}

/* A running frame of 3.13 does not tell where its stack ends: NULL. */
static inline ot_stack_slot_t *
ot_py_stack_top(_PyInterpreterFrame *frame)
{
    (void)frame;
    return NULL;
}

#endif

/* Whether, if the stack ends at `top`, the instruction gives o to such a callee. */
static inline bool
ot_py_stack_gives(ot_stack_slot_t *base, ot_stack_slot_t *top, ot_instr_t instr, int n, PyObject *o,
                  ot_is_callee_t is_callee, void *arg)
{
    if (instr == OT_INSTR_STORE) {
        return top - base >= 3 && ot_py_stack_object(top[-3]) == o &&
               is_callee(instr, ot_py_stack_object(top[-2]), arg);
    }
    ot_stack_slot_t *args = top - n - (instr == OT_INSTR_CALL_KW);
    if (args - base < 2) {
        return false;
    }
    int i = 0;
    while (i < n && ot_py_stack_object(args[i]) != o) {
        i++;
    }
    return i < n && is_callee(instr, ot_py_stack_object(args[-2]), arg);
}

/* Whether o, to which nothing else refers, is an argument (or, with OT_INSTR_STORE, the value) of the
 * instruction that the running frame is at, and what is called is such a callee. Exact from 3.14 on. On
 * 3.13 an address that an earlier call left on the stack, above its end, may be taken for the callee. */
static inline bool
ot_py_frame_gives(PyObject *o, ot_is_callee_t is_callee, void *arg)
{
    _PyInterpreterFrame *frame = PyThreadState_Get()->current_frame;
#if PY_VERSION_HEX >= 0x030e0000
    if (!PyUnstable_Object_IsUniqueReferencedTemporary(o) || frame == NULL ||
        frame->owner == FRAME_OWNED_BY_INTERPRETER) {
        return false;
    }
#else
    if (Py_REFCNT(o) != 1 || frame == NULL || frame->owner == FRAME_OWNED_BY_CSTACK) {
        return false;
    }
#endif
    const PyCodeObject *code = _PyFrame_GetCode(frame);
    ot_stack_slot_t *base = frame->localsplus + code->co_nlocalsplus;
    ot_stack_slot_t *top = ot_py_stack_top(frame), *most = base + code->co_stacksize;
    ot_instr_t instr = ot_py_instr(frame->instr_ptr->op.code);
    int n = frame->instr_ptr->op.arg;
    if (instr == OT_INSTR_OTHER) {
        return false;
    }
    if (top != NULL) {
        return ot_py_stack_gives(base, top, instr, n, o, is_callee, arg);
    }
    for (top = base + 1; top <= most; top++) {
        if (ot_py_stack_gives(base, top, instr, n, o, is_callee, arg)) {
            return true;
        }
    }
    return false;
}

#endif
