/* global_lock_type.c: the Python type GlobalLock, a lock of the process by name.
 *
 * Main invariant: all handles of one name have the same lock (ot_global_lock_t), in whatever interpreter they
 * are; it lives as long as the last handle or message that has it. A handle holds the lock if its ticket is
 * the lock's and nobody has abandoned that. So a thread may release what another one has acquired by the same
 * handle, and a handle that goes gives back what it holds.
 * Threading: a handle is its interpreter's. Threads of a free-threaded build may use one at once: each change of its
 * `ticket` is one atomic step, and whoever takes a hold's number out of it gives that hold back, nobody else.
 *
 * fork(): the child keeps what the forking thread held. What another thread held is abandoned there
 * (ot_lock_fork): the first that acquires it gets LockAbandonedError, and it is free.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "objects/sync/sync_type.h"
#include "runtime/timeout.h"

/* ticket, last_ticket: written by who has acquired the lock. No number comes twice. */
typedef struct {
    ot_lock_t lock;              /* first; a shared object with a name */
    atomic_uint_fast64_t ticket; /* of the hold, counted from 1; 0: none */
    uint64_t last_ticket;
} ot_global_lock_t;

typedef struct {
    ot_handle_t handle; /* first */
    /* Of this handle's hold; 0: it has none. Void once the lock was abandoned. */
    atomic_uint_fast64_t ticket;
} global_lock_t;

static global_lock_t *
as_global(PyObject *o)
{
    return (global_lock_t *)o;
}

static ot_global_lock_t *
lock_of(PyObject *self)
{
    return (ot_global_lock_t *)ot_as_handle(self)->shared;
}

static int64_t
interp_of(PyObject *self)
{
    return ot_as_handle(self)->home->interp_id;
}

static void
global_lock_free(ot_shared_t *self)
{
    ot_lock_destroy((ot_lock_t *)self);
    free(self);
}

const ot_shared_kind_t ot_global_lock_kind = {"GlobalLock", global_lock_free, ot_lock_fork, NULL};

/* ---- making ---------------------------------------------------------------------------------- */

/* The lock of that name, a new reference; NULL without memory. */
static ot_shared_t *
find_or_make(const char *name)
{
    ot_shared_t *found = ot_shared_find_named(&ot_global_lock_kind, name);
    ot_global_lock_t *made = found != NULL ? NULL : calloc(1, sizeof *made);
    if (made == NULL) {
        return found;
    }
    pthread_mutex_init(&made->lock.guard, NULL);
    found = ot_shared_init_named(&made->lock.head, &ot_global_lock_kind, name);
    if (found != &made->lock.head) { /* another one was faster, or there is no memory */
        global_lock_free(&made->lock.head);
    }
    return found;
}

static PyObject *
global_lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", NULL};
    const char *name;
    (void)type;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s:GlobalLock", names, &name)) {
        return NULL;
    }
    return ot_handle_new(find_or_make(name));
}

static PyObject *
global_lock_name(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(ot_shared_name(ot_as_handle(self)->shared));
}

/* Whether a handle with this ticket holds the lock. If another one does, which may be giving it back at this moment,
 * the tickets differ. */
static bool
is_the_hold(ot_global_lock_t *lock, uint64_t ticket)
{
    return ticket != 0 && ticket == atomic_load_explicit(&lock->ticket, memory_order_relaxed) &&
           !ot_lock_state(&lock->lock).abandoned;
}

static bool
holds(PyObject *self)
{
    return is_the_hold(lock_of(self),
                       atomic_load_explicit(&as_global(self)->ticket, memory_order_acquire));
}

typedef enum {
    VOID_HOLD = -1, /* it was abandoned */
    NO_HOLD,
    GIVEN_BACK,
} end_of_hold_t;

/* Several threads may release by one handle: one of them gives the hold back, the others find none. */
static end_of_hold_t
give_back(PyObject *self)
{
    ot_global_lock_t *lock = lock_of(self);
    atomic_uint_fast64_t *ours = &as_global(self)->ticket;
    uint_fast64_t ticket = atomic_load_explicit(ours, memory_order_acquire);
    bool good;
    do {
        if (ticket == 0) {
            return NO_HOLD;
        }
        good = is_the_hold(lock, ticket);
        /* It fails if the hold has ended since. Acquire, as the load: both pair with keep_hold. */
    } while (!atomic_compare_exchange_weak_explicit(ours, &ticket, 0, memory_order_acq_rel,
                                                    memory_order_acquire));
    if (!good) {
        return VOID_HOLD;
    }
    atomic_store_explicit(&lock->ticket, 0, memory_order_relaxed);
    (void)ot_lock_release(&lock->lock);
    return GIVEN_BACK;
}

/* The caller has acquired the lock. */
static void
keep_hold(PyObject *self)
{
    ot_global_lock_t *lock = lock_of(self);
    uint64_t ticket = ++lock->last_ticket;
    atomic_store_explicit(&lock->ticket, ticket, memory_order_relaxed);
    /* Last, and release: whoever finds the ticket in the handle finds it in the lock as well, unless the hold has
     * ended. Else it would look abandoned. */
    atomic_store_explicit(&as_global(self)->ticket, ticket, memory_order_release);
}

static void
global_lock_dealloc(PyObject *self)
{
    if (ot_as_handle(self)->shared != NULL && holds(self)) {
        (void)give_back(self);
    }
    ot_handle_dealloc(self);
}

/* ---- methods ---------------------------------------------------------------------------------- */

static int
raise_abandoned(PyObject *self)
{
    PyErr_Format(ot_as_handle(self)->home->lock_abandoned,
                 "who had %R is gone (another thread when this process was forked, or an "
                 "interpreter that ended): what it guards may be half changed",
                 self);
    return -1;
}

/* 1: held now, 0: not in time, -1 with an exception set. What was abandoned is freed by who is told. */
static int
acquire_until(PyObject *self, int64_t deadline)
{
    ot_global_lock_t *lock = lock_of(self);
    for (;;) {
        ot_sync_result_t result = ot_acquire_waiting(&lock->lock, interp_of(self), deadline);
        if (result == OT_SYNC_OK) {
            keep_hold(self);
            return 1;
        }
        if (result != OT_SYNC_ABANDONED) {
            return result == OT_SYNC_INTERRUPTED ? -1 : 0;
        }
        if (ot_lock_recover(&lock->lock, interp_of(self))) {
            atomic_store_explicit(&lock->ticket, 0, memory_order_relaxed);
            (void)ot_lock_release(&lock->lock);
            return raise_abandoned(self);
        }
    }
}

static PyObject *
global_lock_acquire(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"blocking", "timeout", NULL};
    int blocking = 1;
    PyObject *timeout = NULL;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|pO:acquire", names, &blocking, &timeout) ||
        ot_deadline_from(timeout, OT_NEGATIVE_REFUSED, &deadline) < 0) {
        return NULL;
    }
    int got = acquire_until(self, blocking ? deadline : OT_DONT_WAIT);
    return got < 0 ? NULL : PyBool_FromLong(got);
}

static PyObject *
global_lock_release(PyObject *self, PyObject *unused)
{
    (void)unused;
    end_of_hold_t end = give_back(self);
    if (end == GIVEN_BACK) {
        Py_RETURN_NONE;
    }
    if (end == VOID_HOLD) {
        raise_abandoned(self);
        return NULL;
    }
    PyObject *name = global_lock_name(self, NULL);
    if (name != NULL) {
        PyErr_Format(PyExc_RuntimeError, "%R is not held by this GlobalLock object", name);
        Py_DECREF(name);
    }
    return NULL;
}

static PyObject *
global_lock_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return acquire_until(self, OT_FOREVER) < 0 ? NULL : Py_NewRef(self);
}

static PyObject *
global_lock_exit(PyObject *self, PyObject *args)
{
    (void)args;
    return global_lock_release(self, NULL);
}

static PyObject *
global_lock_locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_lock_state_t state = ot_lock_state(&lock_of(self)->lock);
    return PyBool_FromLong(state.depth > 0 && !state.abandoned);
}

static PyObject *
global_lock_repr(PyObject *self)
{
    PyObject *name = global_lock_name(self, NULL), *repr = NULL;
    if (name != NULL) {
        repr =
            PyUnicode_FromFormat("<objtunnel.GlobalLock %R%s>", name, holds(self) ? ", held" : "");
        Py_DECREF(name);
    }
    return repr;
}

static PyMethodDef methods[] = {
    {"acquire", OT_METHOD(global_lock_acquire), METH_VARARGS | METH_KEYWORDS,
     "acquire($self, blocking=True, timeout=None)\n--\n\n"
     "Take the lock, waiting for it if need be; return whether it was taken.\n\n"
     "timeout: seconds, None for ever. Waiting is ended by Ctrl-C. As with threading.Lock,\n"
     "taking it twice through one object or in one thread waits for ever. In a forked child the\n"
     "first that takes a lock which another thread had gets LockAbandonedError instead.\n\n"
     ">>> GlobalLock('doc').acquire(timeout=1)\nTrue"},
    {"release", global_lock_release, METH_NOARGS,
     "release($self)\n--\n\n"
     "Give back what this object has taken; any thread may. RuntimeError if it has not;\n"
     "LockAbandonedError if a fork took it away, see acquire."},
    {"locked", global_lock_locked, METH_NOARGS,
     "locked($self)\n--\n\nWhether anybody in the process holds it; may change at any time."},
    {"__enter__", global_lock_enter, METH_NOARGS, NULL},
    {"__exit__", global_lock_exit, METH_VARARGS, NULL},
    {"__reduce__", ot_handle_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"name", global_lock_name, NULL, "What it was made with.", NULL},
    OT_HANDLE_ID,
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "GlobalLock(name)\n--\n\n"
     "A lock of the whole process: the same for all interpreters that name it.\n\n"
     "Each object is a handle that holds the lock or does not. One that goes away, with\n"
     "its interpreter perhaps, gives back what it holds. A forked child keeps what the\n"
     "forking thread held; what other threads held is abandoned there, see acquire.\n\n"
     ">>> with GlobalLock('log file'):\n...     pass"},
    {Py_tp_new, global_lock_new},
    {Py_tp_dealloc, global_lock_dealloc},
    {Py_tp_traverse, ot_handle_traverse},
    {Py_tp_repr, global_lock_repr},
    {Py_tp_hash, ot_handle_hash},
    {Py_tp_richcompare, ot_handle_compare},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "objtunnel.GlobalLock",
    .basicsize = sizeof(global_lock_t),
    .flags = OT_HANDLE_FLAGS,
    .slots = slots,
};

int
ot_global_lock_type_add(ot_objects_t *home)
{
    return ot_handle_add_type(home, &ot_global_lock_kind, &spec, NULL) == NULL ? -1 : 0;
}
