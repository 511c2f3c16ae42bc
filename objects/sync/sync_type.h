/* sync_type.h: what the Python types of locks and the like share: waiting without the GIL, with
 * Ctrl-C and timeouts honoured.
 *
 *   ot_waiting_t waiting;
 *   ot_waiting_begin(&waiting, deadline, "acquire", shared);     lets go of the GIL
 *   result = ot_..._acquire(..., &waiting.patience);
 *   ot_waiting_end(&waiting);                      takes it again; INTERRUPTED: exception set
 */
#ifndef OT_OBJECTS_SYNC_TYPE_H
#define OT_OBJECTS_SYNC_TYPE_H

#include "objects/core/handle.h"
#include "objects/sync/sync.h"

typedef struct {
    ot_patience_t patience;
    PyThreadState *saved;
    ot_awaited_t awaited;
} ot_waiting_t;

/* What objtunnel.dump() says of the wait: the verb (a constant) and the object; NULL: nothing. `waiting` must not move. */
void ot_waiting_begin(ot_waiting_t *waiting, int64_t deadline, const char *verb,
                      const ot_shared_t *shared);
void ot_waiting_end(ot_waiting_t *waiting);

/* What ot_shared_unref does before the end of an object that may have to wait (a full pipe), with or
 * without a thread state: Ctrl-C, or an interrupt, ends the wait, and is raised by whatever runs next. */
void ot_close_waiting(ot_shared_t *shared);

/* Acquires at once if that can be done, else waits without the GIL. A lock that is not recursive
 * and is this thread's own already: waits in vain. */
ot_sync_result_t ot_acquire_waiting(ot_lock_t *lock, int64_t interp, int64_t deadline);

/* ot_acquire_waiting, but a thread that has the lock already gets RuntimeError(message): INTERRUPTED. */
ot_sync_result_t ot_acquire_once(ot_lock_t *lock, int64_t interp, int64_t deadline,
                                 const char *message);

/* The arguments of acquire of locks (timeout -1: for ever, other negative ones are refused), and of
 * semaphores (None: for ever); -1 with an exception set. */
int ot_parse_acquire(PyObject *args, PyObject *kwargs, int64_t *deadline);
int ot_parse_semaphore_acquire(PyObject *args, PyObject *kwargs, int64_t *deadline);

/* acquire's answer: True, False, or NULL with an exception set. */
PyObject *ot_acquired(PyObject *self, ot_sync_result_t result);

/* Sets LockAbandonedError. Returns NULL. */
PyObject *ot_raise_abandoned(PyObject *self);

/* Has `ends` called when the interpreter does, after its last Python code: with a capsule that it
 * owns around an int64_t of PyMem_RawMalloc, `interp`, to be freed. Once for each `what`. */
int ot_watch_interpreter(int64_t interp, const char *what, PyCapsule_Destructor ends);

/* The slots of a handle on a lock or the like. */
#define OT_SYNC_SLOTS(doc, new_, repr, methods)                                                    \
    {                                                                                              \
        {Py_tp_doc, doc}, {Py_tp_new, new_}, {Py_tp_repr, repr}, {Py_tp_methods, methods},         \
            {Py_tp_getset, ot_handle_getset}, OT_HANDLE_LIFE, OT_HANDLE_IDENTITY,                  \
        {                                                                                          \
            0, NULL                                                                                \
        }                                                                                          \
    }

/* Each adds its types; 0 or -1 with an exception set. */
int ot_lock_types_add(ot_objects_t *home);
int ot_semaphore_types_add(ot_objects_t *home);
int ot_barrier_type_add(ot_objects_t *home);
int ot_global_lock_type_add(ot_objects_t *home);

extern const ot_shared_kind_t ot_global_lock_kind; /* begins with a lock, as a box does */

#endif
