/* test_global.c: process-wide state without Python: include/objtunnel_core.h, objtunnel_lists.h.
 *
 * What takes two threads is arranged step by step, so that it happens every time.
 */
#define OT_WITHOUT_PYTHON 1
#include "check_world.h" /* before the headers, which check if OT_CHECKS is on */

#include "include/objtunnel_core.h"
#include "include/objtunnel_lists.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plain_check.h"

TestSuite(global, .timeout = 60);

static ot_global_t one = OT_GLOBAL_INIT("one", NULL), two = OT_GLOBAL_INIT("two", NULL);

static ot_enter_result_t
enter(ot_global_t *g, int64_t interp)
{
    ot_core_waiter_t unused;
    return ot_core_enter(g, interp, NULL, &unused);
}

static bool
sleeps(const ot_global_t *g)
{
    ot_core_lock();
    ot_core_waiter_t *w = ot_domain.sleepers;
    while (w != NULL && w->global != g) {
        w = w->next;
    }
    ot_core_unlock();
    return w != NULL;
}

static void
wait_for_sleeper(const ot_global_t *g)
{
    while (!sleeps(g)) {
        sched_yield();
    }
}

Test(global, one_interpreter_enters_and_leaves)
{
    cr_assert_eq(enter(&one, 1), OT_ENTER_INIT);
    ot_core_started(&one, 1);
    cr_assert_eq(enter(&one, 1), OT_ENTERED);
    cr_assert_eq(ot_core_leave(&one, 1, NULL), OT_LEFT);
    cr_assert_eq(ot_core_leave(&one, 2, NULL), OT_LEAVE_NO_ENTRY, "it is another's entry");
    cr_assert_eq(ot_core_leave(&one, 1, NULL), OT_LEAVE_EXIT);
    cr_assert_eq(ot_core_leave(&one, 1, NULL), OT_LEAVE_NO_ENTRY, "exit is under way");
    ot_core_exited(&one);
    cr_assert_eq(one.state, OT_GLOBAL_EMPTY);
    cr_assert_null(ot_domain.globals);
    cr_assert_eq(enter(&one, 1), OT_ENTER_INIT, "and again");
    cr_assert_eq(one.inits, 1);
}

Test(global, failed_init_leaves_nothing)
{
    cr_assert_eq(enter(&one, 1), OT_ENTER_INIT);
    ot_core_started(&one, 0);
    cr_assert_null(one.users);
    cr_assert_eq(one.entries, 0);
    cr_assert_null(ot_domain.globals);
    cr_assert_eq(ot_core_leave(&one, 1, NULL), OT_LEAVE_NO_ENTRY);
}

Test(global, module_enters_once)
{
    int module = 0; /* any address */
    ot_core_waiter_t unused;
    cr_assert_eq(ot_core_enter(&one, 1, &module, &unused), OT_ENTER_INIT);
    ot_core_started(&one, 1);
    cr_assert_eq(ot_core_enter(&one, 1, &module, &unused), OT_ENTERED);
    cr_assert_eq(enter(&one, 1), OT_ENTERED, "not the module's");
    cr_assert_eq(one.entries, 2);
    cr_assert_eq(ot_core_leave(&one, 1, &module), OT_LEFT);
    cr_assert_eq(ot_core_leave(&one, 1, &module), OT_LEAVE_NO_ENTRY);
    cr_assert_eq(ot_core_leave(&one, 1, NULL), OT_LEAVE_EXIT);
}

Test(global, own_init_and_exit_cannot_enter)
{
    cr_assert_eq(enter(&one, 1), OT_ENTER_INIT);
    cr_assert_eq(enter(&one, 1), OT_ENTER_RECURSIVE);
    cr_assert_eq(enter(&one, 2), OT_ENTER_RECURSIVE, "the thread counts, not the interpreter");
    ot_core_started(&one, 1);
    cr_assert_eq(ot_core_leave(&one, 1, NULL), OT_LEAVE_EXIT);
    cr_assert_eq(enter(&one, 1), OT_ENTER_RECURSIVE);
    ot_core_exited(&one);
}

/* ---- two threads ----------------------------------------------------------------------------- */

typedef struct {
    ot_global_t *first, *second;
    ot_enter_result_t result;
    ot_sleep_result_t slept;
} other_t;

/* Is at the init of `first` and wants `second`, for interpreter 2. */
static void *
init_first_enter_second(void *arg)
{
    other_t *other = arg;
    CHECK(enter(other->first, 2) == OT_ENTER_INIT);
    ot_core_waiter_t waiter;
    CHECK(ot_core_enter(other->second, 2, NULL, &waiter) == OT_ENTER_WAIT);
    other->slept = ot_core_sleep(&waiter, -1);
    other->result = ot_core_enter(other->second, 2, NULL, &waiter);
    if (other->result == OT_ENTER_INIT) {
        ot_core_started(other->second, 1);
    }
    ot_core_started(other->first, 1);
    return NULL;
}

Test(global, circle_of_inits_is_refused)
{
    other_t other = {.first = &two, .second = &one};
    pthread_t thread;
    cr_assert_eq(enter(&one, 1), OT_ENTER_INIT);
    cr_assert_eq(pthread_create(&thread, NULL, init_first_enter_second, &other), 0);
    wait_for_sleeper(&one);
    cr_assert_eq(enter(&two, 1), OT_ENTER_CIRCLE);
    ot_core_started(&one, 0);
    pthread_join(thread, NULL);
    cr_assert_eq(other.slept, OT_SLEEP_WOKEN);
    cr_assert_eq(other.result, OT_ENTER_INIT, "our init failed, so it was its turn");
    cr_assert_eq(enter(&two, 1), OT_ENTERED, "no circle any more");
}

Test(global, wait_can_time_out)
{
    other_t other = {.first = &two, .second = &one};
    pthread_t thread;
    cr_assert_eq(enter(&one, 1), OT_ENTER_INIT);
    cr_assert_eq(pthread_create(&thread, NULL, init_first_enter_second, &other), 0);
    wait_for_sleeper(&one);
    ot_core_started(&one, 1);
    pthread_join(thread, NULL);
    cr_assert_eq(other.result, OT_ENTERED);
    ot_core_leave(&one, 1, NULL);
    cr_assert_eq(ot_core_leave(&one, 2, NULL), OT_LEAVE_EXIT);
    ot_core_exited(&one);
    /* Somebody else's init that takes for ever. */
    ot_core_set_locked(&one, OT_GLOBAL_STARTING, 1, 3);
    ot_core_waiter_t waiter;
    cr_assert_eq(ot_core_enter(&one, 1, NULL, &waiter), OT_ENTER_WAIT);
    cr_assert_eq(ot_core_sleep(&waiter, 1000), OT_SLEEP_TIMEOUT);
    cr_assert_null(ot_domain.sleepers);
}

/* ---- interpreters that end ------------------------------------------------------------------- */

Test(global, settling_takes_all_entries_of_one_interpreter)
{
    int module = 0; /* any address */
    long entries;
    int last;
    ot_core_waiter_t unused;
    cr_assert_eq(enter(&one, 1), OT_ENTER_INIT);
    ot_core_started(&one, 1);
    cr_assert_eq(enter(&one, 1), OT_ENTERED);
    cr_assert_eq(ot_core_enter(&one, 1, &module, &unused), OT_ENTERED);
    cr_assert_eq(enter(&one, 2), OT_ENTERED);
    cr_assert_eq(ot_core_settle(1, &entries, &last), &one);
    cr_assert_eq(entries, 3);
    cr_assert_eq(last, 0);
    cr_assert_null(ot_core_settle(1, &entries, &last));
    cr_assert_eq(ot_core_leave(&one, 1, NULL), OT_LEAVE_NO_ENTRY);
    cr_assert_eq(ot_core_settle(2, &entries, &last), &one);
    cr_assert_eq(entries, 1);
    cr_assert_eq(last, 1, "nobody is left");
    cr_assert_eq(one.state, OT_GLOBAL_EXITING);
    ot_core_exited(&one);
    cr_assert_null(ot_domain.globals);
}

static void *
wait_for_one(void *arg)
{
    other_t *other = arg;
    ot_core_waiter_t waiter;
    other->result = ot_core_enter(&one, 2, NULL, &waiter);
    CHECK(other->result == OT_ENTER_WAIT);
    other->slept = ot_core_sleep(&waiter, -1);
    return NULL;
}

static atomic_int forked;

static void *
init_for_ever(void *arg)
{
    (void)arg;
    CHECK(enter(&two, 3) == OT_ENTER_INIT);
    atomic_store(&forked, 1);
    for (;;) {
        pause();
    }
}

Test(global, child_of_a_fork_goes_on)
{
    pthread_t threads[2];
    other_t other = {0};
    cr_assert_eq(enter(&one, 1), OT_ENTER_INIT);
    cr_assert_eq(pthread_create(&threads[0], NULL, wait_for_one, &other), 0);
    cr_assert_eq(pthread_create(&threads[1], NULL, init_for_ever, NULL), 0);
    wait_for_sleeper(&one);
    while (!atomic_load(&forked)) {
        sched_yield();
    }
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        CHECK(ot_domain.sleepers == NULL);
        ot_core_started(&one, 1); /* this thread's own init goes on */
        CHECK(one.entries == 1);
        CHECK(enter(&two, 1) == OT_ENTER_INIT); /* the other thread's never will */
        ot_core_started(&two, 1);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert(sleeps(&one), "the parent is as it was");
}

/* ---- needs ----------------------------------------------------------------------------------- */

static ot_global_t three = OT_GLOBAL_INIT("three", NULL);

/* `g` is initialised for interp, and enters `needed` within: as ot_glue_init does. */
static void
start_needing(ot_global_t *g, ot_global_t *needed, int64_t interp)
{
    ot_within_t within;
    cr_assert_eq(enter(g, interp), OT_ENTER_INIT);
    ot_core_begin(&within, g, interp, NULL);
    ot_enter_result_t result = enter(needed, interp);
    if (result == OT_ENTER_INIT) {
        ot_core_started(needed, 1);
    } else {
        cr_assert_eq(result, OT_ENTERED);
    }
    ot_core_end(&within);
    ot_core_started(g, 1);
}

static void
exit_all(ot_global_t *g, int64_t interp)
{
    int last;
    for (ot_global_t *needed; (needed = ot_core_release(g, interp, &last)) != NULL;) {
        if (last) {
            exit_all(needed, interp);
        }
    }
    ot_core_exited(g);
}

Test(global, need_outlives_the_interpreter_that_made_it)
{
    long entries;
    int last;
    start_needing(&one, &two, 1);
    cr_assert_eq(enter(&one, 2), OT_ENTERED);
    cr_assert_eq(ot_core_settle(1, &entries, &last), &one);
    cr_assert_eq(last, 0);
    cr_assert_null(ot_core_settle(1, &entries, &last), "two is one's, not the interpreter's");
    cr_assert_eq(two.state, OT_GLOBAL_READY);
    cr_assert_eq(ot_core_leave(&two, 2, NULL), OT_LEAVE_NO_ENTRY);
    cr_assert_eq(ot_core_leave(&one, 2, NULL), OT_LEAVE_EXIT);
    cr_assert_eq(two.state, OT_GLOBAL_READY, "until one's exit has run");
    exit_all(&one, 2);
    cr_assert_eq(two.state, OT_GLOBAL_EMPTY);
    cr_assert_eq(two.inits, 1);
    cr_assert_null(ot_domain.globals);
    cr_assert_null(one.needs);
}

Test(global, need_left_within_the_exit_goes_after_it)
{
    ot_within_t within;
    int last;
    start_needing(&one, &two, 1);
    cr_assert_eq(ot_core_leave(&one, 1, NULL), OT_LEAVE_EXIT);
    ot_core_begin(&within, &one, 1, NULL);
    cr_assert_eq(ot_core_leave(&two, 1, NULL), OT_LEFT);
    cr_assert_eq(two.state, OT_GLOBAL_READY);
    cr_assert_eq(ot_core_leave(&two, 1, NULL), OT_LEAVE_NO_ENTRY, "it was entered once");
    ot_core_end(&within);
    cr_assert_eq(ot_core_release(&one, 1, &last), &two);
    cr_assert_eq(last, 1);
    ot_core_exited(&two);
    cr_assert_null(ot_core_release(&one, 1, &last));
    ot_core_exited(&one);
}

Test(global, other_interpreters_and_holders_within_an_init_keep_their_own)
{
    ot_within_t within;
    int module = 0; /* any address */
    ot_core_waiter_t unused;
    cr_assert_eq(enter(&one, 1), OT_ENTER_INIT);
    ot_core_begin(&within, &one, 1, NULL);
    cr_assert_eq(enter(&two, 2), OT_ENTER_INIT);
    ot_core_started(&two, 1);
    cr_assert_eq(ot_core_enter(&two, 1, &module, &unused), OT_ENTERED);
    cr_assert_null(one.needs);
    ot_core_end(&within);
    cr_assert_eq(ot_core_leave(&two, 1, &module), OT_LEFT);
    cr_assert_eq(ot_core_leave(&two, 2, NULL), OT_LEAVE_EXIT);
}

Test(global, settling_goes_in_the_order_opposite_to_readiness)
{
    long entries;
    int last;
    cr_assert_eq(enter(&one, 1), OT_ENTER_INIT);
    cr_assert_eq(enter(&two, 1), OT_ENTER_INIT);
    ot_core_started(&two, 1);
    ot_core_started(&one, 1); /* began first, was ready last */
    cr_assert_eq(ot_core_settle(1, &entries, &last), &one);
    cr_assert_eq(ot_core_settle(1, &entries, &last), &two);
}

Test(global, failed_init_of_a_need_is_no_need)
{
    ot_within_t within;
    cr_assert_eq(enter(&one, 1), OT_ENTER_INIT);
    ot_core_begin(&within, &one, 1, NULL);
    cr_assert_eq(enter(&two, 1), OT_ENTER_INIT);
    cr_assert_eq(one.needs, two.users);
    ot_core_started(&two, 0);
    cr_assert_null(one.needs);
    ot_core_end(&within);
}

Test(global, circle_is_told_by_its_names)
{
    ot_within_t within[3];
    ot_core_waiter_t waiter;
    ot_global_t *all[] = {&one, &two, &three};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(ot_core_enter(all[i], 1, NULL, &waiter), OT_ENTER_INIT);
        ot_core_begin(&within[i], all[i], 1, NULL);
    }
    cr_assert_eq(ot_core_enter(&two, 1, NULL, &waiter), OT_ENTER_RECURSIVE);
    cr_assert_str_eq(waiter.circle, "'two' needs 'three' needs 'two'");
    cr_assert_eq(ot_core_enter(&one, 1, NULL, &waiter), OT_ENTER_RECURSIVE);
    cr_assert_str_eq(waiter.circle, "'one' needs 'two' needs 'three' needs 'one'");
}

/* ---- threads that end ------------------------------------------------------------------------ */

static void *
end_within_init(void *arg)
{
    ot_within_t within;
    ot_global_t *g = arg;
    CHECK(enter(g, 1) == OT_ENTER_INIT);
    ot_core_begin(&within, g, 1, NULL);
    CHECK(enter(&two, 1) == OT_ENTER_INIT);
    pthread_exit(NULL);
}

Test(global, thread_that_ends_within_an_init_is_told)
{
    pthread_t thread;
    pthread_create(&thread, NULL, end_within_init, &one);
    pthread_join(thread, NULL);
    cr_assert_eq(enter(&one, 1), OT_ENTER_ABANDONED);
    cr_assert_eq(enter(&two, 2), OT_ENTER_ABANDONED);
    cr_assert_eq(enter(&three, 2), OT_ENTER_INIT);
}

static atomic_int may_end;

static void *
end_when_somebody_waits(void *arg)
{
    CHECK(enter(arg, 1) == OT_ENTER_INIT);
    atomic_store(&may_end, 1);
    wait_for_sleeper(arg);
    return NULL;
}

Test(global, who_waits_for_a_thread_that_ends_is_woken)
{
    pthread_t thread;
    ot_core_waiter_t waiter;
    pthread_create(&thread, NULL, end_when_somebody_waits, &one);
    while (!atomic_load(&may_end)) {
        sched_yield();
    }
    cr_assert_eq(ot_core_enter(&one, 2, NULL, &waiter), OT_ENTER_WAIT);
    cr_assert_eq(ot_core_sleep(&waiter, -1), OT_SLEEP_WOKEN);
    pthread_join(thread, NULL);
    cr_assert_eq(enter(&one, 2), OT_ENTER_ABANDONED);
}

/* ---- domains and names ------------------------------------------------------------------------- */

Test(global, another_domains_global_is_refused)
{
    int another = 0;
    one.domain = &another;
    cr_assert_eq(enter(&one, 1), OT_ENTER_FOREIGN);
    cr_assert_eq(ot_core_leave(&one, 1, NULL), OT_LEAVE_NO_ENTRY);
    cr_assert_eq(one.domain, &another);
}

static void
exit_a(void)
{
}

static void
exit_b(void)
{
}

Test(global, name_has_an_alias_for_each_exit)
{
    ot_global_t *a = ot_core_named("library", exit_a, NULL);
    ot_global_t *b = ot_core_named("library", exit_b, NULL);
    cr_assert_neq(a, b);
    cr_assert_eq(a->target, b->target);
    cr_assert_eq(a, ot_core_named("library", exit_a, NULL));
    cr_assert_neq(ot_core_named("another", exit_a, NULL)->target, a->target);
    cr_assert_str_eq(a->target->name, "library");
}

/* ---- registries ------------------------------------------------------------------------------ */

static ot_registry_t registry = OT_REGISTRY_INIT("registry", NULL);

Test(global, resources_live_as_long_as_they_are_used)
{
    long entries;
    int last;
    ot_core_entry_t *a = ot_core_pin(&registry, "a", 1);
    cr_assert_eq(enter(&a->global, 1), OT_ENTER_INIT);
    ot_core_started(&a->global, 1);
    ot_core_unpin(a);
    ot_core_entry_t *b = ot_core_pin(&registry, "b", 1);
    cr_assert_eq(enter(&b->global, 1), OT_ENTER_INIT);
    ot_core_started(&b->global, 0);
    ot_core_unpin(b);
    cr_assert_eq(ot_core_pin(&registry, "a", 1), a, "it is there already");
    ot_core_unpin(a);
    cr_assert_null(ot_core_pin(&registry, "b", 0), "its creation failed");
    cr_assert_eq(ot_core_settle(1, &entries, &last), &a->global);
    cr_assert_eq(last, 1);
    cr_assert_eq(a->pins, 1);
    ot_core_exited(&a->global);
    ot_core_unpin(a);
    cr_assert_null(registry.resources);
}

Test(global, snapshot_has_a_row_for_each_user)
{
    ot_global_row_t *rows;
    size_t n;
    cr_assert_eq(enter(&one, 1), OT_ENTER_INIT);
    ot_core_started(&one, 1);
    cr_assert_eq(enter(&one, 2), OT_ENTERED);
    cr_assert_eq(enter(&one, 2), OT_ENTERED);
    ot_core_entry_t *a = ot_core_pin(&registry, "key", 1);
    cr_assert_eq(enter(&a->global, 7), OT_ENTER_INIT);
    cr_assert_eq(ot_core_snapshot(&rows, &n), 0);
    cr_assert_eq(n, 3);
    cr_assert_str_eq(rows[0].key, "key");
    cr_assert_eq(rows[0].state, OT_GLOBAL_STARTING);
    cr_assert_eq(rows[0].interp, 7);
    cr_assert_str_eq(rows[1].name, "one");
    cr_assert_eq(rows[1].interp, 2);
    cr_assert_eq(rows[1].entries, 2);
    cr_assert_eq(rows[1].inits, 1);
    cr_assert_null(rows[1].key);
    cr_assert_eq(rows[2].interp, 1);
    cr_assert_eq(rows[2].global, &one);
    ot_core_free_rows(rows, n);
}

/* ---- checks ---------------------------------------------------------------------------------- */

static void
enter_and_check(void)
{
    CHECK(enter(&one, 0) == OT_ENTER_INIT);
    ot_core_started(&one, 1);
    ot_core_check_locked(&one);
}

static void
entries_that_nobody_has(void)
{
    enter_and_check();
    one.entries = 5;
    BY(enter(&one, 0), ot_core_check_locked(&one));
}

static void
ready_and_not_listed(void)
{
    enter_and_check();
    ot_core_unlist_locked(&one);
    ot_core_check_locked(&one);
}

static void
ready_and_somebody_at_it(void)
{
    enter_and_check();
    one.owner = 7;
    ot_core_check_locked(&one);
}

static void
ready_and_waited_for(void)
{
    enter_and_check();
    static ot_core_waiter_t waiter;
    waiter.global = &one;
    ot_domain.sleepers = &waiter;
    ot_core_check_locked(&one);
}

Test(global, broken_ones_are_reported)
{
    reports(entries_that_nobody_has, "sum");
    reports(ready_and_not_listed, "listed");
    reports(ready_and_somebody_at_it, "owner");
    reports(ready_and_waited_for, "sleeps");
}
