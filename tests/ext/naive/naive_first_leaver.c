/* naive_first_leaver.c: a correct init, and an exit in m_free: the first interpreter to end takes the
 * library away from all others. */
#include "naive.h"

static PyMutex lock;
static int initialised;

static int
exec(PyObject *module)
{
    (void)module;
    PyMutex_Lock(&lock);
    if (!initialised) {
        library_init();
        initialised = 1;
    }
    PyMutex_Unlock(&lock);
    return 0;
}

static void
free_module(void *module)
{
    (void)module;
    PyMutex_Lock(&lock);
    if (initialised) {
        library_exit();
        initialised = 0;
    }
    PyMutex_Unlock(&lock);
}

NAIVE_MODULE(naive_first_leaver, exec, free_module)
