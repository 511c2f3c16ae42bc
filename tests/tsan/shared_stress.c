// TSAN-SOURCES: runtime/shared.c objects/array/storage.c
/* shared_stress.c: shared objects and atomic elements under ThreadSanitizer, without Python.
 *
 * Threads pass an array on by its number, drop it, find it or find it gone, and count in it. One
 * writes a plain field before it publishes a number by a store and reads after a load: a store that
 * is no release, or a load that is no acquire, is a race.
 * Main invariant: the counts add up; nothing is left.
 *
 * environment: THREADS (4), SECONDS (2), SEED (the clock)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "objects/array/storage.h"
#include "runtime/clock.h"
#include "tests/tsan/stress.h"

enum { MAX_THREADS = 64, ROUNDS = 2000, SLOTS = 16 };

static const char codes[] = "bBhHiIlLqQ";
static atomic_ulong slots[SLOTS]; /* numbers of arrays that somebody keeps, or kept */
static atomic_long found, gone;

typedef struct {
    pthread_t thread;
    unsigned seed;
    ot_numbers_t *counters; /* a reference */
    long added;
    int *plain; /* written by the first thread, read by the others */
    bool first;
} actor_t;

static void
visit(ot_shared_t *self, void *arg)
{
    *(uint64_t *)arg += self->id != 0;
}

/* Makes an array, lets others find it, drops it while they may. */
static void
come_and_go(actor_t *a)
{
    ot_numbers_t *mine = ot_numbers_new(ot_number_type('q'), 1 + (size_t)rand_r(&a->seed) % 100);
    check(mine != NULL, "no memory");
    ot_wide_t before;
    check(ot_integer_store(mine->type, mine->data, 1), "a store fails");
    atomic_store(&slots[rand_r(&a->seed) % SLOTS], mine->head.id);
    ot_shared_t *other = ot_shared_find(atomic_load(&slots[rand_r(&a->seed) % SLOTS]));
    if (other != NULL) {
        check(ot_integer_add(mine->type, ((ot_numbers_t *)other)->data, 1, &before) && before >= 1,
              "a found array is not alive");
        ot_shared_unref(other);
        atomic_fetch_add(&found, 1);
    } else {
        atomic_fetch_add(&gone, 1);
    }
    uint64_t seen = 0;
    if (rand_r(&a->seed) % 16 == 0) {
        ot_shared_visit(&ot_numbers_kind, visit, &seen);
        check(seen >= 1, "a visit misses an object");
    }
    ot_shared_unref(&mine->head);
}

static void
count(actor_t *a)
{
    const ot_number_type_t *type = a->counters->type;
    ot_wide_t before, n = rand_r(&a->seed) % 3 + 1;
    char *at = a->counters->data + type->size;
    if (rand_r(&a->seed) % 2) {
        a->added += ot_integer_add(type, at, n, &before) ? (long)n : 0; /* may be full */
        return;
    }
    before = ot_integer_load(type, at);
    while (ot_integer_fits(type, before + n) &&
           !ot_integer_compare_exchange(type, at, before, before + n)) {
        before = ot_integer_load(type, at);
    }
    a->added += ot_integer_fits(type, before + n) ? (long)n : 0;
}

static void *
act(void *arg)
{
    actor_t *a = arg;
    const ot_number_type_t *type = a->counters->type;
    for (int i = 0; i < ROUNDS; i++) {
        if (a->first && i == ROUNDS / 2) {
            *a->plain = 42;
            ot_integer_store(type, a->counters->data, 1);
        } else if (ot_integer_load(type, a->counters->data) == 1) {
            check(*a->plain == 42, "a flag came before what it announces");
        }
        count(a);
        come_and_go(a);
    }
    ot_shared_unref(&a->counters->head);
    return NULL;
}

static void
run_round(int threads, unsigned *seed)
{
    static actor_t actors[MAX_THREADS];
    const ot_number_type_t *type = ot_number_type(codes[rand_r(seed) % (sizeof codes - 1)]);
    ot_numbers_t *counters = ot_numbers_new(type, 2);
    int plain = 0;
    long sum = 0;
    for (int i = 0; i < threads; i++) {
        ot_shared_ref(&counters->head);
        actors[i] = (actor_t){
            .seed = (unsigned)rand_r(seed), .counters = counters, .plain = &plain, .first = i == 0};
        check(pthread_create(&actors[i].thread, NULL, act, &actors[i]) == 0, "no thread");
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(actors[i].thread, NULL);
        sum += actors[i].added;
    }
    check(ot_integer_load(type, counters->data + type->size) == sum, "the counts do not add up");
    ot_shared_unref(&counters->head);
    check(ot_shared_count() == 0, "an object is left");
}

int
main(void)
{
    int threads = (int)setting("THREADS", 4);
    int64_t until = ot_clock_now() + setting("SECONDS", 2) * 1000000000;
    unsigned seed = (unsigned)setting("SEED", ot_clock_now() & 0x7fffffff);
    check(threads >= 2 && threads <= MAX_THREADS, "THREADS must be 2 to 64");
    printf("shared_stress: THREADS=%d SEED=%u\n", threads, seed);
    fflush(stdout);
    long rounds = 0;
    for (; ot_clock_now() < until; rounds++) {
        run_round(threads, &seed);
    }
    check(atomic_load(&found) > 0 && atomic_load(&gone) > 0, "nothing was found, or nothing gone");
    printf("shared_stress: %ld rounds, %ld found, %ld gone\n", rounds, atomic_load(&found),
           atomic_load(&gone));
    return 0;
}
