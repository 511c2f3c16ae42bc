/* test_channel_bytes.c: channels that limit the bytes of what waits. No Python. */
#include "channel_world.h"

static bool
try_reserve(ot_channel_t *ch, size_t bytes)
{
    return ot_channel_reserve_bytes(ch, bytes, OT_DONT_WAIT, NULL) == OT_CHANNEL_OK;
}

static void
commit(ot_channel_t *ch, int number, size_t bytes)
{
    message_t *m = message_new(0, number);
    m->node.bytes = bytes;
    ot_channel_commit(ch, &m->node);
}

static void
send_bytes(ot_channel_t *ch, int number, size_t bytes)
{
    CHECK(try_reserve(ch, bytes));
    commit(ch, number, bytes);
}

Test(channel_bytes, they_limit_what_waits)
{
    ot_channel_t *ch = ot_channel_new_bounded(0, 100);
    send_bytes(ch, 1, 60);
    cr_assert(!try_reserve(ch, 41));
    send_bytes(ch, 2, 40);
    cr_assert(!try_reserve(ch, 1));
    cr_assert(try_reserve(ch, 0));
    cr_assert_eq(ot_channel_qbytes(ch), 100);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert_eq(ot_channel_qbytes(ch), 40);
    send_bytes(ch, 3, 60);
    ot_channel_check(ch);
    ot_channel_cancel(ch);
    drop(ch);
}

Test(channel_bytes, a_larger_message_passes_alone)
{
    ot_channel_t *ch = ot_channel_new_bounded(0, 100);
    send_bytes(ch, 1, 1000);
    cr_assert(!try_reserve(ch, 1));
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    send_bytes(ch, 2, 1);
    cr_assert(!try_reserve(ch, 1000));
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 2);
    cr_assert(try_reserve(ch, 1000));
    cr_assert(!try_reserve(ch, 1000));
    ot_channel_cancel_bytes(ch, 1000);
    cr_assert(try_reserve(ch, 100));
    ot_channel_cancel_bytes(ch, 100);
    drop(ch);
}

Test(channel_bytes, both_limits_hold)
{
    ot_channel_t *ch = ot_channel_new_bounded(2, 100);
    send_bytes(ch, 1, 10);
    send_bytes(ch, 2, 10);
    cr_assert(!try_reserve(ch, 10));
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert(!try_reserve(ch, 91));
    cr_assert(try_reserve(ch, 90));
    ot_channel_cancel_bytes(ch, 90);
    drop(ch);
}

Test(channel_bytes, a_place_is_weighed_afterwards)
{
    ot_channel_t *ch = ot_channel_new_bounded(0, 100);
    send_bytes(ch, 1, 50);
    cr_assert(try_reserve(ch, 0));
    cr_assert(!ot_channel_weigh(ch, 0, 51));
    cr_assert(ot_channel_weigh(ch, 0, 50));
    cr_assert(!try_reserve(ch, 1));
    cr_assert(ot_channel_weigh(ch, 50, 20));
    cr_assert(try_reserve(ch, 30));
    cr_assert(!ot_channel_weigh(ch, 20, 21));
    commit(ch, 2, 20);
    commit(ch, 3, 30);
    cr_assert_eq(ot_channel_qbytes(ch), 100);
    ot_channel_check(ch);
    drop(ch);
}

Test(channel_bytes, unrecv_and_close_count)
{
    ot_channel_t *ch = ot_channel_new_bounded(0, 100);
    ot_node_t *node;
    send_bytes(ch, 1, 60);
    cr_assert_eq(ot_channel_recv(ch, OT_DONT_WAIT, &node), OT_CHANNEL_OK);
    cr_assert_eq(ot_channel_qbytes(ch), 0);
    ot_channel_unrecv(ch, node);
    cr_assert_eq(ot_channel_qbytes(ch), 60);
    cr_assert(!try_reserve(ch, 41));
    cr_assert(try_reserve(ch, 40));
    drop_chain(ot_channel_close(ch, true));
    cr_assert_eq(ot_channel_qbytes(ch), 0);
    commit(ch, 2, 40);
    cr_assert_eq(ot_channel_qbytes(ch), 40);
    ot_channel_check(ch);
    drop(ch);
}

/* ---- who waits ------------------------------------------------------------------------------ */

typedef struct {
    ot_channel_t *ch;
    size_t bytes;
    int number;
    int64_t deadline;
    ot_stop_t stop;
} sender_t;

static void *
send_in_thread(void *arg)
{
    sender_t *s = arg;
    ot_channel_result_t result = ot_channel_reserve_bytes(s->ch, s->bytes, s->deadline, &s->stop);
    if (result == OT_CHANNEL_OK) {
        commit(s->ch, s->number, s->bytes);
    }
    return (void *)(intptr_t)result;
}

static bool
is_asleep(void *arg)
{
    return atomic_load(&((sender_t *)arg)->stop.asleep);
}

static pthread_t
start_sender(sender_t *s, ot_channel_t *ch, int number, size_t bytes, int64_t deadline)
{
    *s = (sender_t){.ch = ch, .bytes = bytes, .number = number, .deadline = deadline};
    ot_stop_init(&s->stop);
    pthread_t thread = test_thread(send_in_thread, s);
    test_wait_until(is_asleep, s);
    return thread;
}

Test(channel_bytes, who_waits_for_much_is_not_overtaken, .timeout = 60)
{
    ot_channel_t *ch = ot_channel_new_bounded(0, 100);
    sender_t large, small;
    send_bytes(ch, 1, 50);
    send_bytes(ch, 2, 20);
    pthread_t first = start_sender(&large, ch, 3, 90, OT_FOREVER);
    pthread_t second = start_sender(&small, ch, 4, 10, OT_FOREVER);
    cr_assert(!try_reserve(ch, 5));
    cr_assert(!ot_channel_await_place(ch, 5));
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert(!try_reserve(ch, 5));
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 2);
    cr_assert_eq((intptr_t)test_join(first), OT_CHANNEL_OK);
    cr_assert_eq((intptr_t)test_join(second), OT_CHANNEL_OK);
    cr_assert_eq(ot_channel_qbytes(ch), 100);
    ot_channel_check(ch);
    drop(ch);
}

Test(channel_bytes, who_gives_up_lets_others_pass, .timeout = 60)
{
    ot_channel_t *ch = ot_channel_new_bounded(0, 100);
    sender_t large, small;
    send_bytes(ch, 1, 50);
    pthread_t first = start_sender(&large, ch, 2, 90, test_deadline(MILLISECONDS(300)));
    pthread_t second = start_sender(&small, ch, 3, 50, OT_FOREVER);
    cr_assert_eq((intptr_t)test_join(first), OT_CHANNEL_TIMEOUT);
    cr_assert_eq((intptr_t)test_join(second), OT_CHANNEL_OK);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 3);
    drop(ch);
}

Test(channel_bytes, room_that_is_given_back_is_granted, .timeout = 60)
{
    ot_channel_t *ch = ot_channel_new_bounded(0, 100);
    sender_t s;
    cr_assert(try_reserve(ch, 80));
    pthread_t thread = start_sender(&s, ch, 1, 60, OT_FOREVER);
    cr_assert(ot_channel_weigh(ch, 80, 30));
    cr_assert_eq((intptr_t)test_join(thread), OT_CHANNEL_OK);
    thread = start_sender(&s, ch, 2, 40, OT_FOREVER);
    ot_channel_cancel_bytes(ch, 30);
    cr_assert_eq((intptr_t)test_join(thread), OT_CHANNEL_OK);
    cr_assert_eq(ot_channel_qbytes(ch), 100);
    thread = start_sender(&s, ch, 3, 40, OT_FOREVER);
    drop_chain(ot_channel_close(ch, false));
    cr_assert_eq((intptr_t)test_join(thread), OT_CHANNEL_CLOSED);
    drop(ch);
}

/* ---- traffic -------------------------------------------------------------------------------- */

enum { LIMIT = 200, MESSAGES = 2000 };

static void *
send_some(void *arg)
{
    traffic_t *t = arg;
    int sender = atomic_fetch_add(&t->next_sender, 1);
    for (int i = 0; i < t->messages; i++) {
        size_t bytes = (size_t)(i * 37 % 97) * (i % 50 == 0 ? 10 : 1), need = 0;
        for (bool done = false; !done; need = bytes) { /* as Python does it */
            ot_channel_result_t result = ot_channel_reserve_bytes(
                t->ch, need, i % 5 ? OT_FOREVER : test_deadline(MILLISECONDS(1)), NULL);
            if (result == OT_CHANNEL_TIMEOUT) {
                continue;
            }
            CHECK(result == OT_CHANNEL_OK);
            done = ot_channel_weigh(t->ch, need, bytes);
            if (done) {
                message_t *m = message_new(sender, i);
                m->node.bytes = bytes;
                ot_channel_commit(t->ch, &m->node);
            } else {
                ot_channel_cancel_bytes(t->ch, need);
            }
        }
    }
    return NULL;
}

Test(channel_bytes, many_senders_lose_nothing, .timeout = 120)
{
    enum { SENDERS = 4, RECEIVERS = 2 };
    traffic_t t = {.ch = ot_channel_new_bounded(0, LIMIT), .messages = MESSAGES};
    pthread_t sending[SENDERS], receiving[RECEIVERS];
    for (int i = 0; i < SENDERS; i++) {
        sending[i] = test_thread(send_some, &t);
    }
    for (int i = 0; i < RECEIVERS; i++) {
        receiving[i] = test_thread(recv_many, &t);
    }
    for (int i = 0; i < SENDERS; i++) {
        test_join(sending[i]);
    }
    ot_channel_close(t.ch, false);
    for (int i = 0; i < RECEIVERS; i++) {
        test_join(receiving[i]);
    }
    for (int i = 0; i < SENDERS; i++) {
        cr_assert_eq(atomic_load(&t.seen[i]), MESSAGES);
    }
    cr_assert_eq(ot_channel_qbytes(t.ch), 0);
    ot_channel_check(t.ch);
    drop(t.ch);
}
