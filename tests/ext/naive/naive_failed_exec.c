/* naive_failed_exec.c: users are counted under a lock that needs no making. But m_free also runs for
 * a module whose exec failed before it counted itself, and so takes somebody else's count away. */
#include "naive.h"

static PyMutex lock;
static int users;

static int
exec(PyObject *module)
{
    /* Anything that may fail before the library is touched: types, a config file, this. */
    if (PyModule_AddStringConstant(module, "version", "1") < 0) {
        return -1;
    }
    if (getenv("NAIVE_FAILS") != NULL) {
        PyErr_SetString(PyExc_ImportError, "no config file");
        return -1;
    }
    PyMutex_Lock(&lock);
    if (users++ == 0) {
        library_init();
    }
    PyMutex_Unlock(&lock);
    return 0;
}

static void
free_module(void *module)
{
    (void)module;
    PyMutex_Lock(&lock);
    if (--users == 0) {
        library_exit();
    }
    PyMutex_Unlock(&lock);
}

NAIVE_MODULE(naive_failed_exec, exec, free_module)
