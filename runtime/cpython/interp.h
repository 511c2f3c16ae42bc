/* interp.h: threads and interpreters, as CPython keeps them (pycore_interp.h, pycore_ceval.h).
 *
 * Threading: see version.h.
 */
#ifndef OT_RUNTIME_CPYTHON_INTERP_H
#define OT_RUNTIME_CPYTHON_INTERP_H

#include "runtime/cpython/version.h"

#include <internal/pycore_ceval.h>
#include <internal/pycore_gc.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_pystate.h>
#include <internal/pycore_runtime.h>

/* Address of the GIL under which tstate runs: its interpreter's own one, or the main one. */
static inline void *
ot_py_gil(PyThreadState *tstate)
{
    return tstate->interp->ceval.gil;
}

/* Whether the interpreter runs under a GIL of its own, not under the main interpreter's. */
static inline bool
ot_py_owns_gil(PyInterpreterState *interp)
{
    return interp->ceval.own_gil != 0;
}

/* Whether the interpreter's collector is at work right now (also seen by other threads of the
 * interpreter while a finaliser runs Python code). */
static inline bool
ot_py_collecting(PyInterpreterState *interp)
{
    return interp->gc.collecting != 0;
}

/* Whether the calling thread is the one that sees to signals, as _Py_IsMainThread, which 3.14 does not export. Needs
 * no GIL. */
static inline bool
ot_py_is_main_thread(void)
{
    return PyThread_get_thread_ident() == _PyRuntime.main_thread;
}

/* Whether a signal handler of CPython's ran and the main thread has not looked at it yet. Needs no GIL. */
static inline bool
ot_py_signal_came(void)
{
    return __atomic_load_n(&_PyRuntime.signals.is_tripped, __ATOMIC_RELAXED) != 0;
}

/* Has func(arg) called between two bytecodes of some thread of interp; returning -1 there with
 * an exception set raises it. Needs no GIL. Returns -1 if the interpreter's list is full. */
static inline int
ot_py_add_pending_call(PyInterpreterState *interp, int (*func)(void *), void *arg)
{
    return (int)_PyEval_AddPendingCall(interp, func, arg, 0) == 0 ? 0 : -1;
}

/* Raises what PyThreadState_SetAsyncExc has on its way to the calling thread; whether there was
 * something. */
static inline bool
ot_py_raise_async_exc(void)
{
    PyThreadState *tstate = PyThreadState_Get();
    PyObject *exc = Py_XNewRef(tstate->async_exc);
    if (exc == NULL) {
        return false;
    }
    PyThreadState_SetAsyncExc(tstate->thread_id, NULL);
    PyErr_SetNone(exc);
    Py_DECREF(exc);
    return true;
}

/* Whether Py_RunMain ends the process by SIGINT, as after an unhandled KeyboardInterrupt. */
static inline void
ot_py_end_by_sigint(bool yes)
{
    _Py_atomic_store_int(&_PyRuntime.signals.unhandled_keyboard_interrupt, yes);
}

/* How many thread states there are in all interpreters of the process. Needs: no thread state attached,
 * or the lock of the lists would let go of its GIL. */
static inline size_t
ot_py_count_threads(void)
{
    size_t n = 0;
    PyMutex_Lock(&_PyRuntime.interpreters.mutex);
    for (PyInterpreterState *i = PyInterpreterState_Head(); i != NULL;
         i = PyInterpreterState_Next(i)) {
        for (PyThreadState *t = PyInterpreterState_ThreadHead(i); t != NULL;
             t = PyThreadState_Next(t)) {
            n++;
        }
    }
    PyMutex_Unlock(&_PyRuntime.interpreters.mutex);
    return n;
}

#endif
