/* free_lists.c: see free_lists.h.
 *
 * Main invariant: only public functions make the objects, so nothing here knows how long a free list is or which types
 * have one: a type without one gives an object of the heap at once.
 * Threading: the interpreter's GIL.
 */
#include "runtime/free_lists.h"

#include "runtime/cpython/dict.h"
#include "runtime/heap.h"

enum {
    AT_MOST = 2500,    /* of one kind; the longest free list of 3.13 to 3.15 has 2,000 */
    LONGEST_TUPLE = 20 /* longer ones have no free list */
};

static PyObject *
make_list(Py_ssize_t unused)
{
    (void)unused;
    return PyList_New(0);
}

/* The table is a block, too. */
static PyObject *
make_dict(Py_ssize_t unused)
{
    (void)unused;
    PyObject *dict = PyDict_New();
    if (dict != NULL && PyDict_SetItemString(dict, "key", Py_None) < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *
make_float(Py_ssize_t unused)
{
    (void)unused;
    return PyFloat_FromDouble(1.5);
}

static PyObject *
make_int(Py_ssize_t unused)
{
    (void)unused;
    return PyLong_FromLong(1 << 20);
}

static PyObject *
make_tuple(Py_ssize_t size)
{
    PyObject *tuple = PyTuple_New(size);
    for (Py_ssize_t i = 0; tuple != NULL && i < size; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(Py_None));
    }
    return tuple;
}

static PyObject *
make_slice(Py_ssize_t unused)
{
    (void)unused;
    return PySlice_New(NULL, NULL, NULL);
}

static bool
is_the_heaps(PyObject *o)
{
    return ot_heap_owns(o) && (!PyDict_CheckExact(o) || ot_heap_owns(ot_dict_keys(o)));
}

/* 0, or -1 with MemoryError. */
static int
take(PyObject *old, PyObject *(*make)(Py_ssize_t), Py_ssize_t size)
{
    for (int i = 0; i < AT_MOST; i++) {
        PyObject *o = make(size);
        if (o == NULL) {
            return -1;
        }
        bool ours = is_the_heaps(o);
        int rc = ours ? 0 : PyList_Append(old, o);
        Py_DECREF(o);
        if (ours || rc < 0) {
            return rc;
        }
    }
    return 0;
}

int
ot_take_old_free_lists(PyObject *old)
{
    if (take(old, make_list, 0) < 0 || take(old, make_dict, 0) < 0 ||
        take(old, make_float, 0) < 0 || take(old, make_int, 0) < 0 ||
        take(old, make_slice, 0) < 0) {
        return -1;
    }
    for (Py_ssize_t size = 1; size <= LONGEST_TUPLE; size++) {
        if (take(old, make_tuple, size) < 0) {
            return -1;
        }
    }
    return 0;
}
