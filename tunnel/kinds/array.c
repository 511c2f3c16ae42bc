/* array.c: the row for array.array. Side block: the items, moved whatever their size.
 *
 * Descriptors are static, shared by all interpreters.
 */
#include "tunnel/kinds.h"

#include "runtime/cpython/stdlib.h"

static ot_inspection_t
array_inspect(PyObject *o)
{
    ot_array_t *a = (ot_array_t *)o;
    if (a->ob_exports != 0 || a->weakreflist != NULL) {
        return OT_PINNED;
    }
    bool home = ot_heap_owns(o) && (a->ob_item == NULL || ot_heap_owns(a->ob_item));
    return home ? OT_MOVABLE : OT_REHOME;
}

static size_t
array_bytes(ot_array_t *a)
{
    return (size_t)Py_SIZE(a) * (size_t)((const ot_array_descr_t *)a->ob_descr)->itemsize;
}

/* An untracked empty array with o's typecode. */
static ot_array_t *
bare_array(PyTypeObject *type, PyObject *o)
{
    PyObject *array = PyType_GenericAlloc(type, 0);
    if (array == NULL) {
        return NULL;
    }
    PyObject_GC_UnTrack(array);
    ((ot_array_t *)array)->ob_descr = ((ot_array_t *)o)->ob_descr;
    return (ot_array_t *)array;
}

PyObject *
ot_array_clone(PyTypeObject *type, PyObject *o)
{
    ot_array_t *from = (ot_array_t *)o, *array = bare_array(type, o);
    size_t bytes = array_bytes(from);
    if (array == NULL || bytes == 0) {
        return (PyObject *)array;
    }
    array->ob_item = PyMem_Malloc(bytes);
    if (array->ob_item == NULL) {
        Py_DECREF(array);
        return PyErr_NoMemory();
    }
    memcpy(array->ob_item, from->ob_item, bytes);
    Py_SET_SIZE(array, Py_SIZE(from));
    array->allocated = Py_SIZE(from);
    return (PyObject *)array;
}

static PyObject *
array_clone(PyObject *o)
{
    return ot_array_clone(Py_TYPE(o), o);
}

static PyObject *
array_shell(PyObject *o)
{
    ot_array_t *from = (ot_array_t *)o;
    if (from->ob_item != NULL && !ot_heap_owns(from->ob_item)) {
        return array_clone(o);
    }
    ot_array_t *array = bare_array(Py_TYPE(o), o);
    if (array != NULL) {
        array->ob_item = from->ob_item;
        array->allocated = from->allocated;
        Py_SET_SIZE(array, Py_SIZE(from));
    }
    return (PyObject *)array;
}

static void
array_disown(PyObject *loser, PyObject *winner)
{
    ot_array_t *array = (ot_array_t *)loser;
    if (array->ob_item != ((ot_array_t *)winner)->ob_item) {
        PyMem_Free(array->ob_item);
    }
    array->ob_item = NULL;
    array->allocated = 0;
    Py_SET_SIZE(array, 0);
}

static int
array_clear(PyObject *o)
{
    return PySequence_DelSlice(o, 0, PY_SSIZE_T_MAX);
}

/* array.array's struct is private to its module. */
static int
array_check(PyTypeObject *type)
{
    PyObject *array = PyObject_CallFunction((PyObject *)type, "s(dd)", "d", 1.5, -2.5);
    if (array == NULL) {
        return -1;
    }
    ot_array_t *a = (ot_array_t *)array;
    static const double expected[2] = {1.5, -2.5};
    bool good = type->tp_basicsize == sizeof(ot_array_t) && Py_SIZE(a) == 2 && a->allocated >= 2 &&
                a->weakreflist == NULL && a->ob_exports == 0 &&
                memcmp(a->ob_item, expected, sizeof expected) == 0 &&
                ((const ot_array_descr_t *)a->ob_descr)->typecode == 'd' &&
                ((const ot_array_descr_t *)a->ob_descr)->itemsize == sizeof(double);
    Py_DECREF(array);
    return good;
}

const ot_kind_t ot_kind_array = {
    .name = "array.array",
    .emptiable = true,
    .keeps_hash = true,
    .inspect = array_inspect,
    .visit = ot_kind_visit_nothing,
    .shell = array_shell,
    .disown = array_disown,
    .clone = array_clone,
    .fill = ot_kind_fill_nothing,
    .clear = array_clear,
};

OT_C_TYPE(array, "array.array", &ot_kind_array, array_check);
