/* tuple.c: the row for tuple. The items lie in the object itself. */
#include "tunnel/kinds.h"

static int
tuple_visit(PyObject *o, ot_visitor_t *v)
{
    return ot_walk_tuple(o, v, v->edge);
}

static PyObject *
bare_tuple(PyTypeObject *type, Py_ssize_t n)
{
    PyTupleObject *tuple = (PyTupleObject *)ot_py_new_container(type, n);
    if (tuple == NULL) {
        return NULL;
    }
    ot_tuple_forget_hash((PyObject *)tuple);
    for (Py_ssize_t i = 0; i < n; i++) {
        tuple->ob_item[i] = NULL;
    }
    return (PyObject *)tuple;
}

static PyObject *
tuple_shell(PyObject *o)
{
    Py_ssize_t n = PyTuple_GET_SIZE(o);
    PyObject *tuple = bare_tuple(Py_TYPE(o), n);
    if (tuple != NULL) {
        memcpy(((PyTupleObject *)tuple)->ob_item, ((PyTupleObject *)o)->ob_item,
               (size_t)n * sizeof(PyObject *));
    }
    return tuple;
}

static void
tuple_disown(PyObject *loser, PyObject *winner)
{
    (void)winner;
    ot_tuple_forget_hash(loser);
    for (Py_ssize_t i = 0, n = PyTuple_GET_SIZE(loser); i < n; i++) {
        ((PyTupleObject *)loser)->ob_item[i] =
            Py_NewRef(Py_None); /* C code that still has the loser finds objects */
    }
}

static PyObject *
tuple_clone(PyObject *o)
{
    return bare_tuple(Py_TYPE(o), PyTuple_GET_SIZE(o));
}

static int
tuple_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    PyObject **to = ((PyTupleObject *)clone)->ob_item, **from = ((PyTupleObject *)o)->ob_item;
    for (Py_ssize_t i = 0, n = PyTuple_GET_SIZE(o); i < n; i++) {
        if (ot_fill_edge(c, &to[i], from[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

const ot_kind_t ot_kind_tuple = {
    .name = "tuple",
    .subclassable = true,
    .inspect = ot_tuple_inspect,
    .visit = tuple_visit,
    .shell = tuple_shell,
    .disown = tuple_disown,
    .clone = tuple_clone,
    .fill = tuple_fill,
};
