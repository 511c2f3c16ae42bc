/* late.c: objects that use a library and die as late as an interpreter lets them, and inits that end the
 * thread which runs them.
 *
 * Main invariant: library.h's. A Handle holds its module, as the rule says; it is callable, so that the
 * functions for forks and gc.callbacks can hold it.
 * Threading: whatever the test does.
 */
#include "variant.h"

#include <pthread.h>

#include "library.h"

static int
init_library(void *module)
{
    (void)module;
    library_init();
    return 0;
}

OT_MODULE_GLOBALS(late, init_library, library_exit)

/* A use without the module: by the interpreter that makes the first Handle. */
static atomic_int other_live;

static int
init_other(void *arg)
{
    (void)arg;
    atomic_store(&other_live, 1);
    return 0;
}

static void
exit_other(void)
{
    atomic_store(&other_live, 0);
}

static ot_global_t other = OT_GLOBAL_INIT("other", exit_other);

typedef struct {
    PyObject_HEAD
    PyObject *module; /* NULL: a Handle of `other` */
} handle_t;

static PyObject *
handle_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)kwargs;
    int of_module = 1;
    if (!PyArg_ParseTuple(args, "|p", &of_module) ||
        (!of_module && ot_global_enter(&other, init_other, NULL) < 0)) {
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL) {
        library_use();
        ((handle_t *)self)->module = of_module ? Py_NewRef(PyType_GetModule(type)) : NULL;
    }
    return self;
}

static PyObject *
handle_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)self;
    (void)args;
    (void)kwargs;
    Py_RETURN_NONE;
}

static void
handle_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject *module = ((handle_t *)self)->module;
    PyObject_GC_UnTrack(self);
    if (module != NULL) {
        library_use();
    } else if (!atomic_load(&other_live)) {
        library_misused("a Handle dies after the exit of what it was made with");
    }
    type->tp_free(self);
    Py_DECREF(type);
    Py_XDECREF(module);
}

static int
handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((handle_t *)self)->module);
    return 0;
}

static PyType_Slot handle_slots[] = {
    {Py_tp_new, (void *)handle_new},
    {Py_tp_call, (void *)handle_call},
    {Py_tp_dealloc, (void *)handle_dealloc},
    {Py_tp_traverse, (void *)handle_traverse},
    {0, NULL},
};

static PyType_Spec handle_spec = {
    .name = "late.Handle",
    .basicsize = sizeof(handle_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = handle_slots,
};

static PyObject *
leak(PyObject *module, PyObject *unused)
{
    (void)unused;
    Py_INCREF(module);
    Py_RETURN_NONE;
}

/* ---- threads that end within init ------------------------------------------------------------------ */

static ot_global_t fatal = OT_GLOBAL_INIT("fatal", NULL);

static int
end_thread(void *arg)
{
    (void)arg;
    PyEval_SaveThread();
    pthread_exit(NULL);
}

static int
do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void *
enter_and_end(void *arg)
{
    PyGILState_STATE state = PyGILState_Ensure();
    (void)arg;
    (void)ot_global_enter(&fatal, end_thread, NULL);
    PyGILState_Release(state);
    return NULL;
}

/* Has a thread end within the init of `fatal`. */
static PyObject *
end_within_init(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    pthread_t thread;
    Py_BEGIN_ALLOW_THREADS
    if (pthread_create(&thread, NULL, enter_and_end, NULL) == 0) {
        pthread_join(thread, NULL);
    }
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *
enter_fatal(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return ot_global_enter(&fatal, do_nothing, NULL) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef functions[] = {
    {"leak", leak, METH_NOARGS, NULL},
    {"end_within_init", end_within_init, METH_NOARGS, NULL},
    {"enter_fatal", enter_fatal, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int
add_types(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &handle_spec, NULL);
    int rc = PyModule_AddObjectRef(module, "Handle", type);
    Py_XDECREF(type);
    return rc;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)late_enter},
    {Py_mod_exec, (void *)add_types},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, .m_name = "late",     .m_methods = functions,
    .m_slots = slots,      .m_free = late_leave,
};

PyMODINIT_FUNC
OT_TEST_MODULE(late)(void)
{
    return PyModuleDef_Init(&module_def);
}
