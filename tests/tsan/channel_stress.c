// TSAN-SOURCES: runtime/park.c runtime/spin.c runtime/shared.c runtime/bell.c tunnel/channel.c tunnel/channel_watch.c
/* channel_stress.c: channels and parking under ThreadSanitizer, without Python.
 *
 * Rounds of many-to-many traffic, each over a channel of its own with random bounds. In some
 * rounds the channel is closed while senders are still at it, and threads are poked throughout.
 * Main invariant: what was committed is what was received plus what was left over.
 *
 * environment: THREADS (8) senders and receivers together, SECONDS (3), SEED (the clock)
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/clock.h"
#include "runtime/park.h"
#include "tunnel/channel.h"
#include "tests/tsan/stress.h"

enum { MAX_THREADS = 64, MESSAGES = 400 };

typedef struct {
    ot_node_t node;
    int sender;
    long number;
} message_t;

typedef struct round round_t;

typedef struct {
    round_t *round;
    pthread_t thread;
    ot_pokeable_t pokeable;
    int number;
    unsigned seed;
} actor_t;

struct round {
    ot_channel_t *ch;
    int senders, receivers;
    bool close_early;
    actor_t actors[MAX_THREADS]; /* senders first */
    atomic_long committed, received, put_back, interrupted, timeouts;
    atomic_int running;
};

static int64_t
some_deadline(unsigned *seed)
{
    switch (rand_r(seed) % 4) {
    case 0:
        return OT_DONT_WAIT;
    case 1:
        return ot_clock_now() + rand_r(seed) % 200000;
    default:
        return OT_FOREVER;
    }
}

/* In half of the cases as Python does it: watch, then block. */
static ot_channel_result_t
reserve(round_t *r, unsigned *seed)
{
    int64_t deadline = some_deadline(seed);
    (void)ot_channel_await_place(r->ch, 0); /* as event loops do */
    if (rand_r(seed) % 2 && ot_channel_watch_place(r->ch, deadline) == OT_WATCH_SEEN) {
        ot_channel_result_t result = ot_channel_reserve(r->ch, OT_DONT_WAIT);
        if (result != OT_CHANNEL_TIMEOUT) {
            return result;
        }
    }
    return ot_channel_reserve(r->ch, deadline);
}

static ot_channel_result_t
receive(round_t *r, unsigned *seed, ot_node_t **node)
{
    int64_t deadline = some_deadline(seed);
    if (rand_r(seed) % 4 == 0) {
        ot_watcher_t watcher;
        ot_stop_t stop;
        bool ready;
        ot_stop_init(&stop);
        ot_channel_result_t result =
            ot_channel_select(&r->ch, &watcher, &ready, 1, deadline, &stop);
        if (result != OT_CHANNEL_OK) {
            return result;
        }
        deadline = OT_DONT_WAIT;
    }
    if (rand_r(seed) % 2 && ot_channel_watch_message(r->ch, deadline) == OT_WATCH_SEEN) {
        ot_channel_result_t result = ot_channel_recv(r->ch, OT_DONT_WAIT, node);
        if (result != OT_CHANNEL_TIMEOUT) {
            return result;
        }
    }
    return ot_channel_recv(r->ch, deadline, node);
}

/* Counts why nothing came of it; whether to go on. */
static bool
go_on(round_t *r, ot_channel_result_t result)
{
    if (result == OT_CHANNEL_TIMEOUT) {
        atomic_fetch_add(&r->timeouts, 1);
    } else if (result == OT_CHANNEL_INTERRUPTED) {
        atomic_fetch_add(&r->interrupted, 1);
    }
    return result != OT_CHANNEL_CLOSED;
}

static void *
send_all(void *arg)
{
    actor_t *a = arg;
    round_t *r = a->round;
    ot_pokeable_enter(&a->pokeable);
    for (long i = 0; i < MESSAGES;) {
        ot_channel_result_t result = reserve(r, &a->seed);
        if (result != OT_CHANNEL_OK) {
            if (!go_on(r, result)) {
                break;
            }
            continue;
        }
        if (rand_r(&a->seed) % 8 == 0) {
            ot_channel_cancel(r->ch);
            continue;
        }
        message_t *m = malloc(sizeof *m);
        check(m != NULL, "no memory");
        *m = (message_t){.sender = a->number, .number = i++};
        atomic_fetch_add(&r->committed, 1);
        ot_channel_commit(r->ch, &m->node);
    }
    ot_pokeable_enter(NULL);
    atomic_fetch_sub(&r->running, 1);
    return NULL;
}

static void *
recv_all(void *arg)
{
    actor_t *a = arg;
    round_t *r = a->round;
    bool ordered = r->receivers == 1; /* what is put back may overtake others' messages */
    long last[MAX_THREADS];
    for (int i = 0; i < MAX_THREADS; i++) {
        last[i] = -1;
    }
    ot_pokeable_enter(&a->pokeable);
    for (;;) {
        ot_node_t *node;
        ot_channel_result_t result = receive(r, &a->seed, &node);
        if (result != OT_CHANNEL_OK) {
            if (!go_on(r, result)) {
                break;
            }
            continue;
        }
        message_t *m = (message_t *)node;
        if (rand_r(&a->seed) % 16 == 0) {
            atomic_fetch_add(&r->put_back, 1);
            ot_channel_unrecv(r->ch, node);
            continue;
        }
        /* An early close may have taken messages away before one that was already reserved for. */
        bool next = m->number == last[m->sender] + 1;
        bool later = r->close_early && m->number > last[m->sender];
        check(!ordered || next || later, "a message is missing or comes twice");
        last[m->sender] = m->number;
        atomic_fetch_add(&r->received, 1);
        free(m);
    }
    ot_pokeable_enter(NULL);
    atomic_fetch_sub(&r->running, 1);
    return NULL;
}

static long
drop(ot_node_t *chain)
{
    long n = 0;
    for (; chain != NULL; n++) {
        ot_node_t *next = chain->next;
        free(chain);
        chain = next;
    }
    return n;
}

static void
start_actor(round_t *r, int i, void *(*body)(void *), unsigned *seed)
{
    actor_t *a = &r->actors[i];
    *a = (actor_t){.round = r, .number = i, .seed = (unsigned)rand_r(seed)};
    ot_pokeable_init(&a->pokeable);
    check(pthread_create(&a->thread, NULL, body, a) == 0, "cannot start a thread");
}

static void
poke_some(round_t *r, unsigned *seed)
{
    int all = r->senders + r->receivers;
    for (int i = 0; i < 3; i++) {
        ot_poke(&r->actors[rand_r(seed) % all].pokeable);
    }
    ot_channel_t *found = (ot_channel_t *)ot_shared_find(ot_channel_id(r->ch));
    check(found == r->ch, "a live channel is not found");
    (void)ot_channel_qsize(found);
    check(drop(ot_channel_unref(found)) == 0, "not the last reference");
    struct timespec pause = {0, 20000};
    nanosleep(&pause, NULL);
}

static void
run_round(round_t *r, int threads, unsigned *seed)
{
    long left = 0;
    *r = (round_t){.senders = 1 + rand_r(seed) % (threads - 1)};
    r->receivers = threads - r->senders;
    r->close_early = rand_r(seed) % 3 == 0;
    r->ch = ot_channel_new((size_t)(rand_r(seed) % 3 == 0 ? 0 : 1 + rand_r(seed) % 5));
    check(r->ch != NULL, "no memory");
    if (rand_r(seed) % 2) {
        check(ot_channel_message_fd(r->ch) >= 0 && ot_channel_place_fd(r->ch) >= 0,
              "no descriptor");
    }
    atomic_store(&r->running, threads);
    for (int i = 0; i < threads; i++) {
        start_actor(r, i, i < r->senders ? send_all : recv_all, seed);
    }
    if (r->close_early) {
        poke_some(r, seed);
        left += drop(ot_channel_close(r->ch, rand_r(seed) % 2));
    }
    while (atomic_load(&r->running) > r->receivers) {
        poke_some(r, seed);
    }
    for (int i = 0; i < r->senders; i++) {
        pthread_join(r->actors[i].thread, NULL);
    }
    (void)ot_channel_close(r->ch, false);
    for (int i = r->senders; i < threads; i++) {
        pthread_join(r->actors[i].thread, NULL);
    }
    for (int i = 0; i < threads; i++) {
        ot_pokeable_destroy(&r->actors[i].pokeable);
    }
    left += drop(ot_channel_unref(r->ch));
    check(atomic_load(&r->received) + left == atomic_load(&r->committed), "the counts differ");
    check(r->close_early || atomic_load(&r->committed) == (long)r->senders * MESSAGES,
          "a sender gave up");
}

int
main(void)
{
    int threads = (int)setting("THREADS", 8);
    int64_t until = ot_clock_now() + setting("SECONDS", 3) * 1000000000;
    unsigned seed = (unsigned)setting("SEED", ot_clock_now() & 0x7fffffff);
    check(threads >= 2 && threads <= MAX_THREADS, "THREADS must be 2 to 64");
    printf("channel_stress: THREADS=%d SEED=%u\n", threads, seed);
    fflush(stdout);
    long rounds = 0, messages = 0, timeouts = 0, interrupted = 0, put_back = 0;
    static round_t r;
    for (; ot_clock_now() < until; rounds++) {
        run_round(&r, threads, &seed);
        messages += atomic_load(&r.received);
        timeouts += atomic_load(&r.timeouts);
        interrupted += atomic_load(&r.interrupted);
        put_back += atomic_load(&r.put_back);
    }
    check(ot_channel_count() == 0, "a channel is left");
    printf(
        "channel_stress: %ld rounds, %ld messages, %ld put back, %ld timeouts, %ld interrupted\n",
        rounds, messages, put_back, timeouts, interrupted);
    return 0;
}
