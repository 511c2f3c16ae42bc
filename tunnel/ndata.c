/* ndata.c: see ndata.h. */
#include "tunnel/ndata.h"

#include <stdlib.h>
#include <string.h>

char
ot_ndata_format(const Py_buffer *view)
{
    static const struct {
        char format;
        size_t size;
    } items[] = {
        {'b', 1},
        {'B', 1},
        {'?', sizeof(bool)},
        {'h', sizeof(short)},
        {'H', sizeof(short)},
        {'i', sizeof(int)},
        {'I', sizeof(int)},
        {'l', sizeof(long)},
        {'L', sizeof(long)},
        {'q', sizeof(long long)},
        {'Q', sizeof(long long)},
        {'e', 2},
        {'f', sizeof(float)},
        {'d', sizeof(double)},
    };
    const char *format = view->format == NULL ? "B" : view->format;
    format += format[0] == '@';
    for (size_t i = 0; format[0] != '\0' && format[1] == '\0' && i < Py_ARRAY_LENGTH(items); i++) {
        if (items[i].format == format[0] && (size_t)view->itemsize == items[i].size) {
            return format[0];
        }
    }
    return '\0';
}

/* Without data. */
static ot_ndata_t *
new_of_shape(const Py_ssize_t *shape, int ndim, Py_ssize_t itemsize)
{
    ot_ndata_t *n = PyMem_RawCalloc(1, sizeof *n + 2 * (size_t)ndim * sizeof *shape);
    if (n == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    ot_ref_init(&n->ref);
    n->itemsize = itemsize;
    n->ndim = ndim;
    n->strides = n->shape + ndim;
    n->len = itemsize;
    for (int i = ndim - 1; i >= 0; i--) {
        n->shape[i] = shape[i];
        n->strides[i] = n->len;
        n->len *= shape[i];
    }
    return n;
}

static bool
allocate(ot_ndata_t *n)
{
    n->data = malloc(n->len > 0 ? (size_t)n->len : 1);
    if (n->data == NULL) {
        PyErr_NoMemory();
    }
    return n->data != NULL;
}

ot_ndata_t *
ot_ndata_new(const Py_buffer *view, bool copy)
{
    ot_ndata_t *n = new_of_shape(view->shape, view->ndim, view->itemsize);
    if (n == NULL) {
        return NULL;
    }
    n->format[0] = ot_ndata_format(view);
    n->readonly = view->readonly;
    if (copy && (!allocate(n) || PyBuffer_ToContiguous(n->data, view, n->len, 'C') < 0)) {
        ot_ndata_unref(n);
        return NULL;
    }
    return n;
}

ot_ndata_t *
ot_ndata_copy(const ot_ndata_t *from)
{
    ot_ndata_t *n = new_of_shape(from->shape, from->ndim, from->itemsize);
    if (n == NULL) {
        return NULL;
    }
    n->format[0] = from->format[0];
    n->readonly = from->readonly;
    if (!allocate(n)) {
        ot_ndata_unref(n);
        return NULL;
    }
    memcpy(n->data, from->data, (size_t)n->len);
    return n;
}

void
ot_ndata_ref(ot_ndata_t *n)
{
    ot_ref_inc(&n->ref);
}

void
ot_ndata_unref(ot_ndata_t *n)
{
    if (n != NULL && ot_ref_dec(&n->ref)) {
        free(n->data);
        PyMem_RawFree(n);
    }
}

/* ---- ArrayData --------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    ot_ndata_t *n; /* owned; NULL once the data have been sent on */
} array_data_t;

static void
tp_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ot_ndata_unref(((array_data_t *)self)->n);
    type->tp_free(self);
    Py_DECREF(type);
}

static int
bf_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    const ot_ndata_t *n = ((array_data_t *)self)->n;
    view->obj = NULL;
    if (n == NULL) {
        PyErr_SetString(PyExc_BufferError, "these data have been sent to another interpreter");
        return -1;
    }
    if (n->readonly && (flags & PyBUF_WRITABLE)) {
        PyErr_SetString(PyExc_BufferError, "these data are read-only");
        return -1;
    }
    if ((flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS && n->ndim > 1) {
        PyErr_SetString(PyExc_BufferError, "these data are in C order");
        return -1;
    }
    bool shaped = (flags & PyBUF_ND) == PyBUF_ND;
    *view = (Py_buffer){
        .buf = n->data,
        .obj = Py_NewRef(self),
        .len = n->len,
        .itemsize = n->itemsize,
        .readonly = n->readonly,
        .ndim = shaped ? n->ndim : 1,
        .format = (flags & PyBUF_FORMAT) == PyBUF_FORMAT ? (char *)n->format : NULL,
        .shape = shaped && n->ndim > 0 ? (Py_ssize_t *)n->shape : NULL,
        .strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES && n->ndim > 0 ? n->strides : NULL,
    };
    return 0;
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "The data of a NumPy array that was received where NumPy is not imported: what its "
                "memoryview looks into.\n"},
    {Py_tp_dealloc, tp_dealloc},
    {Py_bf_getbuffer, bf_getbuffer},
    {0, NULL},
};

PyType_Spec ot_array_data_spec = {
    .name = "objtunnel.ArrayData",
    .basicsize = sizeof(array_data_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *
ot_ndata_view(PyTypeObject *type, ot_ndata_t *n)
{
    array_data_t *self = (array_data_t *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    ot_ndata_ref(n);
    self->n = n;
    PyObject *view = PyMemoryView_FromObject((PyObject *)self);
    Py_DECREF(self);
    return view;
}

ot_ndata_t *
ot_array_data_of(PyObject *o)
{
    return o != NULL && Py_TYPE(o)->tp_dealloc == tp_dealloc ? ((array_data_t *)o)->n : NULL;
}

void
ot_array_data_forget(PyObject *o)
{
    array_data_t *self = (array_data_t *)o;
    ot_ndata_unref(self->n);
    self->n = NULL;
}
