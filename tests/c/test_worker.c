/* test_worker.c: an interpreter on a thread of its own; jobs, cancelling, interrupting.
 *
 * The workers here run C functions that are given a probe_t, in which the test and the worker
 * tell each other how far they are.
 */
#include "support.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "runtime/thread.h"
#include "runtime/worker.h"
#include "runtime/cpython/interp.h"

TestSuite(worker, .init = python_start, .fini = python_finish, .timeout = 60);

typedef struct {
    ot_worker_t *worker;
    atomic_int stage;  /* of the worker: what it has done so far */
    atomic_bool go;    /* from the test: go on */
    atomic_bool ended; /* by `ended`, the last thing of all */
    int64_t interp_id;
    int main_at, ended_at; /* stage when each was called */
    bool own_gil, detached_at_end;
    ot_channel_t *channel;
    char text[200];
} probe_t;

static void
note_end(ot_worker_t *w, void *arg)
{
    probe_t *p = arg;
    CHECK(w != NULL);
    p->detached_at_end = PyThreadState_GetUnchecked() == NULL;
    p->ended_at = atomic_fetch_add(&p->stage, 1);
    atomic_store(&p->ended, true);
}

/* Starts a worker that runs main with the probe; detached meanwhile, as a thread that waits for
 * one must be. The test stays detached until finish(). */
static PyThreadState *
start(probe_t *p, void (*main)(ot_worker_t *, void *))
{
    PyThreadState *state = PyEval_SaveThread();
    p->worker = ot_worker_start("a test", (ot_worker_job_t){main, note_end, p});
    CHECK(p->worker != NULL);
    return state;
}

static bool
has_ended(void *arg)
{
    return atomic_load(&((probe_t *)arg)->ended);
}

static void
finish(probe_t *p, PyThreadState *state)
{
    test_wait_until(has_ended, p);
    ot_worker_unref(p->worker);
    PyEval_RestoreThread(state);
}

static bool
at_stage_1(void *arg)
{
    return atomic_load(&((probe_t *)arg)->stage) >= 1;
}

static bool
told_to_go(void *arg)
{
    return atomic_load(&((probe_t *)arg)->go);
}

/* Executes source; the exception's type's name, or "", is left in p->text. */
static void
run_and_note(probe_t *p, const char *source)
{
    PyObject *names = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyObject *result = PyRun_String(source, Py_file_input, names, names);
    PyObject *error = PyErr_GetRaisedException();
    snprintf(p->text, sizeof p->text, "%s", error == NULL ? "" : Py_TYPE(error)->tp_name);
    CHECK((result == NULL) == (error != NULL));
    Py_XDECREF(result);
    Py_XDECREF(error);
}

/* ---- life --------------------------------------------------------------------------------- */

static void
look_around(ot_worker_t *w, void *arg)
{
    probe_t *p = arg;
    const ot_thread_t *me = ot_thread_current();
    p->interp_id = me->interp_id;
    p->own_gil = ot_py_owns_gil(me->interp);
    CHECK(ot_worker_interp_id(w) == me->interp_id);
    CHECK(ot_worker_error(w) == NULL);
    run_and_note(p, "import objtunnel\nx = objtunnel.current_gil().interpreter");
    p->main_at = atomic_fetch_add(&p->stage, 1);
}

Test(worker, runs_main_in_a_new_interpreter_and_then_ended_without_one)
{
    probe_t p = {0};
    PyThreadState *state = start(&p, look_around);
    test_wait_until(has_ended, &p);
    cr_assert_eq(p.main_at, 0);
    cr_assert_eq(p.ended_at, 1);
    cr_assert_gt(p.interp_id, 0);
    cr_assert(p.own_gil);
    cr_assert(p.detached_at_end);
    cr_assert_str_eq(p.text, "");
    cr_assert_eq(ot_worker_interp_id(p.worker), p.interp_id, "the id outlives the interpreter");
    cr_assert_null(ot_worker_error(p.worker));
    finish(&p, state);
}

static void
report_trouble(ot_worker_t *w, void *arg)
{
    (void)arg;
    char text[] = "the first text";
    ot_worker_set_error(w, text);
    memset(text, 'x', sizeof text - 1); /* a copy was taken */
    ot_worker_set_error(w, "the second text");
}

Test(worker, keeps_the_first_error_text)
{
    probe_t p = {0};
    PyThreadState *state = start(&p, report_trouble);
    test_wait_until(has_ended, &p);
    cr_assert_str_eq(ot_worker_error(p.worker), "the first text");
    finish(&p, state);
}

Test(worker, does_without_a_name)
{
    probe_t p = {0};
    PyThreadState *state = PyEval_SaveThread();
    p.worker = ot_worker_start(NULL, (ot_worker_job_t){look_around, note_end, &p});
    cr_assert_not_null(p.worker);
    finish(&p, state);
    cr_assert_eq(p.stage, 2);
}

Test(worker, lives_on_when_its_handle_is_dropped_first)
{
    probe_t p = {0};
    PyThreadState *state = start(&p, look_around);
    ot_worker_unref(p.worker); /* the thread has its own reference */
    test_wait_until(has_ended, &p);
    PyEval_RestoreThread(state);
    cr_assert_eq(p.main_at, 0);
}

/* ---- interrupts --------------------------------------------------------------------------- */

static void
loop_for_ever(ot_worker_t *w, void *arg)
{
    probe_t *p = arg;
    ot_worker_begin(w, 7);
    atomic_store(&p->stage, 1);
    run_and_note(p, "while True: pass");
    ot_worker_end(w);
}

static void
interrupts_a_loop(uint64_t job)
{
    probe_t p = {0};
    PyThreadState *state = start(&p, loop_for_ever);
    test_wait_until(at_stage_1, &p);
    test_sleep(MILLISECONDS(30));
    ot_worker_interrupt(p.worker, job);
    finish(&p, state);
    cr_assert_str_eq(p.text, "KeyboardInterrupt");
}

Test(worker, an_interrupt_ends_a_running_loop)
{
    interrupts_a_loop(7);
}

Test(worker, an_interrupt_of_job_zero_ends_whatever_runs)
{
    interrupts_a_loop(0);
}

static void
loop_until_told(ot_worker_t *w, void *arg)
{
    probe_t *p = arg;
    ot_worker_begin(w, 7);
    atomic_store(&p->stage, 1);
    while (!atomic_load(&p->go)) {
        run_and_note(p, "for _ in range(1000): pass");
        CHECK(strcmp(p->text, "") == 0);
    }
    ot_worker_end(w);
    run_and_note(p, "for _ in range(10000): pass");
}

Test(worker, an_interrupt_of_another_job_does_nothing)
{
    probe_t p = {0};
    PyThreadState *state = start(&p, loop_until_told);
    test_wait_until(at_stage_1, &p);
    ot_worker_interrupt(p.worker, 6);
    ot_worker_interrupt(p.worker, 8);
    test_sleep(MILLISECONDS(50));
    atomic_store(&p.go, true);
    finish(&p, state);
    cr_assert_str_eq(p.text, "");
}

/* p->channel is received from until something ends that. */
static void
recv_for_ever(ot_worker_t *w, void *arg)
{
    probe_t *p = arg;
    ot_state_t *state = ot_state_current();
    CHECK(state != NULL);
    ot_channel_ref(p->channel);
    PyObject *handle = ot_tunnel_steal(state, p->channel);
    python_set("t", handle);
    Py_DECREF(handle);
    ot_worker_begin(w, 1);
    atomic_store(&p->stage, 1);
    run_and_note(p, "t.recv()");
    ot_worker_end(w);
}

static void
interrupts_a_blocked_recv(int64_t pause, void (*main)(ot_worker_t *, void *))
{
    probe_t p = {.channel = ot_channel_new(0)};
    PyThreadState *state = start(&p, main);
    test_wait_until(at_stage_1, &p);
    test_sleep(pause);
    ot_worker_interrupt(p.worker, 1);
    finish(&p, state);
    cr_assert_str_eq(p.text, "KeyboardInterrupt");
    cr_assert_null(ot_channel_unref(p.channel));
}

Test(worker, an_interrupt_ends_a_blocked_recv)
{
    interrupts_a_blocked_recv(MILLISECONDS(50), recv_for_ever);
}

Test(worker, an_interrupt_on_the_way_into_a_recv_ends_it)
{
    for (int i = 0; i < 10; i++) { /* with luck between the bytecode before it and its sleep */
        interrupts_a_blocked_recv(20000 * i, recv_for_ever);
    }
}

/* Another thread of the same interpreter runs Python code meanwhile: it may be the one that is
 * told about the interrupt. */
static void
recv_beside_a_busy_thread(ot_worker_t *w, void *arg)
{
    run_and_note(arg, "import threading\n"
                      "stop = False\n"
                      "def spin():\n"
                      "    while not stop: pass\n"
                      "thread = threading.Thread(target=spin)\n"
                      "thread.start()");
    recv_for_ever(w, arg);
    probe_t after = {0};
    run_and_note(&after, "stop = True\nthread.join()");
    CHECK(strcmp(after.text, "") == 0);
}

Test(worker, an_interrupt_ends_a_blocked_recv_beside_a_busy_thread)
{
    interrupts_a_blocked_recv(MILLISECONDS(50), recv_beside_a_busy_thread);
}

/* The job ends while an interrupt for it is on its way; what follows must not get it. */
static void
end_and_go_on(ot_worker_t *w, void *arg)
{
    probe_t *p = arg;
    ot_worker_begin(w, 1);
    atomic_store(&p->stage, 1);
    test_wait_until(told_to_go, p); /* no bytecode: nothing is delivered */
    ot_worker_end(w);
    run_and_note(p, "for _ in range(100000): pass");
    CHECK(strcmp(p->text, "") == 0);
    CHECK(!ot_worker_check_interrupt());
    ot_state_t *state = ot_state_current();
    PyObject *handle = ot_tunnel_steal(state, ot_channel_new(0));
    python_set("t", handle);
    Py_DECREF(handle);
    ot_worker_begin(w, 2);
    run_and_note(p, "import objtunnel\n"
                    "try: t.recv(timeout=0.05)\n"
                    "except objtunnel.TunnelEmpty: pass\n"
                    "for _ in range(100000): pass");
    ot_worker_end(w);
}

Test(worker, no_interrupt_arrives_after_the_end_of_its_job)
{
    probe_t p = {0};
    PyThreadState *state = start(&p, end_and_go_on);
    test_wait_until(at_stage_1, &p);
    ot_worker_interrupt(p.worker, 1);
    atomic_store(&p.go, true);
    finish(&p, state);
    cr_assert_str_eq(p.text, "");
}

/* Jobs come and go while interrupts for each of them rain down: the interrupt of one job must
 * end that one or nothing. */
static void
do_many_jobs(ot_worker_t *w, void *arg)
{
    probe_t *p = arg;
    for (uint64_t job = 1; !atomic_load(&p->go); job++) {
        ot_worker_begin(w, job);
        atomic_store(&p->stage, (int)job);
        run_and_note(p, "for _ in range(300): pass");
        ot_worker_end(w);
        CHECK(strcmp(p->text, "") == 0 || strcmp(p->text, "KeyboardInterrupt") == 0);
        run_and_note(p, "for _ in range(300): pass");
        CHECK(strcmp(p->text, "") == 0);
    }
}

Test(worker, interrupts_stay_within_their_jobs)
{
    probe_t p = {0};
    PyThreadState *state = start(&p, do_many_jobs);
    int64_t deadline = test_deadline(MILLISECONDS(700));
    while (ot_clock_now() < deadline) {
        ot_worker_interrupt(p.worker, (uint64_t)atomic_load(&p.stage));
        test_sleep(20000);
    }
    atomic_store(&p.go, true);
    finish(&p, state);
}

Test(worker, interrupting_one_that_has_ended_does_nothing)
{
    probe_t p = {0};
    PyThreadState *state = start(&p, look_around);
    test_wait_until(has_ended, &p);
    ot_worker_interrupt(p.worker, 0);
    finish(&p, state);
}

/* ---- many --------------------------------------------------------------------------------- */

enum { STARTERS = 5, WORKERS_EACH = 10 };

static void
do_little(ot_worker_t *w, void *arg)
{
    probe_t *p = arg;
    ot_worker_begin(w, 1);
    run_and_note(p, "import objtunnel\n"
                    "t = objtunnel.Tunnel()\n"
                    "t.send([[n] for n in range(100)])\n"
                    "assert t.recv()[99] == [99]");
    ot_worker_end(w);
    atomic_fetch_add(&p->stage, 1);
}

static void *
start_several(void *unused)
{
    (void)unused;
    static atomic_int made;
    for (int i = 0; i < WORKERS_EACH; i++) {
        probe_t p = {0};
        p.worker = ot_worker_start("one of many", (ot_worker_job_t){do_little, note_end, &p});
        CHECK(p.worker != NULL);
        if (atomic_fetch_add(&made, 1) % 3 == 0) {
            ot_worker_interrupt(p.worker, 0); /* at any moment of its life */
        }
        test_wait_until(has_ended, &p);
        CHECK(ot_worker_error(p.worker) == NULL);
        CHECK(atomic_load(&p.stage) == 2);
        CHECK(strcmp(p.text, "") == 0 || strcmp(p.text, "KeyboardInterrupt") == 0);
        ot_worker_unref(p.worker);
    }
    return NULL;
}

Test(worker, fifty_are_started_and_ended_by_several_threads, .timeout = 120)
{
    pthread_t threads[STARTERS];
    PyThreadState *state = PyEval_SaveThread();
    for (int i = 0; i < STARTERS; i++) {
        threads[i] = test_thread(start_several, NULL);
    }
    for (int i = 0; i < STARTERS; i++) {
        test_join(threads[i]);
    }
    PyEval_RestoreThread(state);
}
