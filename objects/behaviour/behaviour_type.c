/* behaviour_type.c: the functions of _core that objtunnel._behaviours and its workers are made of.
 *
 * Main invariant: the crew's table (a LockingDict of the code that behaviours run) is set once, with the crew.
 * Threading: the GIL of the caller's interpreter, which is let go of while waiting.
 */
#include "objects/behaviour/behaviour_type.h"

#include "objects/sync/sync_type.h"
#include "runtime/timeout.h"

static ot_shared_t *_Atomic the_table; /* owned */
static _Atomic uint64_t last_code;

static int
check_crew(void)
{
    if (ot_crew_size() == 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "no workers for behaviours: call objtunnel.start() first");
        return -1;
    }
    if (ot_crew_is_stopping()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "behaviours cannot be scheduled any more: their workers "
                        "have ended, or the program ends");
        return -1;
    }
    return 0;
}

/* ---- scheduling ------------------------------------------------------------------------------ */

enum { FEW = 8 };

/* The boxes of the handles in a tuple, in `few` or raw memory, which the caller frees if it is not `few`. NULL with an
 * exception. */
static ot_box_t **
boxes_of(const ot_objects_t *home, PyObject *handles, ot_box_t **few)
{
    Py_ssize_t n = PyTuple_GET_SIZE(handles);
    ot_box_t **boxes = n <= FEW ? few : PyMem_RawMalloc((size_t)n * sizeof *boxes);
    if (boxes == NULL) {
        return (ot_box_t **)PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *handle = PyTuple_GET_ITEM(handles, i);
        if (!Py_IS_TYPE(handle, home->box)) {
            PyErr_Format(PyExc_TypeError, "not a Box: %R", handle);
            if (boxes != few) {
                PyMem_RawFree(boxes);
            }
            return NULL;
        }
        boxes[i] = (ot_box_t *)ot_as_handle(handle)->shared;
    }
    return boxes;
}

/* schedule(boxes, work, strict): boxes is a tuple of different Boxes. A list that is given as work is emptied. */
static PyObject *
schedule(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (nargs != 3 || !PyTuple_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "_schedule() takes a tuple of boxes, work, and a bool");
        return NULL;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(args[0]);
    PyObject *first = n == 0 ? NULL : PyTuple_GET_ITEM(args[0], 0);
    /* Of the first box, if there is one: it takes a fraction of the other way. */
    ot_objects_t *home = ot_home_of_box(first);
    if (home == NULL || check_crew() < 0) {
        return NULL;
    }
    ot_box_t *few[FEW], **boxes = boxes_of(home, args[0], few), *result = NULL;
    ot_value_t *work = boxes == NULL ? NULL : ot_value_new_exclusive(home, args[1], OT_ROOT_TAKEN);
    if (work != NULL) {
        result = ot_job_schedule(boxes, (size_t)n, work, args[2] == Py_True);
    }
    if (boxes != few) {
        PyMem_RawFree(boxes);
    }
    return result == NULL ? NULL : ot_handle_steal(home, &result->cown.lock.head);
}

static PyObject *
new_code_number(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLongLong(atomic_fetch_add(&last_code, 1) + 1);
}

/* ---- the crew -------------------------------------------------------------------------------- */

static PyObject *
crew_start(PyObject *module, PyObject *args)
{
    Py_ssize_t n;
    PyObject *table;
    ot_objects_t *home = ot_objects_current();
    (void)module;
    if (home == NULL || !PyArg_ParseTuple(args, "nO:_crew_start", &n, &table)) {
        return NULL;
    }
    ot_shared_t *shared = ot_handle_plain(home, table);
    if (n < 1 || n > OT_CREW_MAX || shared == NULL) {
        return PyErr_Format(PyExc_ValueError, "workers must be 1 to %d", OT_CREW_MAX);
    }
    if (!ot_crew_start((size_t)n)) {
        PyErr_SetString(PyExc_RuntimeError, "this process has workers for behaviours already");
        return NULL;
    }
    ot_shared_ref(shared);
    the_table = shared;
    Py_RETURN_NONE;
}

static PyObject *
crew_table(PyObject *module, PyObject *unused)
{
    ot_objects_t *home = ot_objects_current();
    ot_shared_t *shared = the_table;
    (void)module;
    (void)unused;
    if (home == NULL) {
        return NULL;
    }
    if (shared == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "there are no workers for behaviours");
        return NULL;
    }
    ot_shared_ref(shared);
    return ot_handle_steal(home, shared);
}

static PyObject *
crew_size(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromSize_t(ot_crew_size());
}

static PyObject *
crew_stop(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (ot_crew_size() > 0) {
        ot_crew_stop();
    }
    Py_RETURN_NONE;
}

/* All workers have ended: what was not begun is dropped; how many. The table goes, too. */
static PyObject *
crew_drop(PyObject *module, PyObject *unused)
{
    ot_objects_t *home = ot_objects_current();
    size_t n = 0;
    (void)module;
    (void)unused;
    if (home == NULL || ot_crew_size() == 0) {
        return home == NULL ? NULL : PyLong_FromLong(0);
    }
    for (ot_behaviour_t *b; (b = ot_crew_take_back()) != NULL; n++) {
        ot_job_drop(home, (ot_job_t *)b);
    }
    ot_box_report_all();
    return PyLong_FromSize_t(n);
}

static PyObject *
crew_forget(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    ot_crew_forget();
    ot_box_inside = NULL;
    the_table = NULL;
    Py_RETURN_NONE;
}

static PyObject *
crew_counts(PyObject *module, PyObject *unused)
{
    ot_crew_counts_t counts = ot_crew_counts();
    (void)module;
    (void)unused;
    typedef unsigned long long number_t;
    return Py_BuildValue("KKKKKKK", (number_t)counts.scheduled, (number_t)counts.done,
                         (number_t)counts.running, (number_t)counts.moved, (number_t)counts.copied,
                         (number_t)counts.pickled, (number_t)counts.stayed);
}

/* Whether all were done in time; None: something is bound to the host, which the caller is. */
static PyObject *
crew_wait(PyObject *module, PyObject *args)
{
    int64_t deadline;
    PyObject *timeout;
    int hosting;
    (void)module;
    if (!PyArg_ParseTuple(args, "Op:_crew_wait", &timeout, &hosting) ||
        ot_deadline_from(timeout, OT_NEGATIVE_AT_ONCE, &deadline) < 0) {
        return NULL;
    }
    if (ot_box_inside != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a behaviour may not wait for behaviours: it is one of them");
        return NULL;
    }
    ot_waiting_t waiting;
    ot_waiting_begin(&waiting, deadline, "wait", NULL);
    ot_sync_result_t result = ot_crew_wait(&waiting.patience, hosting);
    ot_waiting_end(&waiting);
    if (result == OT_SYNC_INTERRUPTED) {
        return NULL;
    }
    return result == OT_SYNC_BROKEN ? Py_NewRef(Py_None) : PyBool_FromLong(result == OT_SYNC_OK);
}

/* ---- the host -------------------------------------------------------------------------------- */

static PyObject *
pin(PyObject *module, PyObject *tree)
{
    (void)module;
    ot_objects_t *home = ot_objects_current();
    if (home == NULL || check_crew() < 0) {
        return NULL;
    }
    ot_crew_host_begin();
    ot_box_t *box = ot_box_new_pinned(home, tree, (int)ot_crew_size());
    return box == NULL ? NULL : ot_handle_steal(home, &box->cown.lock.head);
}

/* host_take(timeout): the next behaviour that is bound to the host; None: none in time. The caller is the host until
 * host_leave(). */
static PyObject *
host_take(PyObject *module, PyObject *timeout)
{
    (void)module;
    ot_objects_t *home = ot_objects_current();
    int64_t deadline;
    if (home == NULL || ot_deadline_from(timeout, OT_NEGATIVE_AT_ONCE, &deadline) < 0) {
        return NULL;
    }
    if (ot_box_inside != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a behaviour may not pump: it is one of those that are run");
        return NULL;
    }
    if (ot_crew_size() == 0) {
        Py_RETURN_NONE;
    }
    ot_box_free_strays(home);
    ot_crew_host_drain();
    if (deadline != OT_DONT_WAIT) {
        ot_waiting_t waiting;
        ot_waiting_begin(&waiting, deadline, "pump", NULL);
        ot_sync_result_t result = ot_crew_host_wait(&waiting.patience);
        ot_waiting_end(&waiting);
        if (result == OT_SYNC_INTERRUPTED) {
            return NULL;
        }
    }
    ot_crew_host_enter();
    ot_behaviour_t *b = ot_crew_is_stopping() ? NULL : ot_crew_take_bound();
    return b == NULL ? Py_NewRef(Py_None) : ot_running_steal(home, (ot_job_t *)b);
}

static PyObject *
host_leave(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (ot_box_inside == NULL) { /* else it is a pump() within a behaviour, which was refused */
        ot_crew_host_leave();
    }
    Py_RETURN_NONE;
}

/* At the end of the process, in the host's interpreter. */
static PyObject *
host_end(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    ot_objects_t *home = ot_objects_current();
    if (home == NULL) {
        return NULL;
    }
    if (ot_crew_size() > 0) {
        ot_box_keeper_ends((int)ot_crew_size());
        ot_box_free_strays(home);
    }
    Py_RETURN_NONE;
}

static PyObject *
host_fileno(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (check_crew() < 0) {
        return NULL;
    }
    int fd = ot_crew_host_fd();
    return fd < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(fd);
}

/* ---- a worker's side --------------------------------------------------------------------------- */

/* The calling worker's. */
static __thread ot_objects_t *my_home;

static PyObject *
crew_join(PyObject *module, PyObject *arg)
{
    (void)module;
    my_home = ot_objects_current();
    if (my_home == NULL) {
        return NULL;
    }
    size_t index = PyLong_AsSize_t(arg);
    if (index == (size_t)-1 && PyErr_Occurred()) {
        return NULL;
    }
    if (index >= ot_crew_size()) {
        PyErr_SetString(PyExc_ValueError, "no such worker");
        return NULL;
    }
    ot_crew_join(index);
    Py_RETURN_NONE;
}

/* Behaviours that were to run here next are anybody's, with trees at rest. */
static void
give_up_bound(ot_objects_t *home)
{
    for (ot_behaviour_t *b; (b = ot_crew_take_bound()) != NULL;) {
        ot_job_settle(home, (ot_job_t *)b);
        ot_crew_put(b, -1);
    }
}

static PyObject *
crew_leave(PyObject *module, PyObject *unused)
{
    ot_objects_t *home = ot_objects_current();
    (void)module;
    (void)unused;
    int member = ot_crew_self();
    if (home == NULL) {
        return NULL;
    }
    if (member >= 0) {
        give_up_bound(home);
        ot_box_keeper_ends(member);
    }
    return PyBool_FromLong(member >= 0 && ot_crew_leave());
}

/* The next behaviour, a _Running. None: there will be none any more. */
static PyObject *
crew_take(PyObject *module, PyObject *unused)
{
    ot_objects_t *home = my_home;
    (void)module;
    (void)unused;
    if (ot_crew_self() < 0 || home == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this thread is no worker for behaviours");
        return NULL;
    }
    const ot_patience_t now = {.deadline = OT_DONT_WAIT};
    bool interrupted;
    ot_behaviour_t *b = ot_crew_take(&now, &interrupted);
    if (b == NULL) {
        ot_waiting_t waiting;
        ot_waiting_begin(&waiting, OT_FOREVER, "wait", NULL);
        b = ot_crew_take(&waiting.patience, &interrupted);
        ot_waiting_end(&waiting);
    }
    if (interrupted) {
        return NULL;
    }
    return b == NULL ? Py_NewRef(Py_None) : ot_running_steal(home, (ot_job_t *)b);
}

static PyMethodDef functions[] = {
    {"_schedule", (PyCFunction)(void (*)(void))schedule, METH_FASTCALL,
     "_schedule(boxes, work, strict): a behaviour on a tuple of different Boxes; the Box of its result."},
    {"_new_code_number", new_code_number, METH_NOARGS, "A key for the crew's table."},
    {"_crew_start", crew_start, METH_VARARGS,
     "_crew_start(n, table): the process has n workers for behaviours."},
    {"_crew_table", crew_table, METH_NOARGS, "The LockingDict of the code that behaviours run."},
    {"_crew_size", crew_size, METH_NOARGS, "How many workers there are; 0: none."},
    {"_crew_stop", crew_stop, METH_NOARGS, "Has no more behaviours begun."},
    {"_crew_drop", crew_drop, METH_NOARGS,
     "Once all workers have ended: drop what is left, and report failures that nobody has opened. How many were dropped."},
    {"_crew_forget", crew_forget, METH_NOARGS, "In the child of a fork: there are no workers."},
    {"_crew_counts", crew_counts, METH_NOARGS,
     "(scheduled, done, running, moved, copied, pickled, stayed)"},
    {"_crew_wait", crew_wait, METH_VARARGS,
     "_crew_wait(timeout, hosting): until all are done; whether they are. hosting: None, once something is bound to the "
     "host."},
    {"_pin", pin, METH_O, "_pin(tree): a Box whose tree stays in this interpreter, the host."},
    {"_host_take", host_take, METH_O,
     "_host_take(timeout): the host's next behaviour, a _Running, or None."},
    {"_host_leave", host_leave, METH_NOARGS, "This thread is the host no more."},
    {"_host_end", host_end, METH_NOARGS, "The trees that are pinned to this interpreter are lost."},
    {"_host_fileno", host_fileno, METH_NOARGS,
     "Can be read from while something is bound to the host."},
    {"_crew_join", crew_join, METH_O, "_crew_join(index): this thread is a worker."},
    {"_crew_leave", crew_leave, METH_NOARGS,
     "It is none any more. Whether it was the last one, and nobody had stopped them. What it keeps is "
     "lost."},
    {"_crew_take", crew_take, METH_NOARGS, "The next behaviour; None: the workers are to end."},
    {NULL, NULL, 0, NULL},
};

int
ot_behaviour_functions_add(ot_objects_t *home)
{
    return PyModule_AddFunctions(home->module, functions);
}
