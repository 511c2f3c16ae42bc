/* frozen_iter.c: iterators over frozen views.
 *
 * Main invariant: see frozen_view.h.
 * Threading: the GIL of the view's interpreter.
 */
#include "objects/frozen/frozen_view.h"

/* Two ints take turns: a loop still has the last one in its variable when it asks for the next. */
enum { SPARES = 2 };

typedef struct {
    PyObject_HEAD
    PyObject *view; /* owned; NULL at the end */
    ot_frozen_at_t at;
    ot_iterated_t what;
    PyObject *spare[SPARES]; /* owned: ints given out, to be overwritten once nobody has them */
} iterator_t;

PyObject *
ot_view_iterate(PyObject *view, ot_iterated_t what)
{
    iterator_t *it = PyObject_New(iterator_t, ot_as_handle(view)->home->frozen->iterator);
    if (it != NULL) {
        it->view = Py_NewRef(view);
        it->at = (ot_frozen_at_t){0};
        it->what = what;
        memset(it->spare, 0, sizeof it->spare);
    }
    return (PyObject *)it;
}

static void
iterator_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((iterator_t *)self)->view);
    for (int i = 0; i < SPARES; i++) {
        Py_XDECREF(((iterator_t *)self)->spare[i]);
    }
    PyObject_Free(self);
    Py_DECREF(type);
}

/* The next element of a list or tuple; NULL at the end. Borrowed from the region. */
static PyObject *
next_item(PyObject *node, ot_frozen_at_t *at)
{
    if (at->pos >= Py_SIZE(node)) {
        return NULL;
    }
    return ot_view_items(node)[at->pos++];
}

PyObject *
ot_view_pair(ot_frozen_view_t *view, PyObject *key, PyObject *value)
{
    PyObject *k = ot_frozen_read(view, key), *v = k == NULL ? NULL : ot_frozen_read(view, value);
    PyObject *pair = v == NULL ? NULL : PyTuple_Pack(2, k, v);
    Py_XDECREF(k);
    Py_XDECREF(v);
    return pair;
}

/* A new reference to an int with the region's value. An int that was given out here and that nobody has any more is
 * given out again with another value, as zip does with its tuples. */
static PyObject *
next_int(iterator_t *it, PyObject *node)
{
    for (int i = 0; i < SPARES; i++) {
        if (it->spare[i] == NULL) {
            PyObject *made = ot_frozen_read(ot_as_frozen(it->view), node);
            it->spare[i] = Py_XNewRef(made);
            return made;
        }
        if (Py_REFCNT(it->spare[i]) == 1 && ot_int_overwrite(it->spare[i], node)) {
            return Py_NewRef(it->spare[i]);
        }
    }
    return ot_frozen_read(ot_as_frozen(it->view), node);
}

static PyObject *
iterator_next(PyObject *self)
{
    iterator_t *it = (iterator_t *)self;
    if (it->view == NULL) {
        return NULL;
    }
    ot_frozen_view_t *view = ot_as_frozen(it->view);
    PyObject *key = NULL, *value = NULL;
    if (PyList_CheckExact(view->node) || PyTuple_CheckExact(view->node)) {
        key = next_item(view->node, &it->at);
    } else if (!ot_frozen_next(view->node, &it->at, &key, &value)) {
        key = NULL;
    }
    if (key == NULL) {
        Py_CLEAR(it->view);
        return NULL;
    }
    if (it->what == OT_ITERATE_ITEMS) {
        return ot_view_pair(view, key, value);
    }
    PyObject *node = it->what == OT_ITERATE_KEYS ? key : value;
    return ot_int_takes_one_digit(node) ? next_int(it, node) : ot_frozen_read(view, node);
}

PyObject *
ot_view_iter(PyObject *self)
{
    return ot_view_iterate(self, OT_ITERATE_KEYS);
}

static PyType_Slot iterator_slots[] = {
    {Py_tp_dealloc, iterator_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iterator_next},
    {0, NULL},
};

PyType_Spec ot_frozen_iterator_spec = {"objtunnel._FrozenIterator", sizeof(iterator_t), 0,
                                       OT_VIEW_FLAGS, iterator_slots};
