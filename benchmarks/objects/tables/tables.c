/* tables.c: a library that the benchmark loads (c_tables.py), one for each table: fills one, and times
 * threads on it.
 *
 * Main invariant: threads begin at once, each pinned; the time is from the first's beginning to the
 * last's end. A table answers right: the sum of all that was read is checked.
 * Threading: one call at a time, without a GIL.
 */
#include "tables.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atomics/cpu.h"
#include "runtime/clock.h"

#define EXPORT __attribute__((visibility("default")))

enum { MAX_THREADS = 32, ORDER = 1 << 20 };

typedef struct {
    void *table;
    bench_key_t *keys;
    size_t n;
    uint32_t *order; /* ORDER of them, at random */
} subject_t;

typedef struct {
    pthread_t thread;
    const subject_t *subject;
    bench_work_t work;
    bool mix;
    int cpu; /* -1: any */
    uintptr_t sum;
    int64_t began, ended;
    atomic_int *missing; /* threads that are not at the gate yet */
} worker_t;

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* FNV-1a, then mixed: all tables take the same. */
static uint64_t
hash_of(const bench_key_t *key)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < key->len; i++) {
        h = (h ^ (unsigned char)key->bytes[i]) * 0x100000001b3u;
    }
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    return h ^ h >> 31;
}

/* ---- what Python calls ----------------------------------------------------------------------- */

EXPORT void
bench_tables_free(subject_t *s)
{
    if (s->table != NULL) {
        bench_table.free(s->table);
    }
    free(s->keys);
    free(s->order);
    free(s);
}

/* A table with n keys, all with the value 1; NULL without memory. */
EXPORT subject_t *
bench_tables_new(size_t n)
{
    subject_t *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    s->n = n;
    s->keys = calloc(n, sizeof(*s->keys));
    s->order = calloc(ORDER, sizeof(*s->order));
    s->table = bench_table.make(n);
    bool good = s->keys != NULL && s->order != NULL && s->table != NULL;
    bench_table.enter();
    for (size_t i = 0; good && i < n; i++) {
        bench_key_t *key = &s->keys[i];
        key->len = (uint32_t)snprintf(key->bytes, sizeof(key->bytes), "key %zu", i);
        key->hash = hash_of(key);
        good = bench_table.put(s->table, key, 1);
    }
    bench_table.leave();
    if (!good) {
        bench_tables_free(s);
        return NULL;
    }
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < ORDER; i++) {
        s->order[i] = (uint32_t)(next_random(&state) % n);
    }
    return s;
}

static void *
work(void *arg)
{
    worker_t *w = arg;
    if (w->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(w->cpu, &set);
        pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    }
    bench_table.enter();
    atomic_fetch_sub(w->missing, 1);
    while (atomic_load(w->missing) > 0) {
        sched_yield();
    }
    w->began = ot_clock_now();
    w->sum = (w->mix ? bench_table.mix : bench_table.read)(w->subject->table, &w->work);
    w->ended = ot_clock_now();
    bench_table.leave();
    return NULL;
}

/* Seconds; negative if a thread could not be started or found something else than it should. */
EXPORT double
bench_tables_run(const subject_t *s, bool mix, int threads, long rounds, const int *cpus)
{
    worker_t workers[MAX_THREADS];
    atomic_int missing = threads;
    int started = 0;
    for (; started < threads && started < MAX_THREADS; started++) {
        worker_t *w = &workers[started];
        *w = (worker_t){.subject = s, .mix = mix, .cpu = cpus[started], .missing = &missing};
        /* Each its way through the same order, or one key. */
        w->work = (bench_work_t){s->keys, s->order + started * (ORDER / 2 / MAX_THREADS),
                                 s->n == 1 ? 0 : ORDER / 2 - 1, rounds};
        if (pthread_create(&w->thread, NULL, work, w) != 0) {
            break;
        }
    }
    atomic_fetch_sub(&missing, threads - started); /* nobody waits for those */
    int64_t began = INT64_MAX, ended = INT64_MIN;
    bool good = started == threads;
    long reads = mix ? rounds - rounds / 10 : rounds;
    for (int i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        began = workers[i].began < began ? workers[i].began : began;
        ended = workers[i].ended > ended ? workers[i].ended : ended;
        good = good && workers[i].sum == (uintptr_t)reads;
    }
    return good ? (double)(ended - began) / 1e9 : -1;
}
