/* pool.h: worker threads, pinned, that live as long as the run, and the gate they start at.
 *
 * Purpose: main has steps run on the first n workers; in a timed step they meet at the gate, which
 * opens when all have arrived and notes the time, and go on until main tells them to stop.
 * Main invariant: worker i is the same thread on the same CPU in every step, so what it owns (a
 * biased count's owner, a shard) stays where it was.
 * Threading: everything here is called by main, but for bench_pool_gate and the steps themselves.
 */
#ifndef OT_BENCH_POOL_H
#define OT_BENCH_POOL_H

#include <stdint.h>

#include "benchmarks/refcount/counters.h"
#include "benchmarks/refcount/subject.h"

typedef struct bench_pool bench_pool_t;

/* Runs on the thread of worker `index`. */
typedef void (*bench_step_fn)(void *context, int index);

/* n workers, worker i on cpus[i % n_cpus]. NULL with a message on stderr. */
bench_pool_t *bench_pool_start(int n, const int *cpus, int n_cpus,
                               const bench_counter_support_t *support);

/* Ends and joins the threads. */
void bench_pool_end(bench_pool_t *pool);

/* Runs `step` on workers 0..n-1 and waits for them. */
void bench_pool_do(bench_pool_t *pool, int n, bench_step_fn step, void *context);

/* The same for a step that passes the gate: `stop` is true before, false from the gate's opening
 * on, and true again after `seconds`. Returns ot_clock_now() of the opening. */
int64_t bench_pool_do_timed(bench_pool_t *pool, int n, bench_step_fn step, void *context,
                            double seconds);

/* In a timed step: returns when all its workers are here. */
void bench_pool_gate(bench_pool_t *pool);

bench_signals_t *bench_pool_signals(bench_pool_t *pool);

/* The calling worker's. */
const bench_counters_t *bench_pool_counters(bench_pool_t *pool, int index);

#endif
