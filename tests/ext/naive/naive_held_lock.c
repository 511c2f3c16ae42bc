/* naive_held_lock.c: a lock that needs no making, but that is waited for with the GIL in hand. Its
 * holder lets go of the GIL in the middle, as a slow init does, and cannot have it back: whoever has
 * it waits for the lock. */
#include "naive.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int coming;
static int initialised;

/* Initialises at the first call. */
static PyObject *
use_lazily(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    atomic_fetch_add(&coming, 1);
    pthread_mutex_lock(&lock);
    if (!initialised) {
        Py_BEGIN_ALLOW_THREADS
        meet(&coming, 2);
        library_init();
        Py_END_ALLOW_THREADS
        initialised = 1;
    }
    pthread_mutex_unlock(&lock);
    library_use();
    Py_RETURN_NONE;
}

static PyMethodDef lazy_functions[] = {
    {"use_lazily", use_lazily, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int
exec(PyObject *module)
{
    return PyModule_AddFunctions(module, lazy_functions);
}

NAIVE_MODULE(naive_held_lock, exec, NULL)
