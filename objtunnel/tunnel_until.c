/* tunnel_until.c: Tunnel.until, and the iterator that it is made of.
 *
 * What until() does with futures is Python's (objtunnel/_until.py); this is what it receives with: an
 * iterator over a tunnel that ends once it was told to and the messages of that moment are taken.
 *
 * Main invariant: the channel knows the iterator's stop only while somebody iterates, and whoever
 * iterates holds on to the iterator.
 * Threading: the GIL of the iterator's interpreter.
 */
#include "objtunnel/tunnel.h"
#include "runtime/import.h"

typedef struct {
    PyObject_HEAD
    PyObject *tunnel;
    ot_stop_t stop;
} until_t;

static until_t *
as_until(PyObject *o)
{
    return (until_t *)o;
}

static PyObject *
until_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"tunnel", NULL};
    ot_state_t *state = PyType_GetModuleState(type);
    PyObject *tunnel;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!:_Until", names, state->tunnel_type,
                                     &tunnel)) {
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL) {
        as_until(self)->tunnel = Py_NewRef(tunnel);
        ot_stop_init(&as_until(self)->stop);
    }
    return self;
}

static int
until_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_until(self)->tunnel);
    return 0;
}

static void
until_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(as_until(self)->tunnel);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
until_next(PyObject *self)
{
    until_t *u = as_until(self);
    PyObject *o = ot_tunnel_receive_object(u->tunnel, OT_TUNNEL_FOR_EVER, &u->stop);
    if (o == NULL && PyErr_ExceptionMatches(ot_tunnel_state(u->tunnel)->tunnel_closed) &&
        !atomic_load(&u->stop.given_up)) {
        PyErr_Clear(); /* nothing can come any more */
    }
    return o;
}

static PyObject *
until_stop(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_channel_stop_after_last(ot_tunnel_channel(as_until(self)->tunnel), &as_until(self)->stop);
    Py_RETURN_NONE;
}

static PyMethodDef until_methods[] = {
    {"stop", until_stop, METH_NOARGS,
     "stop($self)\n--\n\nEnd the iteration once what is in the tunnel now is taken."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot until_slots[] = {
    {Py_tp_doc, "_Until(tunnel)\n--\n\nAn iterator over a tunnel that stop() ends."},
    {Py_tp_new, until_new},
    {Py_tp_dealloc, until_dealloc},
    {Py_tp_traverse, until_traverse},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, until_next},
    {Py_tp_methods, until_methods},
    {0, NULL},
};

static PyType_Spec until_spec = {
    .name = "objtunnel._core._Until",
    .basicsize = sizeof(until_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = until_slots,
};

int
ot_tunnel_until_add(PyObject *module)
{
    PyTypeObject *type;
    int rc = ot_type_add(module, &until_spec, &type);
    Py_XDECREF(type);
    return rc;
}

PyObject *
ot_tunnel_until(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *until = ot_import_attr("objtunnel._until", "until");
    PyObject *futures = PyTuple_New(nargs), *result = NULL;
    if (until != NULL && futures != NULL) {
        for (Py_ssize_t i = 0; i < nargs; i++) {
            PyTuple_SET_ITEM(futures, i, Py_NewRef(args[i]));
        }
        result = PyObject_CallFunctionObjArgs(until, self, futures, NULL);
    }
    Py_XDECREF(until);
    Py_XDECREF(futures);
    return result;
}
