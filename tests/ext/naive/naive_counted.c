/* naive_counted.c: the count of naive_failed_exec.c without its mistake, which is as far as one gets
 * by hand. An interpreter whose module is never freed (somebody leaked a reference to it) never
 * leaves: the count does not know which interpreter it stands for. */
#include "naive.h"

static PyMutex lock;
static int users;

static int
exec(PyObject *module)
{
    PyMutex_Lock(&lock);
    if (users++ == 0) {
        library_init();
    }
    PyMutex_Unlock(&lock);
    *(int *)PyModule_GetState(module) = 1;
    return 0;
}

static void
free_module(void *module)
{
    if (*(int *)PyModule_GetState(module)) {
        PyMutex_Lock(&lock);
        if (--users == 0) {
            library_exit();
        }
        PyMutex_Unlock(&lock);
    }
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)exec},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,        .m_name = "naive_counted", .m_size = sizeof(int),
    .m_methods = naive_functions, .m_slots = slots,          .m_free = free_module,
};

PyMODINIT_FUNC
PyInit_naive_counted(void)
{
    return PyModuleDef_Init(&module_def);
}
