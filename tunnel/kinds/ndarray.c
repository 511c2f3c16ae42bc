/* ndarray.c: the row for numpy.ndarray. Only one interpreter of the process can import NumPy, so that the
 * object itself never moves. Its data do (ndata.h): those that nobody else can see as they are, others as
 * a copy in C. Arrays whose items no native format describes are pickled
 * (python/objtunnel/_numpy.py).
 *
 * Data move only if they come from NumPy's default allocator, that is from malloc or PyMem_RawMalloc, and if
 * it makes no difference which of the two has made a block: debug hooks do. In the receiver an ndarray gets
 * them in exchange for those that NumPy gave it. An array.array, which frees them by PyMem_Free, gets them
 * since PyMem's allocators hand on what is not theirs.
 * Threading: the GIL of the interpreter that has NumPy; what is static here is written before it is asked for.
 */
#include "tunnel/ndarray.h"
#include "tunnel/kinds.h"

#include "runtime/cpython/stdlib.h"

#include <stdlib.h>

static const char typecodes[] = "bBhHiIlLqQfd";
static const void *descriptors[sizeof typecodes - 1]; /* array.array's, static in its module */
static PyTypeObject *array_type; /* the main interpreter's; its class cache owns it */
static bool fields_known;        /* arrays are laid out as ndarray_t says */
/* fields_known, and PyMem_Free takes blocks from malloc (ot_heap.takes_malloc) */
static bool data_can_move;

/* NumPy's PyArrayObject_fields (ndarraytypes.h), the same from 1.22 to 2.x; looked at only if
 * known arrays look right through it. */
typedef struct {
    PyObject_HEAD
    char *data;
    int nd;
    Py_ssize_t *dimensions, *strides;
    PyObject *base;
    PyObject *descr;
    int flags;
    PyObject *weakreflist;
    void *buffer_info;
    PyObject *mem_handler; /* a capsule; what is in it begins with a name */
} ndarray_t;

enum {
    NUMPY_C_CONTIGUOUS = 1,
    NUMPY_OWNDATA = 4,
    NUMPY_WRITEABLE = 0x400,
    NUMPY_WRITEBACKIFCOPY = 0x2000,
    NUMPY_TRACE_DOMAIN = 389047,
};

/* ---- whose data ------------------------------------------------------------------------------ */

static bool
is_from_malloc(const ndarray_t *a)
{
    if (!(a->flags & NUMPY_OWNDATA) || a->base != NULL || a->mem_handler == NULL) {
        return false;
    }
    const char *handler = PyCapsule_GetPointer(a->mem_handler, "mem_handler");
    if (handler == NULL) {
        PyErr_Clear();
        return false;
    }
    return strcmp(handler, "default_allocator") == 0;
}

static Py_ssize_t
items_of(const ndarray_t *a)
{
    Py_ssize_t n = 1;
    for (int i = 0; i < a->nd; i++) {
        n *= a->dimensions[i];
    }
    return n;
}

/* Whose data an array shows: its own, or all those of an array that nothing else refers to, as
 * arange(6).reshape(2, 3) does; NULL if there is no saying. */
static ndarray_t *
owner_of(ndarray_t *a)
{
    ndarray_t *base = (ndarray_t *)a->base;
    if (base == NULL) {
        return a;
    }
    bool all = Py_IS_TYPE(a->base, Py_TYPE(a)) && Py_REFCNT(base) == 1 &&
               base->weakreflist == NULL && base->data == a->data && base->descr == a->descr &&
               items_of(base) == items_of(a);
    return all ? base : NULL;
}

static bool
is_ndata(PyObject *o)
{
    Py_buffer view;
    if (PyObject_GetBuffer(o, &view, PyBUF_FULL_RO) < 0) {
        PyErr_Clear(); /* some dtypes have no format: pickling tells */
        return false;
    }
    bool good = ot_ndata_format(&view) != '\0';
    PyBuffer_Release(&view);
    return good;
}

static bool
gives_data(PyObject *o)
{
    ndarray_t *a = (ndarray_t *)o, *owner = data_can_move ? owner_of(a) : NULL;
    return owner != NULL && is_from_malloc(owner) && a->weakreflist == NULL &&
           (a->flags & NUMPY_C_CONTIGUOUS) && !(a->flags & NUMPY_WRITEBACKIFCOPY) &&
           items_of(a) > 0;
}

static ot_ndata_t *
new_ndata(PyObject *o, bool copy)
{
    Py_buffer view;
    if (PyObject_GetBuffer(o, &view, PyBUF_FULL_RO) < 0) {
        return NULL;
    }
    ot_ndata_t *n = ot_ndata_new(&view, copy);
    PyBuffer_Release(&view);
    return n;
}

/* tracemalloc knows some data twice: NumPy tells it of all, PyMem_RawMalloc of its own. */
static void
untrack(const char *data)
{
    PyTraceMalloc_Untrack(NUMPY_TRACE_DOMAIN, (uintptr_t)data);
    PyTraceMalloc_Untrack(0, (uintptr_t)data);
}

/* The array stays as an empty one, for whoever still looks at it. */
static void
give_data(PyObject *o, ot_ndata_t *n)
{
    static char nothing[sizeof(long double)];
    ndarray_t *a = (ndarray_t *)o, *owner = owner_of(a);
    n->data = owner->data;
    untrack(n->data);
    owner->flags &= ~NUMPY_OWNDATA;
    owner->data = a->data = nothing;
    for (int i = 0; i < owner->nd; i++) {
        owner->dimensions[i] = 0;
    }
    for (int i = 0; i < a->nd; i++) {
        a->dimensions[i] = 0;
    }
}

/* ---- arrival --------------------------------------------------------------------------------- */

/* The descriptor for such data, NULL if array.array has none. */
static const void *
descriptor_for(const ot_ndata_t *n)
{
    const char *at = strchr(typecodes, n->format[0]);
    const ot_array_descr_t *descriptor = at == NULL ? NULL : descriptors[at - typecodes];
    return descriptor != NULL && descriptor->itemsize == n->itemsize ? descriptor : NULL;
}

/* An array.array that is to have n's data: none yet, or a copy where a block from malloc is no good. */
static PyObject *
new_array(PyTypeObject *type, const ot_ndata_t *n)
{
    PyObject *o = PyType_GenericAlloc(type, 0);
    if (o == NULL) {
        return NULL;
    }
    ot_array_t *array = (ot_array_t *)o;
    array->ob_descr = descriptor_for(n);
    if (ot_heap.takes_malloc || n->len == 0) {
        return o;
    }
    array->ob_item = PyMem_Malloc((size_t)n->len);
    if (array->ob_item == NULL) {
        Py_DECREF(o);
        return PyErr_NoMemory();
    }
    memcpy(array->ob_item, n->data, (size_t)n->len);
    array->allocated = n->shape[0];
    Py_SET_SIZE(array, n->shape[0]);
    return o;
}

static void
fill_array(PyObject *o, ot_ndata_t *n)
{
    ot_array_t *array = (ot_array_t *)o;
    if (array->ob_item == NULL && n->len > 0) {
        array->ob_item = n->data;
        array->allocated = n->shape[0];
        Py_SET_SIZE(array, n->shape[0]);
        n->data = NULL;
    }
}

/* NumPy's array, whose items are anything so far, gets n's data for its own, or the same values. */
static void
fill_ndarray(PyObject *o, ot_ndata_t *n)
{
    ndarray_t *a = (ndarray_t *)o;
    if (n->len == 0) {
        return;
    }
    if (!data_can_move || !is_from_malloc(a)) {
        memcpy(a->data, n->data, (size_t)n->len);
        return;
    }
    untrack(a->data);
    free(a->data);
    a->data = n->data;
    (void)PyTraceMalloc_Track(NUMPY_TRACE_DOMAIN, (uintptr_t)a->data, (size_t)n->len);
    n->data = NULL;
}

/* Copies the data into an ndarray that is laid out otherwise than we know. */
static int
copy_into(PyObject *o, const ot_ndata_t *n)
{
    Py_buffer view;
    if (PyObject_GetBuffer(o, &view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS) < 0) {
        return -1;
    }
    memcpy(view.buf, n->data, (size_t)n->len);
    PyBuffer_Release(&view);
    PyObject *none = n->readonly ? PyObject_CallMethod(o, "setflags", "O", Py_False) : Py_None;
    return none == NULL ? -1 : 0; /* None is immortal */
}

/* An ndarray for n. None if NumPy is not imported here; NULL with an exception. */
static PyObject *
new_ndarray(const ot_interp_t *interp, const ot_ndata_t *n)
{
    PyObject *shape = PyTuple_New(n->ndim), *o = NULL;
    for (int i = 0; shape != NULL && i < n->ndim; i++) {
        PyObject *size = PyLong_FromSsize_t(n->shape[i]);
        if (size == NULL) {
            Py_CLEAR(shape);
        } else {
            PyTuple_SET_ITEM(shape, i, size);
        }
    }
    if (shape != NULL) {
        o = PyObject_CallFunction(interp->ndarray, "sO", n->format, shape);
    }
    Py_XDECREF(shape);
    if (o != NULL && o != Py_None && !fields_known && copy_into(o, n) < 0) {
        Py_CLEAR(o);
    }
    return o;
}

PyObject *
ot_ndata_object(const ot_interp_t *interp, ot_ndata_t *n)
{
    PyObject *o = new_ndarray(interp, n);
    if (o != Py_None) {
        return o;
    }
    Py_DECREF(o);
    if (n->ndim == 1 && descriptor_for(n) != NULL) {
        return new_array((PyTypeObject *)interp->classes->array, n);
    }
    return ot_ndata_view(interp->array_data, n);
}

void
ot_ndata_give(ot_ndata_t *n, PyObject *o)
{
    if (PyMemoryView_Check(o)) {
        return; /* has its own reference to n */
    }
    if (ot_kind_at_hand(Py_TYPE(o)) == &ot_kind_array) {
        fill_array(o, n);
        return;
    }
    if (fields_known) {
        fill_ndarray(o, n);
        ((ndarray_t *)o)->flags &= n->readonly ? ~NUMPY_WRITEABLE : ~0;
    }
}

/* ---- the row --------------------------------------------------------------------------------- */

static ot_inspection_t
ndarray_inspect(PyObject *o)
{
    (void)o;
    return OT_PINNED;
}

static bool
ndarray_copies(PyObject *o)
{
    (void)o;
    return false;
}

/* 1 if arange(6.0).reshape(2, 3) and its base look right through our eyes, 0 if not, or -1. */
static int
check_fields(PyTypeObject *type)
{
    PyObject *o = PyObject_CallFunction((PyObject *)type, "((ii)s)", 2, 3, "d");
    PyObject *flat = o == NULL ? NULL : PyObject_CallMethod(o, "reshape", "i", 6);
    Py_buffer view;
    if (flat == NULL || PyObject_GetBuffer(o, &view, PyBUF_FULL_RO) < 0) {
        Py_XDECREF(flat);
        Py_XDECREF(o);
        return -1;
    }
    const ndarray_t *a = (ndarray_t *)o, *f = (ndarray_t *)flat;
    int flags = NUMPY_C_CONTIGUOUS | NUMPY_WRITEABLE;
    bool good = type->tp_basicsize >= (Py_ssize_t)sizeof(ndarray_t) && a->data == view.buf &&
                a->nd == 2 && a->dimensions[0] == 2 && a->dimensions[1] == 3 &&
                a->strides[0] == 3 * sizeof(double) && a->strides[1] == sizeof(double) &&
                (a->flags & flags) == flags && a->weakreflist == NULL && is_from_malloc(a) &&
                f->nd == 1 && f->dimensions[0] == 6 && f->base == o && f->data == a->data &&
                f->descr == a->descr && !(f->flags & NUMPY_OWNDATA);
    PyBuffer_Release(&view);
    Py_DECREF(flat);
    Py_DECREF(o);
    return good;
}

void
ot_ndarray_know_array(PyTypeObject *type)
{
    array_type = type;
}

/* Compares the layout of numpy.ndarray, and takes note of array.array's descriptors. */
static int
ndarray_check(PyTypeObject *type)
{
    if (PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) ||
        PyInterpreterState_Get() != PyInterpreterState_Main() ||
        ot_kind_of_base(array_type) != &ot_kind_array) {
        return 0;
    }
    int fields = check_fields(type);
    if (fields < 0) {
        return -1;
    }
    for (int i = 0; typecodes[i] != '\0'; i++) {
        PyObject *o = PyObject_CallFunction((PyObject *)array_type, "C", typecodes[i]);
        if (o == NULL) {
            return -1;
        }
        descriptors[i] = ((ot_array_t *)o)->ob_descr;
        Py_DECREF(o);
    }
    fields_known = fields == 1;
    data_can_move = fields_known && ot_heap.takes_malloc;
    return 1;
}

static const ot_ndata_row_t ndata_row = {
    .is = is_ndata,
    .gives = gives_data,
    .make = new_ndata,
    .give = give_data,
};

static const ot_kind_t kind_ndarray = {
    .name = "numpy.ndarray",
    .leaf = true,
    .converts = true,
    .keeps_hash = true,
    .inspect = ndarray_inspect,
    .copies = ndarray_copies,
    .visit = ot_kind_visit_nothing,
    .ndata = &ndata_row,
};

OT_C_TYPE(ndarray, "numpy.ndarray", &kind_ndarray, ndarray_check);
