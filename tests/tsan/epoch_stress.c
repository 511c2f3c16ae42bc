// TSAN-SOURCES: objects/dict/epoch.c
/* epoch_stress.c: epochs under ThreadSanitizer, without Python and without the table that uses them.
 *
 * Writers replace blocks in a few places, retire what they unlinked, and collect, of their own or of all
 * threads. Readers follow the places under a guard, nested ones too, and look at a block several times
 * before they leave. Threads end and begin while others read, so records go from thread to thread with
 * what was retired in them. Some threads wait for quiet. A block's words are plain: if it is freed while
 * somebody still reads, that is a race, which ThreadSanitizer reports, or a wrong word.
 * Main invariant: a block that was found under a guard says the same until the guard ends. At the end every
 * block that was made is freed.
 *
 * environment: THREADS (4), SECONDS (4), SEED (the clock)
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "objects/dict/epoch.h"
#include "tests/tsan/stress.h"

enum { MAX_THREADS = 64, PLACES = 4, STEPS = 400, PILE = 32 };

typedef struct {
    uint64_t number, twice; /* plain words */
} block_t;

static _Atomic(block_t *) places[PLACES];
static atomic_ulong made, freed;
static atomic_bool over;

static block_t *
block_new(void)
{
    block_t *b = malloc(sizeof *b);
    check(b != NULL, "no memory");
    b->number = atomic_fetch_add(&made, 1) + 1;
    b->twice = 2 * b->number;
    return b;
}

static void
block_free(void *what)
{
    block_t *b = what;
    check(b->twice == 2 * b->number && b->number != 0, "freed twice");
    b->number = b->twice = 0;
    atomic_fetch_add(&freed, 1);
    free(b);
}

static void
replace(unsigned *seed)
{
    bool much =
        rand_r(seed) % 16 == 0; /* room that would be given back if nobody had reserved it */
    check(ot_epoch_reserve(much ? 600 : 1), "no room");
    if (much) {
        sched_yield();
    }
    block_t *old = atomic_exchange(&places[rand_r(seed) % PLACES], block_new());
    if (rand_r(seed) % 64 == 0) {
        ot_epoch_retire_large(old, block_free);
    } else {
        ot_epoch_retire(old, block_free);
    }
    if (ot_epoch_is_due(PILE)) {
        ot_epoch_collect(rand_r(seed) % 4 == 0);
    }
}

static void
look(unsigned *seed, int depth)
{
    check(ot_epoch_enter(), "no record");
    block_t *b = atomic_load(&places[rand_r(seed) % PLACES]);
    uint64_t number = b->number;
    for (int i = rand_r(seed) % 8; i >= 0; i--) {
        check(number != 0 && b->number == number && b->twice == 2 * number,
              "a block changed while it was read");
        if (depth < 3 && i == 0) {
            look(seed, depth + 1);
            check(b->number == number, "a block changed when an inner guard ended");
        }
    }
    ot_epoch_leave();
}

/* One thread's life. */
static void *
live(void *arg)
{
    unsigned seed = *(unsigned *)arg;
    for (int i = 0; i < STEPS && !atomic_load(&over); i++) {
        switch (rand_r(&seed) % 8) {
        case 0:
        case 1:
        case 2:
            replace(&seed);
            break;
        case 3:
            if (rand_r(&seed) % 16 == 0) {
                (void)ot_epoch_quiet(1000); /* somebody may read on: either answer is right */
            }
            break;
        default:
            look(&seed, 0);
        }
    }
    if (rand_r(&seed) % 2 == 0) {
        ot_epoch_check();
    }
    return NULL; /* what it retired is left to whoever collects of all */
}

static void *
one_after_the_other(void *arg)
{
    unsigned seed = *(unsigned *)arg;
    while (!atomic_load(&over)) {
        pthread_t thread;
        unsigned its_seed = (unsigned)rand_r(&seed);
        check(pthread_create(&thread, NULL, live, &its_seed) == 0, "no thread");
        check(pthread_join(thread, NULL) == 0, "not joined");
    }
    return NULL;
}

int
main(void)
{
    long threads = setting("THREADS", 4), seconds = setting("SECONDS", 4);
    unsigned seed = (unsigned)setting("SEED", (long)time(NULL));
    pthread_t thread[MAX_THREADS];
    unsigned seeds[MAX_THREADS];
    check(threads > 0 && threads <= MAX_THREADS, "THREADS is 1 to 64");
    for (int i = 0; i < PLACES; i++) {
        places[i] = block_new();
    }
    for (long i = 0; i < threads; i++) {
        seeds[i] = seed + 1000 * (unsigned)i;
        check(pthread_create(&thread[i], NULL, one_after_the_other, &seeds[i]) == 0, "no thread");
    }
    nanosleep(&(struct timespec){.tv_sec = seconds}, NULL);
    atomic_store(&over, true);
    for (long i = 0; i < threads; i++) {
        check(pthread_join(thread[i], NULL) == 0, "not joined");
    }
    for (int i = 0; i < PLACES; i++) {
        check(ot_epoch_reserve(1), "no room");
        ot_epoch_retire(places[i], block_free);
    }
    ot_epoch_collect(true); /* nobody reads: all grace periods can end */
    ot_epoch_check();
    printf("epoch_stress: seed %u, %lu blocks\n", seed, (unsigned long)made);
    check(made == freed, "blocks were left or freed too often");
    return 0;
}
