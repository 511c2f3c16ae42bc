/* running.c: the Python types Held and _core._Running: a behaviour in the worker that runs it.
 *
 * A Held is what a behaviour's function gets for each of its boxes. The tree moves into the worker's interpreter when
 * `value` is first asked for, and goes back when the behaviour ends. Of a box that is only read the tree stays at rest, and
 * `value` is a view of it.
 *
 * Main invariant: a Running has its job until it is ended, and is ended whatever happens: by run(), by end(), or when it
 * dies. A Held has a tree exactly while `out` is not NULL; then its box has no content, unless it is only read.
 * Threading: the GIL of the worker's interpreter. Other threads of the interpreter may use a Held meanwhile.
 */
#include "objects/behaviour/behaviour_type.h"
#include "runtime/checks.h"

typedef struct {
    PyObject_HEAD
    ot_objects_t *home;
    PyObject *module;   /* keeps home */
    ot_job_t *job;      /* NULL: ended */
    PyObject *handles;  /* a tuple of Held, NULL once they are of no use */
    ot_value_t *result; /* owned: what the function returned, at rest */
    Py_ssize_t where;   /* the box whose tree cannot travel, -1: none */
    unsigned
        stayed; /* behaviours in a row before this one that left this tree here, and may be to blame */
    bool returned; /* the function has */
    bool closed;   /* trees go back now: no Held gives any more */
    bool stays;    /* a tree stays here for the next behaviour */
    ot_box_inside_t inside;
} running_t;

typedef struct {
    PyObject_HEAD
    running_t *running; /* owned */
    ot_box_t *box;      /* borrowed from the job, while the Running has it */
    PyObject *out;      /* owned: the tree, or a view of it */
    uint64_t id;        /* the box's */
    bool reads;         /* the tree stays where it is */
    bool is_new;        /* `out` never came out of a box: it was assigned */
    bool
        was_kept; /* it could not travel when it was taken out, which its behaviour is not to blame for */
    bool busy; /* a thread is taking the tree out */
} held_t;

static running_t *
as_running(PyObject *o)
{
    return (running_t *)o;
}

static held_t *
as_held(PyObject *o)
{
    return (held_t *)o;
}

/* ---- Held ------------------------------------------------------------------------------------ */

static int
check_open(held_t *held)
{
    if (held->running == NULL || held->running->job == NULL || held->running->closed) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "the behaviour that had this box has ended: its handles are of no use any more");
        return -1;
    }
    if (held->busy) {
        PyErr_SetString(PyExc_RuntimeError,
                        "another thread is just taking the tree out of this box");
        return -1;
    }
    return 0;
}

/* Brings the tree here. 0 or -1 with an exception. */
static int
load(held_t *held)
{
    if (check_open(held) < 0) {
        return -1;
    }
    if (held->out == NULL && held->reads) {
        held->busy = true;
        held->out = ot_box_read(held->running->home, held->box, (PyObject *)held);
        held->busy = false;
        return held->out == NULL ? -1 : 0;
    }
    if (held->out == NULL) {
        ot_objects_t *home = held->running->home;
        held->was_kept = held->box->stuck;
        held->busy = true;
        held->out = ot_box_take(home, held->box, (PyObject *)held, ot_crew_self());
        held->busy = false;
        if (held->out == NULL) {
            return -1;
        }
        held->is_new = false;
        ot_cown_run_by(&held->box->cown, home->interp_id);
    }
    return 0;
}

static PyObject *
held_value(PyObject *self, void *unused)
{
    (void)unused;
    return load(as_held(self)) < 0 ? NULL : Py_NewRef(as_held(self)->out);
}

/* Another tree in place of the one in the box, which need not have been looked at. */
static int
held_set_value(PyObject *self, PyObject *tree, void *unused)
{
    held_t *held = as_held(self);
    (void)unused;
    if (tree == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a box always has a tree: assign None");
        return -1;
    }
    if (held->reads) {
        PyErr_Format(PyExc_TypeError,
                     "%R is named in read=: name its box before that to put another tree into it",
                     self);
        return -1;
    }
    if (check_open(held) < 0 || (atomic_load(&held->box->keeper) >= 0 && load(held) < 0)) {
        return -1;
    }
    ot_value_t *content = held->box->content;
    PyObject *old = held->out;
    ot_box_end_reading(held->box);
    held->box->content = NULL;
    held->out = Py_NewRef(tree);
    held->is_new = true;
    held->was_kept = false;
    ot_value_unref(content);
    Py_XDECREF(old);
    return 0;
}

static PyObject *
held_copy(PyObject *self, PyObject *unused)
{
    (void)unused;
    held_t *held = as_held(self);
    if (!held->reads) {
        return PyErr_Format(PyExc_TypeError,
                            "%R: copy() is for boxes that are named in read=; this one's tree is "
                            "yours, copy what you need of it",
                            self);
    }
    return check_open(held) < 0 ? NULL : ot_box_copy(held->running->home, held->box, self);
}

static PyObject *
held_box(PyObject *self, void *unused)
{
    (void)unused;
    held_t *held = as_held(self);
    if (check_open(held) < 0) {
        return NULL;
    }
    ot_shared_ref(&held->box->cown.lock.head);
    return ot_handle_steal(held->running->home, &held->box->cown.lock.head);
}

static PyObject *
held_repr(PyObject *self)
{
    const running_t *running = as_held(self)->running;
    bool open = running != NULL && running->job != NULL && !running->closed;
    return PyUnicode_FromFormat("<objtunnel.Held of Box %llu%s>",
                                (unsigned long long)as_held(self)->id, open ? "" : ", ended");
}

static int
held_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_held(self)->running);
    Py_VISIT(as_held(self)->out);
    return 0;
}

/* Not `out`: the Running puts it back when it dies, before or after. */
static int
held_clear(PyObject *self)
{
    Py_CLEAR(as_held(self)->running);
    return 0;
}

static void
held_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)held_clear(self);
    Py_CLEAR(as_held(self)->out);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyGetSetDef held_getset[] = {
    {"value", held_value, held_set_value,
     "The live tree; it moves here when it is first asked for. Assign another one to put that into the box.\n"
     "Of a box that is named in read= a frozen view of the tree.\n\n"
     "Raises what the behaviour raised whose result the box is; LockAbandonedError if the tree is lost.",
     NULL},
    {"box", held_box, NULL, "The Box.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef held_methods[] = {
    {"copy", held_copy, METH_NOARGS,
     "copy($self)\n--\n\nAn equal tree of your own, of a box that is named in read=. Nothing that you change in it goes\n"
     "back into the box."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot held_slots[] = {
    {Py_tp_doc, "A box that a behaviour has to itself: see objtunnel.when()."},
    {Py_tp_dealloc, held_dealloc},
    {Py_tp_traverse, held_traverse},
    {Py_tp_clear, held_clear},
    {Py_tp_repr, held_repr},
    {Py_tp_methods, held_methods},
    {Py_tp_getset, held_getset},
    {0, NULL},
};

static PyType_Spec held_spec = {"objtunnel.Held", sizeof(held_t), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                                    Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                held_slots};

static PyObject *
new_held(running_t *running, size_t i)
{
    PyTypeObject *type = running->home->held;
    held_t *held = (held_t *)type->tp_alloc(type, 0);
    if (held != NULL) {
        held->running = (running_t *)Py_NewRef((PyObject *)running);
        held->box = ot_job_box(running->job, i);
        held->id = held->box->cown.lock.head.id;
        held->reads = ot_job_reads(running->job, i);
    }
    return (PyObject *)held;
}

/* ---- Running: the beginning -------------------------------------------------------------------- */

/* For `with box` of a box of the behaviour's own. */
static PyObject *
value_of(void *arg, ot_box_t *box)
{
    running_t *running = arg;
    for (Py_ssize_t i = 0; running->handles != NULL && i < PyTuple_GET_SIZE(running->handles);
         i++) {
        PyObject *held = PyTuple_GET_ITEM(running->handles, i);
        if (as_held(held)->box == box) {
            return held_value(held, NULL);
        }
    }
    PyErr_SetString(PyExc_RuntimeError, "the behaviour that had this box has ended");
    return NULL;
}

PyObject *
ot_running_steal(ot_objects_t *home, ot_job_t *job)
{
    running_t *self = (running_t *)home->running->tp_alloc(home->running, 0);
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
        PyObject *held = new_held(self, i);
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
    return Py_NewRef(as_running(self)->handles == NULL ? Py_None : as_running(self)->handles);
}

/* The caller's, once: it may hold what only the behaviour can reach. */
static PyObject *
running_work(PyObject *self, PyObject *unused)
{
    (void)unused;
    running_t *running = as_running(self);
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
    running_t *running = as_running(self);
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
goes_on_here(const ot_job_t *job, const held_t *held, int member)
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

/* The tree stays here, and what needs it comes here. */
static void
keep(held_t *held, int member)
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
rest(held_t *held, bool strict)
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

/* At rest, but with copies, although they are an error: that is set on return. NULL: that did not help. */
static ot_value_t *
rest_all_the_same(held_t *held)
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
put_back(held_t *held)
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
take_what_stayed(held_t *held)
{
    ot_box_t *box = held->box;
    if (held->out == NULL && !box->stuck && atomic_load(&box->keeper) == ot_crew_self()) {
        held->out = ot_box_take(held->running->home, box, (PyObject *)held, ot_crew_self());
        held->is_new = held->was_kept = false;
    }
}

/* All trees go back. 0; or -1 with the first exception: `where` says whose tree it was. The others' are dropped. */
static int
put_all_back(running_t *running)
{
    PyObject *error = NULL;
    running->closed = true;
    running->stays = false;
    for (Py_ssize_t i = 0; running->handles != NULL && i < PyTuple_GET_SIZE(running->handles);
         i++) {
        held_t *held = as_held(PyTuple_GET_ITEM(running->handles, i));
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
end(running_t *running, ot_value_t *failure, const char *report)
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

/* run(fn, *args): call it, put its result and all trees to rest, and end. What fails is raised, and then end() is still to
 * be called. */
static PyObject *
running_run(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    running_t *running = as_running(self);
    if (nargs < 1 || running->job == NULL || running->closed) {
        PyErr_SetString(PyExc_RuntimeError, "run() takes a function, once");
        return NULL;
    }
    ot_box_inside = &running->inside;
    PyObject *result = PyObject_Vectorcall(args[0], args + 1, (size_t)nargs - 1, NULL);
    if (result == NULL) {
        return NULL;
    }
    running->returned = true;
    running->result = ot_value_new_exclusive(running->home, result,
                                             Py_REFCNT(result) == 1 ? OT_ROOT_OWNED : OT_ROOT_KEPT);
    Py_DECREF(result);
    if (running->result == NULL || put_all_back(running) < 0) {
        return NULL;
    }
    end(running, NULL, NULL);
    Py_RETURN_NONE;
}

static PyObject *
running_put_back(PyObject *self, PyObject *unused)
{
    (void)unused;
    running_t *running = as_running(self);
    return running->job != NULL && put_all_back(running) < 0 ? NULL : Py_NewRef(Py_None);
}

/* end(description, text): the behaviour has failed. */
static PyObject *
running_end(PyObject *self, PyObject *args)
{
    running_t *running = as_running(self);
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
    running_t *running = as_running(self);
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
    const ot_job_t *job = as_running(self)->job;
    return PyLong_FromUnsignedLongLong(job == NULL ? 0 : job->number);
}

static PyObject *
running_code_number(PyObject *self, void *unused)
{
    (void)unused;
    const ot_job_t *job = as_running(self)->job;
    return PyLong_FromUnsignedLongLong(job == NULL || job->code == NULL ? 0 : job->code->number);
}

static PyObject *
running_stayed(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(as_running(self)->stayed);
}

static PyObject *
running_where(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(as_running(self)->where);
}

static PyObject *
running_returned(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(as_running(self)->returned);
}

static PyObject *
running_ended(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(as_running(self)->job == NULL);
}

static int
running_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_running(self)->module);
    Py_VISIT(as_running(self)->handles);
    return 0;
}

static int
running_clear(PyObject *self)
{
    Py_CLEAR(as_running(self)->handles);
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
    Py_XDECREF(as_running(self)->module);
    type->tp_free(self);
    Py_DECREF(type);
}

#define FUNCTION(f) ((PyCFunction)(void (*)(void))(f))

static PyMethodDef running_methods[] = {
    {"work", running_work, METH_NOARGS,
     "What is to be done beside its code, as schedule() got it, once; None: nothing."},
    {"code", running_code, METH_NOARGS, "What its _Code was made of; None: it has none."},
    {"run", FUNCTION(running_run), METH_FASTCALL,
     "run(fn, *args): call fn, put its result and all trees to rest, and end. If that raises, put_back() and end() are\n"
     "still to be called."},
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

static PyType_Spec running_spec = {"objtunnel._core._Running", sizeof(running_t), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
                                       Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                   running_slots};

int
ot_running_types_add(ot_objects_t *home)
{
    home->held = (PyTypeObject *)PyType_FromModuleAndSpec(home->module, &held_spec, NULL);
    if (home->held == NULL || PyModule_AddType(home->module, home->held) < 0) {
        return -1;
    }
    home->running = (PyTypeObject *)PyType_FromModuleAndSpec(home->module, &running_spec, NULL);
    return home->running == NULL ? -1 : 0;
}
