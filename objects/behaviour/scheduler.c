/* scheduler.c: the Python type _core._Scheduler: what when() returns for boxes that each are a parameter, all different.
 *
 * Calling it with a function that was scheduled before, and has nothing but simple objects in its cells and defaults, is one step in C; with any other
 * it calls what when() gave it, in Python.
 *
 * Main invariant: `boxes` is a tuple of different Boxes.
 * Threading: the GIL of its interpreter.
 */
#include "objects/behaviour/behaviour_type.h"

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    ot_objects_t *home;
    PyObject *boxes;     /* owned */
    PyObject *otherwise; /* owned: called with (function, boxes, None, strict) */
    bool strict;
    PyObject *refuses; /* owned: whether nothing may be scheduled now, as `otherwise` says */
} scheduler_t;

enum { FEW = 8 };

/* Whether the function may be scheduled by what is remembered of it. -1 with an exception. */
static int
is_allowed(const scheduler_t *self)
{
    if (ot_crew_size() == 0 || ot_crew_is_stopping()) {
        return 0; /* Python starts it, or says why not */
    }
    if (self->home->interp_id == 0) {
        return 1; /* the main interpreter never runs a script for its names */
    }
    PyObject *refused = PyObject_CallNoArgs(self->refuses);
    int allowed = refused == NULL ? -1 : refused == Py_False;
    Py_XDECREF(refused);
    return allowed;
}

static PyObject *
scheduler_call(PyObject *o, PyObject *const *args, size_t nargsf, PyObject *names)
{
    scheduler_t *self = (scheduler_t *)o;
    if (PyVectorcall_NARGS(nargsf) != 1 || (names != NULL && PyTuple_GET_SIZE(names) > 0)) {
        return PyErr_Format(PyExc_TypeError, "@when(...) takes exactly one argument, a function");
    }
    Py_ssize_t n = PyTuple_GET_SIZE(self->boxes);
    ot_code_t *code = n > FEW ? NULL : ot_code_recall(self->home, args[0]);
    int allowed = code == NULL ? 0 : is_allowed(self);
    ot_own_t *own = NULL;
    if (allowed > 0) {
        allowed = ot_own_of(self->home, args[0], &own);
    }
    if (allowed < 0) {
        return NULL;
    }
    if (!allowed) {
        PyObject *all[] = {args[0], self->boxes, Py_None, self->strict ? Py_True : Py_False};
        return PyObject_Vectorcall(self->otherwise, all, 4, NULL);
    }
    ot_box_t *boxes[FEW];
    for (Py_ssize_t i = 0; i < n; i++) {
        boxes[i] = (ot_box_t *)ot_as_handle(PyTuple_GET_ITEM(self->boxes, i))->shared;
    }
    ot_box_t *result =
        ot_job_schedule(boxes, (size_t)n, 0, ot_code_ref(code), own, NULL, self->strict);
    return result == NULL ? NULL : ot_handle_steal(self->home, &result->cown.lock.head);
}

/* _scheduler(boxes, strict, otherwise, refuses); None: the boxes are not such. */
static PyObject *
new_scheduler(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (nargs != 4 || !PyTuple_Check(args[0]) || !PyBool_Check(args[1])) {
        return PyErr_Format(PyExc_TypeError,
                            "_scheduler() takes a tuple of boxes, a bool and two functions");
    }
    Py_ssize_t n = PyTuple_GET_SIZE(args[0]);
    ot_objects_t *home = ot_home_of_box(n == 0 ? NULL : PyTuple_GET_ITEM(args[0], 0));
    if (home == NULL) {
        return NULL;
    }
    bool plain = n <= FEW;
    for (Py_ssize_t i = 0; plain && i < n; i++) {
        PyObject *box = PyTuple_GET_ITEM(args[0], i);
        plain = Py_IS_TYPE(box, home->box);
        for (Py_ssize_t j = 0; plain && j < i; j++) {
            plain = ot_as_handle(box)->shared != ot_as_handle(PyTuple_GET_ITEM(args[0], j))->shared;
        }
    }
    if (!plain) {
        Py_RETURN_NONE;
    }
    scheduler_t *self = PyObject_GC_New(scheduler_t, home->scheduler);
    if (self == NULL) {
        return NULL;
    }
    self->call = scheduler_call;
    self->home = home;
    self->boxes = Py_NewRef(args[0]);
    self->strict = args[1] == Py_True;
    self->otherwise = Py_NewRef(args[2]);
    self->refuses = Py_NewRef(args[3]);
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int
scheduler_traverse(PyObject *o, visitproc visit, void *arg)
{
    scheduler_t *self = (scheduler_t *)o;
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(self->boxes);
    Py_VISIT(self->otherwise);
    Py_VISIT(self->refuses);
    return 0;
}

static void
scheduler_dealloc(PyObject *o)
{
    scheduler_t *self = (scheduler_t *)o;
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    Py_XDECREF(self->boxes);
    Py_XDECREF(self->otherwise);
    Py_XDECREF(self->refuses);
    PyObject_GC_Del(o);
    Py_DECREF(type);
}

static PyMemberDef members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(scheduler_t, call), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "What when() returns: call it with a function."},
    {Py_tp_dealloc, scheduler_dealloc},
    {Py_tp_traverse, scheduler_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {"objtunnel._core._Scheduler", sizeof(scheduler_t), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                               Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                           slots};

static PyMethodDef functions[] = {
    {"_scheduler", OT_METHOD(new_scheduler), METH_FASTCALL,
     "_scheduler(boxes, strict, otherwise, refuses): what @when() returns for a tuple of different Boxes, "
     "or None."},
    {NULL, NULL, 0, NULL},
};

int
ot_scheduler_type_add(ot_objects_t *home)
{
    home->scheduler = (PyTypeObject *)PyType_FromModuleAndSpec(home->module, &spec, NULL);
    return home->scheduler == NULL ? -1 : PyModule_AddFunctions(home->module, functions);
}
