/* ndarray.c: the row for numpy.ndarray, which never moves: only the main interpreter can import
 * NumPy. An array of one dimension whose items array.array can hold is copied, once, into an
 * array.array; others are pickled (objtunnel/_numpy.py).
 *
 * Nothing of NumPy's is used but the buffer that it exports.
 * Threading: the main interpreter's GIL; no other gets past the check.
 */
#include "tunnel/kinds.h"

static const char typecodes[] = "bBhHiIlLqQfd";
static const void *descriptors[sizeof typecodes - 1]; /* array.array's, static in its module */
static PyTypeObject *array_type; /* the main interpreter's; its class cache keeps it */

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

static ot_inspection_t
ndarray_inspect(PyObject *o)
{
    (void)o;
    return OT_PINNED;
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

/* Nothing private to check; takes note of array.array. */
static int
ndarray_check(PyTypeObject *type)
{
    if (PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) ||
        PyInterpreterState_Get() != PyInterpreterState_Main()) {
        return 0;
    }
    PyObject *module = PyImport_ImportModule("array");
    PyObject *array = module == NULL ? NULL : PyObject_GetAttrString(module, "array");
    Py_XDECREF(module);
    for (int i = 0; array != NULL && typecodes[i] != '\0'; i++) {
        PyObject *o = PyObject_CallFunction(array, "C", typecodes[i]);
        if (o == NULL) {
            Py_CLEAR(array);
        } else {
            descriptors[i] = ((ot_array_t *)o)->ob_descr;
            Py_DECREF(o);
        }
    }
    array_type = (PyTypeObject *)array;
    Py_XDECREF(array);
    return array == NULL ? -1 : 1;
}

static const ot_kind_t kind_ndarray = {
    .name = "numpy.ndarray",
    .converts = true,
    .keeps_hash = true,
    .inspect = ndarray_inspect,
    .copies = ndarray_copies,
    .visit = ndarray_visit,
    .clone = ndarray_clone,
    .fill = ndarray_fill,
};

const ot_c_type_t ot_c_type_ndarray = {"numpy.ndarray", &kind_ndarray, ndarray_check};
