/* test_sync.c: locks, conditions, semaphores, events, barriers: one thread, and what two can do to each
 * other. No Python; tests/tsan/sync_stress.c has the crowd. */
#include "support.h"

#include <stdatomic.h>

#include "objects/sync/sync.h"

static const ot_patience_t now = {.deadline = OT_DONT_WAIT}, for_ever = {.deadline = OT_FOREVER};

static bool
give_up(void *arg)
{
    ++*(int *)arg;
    return true;
}

static void
drop(void *object)
{
    ot_shared_unref(object);
    cr_assert_eq(ot_shared_count(), 0);
}

/* A thread that does one thing, at interpreter 2. */
typedef struct {
    void *object;
    ot_sync_result_t (*run)(void *object, const ot_patience_t *patience);
    ot_patience_t patience;
    ot_pokeable_t pokeable;
    pthread_t thread;
    ot_sync_result_t result;
} other_t;

static void *
other_main(void *arg)
{
    other_t *other = arg;
    ot_pokeable_enter(&other->pokeable);
    other->result = other->run(other->object, &other->patience);
    ot_pokeable_enter(NULL);
    return NULL;
}

static void
other_start(other_t *other, void *object,
            ot_sync_result_t (*run)(void *object, const ot_patience_t *patience))
{
    other->object = object;
    other->run = run;
    ot_pokeable_init(&other->pokeable);
    other->thread = test_thread(other_main, other);
}

static ot_sync_result_t
other_end(other_t *other)
{
    test_join(other->thread);
    ot_pokeable_destroy(&other->pokeable);
    return other->result;
}

static bool
is_parked(void *arg)
{
    other_t *other = arg;
    pthread_mutex_lock(&other->pokeable.lock);
    bool parked = other->pokeable.parked != NULL;
    pthread_mutex_unlock(&other->pokeable.lock);
    return parked;
}

static ot_sync_result_t
acquire(void *lock, const ot_patience_t *patience)
{
    return ot_lock_acquire(lock, 2, patience);
}

static ot_sync_result_t
release(void *lock, const ot_patience_t *patience)
{
    (void)patience;
    return ot_lock_release(lock);
}

static ot_sync_result_t
in_other_thread(void *object, ot_sync_result_t (*run)(void *object, const ot_patience_t *patience))
{
    other_t other = {.patience = now};
    other_start(&other, object, run);
    return other_end(&other);
}

/* ---- locks ---------------------------------------------------------------------------------- */

Test(sync, a_lock_is_held_once)
{
    ot_lock_t *lock = ot_lock_new(&ot_lock_kind);
    cr_assert_eq(ot_lock_release(lock), OT_SYNC_NOT_HELD);
    cr_assert_eq(ot_lock_acquire(lock, 1, &now), OT_SYNC_OK);
    cr_assert_eq(ot_lock_acquire(lock, 1, &now), OT_SYNC_TIMEOUT);
    ot_lock_state_t state = ot_lock_state(lock);
    cr_assert(state.mine && state.depth == 1 && state.interp == 1 && !state.abandoned);
    cr_assert_eq(in_other_thread(lock, acquire), OT_SYNC_TIMEOUT);
    cr_assert_eq(in_other_thread(lock, release), OT_SYNC_OK); /* anybody may */
    cr_assert_eq(ot_lock_state(lock).depth, 0);
    drop(lock);
}

Test(sync, a_recursive_lock_is_its_threads)
{
    ot_lock_t *lock = ot_lock_new(&ot_rlock_kind);
    cr_assert_eq(ot_lock_acquire(lock, 1, &now), OT_SYNC_OK);
    cr_assert_eq(ot_lock_acquire(lock, 1, &now), OT_SYNC_OK);
    cr_assert_eq(in_other_thread(lock, release), OT_SYNC_NOT_HELD);
    cr_assert_eq(in_other_thread(lock, acquire), OT_SYNC_TIMEOUT);
    uint64_t depth;
    cr_assert_eq(ot_lock_release_all(lock, &depth), OT_SYNC_OK);
    cr_assert_eq(depth, 2);
    cr_assert_eq(ot_lock_release(lock), OT_SYNC_NOT_HELD);
    cr_assert_eq(ot_lock_acquire_all(lock, 1, depth, &now), OT_SYNC_OK);
    cr_assert_eq(ot_lock_state(lock).depth, 2);
    cr_assert_eq(ot_lock_release(lock), OT_SYNC_OK);
    cr_assert_eq(ot_lock_state(lock).depth, 1);
    cr_assert_eq(in_other_thread(lock, acquire), OT_SYNC_TIMEOUT);
    drop(lock);
}

static ot_sync_result_t
briefly(void *lock, const ot_patience_t *patience)
{
    (void)patience;
    ot_sync_result_t result = ot_lock_brief_begin(lock);
    if (result == OT_SYNC_OK) {
        ot_lock_brief_end(lock);
    }
    return result;
}

Test(sync, a_lock_that_is_held_keeps_brief_ones_out)
{
    ot_lock_t *lock = ot_lock_new(&ot_rlock_kind);
    cr_assert_eq(in_other_thread(lock, briefly), OT_SYNC_OK);
    cr_assert_eq(ot_lock_acquire(lock, 1, &now), OT_SYNC_OK);
    cr_assert_eq(briefly(lock, &now), OT_SYNC_OK); /* it is ours */
    cr_assert_eq(in_other_thread(lock, briefly), OT_SYNC_TIMEOUT);
    cr_assert_eq(ot_lock_release(lock), OT_SYNC_OK);
    cr_assert_eq(in_other_thread(lock, briefly), OT_SYNC_OK);
    drop(lock);
}

static ot_sync_result_t
acquire_and_note(void *lock, const ot_patience_t *patience)
{
    static atomic_int came;
    ot_sync_result_t result = ot_lock_acquire(lock, 2, patience);
    int place = atomic_fetch_add(&came, 1);
    CHECK(result == OT_SYNC_OK && ot_lock_release(lock) == OT_SYNC_OK);
    return (ot_sync_result_t)place;
}

Test(sync, waiters_are_woken_in_the_order_of_their_coming, .timeout = 60)
{
    ot_lock_t *lock = ot_lock_new(&ot_lock_kind);
    cr_assert_eq(ot_lock_acquire(lock, 1, &now), OT_SYNC_OK);
    other_t others[3];
    for (int i = 0; i < 3; i++) {
        others[i] = (other_t){.patience = for_ever};
        other_start(&others[i], lock, acquire_and_note);
        test_wait_until(is_parked, &others[i]);
    }
    cr_assert_eq(ot_lock_release(lock), OT_SYNC_OK);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq((int)other_end(&others[i]), i);
    }
    drop(lock);
}

Test(sync, a_release_wakes_who_waits, .timeout = 60)
{
    ot_lock_t *lock = ot_lock_new(&ot_lock_kind);
    cr_assert_eq(ot_lock_acquire(lock, 1, &now), OT_SYNC_OK);
    other_t other = {.patience = for_ever};
    other_start(&other, lock, acquire);
    test_wait_until(is_parked, &other);
    cr_assert_eq(ot_lock_release(lock), OT_SYNC_OK);
    cr_assert_eq(other_end(&other), OT_SYNC_OK);
    cr_assert_eq(ot_lock_state(lock).interp, 2);
    drop(lock);
}

Test(sync, a_deadline_ends_the_wait, .timeout = 60)
{
    ot_lock_t *lock = ot_lock_new(&ot_lock_kind);
    cr_assert_eq(ot_lock_acquire(lock, 1, &now), OT_SYNC_OK);
    ot_patience_t soon = {.deadline = test_deadline(MILLISECONDS(20))};
    cr_assert_eq(ot_lock_acquire(lock, 1, &soon), OT_SYNC_TIMEOUT);
    cr_assert_geq(ot_clock_now(), soon.deadline);
    cr_assert_null(lock->waiters.first);
    drop(lock);
}

Test(sync, a_poke_ends_the_wait_if_patience_does, .timeout = 60)
{
    ot_lock_t *lock = ot_lock_new(&ot_lock_kind);
    int asked = 0;
    cr_assert_eq(ot_lock_acquire(lock, 1, &now), OT_SYNC_OK);
    other_t other = {.patience = {OT_FOREVER, give_up, &asked, NULL}};
    other_start(&other, lock, acquire);
    test_wait_until(is_parked, &other);
    ot_poke(&other.pokeable);
    cr_assert_eq(other_end(&other), OT_SYNC_INTERRUPTED);
    cr_assert_eq(asked, 1);
    other = (other_t){.patience = for_ever}; /* never asks */
    other_start(&other, lock, acquire);
    test_wait_until(is_parked, &other);
    ot_poke(&other.pokeable);
    test_wait_until(is_parked, &other);
    cr_assert_eq(ot_lock_release(lock), OT_SYNC_OK);
    cr_assert_eq(other_end(&other), OT_SYNC_OK);
    drop(lock);
}

Test(sync, an_interpreters_locks_are_abandoned_when_it_ends, .timeout = 60)
{
    const ot_shared_kind_t *kinds[] = {&ot_lock_kind, &ot_rlock_kind};
    for (int i = 0; i < 2; i++) {
        ot_lock_t *lock = ot_lock_new(kinds[i]);
        cr_assert_eq(ot_lock_acquire(lock, 1, &now), OT_SYNC_OK);
        other_t other = {.patience = for_ever};
        other_start(&other, lock, acquire);
        test_wait_until(is_parked, &other);
        ot_locks_abandon(7);
        cr_assert(!ot_lock_state(lock).abandoned);
        ot_locks_abandon(1);
        cr_assert_eq(other_end(&other), OT_SYNC_ABANDONED);
        cr_assert_eq(ot_lock_acquire(lock, 1, &now), OT_SYNC_ABANDONED);
        cr_assert_eq(ot_lock_release(lock), OT_SYNC_ABANDONED);
        cr_assert(ot_lock_recover(lock, 3) && !ot_lock_recover(lock, 3));
        cr_assert_eq(ot_lock_state(lock).interp, 3);
        cr_assert_eq(ot_lock_release(lock), OT_SYNC_OK);
        ot_locks_abandon(3); /* free ones are not */
        cr_assert_eq(ot_lock_acquire(lock, 1, &now), OT_SYNC_OK);
        drop(lock);
    }
}

/* ---- conditions ------------------------------------------------------------------------------ */

static ot_sync_result_t
wait_once(void *condition, const ot_patience_t *patience)
{
    bool interrupted;
    ot_lock_t *lock = ((ot_condition_t *)condition)->lock;
    ot_sync_result_t result = ot_lock_acquire(lock, 2, &for_ever);
    CHECK(result == OT_SYNC_OK && ot_lock_acquire(lock, 2, &now) == OT_SYNC_OK);
    result = ot_condition_wait(condition, 2, patience, &interrupted);
    CHECK(interrupted == (result == OT_SYNC_INTERRUPTED));
    CHECK(ot_lock_state(lock).mine && ot_lock_state(lock).depth == 2);
    CHECK(ot_lock_release(lock) == OT_SYNC_OK && ot_lock_release(lock) == OT_SYNC_OK);
    return result;
}

static bool
two_wait(void *condition)
{
    return ot_condition_waiters(condition) == 2;
}

Test(sync, a_condition_wakes_as_many_as_it_is_told, .timeout = 60)
{
    ot_lock_t *lock = ot_lock_new(&ot_rlock_kind);
    ot_condition_t *condition = ot_condition_new(lock);
    int asked = 0;
    ot_shared_unref(&lock->head); /* the condition keeps it */
    bool interrupted;
    cr_assert_eq(ot_condition_wait(condition, 1, &now, &interrupted), OT_SYNC_NOT_HELD);
    cr_assert_eq(ot_condition_notify(condition, 1), OT_SYNC_NOT_HELD);
    other_t others[2] = {{.patience = {OT_FOREVER, give_up, &asked, NULL}},
                         {.patience = {OT_FOREVER, give_up, &asked, NULL}}};
    other_start(&others[0], condition, wait_once);
    other_start(&others[1], condition, wait_once);
    test_wait_until(two_wait, condition);
    cr_assert_eq(ot_lock_acquire(condition->lock, 1, &for_ever), OT_SYNC_OK);
    cr_assert_eq(ot_condition_notify(condition, 1), OT_SYNC_OK);
    cr_assert_eq(ot_condition_waiters(condition), 1);
    cr_assert_eq(ot_lock_release(condition->lock), OT_SYNC_OK);
    for (int i = 0; i < 2; i++) { /* one was notified; a poke has no effect on it but maybe this */
        ot_poke(&others[i].pokeable);
    }
    ot_sync_result_t first = other_end(&others[0]), second = other_end(&others[1]);
    cr_assert(first == OT_SYNC_INTERRUPTED || second == OT_SYNC_INTERRUPTED);
    cr_assert_eq(ot_condition_waiters(condition), 0);
    ot_patience_t soon = {.deadline = test_deadline(MILLISECONDS(5))};
    cr_assert_eq(wait_once(condition, &soon), OT_SYNC_TIMEOUT);
    drop(condition);
}

/* ---- semaphores and events ------------------------------------------------------------------- */

static ot_sync_result_t
semaphore_acquire(void *semaphore, const ot_patience_t *patience)
{
    return ot_semaphore_acquire(semaphore, patience);
}

Test(sync, a_semaphore_counts, .timeout = 60)
{
    ot_semaphore_t *semaphore = ot_semaphore_new(&ot_semaphore_kind, 1);
    cr_assert_eq(ot_semaphore_acquire(semaphore, &now), OT_SYNC_OK);
    cr_assert_eq(ot_semaphore_acquire(semaphore, &now), OT_SYNC_TIMEOUT);
    other_t others[2] = {{.patience = for_ever}, {.patience = for_ever}};
    for (int i = 0; i < 2; i++) {
        other_start(&others[i], semaphore, semaphore_acquire);
        test_wait_until(is_parked, &others[i]);
    }
    cr_assert_eq(ot_semaphore_release(semaphore, 5), OT_SYNC_OK);
    cr_assert_eq(other_end(&others[0]), OT_SYNC_OK);
    cr_assert_eq(other_end(&others[1]), OT_SYNC_OK);
    cr_assert_eq(ot_semaphore_value(semaphore), 3);
    drop(semaphore);
}

Test(sync, a_bounded_semaphore_has_a_bound)
{
    ot_semaphore_t *semaphore = ot_semaphore_new(&ot_bounded_semaphore_kind, 2);
    cr_assert_eq(ot_semaphore_release(semaphore, 1), OT_SYNC_TOO_MANY);
    cr_assert_eq(ot_semaphore_acquire(semaphore, &now), OT_SYNC_OK);
    cr_assert_eq(ot_semaphore_release(semaphore, 2), OT_SYNC_TOO_MANY);
    cr_assert_eq(ot_semaphore_release(semaphore, UINT64_MAX), OT_SYNC_TOO_MANY);
    cr_assert_eq(ot_semaphore_release(semaphore, 1), OT_SYNC_OK);
    cr_assert_eq(ot_semaphore_value(semaphore), 2);
    drop(semaphore);
}

static ot_sync_result_t
event_wait(void *event, const ot_patience_t *patience)
{
    return ot_event_wait(event, patience);
}

Test(sync, an_event_is_seen_though_it_is_cleared_at_once, .timeout = 60)
{
    ot_event_t *event = ot_event_new();
    cr_assert_eq(ot_event_wait(event, &now), OT_SYNC_TIMEOUT);
    other_t others[2] = {{.patience = for_ever}, {.patience = for_ever}};
    for (int i = 0; i < 2; i++) {
        other_start(&others[i], event, event_wait);
        test_wait_until(is_parked, &others[i]);
    }
    ot_event_set(event);
    ot_event_clear(event);
    cr_assert_eq(other_end(&others[0]), OT_SYNC_OK);
    cr_assert_eq(other_end(&others[1]), OT_SYNC_OK);
    cr_assert(!ot_event_is_set(event));
    ot_event_set(event);
    cr_assert_eq(ot_event_wait(event, &now), OT_SYNC_OK);
    drop(event);
}

/* ---- barriers -------------------------------------------------------------------------------- */

static ot_sync_result_t
barrier_arrive(void *barrier, const ot_patience_t *patience)
{
    ot_arrival_t arrival;
    ot_sync_result_t result = ot_barrier_arrive(barrier, patience, &arrival);
    CHECK(result != OT_SYNC_OK || !arrival.last);
    return result;
}

static bool
one_waits(void *barrier)
{
    return ot_barrier_waiting(barrier) == 1;
}

Test(sync, a_barrier_waits_for_all_and_for_the_action_of_the_last, .timeout = 60)
{
    ot_barrier_t *barrier = ot_barrier_new(2, -1);
    ot_arrival_t arrival;
    other_t early = {.patience = for_ever}, next = {.patience = for_ever};
    other_start(&early, barrier, barrier_arrive);
    test_wait_until(one_waits, barrier);
    cr_assert_eq(ot_barrier_arrive(barrier, &for_ever, &arrival), OT_SYNC_OK);
    cr_assert(arrival.last);
    other_start(&next, barrier, barrier_arrive); /* of the next round: waits at the door */
    test_wait_until(is_parked, &next);
    cr_assert_eq(ot_barrier_waiting(barrier), 0);
    cr_assert_eq(ot_barrier_open(barrier, &arrival), OT_SYNC_OK);
    cr_assert_eq(arrival.index, 1);
    cr_assert_eq(other_end(&early), OT_SYNC_OK);
    test_wait_until(one_waits, barrier);
    ot_barrier_reset(barrier);
    cr_assert_eq(other_end(&next), OT_SYNC_BROKEN);
    cr_assert(!ot_barrier_is_broken(barrier));
    drop(barrier);
}

Test(sync, a_barrier_breaks, .timeout = 60)
{
    ot_barrier_t *barrier = ot_barrier_new(3, -1);
    ot_arrival_t arrival;
    other_t other = {.patience = for_ever};
    other_start(&other, barrier, barrier_arrive);
    test_wait_until(one_waits, barrier);
    ot_patience_t soon = {.deadline = test_deadline(MILLISECONDS(5))};
    cr_assert_eq(ot_barrier_arrive(barrier, &soon, &arrival), OT_SYNC_BROKEN);
    cr_assert_eq(other_end(&other), OT_SYNC_BROKEN);
    cr_assert(ot_barrier_is_broken(barrier));
    cr_assert_eq(ot_barrier_arrive(barrier, &for_ever, &arrival), OT_SYNC_BROKEN);
    ot_barrier_reset(barrier);
    int asked = 0;
    other = (other_t){.patience = {OT_FOREVER, give_up, &asked, NULL}};
    other_start(&other, barrier, barrier_arrive);
    test_wait_until(one_waits, barrier);
    ot_poke(&other.pokeable);
    cr_assert_eq(other_end(&other), OT_SYNC_INTERRUPTED);
    cr_assert_eq(ot_barrier_waiting(barrier), 0);
    cr_assert(!ot_barrier_is_broken(barrier));
    drop(barrier);
}

static atomic_uint passed_as; /* a bit for each index */

static ot_sync_result_t
arrive_and_note(void *barrier, const ot_patience_t *patience)
{
    ot_arrival_t arrival;
    ot_sync_result_t result = ot_barrier_arrive(barrier, patience, &arrival);
    if (result == OT_SYNC_OK) {
        atomic_fetch_or(&passed_as, 1u << arrival.index);
    }
    return result;
}

static bool
two_have_come(void *barrier)
{
    return ot_barrier_waiting(barrier) == 2;
}

Test(sync, threads_that_pass_a_barrier_have_all_indices_also_after_one_gave_up, .timeout = 60)
{
    ot_barrier_t *barrier = ot_barrier_new(3, -1);
    int asked = 0;
    other_t first = {.patience = {OT_FOREVER, give_up, &asked, NULL}};
    other_t second = {.patience = for_ever}, third = {.patience = for_ever};
    other_start(&first, barrier, arrive_and_note);
    test_wait_until(one_waits, barrier);
    other_start(&second, barrier, arrive_and_note);
    test_wait_until(two_have_come, barrier);
    ot_poke(&first.pokeable);
    cr_assert_eq(other_end(&first), OT_SYNC_INTERRUPTED);
    other_start(&third, barrier, arrive_and_note);
    test_wait_until(two_have_come, barrier);
    ot_arrival_t last;
    cr_assert_eq(ot_barrier_arrive(barrier, &for_ever, &last), OT_SYNC_OK);
    cr_assert(last.last);
    cr_assert_eq(ot_barrier_open(barrier, &last), OT_SYNC_OK);
    cr_assert_eq(other_end(&second), OT_SYNC_OK);
    cr_assert_eq(other_end(&third), OT_SYNC_OK);
    cr_assert_eq(atomic_load(&passed_as), 3u);
    cr_assert_eq(last.index, 2);
    drop(barrier);
}

Test(sync, an_action_that_fails_breaks_the_barrier)
{
    ot_barrier_t *barrier = ot_barrier_new(1, -1);
    ot_arrival_t arrival;
    cr_assert_eq(ot_barrier_arrive(barrier, &now, &arrival), OT_SYNC_OK);
    ot_barrier_abort(barrier);
    cr_assert_eq(ot_barrier_open(barrier, &arrival), OT_SYNC_BROKEN);
    ot_barrier_reset(barrier);
    cr_assert_eq(ot_barrier_arrive(barrier, &now, &arrival), OT_SYNC_OK);
    ot_barrier_reset(barrier); /* meanwhile */
    cr_assert_eq(ot_barrier_open(barrier, &arrival), OT_SYNC_BROKEN);
    cr_assert(!ot_barrier_is_broken(barrier));
    drop(barrier);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *
token(void *arg)
{
    (void)arg;
    return (void *)(uintptr_t)ot_thread_token();
}

Test(sync, thread_tokens_are_never_used_twice)
{
    uintptr_t mine = ot_thread_token(), last = mine;
    cr_assert_neq(mine, 0);
    for (int i = 0; i < 20; i++) {
        uintptr_t other = (uintptr_t)test_join(test_thread(token, NULL));
        cr_assert_gt(other, last);
        last = other;
    }
    cr_assert_eq(ot_thread_token(), mine);
}
