/* running.c: the Python type _core._Running: a behaviour in the worker that runs it.
 *
 * Main invariant: that of running.h; and a Running is ended whatever happens: by run(), by end(), or when it dies.
 * Threading: the GIL of the worker's interpreter.
 */
#include "objects/behaviour/running.h"
#include "runtime/checks.h"

/* ---- Running: the beginning -------------------------------------------------------------------- */

/* For `with box` of a box of the behaviour's own. */
static PyObject *
value_of(void *arg, ot_box_t *box)
{
    ot_running_t *running = arg;
    for (Py_ssize_t i = 0; running->handles != NULL && i < PyTuple_GET_SIZE(running->handles);
         i++) {
        PyObject *held = PyTuple_GET_ITEM(running->handles, i);
        if (ot_as_held(held)->box == box) {
            return ot_held_value(held, NULL);
        }
    }
    PyErr_SetString(PyExc_RuntimeError, "the behaviour that had this box has ended");
    return NULL;
}

PyObject *
ot_running_steal(ot_objects_t *home, ot_job_t *job)
{
    ot_running_t *self = (ot_running_t *)home->running->tp_alloc(home->running, 0);
    if (self == NULL) {
        PyObject *error = PyErr_GetRaisedException();
        ot_job_drop(home, job);
        PyErr_SetRaisedException(error);
        return NULL;
    }
    self->home = home;
    self->module = Py_NewRef(home->module);
    self->job = job;
    self->where = -1;
    self->inside = (ot_box_inside_t){&job->behaviour, value_of, self};
    self->handles = PyTuple_New((Py_ssize_t)job->behaviour.n);
    for (size_t i = 0; self->handles != NULL && i < job->behaviour.n; i++) {
        PyObject *held = ot_held_new(self, i);
        if (held == NULL) {
            Py_CLEAR(self->handles);
        } else {
            PyTuple_SET_ITEM(self->handles, (Py_ssize_t)i, held);
        }
    }
    if (self->handles == NULL) {
        Py_DECREF(self); /* which ends the job */
        return NULL;
    }
    return (PyObject *)self;
}

static PyObject *
running_handles(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(ot_as_running(self)->handles == NULL ? Py_None : ot_as_running(self)->handles);
}

/* Gives the work to the caller, once, and keeps no reference: work may lead to objects that only
 * the behaviour can reach. */
static PyObject *
running_work(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_running_t *running = ot_as_running(self);
    if (running->job != NULL && running->job->own != NULL) {
        PyObject *own = ot_own_list(running->home, running->job->own);
        PyObject *work = own == NULL ? NULL : Py_BuildValue("[O,N]", Py_None, own);
        return work;
    }
    if (running->job == NULL || running->job->work == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *work = ot_value_take(running->home, running->job->work);
    if (work != NULL) {
        running->job->work = NULL;
    }
    return work;
}

static PyObject *
running_code(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_running_t *running = ot_as_running(self);
    const ot_code_t *code = running->job == NULL ? NULL : running->job->code;
    return code == NULL ? Py_NewRef(Py_None) : ot_value_copy(running->home, code->what);
}

/* ---- Running: the end ------------------------------------------------------------------------ */

/* How many behaviours in a row may have a tree stay for the next one, so that others get their turn. */
enum { MOST_IN_A_ROW = 64 };
static __thread unsigned in_a_row;

/* Whether this worker runs the behaviour that gets the box next, as soon as this one ends: then its tree need not move.
 * That behaviour misses nothing but boxes of this one, so nothing can come between. */
static bool
goes_on_here(const ot_job_t *job, const ot_held_box_t *held, int member)
{
    bool reads, others;
    const ot_behaviour_t *next = ot_cown_next(&held->box->cown, &reads);
    size_t given = 0;
    for (size_t i = 0; next != NULL && !reads && i < job->behaviour.n; i++) {
        given += ot_cown_next(job->requests[i].cown, &others) == next;
    }
    if (next == NULL || reads || atomic_load(&next->missing) != given) {
        return false;
    }
    for (size_t i = 0; i < next->n; i++) {
        const ot_request_t *r = &next->requests[i];
        int keeper = r->reads ? OT_NOT_KEPT : atomic_load(&((ot_box_t *)r->cown)->keeper);
        if (keeper >= 0 && keeper != member) {
            return false;
        }
    }
    return true;
}

/* Leaves the tree in this worker, because it cannot travel. Behaviours that need the box will
 * run here. */
static void
keep(ot_held_box_t *held, int member)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *text = error == NULL ? NULL : PyObject_Str(error);
    const char *utf8 = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    PyErr_Clear();
    ot_box_keep(held->box, member, held->out, utf8 != NULL ? utf8 : "no memory");
    held->out = NULL;
    Py_XDECREF(text);
    PyErr_SetRaisedException(error);
}

/* The content at rest; NULL with an exception. */
static ot_value_t *
rest(ot_held_box_t *held, bool strict)
{
    ot_root_rule_t shared = held->is_new ? OT_ROOT_KEPT : OT_ROOT_AS_SENT;
    ot_receipt_t receipt;
    ot_value_t *content =
        ot_value_new_counted(held->running->home, held->out,
                             Py_REFCNT(held->out) == 1 ? OT_ROOT_OWNED : shared, strict, &receipt);
    if (content != NULL) {
        ot_crew_count_objects(receipt.moved, receipt.copied, receipt.pickled, 0);
    }
    return content;
}

/* After rest() failed: if only because of `strict`, puts the tree to rest with copies, so that it is not lost, and leaves
 * SharedReferenceError set. NULL: the tree cannot be put to rest at all. */
static ot_value_t *
rest_all_the_same(ot_held_box_t *held)
{
    PyObject *shared = held->running->home->interp->shared_reference_error;
    if (!held->running->job->strict || !PyErr_ExceptionMatches(shared)) {
        return NULL;
    }
    PyObject *error = PyErr_GetRaisedException();
    ot_value_t *content = rest(held, false);
    if (content == NULL) {
        Py_DECREF(error);
    } else {
        PyErr_SetRaisedException(error);
    }
    return content;
}

/* 0; or -1 with an exception, and then the worker keeps the tree, or (strict) it went back with copies. */
static int
put_back(ot_held_box_t *held)
{
    const ot_job_t *job = held->running->job;
    int member = ot_crew_self();
    if (held->box->pinned_to == held->running->home->interp_id) {
        ot_box_clear_failure(held->box);
        ot_box_set_pinned(held->box, held->out);
        held->out = NULL;
        return 0;
    }
    if (ot_crew_is_worker() && !job->strict && in_a_row < MOST_IN_A_ROW && !ot_crew_is_stopping() &&
        goes_on_here(job, held, member)) {
        ot_box_clear_failure(held->box);
        ot_box_keep(held->box, member, held->out, NULL);
        held->box->stayed++;
        held->out = NULL;
        held->running->stays = true;
        ot_crew_count_objects(0, 0, 0, 1);
        return 0;
    }
    ot_value_t *content = rest(held, job->strict);
    held->box->stayed = 0;
    bool failed = content == NULL;
    if (failed) {
        content = rest_all_the_same(held);
    }
    if (content != NULL) {
        PyObject *out = held->out, *error = PyErr_GetRaisedException();
        held->out = NULL;
        ot_box_set(held->box, content);
        Py_DECREF(out);
        PyErr_SetRaisedException(error);
    } else if (member >= 0) {
        keep(held, member);
    } /* else the worker has left its loop, and the tree dies with the Held: it is lost */
    return failed ? -1 : 0;
}

/* The tree of the behaviour before stayed here for this one, which did not look at it. */
static void
take_what_stayed(ot_held_box_t *held)
{
    ot_box_t *box = held->box;
    if (held->out == NULL && !box->stuck && atomic_load(&box->keeper) == ot_crew_self()) {
        held->out = ot_box_take(held->running->home, box, (PyObject *)held, ot_crew_self());
        held->is_new = held->was_kept = false;
    }
}

/* All trees go back. 0; or -1 with the first exception: `where` says whose tree it was. The others' are dropped. */
static int
put_all_back(ot_running_t *running)
{
    PyObject *error = NULL;
    running->closed = true;
    running->stays = false;
    for (Py_ssize_t i = 0; running->handles != NULL && i < PyTuple_GET_SIZE(running->handles);
         i++) {
        ot_held_box_t *held = ot_as_held(PyTuple_GET_ITEM(running->handles, i));
        if (held->reads) {
            Py_CLEAR(held->out); /* before the box is free: a view would cost the next one a copy */
            continue;
        }
        take_what_stayed(held);
        unsigned stayed = held->box->stayed;
        if (held->out != NULL && put_back(held) < 0) {
            if (error == NULL && !held->was_kept) {
                error = PyErr_GetRaisedException();
                running->where = i;
                running->stayed = stayed;
            }
            PyErr_Clear();
        }
    }
    in_a_row = running->stays ? in_a_row + 1 : 0;
    PyErr_SetRaisedException(error);
    return error == NULL ? 0 : -1;
}

/* The job is over: its result is `result`, or the failure. Refs: steals the failure. */
static void
end(ot_running_t *running, ot_value_t *failure, const char *report)
{
    ot_job_t *job = running->job;
    running->job = NULL;
    ot_box_inside = NULL;
    if (running->result != NULL && failure == NULL && report == NULL) {
        ot_box_set(job->result, running->result);
    } else {
        ot_value_unref(running->result);
        ot_box_fail(job->result, failure, report);
    }
    running->result = NULL;
    PyObject *handles = running->handles;
    running->handles = NULL;
    ot_job_end(job);
    Py_XDECREF(handles);
}

/* Calls fn, puts its result and all trees to rest, and ends. -1 with an exception: then end() is still to be called. */
static int
run(ot_running_t *running, PyObject *fn, PyObject *const *args, size_t n)
{
    ot_box_inside = &running->inside;
    PyObject *result = PyObject_Vectorcall(fn, args, n, NULL);
    if (result == NULL) {
        return -1;
    }
    running->returned = true;
    running->result = ot_value_new_exclusive(running->home, result,
                                             Py_REFCNT(result) == 1 ? OT_ROOT_OWNED : OT_ROOT_KEPT);
    Py_DECREF(result);
    if (running->result == NULL || put_all_back(running) < 0) {
        return -1;
    }
    end(running, NULL, NULL);
    return 0;
}

/* run(fn, *args): call it, put its result and all trees to rest, and end. What fails is raised, and then end() is still to
 * be called. */
static PyObject *
running_run(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    ot_running_t *running = ot_as_running(self);
    if (nargs < 1 || running->job == NULL || running->closed) {
        PyErr_SetString(PyExc_RuntimeError, "run() takes a function, once");
        return NULL;
    }
    return run(running, args[0], args + 1, (size_t)nargs - 1) < 0 ? NULL : Py_NewRef(Py_None);
}

/* The function is one that was made before, or is made of it. 1: it has run; 0: nothing was done; -1 with an exception. */
static int
run_remembered(ot_running_t *running)
{
    const ot_job_t *job = running->job;
    PyObject *like = job == NULL || job->code == NULL || job->work != NULL
                         ? NULL
                         : ot_code_function(running->home, job->code);
    if (like == NULL || running->closed ||
        (job->own == NULL && PyCode_GetNumFree((PyCodeObject *)PyFunction_GET_CODE(like)) > 0)) {
        return 0;
    }
    PyObject *fn = job->own == NULL ? Py_NewRef(like) : ot_own_make(running->home, job->own, like);
    PyObject *handles = Py_NewRef(running->handles);
    int rc = fn == NULL ? -1
                        : run(running, fn, ((PyTupleObject *)handles)->ob_item,
                              (size_t)PyTuple_GET_SIZE(handles));
    Py_DECREF(handles);
    Py_XDECREF(fn);
    return rc < 0 ? -1 : 1;
}

/* execute(open_work, fail): run() by what is remembered of its code, or with open_work(self). fail(self, exception) is called
 * if that raises. */
static PyObject *
running_execute(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) {
        return PyErr_Format(PyExc_TypeError, "execute() takes two functions");
    }
    int done = run_remembered(ot_as_running(self));
    if (done == 0) {
        PyObject *call = PyObject_CallOneArg(args[0], self);
        bool is_list = call != NULL && PyList_CheckExact(call) && PyList_GET_SIZE(call) > 0;
        PyObject *none =
            is_list ? running_run(self, ((PyListObject *)call)->ob_item, PyList_GET_SIZE(call))
                    : NULL;
        done = none == NULL ? -1 : 1;
        Py_XDECREF(none);
        Py_XDECREF(call);
    }
    if (done > 0) {
        Py_RETURN_NONE;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *none = PyObject_CallFunctionObjArgs(args[1], self, error, NULL);
    Py_XDECREF(error);
    return none;
}

/* remember(function): behaviours with this one's code have the function's code, globals and names. */
static PyObject *
running_remember(PyObject *self, PyObject *function)
{
    ot_running_t *running = ot_as_running(self);
    if (!PyFunction_Check(function)) {
        return PyErr_Format(PyExc_TypeError, "remember() takes a function");
    }
    const ot_code_t *code = running->job == NULL ? NULL : running->job->code;
    bool fails = code != NULL && ot_code_remember_function(running->home, code, function) < 0;
    return fails ? NULL : Py_NewRef(Py_None);
}

static PyObject *
running_put_back(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_running_t *running = ot_as_running(self);
    return running->job != NULL && put_all_back(running) < 0 ? NULL : Py_NewRef(Py_None);
}

/* end(description, text): the behaviour has failed. */
static PyObject *
running_end(PyObject *self, PyObject *args)
{
    ot_running_t *running = ot_as_running(self);
    PyObject *description;
    const char *text;
    if (!PyArg_ParseTuple(args, "Os:end", &description, &text)) {
        return NULL;
    }
    if (running->job != NULL) {
        ot_value_t *failure = ot_value_new(running->home, description);
        if (failure == NULL) {
            return NULL;
        }
        end(running, failure, text);
    }
    Py_RETURN_NONE;
}

/* Nobody has ended it: its worker is at its end, or has no memory. */
static void
running_finalize(PyObject *self)
{
    ot_running_t *running = ot_as_running(self);
    if (running->job == NULL) {
        return;
    }
    static const char text[] = "the worker ended before the behaviour had";
    PyObject *error = PyErr_GetRaisedException();
    if (put_all_back(running) < 0) {
        PyErr_WriteUnraisable(self);
    }
    ot_value_t *failure = ot_job_failure(running->home, text);
    PyErr_Clear();
    end(running, failure, text);
    PyErr_SetRaisedException(error);
}

/* ---- the type -------------------------------------------------------------------------------- */

static PyObject *
running_number(PyObject *self, void *unused)
{
    (void)unused;
    const ot_job_t *job = ot_as_running(self)->job;
    return PyLong_FromUnsignedLongLong(job == NULL ? 0 : job->number);
}

static PyObject *
running_code_number(PyObject *self, void *unused)
{
    (void)unused;
    const ot_job_t *job = ot_as_running(self)->job;
    return PyLong_FromUnsignedLongLong(job == NULL || job->code == NULL ? 0 : job->code->number);
}

static PyObject *
running_stayed(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(ot_as_running(self)->stayed);
}

static PyObject *
running_where(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(ot_as_running(self)->where);
}

static PyObject *
running_returned(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_as_running(self)->returned);
}

static PyObject *
running_ended(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_as_running(self)->job == NULL);
}

static int
running_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(ot_as_running(self)->module);
    Py_VISIT(ot_as_running(self)->handles);
    return 0;
}

static int
running_clear(PyObject *self)
{
    Py_CLEAR(ot_as_running(self)->handles);
    return 0;
}

static void
running_dealloc(PyObject *self)
{
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)running_clear(self);
    Py_XDECREF(ot_as_running(self)->module);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef running_methods[] = {
    {"work", running_work, METH_NOARGS,
     "What is to be done beside its code, as schedule() got it, once; None: nothing."},
    {"code", running_code, METH_NOARGS, "What its _Code was made of; None: it has none."},
    {"run", OT_METHOD(running_run), METH_FASTCALL,
     "run(fn, *args): call fn, put its result and all trees to rest, and end. If that raises, put_back() and end() are\n"
     "still to be called."},
    {"execute", OT_METHOD(running_execute), METH_FASTCALL,
     "execute(open_work, fail): run() what is remembered, or open_work(self), a list; fail(self, exception) if that raises."},
    {"remember", running_remember, METH_O,
     "remember(function): its code, globals and names are those of all behaviours with this one's _Code."},
    {"put_back", running_put_back, METH_NOARGS,
     "Put all trees to rest. What cannot travel stays in this worker; the first such tree's exception is raised."},
    {"end", running_end, METH_VARARGS,
     "end(description, text): the behaviour has failed. Frees its boxes."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef running_getset[] = {
    {"handles", running_handles, NULL, "A Held for each box.", NULL},
    {"number", running_number, NULL, "The behaviour's, from 1.", NULL},
    {"returned", running_returned, NULL, "Whether the function has returned.", NULL},
    {"code_number", running_code_number, NULL, "Its _Code's, 0: it has none.", NULL},
    {"stayed", running_stayed, NULL,
     "After how many behaviours before this one the tree that cannot travel was not looked at.",
     NULL},
    {"where", running_where, NULL, "Which box's tree could not travel; -1: none.", NULL},
    {"ended", running_ended, NULL, "Whether its boxes are free.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot running_slots[] = {
    {Py_tp_doc, "A behaviour in the worker that runs it."},
    {Py_tp_dealloc, running_dealloc},
    {Py_tp_finalize, running_finalize},
    {Py_tp_traverse, running_traverse},
    {Py_tp_clear, running_clear},
    {Py_tp_methods, running_methods},
    {Py_tp_getset, running_getset},
    {0, NULL},
};

static PyType_Spec running_spec = {"objtunnel._core._Running", sizeof(ot_running_t), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
                                       Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                   running_slots};

int
ot_running_types_add(ot_objects_t *home)
{
    if (ot_held_type_add(home) < 0) {
        return -1;
    }
    home->running = (PyTypeObject *)PyType_FromModuleAndSpec(home->module, &running_spec, NULL);
    return home->running == NULL ? -1 : 0;
}
