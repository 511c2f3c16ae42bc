/* test_channel_bell.c: descriptors that tell of a channel, and waiting for several channels. No Python. */
#include "channel_world.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/bell.h"

static bool
can_be_read(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && p.revents == POLLIN;
}

/* ---- bells --------------------------------------------------------------------------------- */

Test(bell, it_can_be_read_from_until_it_is_hushed)
{
    int fd = ot_bell_open();
    cr_assert_geq(fd, 0);
    cr_assert(!can_be_read(fd));
    ot_bell_ring(fd);
    ot_bell_ring(fd);
    cr_assert(can_be_read(fd));
    ot_bell_hush(fd);
    cr_assert(!can_be_read(fd));
    ot_bell_hush(fd);
    ot_bell_close(fd);
    ot_bell_close(OT_NO_BELL);
}

Test(bell, a_renewed_one_has_its_number_and_another_life)
{
    int fd = ot_bell_open(), other = dup(fd);
    ot_bell_ring(fd);
    cr_assert_eq(ot_bell_renew(fd), fd);
    cr_assert(!can_be_read(fd) && can_be_read(other));
    ot_bell_ring(fd);
    ot_bell_hush(other);
    cr_assert(can_be_read(fd) && !can_be_read(other));
    ot_bell_close(fd);
    ot_bell_close(other);
}

/* ---- messages ------------------------------------------------------------------------------ */

Test(channel_bell, it_rings_exactly_while_a_receive_would_not_wait)
{
    ot_channel_t *ch = ot_channel_new(0);
    ot_node_t *node;
    send_now(ch, 1);
    int fd = ot_channel_message_fd(ch);
    cr_assert_eq(ot_channel_message_fd(ch), fd);
    cr_assert(can_be_read(fd));
    send_now(ch, 2);
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert(can_be_read(fd));
    cr_assert_eq(ot_channel_recv(ch, OT_DONT_WAIT, &node), OT_CHANNEL_OK);
    cr_assert(!can_be_read(fd));
    ot_channel_unrecv(ch, node);
    cr_assert(can_be_read(fd));
    drop_chain(ot_channel_close(ch, true));
    cr_assert(can_be_read(fd));
    ot_channel_check(ch);
    drop(ch);
    cr_assert_eq(dup(fd), -1);
}

Test(channel_bell, a_place_reserved_before_close_may_still_bring_a_message)
{
    ot_channel_t *ch = ot_channel_new(0);
    int fd = ot_channel_message_fd(ch);
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    ot_channel_close(ch, false);
    cr_assert(!can_be_read(fd) && !ot_channel_is_ready(ch));
    ot_channel_commit(ch, &message_new(0, 1)->node);
    cr_assert(can_be_read(fd));
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert(!can_be_read(fd));
    ot_channel_cancel(ch);
    cr_assert(can_be_read(fd));
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), OT_CHANNEL_CLOSED);
    drop(ch);
}

/* ---- places -------------------------------------------------------------------------------- */

Test(channel_bell, who_found_no_place_hears_of_the_next_one)
{
    ot_channel_t *ch = ot_channel_new(2);
    int fd = ot_channel_place_fd(ch);
    cr_assert(can_be_read(fd) && ot_channel_await_place(ch, 0));
    send_now(ch, 1);
    send_now(ch, 2);
    cr_assert(!ot_channel_await_place(ch, 0) && !can_be_read(fd));
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert(can_be_read(fd) && ot_channel_await_place(ch, 0));
    cr_assert_eq(ot_channel_reserve(ch, OT_DONT_WAIT), OT_CHANNEL_OK);
    cr_assert(!ot_channel_await_place(ch, 0) && !can_be_read(fd));
    ot_channel_check(ch);
    ot_channel_cancel(ch);
    cr_assert(can_be_read(fd));
    send_now(ch, 3);
    cr_assert(!ot_channel_await_place(ch, 0) && !can_be_read(fd));
    drop_chain(ot_channel_close(ch, false));
    cr_assert(can_be_read(fd) && ot_channel_await_place(ch, 0));
    drop(ch);
}

Test(channel_bell, a_blocked_sender_is_woken_all_the_same, .timeout = 60)
{
    ot_channel_t *ch = ot_channel_new(1);
    int fd = ot_channel_place_fd(ch);
    send_now(ch, 1);
    cr_assert(!ot_channel_await_place(ch, 0));
    blocked_t b = {.ch = ch};
    pthread_t thread = test_thread(block, &b);
    test_sleep(MILLISECONDS(50));
    cr_assert(!can_be_read(fd));
    cr_assert_eq(recv_number(ch, OT_DONT_WAIT), 1);
    cr_assert_eq((intptr_t)test_join(thread), OT_CHANNEL_OK);
    cr_assert(can_be_read(fd));
    cr_assert(!ot_channel_await_place(ch, 0));
    ot_channel_cancel(ch);
    drop(ch);
}

/* ---- fork ---------------------------------------------------------------------------------- */

Test(channel_bell, a_forked_childs_are_its_own, .timeout = 60)
{
    ot_channel_t *ch = ot_channel_new(1);
    int fd = ot_channel_message_fd(ch), places = ot_channel_place_fd(ch);
    send_now(ch, 1);
    cr_assert(!ot_channel_await_place(ch, 0));
    pid_t pid = fork();
    if (pid == 0) {
        bool good = !can_be_read(fd) && can_be_read(places);
        send_now(ch, 2);
        good = good && can_be_read(fd) && !ot_channel_await_place(ch, 0) && !can_be_read(places);
        good =
            good && recv_number(ch, OT_DONT_WAIT) == 2 && !can_be_read(fd) && can_be_read(places);
        ot_channel_check(ch);
        _exit(good ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    cr_assert(can_be_read(fd) && !can_be_read(places));
    drop(ch);
}

/* ---- several ------------------------------------------------------------------------------- */

enum { CHANNELS = 3 };

typedef struct {
    ot_channel_t *channels[CHANNELS];
    bool ready[CHANNELS];
    ot_stop_t stop;
    int64_t deadline;
} selection_t;

static ot_channel_result_t
select_any(selection_t *s)
{
    ot_watcher_t watchers[CHANNELS];
    return ot_channel_select(s->channels, watchers, s->ready, CHANNELS, s->deadline, &s->stop);
}

static void *
select_in_thread(void *arg)
{
    return (void *)(intptr_t)select_any(arg);
}

static void
begin(selection_t *s, int64_t deadline)
{
    *s = (selection_t){.deadline = deadline};
    ot_stop_init(&s->stop);
    for (int i = 0; i < CHANNELS; i++) {
        s->channels[i] = ot_channel_new(0);
    }
}

static void
end(selection_t *s)
{
    for (int i = 0; i < CHANNELS; i++) {
        ot_channel_check(s->channels[i]);
        drop_chain(ot_channel_unref(s->channels[i]));
    }
    cr_assert_eq(ot_channel_count(), 0);
}

static bool
is_asleep(void *arg)
{
    return atomic_load(&((selection_t *)arg)->stop.asleep);
}

Test(channel_select, it_says_which_are_ready, .timeout = 60)
{
    selection_t s;
    begin(&s, OT_DONT_WAIT);
    cr_assert_eq(select_any(&s), OT_CHANNEL_TIMEOUT);
    s.deadline = test_deadline(20000000);
    cr_assert_eq(select_any(&s), OT_CHANNEL_TIMEOUT);
    send_now(s.channels[1], 1);
    ot_channel_close(s.channels[2], false);
    s.deadline = OT_FOREVER;
    cr_assert_eq(select_any(&s), OT_CHANNEL_OK);
    cr_assert(!s.ready[0] && s.ready[1] && s.ready[2]);
    end(&s);
}

Test(channel_select, a_message_to_any_wakes_it, .timeout = 60)
{
    for (int i = 0; i < CHANNELS; i++) {
        selection_t s;
        begin(&s, OT_FOREVER);
        pthread_t thread = test_thread(select_in_thread, &s);
        test_wait_until(is_asleep, &s);
        send_now(s.channels[i], i);
        cr_assert_eq((intptr_t)test_join(thread), OT_CHANNEL_OK);
        for (int j = 0; j < CHANNELS; j++) {
            cr_assert_eq(s.ready[j], i == j);
        }
        cr_assert_eq(recv_number(s.channels[i], OT_DONT_WAIT), i);
        end(&s);
    }
}

Test(channel_select, it_can_be_given_up, .timeout = 60)
{
    selection_t s;
    begin(&s, OT_FOREVER);
    pthread_t thread = test_thread(select_in_thread, &s);
    test_wait_until(is_asleep, &s);
    ot_channel_give_up(s.channels[0], &s.stop);
    cr_assert_eq((intptr_t)test_join(thread), OT_CHANNEL_STOPPED);
    end(&s);
}

/* Counts a message, if there is one. False at the channel's end. */
static bool
take_without_wait(traffic_t *t)
{
    ot_node_t *node;
    ot_channel_result_t result = ot_channel_recv(t->ch, OT_DONT_WAIT, &node);
    if (result == OT_CHANNEL_OK) {
        atomic_fetch_add(&t->seen[((message_t *)node)->sender], 1);
        free(node);
    }
    return result != OT_CHANNEL_CLOSED;
}

/* Receivers that select first, and those that block; each message comes once. */
static void *
recv_by_select(void *arg)
{
    traffic_t *t = arg;
    for (;;) {
        ot_channel_t *channels[] = {t->ch, t->ch};
        ot_watcher_t watchers[2];
        bool ready[2];
        ot_stop_t stop;
        ot_stop_init(&stop);
        ot_channel_result_t result =
            ot_channel_select(channels, watchers, ready, 2, OT_FOREVER, &stop);
        CHECK(result == OT_CHANNEL_OK && (ready[0] || ready[1]));
        if (!take_without_wait(t)) {
            return NULL;
        }
    }
}

static void *
recv_by_poll(void *arg)
{
    traffic_t *t = arg;
    for (;;) {
        struct pollfd p = {.fd = ot_channel_message_fd(t->ch), .events = POLLIN};
        CHECK(poll(&p, 1, 20000) == 1);
        if (!take_without_wait(t)) {
            return NULL;
        }
    }
}

static void *
send_by_poll(void *arg)
{
    traffic_t *t = arg;
    int sender = atomic_fetch_add(&t->next_sender, 1);
    for (int i = 0; i < t->messages;) {
        struct pollfd p = {.fd = ot_channel_place_fd(t->ch), .events = POLLIN};
        if (ot_channel_reserve(t->ch, OT_DONT_WAIT) == OT_CHANNEL_OK) {
            ot_channel_commit(t->ch, &message_new(sender, i++)->node);
        } else if (!ot_channel_await_place(t->ch, 0)) {
            CHECK(poll(&p, 1, 20000) == 1);
        }
    }
    return NULL;
}

Test(channel_select, all_ways_together_lose_nothing, .timeout = 120)
{
    enum { EACH = 2, MESSAGES = 3000 };
    traffic_t t = {.ch = ot_channel_new(3), .messages = MESSAGES};
    void *(*receivers[])(void *) = {recv_by_select, recv_by_poll, recv_many};
    void *(*senders[])(void *) = {send_by_poll, send_many};
    pthread_t receiving[3 * EACH], sending[2 * EACH];
    for (int i = 0; i < 3 * EACH; i++) {
        receiving[i] = test_thread(receivers[i % 3], &t);
    }
    for (int i = 0; i < 2 * EACH; i++) {
        sending[i] = test_thread(senders[i % 2], &t);
    }
    for (int i = 0; i < 2 * EACH; i++) {
        test_join(sending[i]);
    }
    ot_channel_close(t.ch, false);
    for (int i = 0; i < 3 * EACH; i++) {
        test_join(receiving[i]);
    }
    for (int i = 0; i < 2 * EACH; i++) {
        cr_assert_eq(atomic_load(&t.seen[i]), MESSAGES);
    }
    drop(t.ch);
}
