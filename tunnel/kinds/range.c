/* range.c: the row for range, a leaf-like object with four ints (no collector header). Its
 * deallocator insists on four objects, so an emptied one holds None.
 */
#include "tunnel/kinds.h"

static int
range_visit(PyObject *o, ot_visitor_t *v)
{
    ot_range_t *r = (ot_range_t *)o;
    for (int i = 0; i < 4; i++) {
        if (ot_visit_edge(v, &r->part[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

static void
range_disown(PyObject *loser, PyObject *winner)
{
    (void)winner;
    for (int i = 0; i < 4; i++) {
        ((ot_range_t *)loser)->part[i] =
            Py_GetConstantBorrowed(i == 2 ? Py_CONSTANT_ONE : Py_CONSTANT_ZERO);
    }
}

static PyObject *
range_clone(PyObject *o)
{
    (void)o;
    PyObject *r = (PyObject *)PyObject_New(ot_range_t, &PyRange_Type);
    if (r != NULL) {
        range_disown(r, NULL);
    }
    return r;
}

static PyObject *
range_shell(PyObject *o)
{
    PyObject *r = range_clone(o);
    if (r != NULL) {
        memcpy(((ot_range_t *)r)->part, ((ot_range_t *)o)->part, sizeof((ot_range_t *)r)->part);
    }
    return r;
}

static int
range_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    ot_range_t *to = (ot_range_t *)clone, *from = (ot_range_t *)o;
    for (int i = 0; i < 4; i++) {
        if (ot_fill_edge(c, &to->part[i], from->part[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

const ot_kind_t ot_kind_range = {
    .name = "range",
    .inspect = ot_kind_block_inspect,
    .visit = range_visit,
    .shell = range_shell,
    .disown = range_disown,
    .clone = range_clone,
    .fill = range_fill,
};
