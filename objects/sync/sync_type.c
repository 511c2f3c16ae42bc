/* sync_type.c: see sync_type.h.
 *
 * Threading: gives_up runs in the waiting thread, which is detached there and attaches for it.
 */
#include "objects/sync/sync_type.h"

#include <math.h>

#include "runtime/timeout.h"
#include "runtime/worker.h"

/* ---- waiting --------------------------------------------------------------------------------- */

static bool
gives_up(void *arg)
{
    ot_waiting_t *waiting = arg;
    PyEval_RestoreThread(waiting->saved);
    bool stop = PyErr_CheckSignals() < 0 || ot_worker_check_interrupt();
    waiting->saved = PyEval_SaveThread();
    return stop;
}

void
ot_waiting_begin(ot_waiting_t *waiting, int64_t deadline, const char *verb,
                 const ot_shared_t *shared)
{
    waiting->patience = (ot_patience_t){deadline, gives_up, waiting, NULL};
    if (shared != NULL) {
        ot_awaited_init(&waiting->awaited, verb, shared->kind->name, shared->id);
        waiting->patience.awaited = &waiting->awaited;
    }
    waiting->saved = PyEval_SaveThread();
}

void
ot_waiting_end(ot_waiting_t *waiting)
{
    PyEval_RestoreThread(waiting->saved);
}

/* A pending call: raises in the main thread what ended a wait in a destructor. Steals. */
static int
raise_now(void *exception)
{
    PyErr_SetRaisedException(exception);
    return -1;
}

/* For who cannot raise. Steals. A worker's interrupt is raised by its thread's next bytecode. */
static void
raise_later(PyObject *exception)
{
    if (ot_worker_is_self()) {
        PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), (PyObject *)Py_TYPE(exception));
        Py_DECREF(exception);
    } else if (Py_IsFinalizing() || Py_AddPendingCall(raise_now, exception) < 0) {
        PyErr_SetRaisedException(exception);
        PyErr_WriteUnraisable(NULL);
    }
}

void
ot_close_waiting(ot_shared_t *shared)
{
    if (PyThreadState_GetUnchecked() == NULL) {
        const ot_patience_t patience = {.deadline = OT_FOREVER};
        shared->kind->close(shared, &patience);
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    ot_waiting_t waiting;
    ot_waiting_begin(&waiting, OT_FOREVER, "close", shared);
    shared->kind->close(shared, &waiting.patience);
    ot_waiting_end(&waiting);
    PyObject *interrupt = PyErr_GetRaisedException();
    if (interrupt != NULL) {
        raise_later(interrupt);
    }
    PyErr_SetRaisedException(error);
}

ot_sync_result_t
ot_acquire_waiting(ot_lock_t *lock, int64_t interp, int64_t deadline)
{
    ot_patience_t now = {.deadline = OT_DONT_WAIT};
    ot_sync_result_t result = ot_lock_acquire(lock, interp, &now);
    if (result == OT_SYNC_TIMEOUT && deadline != OT_DONT_WAIT) {
        ot_waiting_t waiting;
        ot_waiting_begin(&waiting, deadline, "acquire", &lock->head);
        result = ot_lock_acquire(lock, interp, &waiting.patience);
        ot_waiting_end(&waiting);
    }
    return result;
}

ot_sync_result_t
ot_acquire_once(ot_lock_t *lock, int64_t interp, int64_t deadline, const char *message)
{
    ot_sync_result_t result = ot_acquire_waiting(lock, interp, OT_DONT_WAIT);
    if (result != OT_SYNC_TIMEOUT) {
        return result;
    }
    if (ot_lock_state(lock).mine) {
        PyErr_SetString(PyExc_RuntimeError, message);
        return OT_SYNC_INTERRUPTED;
    }
    return ot_acquire_waiting(lock, interp, deadline);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static int
parse_acquire(PyObject *args, PyObject *kwargs, int *blocking, PyObject **timeout)
{
    static char *names[] = {"blocking", "timeout", NULL};
    *blocking = 1;
    *timeout = NULL;
    return PyArg_ParseTupleAndKeywords(args, kwargs, "|pO:acquire", names, blocking, timeout) ? 0
                                                                                              : -1;
}

static int
no_timeout_without_blocking(void)
{
    PyErr_SetString(PyExc_ValueError, "can't specify a timeout for a non-blocking call");
    return -1;
}

int
ot_parse_acquire(PyObject *args, PyObject *kwargs, int64_t *deadline)
{
    int blocking;
    PyObject *timeout;
    double seconds = -1;
    if (parse_acquire(args, kwargs, &blocking, &timeout) < 0 ||
        (timeout != NULL && timeout != Py_None && ot_seconds_from(timeout, &seconds) < 0)) {
        return -1;
    }
    if (!blocking) {
        *deadline = OT_DONT_WAIT;
        return seconds == -1 ? 0 : no_timeout_without_blocking();
    }
    if (seconds < 0 && seconds != -1) {
        PyErr_SetString(PyExc_ValueError, "timeout value must be a non-negative number");
        return -1;
    }
    if (seconds > floor((double)PY_TIMEOUT_MAX * 1e-6)) { /* threading.TIMEOUT_MAX */
        PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
        return -1;
    }
    *deadline = seconds == -1 ? OT_FOREVER : ot_deadline_in(seconds);
    return 0;
}

int
ot_parse_semaphore_acquire(PyObject *args, PyObject *kwargs, int64_t *deadline)
{
    int blocking;
    PyObject *timeout;
    if (parse_acquire(args, kwargs, &blocking, &timeout) < 0) {
        return -1;
    }
    if (!blocking) {
        *deadline = OT_DONT_WAIT;
        return timeout == NULL || timeout == Py_None ? 0 : no_timeout_without_blocking();
    }
    return ot_deadline_from(timeout, OT_NEGATIVE_AT_ONCE, deadline);
}

/* ---- results --------------------------------------------------------------------------------- */

PyObject *
ot_raise_abandoned(PyObject *self)
{
    PyErr_Format(ot_as_handle(self)->home->lock_abandoned,
                 "the holder of %R has ended: what it guards may be half changed", self);
    return NULL;
}

PyObject *
ot_acquired(PyObject *self, ot_sync_result_t result)
{
    if (result == OT_SYNC_ABANDONED) {
        return ot_raise_abandoned(self);
    }
    return result == OT_SYNC_INTERRUPTED ? NULL : PyBool_FromLong(result == OT_SYNC_OK);
}
