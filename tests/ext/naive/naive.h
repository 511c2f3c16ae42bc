/* naive.h: the frame of extensions that guard a library with process-wide state by hand, wrongly.
 *
 * Each .c file beside it is one mistake, told at its top; docs/extension-authors.md goes through
 * them, and test_naive.py shows each failing, every time: where two threads must meet for that, they
 * wait for each other inside of what a library may well take its time for.
 */
#ifndef OT_TESTS_NAIVE_H
#define OT_TESTS_NAIVE_H

#include <Python.h>
#include <time.h>

#include "../library.h"

/* Waits until n threads have come here, or for as long as a test that is to fail may take. */
__attribute__((unused)) static void
meet(atomic_int *arrived, int n)
{
    time_t end = time(NULL) + 20;
    while (atomic_load(arrived) < n && time(NULL) < end) {
        sched_yield();
    }
}

static atomic_int in_init;

/* An init so slow that a second thread, if nothing keeps it out, is there before it is done. */
__attribute__((unused)) static void
slow_library_init(void)
{
    Py_BEGIN_ALLOW_THREADS
    atomic_fetch_add(&in_init, 1);
    meet(&in_init, 2);
    library_init();
    Py_END_ALLOW_THREADS
}

static PyObject *
use(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    library_use();
    Py_RETURN_NONE;
}

/* Somebody forgets a reference to the module. */
static PyObject *
leak(PyObject *module, PyObject *unused)
{
    (void)unused;
    Py_INCREF(module);
    Py_RETURN_NONE;
}

static PyMethodDef naive_functions[] = {
    {"use", use, METH_NOARGS, NULL},
    {"leak", leak, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* A multi-phase module that runs `exec` when it is executed and `free` when it goes. */
#define NAIVE_MODULE(name, exec, free)                                                             \
    static PyModuleDef_Slot naive_slots[] = {                                                      \
        {Py_mod_exec, (void *)exec},                                                               \
        {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},                      \
        {Py_mod_gil, Py_MOD_GIL_NOT_USED},                                                         \
        {0, NULL},                                                                                 \
    };                                                                                             \
    static PyModuleDef naive_def = {                                                               \
        PyModuleDef_HEAD_INIT,  .m_name = #name, .m_methods = naive_functions,                     \
        .m_slots = naive_slots, .m_free = free,                                                    \
    };                                                                                             \
    PyMODINIT_FUNC PyInit_##name(void)                                                             \
    {                                                                                              \
        return PyModuleDef_Init(&naive_def);                                                       \
    }

#endif
