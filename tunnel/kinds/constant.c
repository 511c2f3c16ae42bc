/* constant.c: constants (see constant.h), and their row. */
#include "tunnel/constant.h"

typedef struct {
    PyObject_HEAD
    Py_hash_t hash;
    bool nan;
    Py_ssize_t n;
    char pickle[];
} constant_t;

PyObject *
ot_constant_new(Py_hash_t hash, bool nan, const char *pickle, Py_ssize_t n)
{
    constant_t *c = PyObject_Malloc(sizeof *c + (size_t)n);
    if (c == NULL) {
        return PyErr_NoMemory();
    }
    (void)PyObject_Init((PyObject *)c, &ot_constant_type);
    c->hash = hash;
    c->nan = nan;
    c->n = n;
    memcpy(c->pickle, pickle, (size_t)n);
    return (PyObject *)c;
}

bool
ot_constant_is_nan(PyObject *o)
{
    return ((constant_t *)o)->nan;
}

PyObject *
ot_constant_read(const ot_interp_t *interp, PyObject *o)
{
    const constant_t *c = (constant_t *)o;
    PyObject *bytes = PyBytes_FromStringAndSize(c->pickle, c->n);
    PyObject *read = bytes == NULL ? NULL : PyObject_CallOneArg(interp->loads, bytes);
    Py_XDECREF(bytes);
    return read;
}

static Py_hash_t
tp_hash(PyObject *o)
{
    return ((constant_t *)o)->hash;
}

static void
tp_dealloc(PyObject *o)
{
    PyObject_Free(o);
}

PyTypeObject ot_constant_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "objtunnel's constant",
    .tp_basicsize = sizeof(constant_t),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = tp_dealloc,
    .tp_hash = tp_hash,
};

static PyObject *
constant_clone(PyObject *o)
{
    const constant_t *c = (constant_t *)o;
    return ot_constant_new(c->hash, c->nan, c->pickle, c->n);
}

const ot_kind_t ot_kind_constant = {
    .name = "constant",
    .leaf = true,
    .keeps_hash = true,
    .inspect = ot_kind_leaf_inspect,
    .shell = constant_clone,
    .clone = constant_clone,
};
