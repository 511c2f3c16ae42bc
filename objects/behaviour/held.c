/* held.c: the Python type Held: what a behaviour's function gets for each of its boxes.
 *
 * The tree moves into the worker's interpreter when `value` is first asked for, and goes back when the behaviour ends. Of a box
 * that is only read the tree stays at rest, and `value` is a view of it.
 *
 * Main invariant, threading: see running.h.
 */
#include "objects/behaviour/running.h"
#include "runtime/import.h"

static int
check_open(ot_held_box_t *held)
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
load(ot_held_box_t *held)
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

PyObject *
ot_held_value(PyObject *self, void *unused)
{
    (void)unused;
    return load(ot_as_held(self)) < 0 ? NULL : Py_NewRef(ot_as_held(self)->out);
}

/* Another tree in place of the one in the box, which need not have been looked at. */
static int
held_set_value(PyObject *self, PyObject *tree, void *unused)
{
    ot_held_box_t *held = ot_as_held(self);
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
    ot_held_box_t *held = ot_as_held(self);
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
    ot_held_box_t *held = ot_as_held(self);
    if (check_open(held) < 0) {
        return NULL;
    }
    ot_shared_ref(&held->box->cown.lock.head);
    return ot_handle_steal(held->running->home, &held->box->cown.lock.head);
}

static PyObject *
held_repr(PyObject *self)
{
    const ot_running_t *running = ot_as_held(self)->running;
    bool open = running != NULL && running->job != NULL && !running->closed;
    return PyUnicode_FromFormat("<objtunnel.Held of Box %llu%s>",
                                (unsigned long long)ot_as_held(self)->id, open ? "" : ", ended");
}

static int
held_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(ot_as_held(self)->running);
    Py_VISIT(ot_as_held(self)->out);
    return 0;
}

/* `out` stays: the Running puts that tree back when it dies, which may be before this or after. */
static int
held_clear(PyObject *self)
{
    Py_CLEAR(ot_as_held(self)->running);
    return 0;
}

static void
held_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)held_clear(self);
    Py_CLEAR(ot_as_held(self)->out);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyGetSetDef held_getset[] = {
    {"value", ot_held_value, held_set_value,
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

static PyType_Spec held_spec = {"objtunnel.Held", sizeof(ot_held_box_t), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                                    Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                held_slots};

PyObject *
ot_held_new(ot_running_t *running, size_t i)
{
    PyTypeObject *type = running->home->held;
    ot_held_box_t *held = (ot_held_box_t *)type->tp_alloc(type, 0);
    if (held != NULL) {
        held->running = (ot_running_t *)Py_NewRef((PyObject *)running);
        held->box = ot_job_box(running->job, i);
        held->id = held->box->cown.lock.head.id;
        held->reads = ot_job_reads(running->job, i);
    }
    return (PyObject *)held;
}

int
ot_held_type_add(ot_objects_t *home)
{
    return ot_type_add(home->module, &held_spec, &home->held);
}
