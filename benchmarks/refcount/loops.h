/* loops.h: the timed loops over refcounts, written once for all variants.
 *
 * Purpose: a template. Every function here takes the variant first and is inlined into a caller
 * (subjects.c) that passes a constant, so that the switches fold and each variant gets loops of
 * its own with its inline functions in them: no call, no function pointer, no table.
 * Main invariant: a pair is an inc and a dec of the same object, with nothing in between; the
 * compiler may neither cancel the two nor keep a count in a register over them.
 * Threading: each worker runs a loop over its own task; see subject.h.
 */
#ifndef OT_BENCH_LOOPS_H
#define OT_BENCH_LOOPS_H

#include <sched.h>

#include "atomics/refcount/all.h"
#include "benchmarks/refcount/subject.h"

#define BENCH_INLINE static inline __attribute__((always_inline))

#define RC_ID(X, traits, text) RC_##X,
typedef enum { OT_RC_EACH(RC_ID) RC_VARIANTS } rc_t;

BENCH_INLINE void
compiler_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

#define RC_PAIR(X, traits, text)                                                                   \
    case RC_##X:                                                                                   \
        ot_rc_##X##_inc(object);                                                                   \
        compiler_barrier();                                                                        \
        zero = ot_rc_##X##_dec(object);                                                            \
        break;

#define RC_POLL(X, traits, text)                                                                   \
    case RC_##X:                                                                                   \
        ot_rc_##X##_poll(count_zero, task);                                                        \
        break;

/* Between the objects of a stream: a count, and eight bytes that stand for the rest of an object. */
#define RC_STREAM_STRIDE(X)                                                                        \
    sizeof(struct {                                                                                \
        ot_rc_##X##_t rc;                                                                          \
        uint64_t payload;                                                                          \
    })

#define RC_STRIDE(X, traits, text)                                                                 \
    case RC_##X:                                                                                   \
        return RC_STREAM_STRIDE(X);

/* An ot_rc_zero_fn. */
static void
count_zero(void *rc, void *arg)
{
    (void)rc;
    ((bench_task_t *)arg)->zeros++;
}

/* Where a program would free the object: out of the way, so that the loop has a branch as there. */
static __attribute__((noinline, cold)) void
reached_zero(bench_task_t *task)
{
    task->zeros++;
}

BENCH_INLINE void
pair(rc_t variant, void *object, bench_task_t *task)
{
    bool zero = false;
    switch (variant) {
        OT_RC_EACH(RC_PAIR)
    case RC_VARIANTS:
        break;
    }
    if (__builtin_expect(zero, 0)) {
        reached_zero(task);
    }
    compiler_barrier();
}

/* Settles what was put off; part of the cost. Does nothing for variants that settle at once. */
BENCH_INLINE void
poll(rc_t variant, bench_task_t *task)
{
    switch (variant) {
        OT_RC_EACH(RC_POLL)
    case RC_VARIANTS:
        break;
    }
}

BENCH_INLINE size_t
stream_stride(rc_t variant)
{
    switch (variant) {
        OT_RC_EACH(RC_STRIDE)
    case RC_VARIANTS:
        break;
    }
    return 0;
}

BENCH_INLINE uint64_t
pairs_loop(rc_t variant, bench_task_t *task)
{
    void *object = task->mine;
    uint64_t ops = 0;
    do {
        for (int i = 0; i < BENCH_BATCH; i++) {
            pair(variant, object, task);
        }
        poll(variant, task);
        ops += BENCH_BATCH;
    } while (!bench_stopped(task));
    return ops;
}

/* Each pair by itself, with the clock before and behind it. */
BENCH_INLINE uint64_t
each_loop(rc_t variant, bench_task_t *task)
{
    void *object = task->mine;
    bench_times_t *times = task->times;
    uint64_t ops = 0;
    do {
        for (int i = 0; i < BENCH_BATCH; i++) {
            uint64_t before = bench_ticks();
            pair(variant, object, task);
            bench_times_add(times, bench_ticks() - before);
        }
        poll(variant, task);
        ops += BENCH_BATCH;
    } while (!bench_stopped(task));
    return ops;
}

/* The shared pairs come at even distances, without a branch that could be mispredicted. */
BENCH_INLINE uint64_t
mix_loop(rc_t variant, bench_task_t *task)
{
    void *mine = task->mine, *shared = task->shared;
    int period = task->period, rounds = (BENCH_BATCH + period - 1) / period;
    for (int i = 0; i < task->phase; i++) {
        pair(variant, mine, task);
    }
    uint64_t ops = (uint64_t)task->phase;
    do {
        for (int round = 0; round < rounds; round++) {
            for (int i = 1; i < period; i++) {
                pair(variant, mine, task);
            }
            pair(variant, shared, task);
        }
        poll(variant, task);
        ops += (uint64_t)rounds * (uint64_t)period;
    } while (!bench_stopped(task));
    return ops;
}

/* False if the end came first. Without ot_pause: its 140 cycles would be most of what is measured.
 * Acquire: pairs with hand_over; it makes even plain counts right here. */
static inline bool
wait_for_turn(bench_task_t *task)
{
    for (unsigned turns = 1;
         atomic_load_explicit(&task->signals->turn, memory_order_acquire) != task->index; turns++) {
        if (bench_stopped(task)) {
            return false;
        }
        if (turns % 4096 == 0) {
            sched_yield(); /* both may be on one CPU */
        }
    }
    return true;
}

static inline void
hand_over(bench_task_t *task)
{
    atomic_store_explicit(&task->signals->turn, 1 - task->index, memory_order_release);
}

BENCH_INLINE uint64_t
ping_pong_loop(rc_t variant, bench_task_t *task)
{
    void *object = task->mine;
    uint64_t ops = 0;
    while (wait_for_turn(task)) {
        for (int i = 0; i < BENCH_TURN; i++) {
            pair(variant, object, task);
        }
        ops += BENCH_TURN;
        if (ops % BENCH_BATCH == 0) {
            poll(variant, task);
        }
        hand_over(task);
    }
    return ops;
}

BENCH_INLINE uint64_t
stream_loop(rc_t variant, bench_task_t *task, bool random)
{
    char *objects = task->shared;
    const uint32_t *order = task->order;
    size_t at = task->start, size = task->size;
    uint64_t ops = 0;
    do {
        for (int i = 0; i < BENCH_BATCH; i++) {
            size_t which = random ? order[at] : at;
            pair(variant, objects + which * stream_stride(variant), task);
            at = at + 1 == size ? 0 : at + 1;
        }
        poll(variant, task);
        ops += BENCH_BATCH;
    } while (!bench_stopped(task));
    task->start = at; /* what was done to warm up is not done again */
    return ops;
}

#endif
