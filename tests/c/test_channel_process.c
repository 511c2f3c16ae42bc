/* test_channel_process.c: channels when signals, pokes and forks come between. No Python. */
#include "channel_world.h"

#include <sched.h>
#include <signal.h>

#include "runtime/park.h"

/* ---- signals and pokes -------------------------------------------------------------------- */

static atomic_int handled;

static void
note_signal(int number)
{
    (void)number;
    atomic_fetch_add(&handled, 1);
}

/* Without SA_RESTART, as CPython installs its handlers. */
static void
handle_signals(void)
{
    struct sigaction action = {.sa_handler = note_signal};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
}

typedef struct {
    ot_channel_t *ch;
    bool receive;
    atomic_bool done;
    int result;
} waiting_t;

static void *
wait_once(void *arg)
{
    waiting_t *w = arg;
    w->result =
        w->receive ? recv_number(w->ch, OT_FOREVER) : (int)ot_channel_reserve(w->ch, OT_FOREVER);
    atomic_store(&w->done, true);
    return NULL;
}

/* Signals until the wait ends: a signal that comes before the thread sleeps wakes nobody. */
static int
interrupt_by_signal(waiting_t *w)
{
    pthread_t thread = test_thread(wait_once, w);
    while (!atomic_load(&w->done)) {
        pthread_kill(thread, SIGUSR1);
        test_sleep(MILLISECONDS(2));
    }
    test_join(thread);
    return w->result;
}

Test(channel_process, a_signal_interrupts_a_blocked_receiver, .timeout = 60)
{
    handle_signals();
    waiting_t w = {.ch = ot_channel_new(0), .receive = true};
    cr_assert_eq(interrupt_by_signal(&w), OT_CHANNEL_INTERRUPTED);
    send_now(w.ch, 4); /* nobody waits in the list any more */
    cr_assert_eq(recv_number(w.ch, OT_DONT_WAIT), 4);
    drop(w.ch);
}

Test(channel_process, a_signal_interrupts_a_blocked_sender, .timeout = 60)
{
    handle_signals();
    waiting_t w = {.ch = ot_channel_new(1)};
    send_now(w.ch, 1);
    cr_assert_eq(interrupt_by_signal(&w), OT_CHANNEL_INTERRUPTED);
    cr_assert_eq(recv_number(w.ch, OT_DONT_WAIT), 1);
    send_now(w.ch, 2); /* the interrupted one has reserved nothing */
    drop(w.ch);
}

enum { SIGNALLED_MESSAGES = 3000 };

typedef struct {
    ot_channel_t *ch;
    atomic_long interruptions;
} signalled_t;

static void *
recv_through_signals(void *arg)
{
    signalled_t *s = arg;
    for (int expected = 0; expected < SIGNALLED_MESSAGES;) {
        int number = recv_number(s->ch, OT_FOREVER);
        if (number == OT_CHANNEL_INTERRUPTED) {
            atomic_fetch_add(&s->interruptions, 1);
            continue;
        }
        CHECK(number == expected);
        expected++;
    }
    return NULL;
}

Test(channel_process, interruptions_lose_no_message, .timeout = 120)
{
    handle_signals();
    signalled_t s = {.ch = ot_channel_new(0)};
    pthread_t thread = test_thread(recv_through_signals, &s);
    for (int i = 0; i < SIGNALLED_MESSAGES; i++) {
        pthread_kill(thread, SIGUSR1);
        if (i % 16 == 0) {
            sched_yield();
            test_sleep(20000); /* lets it fall asleep now and then */
        }
        /* Before the last one it waits long enough for a signal to find it asleep. */
        while (i == SIGNALLED_MESSAGES - 1 && atomic_load(&s.interruptions) == 0) {
            pthread_kill(thread, SIGUSR1);
            test_sleep(1000000);
        }
        send_now(s.ch, i);
    }
    test_join(thread);
    cr_assert_gt(atomic_load(&handled), 0);
    cr_assert_gt(atomic_load(&s.interruptions), 0);
    cr_assert_eq(ot_channel_qsize(s.ch), 0);
    drop(s.ch);
}

typedef struct {
    ot_channel_t *ch;
    ot_pokeable_t pokeable;
    atomic_int waits;
    int results[3];
} poked_t;

/* Three waits: the second and third end by a message. */
static void *
wait_pokeable(void *arg)
{
    poked_t *p = arg;
    ot_pokeable_enter(&p->pokeable);
    for (int i = 0; i < 3; i++) {
        p->results[i] = recv_number(p->ch, OT_FOREVER);
        atomic_fetch_add(&p->waits, 1);
    }
    ot_pokeable_enter(NULL);
    return NULL;
}

static bool
first_wait_ended(void *arg)
{
    return atomic_load(&((poked_t *)arg)->waits) > 0;
}

static void
expect_one_interruption(poked_t *p, pthread_t thread)
{
    test_wait_until(first_wait_ended, p);
    test_sleep(MILLISECONDS(30));
    cr_assert_eq(atomic_load(&p->waits), 1, "one poke ended more than one wait");
    send_now(p->ch, 11);
    send_now(p->ch, 12);
    test_join(thread);
    cr_assert_eq(p->results[0], OT_CHANNEL_INTERRUPTED);
    cr_assert_eq(p->results[1], 11);
    cr_assert_eq(p->results[2], 12);
    ot_pokeable_destroy(&p->pokeable);
    drop(p->ch);
}

Test(channel_process, a_poke_ends_the_present_wait_once, .timeout = 60)
{
    poked_t p = {.ch = ot_channel_new(0)};
    ot_pokeable_init(&p.pokeable);
    pthread_t thread = test_thread(wait_pokeable, &p);
    test_sleep(MILLISECONDS(50));
    ot_poke(&p.pokeable);
    expect_one_interruption(&p, thread);
}

Test(channel_process, a_poke_ends_the_next_wait_once, .timeout = 60)
{
    poked_t p = {.ch = ot_channel_new(0)};
    ot_pokeable_init(&p.pokeable);
    ot_poke(&p.pokeable);
    ot_poke(&p.pokeable); /* two before the wait are one */
    expect_one_interruption(&p, test_thread(wait_pokeable, &p));
}

Test(channel_process, a_forgotten_poke_ends_nothing, .timeout = 60)
{
    ot_channel_t *ch = ot_channel_new(0);
    ot_pokeable_t self;
    ot_pokeable_init(&self);
    ot_pokeable_enter(&self);
    ot_poke(&self);
    ot_unpoke(&self);
    cr_assert_eq(recv_number(ch, test_deadline(MILLISECONDS(20))), OT_CHANNEL_TIMEOUT);
    ot_poke(&self);
    cr_assert_eq(recv_number(ch, OT_FOREVER), OT_CHANNEL_INTERRUPTED);
    ot_pokeable_enter(NULL);
    ot_pokeable_destroy(&self);
    drop(ch);
}

Test(channel_process, a_message_that_is_there_wins_over_a_poke, .timeout = 60)
{
    ot_channel_t *ch = ot_channel_new(0);
    ot_pokeable_t self;
    ot_pokeable_init(&self);
    ot_pokeable_enter(&self);
    send_now(ch, 1);
    ot_poke(&self);
    cr_assert_eq(recv_number(ch, OT_FOREVER), 1);
    cr_assert_eq(recv_number(ch, OT_FOREVER), OT_CHANNEL_INTERRUPTED);
    ot_pokeable_enter(NULL);
    ot_pokeable_destroy(&self);
    drop(ch);
}

/* ---- fork --------------------------------------------------------------------------------- */

static void *
child_echo(void *arg)
{
    ot_channel_t **pair = arg;
    for (int number; (number = recv_number(pair[0], OT_FOREVER)) >= 0;) {
        CHECK(ot_channel_reserve(pair[1], OT_FOREVER) == OT_CHANNEL_OK);
        ot_channel_commit(pair[1], &message_new(0, number)->node);
    }
    ot_channel_close(pair[1], false);
    return NULL;
}

/* Both channels were in use before the fork; they start empty here and work, blocking too. */
static void
use_in_child(void *arg)
{
    ot_channel_t **pair = arg;
    CHECK(ot_channel_qsize(pair[0]) == 0 && ot_channel_qsize(pair[1]) == 0);
    CHECK(recv_number(pair[0], OT_DONT_WAIT) == OT_CHANNEL_TIMEOUT);
    pthread_t echo = test_thread(child_echo, pair);
    for (int i = 0; i < 200; i++) {
        CHECK(ot_channel_reserve(pair[0], OT_FOREVER) == OT_CHANNEL_OK);
        ot_channel_commit(pair[0], &message_new(0, i)->node);
        CHECK(recv_number(pair[1], OT_FOREVER) == i);
    }
    ot_channel_close(pair[0], false);
    CHECK(recv_number(pair[1], OT_FOREVER) == OT_CHANNEL_CLOSED);
    test_join(echo);
    ot_channel_t *fresh = ot_channel_new(0);
    CHECK(ot_channel_id(fresh) > ot_channel_id(pair[1]));
    CHECK(find_channel(ot_channel_id(pair[0])) == pair[0]);
}

Test(channel_process, a_forked_child_starts_with_empty_channels_it_can_use, .timeout = 60)
{
    ot_channel_t *pair[2] = {ot_channel_new(2), ot_channel_new(2)};
    send_now(pair[0], 1);
    send_now(pair[0], 2); /* full: the child's place must be free */
    send_now(pair[1], 3);
    test_in_child(use_in_child, pair);
    cr_assert_eq(recv_number(pair[0], OT_DONT_WAIT), 1);
    cr_assert_eq(recv_number(pair[0], OT_DONT_WAIT), 2);
    cr_assert_eq(recv_number(pair[1], OT_DONT_WAIT), 3);
    cr_assert_eq(ot_channel_reserve(pair[0], OT_DONT_WAIT), OT_CHANNEL_OK,
                 "the child closed its own copy, not the parent's");
    ot_channel_unref(pair[0]);
    drop(pair[1]);
}

Test(channel_process, a_forked_child_has_none_of_the_reservations_and_waiters, .timeout = 60)
{
    ot_channel_t *pair[2] = {ot_channel_new(1), ot_channel_new(1)};
    blocked_t b = {.ch = pair[1], .receive = true};
    pthread_t threads[BLOCKED];
    start_blocked(&b, threads);
    cr_assert_eq(ot_channel_reserve(pair[0], OT_DONT_WAIT), OT_CHANNEL_OK);
    test_in_child(use_in_child, pair);
    ot_channel_cancel(pair[0]);
    for (int i = 0; i < BLOCKED; i++) {
        CHECK(ot_channel_reserve(pair[1], OT_FOREVER) == OT_CHANNEL_OK);
        ot_channel_commit(pair[1], &message_new(0, 8)->node);
    }
    join_blocked(threads, 8);
    ot_channel_unref(pair[0]);
    drop(pair[1]);
}

typedef struct {
    traffic_t traffic;
    ot_channel_t *pair[2];
    atomic_bool stop;
} hammer_t;

static void *
make_channels(void *arg)
{
    hammer_t *h = arg;
    while (!atomic_load(&h->stop)) {
        ot_channel_t *ch = ot_channel_new(1);
        send_now(ch, 1);
        ot_channel_t *found = find_channel(ot_channel_id(ch));
        CHECK(found == ch);
        drop_chain(ot_channel_unref(ch));
        drop_chain(ot_channel_unref(found));
    }
    return NULL;
}

/* The hammered channel too: its lock must be free and its lists empty. */
static void
use_hammered_in_child(void *arg)
{
    hammer_t *h = arg;
    CHECK(ot_channel_qsize(h->traffic.ch) == 0);
    CHECK(recv_number(h->traffic.ch, OT_DONT_WAIT) == OT_CHANNEL_TIMEOUT);
    send_now(h->traffic.ch, 1);
    CHECK(recv_number(h->traffic.ch, OT_FOREVER) == 1);
    use_in_child(h->pair);
}

/* AddressSanitizer's allocator has no fork handlers: a child forked while another thread holds
 * its lock hangs in its first malloc, before it comes to us. */
#ifdef __SANITIZE_ADDRESS__
#define FORK_BESIDE_MALLOC_HANGS true
#else
#define FORK_BESIDE_MALLOC_HANGS false
#endif

Test(channel_process, forking_while_other_threads_hammer_the_channels, .timeout = 120,
     .disabled = FORK_BESIDE_MALLOC_HANGS)
{
    hammer_t h = {.traffic = {.ch = ot_channel_new(2), .messages = 20000},
                  .pair = {ot_channel_new(1), ot_channel_new(1)}};
    pthread_t sending[3], receiving[3], making = test_thread(make_channels, &h);
    for (int i = 0; i < 3; i++) {
        receiving[i] = test_thread(recv_many, &h.traffic);
        sending[i] = test_thread(send_many, &h.traffic);
    }
    for (int i = 0; i < 30; i++) {
        test_in_child(use_hammered_in_child, &h);
    }
    for (int i = 0; i < 3; i++) {
        test_join(sending[i]);
    }
    ot_channel_close(h.traffic.ch, false);
    atomic_store(&h.stop, true);
    test_join(making);
    for (int i = 0; i < 3; i++) {
        test_join(receiving[i]);
        cr_assert_eq(atomic_load(&h.traffic.seen[i]), h.traffic.messages);
    }
    ot_channel_unref(h.traffic.ch);
    ot_channel_unref(h.pair[0]);
    drop(h.pair[1]);
}
