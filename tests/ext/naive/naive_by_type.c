/* naive_by_type.c: everything right but one thing. Objects of the module use the library as they die,
 * and rely on their type to keep the module, and so the library, until then. When the collector
 * finds objects, type and module together it clears them in any order: the type lets go of the
 * module, the module leaves, and the library is gone when the object's turn comes. */
#include "objtunnel_global.h"

#include "naive.h"

static int
init(void *module)
{
    (void)module;
    library_init();
    return 0;
}

OT_MODULE_GLOBALS(by_type, init, library_exit)

static PyObject *
handle_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    library_use();
    return type->tp_alloc(type, 0);
}

static void
handle_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    library_use();
    type->tp_free(self);
    Py_DECREF(type);
}

static int
handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static PyType_Slot handle_slots[] = {
    {Py_tp_new, (void *)handle_new},
    {Py_tp_dealloc, (void *)handle_dealloc},
    {Py_tp_traverse, (void *)handle_traverse},
    {0, NULL},
};

static PyType_Spec handle_spec = {
    .name = "naive_by_type.Handle",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = handle_slots,
};

static int
exec(PyObject *module)
{
    if (by_type_enter(module) < 0) {
        return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &handle_spec, NULL);
    int rc = PyModule_AddObjectRef(module, "Handle", type);
    Py_XDECREF(type);
    return rc;
}

NAIVE_MODULE(naive_by_type, exec, by_type_leave)
