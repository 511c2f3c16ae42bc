/* global_lock_type.c: the Python type GlobalLock, a lock of the process by name.
 *
 * Main invariant: all handles of one name have the same lock, in whatever interpreter they are; it
 * lives as long as the last handle. The lock is a channel with one place: whoever has reserved it
 * holds the lock. So waiting, time-outs, Ctrl-C and interrupts are the channel's.
 * Threading: a handle is its interpreter's; `ticket` is read and written with its GIL.
 *
 * fork(): a channel of the child is as new, with all places free. The first use of a lock in the child
 * reserves the place again if the forking thread held the lock. If another thread held it, the
 * lock is abandoned: it is free, and the first that acquires it gets LockAbandonedError instead.
 */
#include "objtunnel/state.h"

#include "runtime/checks.h" /* first: it decides whether the header below checks */

#include "include/objtunnel_global.h"
#include "runtime/clock.h"
#include "runtime/timeout.h"
#include "runtime/worker.h"

/* What all handles of one name have: the registry's. owner is written last when the lock is taken and
 * first when it is given back, so in a child an owner stands for a hold that was complete.
 * ticket, last_ticket, abandoned: written by whoever has reserved the place. */
typedef struct {
    ot_channel_t *place;
    uintptr_t owner;              /* the thread that took it, by pthread_self; 0: none */
    uint64_t ticket, last_ticket; /* of the hold, counted from 1; ticket 0: none */
    int process;                  /* see ot_lock_renew_ */
    bool abandoned;               /* and nobody was told yet */
} lock_value_t;

typedef struct {
    PyObject_HEAD
    PyObject *module; /* not by way of the type, which the collector may clear first */
    PyObject *name;
    lock_value_t *value; /* the registry's, ours from get to put; NULL: not got */
    uint64_t ticket;     /* of this handle's hold; 0: it has none. In a child it may be void */
} lock_t;

static lock_t *
as_lock(PyObject *o)
{
    return (lock_t *)o;
}

static void
destroy_lock(const char *name, void *value)
{
    (void)name;
    ot_node_t *left = ot_channel_unref(((lock_value_t *)value)->place);
    assert(left == NULL);
    (void)left;
    free(value);
}

static ot_registry_t locks = OT_REGISTRY_INIT("objtunnel.GlobalLock", destroy_lock);

static int
create_lock(const char *name, void *arg, void **value)
{
    (void)name;
    (void)arg;
    lock_value_t *made = calloc(1, sizeof *made);
    if (made != NULL) {
        made->place = ot_channel_new(1);
    }
    if (made == NULL || made->place == NULL) {
        free(made);
        PyErr_NoMemory();
        return -1;
    }
    *value = made;
    return 0;
}

/* Before each use: puts in order what this process inherited. */
static void
make_ready(lock_value_t *v)
{
    pthread_once(&ot_lock_once, ot_lock_begin_);
    if (!ot_lock_renew_(&v->process)) {
        return;
    }
    uintptr_t owner = __atomic_load_n(&v->owner, __ATOMIC_RELAXED);
    if (owner != 0 && owner == ot_lock_forker) {
        (void)ot_channel_reserve(v->place, OT_DONT_WAIT); /* all use comes after this: it is free */
    } else {
        v->abandoned |= owner != 0;
        __atomic_store_n(&v->owner, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&v->ticket, 0, __ATOMIC_RELAXED);
    }
    ot_lock_renewed_(&v->process);
}

static ot_channel_result_t
reserve(lock_value_t *v, int64_t deadline)
{
    make_ready(v);
    return ot_channel_reserve(v->place, deadline);
}

/* The tickets differ if somebody else holds it, who may be giving it back at the same time. */
static bool
holds(const lock_t *self)
{
    make_ready(self->value);
    return self->ticket != 0 &&
           self->ticket == __atomic_load_n(&self->value->ticket, __ATOMIC_RELAXED);
}

/* The caller has reserved the place. The release pairs with nothing but fork(), see lock_value_t. */
static void
take(lock_t *self)
{
    lock_value_t *v = self->value;
    self->ticket = ++v->last_ticket;
    __atomic_store_n(&v->ticket, self->ticket, __ATOMIC_RELAXED);
    __atomic_store_n(&v->owner, ot_lock_me_(), __ATOMIC_RELEASE);
}

/* The caller holds it. */
static void
give_back(lock_t *self)
{
    lock_value_t *v = self->value;
    self->ticket = 0;
    __atomic_store_n(&v->owner, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&v->ticket, 0, __ATOMIC_RELEASE);
    ot_channel_cancel(v->place);
}

static int
raise_abandoned(const lock_t *self)
{
    PyObject *error = ot_state_of_module(self->module)->objects.lock_abandoned;
    PyErr_Format(error != NULL ? error : PyExc_RuntimeError,
                 "another thread had %R when this process was forked: what it guards may be half "
                 "changed",
                 self->name);
    return -1;
}

/* The caller has reserved the place: takes the lock, or gives it back and tells what became of it. */
static int
take_or_tell(lock_t *self)
{
    if (self->value->abandoned) {
        self->value->abandoned = false;
        ot_channel_cancel(self->value->place);
        return raise_abandoned(self);
    }
    take(self);
    return 1;
}

static PyObject *
lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", NULL};
    PyObject *name;
    void *value;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "U:GlobalLock", names, &name)) {
        return NULL;
    }
    const char *key = PyUnicode_AsUTF8(name);
    PyObject *self = key == NULL ? NULL : type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    as_lock(self)->module = Py_NewRef(PyType_GetModule(type));
    as_lock(self)->name = Py_NewRef(name);
    if (ot_registry_get_for(&locks, key, self, create_lock, NULL, &value) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    as_lock(self)->value = value;
    return self;
}

static int
lock_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_lock(self)->module);
    return 0;
}

static void
lock_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    lock_t *lock = as_lock(self);
    PyObject_GC_UnTrack(self);
    PyObject_ClearWeakRefs(self);
    if (lock->value != NULL) {
        if (holds(lock)) {
            give_back(lock);
        }
        (void)ot_registry_put_for(&locks, PyUnicode_AsUTF8(lock->name), self);
    }
    Py_XDECREF(lock->name);
    Py_XDECREF(lock->module);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- methods ---------------------------------------------------------------------------------- */

/* 1: held now, 0: not in time, -1 with an exception set. A signal's handler may fork, too. */
static int
acquire_until(lock_t *self, int64_t deadline)
{
    ot_channel_result_t result = reserve(self->value, OT_DONT_WAIT);
    while (result != OT_CHANNEL_OK && deadline != OT_DONT_WAIT) {
        Py_BEGIN_ALLOW_THREADS
        result = reserve(self->value, deadline);
        Py_END_ALLOW_THREADS
        if (result == OT_CHANNEL_INTERRUPTED &&
            (PyErr_CheckSignals() < 0 || ot_worker_check_interrupt())) {
            return -1;
        }
        if (result == OT_CHANNEL_TIMEOUT) {
            break;
        }
    }
    return result == OT_CHANNEL_OK ? take_or_tell(self) : 0;
}

static PyObject *
lock_acquire(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"blocking", "timeout", NULL};
    int blocking = 1;
    PyObject *timeout = NULL;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|pO:acquire", names, &blocking, &timeout) ||
        ot_deadline_from(timeout, OT_NEGATIVE_REFUSED, &deadline) < 0) {
        return NULL;
    }
    int got = acquire_until(as_lock(self), blocking ? deadline : OT_DONT_WAIT);
    return got < 0 ? NULL : PyBool_FromLong(got);
}

static PyObject *
lock_release(PyObject *self, PyObject *unused)
{
    (void)unused;
    lock_t *lock = as_lock(self);
    if (holds(lock)) {
        give_back(lock);
        Py_RETURN_NONE;
    }
    if (lock->ticket != 0) { /* void since a fork */
        lock->ticket = 0;
        raise_abandoned(lock);
    } else {
        PyErr_Format(PyExc_RuntimeError, "%R is not held by this GlobalLock object", lock->name);
    }
    return NULL;
}

static PyObject *
lock_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return acquire_until(as_lock(self), OT_FOREVER) < 0 ? NULL : Py_NewRef(self);
}

static PyObject *
lock_exit(PyObject *self, PyObject *args)
{
    (void)args;
    return lock_release(self, NULL);
}

/* Anybody's hold: tried, at once given back. */
static PyObject *
lock_locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    bool was_free = reserve(as_lock(self)->value, OT_DONT_WAIT) == OT_CHANNEL_OK;
    if (was_free) {
        ot_channel_cancel(as_lock(self)->value->place);
    }
    return PyBool_FromLong(!was_free);
}

static PyObject *
lock_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<objtunnel.GlobalLock %R%s>", as_lock(self)->name,
                                holds(as_lock(self)) ? ", held" : "");
}

/* By name: the same lock wherever it is unpickled in this process. Never held there. */
static PyObject *
lock_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_BuildValue("O(O)", Py_TYPE(self), as_lock(self)->name);
}

static PyObject *
lock_name(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(as_lock(self)->name);
}

static PyMethodDef lock_methods[] = {
    {"acquire", (PyCFunction)(void (*)(void))lock_acquire, METH_VARARGS | METH_KEYWORDS,
     "acquire($self, blocking=True, timeout=None)\n--\n\n"
     "Take the lock, waiting for it if need be; return whether it was taken.\n\n"
     "timeout: seconds, None for ever. Waiting is ended by Ctrl-C. As with threading.Lock,\n"
     "taking it twice through one object or in one thread waits for ever. In a forked child the\n"
     "first that takes a lock which another thread had gets LockAbandonedError instead.\n\n"
     ">>> GlobalLock('doc').acquire(timeout=1)\nTrue"},
    {"release", lock_release, METH_NOARGS,
     "release($self)\n--\n\n"
     "Give back what this object has taken; any thread may. RuntimeError if it has not;\n"
     "LockAbandonedError if a fork took it away, see acquire."},
    {"locked", lock_locked, METH_NOARGS,
     "locked($self)\n--\n\nWhether anybody in the process holds it; may change at any time."},
    {"__enter__", lock_enter, METH_NOARGS, NULL},
    {"__exit__", lock_exit, METH_VARARGS, NULL},
    {"__reduce__", lock_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef lock_getset[] = {
    {"name", lock_name, NULL, "What it was made with.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot lock_slots[] = {
    {Py_tp_doc,
     "GlobalLock(name)\n--\n\n"
     "A lock of the whole process: the same for all interpreters that name it.\n\n"
     "Each object is a handle that holds the lock or does not. One that goes away, with\n"
     "its interpreter perhaps, gives back what it holds. A forked child keeps what the\n"
     "forking thread held; what other threads held is free there.\n\n"
     ">>> with GlobalLock('log file'):\n...     pass"},
    {Py_tp_new, lock_new},
    {Py_tp_dealloc, lock_dealloc},
    {Py_tp_traverse, lock_traverse},
    {Py_tp_repr, lock_repr},
    {Py_tp_methods, lock_methods},
    {Py_tp_getset, lock_getset},
    {0, NULL},
};

static PyType_Spec lock_spec = {
    .name = "objtunnel.GlobalLock",
    .basicsize = sizeof(lock_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_MANAGED_WEAKREF,
    .slots = lock_slots,
};

int
ot_lock_add(PyObject *module, ot_state_t *state)
{
    state->lock_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &lock_spec, NULL);
    return state->lock_type == NULL ? -1 : PyModule_AddType(module, state->lock_type);
}
