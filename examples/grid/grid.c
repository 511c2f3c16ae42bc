/* grid.c: a table of numbers with a label for each row, whose instances move through tunnels.
 *
 * An example of ot_register_type: a type made in C with memory of its own (the numbers) and
 * references (the labels and a note). After registration a Grid of any size changes interpreters
 * in a constant time for its numbers; without it, it would have to be picklable, and copied.
 *
 *     >>> g = grid.Grid(["oslo", "rome"], 365)       # 2 rows of 365 numbers, all 0.0
 *     >>> g.labels, g.note = ["Oslo", "Roma"], {"unit": "mm"}
 *     >>> memoryview(g)[1, 42] = 7.5
 *     >>> tunnel.send([g])                           # moved, if only the list refers to it
 *
 * Main invariant: exports counts the buffers that look at the numbers; while there are any, they
 * stay where they are, and so the Grid does not move.
 * Threading: the GIL of the interpreter that has the Grid.
 */
#include "objtunnel.h"

typedef struct {
    PyObject_HEAD
    PyObject *labels; /* a list */
    PyObject *note;   /* anything; NULL: none */
    double *numbers;  /* shape[0] * shape[1] of them, from PyMem_Malloc */
    Py_ssize_t shape[2], strides[2], exports;
} grid_t;

static grid_t *
as_grid(PyObject *o)
{
    return (grid_t *)o;
}

/* ---- what objtunnel must know ----------------------------------------------------------------- */

static int
grid_visit(PyObject *self, ot_report_fn report, void *visitor)
{
    grid_t *g = as_grid(self);
    return report(visitor, &g->labels) < 0 || report(visitor, &g->note) < 0 ? -1 : 0;
}

static int
grid_may_move(PyObject *self)
{
    return as_grid(self)->exports == 0;
}

static const ot_type_spec_t movable = {sizeof movable, grid_visit, grid_may_move};

/* ---- Grid ------------------------------------------------------------------------------------- */

static PyObject *
grid_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"labels", "columns", NULL};
    PyObject *labels;
    Py_ssize_t columns;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "On:Grid", names, &labels, &columns)) {
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    grid_t *g = as_grid(self);
    g->labels = PySequence_List(labels);
    if (g->labels == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    g->shape[0] = PyList_GET_SIZE(g->labels);
    g->shape[1] = columns;
    g->strides[0] = columns * (Py_ssize_t)sizeof(double);
    g->strides[1] = sizeof(double);
    if (columns < 0 || (columns > 0 && g->shape[0] > PY_SSIZE_T_MAX / 8 / columns)) {
        PyErr_SetString(PyExc_ValueError, "columns must be 0 or more, and not that many");
        Py_DECREF(self);
        return NULL;
    }
    g->numbers = PyMem_Calloc((size_t)(g->shape[0] * columns) + 1, sizeof(double));
    if (g->numbers == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return self;
}

static int
grid_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_grid(self)->labels);
    Py_VISIT(as_grid(self)->note);
    return 0;
}

static int
grid_clear(PyObject *self)
{
    Py_CLEAR(as_grid(self)->labels);
    Py_CLEAR(as_grid(self)->note);
    return 0;
}

static void
grid_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)grid_clear(self);
    PyMem_Free(as_grid(self)->numbers);
    type->tp_free(self);
    Py_DECREF(type);
}

static int
grid_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    grid_t *g = as_grid(self);
    Py_ssize_t bytes = g->shape[0] * g->strides[0];
    if (PyBuffer_FillInfo(view, self, g->numbers, bytes, 0, flags) < 0) {
        return -1;
    }
    view->itemsize = sizeof(double);
    if (view->format != NULL) {
        view->format = (char *)"d";
    }
    if (view->shape != NULL) {
        view->ndim = 2;
        view->shape = g->shape;
    }
    if (view->strides != NULL) {
        view->strides = g->strides;
    }
    g->exports++;
    return 0;
}

static void
grid_releasebuffer(PyObject *self, Py_buffer *view)
{
    (void)view;
    as_grid(self)->exports--;
}

static PyObject *
grid_sum(PyObject *self, PyObject *unused)
{
    (void)unused;
    grid_t *g = as_grid(self);
    double sum = 0;
    for (Py_ssize_t i = 0; i < g->shape[0] * g->shape[1]; i++) {
        sum += g->numbers[i];
    }
    return PyFloat_FromDouble(sum);
}

static PyObject *
grid_address(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(as_grid(self)->numbers);
}

/* ---- the module ------------------------------------------------------------------------------- */

static PyMethodDef grid_methods[] = {
    {"sum", grid_sum, METH_NOARGS, "sum($self, /)\n--\n\nThe sum of all numbers."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef grid_members[] = {
    {"labels", Py_T_OBJECT_EX, offsetof(grid_t, labels), 0, "A list with a label for each row."},
    {"note", _Py_T_OBJECT, offsetof(grid_t, note), 0, "Anything."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef grid_getset[] = {
    {"address", grid_address, NULL, "Where the numbers lie.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot grid_slots[] = {
    {Py_tp_doc, (void *)"Grid(labels, columns)\n--\n\nRows of numbers, each row with a label."},
    {Py_tp_new, (void *)grid_new},
    {Py_tp_dealloc, (void *)grid_dealloc},
    {Py_tp_traverse, (void *)grid_traverse},
    {Py_tp_clear, (void *)grid_clear},
    {Py_tp_methods, grid_methods},
    {Py_tp_members, grid_members},
    {Py_tp_getset, grid_getset},
    {Py_bf_getbuffer, (void *)grid_getbuffer},
    {Py_bf_releasebuffer, (void *)grid_releasebuffer},
    {0, NULL},
};

static PyType_Spec grid_spec = {
    .name = "grid.Grid",
    .basicsize = sizeof(grid_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = grid_slots,
};

static int
module_exec(PyObject *module)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &grid_spec, NULL);
    int rc = type == NULL || PyModule_AddType(module, type) < 0 ? -1 : 0;
    rc = rc < 0 ? rc : ot_register_type(type, &movable);
    Py_XDECREF(type);
    return rc;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)module_exec},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "grid",
    .m_doc = "Grids of numbers that move between interpreters.",
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_grid(void)
{
    return PyModuleDef_Init(&definition);
}
