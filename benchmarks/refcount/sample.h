/* sample.h: one sample: objects made, workers started, timed, and the counts checked.
 *
 * Purpose: everything between "this pattern, this subject, so many threads" and its figures.
 * Main invariant: when a sample's timing begins all its memory has been written, by the worker
 * that owns the object, and all its threads run; when it has ended every count is as it was.
 * Threading: main only, which drives the pool.
 */
#ifndef OT_BENCH_SAMPLE_H
#define OT_BENCH_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "benchmarks/refcount/counters.h"
#include "benchmarks/refcount/patterns.h"
#include "benchmarks/refcount/pool.h"

/* The memory of all samples: the same pages for every variant. */
typedef struct {
    bench_pool_t *pool;
    bench_task_t *tasks;  /* one for each worker */
    bench_times_t *times; /* one for each worker */
    bench_clock_t clock;
    void *objects;
    size_t objects_bytes;
    uint32_t *order; /* of stream_rand: a permutation of 0..order_size-1, the same in each run */
    size_t order_size;
} bench_lab_t;

typedef struct {
    const bench_pattern_t *pattern;
    const bench_subject_t *subject;
    size_t size; /* of streams; 0 otherwise */
    int threads;
} bench_setup_t;

typedef struct {
    double ns;                       /* what a thread waits for an op; NaN: there was none */
    double ops_per_s;                /* of all threads together */
    double fairness;                 /* the slowest thread's rate to the fastest's */
    double ops;                      /* that the counters below are about */
    double count[BENCH_COUNTERS];    /* NaN: not counted */
    double latency[BENCH_QUANTILES]; /* ns, of all threads' ops; NaN: not timed one by one */
} bench_sample_t;

/* False with a message on stderr if there is no memory. `most_threads` workers are in the pool. */
bool bench_lab_init(bench_lab_t *lab, bench_pool_t *pool, int most_threads);
void bench_lab_free(bench_lab_t *lab);

/* How many bytes a sample takes, the order of stream_rand included. */
size_t bench_sample_bytes(const bench_setup_t *setup);

/* False with a message on stderr: no memory, or the counts were wrong afterwards. */
bool bench_sample(bench_lab_t *lab, const bench_setup_t *setup, double seconds,
                  bench_sample_t *sample);

/* The control: how many times the work of one pinned thread n of them do that share nothing. */
double bench_control(bench_lab_t *lab, int threads, double seconds);

#endif
