/* array_type.c: the Python type SharedArray, a handle on numbers of the process, or on some of them.
 *
 * Main invariant: the view lies within the numbers; neither changes after the handle is made, so
 * that buffers given out need no counting: each keeps the handle, and so the memory.
 * Threading: the GIL of the handle's interpreter, which protects the handle only; the numbers
 * belong to all (storage.h says what holds for them).
 */
#include "objects/array/array_type.h"

#include <errno.h>

#include "objects/array/array_parts.h"

/* A handle on a part. */
static PyObject *
part_of(PyObject *self, const ot_view_t *view)
{
    ot_shared_ref(ot_as_handle(self)->shared);
    PyObject *part = ot_handle_steal(ot_as_handle(self)->home, ot_as_handle(self)->shared);
    if (part != NULL) {
        as_array(part)->view = *view;
    }
    return part;
}

/* ---- making --------------------------------------------------------------------------------- */

/* The shape of a source that says it, and of any other its length. Replaces an iterator in *source
 * by a list. */
static int
shape_of_source(ot_view_t *view, PyObject **source, Py_ssize_t itemsize)
{
    if (PyObject_CheckBuffer(*source)) {
        Py_buffer b;
        if (PyObject_GetBuffer(*source, &b, PyBUF_FULL_RO) < 0) {
            return -1;
        }
        bool fits = b.ndim >= 1 && b.ndim <= OT_VIEW_DIMS;
        if (fits) {
            view->ndim = b.ndim;
            memcpy(view->shape, b.shape, sizeof *b.shape * (size_t)b.ndim);
        } else {
            PyErr_Format(PyExc_ValueError, "a buffer of 1 to %d dimensions is wanted",
                         OT_VIEW_DIMS);
        }
        PyBuffer_Release(&b);
        return fits ? ot_view_pack(view, itemsize) : -1;
    }
    PyObject *list = PySequence_List(*source);
    if (list == NULL) {
        return -1;
    }
    Py_SETREF(*source, list);
    view->ndim = 1;
    view->shape[0] = PyList_GET_SIZE(list);
    return ot_view_pack(view, itemsize);
}

static ot_numbers_t *
open_file(const ot_number_type_t *type, PyObject *file, size_t count)
{
    PyObject *path;
    ot_numbers_t *numbers = NULL;
    ot_numbers_result_t rc;
    if (!PyUnicode_FSConverter(file, &path)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    rc = ot_numbers_open(type, PyBytes_AS_STRING(path), count, &numbers);
    Py_END_ALLOW_THREADS
    if (rc == OT_NUMBERS_ERRNO) {
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, file);
    } else if (rc == OT_NUMBERS_WRONG_SIZE) {
        PyErr_Format(PyExc_ValueError,
                     "%R has not the size of this many elements of type '%s' (and none is too few)",
                     file, type->code);
    }
    Py_DECREF(path);
    return numbers;
}

/* The numbers for a view with a shape, or for the file's own size (ndim 0). */
static ot_numbers_t *
make_numbers(const ot_number_type_t *type, PyObject *file, ot_view_t *view)
{
    size_t count = view->ndim == 0 ? SIZE_MAX : (size_t)ot_view_count(view);
    if (file == Py_None) {
        ot_numbers_t *numbers = ot_numbers_new(type, count);
        return numbers == NULL ? (ot_numbers_t *)PyErr_NoMemory() : numbers;
    }
    ot_numbers_t *numbers = open_file(type, file, count);
    if (numbers != NULL && view->ndim == 0) {
        view->ndim = 1;
        view->shape[0] = (Py_ssize_t)numbers->count;
        (void)ot_view_pack(view, type->size); /* it is there, so it is not too big */
    }
    return numbers;
}

/* Refs: *source may be replaced. */
static PyObject *
new_array(const ot_number_type_t *type, PyObject *shape, PyObject **source, PyObject *file)
{
    ot_objects_t *home = ot_objects_current();
    ot_view_t view = {0};
    int rc = home == NULL ? -1 : 0;
    if (rc == 0 && shape != Py_None) {
        rc = ot_view_from_shape(&view, shape, type->size);
    } else if (rc == 0 && *source != Py_None) {
        rc = shape_of_source(&view, source, type->size);
    } else if (rc == 0 && file == Py_None) {
        PyErr_SetString(PyExc_TypeError, "SharedArray needs a shape, a source, or a file that is "
                                         "there already");
        rc = -1;
    }
    ot_numbers_t *numbers = rc < 0 ? NULL : make_numbers(type, file, &view);
    PyObject *self = numbers == NULL ? NULL : ot_handle_steal(home, &numbers->head);
    if (self != NULL) {
        as_array(self)->view = view;
        if (*source != Py_None && ot_array_assign(self, &view, *source) < 0) {
            Py_CLEAR(self);
        }
    }
    return self;
}

/* Whether the second argument is a shape. If it is none, it is the values, as for array.array. */
static bool
is_shape(PyObject *o)
{
    return o == Py_None || PyTuple_Check(o) || (PyIndex_Check(o) && !PySequence_Check(o));
}

/* The number type of a typecode. NULL with an exception, whose text also helps a NumPy user who
 * wrote a shape or a dtype first. */
static const ot_number_type_t *
number_type_of(PyObject *typecode)
{
    bool is_character = PyUnicode_Check(typecode) && PyUnicode_GET_LENGTH(typecode) == 1;
    const ot_number_type_t *found =
        is_character ? ot_number_type((int)PyUnicode_READ_CHAR(typecode, 0)) : NULL;
    if (found == NULL) {
        PyErr_Format(
            is_character ? PyExc_ValueError : PyExc_TypeError,
            "SharedArray(typecode, shape): a typecode is one of b B h H i I l L q Q f d, not %R",
            typecode);
    }
    return found;
}

static PyObject *
array_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"typecode", "shape", "source", "file", NULL};
    (void)type; /* final */
    PyObject *typecode, *shape = Py_None, *source = Py_None, *file = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO$O:SharedArray", names, &typecode, &shape,
                                     &source, &file)) {
        return NULL;
    }
    const ot_number_type_t *number_type = number_type_of(typecode);
    if (number_type == NULL) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(args) > 1 && !is_shape(shape)) {
        if (source != Py_None) {
            PyErr_SetString(PyExc_TypeError, "a shape is an int or a tuple, or given by keyword");
            return NULL;
        }
        source = shape;
        shape = Py_None;
    }
    Py_INCREF(source);
    PyObject *self = new_array(number_type, shape, &source, file);
    Py_DECREF(source);
    return self;
}

/* ---- as a sequence -------------------------------------------------------------------------- */

static Py_ssize_t
array_length(PyObject *self)
{
    return as_array(self)->view.shape[0];
}

static PyObject *
get(PyObject *self, const ot_view_t *part)
{
    return part->ndim == 0 ? ot_array_load(self, part) : part_of(self, part);
}

static PyObject *
array_item(PyObject *self, Py_ssize_t i)
{
    ot_view_t row;
    if (i < 0 || i >= array_length(self)) {
        PyErr_SetString(PyExc_IndexError, "index out of range");
        return NULL;
    }
    ot_view_row(&as_array(self)->view, i, &row);
    return get(self, &row);
}

static PyObject *
array_subscript(PyObject *self, PyObject *key)
{
    ot_view_t part;
    return ot_view_select(&as_array(self)->view, key, &part) < 0 ? NULL : get(self, &part);
}

static int
array_assign(PyObject *self, PyObject *key, PyObject *value)
{
    ot_view_t part;
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "elements of a SharedArray cannot be deleted");
        return -1;
    }
    if (ot_view_select(&as_array(self)->view, key, &part) < 0) {
        return -1;
    }
    return ot_array_assign(self, &part, value);
}

static PyObject *
array_compare(PyObject *self, PyObject *other, int op)
{
    if ((op != Py_EQ && op != Py_NE) || !PyObject_CheckBuffer(other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *ours = PyMemoryView_FromObject(self);
    PyObject *theirs = ours == NULL ? NULL : PyMemoryView_FromObject(other);
    PyObject *result = theirs == NULL ? NULL : PyObject_RichCompare(ours, theirs, op);
    Py_XDECREF(ours);
    Py_XDECREF(theirs);
    return result;
}

static PyObject *
array_tolist(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *view = PyMemoryView_FromObject(self);
    PyObject *list = view == NULL ? NULL : PyObject_CallMethod(view, "tolist", NULL);
    Py_XDECREF(view);
    return list;
}

static PyObject *
array_shape(PyObject *self, void *unused)
{
    (void)unused;
    const ot_view_t *view = &as_array(self)->view;
    PyObject *shape = PyTuple_New(view->ndim);
    for (Py_ssize_t d = 0; shape != NULL && d < view->ndim; d++) {
        PyObject *n = PyLong_FromSsize_t(view->shape[d]);
        if (n == NULL) {
            Py_CLEAR(shape);
        } else {
            PyTuple_SET_ITEM(shape, d, n);
        }
    }
    return shape;
}

static PyObject *
array_repr(PyObject *self)
{
    enum { SHOWN = 8 };
    ot_view_t some = as_array(self)->view;
    bool more = some.shape[0] > SHOWN;
    some.shape[0] = more ? SHOWN : some.shape[0];
    PyObject *part = NULL, *list = NULL, *shape = array_shape(self, NULL), *repr = NULL;
    if (some.ndim == 1 && shape != NULL && (part = part_of(self, &some)) != NULL) {
        list = array_tolist(part, NULL);
    }
    unsigned long long id = ot_as_handle(self)->shared->id;
    if (list != NULL) {
        repr = PyUnicode_FromFormat("<objtunnel.SharedArray %llu '%s' shape %R: %R%s>", id,
                                    type_of(self)->code, shape, list, more ? " ..." : "");
    } else if (shape != NULL && some.ndim > 1) {
        repr = PyUnicode_FromFormat("<objtunnel.SharedArray %llu '%s' shape %R>", id,
                                    type_of(self)->code, shape);
    }
    Py_XDECREF(part);
    Py_XDECREF(list);
    Py_XDECREF(shape);
    return repr;
}

/* ---- as a buffer ---------------------------------------------------------------------------- */

static int
array_getbuffer(PyObject *self, Py_buffer *b, int flags)
{
    ot_view_t *view = &as_array(self)->view;
    const ot_number_type_t *type = type_of(self);
    bool packed = ot_view_is_packed(view, type->size);
    bool fortran = (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS;
    bool strided = (flags & PyBUF_STRIDES) == PyBUF_STRIDES;
    bool c_only = (flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS;
    if ((!packed && (!strided || c_only)) || (fortran && !(packed && view->ndim == 1))) {
        PyErr_SetString(PyExc_BufferError, "this part of the array is not contiguous in memory");
        b->obj = NULL;
        return -1;
    }
    *b = (Py_buffer){
        .obj = Py_NewRef(self),
        .buf = address(self, view),
        .len = ot_view_count(view) * type->size,
        .itemsize = type->size,
        .readonly = 0,
        .ndim = (int)view->ndim,
        .format = (flags & PyBUF_FORMAT) ? (char *)type->code : NULL,
        .shape = (flags & PyBUF_ND) ? view->shape : NULL,
        .strides = strided ? view->strides : NULL,
    };
    return 0;
}

/* ---- atomic operations ----------------------------------------------------------------------- */

/* The integer element at an index; -1 with TypeError or IndexError set. */
static int
integer_at(PyObject *self, PyObject *index, char **at)
{
    ot_view_t element;
    if (ot_view_select(&as_array(self)->view, index, &element) < 0) {
        return -1;
    }
    if (element.ndim != 0) {
        PyErr_SetString(PyExc_TypeError, "the index of one element is wanted");
        return -1;
    }
    if (type_of(self)->is_float) {
        PyErr_SetString(PyExc_TypeError, "only elements of integer types have atomic operations");
        return -1;
    }
    *at = address(self, &element);
    return 0;
}

/* Parses (index, n) and adds; the value before in *before and n in *n. */
static int
add_at(PyObject *self, PyObject *args, const char *format, ot_wide_t *before, ot_wide_t *n)
{
    PyObject *index, *number;
    char *at;
    if (!PyArg_ParseTuple(args, format, &index, &number) || integer_at(self, index, &at) < 0 ||
        ot_wide_from(number, n) < 0) {
        return -1;
    }
    return ot_integer_add(type_of(self), at, *n, before) ? 0 : ot_array_out_of_range(self);
}

static PyObject *
array_add(PyObject *self, PyObject *args)
{
    ot_wide_t before, n;
    return add_at(self, args, "OO:add", &before, &n) < 0 ? NULL : ot_wide_as_int(before + n);
}

static PyObject *
array_fetch_add(PyObject *self, PyObject *args)
{
    ot_wide_t before, n;
    return add_at(self, args, "OO:fetch_add", &before, &n) < 0 ? NULL : ot_wide_as_int(before);
}

static PyObject *
array_exchange(PyObject *self, PyObject *args)
{
    PyObject *index, *value;
    ot_wide_t n, before;
    char *at;
    if (!PyArg_ParseTuple(args, "OO:exchange", &index, &value) ||
        integer_at(self, index, &at) < 0 || ot_wide_from(value, &n) < 0) {
        return NULL;
    }
    if (!ot_integer_exchange(type_of(self), at, n, &before)) {
        ot_array_out_of_range(self);
        return NULL;
    }
    return ot_wide_as_int(before);
}

static PyObject *
array_compare_exchange(PyObject *self, PyObject *args)
{
    PyObject *index, *expected, *value;
    ot_wide_t e, n;
    char *at;
    if (!PyArg_ParseTuple(args, "OOO:compare_exchange", &index, &expected, &value) ||
        integer_at(self, index, &at) < 0 || ot_wide_from(expected, &e) < 0 ||
        ot_wide_from(value, &n) < 0) {
        return NULL;
    }
    if (!ot_integer_fits(type_of(self), n)) {
        ot_array_out_of_range(self);
        return NULL;
    }
    return PyBool_FromLong(ot_integer_compare_exchange(type_of(self), at, e, n));
}

/* ---- the rest -------------------------------------------------------------------------------- */

static PyObject *
array_flush(PyObject *self, PyObject *unused)
{
    (void)unused;
    int rc;
    Py_BEGIN_ALLOW_THREADS
    rc = ot_numbers_flush(numbers_of(self));
    Py_END_ALLOW_THREADS
    if (rc < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

static PyObject *
array_typecode(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(type_of(self)->code);
}

static PyObject *
array_itemsize(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(type_of(self)->size);
}

static PyObject *
array_nbytes(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(ot_view_count(&as_array(self)->view) * type_of(self)->size);
}

static PyObject *
array_file(PyObject *self, void *unused)
{
    (void)unused;
    const char *file = numbers_of(self)->file;
    return file == NULL ? Py_NewRef(Py_None) : PyUnicode_DecodeFSDefault(file);
}

static bool
save_view(PyObject *self, void *to)
{
    memcpy(to, &as_array(self)->view, sizeof(ot_view_t));
    return true;
}

static int
restore_view(PyObject *self, const void *from)
{
    ot_view_t view;
    memcpy(&view, from, sizeof view);
    const ot_numbers_t *numbers = numbers_of(self);
    if (ot_view_is_within(&view, numbers->type->size, numbers->count * numbers->type->size)) {
        as_array(self)->view = view;
        return 0;
    }
    PyErr_SetString(PyExc_ValueError, "this is no view of the array");
    return -1;
}

_Static_assert(sizeof(ot_view_t) <= OT_MOST_BESIDE, "a view travels as bytes");

static const ot_handle_extra_t extra = {
    .size = sizeof(ot_view_t), .save = save_view, .restore = restore_view};

static PyMethodDef array_methods[] = {
    {"add", array_add, METH_VARARGS,
     "add($self, index, n, /)\n--\n\n"
     "Add n to an integer element, atomically; return what it is then.\n\n"
     "Raises OverflowError, and leaves it, where the sum does not fit.\n\n"
     ">>> a = SharedArray('q', 3); a.add(0, 5), a.add(0, -2)\n(5, 3)"},
    {"fetch_add", array_fetch_add, METH_VARARGS,
     "fetch_add($self, index, n, /)\n--\n\nLike add, but return what it was before."},
    {"exchange", array_exchange, METH_VARARGS,
     "exchange($self, index, value, /)\n--\n\n"
     "Set an integer element and return what it was, in one step."},
    {"compare_exchange", array_compare_exchange, METH_VARARGS,
     "compare_exchange($self, index, expected, value, /)\n--\n\n"
     "Set an integer element to value if it is expected; return whether it was.\n\n"
     ">>> a = SharedArray('q', 3); a.compare_exchange(0, 0, 7), a.compare_exchange(0, 0, 8)\n"
     "(True, False)"},
    {"tolist", array_tolist, METH_NOARGS,
     "tolist($self)\n--\n\nThe numbers as a list, of lists if there are more dimensions."},
    {"flush", array_flush, METH_NOARGS,
     "flush($self)\n--\n\n"
     "Wait until what was written so far is in the file on its disk; without a file do nothing.\n"
     "Raises OSError."},
    {"__reduce__", ot_handle_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef array_getset[] = {
    {"id", ot_handle_id, NULL, "Number of the memory, unique in the process; slices have it, too.",
     NULL},
    {"typecode", array_typecode, NULL, "Type of the elements, as in array.array.", NULL},
    {"itemsize", array_itemsize, NULL, "Bytes of an element.", NULL},
    {"shape", array_shape, NULL, "Tuple of numbers of elements in each dimension.", NULL},
    {"nbytes", array_nbytes, NULL, "Bytes of all elements.", NULL},
    {"file", array_file, NULL, "Path of the file that keeps the numbers, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot array_slots[] = {
    {Py_tp_doc,
     "SharedArray(typecode, shape=None, source=None, *, file=None)\n--\n\n"
     "Numbers that all interpreters of the process read and write.\n\n"
     "typecode: one of b B h H i I l L q Q f d, as in array.array.\n"
     "shape: number of elements, or a tuple of up to 8 of these; by default the source's. Anything\n"
     "else in this place is the source: SharedArray('d', [1, 2, 3]).\n"
     "source: iterable or buffer with the first values, nested or flat; by default zeros.\n"
     "file: path of a file to keep the numbers in (mmap), made if need be. An existing one keeps\n"
     "its values and must have the size; without a shape its size says how many there are.\n\n"
     "memoryview, array and NumPy see the memory without a copy. Slices are handles on the same\n"
     "numbers, and can be sent like the whole. Elements are read and written atomically, one by\n"
     "one; == compares numbers. Raises OverflowError for what does not fit an element.\n\n"
     ">>> a = SharedArray('i', source=range(5)); part = a[1:3]; part[0] = 7; a.tolist()\n"
     "[0, 7, 2, 3, 4]"},
    {Py_tp_new, array_new},
    OT_HANDLE_LIFE,
    {Py_tp_repr, array_repr},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_richcompare, array_compare},
    {Py_tp_iter, PySeqIter_New},
    {Py_tp_methods, array_methods},
    {Py_tp_getset, array_getset},
    {Py_sq_length, array_length},
    {Py_sq_item, array_item},
    {Py_mp_length, array_length},
    {Py_mp_subscript, array_subscript},
    {Py_mp_ass_subscript, array_assign},
    {Py_bf_getbuffer, array_getbuffer},
    {0, NULL},
};

static PyType_Spec array_spec = {
    .name = "objtunnel.SharedArray",
    .basicsize = sizeof(array_t),
    .flags = OT_HANDLE_FLAGS | Py_TPFLAGS_SEQUENCE,
    .slots = array_slots,
};

int
ot_array_type_add(ot_objects_t *home)
{
    return ot_handle_add_type(home, &ot_numbers_kind, &array_spec, &extra) == NULL ? -1 : 0;
}
