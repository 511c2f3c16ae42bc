/* ndarray.c: the row for numpy.ndarray. Only the main interpreter can import NumPy, so that the
 * object itself never moves. An array of one dimension whose items array.array can hold arrives as
 * an array.array: around the array's own data where nobody else can see them, else around a copy;
 * others are pickled (python/objtunnel/_numpy.py).
 *
 * Data move only if they come from NumPy's default allocator, that is from malloc, and if a block
 * from malloc can be given to PyMem_Free: PyMem's allocators hand on what is not theirs, but for
 * those with debug hooks.
 * Threading: the main interpreter's GIL; no other gets past the check.
 */
#include "tunnel/kinds.h"

#include "runtime/cpython/stdlib.h"

static const char typecodes[] = "bBhHiIlLqQfd";
static const void *descriptors[sizeof typecodes - 1]; /* array.array's, static in its module */
static PyTypeObject *array_type; /* the main interpreter's; its class cache owns it */
static bool data_can_move;

/* NumPy's PyArrayObject_fields (ndarraytypes.h), the same from 1.22 to 2.x; looked at only if a
 * known array looks right through it. */
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

enum { NUMPY_OWNDATA = 4, NUMPY_TRACE_DOMAIN = 389047 };

/* The descriptor for the items of a buffer of one dimension, NULL if there is none. */
static const void *
descriptor_for(const Py_buffer *view)
{
    const char *format = view->format[0] == '@' ? view->format + 1 : view->format;
    const char *at = format[0] != '\0' && format[1] == '\0' ? strchr(typecodes, format[0]) : NULL;
    if (at == NULL || view->ndim != 1) {
        return NULL;
    }
    const ot_array_descr_t *descriptor = descriptors[at - typecodes];
    return descriptor->itemsize == view->itemsize ? descriptor : NULL;
}

static bool
ndarray_copies(PyObject *o)
{
    Py_buffer view;
    if (PyObject_GetBuffer(o, &view, PyBUF_FULL_RO) < 0) {
        PyErr_Clear(); /* some dtypes have no format: pickling tells */
        return false;
    }
    bool good = descriptor_for(&view) != NULL;
    PyBuffer_Release(&view);
    return good;
}

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

static ot_inspection_t
ndarray_inspect(PyObject *o)
{
    const ndarray_t *a = (ndarray_t *)o;
    if (!data_can_move || !is_from_malloc(a) || a->weakreflist != NULL || a->nd != 1 ||
        a->dimensions[0] == 0 || !ndarray_copies(o)) {
        return OT_PINNED;
    }
    return OT_REHOME;
}

static int
ndarray_visit(PyObject *o, ot_visitor_t *v)
{
    (void)o;
    (void)v;
    return 0;
}

/* An untracked array.array with the buffer's items. */
static PyObject *
array_of(Py_buffer *view)
{
    ot_array_t *array = (ot_array_t *)ot_py_new_container(array_type, 0);
    if (array == NULL) {
        return NULL;
    }
    array->ob_descr = descriptor_for(view);
    if (view->len == 0) {
        return (PyObject *)array;
    }
    array->ob_item = PyMem_Malloc((size_t)view->len);
    if (array->ob_item == NULL) {
        PyErr_NoMemory();
    } else if (PyBuffer_ToContiguous(array->ob_item, view, view->len, 'C') == 0) {
        Py_SET_SIZE(array, view->shape[0]);
        array->allocated = view->shape[0];
        return (PyObject *)array;
    }
    ot_py_drop_unfinished((PyObject *)array);
    return NULL;
}

/* An array.array around the data, which both point at until one of them disowns them. */
static PyObject *
ndarray_shell(PyObject *o)
{
    Py_buffer view;
    if (PyObject_GetBuffer(o, &view, PyBUF_FULL_RO) < 0) {
        return NULL;
    }
    ot_array_t *array = (ot_array_t *)ot_py_new_container(array_type, 0);
    if (array != NULL) {
        array->ob_descr = descriptor_for(&view);
        array->ob_item = view.buf;
        array->allocated = view.shape[0];
        Py_SET_SIZE(array, view.shape[0]);
    }
    PyBuffer_Release(&view);
    return (PyObject *)array;
}

static void
ndarray_disown(PyObject *loser, PyObject *winner)
{
    if (Py_IS_TYPE(loser, array_type)) {
        ot_array_forget_items(loser);
        return;
    }
    ((ndarray_t *)loser)->flags &= ~NUMPY_OWNDATA;
    PyTraceMalloc_Untrack(NUMPY_TRACE_DOMAIN, (uintptr_t)((ot_array_t *)winner)->ob_item);
}

static PyObject *
ndarray_clone(PyObject *o)
{
    Py_buffer view;
    if (PyObject_GetBuffer(o, &view, PyBUF_FULL_RO) < 0) {
        return NULL;
    }
    PyObject *array = array_of(&view);
    PyBuffer_Release(&view);
    return array;
}

static int
ndarray_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    (void)clone;
    (void)o;
    (void)c;
    return 0;
}

/* Whether a known array looks right through our eyes. */
static int
check_fields(PyTypeObject *type)
{
    PyObject *o = PyObject_CallFunction((PyObject *)type, "(i)s", 3, "d");
    Py_buffer view;
    if (o == NULL || PyObject_GetBuffer(o, &view, PyBUF_FULL_RO) < 0) {
        Py_XDECREF(o);
        return -1;
    }
    const ndarray_t *a = (ndarray_t *)o;
    bool good = type->tp_basicsize >= (Py_ssize_t)sizeof(ndarray_t) && a->data == view.buf &&
                a->nd == 1 && a->dimensions[0] == 3 && a->strides[0] == sizeof(double) &&
                a->weakreflist == NULL && is_from_malloc(a);
    PyBuffer_Release(&view);
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
    int fields = ot_heap.takes_malloc ? check_fields(type) : 0;
    if (fields < 0) {
        return -1;
    }
    data_can_move = fields == 1;
    for (int i = 0; typecodes[i] != '\0'; i++) {
        PyObject *o = PyObject_CallFunction((PyObject *)array_type, "C", typecodes[i]);
        if (o == NULL) {
            return -1;
        }
        descriptors[i] = ((ot_array_t *)o)->ob_descr;
        Py_DECREF(o);
    }
    return 1;
}

static const ot_kind_t kind_ndarray = {
    .name = "numpy.ndarray",
    .converts = true,
    .keeps_hash = true,
    .inspect = ndarray_inspect,
    .copies = ndarray_copies,
    .visit = ndarray_visit,
    .shell = ndarray_shell,
    .disown = ndarray_disown,
    .clone = ndarray_clone,
    .fill = ndarray_fill,
};

OT_C_TYPE(ndarray, "numpy.ndarray", &kind_ndarray, ndarray_check);
