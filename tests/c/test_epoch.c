/* test_epoch.c: the epochs under a LockingDict's table: when what is retired is freed. No Python. */
#include "epoch_reader.h"

static atomic_int freed;

static void
begin(void)
{
    CHECK(ot_epoch_reserve(8));
    CHECK(ot_epoch_enter());
}

static void
count_free(void *what)
{
    CHECK(what == &freed);
    atomic_fetch_add(&freed, 1);
}

static void
retire(int n)
{
    begin();
    for (int i = 0; i < n; i++) {
        CHECK(ot_epoch_reserve(1));
        ot_epoch_retire(&freed, count_free);
    }
    ot_epoch_leave();
}

Test(epoch, nothing_is_freed_while_somebody_reads, .timeout = 60)
{
    atomic_bool stop = false;
    retire(1);
    ot_epoch_collect(false);
    cr_assert_eq(atomic_load(&freed), 1);
    pthread_t reader = test_thread(read_for_ever, &stop);
    test_wait_until(somebody_reads, NULL);
    retire(1000);
    for (int i = 0; i < 10; i++) {
        ot_epoch_collect(true);
    }
    cr_assert_eq(atomic_load(&freed), 1);
    cr_assert_eq(ot_epoch_retired(), 1000);
    cr_assert_not(ot_epoch_quiet(100));
    atomic_store(&stop, true);
    test_join(reader);
    cr_assert(ot_epoch_quiet(100));
    ot_epoch_collect(false);
    cr_assert_eq(atomic_load(&freed), 1001);
    cr_assert_eq(ot_epoch_retired(), 0);
}

static void *
read_once_and_oblige(void *stop)
{
    read_for_ever(stop);
    CHECK(ot_epoch_is_asked());
    ot_epoch_collect(true);
    CHECK(!ot_epoch_is_asked());
    return NULL;
}

static void *
retire_and_try(void *n)
{
    retire(*(int *)n);
    ot_epoch_collect(false);
    return NULL;
}

/* Who retired it has ended, and would never come back for it. */
Test(epoch, a_reader_that_is_in_the_way_of_much_frees_it, .timeout = 60)
{
    atomic_bool stop = false;
    int much = 1000;
    begin();
    ot_epoch_leave();
    pthread_t reader = test_thread(read_once_and_oblige, &stop);
    test_wait_until(somebody_reads, NULL);
    test_join(test_thread(retire_and_try, &much));
    cr_assert_eq(atomic_load(&freed), 0);
    cr_assert_not(ot_epoch_is_asked());
    ot_epoch_check();
    atomic_store(&stop, true);
    test_join(reader);
    cr_assert_eq(atomic_load(&freed), much);
}

static void *
read_unasked(void *stop)
{
    read_for_ever(stop);
    CHECK(!ot_epoch_is_asked());
    return NULL;
}

Test(epoch, nobody_is_asked_to_free_little, .timeout = 60)
{
    atomic_bool stop = false;
    int little = 60;
    pthread_t reader = test_thread(read_unasked, &stop);
    test_wait_until(somebody_reads, NULL);
    test_join(test_thread(retire_and_try, &little));
    atomic_store(&stop, true);
    test_join(reader);
    ot_epoch_collect(true);
    cr_assert_eq(atomic_load(&freed), little);
}

Test(epoch, guards_nest)
{
    begin();
    begin();
    ot_epoch_leave();
    cr_assert_eq(atomic_load(&ot_epoch_mine->turn) % 2, 1);
    ot_epoch_leave();
    cr_assert_eq(atomic_load(&ot_epoch_mine->turn) % 2, 0);
}

Test(epoch, room_that_is_not_needed_is_given_back, .timeout = 60)
{
    retire(5000);
    cr_assert_geq(ot_epoch_mine->room, 5000);
    ot_epoch_check();
    ot_epoch_collect(false);
    cr_assert_eq(atomic_load(&freed), 5000);
    cr_assert_lt(ot_epoch_mine->room, 1000);
    ot_epoch_check();
    retire(3);
    cr_assert_eq(ot_epoch_retired(), 3);
    ot_epoch_collect(false);
    cr_assert_eq(atomic_load(&freed), 5003);
}

static void *
collect_all(void *unused)
{
    ot_epoch_collect(true);
    return unused;
}

/* Others may free what we retired, but not take the room that we have reserved. */
Test(epoch, what_is_reserved_stays_while_others_collect, .timeout = 60)
{
    retire(2000);
    cr_assert(ot_epoch_reserve(1000));
    test_join(test_thread(collect_all, NULL));
    cr_assert_eq(atomic_load(&freed), 2000);
    cr_assert_geq(ot_epoch_mine->room - ot_epoch_mine->last, 1000);
    size_t there = ot_epoch_mine->room - ot_epoch_mine->last;
    cr_assert(ot_epoch_reserve_more(1));
    cr_assert_gt(ot_epoch_mine->room - ot_epoch_mine->last, there);
}

Test(epoch, something_large_is_worth_a_collection)
{
    retire(1);
    cr_assert_not(ot_epoch_is_due(64));
    begin();
    ot_epoch_retire_large(&freed, count_free);
    ot_epoch_leave();
    cr_assert(ot_epoch_is_due(64));
    ot_epoch_collect(false);
    cr_assert_not(ot_epoch_is_due(64));
    cr_assert_eq(atomic_load(&freed), 2);
}

static void *
retire_and_end(void *unused)
{
    (void)unused;
    retire(3);
    return ot_epoch_mine;
}

Test(epoch, what_an_ended_thread_retired_is_freed_and_its_record_used_again, .timeout = 60)
{
    void *record = test_join(test_thread(retire_and_end, NULL));
    cr_assert_eq(atomic_load(&freed), 0);
    ot_epoch_collect(true);
    cr_assert_eq(atomic_load(&freed), 3);
    retire(0);
    cr_assert_eq((void *)ot_epoch_mine, record);
}

/* Where membarrier is refused. */
Test(epoch, works_with_barriers_of_the_readers_own, .timeout = 60)
{
    begin();
    ot_epoch_leave();
    ot_epoch_asymmetric = false;
    retire(5);
    ot_epoch_collect(true);
    cr_assert_eq(atomic_load(&freed), 5);
}
