/* test_channel_watch.c: watching a channel before sleeping at it. No Python. */
#include "channel_world.h"

#include "runtime/spin.h"

static void
need_two_cpus(void)
{
    if (ot_spin_cpus() < 2) {
        cr_skip_test("nobody watches on one CPU");
    }
}

/* ---- what is seen ------------------------------------------------------------------------- */

Test(channel_watch, a_message_that_is_there_is_seen)
{
    need_two_cpus();
    ot_channel_t *ch = ot_channel_new(0);
    send_now(ch, 1);
    cr_assert_eq(ot_channel_watch_message(ch, OT_FOREVER), OT_WATCH_SEEN);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    drop(ch);
}

Test(channel_watch, it_ends_in_vain_where_nothing_comes, .timeout = 60)
{
    need_two_cpus();
    ot_channel_t *ch = ot_channel_new(1);
    cr_assert_eq(ot_channel_watch_message(ch, OT_FOREVER), OT_WATCH_VAIN);
    send_now(ch, 1);
    cr_assert_eq(ot_channel_watch_place(ch, OT_FOREVER), OT_WATCH_VAIN);
    drop(ch);
}

Test(channel_watch, a_message_put_back_is_seen)
{
    need_two_cpus();
    ot_channel_t *ch = ot_channel_new(0);
    ot_node_t *node;
    send_now(ch, 1);
    cr_assert_eq(ot_channel_recv(ch, OT_DONT_WAIT, &node), OT_CHANNEL_OK);
    cr_assert_eq(ot_channel_watch_message(ch, OT_FOREVER), OT_WATCH_VAIN);
    ot_channel_unrecv(ch, node);
    cr_assert_eq(ot_channel_watch_message(ch, OT_FOREVER), OT_WATCH_SEEN);
    drop(ch);
}

Test(channel_watch, a_place_made_by_cancelling_is_seen)
{
    need_two_cpus();
    ot_channel_t *ch = ot_channel_new(1);
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    cr_assert_eq(ot_channel_watch_place(ch, OT_FOREVER), OT_WATCH_VAIN);
    ot_channel_cancel(ch);
    cr_assert_eq(ot_channel_watch_place(ch, OT_FOREVER), OT_WATCH_SEEN);
    drop(ch);
}

Test(channel_watch, a_closed_channel_is_not_watched_in_vain)
{
    need_two_cpus();
    ot_channel_t *ch = ot_channel_new(1);
    send_now(ch, 1);
    ot_channel_close(ch, false);
    cr_assert_eq(ot_channel_watch_place(ch, OT_FOREVER), OT_WATCH_SEEN);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert_eq(ot_channel_watch_message(ch, OT_FOREVER), OT_WATCH_SEEN);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), OT_CHANNEL_CLOSED);
    drop(ch);
}

Test(channel_watch, who_will_not_wait_does_not_watch)
{
    ot_channel_t *ch = ot_channel_new(1);
    cr_assert_eq(ot_channel_watch_message(ch, OT_DONT_WAIT), OT_WATCH_SKIPPED);
    send_now(ch, 1);
    cr_assert_eq(ot_channel_watch_place(ch, OT_DONT_WAIT), OT_WATCH_SKIPPED);
    drop(ch);
}

Test(channel_watch, nobody_watches_past_sleepers, .timeout = 60)
{
    blocked_t b = {.ch = ot_channel_new(1), .receive = true};
    pthread_t threads[BLOCKED];
    start_blocked(&b, threads);
    cr_assert_eq(ot_channel_watch_message(b.ch, OT_FOREVER), OT_WATCH_SKIPPED);
    ot_channel_close(b.ch, false);
    join_blocked(threads, OT_CHANNEL_CLOSED);
    drop(b.ch);
    b = (blocked_t){.ch = ot_channel_new(1)};
    send_now(b.ch, 1);
    start_blocked(&b, threads);
    cr_assert_eq(ot_channel_watch_place(b.ch, OT_FOREVER), OT_WATCH_SKIPPED);
    ot_channel_close(b.ch, false);
    join_blocked(threads, OT_CHANNEL_CLOSED);
    drop(b.ch);
}

/* ---- edges -------------------------------------------------------------------------------- */

static unsigned seed = 1;

/* Up to some times as long as watching lasts, so that what follows hits a watcher, a sleeper, or
 * one in between. */
static void
pause_at_random(unsigned *from)
{
    int64_t until = ot_clock_now() + rand_r(from) % (3 * OT_SPIN_NS);
    while (ot_clock_now() < until) {
    }
}

static void *
recv_one(void *ch)
{
    ot_node_t *node;
    return (void *)(intptr_t)recv_watching(ch, OT_FOREVER, &node);
}

static void *
reserve_one(void *ch)
{
    return (void *)(intptr_t)reserve_watching(ch, OT_FOREVER);
}

Test(channel_watch, close_comes_while_others_watch_or_fall_asleep, .timeout = 120)
{
    for (int i = 0; i < 500; i++) {
        ot_channel_t *ch = ot_channel_new(1);
        bool receive = i % 2;
        if (!receive) {
            send_now(ch, 1);
        }
        pthread_t one = test_thread(receive ? recv_one : reserve_one, ch);
        pthread_t other = test_thread(receive ? recv_one : reserve_one, ch);
        pause_at_random(&seed);
        ot_channel_close(ch, false);
        cr_assert_eq((intptr_t)test_join(one), OT_CHANNEL_CLOSED);
        cr_assert_eq((intptr_t)test_join(other), OT_CHANNEL_CLOSED);
        drop(ch);
    }
}

/* Messages come at random moments: into watching, falling asleep, sleeping. All wait for ever, so
 * a lost wake-up is a test that does not end; and each number comes once. */
typedef struct {
    traffic_t t;
    bool short_waits;
} watched_t;

static void *
send_at_random(void *arg)
{
    watched_t *w = arg;
    traffic_t *t = &w->t;
    int sender = atomic_fetch_add(&t->next_sender, 1);
    unsigned own_seed = (unsigned)sender + 1;
    for (int i = 0; i < t->messages; i++) {
        if (rand_r(&own_seed) % 4 == 0) {
            pause_at_random(&own_seed);
        }
        CHECK(reserve_watching(t->ch, OT_FOREVER) == OT_CHANNEL_OK);
        ot_channel_commit(t->ch, &message_new(sender, i)->node);
    }
    return NULL;
}

static void *
recv_at_random(void *arg)
{
    watched_t *w = arg;
    traffic_t *t = &w->t;
    unsigned own_seed = 99;
    int last[MAX_SENDERS];
    for (int i = 0; i < MAX_SENDERS; i++) {
        last[i] = -1;
    }
    for (;;) {
        ot_node_t *node;
        int64_t deadline = OT_FOREVER;
        if (w->short_waits) {
            deadline = ot_clock_now() + rand_r(&own_seed) % (2 * OT_SPIN_NS);
        }
        ot_channel_result_t result = recv_watching(t->ch, deadline, &node);
        if (result == OT_CHANNEL_CLOSED) {
            return NULL;
        }
        if (result == OT_CHANNEL_TIMEOUT && w->short_waits) {
            continue;
        }
        CHECK(result == OT_CHANNEL_OK);
        message_t *m = (message_t *)node;
        CHECK(m->number > last[m->sender]);
        last[m->sender] = m->number;
        atomic_fetch_add(&t->seen[m->sender], 1);
        free(m);
    }
}

static void
run_watched(size_t maxsize, int senders, int receivers, bool short_waits)
{
    enum { MESSAGES = 4000 };
    watched_t w = {.t = {.ch = ot_channel_new(maxsize),
                         .senders = senders,
                         .receivers = receivers,
                         .messages = MESSAGES},
                   .short_waits = short_waits};
    pthread_t sending[MAX_SENDERS], receiving[MAX_SENDERS];
    for (int i = 0; i < receivers; i++) {
        receiving[i] = test_thread(recv_at_random, &w);
    }
    for (int i = 0; i < senders; i++) {
        sending[i] = test_thread(send_at_random, &w);
    }
    for (int i = 0; i < senders; i++) {
        test_join(sending[i]);
    }
    ot_channel_close(w.t.ch, false);
    for (int i = 0; i < receivers; i++) {
        test_join(receiving[i]);
    }
    for (int i = 0; i < senders; i++) {
        cr_assert_eq(atomic_load(&w.t.seen[i]), MESSAGES);
    }
    drop(w.t.ch);
}

Test(channel_watch, no_wake_up_is_lost_between_two, .timeout = 120)
{
    run_watched(0, 1, 1, false);
    run_watched(1, 1, 1, false);
}

Test(channel_watch, no_wake_up_is_lost_among_many, .timeout = 120)
{
    run_watched(0, 2, 3, false);
    run_watched(1, 3, 2, false);
    run_watched(3, 3, 3, false);
}

Test(channel_watch, short_waits_lose_no_message, .timeout = 120)
{
    run_watched(0, 1, 1, true);
    run_watched(2, 2, 2, true);
}

/* ---- one place -----------------------------------------------------------------------------

 * The sender finds no place and lists itself while the receiver takes the one message and looks
 * whether anybody is listed. Both sleep for ever, nobody pokes them, and no third message comes to
 * the rescue; short random pauses make them meet. */

enum { HANDOVERS = 300000 };

static void
stumble(unsigned *from)
{
    for (int i = rand_r(from) % 64; i > 0; i--) {
        atomic_signal_fence(memory_order_seq_cst);
    }
}

static void *
hand_over(void *arg)
{
    ot_channel_t *ch = arg;
    unsigned own_seed = 3;
    static ot_node_t nodes[2];
    for (int i = 0; i < HANDOVERS; i++) {
        CHECK(ot_channel_reserve(ch, OT_FOREVER) == OT_CHANNEL_OK);
        ot_channel_commit(ch, &nodes[i % 2]);
        stumble(&own_seed);
    }
    return NULL;
}

Test(channel_watch, a_single_place_changes_hands_without_a_lost_wake_up, .timeout = 120)
{
    ot_channel_t *ch = ot_channel_new(1);
    pthread_t sender = test_thread(hand_over, ch);
    for (int i = 0; i < HANDOVERS; i++) {
        ot_node_t *node;
        while (ot_channel_recv(ch, OT_DONT_WAIT, &node) == OT_CHANNEL_TIMEOUT) {
            stumble(&seed);
        }
    }
    test_join(sender);
    cr_assert_null(ot_channel_unref(ch));
}
