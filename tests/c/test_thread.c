/* test_thread.c: which interpreter and which GIL does a thread run under? */
#include "support.h"

#include "runtime/thread.h"

TestSuite(thread, .init = python_start, .fini = python_finish, .timeout = 60);

/* The GIL as seen by a thread that attaches to the main interpreter. */
static void *
gil_of_main_in_thread(void *unused)
{
    (void)unused;
    CHECK(ot_thread_current()->gil == NULL);
    PyGILState_STATE state = PyGILState_Ensure();
    void *gil = ot_thread_current()->gil;
    CHECK(gil != NULL);
    PyGILState_Release(state);
    CHECK(ot_thread_current()->gil == NULL);
    return gil;
}

Test(thread, a_detached_thread_has_nothing)
{
    PyThreadState *main = PyEval_SaveThread();
    const ot_thread_t *me = ot_thread_current();
    cr_assert_null(me->tstate);
    cr_assert_null(me->interp);
    cr_assert_null(me->gil);
    cr_assert_eq(me->interp_id, -1);
    PyEval_RestoreThread(main);
}

Test(thread, an_attached_thread_knows_its_state_and_interpreter)
{
    const ot_thread_t *me = ot_thread_current();
    cr_assert_eq(me->tstate, PyThreadState_Get());
    cr_assert_eq(me->interp, PyInterpreterState_Get());
    cr_assert_eq(me->interp_id, 0);
    cr_assert_not_null(me->gil);
}

Test(thread, two_threads_of_an_interpreter_have_one_gil)
{
    void *mine = ot_thread_current()->gil, *other;
    Py_BEGIN_ALLOW_THREADS
    other = test_join(test_thread(gil_of_main_in_thread, NULL));
    Py_END_ALLOW_THREADS
    cr_assert_eq(other, mine);
}

/* One OS thread goes from interpreter to interpreter behind the record's back. */
Test(thread, swapping_thread_states_is_noticed)
{
    PyThreadState *states[3] = {PyThreadState_Get()};
    void *gils[3];
    for (int i = 1; i < 3; i++) {
        states[i] = interpreter_new();
    }
    for (int i = 0; i < 30; i++) {
        PyThreadState_Swap(states[i % 3]);
        const ot_thread_t *me = ot_thread_current();
        cr_assert_eq(me->tstate, states[i % 3]);
        cr_assert_eq(me->interp, PyThreadState_GetInterpreter(states[i % 3]));
        cr_assert_eq(me->interp_id, PyInterpreterState_GetID(me->interp));
        if (i < 3) {
            gils[i] = me->gil;
        }
        cr_assert_eq(me->gil, gils[i % 3]);
    }
    cr_assert_neq(gils[0], gils[1]);
    cr_assert_neq(gils[1], gils[2]);
    cr_assert_neq(gils[0], gils[2]);
    interpreter_end(states[1], states[2]);
    interpreter_end(states[2], states[0]);
    cr_assert_eq(ot_thread_current()->gil, gils[0]);
}

Test(thread, ids_differ_where_addresses_come_again)
{
    PyThreadState *main = PyThreadState_Get();
    int64_t last = 0;
    for (int i = 0; i < 3; i++) {
        PyThreadState *t = interpreter_new();
        cr_assert_gt(ot_thread_current()->interp_id, last);
        last = ot_thread_current()->interp_id;
        interpreter_end(t, main);
    }
    cr_assert_eq(ot_thread_current()->interp_id, 0);
}

Test(thread, a_legacy_interpreter_shares_the_main_gil)
{
    PyThreadState *main = PyThreadState_Get();
    void *gil = ot_thread_current()->gil;
    PyThreadState *legacy = Py_NewInterpreter();
    const ot_thread_t *me = ot_thread_current();
    cr_assert_eq(me->tstate, legacy);
    cr_assert_neq(me->interp_id, 0);
    cr_assert_eq(me->gil, gil);
    cr_assert(python_true("__import__('objtunnel').current_gil().interpreter == 0"));
    cr_assert(python_true("__import__('objtunnel').current_gil().is_main"));
    interpreter_end(legacy, main);
}

Test(thread, a_gil_names_its_interpreter)
{
    PyThreadState *main = PyThreadState_Get();
    python_run("from objtunnel import current_gil\n"
               "here = current_gil()\n"
               "assert here == current_gil() and hash(here) == hash(current_gil())\n"
               "assert here.is_main and here.interpreter == 0");
    PyThreadState *own = interpreter_new();
    char *check;
    cr_assert(asprintf(&check,
                       "from objtunnel import current_gil\n"
                       "here = current_gil()\n"
                       "assert not here.is_main and here.interpreter == %lld\n"
                       "assert here.address == %llu",
                       (long long)ot_thread_current()->interp_id,
                       (unsigned long long)(uintptr_t)ot_thread_current()->gil) > 0);
    python_run(check);
    free(check);
    interpreter_end(own, main);
}
