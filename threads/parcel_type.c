/* parcel_type.c: the Python type _Parcel: what one thread packs and another one opens. ThreadPoolExecutor sends its
 * arguments and results so.
 *
 * Unlike a message of a Tunnel nothing is copied: what something outside of the packed tree refers to, or what cannot move,
 * is passed on as it is, as between any two threads.
 *
 * A limit: the collector does not see into a parcel, so a cycle through one that nobody opens is never freed.
 *
 * Main invariant: `parcel` is taken out exactly once, by atomic exchange; NULL: it was opened.
 * Threading: any thread.
 */
#include "threads/threads.h"

#include <stdatomic.h>

#include "runtime/import.h"
#include "threads/parcel.h"

typedef struct {
    PyObject_HEAD
    _Atomic(ot_parcel_t *) parcel;
} handle_t;

static handle_t *
as_handle(PyObject *o)
{
    return (handle_t *)o;
}

/* A list with what `list` holds, which is left empty unless another thread reads it. */
static PyObject *
take_items(PyObject *list)
{
    PyObject *shell = PyList_New(0);
    bool taken = false;
    if (shell != NULL) {
        Py_BEGIN_CRITICAL_SECTION(list);
        taken = ot_bias_content_is_mine(list);
        if (taken) {
            ot_bias_list_swap(list, shell);
        }
        Py_END_CRITICAL_SECTION();
    }
    if (shell != NULL && !taken && PyList_SetSlice(shell, 0, 0, list) < 0) {
        Py_CLEAR(shell);
    }
    return shell;
}

static PyObject *
parcel_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", NULL};
    PyObject *list;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!:_Parcel", names, &PyList_Type, &list)) {
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    ot_parcel_t *parcel = self == NULL ? NULL : ot_parcel_new(take_items(list));
    if (parcel == NULL) {
        Py_XDECREF(self);
        return NULL;
    }
    ot_send_t send = {.parcel = parcel, .me = parcel->from, .may_stop = true};
    int rc = ot_prove(&send, parcel->head.root);
    ot_send_clear(&send);
    if (rc < 0) {
        /* No memory: it goes as it is. */
        PyErr_Clear();
    }
    atomic_store_explicit(&as_handle(self)->parcel, parcel, memory_order_release);
    return self;
}

static PyObject *
open_it(PyObject *self)
{
    ot_parcel_t *parcel = atomic_exchange(&as_handle(self)->parcel, NULL);
    return parcel == NULL ? NULL : ot_parcel_open(parcel);
}

static PyObject *
parcel_open(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *items = open_it(self);
    if (items == NULL) {
        PyErr_SetString(PyExc_ValueError, "this parcel was opened already");
    }
    return items;
}

static void
parcel_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject *error = PyErr_GetRaisedException();
    Py_XDECREF(open_it(self));
    PyErr_SetRaisedException(error);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"open", parcel_open, METH_NOARGS,
     "open($self)\n--\n\nThe packed list, the calling thread's own from now on. Once: ValueError after that."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "_Parcel(list, /)\n--\n\nThe content of a list, which is left empty, on its way to another thread."},
    {Py_tp_new, parcel_new},
    {Py_tp_dealloc, parcel_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "objtunnel._core._Parcel",
    .basicsize = sizeof(handle_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int
ot_parcel_type_add(PyObject *module)
{
    PyTypeObject *type;
    int rc = ot_type_add(module, &spec, &type);
    Py_XDECREF(type);
    return rc;
}
