/* naive_lazy_lock.c: the flag, under a lock, which the first user makes. Who is the first user? The
 * lock has the race that it was to prevent: two threads make two locks, and each holds its own. */
#include "naive.h"

static PyThread_type_lock lock;
static atomic_int allocating;
static int initialised;

/* As slow as to let a second one in before it is done, and the second one as slow again. */
static PyThread_type_lock
slow_allocate_lock(void)
{
    int second = atomic_fetch_add(&allocating, 1) == 1;
    meet(second ? &in_init : &allocating, second ? 1 : 2);
    return PyThread_allocate_lock();
}

static int
exec(PyObject *module)
{
    (void)module;
    Py_BEGIN_ALLOW_THREADS
    if (lock == NULL) {
        lock = slow_allocate_lock();
    }
    PyThread_type_lock mine = lock;
    PyThread_acquire_lock(mine, WAIT_LOCK);
    Py_BLOCK_THREADS if (!initialised)
    {
        slow_library_init();
        initialised = 1;
    }
    Py_UNBLOCK_THREADS PyThread_release_lock(mine);
    Py_END_ALLOW_THREADS
    return 0;
}

NAIVE_MODULE(naive_lazy_lock, exec, NULL)
