/* floor.c: what small messages cost without Python: the floor under `bench_tunnel.py`.
 *
 *     make bench-channel        or, with --json [MESSAGES], for bench_tunnel.py
 *
 * The channel alone (its nodes are neither made nor freed), between two threads, pinned to the
 * first two CPUs where there are two; the same with blocks that one thread takes from mimalloc and
 * the other gives back: one for a message that is None, six for [str, int, float] (message, list,
 * its items, and the three). Besides: what one wake-up of a sleeping thread costs. Each
 * case is the median of REPEATS, with the spread; best run on an idle machine.
 */
#include <mimalloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/clock.h"
#include "runtime/park.h"
#include "tunnel/channel.h"

enum { REPEATS = 9, MESSAGES = 20000, BACKLOG = 1024 };

static int messages = MESSAGES; /* of a measurement */

static void
check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "floor: %s\n", what);
        exit(1);
    }
}

/* Keeps the calling thread on the nth CPU it is allowed, if there are two. */
static void
pin(int n)
{
    static cpu_set_t allowed;
    static bool known;
    if (!known) {
        known = true;
        check(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "no affinity");
    }
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&allowed) > 1; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && n-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            check(sched_setaffinity(0, sizeof one, &one) == 0, "cannot pin a thread");
        }
    }
}

typedef struct {
    ot_channel_t *there, *back;
    bool watch;
    ot_parker_t near, far;
    ot_node_t done;
} pair_t;

static ot_node_t *
receive(ot_channel_t *ch, bool watch)
{
    ot_node_t *node = NULL;
    ot_channel_result_t result = ot_channel_recv(ch, OT_DONT_WAIT, &node);
    if (result == OT_CHANNEL_TIMEOUT && watch) {
        (void)ot_channel_watch_message(ch, OT_FOREVER);
    }
    while (result == OT_CHANNEL_TIMEOUT || result == OT_CHANNEL_INTERRUPTED) {
        result = ot_channel_recv(ch, OT_FOREVER, &node);
    }
    check(result == OT_CHANNEL_OK, "a channel was closed");
    return node;
}

static void
send(ot_channel_t *ch, ot_node_t *node, bool watch)
{
    ot_channel_result_t result = ot_channel_reserve(ch, OT_DONT_WAIT);
    if (result == OT_CHANNEL_TIMEOUT && watch) {
        (void)ot_channel_watch_place(ch, OT_FOREVER);
    }
    while (result == OT_CHANNEL_TIMEOUT || result == OT_CHANNEL_INTERRUPTED) {
        result = ot_channel_reserve(ch, OT_FOREVER);
    }
    check(result == OT_CHANNEL_OK, "a channel was closed");
    ot_channel_commit(ch, node);
}

/* ---- the other end ------------------------------------------------------------------------ */

static void *
echo_all(void *arg)
{
    pair_t *p = arg;
    pin(1);
    for (int i = 0; i < messages; i++) {
        send(p->back, receive(p->there, p->watch), p->watch);
    }
    return NULL;
}

static void *
take_all(void *arg)
{
    pair_t *p = arg;
    pin(1);
    ot_node_t *node = NULL;
    for (int i = 0; i < messages; i++) {
        node = receive(p->there, p->watch);
    }
    send(p->back, node, p->watch);
    return NULL;
}

/* Blocks of the sizes that such a message has on 3.13; the first is the node. */
enum { BLOCKS = 6 };

typedef struct {
    ot_node_t node;
    void *more[BLOCKS - 1];
    int n;
} message_t;

static message_t *
new_message(int blocks)
{
    static const size_t sizes[BLOCKS] = {sizeof(message_t), 56, 32, 52, 32, 24};
    message_t *m = mi_malloc(sizes[0]);
    check(m != NULL, "no memory");
    m->n = blocks - 1;
    for (int i = 0; i < m->n; i++) {
        m->more[i] = mi_malloc(sizes[i + 1]);
        check(m->more[i] != NULL, "no memory");
        memset(m->more[i], 1, sizes[i + 1]);
    }
    return m;
}

static void
free_message(ot_node_t *node)
{
    message_t *m = (message_t *)node;
    for (int i = 0; i < m->n; i++) {
        mi_free(m->more[i]);
    }
    mi_free(m);
}

static void *
free_all(void *arg)
{
    pair_t *p = arg;
    pin(1);
    for (int i = 0; i < messages; i++) {
        free_message(receive(p->there, p->watch));
    }
    send(p->back, &p->done, p->watch);
    return NULL;
}

static void *
wake_back(void *arg)
{
    pair_t *p = arg;
    pin(1);
    for (int i = 0; i < messages; i++) {
        while (ot_park(&p->far, OT_FOREVER) != OT_PARK_WOKEN) {
        }
        ot_unpark(&p->near);
    }
    return NULL;
}

/* ---- this end ----------------------------------------------------------------------------- */

static void
ping(pair_t *p, ot_node_t *nodes)
{
    for (int i = 0; i < messages; i++) {
        send(p->there, &nodes[0], p->watch);
        check(receive(p->back, p->watch) == &nodes[0], "another message came back");
    }
}

static void
stream(pair_t *p, ot_node_t *nodes)
{
    for (int i = 0; i < messages; i++) {
        send(p->there, &nodes[i], p->watch);
    }
    check(receive(p->back, p->watch) == &nodes[messages - 1], "not the last message came");
}

static void
stream_blocks(pair_t *p, int blocks)
{
    for (int i = 0; i < messages; i++) {
        send(p->there, &new_message(blocks)->node, p->watch);
    }
    check(receive(p->back, p->watch) == &p->done, "something else than the end came");
}

static void
stream_nones(pair_t *p, ot_node_t *nodes)
{
    (void)nodes;
    stream_blocks(p, 1);
}

static void
stream_lists(pair_t *p, ot_node_t *nodes)
{
    (void)nodes;
    stream_blocks(p, BLOCKS);
}

static void
wake(pair_t *p, ot_node_t *nodes)
{
    (void)nodes;
    for (int i = 0; i < messages; i++) {
        ot_unpark(&p->far);
        while (ot_park(&p->near, OT_FOREVER) != OT_PARK_WOKEN) {
        }
    }
}

static void
alone(pair_t *p, ot_node_t *nodes)
{
    for (int i = 0; i < messages; i++) {
        send(p->there, &nodes[0], p->watch);
        (void)receive(p->there, p->watch);
    }
}

typedef struct {
    const char *name;
    void (*near)(pair_t *p, ot_node_t *nodes);
    void *(*far)(void *arg); /* NULL: one thread does it all */
    size_t maxsize;
    bool watch;
} case_t;

static double
run_once(const case_t *c, ot_node_t *nodes)
{
    pair_t p = {.there = ot_channel_new(c->maxsize), .back = ot_channel_new(0), .watch = c->watch};
    check(p.there != NULL && p.back != NULL, "no memory");
    ot_parker_init(&p.near);
    ot_parker_init(&p.far);
    pthread_t thread;
    int64_t began = ot_clock_now();
    if (c->far != NULL) {
        check(pthread_create(&thread, NULL, c->far, &p) == 0, "cannot start a thread");
    }
    c->near(&p, nodes);
    int64_t took = ot_clock_now() - began;
    if (c->far != NULL) {
        pthread_join(thread, NULL);
    }
    ot_parker_destroy(&p.near);
    ot_parker_destroy(&p.far);
    check(ot_channel_unref(p.there) == NULL && ot_channel_unref(p.back) == NULL, "messages left");
    return (double)took / messages;
}

static int
ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

typedef struct {
    const char *name;
    double times[REPEATS]; /* ascending */
} outcome_t;

static void
print_table(const outcome_t *outcomes, int n)
{
    printf("%-40s %10s %10s %10s   (ns, of %d)\n", "", "median", "min", "max", REPEATS);
    for (int i = 0; i < n; i++) {
        const double *times = outcomes[i].times;
        printf("%-40s %10.0f %10.0f %10.0f\n", outcomes[i].name, times[REPEATS / 2], times[0],
               times[REPEATS - 1]);
    }
}

/* {name: [nanoseconds, ...]} */
static void
print_json(const outcome_t *outcomes, int n)
{
    for (int i = 0; i < n; i++) {
        printf("%s\"%s\": [", i == 0 ? "{" : ",\n", outcomes[i].name);
        for (int r = 0; r < REPEATS; r++) {
            printf("%s%.1f", r == 0 ? "" : ", ", outcomes[i].times[r]);
        }
        printf("]");
    }
    printf("}\n");
}

int
main(int argc, char **argv)
{
    static const case_t cases[] = {
        {"send and recv, one thread", alone, NULL, 0, false},
        {"one way, unbounded", stream, take_all, 0, true},
        {"one way, maxsize 1024", stream, take_all, BACKLOG, true},
        {"one way, unbounded, 1 block", stream_nones, free_all, 0, true},
        {"one way, unbounded, 6 blocks", stream_lists, free_all, 0, true},
        {"one way, maxsize 1024, 1 block", stream_nones, free_all, BACKLOG, true},
        {"one way, maxsize 1024, 6 blocks", stream_lists, free_all, BACKLOG, true},
        {"one way, maxsize 1024, always sleeping", stream, take_all, BACKLOG, false},
        {"round trip, watching", ping, echo_all, 0, true},
        {"round trip, always sleeping", ping, echo_all, 0, false},
        {"two wake-ups, no channel", wake, wake_back, 0, false},
    };
    enum { CASES = sizeof cases / sizeof cases[0] };
    static outcome_t outcomes[CASES];
    static ot_node_t nodes[MESSAGES];
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    if (argc > 2) {
        messages = atoi(argv[2]);
        check(messages >= 1 && messages <= MESSAGES, "so many messages are not possible");
    }
    pin(0);
    for (int r = 0; r < REPEATS; r++) {
        for (int i = 0; i < CASES; i++) {
            outcomes[i].times[r] = run_once(&cases[i], nodes);
        }
    }
    for (int i = 0; i < CASES; i++) {
        outcomes[i].name = cases[i].name;
        qsort(outcomes[i].times, REPEATS, sizeof outcomes[i].times[0], ascending);
    }
    (json ? print_json : print_table)(outcomes, CASES);
    return 0;
}
