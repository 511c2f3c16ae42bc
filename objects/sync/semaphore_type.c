/* semaphore_type.c: the Python types Semaphore, BoundedSemaphore and Event.
 *
 * Threading: the GIL of the handle's interpreter, which is let go of while waiting.
 */
#include "objects/sync/sync_type.h"
#include "runtime/timeout.h"

static ot_semaphore_t *
semaphore_of(PyObject *self)
{
    return (ot_semaphore_t *)ot_as_handle(self)->shared;
}

static ot_event_t *
event_of(PyObject *self)
{
    return (ot_event_t *)ot_as_handle(self)->shared;
}

/* ---- semaphores ------------------------------------------------------------------------------ */

static PyObject *
new_semaphore(const ot_shared_kind_t *kind, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"value", NULL};
    Py_ssize_t value = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|n", names, &value)) {
        return NULL;
    }
    if (value < 0) {
        PyErr_SetString(PyExc_ValueError, "semaphore initial value must be >= 0");
        return NULL;
    }
    return ot_handle_new((ot_shared_t *)ot_semaphore_new(kind, (uint64_t)value));
}

static PyObject *
semaphore_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)type;
    return new_semaphore(&ot_semaphore_kind, args, kwargs);
}

static PyObject *
bounded_semaphore_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)type;
    return new_semaphore(&ot_bounded_semaphore_kind, args, kwargs);
}

static PyObject *
acquire_until(PyObject *self, int64_t deadline)
{
    ot_patience_t now = {.deadline = OT_DONT_WAIT};
    ot_sync_result_t result = ot_semaphore_acquire(semaphore_of(self), &now);
    if (result == OT_SYNC_TIMEOUT && deadline != OT_DONT_WAIT) {
        ot_waiting_t waiting;
        ot_waiting_begin(&waiting, deadline, "acquire", &semaphore_of(self)->head);
        result = ot_semaphore_acquire(semaphore_of(self), &waiting.patience);
        ot_waiting_end(&waiting);
    }
    return ot_acquired(self, result);
}

static PyObject *
semaphore_acquire(PyObject *self, PyObject *args, PyObject *kwargs)
{
    int64_t deadline;
    return ot_parse_semaphore_acquire(args, kwargs, &deadline) < 0 ? NULL
                                                                   : acquire_until(self, deadline);
}

static PyObject *
semaphore_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return acquire_until(self, OT_FOREVER);
}

static PyObject *
release(PyObject *self, Py_ssize_t n)
{
    if (n < 1) {
        PyErr_SetString(PyExc_ValueError, "n must be one or more");
        return NULL;
    }
    if (ot_semaphore_release(semaphore_of(self), (uint64_t)n) == OT_SYNC_TOO_MANY) {
        PyErr_SetString(PyExc_ValueError, "Semaphore released too many times");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
semaphore_release(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"n", NULL};
    Py_ssize_t n = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|n:release", names, &n)) {
        return NULL;
    }
    return release(self, n);
}

static PyObject *
semaphore_exit(PyObject *self, PyObject *args)
{
    (void)args;
    return release(self, 1);
}

static PyObject *
semaphore_repr(PyObject *self)
{
    const ot_semaphore_t *semaphore = semaphore_of(self);
    const char *name = semaphore->head.kind->name;
    unsigned long long id = semaphore->head.id, value = ot_semaphore_value(semaphore_of(self));
    if (semaphore->bound == UINT64_MAX) {
        return PyUnicode_FromFormat("<objtunnel.%s at %p, %llu: value=%llu>", name, self, id,
                                    value);
    }
    return PyUnicode_FromFormat("<objtunnel.%s at %p, %llu: value=%llu/%llu>", name, self, id,
                                value, (unsigned long long)semaphore->bound);
}

/* ---- events ---------------------------------------------------------------------------------- */

static PyObject *
event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    (void)type;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Event", names)) {
        return NULL;
    }
    return ot_handle_new((ot_shared_t *)ot_event_new());
}

static PyObject *
event_wait(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = Py_None;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:wait", names, &timeout) ||
        ot_deadline_from(timeout, OT_NEGATIVE_AT_ONCE, &deadline) < 0) {
        return NULL;
    }
    ot_patience_t now = {.deadline = OT_DONT_WAIT};
    ot_sync_result_t result = ot_event_wait(event_of(self), &now);
    if (result == OT_SYNC_TIMEOUT && deadline != OT_DONT_WAIT) {
        ot_waiting_t waiting;
        ot_waiting_begin(&waiting, deadline, "wait for", &event_of(self)->head);
        result = ot_event_wait(event_of(self), &waiting.patience);
        ot_waiting_end(&waiting);
    }
    return ot_acquired(self, result);
}

static PyObject *
event_set(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_event_set(event_of(self));
    Py_RETURN_NONE;
}

static PyObject *
event_clear(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_event_clear(event_of(self));
    Py_RETURN_NONE;
}

static PyObject *
event_is_set(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_event_is_set(event_of(self)));
}

static PyObject *
event_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<objtunnel.Event at %p, %llu: %s>", self,
                                (unsigned long long)ot_as_handle(self)->shared->id,
                                ot_event_is_set(event_of(self)) ? "set" : "unset");
}

/* ---- the types ------------------------------------------------------------------------------- */

static PyMethodDef semaphore_methods[] = {
    {"acquire", OT_METHOD(semaphore_acquire), METH_VARARGS | METH_KEYWORDS,
     "acquire($self, blocking=True, timeout=None)\n--\n\n"
     "Take one from the value, waiting for it if it is 0; return whether that was possible."},
    {"release", OT_METHOD(semaphore_release), METH_VARARGS | METH_KEYWORDS,
     "release($self, n=1)\n--\n\n"
     "Add n to the value. Raises ValueError if a bounded one would have more than at first."},
    {"__enter__", semaphore_enter, METH_NOARGS, NULL},
    {"__exit__", semaphore_exit, METH_VARARGS, "Release it once."},
    {"__reduce__", ot_handle_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef event_methods[] = {
    {"wait", OT_METHOD(event_wait), METH_VARARGS | METH_KEYWORDS,
     "wait($self, timeout=None)\n--\n\n"
     "Wait until it is set; return True, or False after timeout seconds."},
    {"set", event_set, METH_NOARGS, "set($self)\n--\n\nWake all that wait, and will wait."},
    {"clear", event_clear, METH_NOARGS, "clear($self)\n--\n\nSo that wait() waits again."},
    {"is_set", event_is_set, METH_NOARGS, "is_set($self)\n--\n\nWhether it is set."},
    {"__reduce__", ot_handle_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot semaphore_slots[] = OT_SYNC_SLOTS(
    "Semaphore(value=1)\n--\n\nthreading.Semaphore for all interpreters of the process.",
    semaphore_new, semaphore_repr, semaphore_methods);

static PyType_Slot bounded_semaphore_slots[] =
    OT_SYNC_SLOTS("BoundedSemaphore(value=1)\n--\n\n"
                  "threading.BoundedSemaphore for all interpreters of the process.",
                  bounded_semaphore_new, semaphore_repr, semaphore_methods);

static PyType_Slot event_slots[] =
    OT_SYNC_SLOTS("Event()\n--\n\nthreading.Event for all interpreters of the process.", event_new,
                  event_repr, event_methods);

static PyType_Spec specs[] = {
    {"objtunnel.Semaphore", sizeof(ot_handle_t), 0, OT_HANDLE_FLAGS, semaphore_slots},
    {"objtunnel.BoundedSemaphore", sizeof(ot_handle_t), 0, OT_HANDLE_FLAGS,
     bounded_semaphore_slots},
    {"objtunnel.Event", sizeof(ot_handle_t), 0, OT_HANDLE_FLAGS, event_slots},
};

int
ot_semaphore_types_add(ot_objects_t *home)
{
    const ot_shared_kind_t *kinds[] = {&ot_semaphore_kind, &ot_bounded_semaphore_kind,
                                       &ot_event_kind};
    for (int i = 0; i < 3; i++) {
        if (ot_handle_add_type(home, kinds[i], &specs[i], NULL) == NULL) {
            return -1;
        }
    }
    return 0;
}
