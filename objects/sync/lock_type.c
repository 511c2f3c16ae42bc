/* lock_type.c: the Python types Lock, RLock and Condition.
 *
 * Main invariant: these are handles only; who holds a lock is known to the lock (sync.h).
 * Threading: the GIL of the handle's interpreter, which is let go of while waiting.
 */
#include "objects/box/box.h"
#include "objects/sync/sync_type.h"
#include "runtime/timeout.h"

static ot_condition_t *
condition_of(PyObject *self)
{
    return (ot_condition_t *)ot_as_handle(self)->shared;
}

/* A Condition's acquire and release are its lock's. */
static ot_lock_t *
lock_of(PyObject *self)
{
    ot_shared_t *shared = ot_as_handle(self)->shared;
    return shared->kind == &ot_condition_kind ? condition_of(self)->lock : (ot_lock_t *)shared;
}

static int64_t
interp_of(PyObject *self)
{
    return ot_as_handle(self)->home->interp_id;
}

/* ---- making ---------------------------------------------------------------------------------- */

static PyObject *
new_lock(const ot_shared_kind_t *kind, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "", names)) {
        return NULL;
    }
    return ot_handle_new((ot_shared_t *)ot_lock_new(kind));
}

static PyObject *
lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)type;
    return new_lock(&ot_lock_kind, args, kwargs);
}

static PyObject *
rlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)type;
    return new_lock(&ot_rlock_kind, args, kwargs);
}

/* The lock that a handle stands for, a new reference; a new RLock for None. */
static ot_lock_t *
lock_from(const ot_objects_t *home, PyObject *handle)
{
    if (handle == Py_None) {
        ot_lock_t *lock = ot_lock_new(&ot_rlock_kind);
        return lock == NULL ? (ot_lock_t *)PyErr_NoMemory() : lock;
    }
    for (size_t i = 0; i < home->n; i++) {
        const ot_shared_kind_t *kind = home->types[i].kind;
        if (Py_IS_TYPE(handle, home->types[i].type) &&
            (kind == &ot_lock_kind || kind == &ot_rlock_kind)) {
            ot_shared_ref(ot_as_handle(handle)->shared);
            return (ot_lock_t *)ot_as_handle(handle)->shared;
        }
    }
    PyErr_Format(PyExc_TypeError, "a Condition needs a Lock or RLock of objtunnel, not a %s",
                 Py_TYPE(handle)->tp_name);
    return NULL;
}

static PyObject *
condition_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lock", NULL};
    (void)type;
    PyObject *handle = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Condition", names, &handle)) {
        return NULL;
    }
    ot_objects_t *home = ot_objects_current();
    ot_lock_t *lock = home == NULL ? NULL : lock_from(home, handle);
    if (lock == NULL) {
        return NULL;
    }
    ot_condition_t *condition = ot_condition_new(lock);
    ot_shared_unref(&lock->head);
    return ot_handle_new((ot_shared_t *)condition);
}

/* ---- acquire and release ---------------------------------------------------------------------- */

static PyObject *
acquire_until(PyObject *self, int64_t deadline)
{
    return ot_acquired(self, ot_acquire_waiting(lock_of(self), interp_of(self), deadline));
}

static PyObject *
lock_acquire(PyObject *self, PyObject *args, PyObject *kwargs)
{
    int64_t deadline;
    if (ot_parse_acquire(args, kwargs, &deadline) < 0) {
        return NULL;
    }
    return acquire_until(self, deadline);
}

static PyObject *
lock_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return acquire_until(self, OT_FOREVER);
}

static PyObject *
released(PyObject *self, ot_sync_result_t result)
{
    if (result == OT_SYNC_ABANDONED) {
        return ot_raise_abandoned(self);
    }
    if (result == OT_SYNC_NOT_HELD) {
        bool recursive = lock_of(self)->head.kind == &ot_rlock_kind;
        PyErr_SetString(PyExc_RuntimeError,
                        recursive ? "cannot release un-acquired lock" : "release unlocked lock");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
lock_release(PyObject *self, PyObject *unused)
{
    (void)unused;
    return released(self, ot_lock_release(lock_of(self)));
}

static PyObject *
lock_recover(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_lock_recover(lock_of(self), interp_of(self)));
}

static PyObject *
lock_locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_lock_state(lock_of(self)).depth > 0);
}

/* ---- what threading.Condition asks of a lock ------------------------------------------------- */

static PyObject *
lock_is_owned(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_lock_state(lock_of(self)).mine);
}

static PyObject *
lock_recursion_count(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_lock_state_t state = ot_lock_state(lock_of(self));
    return PyLong_FromUnsignedLongLong(state.mine ? state.depth : 0);
}

static PyObject *
lock_release_save(PyObject *self, PyObject *unused)
{
    (void)unused;
    uint64_t depth = 0;
    PyObject *none = released(self, ot_lock_release_all(lock_of(self), &depth));
    Py_XDECREF(none);
    return none == NULL ? NULL : PyLong_FromUnsignedLongLong(depth);
}

/* Not to be interrupted: who waited for a condition must have its lock again. */
static PyObject *
lock_acquire_restore(PyObject *self, PyObject *arg)
{
    unsigned long long depth = PyLong_AsUnsignedLongLong(arg);
    if (PyErr_Occurred() || depth == 0) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "not a saved state");
    }
    ot_patience_t for_ever = {.deadline = OT_FOREVER};
    ot_sync_result_t result;
    Py_BEGIN_ALLOW_THREADS
    result = ot_lock_acquire_all(lock_of(self), interp_of(self), depth, &for_ever);
    Py_END_ALLOW_THREADS
    return released(self, result);
}

static PyObject *
lock_at_fork_reinit(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_lock_reset(lock_of(self));
    Py_RETURN_NONE;
}

/* ---- repr ------------------------------------------------------------------------------------- */

/* The repr of a lock as threading has it, with the interpreter that holds the lock. */
static PyObject *
repr_of(const ot_lock_t *lock, ot_lock_state_t state, const void *address)
{
    bool recursive = lock->head.kind == &ot_rlock_kind;
    const char *name = recursive ? "RLock" : "Lock";
    unsigned long long id = lock->head.id;
    if (state.depth == 0) {
        return PyUnicode_FromFormat("<unlocked objtunnel.%s object %llu%s at %p>", name, id,
                                    recursive ? " count=0" : "", address);
    }
    return PyUnicode_FromFormat("<%s objtunnel.%s object %llu interpreter=%lld count=%llu at %p>",
                                state.abandoned ? "abandoned" : "locked", name, id,
                                (long long)state.interp, (unsigned long long)state.depth, address);
}

static PyObject *
lock_repr(PyObject *self)
{
    return repr_of(lock_of(self), ot_lock_state(lock_of(self)), self);
}

static PyObject *
condition_repr(PyObject *self)
{
    PyObject *lock = lock_repr(self);
    PyObject *repr = lock == NULL
                         ? NULL
                         : PyUnicode_FromFormat("<objtunnel.Condition %llu (%U, %zu waiting)>",
                                                (unsigned long long)ot_as_handle(self)->shared->id,
                                                lock, ot_condition_waiters(condition_of(self)));
    Py_XDECREF(lock);
    return repr;
}

/* ---- Condition --------------------------------------------------------------------------------- */

static PyObject *
not_held(const char *what)
{
    PyErr_Format(PyExc_RuntimeError, "cannot %s on un-acquired lock", what);
    return NULL;
}

/* OK or TIMEOUT; anything else: exception set. */
static ot_sync_result_t
wait_until(PyObject *self, int64_t deadline)
{
    ot_waiting_t waiting;
    bool interrupted;
    ot_waiting_begin(&waiting, deadline, "wait for", &condition_of(self)->head);
    ot_sync_result_t result =
        ot_condition_wait(condition_of(self), interp_of(self), &waiting.patience, &interrupted);
    ot_waiting_end(&waiting);
    if (result == OT_SYNC_ABANDONED && !interrupted) {
        ot_raise_abandoned(self);
    } else if (result == OT_SYNC_NOT_HELD) {
        not_held("wait");
    }
    return result;
}

static PyObject *
condition_wait(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = Py_None;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:wait", names, &timeout) ||
        ot_deadline_from(timeout, OT_NEGATIVE_AT_ONCE, &deadline) < 0) {
        return NULL;
    }
    ot_sync_result_t result = wait_until(self, deadline);
    return result < OT_SYNC_TIMEOUT ? NULL : PyBool_FromLong(result == OT_SYNC_OK);
}

static PyObject *
condition_wait_for(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"predicate", "timeout", NULL};
    PyObject *predicate, *timeout = Py_None;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:wait_for", names, &predicate, &timeout) ||
        ot_deadline_from(timeout, OT_NEGATIVE_AT_ONCE, &deadline) < 0) {
        return NULL;
    }
    for (ot_sync_result_t waited = OT_SYNC_OK;;) {
        PyObject *value = PyObject_CallNoArgs(predicate);
        int truth = value == NULL ? -1 : PyObject_IsTrue(value);
        if (truth == 0 && waited == OT_SYNC_OK) {
            Py_DECREF(value);
            waited = wait_until(self, deadline);
            if (waited < OT_SYNC_TIMEOUT) {
                return NULL;
            }
            continue;
        }
        if (truth < 0) {
            Py_CLEAR(value);
        }
        return value;
    }
}

static PyObject *
notify(PyObject *self, uint64_t n)
{
    return ot_condition_notify(condition_of(self), n) == OT_SYNC_OK ? Py_NewRef(Py_None)
                                                                    : not_held("notify");
}

static PyObject *
condition_notify(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"n", NULL};
    Py_ssize_t n = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|n:notify", names, &n)) {
        return NULL;
    }
    return notify(self, n > 0 ? (uint64_t)n : 0);
}

static PyObject *
condition_notify_all(PyObject *self, PyObject *unused)
{
    (void)unused;
    return notify(self, UINT64_MAX);
}

/* ---- the types --------------------------------------------------------------------------------- */

#define LOCK_METHODS                                                                               \
    {"acquire", OT_METHOD(lock_acquire), METH_VARARGS | METH_KEYWORDS,                             \
     "acquire($self, blocking=True, timeout=-1)\n--\n\n"                                           \
     "Acquire it; return whether that was possible. Waits without the GIL.\n\n"                    \
     "timeout: seconds, -1 for ever. Raises LockAbandonedError, also while waiting, if the\n"      \
     "interpreter that holds it has ended; then call recover()."},                                 \
        {"release", lock_release, METH_NOARGS,                                                     \
         "release($self)\n--\n\nRelease it. Raises RuntimeError if it is not held."},              \
        {"locked", lock_locked, METH_NOARGS, "locked($self)\n--\n\nWhether anybody holds it."},    \
        {"recover", lock_recover, METH_NOARGS,                                                     \
         "recover($self)\n--\n\n"                                                                  \
         "Take an abandoned lock over; return whether it was one.\n\n"                             \
         "True for one caller, who holds it then, and who looks after what it guards."},           \
        {"__enter__", lock_enter, METH_NOARGS, NULL},                                              \
        {"__exit__", lock_exit, METH_VARARGS, "Release it."},                                      \
        {"_is_owned", lock_is_owned, METH_NOARGS, NULL},                                           \
        {"_at_fork_reinit", lock_at_fork_reinit, METH_NOARGS, NULL},                               \
    {                                                                                              \
        "__reduce__", ot_handle_reduce, METH_NOARGS, NULL                                          \
    }

#define RECURSIVE_METHODS                                                                          \
    {"_recursion_count", lock_recursion_count, METH_NOARGS, NULL},                                 \
        {"_release_save", lock_release_save, METH_NOARGS, NULL},                                   \
    {                                                                                              \
        "_acquire_restore", lock_acquire_restore, METH_O, NULL                                     \
    }

static PyObject *
lock_exit(PyObject *self, PyObject *args)
{
    (void)args;
    return lock_release(self, NULL);
}

static PyMethodDef lock_methods[] = {LOCK_METHODS, {NULL, NULL, 0, NULL}};
static PyMethodDef rlock_methods[] = {LOCK_METHODS, RECURSIVE_METHODS, {NULL, NULL, 0, NULL}};
static PyMethodDef condition_methods[] = {
    LOCK_METHODS,
    RECURSIVE_METHODS,
    {"wait", OT_METHOD(condition_wait), METH_VARARGS | METH_KEYWORDS,
     "wait($self, timeout=None)\n--\n\n"
     "Release the lock, wait until notified, acquire it again; return whether notified."},
    {"wait_for", OT_METHOD(condition_wait_for), METH_VARARGS | METH_KEYWORDS,
     "wait_for($self, predicate, timeout=None)\n--\n\n"
     "Wait until predicate() is true, or until timeout; return its last value."},
    {"notify", OT_METHOD(condition_notify), METH_VARARGS | METH_KEYWORDS,
     "notify($self, n=1)\n--\n\nWake n of those that wait, as far as there are."},
    {"notify_all", condition_notify_all, METH_NOARGS,
     "notify_all($self)\n--\n\nWake all that wait."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot lock_slots[] =
    OT_SYNC_SLOTS("Lock()\n--\n\n"
                  "threading.Lock for all interpreters of the process.\n\n"
                  "Any thread of any interpreter may acquire it, and release it.\n\n"
                  ">>> lock = Lock()\n>>> with lock: lock.locked()\nTrue",
                  lock_new, lock_repr, lock_methods);

static PyType_Slot rlock_slots[] =
    OT_SYNC_SLOTS("RLock()\n--\n\n"
                  "threading.RLock for all interpreters of the process.\n\n"
                  "The thread that holds it may acquire it again, and alone may release it.",
                  rlock_new, lock_repr, rlock_methods);

static PyType_Slot condition_slots[] =
    OT_SYNC_SLOTS("Condition(lock=None)\n--\n\n"
                  "threading.Condition for all interpreters of the process.\n\n"
                  "lock: a Lock or RLock of objtunnel; by default an RLock of its own.",
                  condition_new, condition_repr, condition_methods);

static PyType_Spec specs[] = {
    {"objtunnel.Lock", sizeof(ot_handle_t), 0, OT_HANDLE_FLAGS, lock_slots},
    {"objtunnel.RLock", sizeof(ot_handle_t), 0, OT_HANDLE_FLAGS, rlock_slots},
    {"objtunnel.Condition", sizeof(ot_handle_t), 0, OT_HANDLE_FLAGS, condition_slots},
};

/* ---- the end of an interpreter ----------------------------------------------------------------- */

static void
interpreter_ends(PyObject *capsule)
{
    int64_t *interp = PyCapsule_GetPointer(capsule, NULL);
    ot_locks_abandon(*interp);
    ot_cowns_abandon(&ot_box_kind, *interp);
    ot_locks_abandon_kind(&ot_global_lock_kind, *interp);
    PyMem_RawFree(interp);
}

/* In the interpreter's dict, which goes after all modules and the last Python code. */
int
ot_watch_interpreter(int64_t interp, const char *what, PyCapsule_Destructor ends)
{
    PyObject *dict = PyInterpreterState_GetDict(PyInterpreterState_Get()); /* borrowed */
    PyObject *key = PyUnicode_FromString(what);
    int rc = -1, there = dict == NULL || key == NULL ? -1 : PyDict_Contains(dict, key);
    int64_t *id = there != 0 ? NULL : PyMem_RawMalloc(sizeof *id);
    if (there > 0) {
        rc = 0; /* the module is loaded for the second time */
    } else if (id != NULL) {
        *id = interp;
        PyObject *capsule = PyCapsule_New(id, NULL, ends);
        if (capsule == NULL) {
            PyMem_RawFree(id);
        } else {
            rc = PyDict_SetItem(dict, key, capsule);
            Py_DECREF(capsule);
        }
    }
    Py_XDECREF(key);
    if (rc < 0 && !PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    return rc;
}

int
ot_lock_types_add(ot_objects_t *home)
{
    const ot_shared_kind_t *kinds[] = {&ot_lock_kind, &ot_rlock_kind, &ot_condition_kind};
    for (int i = 0; i < 3; i++) {
        if (ot_handle_add_type(home, kinds[i], &specs[i], NULL) == NULL) {
            return -1;
        }
    }
    return ot_watch_interpreter(home->interp_id, "objtunnel locks", interpreter_ends);
}
