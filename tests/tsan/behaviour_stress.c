// TSAN-SOURCES: runtime/park.c runtime/spin.c runtime/waitlist.c runtime/awaited.c runtime/shared.c objects/sync/lock.c objects/box/cown.c runtime/bell.c objects/box/crew.c
/* behaviour_stress.c: cowns, behaviours and the crew under ThreadSanitizer, without Python.
 *
 * Threads schedule behaviours on random cowns, some of which they only read, each behaviour may schedule another one, and
 * threads with impatience of every kind acquire single cowns meanwhile. What a cown guards is written without atomics, so
 * that two who have it at once are a race, unless both read.
 * Main invariants: money is conserved; each thread's behaviours on a cown run in the order in which it has scheduled them,
 * those that write it and those that read it; readers do have a cown together; all are done in the end.
 *
 * environment: THREADS (4), SECONDS (3), SEED (the clock)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "objects/box/crew.h"
#include "runtime/clock.h"
#include "tests/tsan/stress.h"

enum { MAX_THREADS = 64, COWNS = 12, WORKERS = 3, TURNS = 400, MOST = 3 };

typedef struct {
    ot_cown_t cown; /* first */
    long money;
    atomic_int readers;
    unsigned long
        last[MAX_THREADS + WORKERS]; /* the newest behaviour of each thread that it has seen */
} account_t;

typedef struct {
    ot_behaviour_t behaviour; /* first */
    size_t author;
    unsigned long number;
    ot_request_t requests[MOST];
} act_t;

typedef struct {
    pthread_t thread;
    unsigned seed;
    size_t index;
    unsigned long number;
} actor_t;

static account_t *accounts[COWNS];
static atomic_ulong together; /* readers that were not alone */

static void
free_account(ot_shared_t *self)
{
    ot_cown_destroy((ot_cown_t *)self);
    free(self);
}

static const ot_shared_kind_t kind = {"account", free_account, ot_cown_fork, NULL};

static void
ready(ot_behaviour_t *b)
{
    ot_crew_put(b, -1);
}

static void
schedule(actor_t *me)
{
    act_t *act = calloc(1, sizeof *act);
    size_t n = 1 + (size_t)rand_r(&me->seed) % MOST, first = (size_t)rand_r(&me->seed) % COWNS;
    size_t distance = 1 + (size_t)rand_r(&me->seed) % (COWNS / MOST);
    for (size_t i = 0; i < n; i++) {
        act->requests[i] = (ot_request_t){.cown = &accounts[(first + i * distance) % COWNS]->cown,
                                          .reads = rand_r(&me->seed) % 3 == 0};
    }
    act->author = me->index;
    act->number = ++me->number;
    ot_behaviour_init(&act->behaviour, act->requests, n, ready);
    ot_crew_count_scheduled();
    ot_behaviour_enqueue(&act->behaviour);
}

static void
write_account(account_t *account, const act_t *act, long amount)
{
    check(account->readers == 0, "a writer has it beside readers");
    check(account->last[act->author] < act->number, "a behaviour overtook another one");
    account->last[act->author] = act->number;
    account->money += amount;
}

/* The loop makes it likely that somebody comes meanwhile. */
static void
read_account(account_t *account, const act_t *act)
{
    if (atomic_fetch_add(&account->readers, 1) > 0) {
        atomic_fetch_add(&together, 1);
    }
    long money = account->money;
    for (int i = 0; i < 200; i++) {
        check(account->last[act->author] < act->number, "a reader was overtaken by a writer");
        check(account->money == money, "somebody writes while others read");
    }
    atomic_fetch_sub(&account->readers, 1);
}

static void
run(actor_t *me, act_t *act)
{
    size_t n = act->behaviour.n;
    long amount = rand_r(&me->seed) % 10, spent = 0;
    account_t *payer = NULL;
    for (size_t i = 0; i < n; i++) {
        account_t *account = (account_t *)act->requests[i].cown;
        if (act->requests[i].reads) {
            read_account(account, act);
        } else if (payer == NULL) {
            payer = account;
        } else {
            write_account(account, act, amount);
            spent += amount;
        }
    }
    if (payer != NULL) {
        write_account(payer, act, -spent);
    }
    if (rand_r(&me->seed) % 4 == 0) {
        schedule(me);
    }
    ot_crew_finish_begin();
    for (size_t i = 0; i < n; i++) {
        ot_cown_release(act->requests[i].cown);
    }
    ot_crew_finish_end();
    ot_crew_count_done();
    free(act);
}

static void *
work(void *arg)
{
    actor_t *me = arg;
    const ot_patience_t for_ever = {.deadline = OT_FOREVER};
    bool interrupted;
    ot_crew_join(me->index - MAX_THREADS);
    for (ot_behaviour_t *b; (b = ot_crew_take(&for_ever, &interrupted)) != NULL;) {
        run(me, (act_t *)b);
    }
    ot_crew_leave();
    return NULL;
}

static void *
act(void *arg)
{
    actor_t *me = arg;
    for (int i = 0; i < TURNS; i++) {
        schedule(me);
        if (rand_r(&me->seed) % 3 == 0) {
            account_t *account = accounts[rand_r(&me->seed) % COWNS];
            int64_t deadlines[] = {OT_DONT_WAIT, ot_clock_now() + rand_r(&me->seed) % 300000,
                                   OT_FOREVER};
            const ot_patience_t patience = {.deadline = deadlines[rand_r(&me->seed) % 3]};
            if (ot_cown_acquire(&account->cown, 1, &patience) == OT_SYNC_OK) {
                account->money++;
                account->money--;
                ot_cown_release(&account->cown);
            }
        }
    }
    return NULL;
}

int
main(void)
{
    long threads = setting("THREADS", 4), seed = setting("SEED", (long)time(NULL));
    int64_t end = ot_clock_now() + setting("SECONDS", 3) * 1000000000;
    static actor_t actors[MAX_THREADS + WORKERS];
    check(threads >= 1 && threads <= MAX_THREADS, "THREADS must be 1 to 64");
    for (size_t i = 0; i < COWNS; i++) {
        accounts[i] = calloc(1, sizeof **accounts);
        ot_cown_init(&accounts[i]->cown, &kind, false);
        accounts[i]->money = 100;
    }
    check(ot_crew_start(WORKERS), "no crew");
    for (size_t i = 0; i < MAX_THREADS + WORKERS; i++) {
        actors[i] = (actor_t){.seed = (unsigned)seed + (unsigned)i, .index = i};
    }
    for (size_t i = MAX_THREADS; i < MAX_THREADS + WORKERS; i++) {
        pthread_create(&actors[i].thread, NULL, work, &actors[i]);
    }
    const ot_patience_t for_ever = {.deadline = OT_FOREVER};
    do {
        for (long i = 0; i < threads; i++) {
            pthread_create(&actors[i].thread, NULL, act, &actors[i]);
        }
        for (long i = 0; i < threads; i++) {
            pthread_join(actors[i].thread, NULL);
        }
        check(ot_crew_wait(&for_ever, -1) == OT_SYNC_OK, "waiting failed");
    } while (ot_clock_now() < end);
    ot_crew_counts_t counts = ot_crew_counts();
    check(together > 0, "readers never had a cown together");
    check(counts.done == counts.scheduled && counts.running == 0, "the counts are wrong");
    ot_crew_stop();
    for (size_t i = MAX_THREADS; i < MAX_THREADS + WORKERS; i++) {
        pthread_join(actors[i].thread, NULL);
    }
    long sum = 0;
    for (size_t i = 0; i < COWNS; i++) {
        sum += accounts[i]->money;
        ot_shared_unref(&accounts[i]->cown.lock.head);
    }
    check(sum == 100 * COWNS, "money was lost or made");
    check(ot_shared_count() == 0, "a cown is left");
    printf("behaviour_stress: %llu behaviours, %lu readers beside others, seed %ld\n",
           (unsigned long long)counts.done, (unsigned long)together, seed);
    return 0;
}
