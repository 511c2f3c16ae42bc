/* test_cown.c: cowns, behaviours and the crew, by one thread and by some. No Python; tests/c/test_cown_orders.c has all
 * orders of steps, tests/tsan/behaviour_stress.c the crowd. */
#include "support.h"

#include "objects/box/crew.h"

static const ot_patience_t now = {.deadline = OT_DONT_WAIT}, for_ever = {.deadline = OT_FOREVER};

static void
free_cown(ot_shared_t *self)
{
    ot_cown_destroy((ot_cown_t *)self);
    free(self);
}

static const ot_shared_kind_t kind = {"cown", free_cown, ot_cown_fork, NULL};

static ot_cown_t *
new_cown(void)
{
    ot_cown_t *cown = calloc(1, sizeof *cown);
    ot_cown_init(cown, &kind, false);
    return cown;
}

static void
drop(ot_cown_t *cown)
{
    ot_shared_unref(&cown->lock.head);
}

static size_t
queued(ot_cown_t *cown)
{
    ot_lock_look_begin(&cown->lock);
    ot_cown_check_locked(cown);
    size_t n = 0;
    for (const ot_request_t *r = cown->first; r != NULL; r = r->next) {
        n++;
    }
    ot_lock_brief_end(&cown->lock);
    return n;
}

typedef struct {
    ot_behaviour_t behaviour; /* first */
    ot_request_t requests[3];
    int ready;
} act_t;

static void
is_ready(ot_behaviour_t *b)
{
    ((act_t *)b)->ready++;
}

static void
enqueue(act_t *act, ot_cown_t *a, ot_cown_t *b, void (*ready)(ot_behaviour_t *))
{
    *act = (act_t){.requests = {{.cown = a}, {.cown = b}}};
    ot_behaviour_init(&act->behaviour, act->requests, b == NULL ? 1 : 2, ready);
    ot_behaviour_enqueue(&act->behaviour);
}

Test(cown, a_behaviour_is_ready_once_it_has_all)
{
    ot_cown_t *a = new_cown(), *b = new_cown();
    act_t first, second, third;
    enqueue(&first, a, NULL, is_ready);
    cr_assert_eq(first.ready, 1);
    enqueue(&second, b, a, is_ready);
    cr_assert_eq(second.requests[0].cown, a, "in the order of ids");
    cr_assert_eq(second.ready, 0);
    enqueue(&third, b, NULL, is_ready);
    cr_assert_eq(third.ready, 0, "the second one has b already");
    ot_cown_release(a);
    cr_assert_eq(second.ready, 1);
    ot_cown_release(b);
    cr_assert_eq(third.ready, 1);
    ot_cown_release(a);
    ot_cown_release(b);
    cr_assert_eq(ot_lock_state(&a->lock).depth + ot_lock_state(&b->lock).depth, 0);
    drop(a);
    drop(b);
}

Test(cown, a_behaviour_that_has_some_is_not_ready)
{
    ot_cown_t *a = new_cown(), *b = new_cown();
    act_t first, second, both;
    enqueue(&first, a, NULL, is_ready);
    enqueue(&second, b, NULL, is_ready);
    enqueue(&both, a, b, is_ready);
    ot_cown_release(b);
    cr_assert_eq(both.ready, 0, "it has b and misses a");
    ot_cown_release(a);
    cr_assert_eq(both.ready, 1);
    ot_cown_release(a);
    ot_cown_release(b);
    drop(a);
    drop(b);
}

Test(cown, a_behaviour_without_cowns_is_ready_at_once)
{
    act_t act = {.ready = 0};
    ot_behaviour_init(&act.behaviour, act.requests, 0, is_ready);
    ot_behaviour_enqueue(&act.behaviour);
    cr_assert_eq(act.ready, 1);
}

Test(cown, one_that_is_held_from_the_beginning_goes_to_the_first_that_asks)
{
    ot_cown_t *cown = calloc(1, sizeof *cown);
    ot_cown_init(cown, &kind, true);
    act_t act;
    enqueue(&act, cown, NULL, is_ready);
    cr_assert_eq(act.ready, 0);
    cr_assert_eq(ot_cown_acquire(cown, 1, &now), OT_SYNC_TIMEOUT);
    ot_cown_release(cown);
    cr_assert_eq(act.ready, 1);
    ot_cown_release(cown);
    cr_assert_eq(ot_cown_acquire(cown, 1, &now), OT_SYNC_OK);
    ot_cown_release(cown);
    drop(cown);
}

Test(cown, a_thread_that_waits_as_a_behaviour_is_no_behaviour_that_comes_next)
{
    ot_cown_t *a = new_cown();
    act_t first, second = {.requests = {{.cown = a}}};
    bool reads;
    enqueue(&first, a, NULL, is_ready);
    ot_behaviour_init(&second.behaviour, second.requests, 1, is_ready);
    second.behaviour.is_thread = true;
    ot_behaviour_enqueue(&second.behaviour);
    cr_assert_null(ot_cown_next(a, &reads));
    cr_assert(ot_behaviour_withdraw(&second.behaviour));
    ot_behaviour_init(&second.behaviour, second.requests, 1, is_ready);
    ot_behaviour_enqueue(&second.behaviour);
    ot_cown_release(a);
    cr_assert_eq(second.ready, 1);
    cr_assert_not(ot_behaviour_withdraw(&second.behaviour));
    ot_cown_release(a);
    drop(a);
}

/* ---- readers ----------------------------------------------------------------------------------- */

static void
enqueue_reader(act_t *act, ot_cown_t *a)
{
    *act = (act_t){.requests = {{.cown = a, .reads = true}}};
    ot_behaviour_init(&act->behaviour, act->requests, 1, is_ready);
    ot_behaviour_enqueue(&act->behaviour);
}

Test(cown, readers_have_it_together_and_a_writer_alone)
{
    ot_cown_t *a = new_cown();
    act_t readers[4], writer, last;
    bool reads;
    enqueue_reader(&readers[0], a);
    enqueue_reader(&readers[1], a);
    cr_assert(readers[0].ready == 1 && readers[1].ready == 1);
    cr_assert_eq(ot_cown_readers(a), 2);
    enqueue(&writer, a, NULL, is_ready);
    enqueue_reader(&readers[2], a);
    enqueue_reader(&readers[3], a);
    enqueue(&last, a, NULL, is_ready);
    cr_assert(writer.ready == 0 && readers[2].ready == 0, "who came later waits for the writer");
    cr_assert_eq(ot_cown_acquire(a, 1, &now), OT_SYNC_TIMEOUT);
    cr_assert_null(ot_cown_next(a, &reads), "there is another reader");
    ot_cown_release(a);
    cr_assert_eq(writer.ready, 0);
    cr_assert_eq(ot_cown_next(a, &reads), &writer.behaviour);
    cr_assert_not(reads);
    ot_cown_release(a);
    cr_assert_eq(writer.ready, 1);
    cr_assert_eq(ot_cown_next(a, &reads), &readers[2].behaviour);
    cr_assert(reads);
    ot_cown_release(a);
    cr_assert(readers[2].ready == 1 && readers[3].ready == 1, "both at once");
    ot_cown_release(a);
    cr_assert_eq(last.ready, 0);
    ot_cown_release(a);
    cr_assert_eq(last.ready, 1);
    ot_cown_release(a);
    cr_assert_eq(ot_cown_readers(a) + queued(a), 0);
    drop(a);
}

/* ---- threads ----------------------------------------------------------------------------------- */

typedef struct {
    ot_cown_t *cown;
    ot_patience_t patience;
    ot_sync_result_t result;
    const act_t *before; /* must be ready by then */
} asker_t;

static void *
ask(void *arg)
{
    asker_t *asker = arg;
    asker->result = ot_cown_acquire(asker->cown, 2, &asker->patience);
    if (asker->result == OT_SYNC_OK) {
        CHECK(asker->before == NULL || asker->before->ready == 1);
        ot_cown_release(asker->cown);
    }
    return NULL;
}

static bool
is_queued(void *arg)
{
    return queued(((asker_t *)arg)->cown) > 0;
}

Test(cown, a_thread_waits_behind_the_behaviours_before_it_and_those_after_it_behind_the_thread,
     .timeout = 30)
{
    ot_cown_t *a = new_cown();
    act_t first, second, third;
    enqueue(&first, a, NULL, is_ready);
    enqueue(&second, a, NULL, is_ready);
    asker_t asker = {a, for_ever, OT_SYNC_BROKEN, &second};
    pthread_t thread = test_thread(ask, &asker);
    while (queued(a) < 2) {
        test_sleep(MILLISECONDS(1));
    }
    enqueue(&third, a, NULL, is_ready);
    ot_cown_release(a);
    cr_assert_eq(second.ready, 1);
    cr_assert_eq(third.ready, 0);
    ot_cown_release(a);
    test_join(thread);
    cr_assert_eq(asker.result, OT_SYNC_OK);
    cr_assert_eq(third.ready, 1);
    ot_cown_release(a);
    drop(a);
}

Test(cown, a_thread_whose_time_is_over_leaves_the_middle_of_the_queue, .timeout = 30)
{
    ot_cown_t *a = new_cown();
    act_t act;
    cr_assert_eq(ot_cown_acquire(a, 1, &now), OT_SYNC_OK);
    asker_t asker = {a, {.deadline = test_deadline(MILLISECONDS(30))}, OT_SYNC_BROKEN, NULL};
    pthread_t thread = test_thread(ask, &asker);
    test_wait_until(is_queued, &asker);
    enqueue(&act, a, NULL, is_ready);
    test_join(thread);
    cr_assert_eq(asker.result, OT_SYNC_TIMEOUT);
    cr_assert_eq(queued(a), 1);
    ot_cown_release(a);
    cr_assert_eq(act.ready, 1);
    ot_cown_release(a);
    drop(a);
}

Test(cown, readers_behind_a_thread_whose_time_is_over_join_those_before_it, .timeout = 30)
{
    ot_cown_t *a = new_cown();
    act_t first, second;
    enqueue_reader(&first, a);
    asker_t asker = {a, {.deadline = test_deadline(MILLISECONDS(30))}, OT_SYNC_BROKEN, NULL};
    pthread_t thread = test_thread(ask, &asker);
    test_wait_until(is_queued, &asker);
    enqueue_reader(&second, a);
    test_join(thread);
    cr_assert_eq(asker.result, OT_SYNC_TIMEOUT);
    cr_assert_eq(second.ready, 1);
    ot_cown_release(a);
    ot_cown_release(a);
    drop(a);
}

Test(cown, what_an_interpreter_held_that_has_ended_goes_on)
{
    ot_cown_t *a = new_cown();
    act_t act;
    cr_assert_eq(ot_cown_acquire(a, 7, &now), OT_SYNC_OK);
    enqueue(&act, a, NULL, is_ready);
    ot_cowns_abandon(&kind, 8);
    cr_assert_eq(act.ready, 0);
    ot_cowns_abandon(&kind, 7);
    cr_assert_eq(act.ready, 1);
    ot_cown_release(a);
    drop(a);
}

static void
look_after_fork(void *arg)
{
    ot_cown_t *cown = arg;
    ot_cown_fork(&cown->lock.head, OT_AFTER_FORK_IN_CHILD);
    CHECK(queued(cown) == 0);
    CHECK(ot_cown_acquire(cown, 1, &now) == OT_SYNC_OK);
}

Test(cown, in_a_forked_child_nobody_else_has_it_or_waits, .timeout = 30)
{
    ot_cown_t *a = new_cown();
    act_t first, second;
    enqueue(&first, a, NULL, is_ready);
    enqueue(&second, a, NULL, is_ready);
    test_in_child(look_after_fork, a);
    ot_cown_release(a);
    cr_assert_eq(second.ready, 1);
    ot_cown_release(a);
    drop(a);
}

/* ---- the crew ---------------------------------------------------------------------------------- */

static void
to_the_crew(ot_behaviour_t *b)
{
    ot_crew_put(b, -1);
}

static void
to_member_1(ot_behaviour_t *b)
{
    ot_crew_put(b, 1);
}

static ot_behaviour_t *
take(void)
{
    bool interrupted;
    return ot_crew_take(&now, &interrupted);
}

Test(crew, a_member_takes_from_the_others_but_not_what_is_bound_to_them, .timeout = 30)
{
    ot_cown_t *a = new_cown(), *b = new_cown(), *c = new_cown();
    act_t acts[3];
    cr_assert(ot_crew_start(3));
    cr_assert_not(ot_crew_start(3), "there is one");
    for (size_t i = 0; i < 3; i++) {
        ot_crew_join(i);
    }
    enqueue(&acts[0], a, NULL, to_the_crew);
    enqueue(&acts[1], b, NULL, to_the_crew);
    enqueue(&acts[2], c, NULL, to_member_1);
    ot_crew_join(0);
    cr_assert_not_null(take());
    cr_assert_not_null(take());
    cr_assert_null(take());
    ot_crew_join(1);
    cr_assert_eq(take(), &acts[2].behaviour);
    drop(a);
    drop(b);
    drop(c);
}

Test(crew, what_is_bound_to_a_member_that_leaves_is_anybodys, .timeout = 30)
{
    ot_cown_t *a = new_cown();
    act_t act, late;
    cr_assert(ot_crew_start(2));
    ot_crew_join(0);
    ot_crew_join(1);
    enqueue(&act, a, NULL, to_member_1);
    ot_crew_leave();
    cr_assert_eq(ot_crew_self(), -1);
    ot_crew_join(0);
    cr_assert_eq(take(), &act.behaviour);
    ot_cown_release(a);
    enqueue(&late, a, NULL, to_member_1);
    cr_assert_eq(take(), &late.behaviour, "it has left before");
    drop(a);
}

static void *
take_one(void *arg)
{
    bool interrupted;
    ot_crew_join((size_t)(intptr_t)arg);
    ot_behaviour_t *b = ot_crew_take(&for_ever, &interrupted);
    CHECK(!interrupted);
    return b;
}

Test(crew, a_sleeping_member_is_woken_by_work_and_by_the_end, .timeout = 30)
{
    ot_cown_t *a = new_cown();
    act_t act;
    cr_assert(ot_crew_start(2));
    pthread_t first = test_thread(take_one, (void *)0), second = test_thread(take_one, (void *)1);
    test_sleep(MILLISECONDS(20));
    enqueue(&act, a, NULL, to_the_crew);
    test_sleep(MILLISECONDS(20));
    ot_crew_stop();
    ot_behaviour_t *one = test_join(first), *other = test_join(second);
    cr_assert((one == &act.behaviour && other == NULL) || (one == NULL && other == &act.behaviour));
    enqueue(&act, a, NULL, to_the_crew);
    cr_assert_null(ot_crew_take_back(), "it waits for a");
    ot_cown_release(a);
    cr_assert_eq(ot_crew_take_back(), &act.behaviour);
    drop(a);
}

Test(crew, waiting_ends_with_the_last_behaviour, .timeout = 30)
{
    ot_cown_t *a = new_cown();
    cr_assert_eq(ot_crew_wait(&for_ever, -1), OT_SYNC_OK, "there is no crew");
    cr_assert(ot_crew_start(2));
    cr_assert_eq(ot_crew_wait(&for_ever, -1), OT_SYNC_OK);
    ot_crew_count_scheduled();
    ot_crew_count_scheduled();
    ot_crew_count_done();
    const ot_patience_t soon = {.deadline = test_deadline(MILLISECONDS(5))};
    cr_assert_eq(ot_crew_wait(&soon, -1), OT_SYNC_TIMEOUT);
    ot_crew_count_done();
    cr_assert_eq(ot_crew_wait(&for_ever, -1), OT_SYNC_OK);
    drop(a);
}

/* ---- hosts ------------------------------------------------------------------------------------- */

static int bound_to; /* what to_the_host binds to */

static void
to_the_host(ot_behaviour_t *b)
{
    ot_crew_put(b, bound_to);
}

static void *
ask_for_host(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)ot_crew_host_here(7);
}

static void *
be_host(void *arg)
{
    (void)arg;
    ot_crew_host_enter(ot_crew_host_of(7));
    ot_crew_host_leave();
    return ask_for_host(NULL);
}

Test(crew, interpreters_are_hosts_each_of_what_is_bound_to_it, .timeout = 30)
{
    ot_cown_t *a = new_cown(), *b = new_cown();
    act_t first, second;
    cr_assert_eq(ot_crew_host_of(7), -1, "there is no crew");
    cr_assert(ot_crew_start(2));
    int seven = ot_crew_host_begin(7), eight = ot_crew_host_begin(8);
    cr_assert(seven >= 2 && eight >= 2 && seven != eight);
    cr_assert_eq(ot_crew_host_begin(7), seven);
    cr_assert_eq(ot_crew_host_of(8), eight);
    bound_to = seven;
    enqueue(&first, a, NULL, to_the_host);
    const ot_patience_t soon = {.deadline = test_deadline(MILLISECONDS(5))};
    cr_assert_eq(ot_crew_host_wait(eight, NULL, &soon), OT_SYNC_TIMEOUT);
    cr_assert_eq(ot_crew_host_wait(seven, NULL, &for_ever), OT_SYNC_BROKEN);
    ot_crew_host_enter(eight);
    cr_assert_null(ot_crew_take_bound());
    ot_crew_host_enter(seven);
    cr_assert_not(ot_crew_is_worker());
    cr_assert_eq(ot_crew_take_bound(), &first.behaviour);
    ot_crew_host_leave();
    bound_to = eight;
    enqueue(&second, b, NULL, to_the_host);
    ot_crew_host_end(eight);
    cr_assert_eq(ot_crew_host_of(8), -1);
    cr_assert_not(ot_crew_has(eight, 8));
    ot_crew_join(0);
    cr_assert_eq(take(), &second.behaviour, "its host has ended");
    drop(a);
    drop(b);
}

Test(crew, one_thread_of_a_host_runs_what_is_bound_and_another_one_after_it, .timeout = 30)
{
    cr_assert(ot_crew_start(1));
    int host = ot_crew_host_begin(7);
    cr_assert_eq(ot_crew_host_here(7), host);
    cr_assert_eq((intptr_t)test_join(test_thread(ask_for_host, NULL)), -1);
    cr_assert_eq((intptr_t)test_join(test_thread(be_host, NULL)), host);
    cr_assert_eq(ot_crew_host_here(7), host, "the thread that was it last has ended");
    cr_assert_eq((intptr_t)test_join(test_thread(ask_for_host, NULL)), -1);
}

Test(crew, as_many_interpreters_as_there_are_places_are_hosts_at_once)
{
    cr_assert(ot_crew_start(1));
    for (int64_t i = 0; i < OT_CREW_HOSTS; i++) {
        cr_assert_eq(ot_crew_host_begin(i), 1 + (int)i);
    }
    cr_assert_eq(ot_crew_host_begin(1000), -1);
    ot_crew_host_end(6);
    cr_assert_eq(ot_crew_host_begin(1000), 6);
}

static void *
set_flag(void *arg)
{
    test_sleep(MILLISECONDS(10));
    ot_crew_host_tell(1, arg);
    return NULL;
}

Test(crew, a_flag_ends_the_wait_of_a_host, .timeout = 30)
{
    bool flag = false;
    cr_assert(ot_crew_start(1));
    int host = ot_crew_host_begin(7);
    pthread_t thread = test_thread(set_flag, &flag);
    cr_assert_eq(ot_crew_host_wait(host, &flag, &for_ever), OT_SYNC_OK);
    test_join(thread);
}
