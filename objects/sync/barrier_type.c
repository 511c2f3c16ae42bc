/* barrier_type.c: the Python type Barrier.
 *
 * Main invariant: the action belongs to the handle, not to the barrier: it is pickled with it, and
 * run by the last one to arrive, in its interpreter, if its handle has one.
 * Threading: the GIL of the handle's interpreter, which is let go of while waiting.
 */
#include "objects/sync/sync_type.h"
#include "runtime/import.h"
#include "runtime/timeout.h"

typedef struct {
    ot_handle_t handle;
    PyObject *action; /* NULL: none */
} barrier_t;

static barrier_t *
as_barrier(PyObject *o)
{
    return (barrier_t *)o;
}

static ot_barrier_t *
barrier_of(PyObject *self)
{
    return (ot_barrier_t *)ot_as_handle(self)->shared;
}

static int
barrier_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(as_barrier(self)->action);
    return ot_handle_traverse(self, visit, arg);
}

static int
barrier_clear(PyObject *self)
{
    Py_CLEAR(as_barrier(self)->action);
    return 0;
}

static void
barrier_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    (void)barrier_clear(self);
    ot_handle_dealloc(self);
}

static PyObject *
barrier_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"parties", "action", "timeout", NULL};
    (void)type;
    Py_ssize_t parties;
    PyObject *action = Py_None, *timeout = Py_None;
    double seconds = -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "n|OO:Barrier", names, &parties, &action,
                                     &timeout)) {
        return NULL;
    }
    if (parties < 1) {
        PyErr_SetString(PyExc_ValueError, "parties must be >= 1");
        return NULL;
    }
    if (timeout != Py_None && (seconds = PyFloat_AsDouble(timeout)) == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    if (timeout != Py_None && !(seconds >= 0)) {
        PyErr_SetString(PyExc_ValueError, "timeout must be a number of seconds, 0 or more");
        return NULL;
    }
    PyObject *self = ot_handle_new((ot_shared_t *)ot_barrier_new((uint64_t)parties, seconds));
    if (self != NULL && action != Py_None) {
        as_barrier(self)->action = Py_NewRef(action);
    }
    return self;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static PyObject *
raise_broken(void)
{
    PyObject *error = ot_import_attr("threading", "BrokenBarrierError");
    if (error != NULL) {
        PyErr_SetNone(error);
        Py_DECREF(error);
    }
    return NULL;
}

/* The last one's part. OK, BROKEN, or INTERRUPTED with the action's exception set. */
static ot_sync_result_t
let_all_go(PyObject *self, ot_arrival_t *arrival)
{
    PyObject *action = as_barrier(self)->action;
    PyObject *result = action == NULL ? Py_NewRef(Py_None) : PyObject_CallNoArgs(action);
    if (result == NULL) {
        ot_barrier_abort(barrier_of(self));
    }
    ot_sync_result_t opened = ot_barrier_open(barrier_of(self), arrival);
    Py_XDECREF(result);
    return result == NULL ? OT_SYNC_INTERRUPTED : opened;
}

static PyObject *
barrier_wait(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    ot_barrier_t *barrier = barrier_of(self);
    PyObject *timeout = Py_None, *seconds = NULL;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:wait", names, &timeout)) {
        return NULL;
    }
    if (timeout == Py_None && barrier->timeout >= 0 &&
        (timeout = seconds = PyFloat_FromDouble(barrier->timeout)) == NULL) {
        return NULL;
    }
    int rc = ot_deadline_from(timeout, OT_NEGATIVE_AT_ONCE, &deadline);
    Py_XDECREF(seconds);
    if (rc < 0) {
        return NULL;
    }
    ot_arrival_t arrival;
    ot_waiting_t waiting;
    ot_waiting_begin(&waiting, deadline, "wait at", &barrier->head);
    ot_sync_result_t result = ot_barrier_arrive(barrier, &waiting.patience, &arrival);
    ot_waiting_end(&waiting);
    if (result == OT_SYNC_OK && arrival.last) {
        result = let_all_go(self, &arrival);
    }
    if (result == OT_SYNC_BROKEN) {
        return raise_broken();
    }
    return result == OT_SYNC_OK ? PyLong_FromUnsignedLongLong(arrival.index) : NULL;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static PyObject *
barrier_reset(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_barrier_reset(barrier_of(self));
    Py_RETURN_NONE;
}

static PyObject *
barrier_abort(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_barrier_abort(barrier_of(self));
    Py_RETURN_NONE;
}

static PyObject *
barrier_parties(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(barrier_of(self)->parties);
}

static PyObject *
barrier_n_waiting(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(ot_barrier_waiting(barrier_of(self)));
}

static PyObject *
barrier_broken(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_barrier_is_broken(barrier_of(self)));
}

static PyObject *
barrier_repr(PyObject *self)
{
    ot_barrier_t *barrier = barrier_of(self);
    unsigned long long id = barrier->head.id;
    if (ot_barrier_is_broken(barrier)) {
        return PyUnicode_FromFormat("<objtunnel.Barrier at %p, %llu: broken>", self, id);
    }
    return PyUnicode_FromFormat("<objtunnel.Barrier at %p, %llu: waiters=%llu/%llu>", self, id,
                                (unsigned long long)ot_barrier_waiting(barrier),
                                (unsigned long long)barrier->parties);
}

static PyObject *
get_action(PyObject *self)
{
    return as_barrier(self)->action;
}

static void
set_action(PyObject *self, PyObject *action)
{
    Py_XSETREF(as_barrier(self)->action, Py_NewRef(action));
}

static const ot_handle_extra_t extra = {.object = get_action, .set_object = set_action};

static PyMethodDef barrier_methods[] = {
    {"wait", OT_METHOD(barrier_wait), METH_VARARGS | METH_KEYWORDS,
     "wait($self, timeout=None)\n--\n\n"
     "Wait until all parties are here; return how many were here before.\n\n"
     "timeout: seconds, by default the barrier's; after that it is broken for all. Raises\n"
     "threading.BrokenBarrierError."},
    {"reset", barrier_reset, METH_NOARGS,
     "reset($self)\n--\n\nMake it as new; those that wait get BrokenBarrierError."},
    {"abort", barrier_abort, METH_NOARGS,
     "abort($self)\n--\n\nBreak it: all that wait, or come, get BrokenBarrierError."},
    {"__reduce__", ot_handle_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef barrier_getset[] = {
    OT_HANDLE_ID,
    {"parties", barrier_parties, NULL, "How many it waits for.", NULL},
    {"n_waiting", barrier_n_waiting, NULL, "How many wait now.", NULL},
    {"broken", barrier_broken, NULL, "Whether it is broken.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot barrier_slots[] = {
    {Py_tp_doc,
     "Barrier(parties, action=None, timeout=None)\n--\n\n"
     "threading.Barrier for all interpreters of the process.\n\n"
     "action: called by the last one to arrive, before the others go on. It travels with\n"
     "the handle as functions do (by name), through tunnels only."},
    {Py_tp_new, barrier_new},
    {Py_tp_dealloc, barrier_dealloc},
    {Py_tp_traverse, barrier_traverse},
    {Py_tp_clear, barrier_clear},
    {Py_tp_repr, barrier_repr},
    OT_HANDLE_IDENTITY,
    {Py_tp_methods, barrier_methods},
    {Py_tp_getset, barrier_getset},
    {0, NULL},
};

static PyType_Spec barrier_spec = {
    .name = "objtunnel.Barrier",
    .basicsize = sizeof(barrier_t),
    .flags = OT_HANDLE_FLAGS,
    .slots = barrier_slots,
};

int
ot_barrier_type_add(ot_objects_t *home)
{
    return ot_handle_add_type(home, &ot_barrier_kind, &barrier_spec, &extra) == NULL ? -1 : 0;
}
