/* test_channel_stop.c: what ends a wait from outside: the last message that is meant, and giving up. */
#include "channel_world.h"

static int
recv_until(ot_channel_t *ch, int64_t deadline, ot_stop_t *stop)
{
    ot_node_t *node;
    ot_channel_result_t result = ot_channel_recv_until(ch, deadline, stop, &node);
    if (result != OT_CHANNEL_OK) {
        return result;
    }
    int number = ((message_t *)node)->number;
    free(node);
    return number;
}

Test(channel_stop, messages_up_to_the_last_are_taken_and_no_more)
{
    ot_channel_t *ch = ot_channel_new(0);
    ot_stop_t stop;
    ot_stop_init(&stop);
    send_now(ch, 1);
    send_now(ch, 2);
    ot_channel_stop_after_last(ch, &stop);
    send_now(ch, 3);
    cr_assert_eq(recv_until(ch, OT_DONT_WAIT, &stop), 1);
    cr_assert_eq(recv_until(ch, OT_DONT_WAIT, &stop), 2);
    cr_assert_eq(recv_until(ch, OT_FOREVER, &stop), OT_CHANNEL_STOPPED);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 3);
    drop(ch);
}

Test(channel_stop, others_may_take_them)
{
    ot_channel_t *ch = ot_channel_new(0);
    ot_stop_t stop;
    ot_stop_init(&stop);
    send_now(ch, 1);
    ot_channel_stop_after_last(ch, &stop);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert_eq(recv_until(ch, OT_FOREVER, &stop), OT_CHANNEL_STOPPED);
    drop(ch);
}

Test(channel_stop, a_message_that_was_put_back_is_still_meant)
{
    ot_channel_t *ch = ot_channel_new(0);
    ot_stop_t stop;
    ot_node_t *node;
    ot_stop_init(&stop);
    send_now(ch, 1);
    ot_channel_stop_after_last(ch, &stop);
    cr_assert_eq(ot_channel_recv_until(ch, OT_DONT_WAIT, &stop, &node), OT_CHANNEL_OK);
    ot_channel_unrecv(ch, node);
    cr_assert_eq(recv_until(ch, OT_DONT_WAIT, &stop), 1);
    cr_assert_eq(recv_until(ch, OT_DONT_WAIT, &stop), OT_CHANNEL_STOPPED);
    drop(ch);
}

Test(channel_stop, messages_that_were_discarded_are_not_waited_for)
{
    ot_channel_t *ch = ot_channel_new(0);
    ot_stop_t stop;
    ot_stop_init(&stop);
    send_now(ch, 1);
    ot_channel_stop_after_last(ch, &stop);
    free(ot_channel_close(ch, true));
    cr_assert_eq(recv_until(ch, OT_FOREVER, &stop), OT_CHANNEL_STOPPED);
    drop(ch);
}

typedef struct {
    ot_channel_t *ch;
    ot_stop_t stop;
    bool send;
} sleeper_t;

static void *
sleep_stoppable(void *arg)
{
    sleeper_t *s = arg;
    intptr_t result = s->send ? (int)ot_channel_reserve_bytes(s->ch, 0, OT_FOREVER, &s->stop)
                              : recv_until(s->ch, OT_FOREVER, &s->stop);
    return (void *)result;
}

static bool
sleeps(void *arg)
{
    return atomic_load(&((sleeper_t *)arg)->stop.asleep);
}

static pthread_t
start_sleeper(sleeper_t *s)
{
    ot_stop_init(&s->stop);
    cr_assert_not(atomic_load(&s->stop.asleep));
    pthread_t thread = test_thread(sleep_stoppable, s);
    test_wait_until(sleeps, s);
    return thread;
}

Test(channel_stop, a_receiver_that_sleeps_is_woken_by_its_end, .timeout = 60)
{
    sleeper_t mine = {.ch = ot_channel_new(0)}, other = {.ch = mine.ch};
    pthread_t first = start_sleeper(&mine), second = start_sleeper(&other);
    ot_channel_stop_after_last(mine.ch, &mine.stop);
    cr_assert_eq((intptr_t)test_join(first), OT_CHANNEL_STOPPED);
    cr_assert_not(sleeps(&mine));
    test_wait_until(sleeps, &other); /* was woken, too, and went to sleep again */
    send_now(mine.ch, 7);
    cr_assert_eq((intptr_t)test_join(second), 7);
    drop(mine.ch);
}

Test(channel_stop, giving_up_wakes_only_who_is_given_up, .timeout = 60)
{
    for (int send = 0; send < 2; send++) {
        ot_channel_t *ch = ot_channel_new(1);
        sleeper_t mine = {.ch = ch, .send = send}, other = {.ch = ch, .send = send};
        if (send) {
            send_now(ch, 1);
        }
        pthread_t first = start_sleeper(&mine), second = start_sleeper(&other);
        ot_channel_give_up(ch, &mine.stop);
        cr_assert_eq((intptr_t)test_join(first), OT_CHANNEL_STOPPED);
        test_wait_until(sleeps, &other);
        if (send) {
            cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
            cr_assert_eq((intptr_t)test_join(second), OT_CHANNEL_OK);
            ot_channel_cancel(ch);
        } else {
            send_now(ch, 7);
            cr_assert_eq((intptr_t)test_join(second), 7);
        }
        drop(ch);
    }
}

Test(channel_stop, who_is_given_up_takes_what_there_is)
{
    ot_channel_t *ch = ot_channel_new(1);
    ot_stop_t stop;
    ot_stop_init(&stop);
    ot_channel_give_up(ch, &stop);
    cr_assert_eq(ot_channel_reserve_bytes(ch, 0, OT_FOREVER, &stop), OT_CHANNEL_OK);
    cr_assert_eq(ot_channel_reserve_bytes(ch, 0, OT_FOREVER, &stop), OT_CHANNEL_STOPPED);
    ot_channel_commit(ch, &message_new(0, 5)->node);
    cr_assert_eq(recv_until(ch, OT_FOREVER, &stop), 5);
    cr_assert_eq(recv_until(ch, OT_FOREVER, &stop), OT_CHANNEL_STOPPED);
    drop(ch);
}

/* Messages come while the end is set: all that came before it are taken, and the receiver ends. */
static void *
send_some(void *arg)
{
    ot_channel_t *ch = arg;
    for (int i = 0; i < 200; i++) {
        send_now(ch, i);
    }
    return NULL;
}

static void *
take_until(void *arg)
{
    sleeper_t *s = arg;
    intptr_t n = 0;
    while (recv_until(s->ch, OT_FOREVER, &s->stop) != OT_CHANNEL_STOPPED) {
        n++;
    }
    return (void *)n;
}

Test(channel_stop, nothing_is_lost_when_the_end_comes_with_the_last_message, .timeout = 120)
{
    for (int round = 0; round < 500; round++) {
        sleeper_t mine = {.ch = ot_channel_new(0)}, other = {.ch = mine.ch};
        ot_stop_init(&mine.stop);
        ot_stop_init(&other.stop);
        pthread_t takers[] = {test_thread(take_until, &mine), test_thread(take_until, &other)};
        test_join(test_thread(send_some, mine.ch));
        ot_channel_stop_after_last(mine.ch, &mine.stop);
        ot_channel_stop_after_last(mine.ch, &other.stop);
        intptr_t n = (intptr_t)test_join(takers[0]);
        n += (intptr_t)test_join(takers[1]);
        cr_assert_eq(n, 200);
        drop(mine.ch);
    }
}
