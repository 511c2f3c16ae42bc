/* test_channel.c: the queue under a tunnel, one thread and many. No Python. */
#include "channel_world.h"

#include <limits.h>

/* ---- one thread --------------------------------------------------------------------------- */

Test(channel, messages_leave_in_the_order_they_came)
{
    ot_channel_t *ch = ot_channel_new(0);
    for (int i = 0; i < 100; i++) {
        send_now(ch, i);
        cr_assert_eq(ot_channel_qsize(ch), (size_t)i + 1);
    }
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(recv_number(ch, OT_DONT_WAIT), i);
    }
    cr_assert_eq(ot_channel_qsize(ch), 0);
    drop(ch);
}

Test(channel, order_is_that_of_commits_not_of_reservations)
{
    ot_channel_t *ch = ot_channel_new(2);
    message_t *early = message_new(0, 1), *late = message_new(0, 2);
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    ot_channel_commit(ch, &late->node);
    ot_channel_commit(ch, &early->node);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 2);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    drop(ch);
}

Test(channel, maxsize_limits_what_is_queued)
{
    ot_channel_t *ch = ot_channel_new(2);
    cr_assert_eq(ot_channel_maxsize(ch), 2);
    send_now(ch, 1);
    send_now(ch, 2);
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_TIMEOUT);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    ot_channel_cancel(ch);
    drop(ch);
}

Test(channel, a_reservation_takes_a_place_until_it_is_cancelled)
{
    ot_channel_t *ch = ot_channel_new(1);
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    cr_assert_eq(ot_channel_qsize(ch), 0);
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_TIMEOUT);
    ot_channel_cancel(ch);
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    ot_channel_cancel(ch);
    drop(ch);
}

Test(channel, maxsize_zero_is_no_limit)
{
    ot_channel_t *ch = ot_channel_new(0);
    for (int i = 0; i < 10000; i++) {
        send_now(ch, i);
    }
    cr_assert_eq(ot_channel_qsize(ch), 10000);
    drop(ch);
}

Test(channel, receiving_without_waiting_from_an_empty_queue_times_out, .timeout = 10)
{
    ot_channel_t *ch = ot_channel_new(0);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), OT_CHANNEL_TIMEOUT);
    drop(ch);
}

static int64_t
time_of(ot_channel_t *ch, bool receive, int64_t wait)
{
    int64_t began = ot_clock_now();
    int result =
        receive ? recv_number(ch, began + wait) : (int)ot_channel_reserve(ch, began + wait);
    CHECK(result == OT_CHANNEL_TIMEOUT);
    return ot_clock_now() - began;
}

Test(channel, a_deadline_is_waited_for_and_not_less, .timeout = 60)
{
    ot_channel_t *ch = ot_channel_new(1);
    int64_t took = time_of(ch, true, MILLISECONDS(60));
    cr_assert(took >= MILLISECONDS(60), "recv gave up after %ld ns", (long)took);
    cr_assert_lt(took, MILLISECONDS(10000));
    send_now(ch, 1);
    took = time_of(ch, false, MILLISECONDS(60));
    cr_assert(took >= MILLISECONDS(60), "reserve gave up after %ld ns", (long)took);
    cr_assert_lt(took, MILLISECONDS(10000));
    drop(ch);
}

Test(channel, a_passed_deadline_still_takes_what_is_there)
{
    ot_channel_t *ch = ot_channel_new(1);
    send_now(ch, 7);
    cr_assert_eq(recv_number(ch, 1), 7);
    cr_assert_eq(ot_channel_reserve(ch, 1), OT_CHANNEL_OK);
    ot_channel_cancel(ch);
    drop(ch);
}

Test(channel, a_closed_queue_is_drained_before_it_reports_closed)
{
    ot_channel_t *ch = ot_channel_new(0);
    send_now(ch, 1);
    send_now(ch, 2);
    cr_assert_not(ot_channel_is_closed(ch));
    cr_assert_null(ot_channel_close(ch, false));
    cr_assert(ot_channel_is_closed(ch));
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_CLOSED);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert_eq(recv_number(ch, OT_FOREVER), 2);
    cr_assert_eq(recv_number(ch, OT_FOREVER), OT_CHANNEL_CLOSED);
    cr_assert_null(ot_channel_close(ch, true));
    drop(ch);
}

Test(channel, a_place_reserved_before_close_is_honoured)
{
    ot_channel_t *ch = ot_channel_new(0);
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    ot_channel_close(ch, false);
    /* Not closed for the receiver yet: the message may still come. */
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), OT_CHANNEL_TIMEOUT);
    ot_channel_commit(ch, &message_new(0, 5)->node);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 5);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), OT_CHANNEL_CLOSED);
    drop(ch);
}

Test(channel, close_with_discard_hands_over_the_chain)
{
    ot_channel_t *ch = ot_channel_new(0);
    for (int i = 0; i < 5; i++) {
        send_now(ch, i);
    }
    ot_node_t *chain = ot_channel_close(ch, true);
    int i = 0;
    for (ot_node_t *node = chain; node != NULL; node = node->next) {
        cr_assert_eq(((message_t *)node)->number, i++);
    }
    cr_assert_eq(i, 5);
    cr_assert_eq(ot_channel_qsize(ch), 0);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), OT_CHANNEL_CLOSED);
    drop_chain(chain);
    drop(ch);
}

Test(channel, unrecv_puts_back_to_the_head_even_of_a_full_queue)
{
    ot_channel_t *ch = ot_channel_new(1);
    send_now(ch, 1);
    ot_node_t *node;
    cr_assert_eq(ot_channel_recv(ch, OT_DONT_WAIT, &node), OT_CHANNEL_OK);
    send_now(ch, 2);
    ot_channel_unrecv(ch, node);
    cr_assert_eq(ot_channel_qsize(ch), 2);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_TIMEOUT);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 2);
    drop(ch);
}

Test(channel, unrecv_puts_back_before_what_came_later)
{
    ot_channel_t *ch = ot_channel_new(0);
    for (int i = 0; i < 3; i++) {
        send_now(ch, i);
    }
    ot_node_t *node;
    cr_assert_eq(ot_channel_recv(ch, OT_DONT_WAIT, &node), OT_CHANNEL_OK);
    ot_channel_unrecv(ch, node);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(recv_number(ch, OT_DONT_WAIT), i);
    }
    drop(ch);
}

Test(channel, unrecv_into_an_empty_queue_leaves_it_usable)
{
    ot_channel_t *ch = ot_channel_new(0);
    send_now(ch, 1);
    ot_node_t *node;
    cr_assert_eq(ot_channel_recv(ch, OT_DONT_WAIT, &node), OT_CHANNEL_OK);
    ot_channel_unrecv(ch, node);
    send_now(ch, 2);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 2);
    drop(ch);
}

Test(channel, the_last_unref_returns_what_is_left)
{
    ot_channel_t *ch = ot_channel_new(0);
    ot_channel_ref(ch);
    send_now(ch, 1);
    send_now(ch, 2);
    cr_assert_null(ot_channel_unref(ch));
    ot_node_t *chain = ot_channel_unref(ch);
    cr_assert_eq(((message_t *)chain)->number, 1);
    cr_assert_eq(drop_chain(chain), 2);
    cr_assert_eq(ot_channel_count(), 0);
}

static ot_node_t *inherited;

static void
inherit(ot_node_t *chain)
{
    CHECK(inherited == NULL);
    inherited = chain;
}

Test(channel, the_heir_gets_what_a_mere_unref_leaves)
{
    ot_channel_set_heir(inherit);
    ot_channel_t *ch = ot_channel_new(0), *empty = ot_channel_new(1);
    send_now(ch, 1);
    send_now(ch, 2);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    send_now(ch, 3); /* one in each of the two chains */
    ot_shared_unref(ot_channel_shared(ch));
    ot_shared_unref(ot_channel_shared(empty));
    cr_assert_eq(((message_t *)inherited)->number, 2);
    cr_assert_eq(drop_chain(inherited), 2);
    cr_assert_eq(ot_channel_count(), 0);
}

/* What holds two channels. */
typedef struct {
    ot_shared_t head;
    ot_channel_t *a, *b;
} owner_t;

static void
owner_free(ot_shared_t *self)
{
    owner_t *owner = (owner_t *)self;
    ot_shared_unref(ot_channel_shared(owner->a));
    ot_shared_unref(ot_channel_shared(owner->b));
    free(owner);
}

Test(channel, messages_of_channels_that_die_with_another_object_are_returned)
{
    static const ot_shared_kind_t kind = {"owner", owner_free, NULL, NULL};
    owner_t *owner = calloc(1, sizeof *owner);
    CHECK(owner != NULL);
    owner->a = ot_channel_new(0);
    owner->b = ot_channel_new(0);
    for (int i = 0; i < 3; i++) {
        send_now(owner->a, i);
        send_now(owner->b, i);
    }
    ot_shared_init(&owner->head, &kind);
    ot_shared_ref(&owner->head);
    cr_assert_null(ot_channel_unref_any(&owner->head));
    cr_assert_eq(drop_chain(ot_channel_unref_any(&owner->head)), 6);
    cr_assert_eq(ot_shared_count(), 0);
}

Test(channel, find_by_id_until_the_last_unref)
{
    ot_channel_t *a = ot_channel_new(0), *b = ot_channel_new(0), *c = ot_channel_new(0);
    uint64_t id = ot_channel_id(b);
    cr_assert_neq(id, ot_channel_id(a));
    cr_assert_neq(id, ot_channel_id(c));
    cr_assert_eq(ot_channel_count(), 3);
    cr_assert_eq(find_channel(id), b);
    cr_assert_null(ot_channel_unref(b));
    cr_assert_eq(ot_channel_count(), 3);
    cr_assert_null(ot_channel_unref(b));
    cr_assert_eq(ot_channel_count(), 2);
    cr_assert_null(find_channel(id));
    ot_channel_unref(c); /* the registry's links are whole on either side */
    cr_assert_eq(find_channel(ot_channel_id(a)), a);
    ot_channel_unref(a);
    drop(a);
}

Test(channel, ids_are_not_used_again)
{
    ot_channel_t *ch = ot_channel_new(0);
    uint64_t id = ot_channel_id(ch);
    ot_channel_unref(ch);
    ch = ot_channel_new(0);
    cr_assert_gt(ot_channel_id(ch), id);
    drop(ch);
}

/* ---- blocking ----------------------------------------------------------------------------- */

Test(channel, close_wakes_all_blocked_receivers, .timeout = 60)
{
    blocked_t b = {.ch = ot_channel_new(0), .receive = true};
    pthread_t threads[BLOCKED];
    start_blocked(&b, threads);
    ot_channel_close(b.ch, false);
    join_blocked(threads, OT_CHANNEL_CLOSED);
    drop(b.ch);
}

Test(channel, close_wakes_all_blocked_senders, .timeout = 60)
{
    blocked_t b = {.ch = ot_channel_new(1)};
    pthread_t threads[BLOCKED];
    send_now(b.ch, 1);
    start_blocked(&b, threads);
    ot_channel_close(b.ch, false);
    join_blocked(threads, OT_CHANNEL_CLOSED);
    drop(b.ch);
}

Test(channel, cancelling_the_last_reservation_of_a_closed_queue_wakes_its_receivers, .timeout = 60)
{
    blocked_t b = {.ch = ot_channel_new(0), .receive = true};
    pthread_t threads[BLOCKED];
    cr_assert_eq(ot_channel_reserve(b.ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    ot_channel_close(b.ch, false);
    start_blocked(&b, threads); /* the reserved place may still be filled: they wait */
    ot_channel_cancel(b.ch);
    join_blocked(threads, OT_CHANNEL_CLOSED);
    drop(b.ch);
}

Test(channel, taking_the_last_message_of_a_closed_queue_wakes_the_other_receivers, .timeout = 60)
{
    blocked_t b = {.ch = ot_channel_new(0), .receive = true};
    pthread_t threads[BLOCKED];
    cr_assert_eq(ot_channel_reserve(b.ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    ot_channel_close(b.ch, false);
    start_blocked(&b, threads);
    ot_channel_commit(b.ch, &message_new(0, 9)->node);
    int nines = 0;
    for (int i = 0; i < BLOCKED; i++) {
        int result = (int)(intptr_t)test_join(threads[i]);
        nines += result == 9;
        cr_assert(result == 9 || result == OT_CHANNEL_CLOSED);
    }
    cr_assert_eq(nines, 1);
    drop(b.ch);
}

Test(channel, a_freed_place_wakes_a_blocked_sender, .timeout = 60)
{
    blocked_t b = {.ch = ot_channel_new(BLOCKED)};
    pthread_t threads[BLOCKED];
    for (int i = 0; i < BLOCKED; i++) {
        send_now(b.ch, i);
    }
    start_blocked(&b, threads);
    for (int i = 0; i < BLOCKED; i++) {
        cr_assert_eq(recv_number(b.ch, OT_DONT_WAIT), i);
    }
    join_blocked(threads, OT_CHANNEL_OK);
    for (int i = 0; i < BLOCKED; i++) {
        ot_channel_cancel(b.ch);
    }
    drop(b.ch);
}

static void *
reserve_and_cancel(void *arg)
{
    blocked_t *b = arg;
    atomic_fetch_add(&b->started, 1);
    ot_channel_result_t result = ot_channel_reserve(b->ch, OT_FOREVER);
    ot_channel_cancel(b->ch);
    return (void *)(intptr_t)result;
}

Test(channel, a_cancelled_place_wakes_a_blocked_sender, .timeout = 60)
{
    blocked_t b = {.ch = ot_channel_new(1)};
    pthread_t threads[BLOCKED];
    cr_assert_eq(ot_channel_reserve(b.ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    for (int i = 0; i < BLOCKED; i++) {
        threads[i] = test_thread(reserve_and_cancel, &b);
    }
    test_wait_until(all_started, &b);
    test_sleep(MILLISECONDS(50));
    ot_channel_cancel(b.ch); /* each passes the place on to the next */
    join_blocked(threads, OT_CHANNEL_OK);
    drop(b.ch);
}

Test(channel, unrecv_wakes_a_blocked_receiver, .timeout = 60)
{
    blocked_t b = {.ch = ot_channel_new(1), .receive = true};
    pthread_t threads[BLOCKED];
    start_blocked(&b, threads);
    for (int i = 0; i < BLOCKED; i++) {
        ot_channel_unrecv(b.ch, &message_new(0, 3)->node);
    }
    join_blocked(threads, 3);
    drop(b.ch);
}

/* ---- many to many ------------------------------------------------------------------------- */

static void
run_traffic(size_t maxsize, int senders, int receivers, int messages)
{
    traffic_t t = {.ch = ot_channel_new(maxsize),
                   .senders = senders,
                   .receivers = receivers,
                   .messages = messages};
    pthread_t sending[MAX_SENDERS], receiving[MAX_SENDERS];
    for (int i = 0; i < receivers; i++) {
        receiving[i] = test_thread(recv_many, &t);
    }
    for (int i = 0; i < senders; i++) {
        sending[i] = test_thread(send_many, &t);
    }
    for (int i = 0; i < senders; i++) {
        test_join(sending[i]);
    }
    ot_channel_close(t.ch, false);
    for (int i = 0; i < receivers; i++) {
        test_join(receiving[i]);
    }
    /* The count says none was lost, the rising numbers that none came twice to one receiver;
     * each is freed by who took it, so two takers would be a double free. */
    for (int i = 0; i < senders; i++) {
        cr_assert_eq(atomic_load(&t.seen[i]), messages);
    }
    cr_assert_eq(ot_channel_qsize(t.ch), 0);
    drop(t.ch);
}

Test(channel, many_to_many_unbounded, .timeout = 120)
{
    run_traffic(0, 6, 6, 20000);
}

Test(channel, many_to_many_bounded, .timeout = 120)
{
    run_traffic(3, 6, 6, 10000);
}

Test(channel, many_to_one_with_a_single_place, .timeout = 120)
{
    run_traffic(1, 6, 1, 4000);
}

Test(channel, one_to_many_with_a_single_place, .timeout = 120)
{
    run_traffic(1, 1, 6, 10000);
}

static void *
find_and_drop(void *arg)
{
    atomic_ulong *id = arg;
    unsigned long found = 0;
    for (unsigned long at; (at = atomic_load(id)) != ULONG_MAX;) {
        ot_channel_t *ch = find_channel(at);
        if (ch != NULL) {
            CHECK(ot_channel_id(ch) == at);
            found++;
            drop_chain(ot_channel_unref(ch));
        }
    }
    return (void *)found;
}

Test(channel, finding_races_with_the_last_unref, .timeout = 60)
{
    atomic_ulong id = 0;
    pthread_t finders[3];
    for (int i = 0; i < 3; i++) {
        finders[i] = test_thread(find_and_drop, &id);
    }
    for (int i = 0; i < 20000; i++) {
        ot_channel_t *ch = ot_channel_new(0);
        send_now(ch, i);
        atomic_store(&id, ot_channel_id(ch));
        drop_chain(ot_channel_unref(ch));
    }
    atomic_store(&id, ULONG_MAX);
    for (int i = 0; i < 3; i++) {
        test_join(finders[i]);
    }
    cr_assert_eq(ot_channel_count(), 0);
}
