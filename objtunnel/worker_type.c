/* worker_type.c: the Python type _core.Worker, on which objtunnel.Interpreter is built.
 *
 * Main invariant: a Worker owns a reference to its ot_worker_t. The thread closes the status
 * tunnel as the last thing it does, so "status is closed" means "the interpreter has ended".
 * Threading: the GIL of the Worker's interpreter. Only wait_for_end() waits, and lets go of the GIL meanwhile.
 */
#include "objtunnel/tunnel.h"
#include "runtime/cpython/interp.h"
#include "runtime/import.h"
#include "runtime/worker.h"

typedef struct {
    PyObject_HEAD
    ot_worker_t *worker;
} worker_t;

static ot_worker_t *
worker_of(PyObject *o)
{
    return ((worker_t *)o)->worker;
}

/* Steals the reference, also on failure. */
static PyObject *
worker_steal(ot_state_t *state, ot_worker_t *w)
{
    PyObject *self = state->worker_type->tp_alloc(state->worker_type, 0);
    if (self == NULL) {
        ot_worker_unref(w);
        return NULL;
    }
    ((worker_t *)self)->worker = w;
    return self;
}

static void
worker_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ot_worker_unref(worker_of(self));
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the thread's side -------------------------------------------------------------------- */

/* What the new interpreter needs before it can import us: plain C data. */
typedef struct {
    char **path; /* sys.path, encoded for the file system */
    size_t path_len;
    ot_channel_t *inbox, *status; /* owned references */
} start_t;

static void
free_start(start_t *start)
{
    for (size_t i = 0; i < start->path_len; i++) {
        PyMem_RawFree(start->path[i]);
    }
    PyMem_RawFree(start->path);
    PyMem_RawFree(start);
}

static int
set_path(const start_t *start)
{
    PyObject *path = PyList_New(0);
    for (size_t i = 0; path != NULL && i < start->path_len; i++) {
        PyObject *entry = PyUnicode_DecodeFSDefault(start->path[i]);
        if (entry == NULL || PyList_Append(path, entry) < 0) {
            Py_CLEAR(path);
        }
        Py_XDECREF(entry);
    }
    int rc = path == NULL ? -1 : PySys_SetObject("path", path);
    Py_XDECREF(path);
    return rc;
}

/* objtunnel._worker.main(worker, inbox, status); returns when the inbox is closed and drained. */
static int
run_main(ot_worker_t *w, const start_t *start)
{
    if (set_path(start) < 0) {
        return -1;
    }
    ot_state_t *state = ot_state_current();
    PyObject *module = state == NULL ? NULL : PyImport_ImportModule("objtunnel._worker");
    if (module == NULL) {
        return -1;
    }
    ot_worker_ref(w);
    ot_channel_ref(start->inbox);
    ot_channel_ref(start->status);
    PyObject *worker = worker_steal(state, w);
    PyObject *inbox = ot_tunnel_steal(state, start->inbox);
    PyObject *status = ot_tunnel_steal(state, start->status);
    PyObject *result = NULL;
    if (worker != NULL && inbox != NULL && status != NULL) {
        result = PyObject_CallMethod(module, "main", "OOO", worker, inbox, status);
    }
    Py_XDECREF(worker);
    Py_XDECREF(inbox);
    Py_XDECREF(status);
    Py_XDECREF(result);
    Py_DECREF(module);
    return result == NULL ? -1 : 0;
}

static void
report_error(ot_worker_t *w)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *text = PyUnicode_FromFormat("%s: %S", Py_TYPE(error)->tp_name, error);
    const char *utf8 = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    ot_worker_set_error(w, utf8 == NULL ? Py_TYPE(error)->tp_name : utf8);
    Py_XDECREF(text);
    PyErr_Clear();
    Py_DECREF(error);
}

static void
thread_main(ot_worker_t *w, void *arg)
{
    if (run_main(w, arg) < 0) {
        report_error(w);
    }
}

static void
thread_ended(ot_worker_t *w, void *arg)
{
    (void)w;
    start_t *start = arg;
    /* Objects can only be freed in an interpreter, and the thread's own has ended. So the messages stay in the tunnels:
     * the last handle's interpreter frees them. If there is no handle any more, they become orphans. */
    (void)ot_channel_close(start->inbox, false);
    ot_shared_unref(ot_channel_shared(start->inbox));
    (void)ot_channel_close(start->status, false);
    ot_shared_unref(ot_channel_shared(start->status));
    free_start(start);
}

/* ---- the creator's side ------------------------------------------------------------------- */

static int
copy_path(start_t *start, PyObject *path)
{
    size_t n = (size_t)PyList_GET_SIZE(path);
    start->path = PyMem_RawCalloc(n ? n : 1, sizeof *start->path);
    if (start->path == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        PyObject *entry = PyList_GET_ITEM(path, (Py_ssize_t)i), *bytes;
        if (!PyUnicode_Check(entry)) {
            continue; /* as import does */
        }
        if (!PyUnicode_FSConverter(entry, &bytes)) {
            return -1;
        }
        char *copy = PyMem_RawMalloc((size_t)PyBytes_GET_SIZE(bytes) + 1);
        if (copy != NULL) {
            memcpy(copy, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes) + 1);
            start->path[start->path_len++] = copy;
        }
        Py_DECREF(bytes);
        if (copy == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    return 0;
}

static PyObject *
start_worker(PyObject *module, PyObject *args)
{
    ot_state_t *state = ot_state_of_module(module);
    const char *name;
    PyObject *path, *inbox, *status;
    if (!PyArg_ParseTuple(args, "zO!O!O!:start_worker", &name, &PyList_Type, &path,
                          state->tunnel_type, &inbox, state->tunnel_type, &status)) {
        return NULL;
    }
    start_t *start = PyMem_RawCalloc(1, sizeof *start);
    if (start == NULL) {
        return PyErr_NoMemory();
    }
    if (copy_path(start, path) < 0) {
        free_start(start);
        return NULL;
    }
    start->inbox = ot_tunnel_channel(inbox);
    start->status = ot_tunnel_channel(status);
    ot_channel_ref(start->inbox);
    ot_channel_ref(start->status);
    ot_worker_job_t job = {.main = thread_main, .ended = thread_ended, .arg = start};
    ot_worker_t *w = ot_worker_start(name, job);
    if (w == NULL) {
        /* the tunnels among the arguments keep both channels alive */
        ot_shared_unref(ot_channel_shared(start->inbox));
        ot_shared_unref(ot_channel_shared(start->status));
        free_start(start);
        PyErr_SetString(PyExc_RuntimeError, "cannot start a thread for a new interpreter");
        return NULL;
    }
    return worker_steal(state, w);
}

/* ---- methods ------------------------------------------------------------------------------ */

static bool
job_number(PyObject *arg, uint64_t *job)
{
    *job = PyLong_AsUnsignedLongLong(arg);
    return !(*job == (uint64_t)-1 && PyErr_Occurred());
}

/* do(number, fn, *args): fn(*args) as job `number`. In C, so that an interrupt cannot come
 * between fn's return and the job's end. */
static PyObject *
worker_do(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    uint64_t job;
    if (nargs < 2) {
        PyErr_SetString(PyExc_TypeError, "do() takes a number, a function and its arguments");
        return NULL;
    }
    if (!job_number(args[0], &job)) {
        return NULL;
    }
    ot_worker_begin(worker_of(self), job);
    PyObject *result = PyObject_Vectorcall(args[1], args + 2, (size_t)nargs - 2, NULL);
    ot_worker_end(worker_of(self));
    return result;
}

static PyObject *
worker_interrupt(PyObject *self, PyObject *arg)
{
    uint64_t job;
    if (!job_number(arg, &job)) {
        return NULL;
    }
    return PyBool_FromLong(ot_worker_interrupt(worker_of(self), job));
}

static PyObject *
worker_interrupts(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(ot_worker_interrupts(worker_of(self)));
}

/* sys.unraisablehook of a worker. In C: a hook in Python would be what the new interrupt ends. */
static PyObject *
worker_unraisable(PyObject *self, PyObject *unraisable)
{
    PyObject *type = PyObject_GetAttrString(unraisable, "exc_type");
    if (type == NULL) {
        return NULL;
    }
    bool is_interrupt = type == PyExc_KeyboardInterrupt;
    Py_DECREF(type);
    if (is_interrupt && ot_worker_interrupt_again(worker_of(self))) {
        Py_RETURN_NONE;
    }
    PyObject *hook = PySys_GetObject("__unraisablehook__"); /* borrowed */
    if (hook == NULL) {
        return PyErr_Format(PyExc_RuntimeError, "there is no sys.__unraisablehook__");
    }
    Py_INCREF(hook);
    PyObject *result = PyObject_CallOneArg(hook, unraisable);
    Py_DECREF(hook);
    return result;
}

static PyObject *
worker_fail(PyObject *self, PyObject *arg)
{
    const char *text = PyUnicode_AsUTF8(arg);
    if (text == NULL) {
        return NULL;
    }
    ot_worker_set_error(worker_of(self), text);
    Py_RETURN_NONE;
}

static PyObject *
worker_wait_for_end(PyObject *self, PyObject *status)
{
    ot_state_t *state = PyType_GetModuleState(Py_TYPE(self));
    if (!Py_IS_TYPE(status, state->tunnel_type)) {
        return PyErr_Format(PyExc_TypeError, "wait_for_end() takes the status Tunnel");
    }
    int rc = ot_tunnel_wait_for_end(ot_tunnel_channel(status), ot_worker_interp_id(worker_of(self)),
                                    state->objects.interp_id);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
worker_id(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(ot_worker_interp_id(worker_of(self)));
}

static PyObject *
worker_error(PyObject *self, void *unused)
{
    (void)unused;
    const char *error = ot_worker_error(worker_of(self));
    return error == NULL ? Py_NewRef(Py_None) : PyUnicode_FromString(error);
}

static PyMethodDef worker_methods[] = {
    {"do", OT_METHOD(worker_do), METH_FASTCALL, "Worker thread: do(number, fn, *args) as a job."},
    {"wait_for_end", worker_wait_for_end, METH_O,
     "wait_for_end(status): until the interpreter has ended. Wakes its jobs that wait in tunnels once\n"
     "everything else in the process waits, too."},
    {"interrupt", worker_interrupt, METH_O,
     "Raise KeyboardInterrupt in job n if it runs; 0: in whatever runs. Whether it runs."},
    {"interrupts", worker_interrupts, METH_NOARGS, "How often the job that runs was interrupted."},
    {"unraisable", worker_unraisable, METH_O,
     "Worker thread: a sys.unraisablehook by which an interrupt that is lost in a destructor comes again."},
    {"fail", worker_fail, METH_O, "Worker thread: say why jobs are not done any more."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef worker_getset[] = {
    {"id", worker_id, NULL, "The interpreter's id; -1 before it exists.", NULL},
    {"error", worker_error, NULL, "Why it could not run, or failed; None if neither.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot worker_slots[] = {
    {Py_tp_doc, "A thread with an interpreter of its own; made by start_worker."},
    {Py_tp_dealloc, worker_dealloc},
    {Py_tp_methods, worker_methods},
    {Py_tp_getset, worker_getset},
    {0, NULL},
};

static PyType_Spec worker_spec = {
    .name = "objtunnel._core.Worker",
    .basicsize = sizeof(worker_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = worker_slots,
};

static PyObject *
end_by_sigint(PyObject *module, PyObject *yes)
{
    (void)module;
    int is_true = PyObject_IsTrue(yes);
    if (is_true < 0) {
        return NULL;
    }
    ot_py_end_by_sigint(is_true);
    Py_RETURN_NONE;
}

static PyObject *
is_main_interpreter(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyBool_FromLong(PyInterpreterState_Get() == PyInterpreterState_Main());
}

static PyObject *
wait_until_stuck(PyObject *module, PyObject *over)
{
    ot_state_t *state = PyModule_GetState(module);
    if (!Py_IS_TYPE(over, state->tunnel_type)) {
        return PyErr_Format(PyExc_TypeError, "_wait_until_stuck() takes a Tunnel");
    }
    return PyBool_FromLong(
        ot_tunnel_wait_until_stuck(ot_tunnel_channel(over), state->objects.interp_id));
}

static PyObject *
recv_aside(PyObject *module, PyObject *args)
{
    ot_state_t *state = PyModule_GetState(module);
    PyObject *tunnel, *timeout;
    ot_tunnel_patience_t patience;
    if (!PyArg_ParseTuple(args, "O!O:_recv_aside", state->tunnel_type, &tunnel, &timeout) ||
        ot_tunnel_patience_from(timeout, &patience) < 0) {
        return NULL;
    }
    return ot_tunnel_receive_aside(tunnel, patience);
}

static PyMethodDef functions[] = {
    {"_end_by_sigint", end_by_sigint, METH_O,
     "Whether the process ends by SIGINT, as after a KeyboardInterrupt that nobody caught."},
    {"_is_main_interpreter", is_main_interpreter, METH_NOARGS,
     "_is_main_interpreter($module)\n--\n\n"
     "Whether the caller's interpreter is the one that the process began with."},
    {"_recv_aside", recv_aside, METH_VARARGS,
     "_recv_aside($module, tunnel, timeout, /)\n--\n\n"
     "tunnel.recv(timeout), for a thread that looks after others between two waits and counts as waiting."},
    {"_wait_until_stuck", wait_until_stuck, METH_O,
     "_wait_until_stuck($module, over, /)\n--\n\n"
     "True when all threads of the process have waited for each other for a second; False when the\n"
     "Tunnel `over` is closed, to which nobody sends."},
    {"start_worker", start_worker, METH_VARARGS,
     "start_worker(name, path, inbox, status): start an interpreter; return its Worker at once."},
    {NULL, NULL, 0, NULL},
};

int
ot_worker_type_add(PyObject *module, ot_state_t *state)
{
    return ot_type_add(module, &worker_spec, &state->worker_type) < 0
               ? -1
               : PyModule_AddFunctions(module, functions);
}
