/* box.c: the Python type Box (see box.h).
 *
 * The handle that has acquired the box keeps the tree, so a tree is never lost sight of: it goes back
 * by release() or the end of a with statement, or else when that handle dies, as it does at the
 * end of its interpreter. What cannot be put back then is lost, and who asks next is told.
 *
 * Main invariant: out is not NULL only in a handle whose interpreter holds the lock.
 * Threading: the GIL of the handle's interpreter, which is let go of while waiting.
 */
#include "objects/box/box.h"

#include <sched.h>
#include <stdlib.h>

#include "objects/box/crew.h"
#include "objects/sync/sync_type.h"
#include "runtime/checks.h"
#include "runtime/import.h"

typedef struct {
    ot_handle_t handle; /* first */
    PyObject *out;      /* the live tree; NULL: this handle has not acquired the box */
} box_handle_t;

static box_handle_t *
as_box(PyObject *self)
{
    return (box_handle_t *)self;
}

static ot_box_t *
box_of(PyObject *self)
{
    return (ot_box_t *)ot_as_handle(self)->shared;
}

static ot_objects_t *
home_of(PyObject *self)
{
    return ot_as_handle(self)->home;
}

void
ot_box_check(PyObject *handle)
{
    const ot_box_t *box = box_of(handle);
    ot_lock_state_t state = ot_lock_state(&box_of(handle)->cown.lock);
    if (as_box(handle)->out != NULL) {
        OT_MUST(state.depth > 0 && state.interp == home_of(handle)->interp_id);
        OT_MUST(box->content == NULL);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Box(tree). A vectorcall, because a tuple of arguments would be a second reference to the tree. */
static PyObject *
box_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *names)
{
    (void)type;
    if (PyVectorcall_NARGS(nargsf) != 1 || (names != NULL && PyTuple_GET_SIZE(names) > 0)) {
        PyErr_SetString(PyExc_TypeError, "Box() takes exactly one argument, the tree");
        return NULL;
    }
    ot_objects_t *home = ot_objects_current();
    ot_value_t *content = home == NULL ? NULL : ot_box_enter(home, args[0]);
    ot_box_t *box = content == NULL ? NULL : ot_box_new(content);
    return box == NULL ? NULL : ot_handle_steal(home, &box->cown.lock.head);
}

static PyObject *
box_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Box() takes no keyword arguments");
        return NULL;
    }
    return box_vectorcall((PyObject *)type, ((PyTupleObject *)args)->ob_item,
                          (size_t)PyTuple_GET_SIZE(args), NULL);
}

/* ---- acquire --------------------------------------------------------------------------------- */

/* The place of a thread in a box's queue that runs what is bound to its interpreter meanwhile: a behaviour without a job. */
typedef struct {
    ot_behaviour_t behaviour; /* first */
    ot_request_t request;
    int host;
    bool granted; /* under the host's lock */
} ticket_t;

static void
ticket_ready(ot_behaviour_t *b)
{
    ticket_t *ticket = (ticket_t *)b;
    ot_crew_host_tell(ticket->host, &ticket->granted);
}

static int
pump(void)
{
    PyObject *function = ot_import_attr("objtunnel._behaviours", "pump");
    PyObject *count = function == NULL ? NULL : PyObject_CallNoArgs(function);
    Py_XDECREF(function);
    Py_XDECREF(count);
    return count == NULL ? -1 : 0;
}

/* Waits in the queue in the thread that runs what is bound to the host: it may be that what it waits for. */
static ot_sync_result_t
acquire_pumping(PyObject *self, int host, int64_t deadline)
{
    ot_cown_t *cown = &box_of(self)->cown;
    ticket_t ticket = {.request = {.cown = cown}, .host = host};
    ot_behaviour_init(&ticket.behaviour, &ticket.request, 1, ticket_ready);
    ticket.behaviour.is_thread = true;
    ot_behaviour_enqueue(&ticket.behaviour);
    ot_sync_result_t result;
    do {
        ot_waiting_t waiting;
        ot_waiting_begin(&waiting, deadline, "acquire", &cown->lock.head);
        if (waiting.patience.awaited != NULL) {
            waiting.patience.awaited->owner_at = &cown->lock.thread;
        }
        result = ot_crew_host_wait(host, &ticket.granted, &waiting.patience);
        ot_waiting_end(&waiting);
        if (result == OT_SYNC_BROKEN && pump() < 0) {
            result = OT_SYNC_INTERRUPTED;
        }
    } while (result == OT_SYNC_BROKEN);
    if (result != OT_SYNC_OK && ot_behaviour_withdraw(&ticket.behaviour)) {
        return result;
    }
    /* The withdrawal came too late: the ticket has the box. `ready` has set ticket.granted, or will in a moment. */
    const ot_patience_t for_ever = {.deadline = OT_FOREVER};
    while (result != OT_SYNC_OK &&
           ot_crew_host_wait(host, &ticket.granted, &for_ever) == OT_SYNC_BROKEN) {
        sched_yield(); /* something is bound, too */
    }
    ot_cown_run_by(cown, home_of(self)->interp_id);
    if (result == OT_SYNC_INTERRUPTED) {
        ot_cown_release(cown);
        return result;
    }
    return OT_SYNC_OK;
}

/* OK: the calling thread has the box. TIMEOUT. Anything else: exception set. */
static ot_sync_result_t
acquire_cown(PyObject *self, int64_t deadline)
{
    ot_cown_t *cown = &box_of(self)->cown;
    if (ot_box_inside != NULL && deadline != OT_DONT_WAIT) { /* whether it would wait or not */
        PyErr_Format(PyExc_RuntimeError,
                     "a behaviour may not wait for %R: name the box in when(), or schedule "
                     "another behaviour on it",
                     self);
        return OT_SYNC_INTERRUPTED;
    }
    const ot_patience_t now = {.deadline = OT_DONT_WAIT};
    ot_sync_result_t result = ot_cown_acquire(cown, home_of(self)->interp_id, &now);
    if (result != OT_SYNC_TIMEOUT || deadline == OT_DONT_WAIT) {
        return result;
    }
    if (ot_lock_state(&cown->lock).mine) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this thread has acquired the box already: release it first");
        return OT_SYNC_INTERRUPTED;
    }
    int host = ot_crew_host_here(home_of(self)->interp_id);
    if (host >= 0) {
        return acquire_pumping(self, host, deadline);
    }
    ot_waiting_t waiting;
    ot_waiting_begin(&waiting, deadline, "acquire", &cown->lock.head);
    result = ot_cown_acquire(cown, home_of(self)->interp_id, &waiting.patience);
    ot_waiting_end(&waiting);
    return result;
}

/* Brings the tree here, and keeps it in the handle; a behaviour's handles keep those of its own boxes. A new reference;
 * NULL without an exception: not in time. */
static PyObject *
acquire(PyObject *self, int64_t deadline)
{
    ot_box_t *box = box_of(self);
    if (ot_box_is_own(box)) {
        return ot_box_inside->value(ot_box_inside->arg, box);
    }
    if (acquire_cown(self, deadline) != OT_SYNC_OK) {
        return NULL;
    }
    PyObject *out = ot_box_take(home_of(self), box, self, -1);
    if (out == NULL) {
        ot_cown_release(&box->cown); /* the tree is in it still, unless it was lost before */
        return NULL;
    }
    as_box(self)->out = out;
    OT_CHECK(ot_box_check(self));
    return Py_NewRef(out);
}

static PyObject *
not_in_time(void)
{
    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_TimeoutError, "the box was not to be had in time");
    }
    return NULL;
}

static PyObject *
box_acquire(PyObject *self, PyObject *args, PyObject *kwargs)
{
    int64_t deadline;
    if (ot_parse_acquire(args, kwargs, &deadline) < 0) {
        return NULL;
    }
    PyObject *out = acquire(self, deadline);
    return out == NULL ? not_in_time() : out;
}

static PyObject *
box_try_acquire(PyObject *self, PyObject *args)
{
    PyObject *otherwise = Py_None;
    if (!PyArg_ParseTuple(args, "|O:try_acquire", &otherwise)) {
        return NULL;
    }
    PyObject *out = acquire(self, OT_DONT_WAIT);
    return out != NULL || PyErr_Occurred() ? out : Py_NewRef(otherwise);
}

static PyObject *
box_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return acquire(self, OT_FOREVER);
}

/* ---- release --------------------------------------------------------------------------------- */

/* Puts `tree` into the box that this handle has acquired; NULL: the one that came out. 0; or -1 with
 * an exception, and then the handle has the tree still. */
static int
put_back(PyObject *self, PyObject *tree)
{
    PyObject *out = as_box(self)->out;
    if (out == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "release of a box that this handle has not acquired");
        return -1;
    }
    OT_CHECK(ot_box_check(self));
    as_box(self)->out = NULL; /* another thread may call while this one is pickling */
    if (box_of(self)->pinned_to == home_of(self)->interp_id) {
        ot_box_set_pinned(box_of(self), Py_NewRef(tree == NULL ? out : tree));
        ot_cown_release(&box_of(self)->cown);
        Py_DECREF(out);
        return 0;
    }
    ot_value_t *content = tree == NULL || tree == out ? ot_box_leave(home_of(self), out)
                                                      : ot_box_enter(home_of(self), tree);
    if (content == NULL) {
        as_box(self)->out = out;
        return -1;
    }
    ot_box_set(box_of(self), content);
    ot_cown_release(&box_of(self)->cown);
    Py_DECREF(out);
    return 0;
}

static PyObject *
box_release(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs > 1) {
        return PyErr_Format(PyExc_TypeError, "release() takes at most 1 argument (%zd given)",
                            nargs);
    }
    return put_back(self, nargs == 0 ? NULL : args[0]) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
box_exit(PyObject *self, PyObject *args)
{
    (void)args;
    if (as_box(self)->out == NULL && ot_box_is_own(box_of(self))) {
        Py_RETURN_NONE; /* it goes back when the behaviour ends */
    }
    return put_back(self, NULL) < 0 ? NULL : Py_NewRef(Py_None);
}

/* The handle dies with the tree, as it does when its interpreter ends inside of a block. */
static void
box_finalize(PyObject *self)
{
    if (as_box(self)->out == NULL) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    if (put_back(self, NULL) < 0) {
        PyErr_WriteUnraisable(self);
        Py_CLEAR(as_box(self)->out);
        ot_cown_release(&box_of(self)->cown); /* without content: lost */
    }
    PyErr_SetRaisedException(error);
}

static PyObject *
box_recover(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 1) {
        return PyErr_Format(PyExc_TypeError, "recover() takes exactly 1 argument (%zd given)",
                            nargs);
    }
    ot_box_t *box = box_of(self);
    ot_value_t *content = ot_box_enter(home_of(self), args[0]);
    if (content == NULL) {
        return NULL;
    }
    const ot_patience_t now = {.deadline = OT_DONT_WAIT};
    bool held = ot_cown_acquire(&box->cown, home_of(self)->interp_id, &now) == OT_SYNC_OK;
    bool lost = held && box->content == NULL && atomic_load(&box->keeper) < 0;
    if (lost) {
        ot_box_set(box, content);
    }
    if (held) {
        ot_cown_release(&box->cown);
    }
    if (!lost) {
        ot_value_unref(content);
    }
    return PyBool_FromLong(lost);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static PyObject *
box_locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_lock_state(&box_of(self)->cown.lock).depth > 0);
}

static PyObject *
box_owner(PyObject *self, void *unused)
{
    (void)unused;
    ot_lock_state_t state = ot_lock_state(&box_of(self)->cown.lock);
    return state.depth == 0 || state.interp < 0 ? Py_NewRef(Py_None)
                                                : PyLong_FromLongLong(state.interp);
}

static PyObject *
box_repr(PyObject *self)
{
    ot_lock_state_t state = ot_lock_state(&box_of(self)->cown.lock);
    unsigned long long id = ot_as_handle(self)->shared->id;
    size_t readers = ot_cown_readers(&box_of(self)->cown);
    if (readers > 0) {
        return PyUnicode_FromFormat("<objtunnel.Box %llu, read by %zu behaviour%s>", id, readers,
                                    readers == 1 ? "" : "s");
    }
    if (state.depth == 0 || state.interp < 0) {
        return PyUnicode_FromFormat("<objtunnel.Box %llu, %s>", id,
                                    state.depth == 0 ? "free" : "held by a behaviour");
    }
    return PyUnicode_FromFormat("<objtunnel.Box %llu, held by interpreter %lld>", id,
                                (long long)state.interp);
}

static int
box_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(as_box(self)->out);
    return ot_handle_traverse(self, visit, arg);
}

static void
box_dealloc(PyObject *self)
{
    if (PyObject_CallFinalizerFromDealloc(self) == 0) {
        ot_handle_dealloc(self);
    }
}

static PyMethodDef methods[] = {
    {"acquire", OT_METHOD(box_acquire), METH_VARARGS | METH_KEYWORDS,
     "acquire($self, blocking=True, timeout=-1)\n--\n\n"
     "Wait for the tree and return it: live, and nobody else's until release().\n\n"
     "timeout: seconds, -1 for ever. Waits without the GIL. Raises TimeoutError if it was not to\n"
     "be had in time; LockAbandonedError if the tree is lost, because the interpreter that had\n"
     "it ended and could not put it back; what the behaviour raised whose result the box is."},
    {"try_acquire", box_try_acquire, METH_VARARGS,
     "try_acquire($self, default=None, /)\n--\n\n"
     "The tree if it is to be had at once, else default."},
    {"release", OT_METHOD(box_release), METH_FASTCALL,
     "release($self, tree=..., /)\n--\n\n"
     "Put the tree back; or another one in its place.\n\n"
     "By the tunnel's rule: a list, dict, set ... is left empty, whoever still refers to it; what\n"
     "other names refer to inside of it is copied. What cannot travel raises TypeError, and then\n"
     "you have the tree still: take it out and release again. For the handle that acquired."},
    {"recover", OT_METHOD(box_recover), METH_FASTCALL,
     "recover($self, tree, /)\n--\n\n"
     "Put a tree into a box that has lost its own, or is the result of a behaviour that raised;\n"
     "return whether that was so (else nothing is done)."},
    {"locked", box_locked, METH_NOARGS, "locked($self)\n--\n\nWhether anybody has the tree."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "Box[list[int]]"},
    {"__enter__", box_enter, METH_NOARGS, NULL},
    {"__exit__", box_exit, METH_VARARGS, "Put the tree back."},
    {"__reduce__", ot_handle_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    OT_HANDLE_ID,
    {"owner", box_owner, NULL, "Id of the interpreter that has the tree, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Box(tree)\n--\n\n"
     "One tree that several interpreters use by turns, each as its own.\n\n"
     "`with box as tree:` waits until nobody has it, moves it here and, at the end, back,\n"
     "also after an exception. Nothing is copied but what else refers to its parts.\n\n"
     ">>> box = Box({'n': 0})\n>>> with box as tree: tree['n'] += 1"},
    {Py_tp_new, box_new},
    {Py_tp_dealloc, box_dealloc},
    {Py_tp_finalize, box_finalize},
    {Py_tp_traverse, box_traverse},
    {Py_tp_repr, box_repr},
    OT_HANDLE_IDENTITY,
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "objtunnel.Box",
    .basicsize = sizeof(box_handle_t),
    .flags = OT_HANDLE_FLAGS,
    .slots = slots,
};

ot_objects_t *
ot_home_of_box(PyObject *handle)
{
    bool is_box = handle != NULL && Py_TYPE(handle)->tp_dealloc == box_dealloc;
    return is_box ? home_of(handle) : ot_objects_current();
}

int
ot_box_type_add(ot_objects_t *home)
{
    PyTypeObject *type = ot_handle_add_type(home, &ot_box_kind, &spec, NULL);
    if (type == NULL) {
        return -1;
    }
    home->box = type;
    type->tp_vectorcall = box_vectorcall; /* Py_tp_vectorcall is 3.14's */
    return ot_consumer_add(home->interp->consumers, (PyObject *)type, NULL);
}
