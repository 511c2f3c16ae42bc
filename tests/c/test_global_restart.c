/* test_global_restart.c: objtunnel_global.h in a program that ends Python and starts it again. */
#include "include/objtunnel_global.h"

#include <criterion/criterion.h>

TestSuite(global_restart, .timeout = 60);

static int inits, exits;

static int
init(void *arg)
{
    (void)arg;
    inits++;
    return 0;
}

static void
exit_it(void)
{
    exits++;
}

static ot_global_t global = OT_GLOBAL_INIT("global", exit_it);

/* The main interpreter's id is the same each time: that it was settled once must not count. */
Test(global_restart, main_interpreter_is_settled_each_time)
{
    for (int i = 1; i <= 3; i++) {
        Py_Initialize();
        cr_assert_eq(ot_global_enter(&global, init, NULL), 0);
        cr_assert_eq(ot_global_enter(&global, init, NULL), 0);
        cr_assert_eq(Py_FinalizeEx(), 0);
        cr_assert_eq(inits, i);
        cr_assert_eq(exits, i);
    }
}

/* So are those of the others. In every other life the main interpreter has no part in it. */
Test(global_restart, other_interpreters_are_not_late_in_a_second_life)
{
    static const PyInterpreterConfig config = {.use_main_obmalloc = 0,
                                               .allow_threads = 1,
                                               .check_multi_interp_extensions = 1,
                                               .gil = PyInterpreterConfig_OWN_GIL};
    for (int i = 1; i <= 4; i++) {
        Py_Initialize();
        PyThreadState *main = PyThreadState_Get(), *sub;
        cr_assert(!PyStatus_Exception(Py_NewInterpreterFromConfig(&sub, &config)));
        cr_assert_eq(ot_global_enter(&global, init, NULL), 0);
        Py_EndInterpreter(sub);
        PyThreadState_Swap(main);
        cr_assert_eq(exits, inits);
        if (i % 2 == 0) {
            cr_assert_eq(ot_global_enter(&global, init, NULL), 0);
        }
        cr_assert_eq(Py_FinalizeEx(), 0);
        cr_assert_eq(exits, inits);
        cr_assert_eq(inits, i + i / 2);
    }
}
