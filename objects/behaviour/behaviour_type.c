/* behaviour_type.c: the functions of _core that objtunnel._behaviours and its workers are made of.
 *
 * Main invariant: a box that is pinned stays with the member whose thread has pinned it: a worker, or the host that its
 * interpreter is.
 * Threading: the GIL of the caller's interpreter, which is let go of while waiting.
 */
#include "objects/behaviour/behaviour_type.h"

#include "objects/sync/sync_type.h"
#include "runtime/timeout.h"

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

/* schedule(boxes, code, work, strict, reads): boxes is a tuple of different Boxes, the last `reads` of them to be read; code is a _Code or None, and so may work be. A
 * list that is given as work is emptied. */
static PyObject *
schedule(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    Py_ssize_t reads = nargs == 5 ? PyLong_AsSsize_t(args[4]) : -1;
    if (reads < 0 || !PyTuple_Check(args[0]) || reads > PyTuple_GET_SIZE(args[0])) {
        PyErr_SetString(PyExc_TypeError,
                        "_schedule() takes a tuple of boxes, a _Code, work, a bool and a number");
        return NULL;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(args[0]);
    PyObject *first = n == 0 ? NULL : PyTuple_GET_ITEM(args[0], 0);
    /* By way of the first box, if there is one: that takes a fraction of the time of ot_objects_current. */
    ot_objects_t *home = ot_home_of_box(first);
    if (home == NULL || check_crew() < 0) {
        return NULL;
    }
    ot_box_t *few[FEW], **boxes = boxes_of(home, args[0], few), *result = NULL;
    bool works = args[2] != Py_None;
    ot_value_t *work =
        boxes == NULL || !works ? NULL : ot_value_new_exclusive(home, args[2], OT_ROOT_TAKEN);
    if (boxes != NULL && !(works && work == NULL)) {
        result =
            ot_job_schedule(boxes, (size_t)n, (size_t)reads, ot_code_ref(ot_code_of(home, args[1])),
                            NULL, work, args[3] == Py_True);
    }
    if (boxes != few) {
        PyMem_RawFree(boxes);
    }
    return result == NULL ? NULL : ot_handle_steal(home, &result->cown.lock.head);
}

static PyObject *
code_count(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromSize_t(ot_code_count());
}

/* ---- the crew -------------------------------------------------------------------------------- */

static PyObject *
crew_start(PyObject *module, PyObject *arg)
{
    (void)module;
    Py_ssize_t n = PyLong_AsSsize_t(arg);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (n < 1 || n > OT_CREW_MAX) {
        return PyErr_Format(PyExc_ValueError, "workers must be 1 to %d", OT_CREW_MAX);
    }
    if (!ot_crew_start((size_t)n)) {
        PyErr_SetString(PyExc_RuntimeError, "this process has workers for behaviours already");
        return NULL;
    }
    Py_RETURN_NONE;
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

/* Drops the behaviours that were not begun, once all workers have ended. How many they were. */
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

/* Whether all were done in time; None: something is bound to the host that the calling thread is. */
static PyObject *
crew_wait(PyObject *module, PyObject *timeout)
{
    int64_t deadline;
    ot_objects_t *home = ot_objects_current();
    (void)module;
    if (home == NULL || ot_deadline_from(timeout, OT_NEGATIVE_AT_ONCE, &deadline) < 0) {
        return NULL;
    }
    if (ot_box_inside != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a behaviour may not wait for behaviours: it is one of them");
        return NULL;
    }
    ot_waiting_t waiting;
    ot_waiting_begin(&waiting, deadline, "wait", NULL);
    ot_sync_result_t result = ot_crew_wait(&waiting.patience, ot_crew_host_here(home->interp_id));
    ot_waiting_end(&waiting);
    if (result == OT_SYNC_INTERRUPTED) {
        return NULL;
    }
    return result == OT_SYNC_BROKEN ? Py_NewRef(Py_None) : PyBool_FromLong(result == OT_SYNC_OK);
}

/* ---- hosts ----------------------------------------------------------------------------------- */

/* The host that the calling interpreter is, made if need be; -1 with an exception. */
static int
host_of(const ot_objects_t *home)
{
    int host = check_crew() < 0 ? -1 : ot_crew_host_begin(home->interp_id);
    if (host < 0 && !PyErr_Occurred()) {
        PyErr_Format(PyExc_RuntimeError,
                     "%d interpreters have pinned trees already: no more than that can at once",
                     OT_CREW_HOSTS);
    }
    return host;
}

static PyObject *
pin(PyObject *module, PyObject *tree)
{
    (void)module;
    ot_objects_t *home = ot_objects_current();
    if (home == NULL || check_crew() < 0) {
        return NULL;
    }
    ot_box_free_strays(home->interp_id);
    int member = ot_crew_is_worker() ? ot_crew_self() : host_of(home);
    ot_box_t *box = member < 0 ? NULL : ot_box_new_pinned(home, tree, member);
    return box == NULL ? NULL : ot_handle_steal(home, &box->cown.lock.head);
}

/* Until something is bound to the host, or the crew stops. False: not in time. -1 with an exception. */
static int
wait_for_bound(int host, int64_t deadline)
{
    ot_waiting_t waiting;
    ot_waiting_begin(&waiting, deadline, "pump", NULL);
    ot_sync_result_t result = ot_crew_host_wait(host, NULL, &waiting.patience);
    ot_waiting_end(&waiting);
    return result == OT_SYNC_INTERRUPTED ? -1 : result == OT_SYNC_BROKEN;
}

/* host_take(timeout): the next behaviour that is bound to the host; None: none in time. The calling thread is the host until
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
    if (ot_crew_is_worker()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a worker for behaviours runs what is bound to it by itself: pump() is for "
                        "other interpreters");
        return NULL;
    }
    ot_box_free_strays(home->interp_id);
    int host = ot_crew_size() == 0 ? -1
               : deadline == OT_DONT_WAIT || ot_crew_is_stopping()
                   ? ot_crew_host_of(home->interp_id)
                   : host_of(home);
    if (host < 0) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    ot_crew_host_drain(host);
    ot_behaviour_t *b = NULL;
    int bound = 1;
    while (b == NULL && bound > 0) {
        ot_crew_host_enter(host);
        b = ot_crew_is_stopping() ? NULL : ot_crew_take_bound();
        bound = 0;
        if (b == NULL) {
            ot_crew_host_leave();
            bool waits = deadline != OT_DONT_WAIT && !ot_crew_is_stopping();
            bound = waits ? wait_for_bound(host, deadline) : 0;
        }
    }
    if (bound < 0) {
        return NULL;
    }
    return b == NULL ? Py_NewRef(Py_None) : ot_running_steal(home, (ot_job_t *)b);
}

static PyObject *
host_leave(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (ot_box_inside == NULL && !ot_crew_is_worker()) { /* else it is a pump() that was refused */
        ot_crew_host_leave();
    }
    Py_RETURN_NONE;
}

/* At the end of the host's interpreter, while it can run Python code. */
static PyObject *
host_end(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    ot_objects_t *home = ot_objects_current();
    if (home == NULL) {
        return NULL;
    }
    int host = ot_crew_host_of(home->interp_id);
    if (host >= 0) {
        ot_box_keeper_ends(host); /* first: what was bound finds the tree gone */
        ot_crew_host_end(host);
    }
    ot_box_free_strays(home->interp_id);
    Py_RETURN_NONE;
}

static PyObject *
host_fileno(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    ot_objects_t *home = ot_objects_current();
    int host = home == NULL ? -1 : host_of(home);
    if (host < 0) {
        return NULL;
    }
    int fd = ot_crew_host_fd(host);
    return fd < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(fd);
}

/* ---- a worker's side --------------------------------------------------------------------------- */

/* What the calling worker's interpreter keeps for shared objects. */
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
        ot_box_free_strays(home->interp_id);
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
        ot_box_free_strays(home->interp_id);
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
    {"_schedule", OT_METHOD(schedule), METH_FASTCALL,
     "_schedule(boxes, code, work, strict, reads): a behaviour on a tuple of different Boxes, the last ones to be read; the "
     "Box of its result."},
    {"_code_count", code_count, METH_NOARGS, "How many different _Codes are alive in the process."},
    {"_crew_start", crew_start, METH_O,
     "_crew_start(n): the process has n workers for behaviours."},
    {"_crew_size", crew_size, METH_NOARGS, "How many workers there are; 0: none."},
    {"_crew_stop", crew_stop, METH_NOARGS, "Has no more behaviours begun."},
    {"_crew_drop", crew_drop, METH_NOARGS,
     "Once all workers have ended: drop what is left, and report failures that nobody has opened. How many were dropped."},
    {"_crew_forget", crew_forget, METH_NOARGS, "In the child of a fork: there are no workers."},
    {"_crew_counts", crew_counts, METH_NOARGS,
     "(scheduled, done, running, moved, copied, pickled, stayed)"},
    {"_crew_wait", crew_wait, METH_O,
     "_crew_wait(timeout): until all are done; whether they are. None: something is bound to this interpreter, and this is "
     "the thread that runs it."},
    {"_pin", pin, METH_O,
     "_pin(tree): a Box whose tree stays in this interpreter, which is a host from now on."},
    {"_host_take", host_take, METH_O,
     "_host_take(timeout): the next behaviour that is bound to this interpreter, a _Running, or None."},
    {"_host_leave", host_leave, METH_NOARGS, "This thread runs behaviours no more."},
    {"_host_end", host_end, METH_NOARGS, "The trees that are pinned to this interpreter are lost."},
    {"_host_fileno", host_fileno, METH_NOARGS,
     "Can be read from while something is bound to this interpreter."},
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
    return ot_code_type_add(home) < 0 || ot_scheduler_type_add(home) < 0
               ? -1
               : PyModule_AddFunctions(home->module, functions);
}
