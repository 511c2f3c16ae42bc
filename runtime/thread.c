/* thread.c: the per-thread record (see thread.h).
 *
 * Main invariant: the record is never trusted, only refreshed: a thread may attach to another
 * interpreter behind our back, and a freed thread state's address may come back as another
 * interpreter's. Refreshing costs less than finding out whether it is needed.
 * Threading: thread-local, no lock.
 */
#include "runtime/thread.h"

#include "runtime/cpython/interp.h"

static _Thread_local ot_thread_t record = {.interp_id = -1};

const ot_thread_t *
ot_thread_current(void)
{
    PyThreadState *tstate = PyThreadState_GetUnchecked();
    if (tstate == NULL) {
        record = (ot_thread_t){.interp_id = -1};
        return &record;
    }
    record.tstate = tstate;
    record.interp = tstate->interp;
    record.interp_id = PyInterpreterState_GetID(tstate->interp);
    record.gil = ot_py_gil(tstate);
    return &record;
}
