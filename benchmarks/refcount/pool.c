/* pool.c: see pool.h.
 *
 * Purpose: threads, pinning, the gate, the stop flag.
 * Main invariant: workers sleep on a condition between steps and spin only at the gate, so main
 * and the idle ones leave the cores alone while something is timed.
 * Threading: `lock` guards what says so; the gate is atomics, for it must let all go at once.
 */
#include "benchmarks/refcount/pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/clock.h"

typedef struct {
    OT_OWN_LINE bench_pool_t *pool;
    pthread_t thread;
    int index, cpu;
    bench_counters_t counters; /* the thread's own */
} worker_t;

struct bench_pool {
    OT_OWN_LINE bench_signals_t signals;

    /* The gate: `open` goes up by one each time that all n_active have arrived. */
    OT_OWN_LINE atomic_int arrived;
    OT_OWN_LINE atomic_uint open;
    OT_OWN_LINE int64_t opened_at; /* written by the last to arrive, before it stops the step */
    sem_t opening;                 /* tells main */

    OT_OWN_LINE pthread_mutex_t lock;
    pthread_cond_t begin, end;
    unsigned generation;     /* by lock: goes up with each step */
    int n_active, n_working; /* by lock */
    bool ending;             /* by lock */
    bench_step_fn step;      /* by lock */
    void *context;           /* by lock */

    const bench_counter_support_t *support;
    int n_workers;
    worker_t *workers;
};

bench_signals_t *
bench_pool_signals(bench_pool_t *pool)
{
    return &pool->signals;
}

const bench_counters_t *
bench_pool_counters(bench_pool_t *pool, int index)
{
    return &pool->workers[index].counters;
}

/* ---- the gate ------------------------------------------------------------------------------ */

/* Main is woken before the time is taken, as its waking up may cost a worker its core. */
static void
open_gate(bench_pool_t *pool)
{
    sem_post(&pool->opening);
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->signals.stop, false, memory_order_relaxed);
    pool->opened_at = ot_clock_now();
    /* release: pairs with the acquire of those who wait; they see stop as false */
    atomic_fetch_add_explicit(&pool->open, 1, memory_order_release);
}

void
bench_pool_gate(bench_pool_t *pool)
{
    unsigned before = atomic_load_explicit(&pool->open, memory_order_relaxed);
    /* acquire-release: the last one comes after what all others did to warm up */
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) + 1 == pool->n_active) {
        open_gate(pool);
        return;
    }
    for (unsigned turns = 1; atomic_load_explicit(&pool->open, memory_order_acquire) == before;
         turns++) {
        ot_pause();
        if (turns % 1024 == 0) {
            sched_yield(); /* more workers than CPUs: somebody may be waiting for this one */
        }
    }
}

/* ---- steps --------------------------------------------------------------------------------- */

static void
begin_step(bench_pool_t *pool, int n, bench_step_fn step, void *context)
{
    pthread_mutex_lock(&pool->lock);
    pool->step = step;
    pool->context = context;
    pool->n_active = pool->n_working = n;
    pool->generation++;
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->lock);
}

static void
wait_for_step(bench_pool_t *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->n_working > 0) {
        pthread_cond_wait(&pool->end, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
}

void
bench_pool_do(bench_pool_t *pool, int n, bench_step_fn step, void *context)
{
    begin_step(pool, n, step, context);
    wait_for_step(pool);
}

int64_t
bench_pool_do_timed(bench_pool_t *pool, int n, bench_step_fn step, void *context, double seconds)
{
    atomic_store(&pool->signals.stop, true);
    unsigned closed = atomic_load_explicit(&pool->open, memory_order_relaxed);
    begin_step(pool, n, step, context);
    while (sem_wait(&pool->opening) != 0) {
    }
    struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    /* However late the gate opens, its store to `stop` must not come after ours. */
    while (atomic_load_explicit(&pool->open, memory_order_acquire) == closed) {
        sched_yield();
    }
    atomic_store(&pool->signals.stop, true);
    wait_for_step(pool);
    return pool->opened_at;
}

/* ---- threads ------------------------------------------------------------------------------- */

/* Waits for a step after `seen` that this worker takes part in; false: the pool ends. */
static bool
next_step(worker_t *worker, unsigned *seen)
{
    bench_pool_t *pool = worker->pool;
    pthread_mutex_lock(&pool->lock);
    while (!pool->ending && (pool->generation == *seen || worker->index >= pool->n_active)) {
        *seen = pool->generation;
        pthread_cond_wait(&pool->begin, &pool->lock);
    }
    *seen = pool->generation;
    bool go = !pool->ending;
    pthread_mutex_unlock(&pool->lock);
    return go;
}

static void
finish_step(bench_pool_t *pool)
{
    pthread_mutex_lock(&pool->lock);
    if (--pool->n_working == 0) {
        pthread_cond_signal(&pool->end);
    }
    pthread_mutex_unlock(&pool->lock);
}

static void
pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    int error = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    if (error != 0) {
        fprintf(stderr, "refcount: cannot pin a thread to CPU %d: %s\n", cpu, strerror(error));
    }
}

static void *
work(void *arg)
{
    worker_t *worker = arg;
    bench_pool_t *pool = worker->pool;
    pin(worker->cpu);
    worker->counters = bench_counters_open(pool->support);
    for (unsigned seen = 0; next_step(worker, &seen);) {
        pool->step(pool->context, worker->index);
        finish_step(pool);
    }
    bench_counters_close(&worker->counters);
    return NULL;
}

static void
init_pool(bench_pool_t *pool, const bench_counter_support_t *support)
{
    memset(pool, 0, sizeof *pool);
    pool->support = support;
    sem_init(&pool->opening, 0, 0);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->begin, NULL);
    pthread_cond_init(&pool->end, NULL);
}

bench_pool_t *
bench_pool_start(int n, const int *cpus, int n_cpus, const bench_counter_support_t *support)
{
    bench_pool_t *pool = aligned_alloc(_Alignof(bench_pool_t), sizeof *pool);
    worker_t *workers = aligned_alloc(_Alignof(worker_t), (size_t)n * sizeof *workers);
    if (pool == NULL || workers == NULL) {
        fprintf(stderr, "refcount: no memory for %d threads\n", n);
        free(pool);
        free(workers);
        return NULL;
    }
    init_pool(pool, support);
    pool->workers = workers;
    for (int i = 0; i < n; i++) {
        worker_t *worker = &workers[i];
        *worker = (worker_t){.pool = pool, .index = i, .cpu = cpus[i % n_cpus]};
        int error = pthread_create(&worker->thread, NULL, work, worker);
        if (error != 0) {
            fprintf(stderr, "refcount: cannot start thread %d: %s\n", i, strerror(error));
            bench_pool_end(pool);
            return NULL;
        }
        pool->n_workers++;
    }
    return pool;
}

void
bench_pool_end(bench_pool_t *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->n_workers; i++) {
        pthread_join(pool->workers[i].thread, NULL);
    }
    pthread_cond_destroy(&pool->begin);
    pthread_cond_destroy(&pool->end);
    pthread_mutex_destroy(&pool->lock);
    sem_destroy(&pool->opening);
    free(pool->workers);
    free(pool);
}
