/* naive_flag.c: "the GIL protects my static variable". There is one GIL an interpreter now, and even
 * a single one is let go of in the middle of a slow init: two threads see the flag unset. */
#include "naive.h"

static int initialised;

static int
exec(PyObject *module)
{
    (void)module;
    if (!initialised) {
        slow_library_init();
        initialised = 1;
    }
    return 0;
}

NAIVE_MODULE(naive_flag, exec, NULL)
