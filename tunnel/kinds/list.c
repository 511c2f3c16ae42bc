/* list.c: the row for list. Side block: the item vector. */
#include "tunnel/kinds.h"

static int
list_visit(PyObject *o, ot_visitor_t *v)
{
    return ot_walk_list(o, v, v->edge);
}

/* An untracked list with room for n items, its size left at 0; new reference. */
static PyListObject *
bare_list(PyTypeObject *type, Py_ssize_t n)
{
    PyListObject *list = (PyListObject *)ot_py_new_container(type, 0);
    if (list == NULL) {
        return NULL;
    }
    Py_SET_SIZE(list, 0);
    list->allocated = 0;
    list->ob_item = NULL;
    if (n > 0) {
        list->ob_item = PyMem_Malloc((size_t)n * sizeof(PyObject *));
        if (list->ob_item == NULL) {
            ot_py_drop_unfinished((PyObject *)list);
            PyErr_NoMemory();
            return NULL;
        }
        list->allocated = n;
    }
    return list;
}

static PyObject *
list_shell(PyObject *o)
{
    PyListObject *old = (PyListObject *)o;
    Py_ssize_t n = Py_SIZE(old);
    bool share = old->ob_item == NULL || ot_heap_owns(old->ob_item);
    PyListObject *list = bare_list(Py_TYPE(o), share ? 0 : n);
    if (list == NULL) {
        return NULL;
    }
    if (share) {
        list->ob_item = old->ob_item;
        list->allocated = old->allocated;
    } else {
        memcpy(list->ob_item, old->ob_item, (size_t)n * sizeof(PyObject *));
    }
    Py_SET_SIZE(list, n);
    return (PyObject *)list;
}

static void
list_disown(PyObject *loser, PyObject *winner)
{
    PyListObject *list = (PyListObject *)loser;
    Py_SET_SIZE(list, 0);
    if (list->ob_item == ((PyListObject *)winner)->ob_item) {
        list->ob_item = NULL;
        list->allocated = 0;
    }
}

static PyObject *
list_clone(PyObject *o)
{
    Py_ssize_t n = PyList_GET_SIZE(o);
    PyListObject *list = bare_list(Py_TYPE(o), n);
    if (list != NULL) {
        for (Py_ssize_t i = 0; i < n; i++) {
            list->ob_item[i] = NULL;
        }
        Py_SET_SIZE(list, n);
    }
    return (PyObject *)list;
}

static int
list_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    PyObject **to = ((PyListObject *)clone)->ob_item, **from = ((PyListObject *)o)->ob_item;
    for (Py_ssize_t i = 0, n = PyList_GET_SIZE(o); i < n; i++) {
        if (ot_fill_edge(c, &to[i], from[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
list_clear(PyObject *o)
{
    return PyList_SetSlice(o, 0, PY_SSIZE_T_MAX, NULL);
}

const ot_kind_t ot_kind_list = {
    .name = "list",
    .subclassable = true,
    .emptiable = true,
    .inspect = ot_list_inspect,
    .visit = list_visit,
    .shell = list_shell,
    .disown = list_disown,
    .clone = list_clone,
    .fill = list_fill,
    .clear = list_clear,
};
