/* test_cown_orders.c: cown.c under the orders of its steps that a few threads can take, preemptions bounded.
 *
 * The file itself is compiled here, with a mutex, a wait and a wake of ours. A "thread" is a context of its own that runs
 * until its next step: before it takes a mutex, after it lets go of one, where it waits. Which one goes on is a choice, and
 * so is whether a wait ends without being woken. An execution is a list of choices; the search goes through all lists, one
 * after the other, each from the beginning. Two threads get all orders with at most six preemptions, more threads all with
 * at most two, by which most faults of this kind are found (Musuvathi and Qadeer, 2007).
 *
 * What is checked in each: no cown is had twice, but by readers; each behaviour runs once, after those that it must follow; nobody waits for
 * ever; the queues' invariants, at each change.
 */
#include "support.h"

#include <ucontext.h>

#include "objects/sync/sync.h"
#include "runtime/checks.h"
#include "runtime/waitlist.h"

#include <errno.h>

/* In each build. */
#undef OT_CHECK
#define OT_CHECK(call) (call)

/* ---- the model's threads ------------------------------------------------------------------------- */

enum { MAX_THREADS = 4, STACK = 64 * 1024, MAX_CHOICES = 4096, MAX_COWNS = 3, MAX_BEHAVIOURS = 4 };

typedef struct {
    ucontext_t context;
    char *stack;
    bool done;
    pthread_mutex_t *wants; /* waits for this to be free */
    const int *until;       /* waits for this not to be 0 */
    bool idle;              /* waits for a behaviour that is ready, or for the end */
} fiber_t;

static fiber_t fibers[MAX_THREADS];
static size_t n_fibers, running, preemptions, max_preemptions;
static ucontext_t home;

static unsigned char choices[MAX_CHOICES], options[MAX_CHOICES];
static size_t n_choices, at;

/* 0 .. n - 1: what the search says. */
static size_t
choose(size_t n)
{
    if (n <= 1) {
        return 0;
    }
    CHECK(at < MAX_CHOICES);
    if (at == n_choices) {
        choices[n_choices++] = 0;
    }
    options[at] = (unsigned char)n;
    return choices[at++];
}

/* Whether there is another list of choices to try. */
static bool
next_execution(void)
{
    while (n_choices > 0 && choices[n_choices - 1] + 1 == options[n_choices - 1]) {
        n_choices--;
    }
    if (n_choices > 0) {
        choices[n_choices - 1]++;
    }
    return n_choices > 0;
}

static bool can_go_on(const fiber_t *f);

/* The calling thread has come to a step: who goes on is chosen. */
static void
step(void)
{
    size_t able[MAX_THREADS], n = 0, me = running;
    bool mine = !fibers[me].done && can_go_on(&fibers[me]);
    if (mine) {
        able[n++] = me; /* first, so that the first execution has no preemption */
    }
    for (size_t i = 0; i < n_fibers && (!mine || preemptions < max_preemptions); i++) {
        if (i != me && !fibers[i].done && can_go_on(&fibers[i])) {
            able[n++] = i;
        }
    }
    if (n == 0) {
        CHECK(fibers[me].done); /* else everybody waits for ever */
        for (size_t i = 0; i < n_fibers; i++) {
            CHECK(fibers[i].done); /* else it waits for ever */
        }
        setcontext(&home);
    }
    size_t next = able[choose(n)];
    preemptions += mine && next != me;
    if (next != me) {
        running = next;
        swapcontext(&fibers[me].context, &fibers[next].context);
    }
}

/* ---- what cown.c is made of here ----------------------------------------------------------------- */

static bool
is_locked(const pthread_mutex_t *m)
{
    return m->__data.__lock != 0;
}

static int
model_lock(pthread_mutex_t *m)
{
    fibers[running].wants = m;
    step();
    fibers[running].wants = NULL;
    m->__data.__lock = 1;
    return 0;
}

static int
model_trylock(pthread_mutex_t *m)
{
    step();
    if (is_locked(m)) {
        return EBUSY;
    }
    m->__data.__lock = 1;
    return 0;
}

static int
model_unlock(pthread_mutex_t *m)
{
    m->__data.__lock = 0;
    step();
    return 0;
}

/* Also ends without a wake: patience gives up, or its time is over. */
static ot_wait_result_t
model_wait(ot_waitlist_t *list, ot_waiter_t *w, bool at_front, pthread_mutex_t *lock,
           const ot_patience_t *patience)
{
    ot_wait_result_t result = OT_WAIT_WOKEN;
    (void)at_front;
    *w = (ot_waiter_t){0};
    list->first = list->last = w;
    lock->__data.__lock = 0;
    if (patience->deadline != OT_FOREVER && choose(2) == 1) {
        result = choose(2) == 0 ? OT_WAIT_TIMEOUT : OT_WAIT_GAVE_UP;
        step();
    } else {
        fibers[running].until = &w->outcome;
        step();
        fibers[running].until = NULL;
    }
    model_lock(lock);
    if (w->outcome == 0) {
        list->first = list->last = NULL;
    } else if (result == OT_WAIT_TIMEOUT) {
        result = OT_WAIT_WOKEN;
    }
    return result;
}

static bool
model_wake(ot_waitlist_t *list, int outcome)
{
    if (list->first == NULL) {
        return false;
    }
    list->first->outcome = outcome;
    list->first = list->last = NULL;
    return true;
}

#define pthread_mutex_lock model_lock
#define pthread_mutex_trylock model_trylock
#define pthread_mutex_unlock model_unlock
#define ot_wait_locked model_wait
#define ot_wake_one_locked model_wake
#define ot_cown_check_locked model_cown_check_locked
#define ot_cown_init model_cown_init
#define ot_cown_destroy model_cown_destroy
#define ot_cown_fork model_cown_fork
#define ot_cown_acquire model_cown_acquire
#define ot_cown_release model_cown_release
#define ot_cown_next model_cown_next
#define ot_cown_readers model_cown_readers
#define ot_cown_run_by model_cown_run_by
#define ot_cowns_abandon model_cowns_abandon
#define ot_behaviour_init model_behaviour_init
#define ot_behaviour_enqueue model_behaviour_enqueue
#define ot_behaviour_withdraw model_behaviour_withdraw
#include "objects/box/cown.c"

/* ---- programs ------------------------------------------------------------------------------------ */

typedef struct {
    ot_behaviour_t behaviour; /* first */
    ot_request_t requests[MAX_COWNS];
    int after; /* must have run before: its index, or -1 */
    bool mine; /* run by who has scheduled it */
    int readied, ran;
} act_t;

static ot_cown_t cowns[MAX_COWNS];
enum { WRITER = 100 };

static int had[MAX_COWNS]; /* by how many readers, or WRITER */
static int most_readers;   /* of one cown at once, in any execution */
static act_t acts[MAX_BEHAVIOURS];
static size_t n_acts, n_ran;
static ot_behaviour_t *ready_list;

static bool
can_go_on(const fiber_t *f)
{
    return (f->wants == NULL || !is_locked(f->wants)) && (f->until == NULL || *f->until != 0) &&
           (!f->idle || ready_list != NULL || n_ran == n_acts);
}

static void
is_ready(ot_behaviour_t *b)
{
    act_t *act = (act_t *)b;
    CHECK(act->readied++ == 0);
    if (act->mine) {
        return;
    }
    b->next = ready_list;
    ready_list = b;
}

/* The last `reads` of them are only read. */
static void
schedule_reading(size_t index, int after, size_t n, const size_t *which, size_t reads)
{
    act_t *act = &acts[index];
    act->after = after;
    for (size_t i = 0; i < n; i++) {
        act->requests[i] = (ot_request_t){.cown = &cowns[which[i]], .reads = i >= n - reads};
    }
    ot_behaviour_init(&act->behaviour, act->requests, n, is_ready);
    ot_behaviour_enqueue(&act->behaviour);
}

static void
schedule(size_t index, int after, size_t n, const size_t *which)
{
    schedule_reading(index, after, n, which, 0);
}

static void
have(ot_cown_t *cown, int change)
{
    int *by = &had[cown - cowns];
    *by += change;
    CHECK(*by == WRITER || (*by >= 0 && *by <= MAX_BEHAVIOURS));
    most_readers = *by<WRITER && * by> most_readers ? *by : most_readers;
}

/* What a behaviour adds to `had`. */
static int
weight(const ot_request_t *r)
{
    return r->reads ? 1 : WRITER;
}

static void
run(act_t *act)
{
    size_t n = act->behaviour.n;
    for (size_t i = 0; i < n; i++) {
        have(act->requests[i].cown, weight(&act->requests[i]));
    }
    CHECK(act->after < 0 || acts[act->after].ran == 1);
    step();
    act->ran++;
    for (size_t i = 0; i < n; i++) {
        have(act->requests[i].cown, -weight(&act->requests[i]));
        ot_cown_release(act->requests[i].cown);
    }
    n_ran++;
}

/* Each thread is a worker once it has done its own part. */
static void
work(void)
{
    for (;;) {
        fibers[running].idle = true;
        step();
        fibers[running].idle = false;
        ot_behaviour_t *b = ready_list;
        if (b == NULL) {
            return;
        }
        ready_list = b->next;
        run((act_t *)b);
    }
}

static void
acquire(size_t which, bool patient, int after)
{
    const ot_patience_t patience = {.deadline = patient ? OT_FOREVER : 1};
    ot_sync_result_t result = ot_cown_acquire(&cowns[which], 1, &patience);
    if (result == OT_SYNC_OK) {
        have(&cowns[which], WRITER);
        CHECK(after < 0 || acts[after].ran == 1);
        step();
        have(&cowns[which], -WRITER);
        ot_cown_release(&cowns[which]);
    } else {
        CHECK(!patient && (result == OT_SYNC_TIMEOUT || result == OT_SYNC_INTERRUPTED));
    }
}

typedef struct {
    size_t threads, behaviours, preemptions;
    void (*parts[MAX_THREADS])(void);
} program_t;

static const program_t *program;

static void
fiber_main(int index)
{
    program->parts[index]();
    work();
    fibers[index].done = true;
    step();
}

/* Apart from its caller's loop, whose variable a returning getcontext could clobber. */
static __attribute__((noinline)) void
prepare(size_t i)
{
    char *stack = fibers[i].stack;
    fibers[i] = (fiber_t){.stack = stack};
    getcontext(&fibers[i].context);
    fibers[i].context.uc_stack = (stack_t){.ss_sp = stack, .ss_size = STACK};
    makecontext(&fibers[i].context, (void (*)(void))fiber_main, 1, (int)i);
}

static void
execute_once(void)
{
    at = running = preemptions = n_ran = 0;
    ready_list = NULL;
    memset(acts, 0, sizeof acts);
    memset(cowns, 0, sizeof cowns);
    for (size_t i = 0; i < MAX_COWNS; i++) {
        cowns[i].lock.head.id = i + 1;
    }
    for (size_t i = 0; i < n_fibers; i++) {
        prepare(i);
    }
    running = choose(n_fibers);
    swapcontext(&home, &fibers[running].context);
    for (size_t i = 0; i < n_acts; i++) {
        CHECK(acts[i].ran == 1);
    }
    for (size_t i = 0; i < MAX_COWNS; i++) {
        CHECK(cowns[i].lock.depth == 0 && cowns[i].first == NULL && cowns[i].readers == 0 &&
              !is_locked(&cowns[i].lock.guard));
        ot_cown_check_locked(&cowns[i]);
    }
}

/* How many executions there are. */
static size_t
explore(const program_t *p)
{
    size_t n = 0;
    program = p;
    n_fibers = p->threads;
    n_acts = p->behaviours;
    max_preemptions = p->preemptions;
    n_choices = 0;
    most_readers = 0;
    for (size_t i = 0; i < n_fibers; i++) {
        fibers[i].stack = malloc(STACK);
    }
    do {
        execute_once();
        n++;
    } while (next_execution());
    for (size_t i = 0; i < n_fibers; i++) {
        free(fibers[i].stack);
    }
    return n;
}

/* ---- opposite orders ----------------------------------------------------------------------------- */

static void
takes_a_and_b(void)
{
    schedule(0, -1, 2, (size_t[]){0, 1});
}

static void
takes_b_and_a(void)
{
    schedule(1, -1, 2, (size_t[]){1, 0});
}

static void
takes_b_and_c(void)
{
    schedule(2, -1, 2, (size_t[]){2, 1});
}

Test(cown_orders, two_behaviours_that_name_two_cowns_in_opposite_orders, .timeout = 120)
{
    const program_t p = {2, 2, 6, {takes_a_and_b, takes_b_and_a}};
    cr_assert_gt(explore(&p), 1000);
}

Test(cown_orders, three_behaviours_that_overlap, .timeout = 120)
{
    const program_t p = {3, 3, 2, {takes_a_and_b, takes_b_and_a, takes_b_and_c}};
    cr_assert_gt(explore(&p), 1000);
}

/* ---- what one thread schedules stays in order ------------------------------------------------------ */

static void
schedules_two_on_a(void)
{
    schedule(0, -1, 1, (size_t[]){0});
    schedule(1, 0, 2, (size_t[]){0, 1});
}

static void
schedules_two_on_b(void)
{
    schedule(2, -1, 1, (size_t[]){1});
    schedule(3, 2, 2, (size_t[]){1, 0});
}

Test(cown_orders, a_threads_own_order_is_kept, .timeout = 120)
{
    const program_t p = {2, 4, 3, {schedules_two_on_a, schedules_two_on_b}};
    cr_assert_gt(explore(&p), 1000);
}

/* ---- threads in the queue -------------------------------------------------------------------------- */

static void
schedules_and_acquires_a(void)
{
    schedule(0, -1, 1, (size_t[]){0});
    acquire(0, true, 0);
}

static void
acquires_a_impatiently(void)
{
    acquire(0, false, -1);
}

/* Somebody must run what the others wait for. */
static void
only_works(void)
{
}

static void
acquires_a(void)
{
    acquire(0, true, -1);
}

Test(cown_orders, a_thread_comes_after_what_it_has_scheduled, .timeout = 120)
{
    const program_t p = {3, 1, 2, {schedules_and_acquires_a, acquires_a, only_works}};
    cr_assert_gt(explore(&p), 1000);
}

Test(cown_orders, a_thread_whose_patience_ends_loses_nobody_s_turn, .timeout = 120)
{
    const program_t p = {
        4, 1, 2, {schedules_and_acquires_a, acquires_a_impatiently, acquires_a, only_works}};
    cr_assert_gt(explore(&p), 1000);
}

/* ---- a behaviour that leaves the queue ------------------------------------------------------------- */

/* Its own is in the queue like any other; it runs it here if it was ready already, or else it counts as run. */
static void
schedules_and_withdraws(void)
{
    act_t *act = &acts[1];
    act->after = -1;
    act->requests[0] = (ot_request_t){.cown = &cowns[0]};
    act->mine = true;
    ot_behaviour_init(&act->behaviour, act->requests, 1, is_ready);
    ot_behaviour_enqueue(&act->behaviour);
    step();
    if (ot_behaviour_withdraw(&act->behaviour)) {
        CHECK(act->readied == 0);
        act->ran++;
        n_ran++;
        return;
    }
    fibers[running].until = &act->readied;
    step();
    fibers[running].until = NULL;
    run(act);
}

Test(cown_orders, who_leaves_the_queue_has_it_or_loses_nobody_s_turn, .timeout = 120)
{
    const program_t p = {
        4, 2, 2, {schedules_and_acquires_a, schedules_and_withdraws, acquires_a, only_works}};
    cr_assert_gt(explore(&p), 1000);
}

Test(cown_orders, behaviours_and_impatient_threads_overlap, .timeout = 120)
{
    const program_t p = {3, 2, 2, {takes_a_and_b, takes_b_and_a, acquires_a_impatiently}};
    cr_assert_gt(explore(&p), 1000);
}

/* ---- readers --------------------------------------------------------------------------------------- */

static void
writes_then_reads_a(void)
{
    schedule(0, -1, 1, (size_t[]){0});
    schedule_reading(1, 0, 1, (size_t[]){0}, 1);
}

static void
reads_then_writes_a(void)
{
    schedule_reading(2, -1, 1, (size_t[]){0}, 1);
    schedule(3, 2, 1, (size_t[]){0});
}

Test(cown_orders, readers_come_after_the_writers_before_them_and_before_those_after_them,
     .timeout = 120)
{
    const program_t p = {2, 4, 4, {writes_then_reads_a, reads_then_writes_a}};
    cr_assert_gt(explore(&p), 1000);
    cr_assert_eq(most_readers, 2, "readers of two threads are there at once");
}

static void
reads_a_and_b(void)
{
    schedule_reading(0, -1, 2, (size_t[]){0, 1}, 2);
}

static void
reads_b_and_a(void)
{
    schedule_reading(1, -1, 2, (size_t[]){1, 0}, 2);
}

static void
writes_a_and_reads_b(void)
{
    schedule_reading(2, -1, 2, (size_t[]){0, 1}, 1);
}

static void
writes_b_and_reads_a(void)
{
    schedule_reading(3, -1, 2, (size_t[]){1, 0}, 1);
}

Test(cown_orders, readers_and_writers_of_two_cowns_in_opposite_orders, .timeout = 120)
{
    const program_t p = {
        4, 4, 2, {reads_a_and_b, reads_b_and_a, writes_a_and_reads_b, writes_b_and_reads_a}};
    cr_assert_gt(explore(&p), 1000);
    /* Two that read both, have released a and not yet b; and one that has a to write. */
    cr_assert_eq(most_readers, 3);
}

static void
reads_a(void)
{
    schedule_reading(0, -1, 1, (size_t[]){0}, 1);
}

static void
reads_a_too(void)
{
    schedule_reading(1, -1, 1, (size_t[]){0}, 1);
}

Test(cown_orders, a_thread_that_gives_up_between_readers_leaves_them_together, .timeout = 120)
{
    const program_t p = {4, 2, 2, {reads_a, acquires_a_impatiently, reads_a_too, only_works}};
    cr_assert_gt(explore(&p), 1000);
    cr_assert_eq(most_readers, 2);
}

static void
reads_then_acquires_a(void)
{
    schedule_reading(0, -1, 1, (size_t[]){0}, 1);
    schedule_reading(1, -1, 1, (size_t[]){0}, 1);
    acquire(0, true, 1);
    CHECK(acts[0].ran == 1);
}

Test(cown_orders, a_thread_comes_after_the_readers_that_it_has_scheduled, .timeout = 120)
{
    const program_t p = {3, 2, 2, {reads_then_acquires_a, acquires_a, only_works}};
    cr_assert_gt(explore(&p), 1000);
    cr_assert_eq(most_readers, 2);
}
