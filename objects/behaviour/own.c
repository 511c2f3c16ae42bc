/* own.c: see own.h. */
#include "objects/behaviour/own.h"

#include <stdlib.h>

/* ---- from a function ------------------------------------------------------------------------- */

/* Borrowed; NULL: the cell is empty. */
static PyObject *
content_of(const ot_own_t *own, const PyFunctionObject *f, size_t i)
{
    return i < own->cells ? PyCell_GET(PyTuple_GET_ITEM(f->func_closure, (Py_ssize_t)i))
                          : PyTuple_GET_ITEM(f->func_defaults, (Py_ssize_t)(i - own->cells));
}

int
ot_own_of(ot_objects_t *home, PyObject *function, ot_own_t **own)
{
    const PyFunctionObject *f = (PyFunctionObject *)function;
    *own = NULL;
    if (f->func_kwdefaults != NULL) {
        return 0;
    }
    size_t cells = f->func_closure == NULL ? 0 : (size_t)PyTuple_GET_SIZE(f->func_closure);
    size_t defaults = f->func_defaults == NULL ? 0 : (size_t)PyTuple_GET_SIZE(f->func_defaults);
    if (cells + defaults == 0) {
        return f->func_defaults == NULL; /* an empty tuple of defaults is not worth a thought */
    }
    ot_own_t *new = calloc(1, sizeof *new + (cells + defaults) * sizeof *new->values);
    if (new == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    new->cells = cells;
    new->defaults = defaults;
    for (size_t i = 0; i < cells + defaults; i++) {
        PyObject *o = content_of(new, f, i);
        new->values[i] = o == NULL ? NULL : ot_value_new_treeless(home, o);
        if (new->values[i] == NULL) {
            ot_own_free(new);
            return PyErr_Occurred() ? -1 : 0;
        }
    }
    *own = new;
    return 1;
}

void
ot_own_free(ot_own_t *own)
{
    for (size_t i = 0; own != NULL && i < own->cells + own->defaults; i++) {
        ot_value_unref(own->values[i]);
    }
    free(own);
}

/* ---- to a function --------------------------------------------------------------------------- */

static PyObject *
take(ot_objects_t *home, ot_own_t *own, size_t i)
{
    PyObject *o = ot_value_take(home, own->values[i]);
    if (o != NULL) {
        own->values[i] = NULL;
    }
    return o;
}

/* What `wrap` makes of each content, as a tuple. `wrap` steals. NULL for none, without an exception. */
static PyObject *
take_all(ot_objects_t *home, ot_own_t *own, size_t from, size_t n, PyObject *(*wrap)(PyObject *o))
{
    PyObject *all = n == 0 ? NULL : PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; all != NULL && i < n; i++) {
        PyObject *o = take(home, own, from + i), *wrapped = o == NULL ? NULL : wrap(o);
        if (wrapped == NULL) {
            Py_CLEAR(all);
        } else {
            PyTuple_SET_ITEM(all, (Py_ssize_t)i, wrapped);
        }
    }
    return all;
}

static PyObject *
in_cell(PyObject *o)
{
    PyObject *cell = PyCell_New(o);
    Py_DECREF(o);
    return cell;
}

static PyObject *
in_list(PyObject *o)
{
    PyObject *list = PyList_New(1);
    if (list == NULL) {
        Py_DECREF(o);
    } else {
        PyList_SET_ITEM(list, 0, o);
    }
    return list;
}

static PyObject *
as_it_is(PyObject *o)
{
    return o;
}

PyObject *
ot_own_make(ot_objects_t *home, ot_own_t *own, PyObject *like)
{
    const PyFunctionObject *f = (PyFunctionObject *)like;
    PyObject *function =
        PyFunction_NewWithQualName(f->func_code, f->func_globals, f->func_qualname);
    PyObject *closure = take_all(home, own, 0, own->cells, in_cell);
    PyObject *defaults =
        PyErr_Occurred() ? NULL : take_all(home, own, own->cells, own->defaults, as_it_is);
    if (function == NULL || PyErr_Occurred() ||
        (closure != NULL && PyFunction_SetClosure(function, closure) < 0) ||
        (defaults != NULL && PyFunction_SetDefaults(function, defaults) < 0)) {
        Py_CLEAR(function);
    }
    Py_XDECREF(closure);
    Py_XDECREF(defaults);
    return function;
}

PyObject *
ot_own_list(ot_objects_t *home, ot_own_t *own)
{
    PyObject *cells = take_all(home, own, 0, own->cells, in_list);
    PyObject *defaults =
        PyErr_Occurred() ? NULL : take_all(home, own, own->cells, own->defaults, as_it_is);
    PyObject *list = NULL;
    if (!PyErr_Occurred()) {
        PyObject *no_cells = cells == NULL ? PyTuple_New(0) : Py_NewRef(cells);
        list = no_cells == NULL ? NULL
                                : Py_BuildValue("[O,O,O]", no_cells,
                                                defaults == NULL ? Py_None : defaults, Py_None);
        Py_XDECREF(no_cells);
    }
    Py_XDECREF(cells);
    Py_XDECREF(defaults);
    return list;
}
