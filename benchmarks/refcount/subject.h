/* subject.h: what is measured, a refcount variant or a lock, and what a timed loop is given.
 *
 * Purpose: one table of everything in atomics/ that can be timed; the rest of the benchmark knows
 * variants by their entries only.
 * Main invariant: a loop does at least one batch, returns the ops it did, and comes back soon
 * after `stop`; whatever it incremented it has decremented.
 * Threading: subjects are constants. A task is its worker's alone while a loop runs, and main's
 * between the steps of the pool.
 */
#ifndef OT_BENCH_SUBJECT_H
#define OT_BENCH_SUBJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics/cpu.h"
#include "benchmarks/refcount/counters.h"
#include "benchmarks/refcount/times.h"

enum {
    BENCH_BATCH = 256,     /* pairs between two looks at the stop flag, and between two polls */
    BENCH_LOCK_BATCH = 16, /* a contended lock may take a microsecond */
    BENCH_TURN = 8,        /* pairs of one turn in ping_pong */
};

/* What workers tell each other, each on lines of its own. */
typedef struct {
    OT_OWN_LINE atomic_bool
        stop; /* written by main; by the last worker at the gate, when it opens */
    OT_OWN_LINE atomic_int turn; /* ping_pong: whose it is */
} bench_signals_t;

typedef struct {
    /* given */
    OT_OWN_LINE bench_signals_t *signals;
    int index;                        /* of the worker: 0, 1, ... */
    void *mine;                       /* the object of `pairs`, and the private one of mixes */
    void *shared;                     /* the first or only object that all use */
    const volatile uint64_t *payload; /* read_mostly */
    const uint32_t *order;            /* stream_rand */
    size_t size, start;               /* streams: how many objects, and where to begin */
    int period, phase;                /* mixes: each period-th pair is shared, `phase` before */
    bench_times_t *times;             /* `each`: of its pairs */

    /* found */
    uint64_t zeros;         /* how often an object was said to have reached zero */
    uint64_t warm_ops, ops; /* before, during the timing */
    int64_t end;            /* clock at the last op */
    bench_reading_t before, after;
} bench_task_t;

typedef enum {
    BENCH_LOOP_PAIRS, /* all pairs on task->mine; locks: all ops */
    BENCH_LOOP_MIX,
    BENCH_LOOP_PING_PONG,
    BENCH_LOOP_SEQ,
    BENCH_LOOP_RAND,
    BENCH_LOOP_EACH,
    BENCH_LOOPS,
} bench_loop_t;

typedef uint64_t (*bench_loop_fn)(bench_task_t *task);

typedef struct {
    const char *name, *text;
    bool is_lock;
    bool one_thread;      /* loses counts when two threads use an object at once */
    size_t bytes;         /* of the count or lock */
    size_t object_bytes;  /* of what loops are given: for locks the counter that they guard too */
    size_t stream_stride; /* of {count, 8 bytes of payload} */
    long at_rest;         /* what get says when all references but the creator's are gone */
    void (*init)(void *object);
    void (*inc)(void *object);         /* refcounts only; not for timing */
    long (*get)(void *object);         /* the count; of locks: ops done under it */
    void (*leave)(bench_task_t *task); /* on the worker's thread, which is done with its objects */
    void (*destroy)(void *object);     /* NULL: nothing to do */
    bench_loop_fn loop[BENCH_LOOPS];   /* NULL where the subject does not do that */
} bench_subject_t;

extern const bench_subject_t bench_subjects[];
extern const int bench_subject_count;

static inline bool
bench_stopped(const bench_task_t *task)
{
    /* relaxed: what the workers found is handed over by the pool's mutex */
    return atomic_load_explicit(&task->signals->stop, memory_order_relaxed);
}

#endif
