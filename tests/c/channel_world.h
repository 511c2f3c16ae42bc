/* channel_world.h: what the tests of channels share: messages, blocked threads, traffic.
 *
 * Messages carry their sender's number and a sequence number; a receiver notes the last one it saw
 * of each sender, so that order, loss and duplication all show.
 */
#ifndef OT_TESTS_CHANNEL_WORLD_H
#define OT_TESTS_CHANNEL_WORLD_H

#include "support.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "tunnel/channel.h"

typedef struct {
    ot_node_t node;
    int sender, number;
} message_t;

static inline message_t *
message_new(int sender, int number)
{
    message_t *m = calloc(1, sizeof *m);
    CHECK(m != NULL);
    m->sender = sender;
    m->number = number;
    return m;
}

static inline void
send_now(ot_channel_t *ch, int number)
{
    CHECK(ot_channel_reserve(ch, OT_DONT_WAIT) == OT_CHANNEL_OK);
    ot_channel_commit(ch, &message_new(0, number)->node);
}

/* The number of the message taken, or the (negative) result. */
static inline int
recv_number(ot_channel_t *ch, int64_t deadline)
{
    ot_node_t *node = NULL;
    ot_channel_result_t result = ot_channel_recv(ch, deadline, &node);
    if (result != OT_CHANNEL_OK) {
        CHECK(node == NULL);
        return result;
    }
    int number = ((message_t *)node)->number;
    CHECK(node->next == NULL);
    free(node);
    return number;
}

/* ---- as Python does it: try, watch, then sleep ---------------------------------------------- */

static inline ot_channel_result_t
recv_watching(ot_channel_t *ch, int64_t deadline, ot_node_t **node)
{
    ot_channel_result_t result = ot_channel_recv(ch, OT_DONT_WAIT, node);
    if (result == OT_CHANNEL_TIMEOUT && ot_channel_watch_message(ch, deadline) == OT_WATCH_SEEN) {
        result = ot_channel_recv(ch, OT_DONT_WAIT, node);
    }
    return result == OT_CHANNEL_TIMEOUT ? ot_channel_recv(ch, deadline, node) : result;
}

static inline ot_channel_result_t
reserve_watching(ot_channel_t *ch, int64_t deadline)
{
    ot_channel_result_t result = ot_channel_reserve(ch, OT_DONT_WAIT);
    if (result == OT_CHANNEL_TIMEOUT && ot_channel_watch_place(ch, deadline) == OT_WATCH_SEEN) {
        result = ot_channel_reserve(ch, OT_DONT_WAIT);
    }
    return result == OT_CHANNEL_TIMEOUT ? ot_channel_reserve(ch, deadline) : result;
}

/* A new reference to the live channel with this number, NULL if there is none. */
static inline ot_channel_t *
find_channel(uint64_t id)
{
    ot_shared_t *found = ot_shared_find(id);
    CHECK(found == NULL || found->kind == &ot_channel_kind);
    return (ot_channel_t *)found;
}

/* Frees a chain; how long it was. */
static inline size_t
drop_chain(ot_node_t *chain)
{
    size_t n = 0;
    for (; chain != NULL; n++) {
        ot_node_t *next = chain->next;
        free(chain);
        chain = next;
    }
    return n;
}

static inline void
drop(ot_channel_t *ch)
{
    drop_chain(ot_channel_unref(ch));
    cr_assert_eq(ot_channel_count(), 0);
}

/* ---- blocked threads ------------------------------------------------------------------------ */

enum { BLOCKED = 6 };

typedef struct {
    ot_channel_t *ch;
    bool receive;
    atomic_int started;
} blocked_t;

static inline void *
block(void *arg)
{
    blocked_t *b = arg;
    atomic_fetch_add(&b->started, 1);
    intptr_t result =
        b->receive ? recv_number(b->ch, OT_FOREVER) : (int)ot_channel_reserve(b->ch, OT_FOREVER);
    return (void *)result;
}

static inline bool
all_started(void *arg)
{
    return atomic_load(&((blocked_t *)arg)->started) == BLOCKED;
}

/* Starts BLOCKED threads that receive (or reserve), and gives them the time to fall asleep. */
static inline void
start_blocked(blocked_t *b, pthread_t threads[BLOCKED])
{
    for (int i = 0; i < BLOCKED; i++) {
        threads[i] = test_thread(block, b);
    }
    test_wait_until(all_started, b);
    test_sleep(MILLISECONDS(50));
}

static inline void
join_blocked(pthread_t threads[BLOCKED], int expected)
{
    for (int i = 0; i < BLOCKED; i++) {
        cr_assert_eq((intptr_t)test_join(threads[i]), expected);
    }
}

/* ---- traffic ---------------------------------------------------------------------------- */

enum { MAX_SENDERS = 8 };

typedef struct {
    ot_channel_t *ch;
    int senders, receivers, messages; /* messages: of each sender */
    atomic_int next_sender;
    atomic_int seen[MAX_SENDERS]; /* received messages of each sender */
} traffic_t;

static inline void *
send_many(void *arg)
{
    traffic_t *t = arg;
    int sender = atomic_fetch_add(&t->next_sender, 1);
    for (int i = 0; i < t->messages; i++) {
        ot_channel_result_t result;
        do { /* every third time with a short deadline, every seventh a cancelled place */
            result = ot_channel_reserve(t->ch, i % 3 ? OT_FOREVER : test_deadline(20000));
        } while (result == OT_CHANNEL_TIMEOUT);
        CHECK(result == OT_CHANNEL_OK);
        if (i % 7 == 0) {
            ot_channel_cancel(t->ch);
            CHECK(ot_channel_reserve(t->ch, OT_FOREVER) == OT_CHANNEL_OK);
        }
        ot_channel_commit(t->ch, &message_new(sender, i)->node);
    }
    return NULL;
}

static inline void *
recv_many(void *arg)
{
    traffic_t *t = arg;
    int last[MAX_SENDERS];
    for (int i = 0; i < MAX_SENDERS; i++) {
        last[i] = -1;
    }
    for (long turn = 0;; turn++) {
        ot_node_t *node;
        ot_channel_result_t result =
            ot_channel_recv(t->ch, turn % 3 ? OT_FOREVER : test_deadline(20000), &node);
        if (result == OT_CHANNEL_CLOSED) {
            return NULL;
        }
        if (result == OT_CHANNEL_TIMEOUT) {
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

#endif
