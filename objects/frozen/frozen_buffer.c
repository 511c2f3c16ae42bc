/* frozen_buffer.c: the types FrozenBytes and FrozenArray.
 *
 * Main invariant: see frozen_view.h.
 * Threading: the GIL of the view's interpreter.
 */
#include "objects/frozen/frozen_view.h"

#include "runtime/cpython/stdlib.h"

static int
bytes_getbuffer(PyObject *self, Py_buffer *buffer, int flags)
{
    PyObject *node = ot_view_node(self);
    return PyBuffer_FillInfo(buffer, self, (void *)ot_frozen_data(node), Py_SIZE(node), 1, flags);
}

static PyObject *
bytes_item(PyObject *self, Py_ssize_t i)
{
    if (i < 0 || i >= Py_SIZE(ot_view_node(self))) {
        PyErr_SetString(PyExc_IndexError, "index out of range");
        return NULL;
    }
    return PyLong_FromLong((unsigned char)ot_frozen_data(ot_view_node(self))[i]);
}

/* A number, or bytes of the reader's own. */
static PyObject *
bytes_subscript(PyObject *self, PyObject *index)
{
    if (PySlice_Check(index)) {
        PyObject *memory = PyMemoryView_FromObject(self);
        PyObject *part = memory == NULL ? NULL : PyObject_GetItem(memory, index);
        PyObject *bytes = part == NULL ? NULL : PyBytes_FromObject(part);
        Py_XDECREF(memory);
        Py_XDECREF(part);
        return bytes;
    }
    Py_ssize_t i = PyNumber_AsSsize_t(index, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return bytes_item(self, i < 0 ? i + Py_SIZE(ot_view_node(self)) : i);
}

static PyObject *
bytes_compare(PyObject *self, PyObject *other, int op)
{
    if (!PyObject_CheckBuffer(other) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    Py_buffer theirs;
    if (PyObject_GetBuffer(other, &theirs, PyBUF_SIMPLE) < 0) {
        PyErr_Clear(); /* not bytes-like enough to be equal */
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *node = ot_view_node(self);
    int equal = theirs.len == Py_SIZE(node) &&
                memcmp(theirs.buf, ot_frozen_data(node), (size_t)theirs.len) == 0;
    PyBuffer_Release(&theirs);
    return ot_view_truth(equal, op);
}

static PyMethodDef bytes_methods[] = {OT_VIEW_METHODS, {NULL, NULL, 0, NULL}};

/* ---- array ----------------------------------------------------------------------------------- */

static const ot_array_descr_t *
descr_of(PyObject *self)
{
    return ((ot_array_t *)ot_view_node(self))->ob_descr;
}

/* The format in the struct module's letters, as array.array exports it: Unicode characters are "w". */
static const char *
format_of(PyObject *self)
{
    static const char codes[] = "b\0B\0w\0h\0H\0i\0I\0l\0L\0q\0Q\0f\0d";
    char code = descr_of(self)->typecode == 'u' ? 'w' : descr_of(self)->typecode;
    for (size_t i = 0; i < sizeof codes; i += 2) {
        if (codes[i] == code) {
            return &codes[i];
        }
    }
    return NULL;
}

static int
array_getbuffer(PyObject *self, Py_buffer *buffer, int flags)
{
    ot_array_t *array = (ot_array_t *)ot_view_node(self);
    static char nothing[1];
    Py_ssize_t size = descr_of(self)->itemsize;
    void *items = array->ob_item == NULL ? nothing : array->ob_item;
    if (format_of(self) == NULL) {
        PyErr_Format(PyExc_BufferError, "no buffer of an array of typecode '%c'",
                     descr_of(self)->typecode);
        return -1;
    }
    if (PyBuffer_FillInfo(buffer, self, items, Py_SIZE(array) * size, 1, flags) < 0) {
        return -1;
    }
    buffer->itemsize = size;
    if (flags & PyBUF_FORMAT) {
        buffer->format = (char *)format_of(self);
    }
    if ((flags & PyBUF_ND) == PyBUF_ND) {
        buffer->shape = &((PyVarObject *)array)->ob_size;
    }
    if ((flags & PyBUF_STRIDES) == PyBUF_STRIDES) {
        buffer->strides = &buffer->itemsize;
    }
    return 0;
}

/* A number, or for a slice a memoryview. */
static PyObject *
array_subscript(PyObject *self, PyObject *index)
{
    PyObject *memory = PyMemoryView_FromObject(self);
    PyObject *part = memory == NULL ? NULL : PyObject_GetItem(memory, index);
    Py_XDECREF(memory);
    return part;
}

static PyObject *
array_iter(PyObject *self)
{
    PyObject *memory = PyMemoryView_FromObject(self);
    PyObject *it = memory == NULL ? NULL : PyObject_GetIter(memory);
    Py_XDECREF(memory);
    return it;
}

static PyObject *
array_tolist(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *memory = PyMemoryView_FromObject(self);
    PyObject *list = memory == NULL ? NULL : PyObject_CallMethod(memory, "tolist", NULL);
    Py_XDECREF(memory);
    return list;
}

/* Calls the method of that name of a list with the same numbers: array.array's looks at one number after the other,
 * too. */
static PyObject *
array_by_list(PyObject *self, const char *name, PyObject *args)
{
    PyObject *list = array_tolist(self, NULL);
    PyObject *method = list == NULL ? NULL : PyObject_GetAttrString(list, name);
    PyObject *result = method == NULL ? NULL : PyObject_CallObject(method, args);
    Py_XDECREF(list);
    Py_XDECREF(method);
    return result;
}

static PyObject *
array_count(PyObject *self, PyObject *args)
{
    return array_by_list(self, "count", args);
}

static PyObject *
array_index(PyObject *self, PyObject *args)
{
    return array_by_list(self, "index", args);
}

static PyObject *
array_compare(PyObject *self, PyObject *other, int op)
{
    if (!PyObject_CheckBuffer(other) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *memory = PyMemoryView_FromObject(self);
    PyObject *result = memory == NULL ? NULL : PyObject_RichCompare(memory, other, op);
    Py_XDECREF(memory);
    return result;
}

static PyObject *
array_typecode(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromFormat("%c", descr_of(self)->typecode);
}

static PyObject *
array_itemsize(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(descr_of(self)->itemsize);
}

static PyMethodDef array_methods[] = {
    OT_VIEW_METHODS,
    {"tolist", array_tolist, METH_NOARGS, "tolist($self)\n--\n\nThe numbers as a list."},
    {"count", array_count, METH_VARARGS,
     "count($self, value, /)\n--\n\nHow many numbers equal value."},
    {"index", array_index, METH_VARARGS,
     "index($self, value, start=0, stop=sys.maxsize, /)\n--\n\n"
     "Where the first number is that equals value. Raises ValueError."},
    {NULL, NULL, 0, NULL},
};

PyType_Slot ot_frozen_bytes_slots[] = {
    OT_VIEW_SLOTS("Long bytes, or a bytearray, of a frozen tree: a buffer; see freeze().",
                  bytes_compare, ot_view_hash, bytes_methods),
    {Py_sq_item, bytes_item},
    {Py_mp_subscript, bytes_subscript},
    {Py_bf_getbuffer, bytes_getbuffer},
    {0, NULL},
};

static PyGetSetDef array_getset[] = {
    {"id", ot_handle_id, NULL, "Number of the whole frozen tree, unique in the process.", NULL},
    {"typecode", array_typecode, NULL, "Type of the elements, as in array.array.", NULL},
    {"itemsize", array_itemsize, NULL, "Bytes of an element.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyType_Slot ot_frozen_array_slots[] = {
    {Py_tp_doc, "An array.array of a frozen tree: a buffer; see freeze()."},
    {Py_tp_dealloc, ot_view_dealloc},
    {Py_tp_repr, ot_view_repr},
    {Py_tp_richcompare, array_compare},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_iter, array_iter},
    {Py_tp_methods, array_methods},
    {Py_tp_members, ot_view_members},
    {Py_tp_getset, array_getset},
    {Py_mp_length, ot_view_length},
    {Py_mp_subscript, array_subscript},
    {Py_bf_getbuffer, array_getbuffer},
    {0, NULL},
};
