/* memoryview.c: the row for memoryview (Objects/memoryobject.c). A view refers to its exporter through
 * a managed buffer, which no Python code ever sees; it keeps pointers into the exporter's memory.
 *
 * It moves with both of them if it is the only view of a bytes or bytearray object that nothing else
 * refers to: then no pointer changes. Otherwise the receiver gets a view of a copy of what it shows.
 * A view of all of an array's data (ndata.h), which came from where NumPy is, goes on as that array.
 */
#include "tunnel/kinds.h"

/* What PyMemoryView.cast knows: a view of anything else could not be made by a program. */
static const struct {
    char format[3];
    size_t size;
} items[] = {
    {"@c", 1},
    {"@b", 1},
    {"@B", 1},
    {"@?", sizeof(bool)},
    {"@h", sizeof(short)},
    {"@H", sizeof(short)},
    {"@i", sizeof(int)},
    {"@I", sizeof(int)},
    {"@l", sizeof(long)},
    {"@L", sizeof(long)},
    {"@q", sizeof(long long)},
    {"@Q", sizeof(long long)},
    {"@n", sizeof(Py_ssize_t)},
    {"@N", sizeof(size_t)},
    {"@f", sizeof(float)},
    {"@d", sizeof(double)},
    {"@e", 2},
    {"@P", sizeof(void *)},
};

/* The view's format as a string that is never freed, which the exporter's own may be. NULL: it is none of the formats
 * that PyMemoryView.cast knows. */
static const char *
lasting_format(const Py_buffer *view)
{
    const char *format = view->format == NULL ? "B" : view->format;
    bool explicit = format[0] == '@';
    const char *item = format + explicit;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(items); i++) {
        if (strcmp(items[i].format + 1, item) == 0) {
            bool fits = (size_t)view->itemsize == items[i].size;
            return fits ? items[i].format + !explicit : NULL;
        }
    }
    return NULL;
}

static bool
is_released(const PyMemoryViewObject *v)
{
    return (v->flags & _Py_MEMORYVIEW_RELEASED) != 0 || v->mbuf == NULL ||
           (v->mbuf->flags & _Py_MANAGED_BUFFER_RELEASED) != 0;
}

static bool
memoryview_copies(PyObject *o)
{
    PyMemoryViewObject *v = (PyMemoryViewObject *)o;
    return !is_released(v) && lasting_format(&v->view) != NULL;
}

/* Whether nothing but one buffer refers to the exporter, and its memory may change hands. */
static bool
is_own_exporter(PyObject *o)
{
    if (o == NULL || Py_REFCNT(o) != 1) {
        return false;
    }
    if (PyByteArray_CheckExact(o)) {
        return ot_bytearray_inspect(o, 1) == OT_MOVABLE;
    }
    return PyBytes_CheckExact(o) && ot_kind_leaf_inspect(o) == OT_MOVABLE;
}

static ot_inspection_t
memoryview_inspect(PyObject *o)
{
    PyMemoryViewObject *v = (PyMemoryViewObject *)o;
    if (is_released(v) || v->flags & _Py_MEMORYVIEW_RESTRICTED || v->exports != 0 ||
        v->weakreflist != NULL || !ot_heap_owns(o)) {
        return OT_PINNED;
    }
    _PyManagedBufferObject *buffer = v->mbuf;
    bool own = Py_REFCNT(buffer) == 1 && buffer->exports == 1 && buffer->flags == 0 &&
               ot_heap_owns(buffer) && is_own_exporter(buffer->master.obj);
    return own ? OT_MOVABLE : OT_PINNED;
}

/* A visitor that asks for parts (v->part) visits only objects that move. */
static int
memoryview_visit(PyObject *o, ot_visitor_t *v)
{
    ot_visit_part(v, (PyObject *)((PyMemoryViewObject *)o)->mbuf);
    v->leaves++; /* the exporter */
    return 0;
}

/* Released until it is filled. */
static PyObject *
memoryview_clone(PyObject *o)
{
    int ndim = ((PyMemoryViewObject *)o)->view.ndim;
    PyMemoryViewObject *v =
        (PyMemoryViewObject *)ot_py_new_container(&PyMemoryView_Type, 3 * (Py_ssize_t)ndim);
    if (v != NULL) {
        v->mbuf = NULL;
        v->hash = -1;
        v->flags = _Py_MEMORYVIEW_RELEASED;
        v->exports = 0;
        v->view = (Py_buffer){.ndim = ndim};
        v->weakreflist = NULL;
    }
    return (PyObject *)v;
}

/* A new bytes or bytearray object with what the view shows. */
static PyObject *
copy_data(Py_buffer *view)
{
    PyObject *data =
        view->readonly ? PyBytes_FromStringAndSize(NULL, view->len) : ot_bytearray_of(view->len);
    if (data == NULL) {
        return NULL;
    }
    char *to = view->readonly ? PyBytes_AS_STRING(data) : PyByteArray_AS_STRING(data);
    if (PyBuffer_ToContiguous(to, view, view->len, 'C') < 0) {
        Py_CLEAR(data);
    }
    return data;
}

/* A new untracked managed buffer of data, for one view. Refs: steals data, also on failure. */
static _PyManagedBufferObject *
managed_buffer(PyTypeObject *type, PyObject *data)
{
    _PyManagedBufferObject *buffer = (_PyManagedBufferObject *)ot_py_new_container(type, 0);
    if (buffer != NULL && PyObject_GetBuffer(data, &buffer->master, PyBUF_FULL_RO) < 0) {
        PyObject_GC_Del(buffer);
        buffer = NULL;
    }
    Py_DECREF(data);
    if (buffer != NULL) {
        buffer->flags = 0;
        buffer->exports = 1;
    }
    return buffer;
}

static int
contiguity_of(const Py_buffer *view)
{
    int scalar = view->ndim == 0 ? _Py_MEMORYVIEW_SCALAR : 0;
    return scalar | (PyBuffer_IsContiguous(view, 'C') ? _Py_MEMORYVIEW_C : 0) |
           (PyBuffer_IsContiguous(view, 'F') ? _Py_MEMORYVIEW_FORTRAN : 0);
}

static int
memoryview_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    PyMemoryViewObject *to = (PyMemoryViewObject *)clone, *from = (PyMemoryViewObject *)o;
    PyObject *data = copy_data(&from->view);
    to->mbuf = data == NULL ? NULL : managed_buffer(Py_TYPE(from->mbuf), data);
    if (to->mbuf == NULL) {
        return -1;
    }
    c->part(c, (PyObject *)to->mbuf);
    Py_buffer *view = &to->view;
    int ndim = view->ndim;
    *view = to->mbuf->master;
    view->itemsize = from->view.itemsize;
    view->format = (char *)lasting_format(&from->view);
    view->ndim = ndim;
    view->shape = ndim == 0 ? NULL : to->ob_array;
    view->strides = ndim == 0 ? NULL : to->ob_array + ndim;
    Py_ssize_t stride = view->itemsize;
    for (int i = ndim - 1; i >= 0; i--) {
        view->shape[i] = from->view.shape[i];
        view->strides[i] = stride;
        stride *= view->shape[i];
    }
    to->flags = contiguity_of(view);
    return 0;
}

/* ---- of an array's data ---------------------------------------------------------------------- */

static bool
same_sizes(const Py_ssize_t *a, const Py_ssize_t *b, int n)
{
    return n == 0 || memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

/* The data that the view shows as they were received; NULL if it is another view. Borrowed. */
static ot_ndata_t *
ndata_of(const PyMemoryViewObject *v)
{
    ot_ndata_t *n = is_released(v) ? NULL : ot_array_data_of(v->mbuf->master.obj);
    const Py_buffer *view = &v->view;
    bool all = n != NULL && view->buf == n->data && view->ndim == n->ndim &&
               view->format == n->format && view->readonly == n->readonly &&
               same_sizes(view->shape, n->shape, n->ndim) &&
               same_sizes(view->strides, n->strides, n->ndim);
    return all ? n : NULL;
}

static bool
is_ndata(PyObject *o)
{
    return ndata_of((PyMemoryViewObject *)o) != NULL;
}

/* Whether the view is the only way to the data. */
static bool
gives_data(PyObject *o)
{
    const PyMemoryViewObject *v = (PyMemoryViewObject *)o;
    const _PyManagedBufferObject *buffer = v->mbuf;
    return !(v->flags & _Py_MEMORYVIEW_RESTRICTED) && v->exports == 0 && v->weakreflist == NULL &&
           Py_REFCNT(buffer) == 1 && buffer->exports == 1 && buffer->flags == 0 &&
           Py_REFCNT(buffer->master.obj) == 1 && ot_ref_is_last(&ndata_of(v)->ref);
}

static ot_ndata_t *
new_ndata(PyObject *o, bool copy)
{
    ot_ndata_t *n = ndata_of((PyMemoryViewObject *)o);
    if (copy) {
        return ot_ndata_copy(n);
    }
    ot_ndata_ref(n);
    return n;
}

/* Moves the view's data to n. The view is then as after memoryview.release(). */
static void
give_data(PyObject *o, ot_ndata_t *n)
{
    PyMemoryViewObject *v = (PyMemoryViewObject *)o;
    (void)n;
    v->flags |= _Py_MEMORYVIEW_RELEASED;
    v->mbuf->exports--;
    ot_array_data_forget(v->mbuf->master.obj);
}

static const ot_ndata_row_t ndata_row = {
    .is = is_ndata,
    .gives = gives_data,
    .make = new_ndata,
    .give = give_data,
};

const ot_kind_t ot_kind_memoryview = {
    .name = "memoryview",
    .keeps_hash = true,
    .inspect = memoryview_inspect,
    .copies = memoryview_copies,
    .visit = memoryview_visit,
    .clone = memoryview_clone,
    .fill = memoryview_fill,
    .ndata = &ndata_row,
};
