/* slice.c: the row for slice. Its deallocator insists on three objects, so an emptied one holds
 * None. Made without the interpreter's one-slice cache, which may hold an old block.
 */
#include "tunnel/kinds.h"

static int
slice_visit(PyObject *o, ot_visitor_t *v)
{
    PySliceObject *s = (PySliceObject *)o;
    if (ot_visit_edge(v, &s->start) < 0 || ot_visit_edge(v, &s->stop) < 0 ||
        ot_visit_edge(v, &s->step) < 0) {
        return -1;
    }
    return 0;
}

static void
slice_disown(PyObject *loser, PyObject *winner)
{
    (void)winner;
    PySliceObject *s = (PySliceObject *)loser;
    s->start = s->stop = s->step = Py_None;
}

static PyObject *
slice_clone(PyObject *o)
{
    (void)o;
    PyObject *s = (PyObject *)PyObject_GC_New(PySliceObject, &PySlice_Type);
    if (s != NULL) {
        slice_disown(s, NULL);
    }
    return s;
}

static PyObject *
slice_shell(PyObject *o)
{
    PySliceObject *from = (PySliceObject *)o, *s = (PySliceObject *)slice_clone(o);
    if (s != NULL) {
        s->start = from->start;
        s->stop = from->stop;
        s->step = from->step;
    }
    return (PyObject *)s;
}

static int
slice_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    PySliceObject *to = (PySliceObject *)clone, *from = (PySliceObject *)o;
    if (ot_fill_edge(c, &to->start, from->start) < 0 ||
        ot_fill_edge(c, &to->stop, from->stop) < 0) {
        return -1;
    }
    return ot_fill_edge(c, &to->step, from->step);
}

const ot_kind_t ot_kind_slice = {
    .name = "slice",
    .inspect = ot_kind_block_inspect,
    .visit = slice_visit,
    .shell = slice_shell,
    .disown = slice_disown,
    .clone = slice_clone,
    .fill = slice_fill,
};
