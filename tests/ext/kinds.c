/* kinds.c: registered types, right and wrong ones. By the capsule only.
 *
 * Matrix: two references and numbers; what its visit and may_move do wrong is chosen by set_mode.
 * First is registered; Second, laid out otherwise, shares its tp_dealloc and is not. Bare has no
 * tp_traverse. The types that must be refused are made by refused().
 * Threading: the mode is the process's; one test at a time.
 */
#include "objtunnel.h"

#include <stddef.h>

typedef struct {
    PyObject_HEAD
    PyObject *child, *child2;
    double *numbers;
} matrix_t;

static int mode, may_mode;

/* One mistake each; report is passed on so that its own result can be ignored. */
static int
visit_wrongly(matrix_t *m, ot_report_fn report, void *visitor)
{
    PyObject *copy = m->child;
    switch (mode) {
    case 1: /* forgets child2 */
        return report(visitor, &m->child);
    case 2: /* the address of a copy */
        return report(visitor, &copy) < 0 || report(visitor, &m->child2) < 0 ? -1 : 0;
    case 3: /* twice */
        return report(visitor, &m->child) < 0 || report(visitor, &m->child) < 0 ||
                       report(visitor, &m->child2) < 0
                   ? -1
                   : 0;
    case 4: /* -1 without a reason */
        return -1;
    case 5:
        PyErr_SetString(PyExc_ValueError, "from visit");
        return -1;
    case 6: /* ignores the result */
        report(visitor, &m->child);
        report(visitor, &m->child2);
        return 0;
    case 7: /* the type */
        return report(visitor, &m->child) < 0 || report(visitor, &m->child2) < 0
                   ? -1
                   : report(visitor, (PyObject **)&((PyObject *)m)->ob_type);
    case 8: /* an object of its own */
        copy = PyList_New(0);
        return report(visitor, &copy) < 0 || report(visitor, &m->child) < 0 ||
                       report(visitor, &m->child2) < 0
                   ? -1
                   : 0;
    case 9: /* an exception, and 0 */
        PyErr_SetString(PyExc_ValueError, "from visit");
        return report(visitor, &m->child) < 0 || report(visitor, &m->child2) < 0 ? -1 : 0;
    case 10: /* changes something */
        Py_CLEAR(m->child);
        return report(visitor, &m->child2);
    case 11:
        return 1;
    default: { /* 12: a copy that outlives the call */
        static PyObject *kept;
        kept = m->child;
        return report(visitor, &kept) < 0 || report(visitor, &m->child2) < 0 ? -1 : 0;
    }
    }
}

static int
matrix_visit(PyObject *o, ot_report_fn report, void *visitor)
{
    matrix_t *m = (matrix_t *)o;
    if (mode != 0) {
        return visit_wrongly(m, report, visitor);
    }
    return report(visitor, &m->child) < 0 || report(visitor, &m->child2) < 0 ? -1 : 0;
}

/* 0: yes. 1: no. 2: yes, and an exception. 3: no, and an exception. */
static int
matrix_may_move(PyObject *o)
{
    (void)o;
    if (may_mode >= 2) {
        PyErr_SetString(PyExc_ValueError, "from may_move");
    }
    return may_mode % 2 == 0;
}

static PyObject *
matrix_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)kwargs;
    PyObject *child = NULL, *child2 = NULL;
    if (!PyArg_ParseTuple(args, "|OO", &child, &child2)) {
        return NULL;
    }
    matrix_t *m = (matrix_t *)type->tp_alloc(type, 0);
    if (m != NULL) {
        m->child = Py_XNewRef(child);
        m->child2 = Py_XNewRef(child2);
        m->numbers = (double *)PyMem_Calloc(10, sizeof(double));
    }
    return (PyObject *)m;
}

static int
matrix_traverse(PyObject *o, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(((matrix_t *)o)->child);
    Py_VISIT(((matrix_t *)o)->child2);
    return 0;
}

static int
matrix_clear(PyObject *o)
{
    Py_CLEAR(((matrix_t *)o)->child);
    Py_CLEAR(((matrix_t *)o)->child2);
    return 0;
}

static void
matrix_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    matrix_clear(o);
    PyMem_Free(((matrix_t *)o)->numbers);
    type->tp_free(o);
    Py_DECREF(type);
}

static PyMemberDef matrix_members[] = {
    {"child", Py_T_OBJECT_EX, offsetof(matrix_t, child), 0, NULL},
    {"child2", Py_T_OBJECT_EX, offsetof(matrix_t, child2), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot matrix_slots[] = {
    {Py_tp_new, (void *)matrix_new},           {Py_tp_dealloc, (void *)matrix_dealloc},
    {Py_tp_traverse, (void *)matrix_traverse}, {Py_tp_clear, (void *)matrix_clear},
    {Py_tp_members, matrix_members},           {0, NULL},
};

static PyType_Spec matrix_spec = {
    .name = "kinds.Matrix",
    .basicsize = sizeof(matrix_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = matrix_slots,
};

static const ot_type_spec_t matrix_movable = {sizeof(ot_type_spec_t), matrix_visit,
                                              matrix_may_move};

/* ---- First and Second: one tp_dealloc for two layouts ------------------------------------------ */

typedef struct {
    PyObject_HEAD
    PyObject *ref;
    long number;
} first_t;

typedef struct {
    PyObject_HEAD
    long number;
    PyObject *ref;
} second_t;

static void
clearing_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    (void)type->tp_clear(o);
    type->tp_free(o);
    Py_DECREF(type);
}

#define FUNCTIONS(name)                                                                            \
    static PyObject *name##_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)              \
    {                                                                                              \
        (void)kwargs;                                                                              \
        name##_t *o = (name##_t *)type->tp_alloc(type, 0);                                         \
        if (o != NULL) {                                                                           \
            o->number = 4242;                                                                      \
            o->ref = Py_NewRef(args);                                                              \
        }                                                                                          \
        return (PyObject *)o;                                                                      \
    }                                                                                              \
    static int name##_traverse(PyObject *o, visitproc visit, void *arg)                            \
    {                                                                                              \
        Py_VISIT(Py_TYPE(o));                                                                      \
        Py_VISIT(((name##_t *)o)->ref);                                                            \
        return 0;                                                                                  \
    }                                                                                              \
    static int name##_clear(PyObject *o)                                                           \
    {                                                                                              \
        Py_CLEAR(((name##_t *)o)->ref);                                                            \
        return 0;                                                                                  \
    }                                                                                              \
    static PyMemberDef name##_members[] = {                                                        \
        {"ref", Py_T_OBJECT_EX, offsetof(name##_t, ref), 0, NULL},                                 \
        {"number", Py_T_LONG, offsetof(name##_t, number), 0, NULL},                                \
        {NULL, 0, 0, 0, NULL},                                                                     \
    };                                                                                             \
    static PyType_Slot name##_slots[] = {                                                          \
        {Py_tp_new, (void *)name##_new},           {Py_tp_dealloc, (void *)clearing_dealloc},      \
        {Py_tp_traverse, (void *)name##_traverse}, {Py_tp_clear, (void *)name##_clear},            \
        {Py_tp_members, name##_members},           {0, NULL},                                      \
    };

FUNCTIONS(first)
FUNCTIONS(second)

static PyType_Spec first_spec = {
    .name = "kinds.First",
    .basicsize = sizeof(first_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = first_slots,
};

static PyType_Spec second_spec = {
    .name = "kinds.Second",
    .basicsize = sizeof(second_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = second_slots,
};

/* Laid out as First is and with all of its functions, but not registered. */
static PyType_Spec twin_spec = {
    .name = "kinds.Twin",
    .basicsize = sizeof(first_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = first_slots,
};

static int
first_visit(PyObject *o, ot_report_fn report, void *visitor)
{
    return report(visitor, &((first_t *)o)->ref);
}

static const ot_type_spec_t first_movable = {sizeof(ot_type_spec_t), first_visit, NULL};

/* ---- Bare: no collector header, though it holds a reference --------------------------------------- */

static void
bare_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    Py_XDECREF(((first_t *)o)->ref);
    type->tp_free(o);
    Py_DECREF(type);
}

static PyType_Slot bare_slots[] = {
    {Py_tp_new, (void *)first_new},
    {Py_tp_dealloc, (void *)bare_dealloc},
    {Py_tp_members, first_members},
    {0, NULL},
};

static PyType_Spec bare_spec = {
    .name = "kinds.Bare",
    .basicsize = sizeof(first_t),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = bare_slots,
};

/* ---- types that are refused -------------------------------------------------------------------------- */

static PyType_Slot no_slots[] = {{0, NULL}};

static PyType_Spec no_dealloc_spec = {
    .name = "kinds.NoDealloc",
    .basicsize = sizeof(first_t),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = no_slots,
};

static int
managed_traverse(PyObject *o, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(o));
    return PyObject_VisitManagedDict(o, visit, arg);
}

static int
managed_clear(PyObject *o)
{
    PyObject_ClearManagedDict(o);
    return 0;
}

static PyType_Slot managed_slots[] = {
    {Py_tp_dealloc, (void *)clearing_dealloc},
    {Py_tp_traverse, (void *)managed_traverse},
    {Py_tp_clear, (void *)managed_clear},
    {0, NULL},
};

static PyType_Spec managed_spec = {
    .name = "kinds.Managed",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_MANAGED_DICT |
             Py_TPFLAGS_MANAGED_WEAKREF,
    .slots = managed_slots,
};

/* refused(which): registers a type that cannot be, by number or itself; raises. */
static PyObject *
refused(PyObject *module, PyObject *which)
{
    PyType_Spec *specs[] = {&no_dealloc_spec, &managed_spec};
    PyObject *type = PyType_Check(which)
                         ? Py_NewRef(which)
                         : PyType_FromModuleAndSpec(module, specs[PyLong_AsLong(which)], NULL);
    int rc = type == NULL ? -1 : ot_register_type((PyTypeObject *)type, &first_movable);
    Py_XDECREF(type);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
set_mode(PyObject *module, PyObject *args)
{
    (void)module;
    may_mode = 0;
    return PyArg_ParseTuple(args, "i|i", &mode, &may_mode) ? Py_NewRef(Py_None) : NULL;
}

static PyMethodDef functions[] = {
    {"set_mode", set_mode, METH_VARARGS, NULL},
    {"refused", refused, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static int
add(PyObject *module, PyType_Spec *spec, const ot_type_spec_t *movable)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    int rc = type == NULL ? -1 : PyModule_AddType(module, type);
    if (rc == 0 && movable != NULL) {
        rc = ot_register_type(type, movable);
    }
    Py_XDECREF(type);
    return rc;
}

static int
add_types(PyObject *module)
{
    return add(module, &matrix_spec, &matrix_movable) < 0 ||
                   add(module, &first_spec, &first_movable) < 0 ||
                   add(module, &second_spec, NULL) < 0 || add(module, &twin_spec, NULL) < 0 ||
                   add(module, &bare_spec, &first_movable) < 0
               ? -1
               : 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)add_types},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "kinds",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_kinds(void)
{
    return PyModuleDef_Init(&module_def);
}
