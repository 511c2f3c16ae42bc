/* subjects.c: the table of what can be measured; see subject.h.
 *
 * Purpose: instantiates the loops of loops.h for every variant of OT_RC_EACH, and the one over
 * locks for every lock of OT_LK_EACH; a variant added to atomics/ appears here by itself.
 * Main invariant: *_none is the variant it is named after, same loops, on an immortal object.
 * Threading: constants only.
 */
#include <Python.h> /* makes atomics/lock/all.h know PyMutex */

#include "atomics/lock/all.h"
#include "benchmarks/refcount/loops.h"
#include "benchmarks/refcount/subject.h"

/* ---- refcounts ----------------------------------------------------------------------------- */

#define RC_FUNCTIONS(X, traits, text)                                                              \
    static void X##_init(void *object)                                                             \
    {                                                                                              \
        ot_rc_##X##_init(object);                                                                  \
    }                                                                                              \
    static void X##_inc(void *object)                                                              \
    {                                                                                              \
        ot_rc_##X##_inc(object);                                                                   \
    }                                                                                              \
    static long X##_get(void *object)                                                              \
    {                                                                                              \
        return ot_rc_##X##_get(object);                                                            \
    }                                                                                              \
    static void X##_leave(bench_task_t *task)                                                      \
    {                                                                                              \
        ot_rc_##X##_leave(count_zero, task);                                                       \
    }                                                                                              \
    static uint64_t X##_pairs(bench_task_t *task)                                                  \
    {                                                                                              \
        return pairs_loop(RC_##X, task);                                                           \
    }                                                                                              \
    static uint64_t X##_mix(bench_task_t *task)                                                    \
    {                                                                                              \
        return mix_loop(RC_##X, task);                                                             \
    }                                                                                              \
    static uint64_t X##_ping_pong(bench_task_t *task)                                              \
    {                                                                                              \
        return ping_pong_loop(RC_##X, task);                                                       \
    }                                                                                              \
    static uint64_t X##_seq(bench_task_t *task)                                                    \
    {                                                                                              \
        return stream_loop(RC_##X, task, false);                                                   \
    }                                                                                              \
    static uint64_t X##_rand(bench_task_t *task)                                                   \
    {                                                                                              \
        return stream_loop(RC_##X, task, true);                                                    \
    }                                                                                              \
    static uint64_t X##_each(bench_task_t *task)                                                   \
    {                                                                                              \
        return each_loop(RC_##X, task);                                                            \
    }

OT_RC_EACH(RC_FUNCTIONS)

#define NONE_FUNCTIONS(X)                                                                          \
    static void X##_none_init(void *object)                                                        \
    {                                                                                              \
        ot_rc_##X##_init(object);                                                                  \
        ot_rc_##X##_immortalise(object);                                                           \
    }

OT_RC_EACH_IMMORTAL(NONE_FUNCTIONS)
#define CPYTHON_NONE_FUNCTIONS(X, at_rest) NONE_FUNCTIONS(X)
OT_RC_EACH_CPYTHON(CPYTHON_NONE_FUNCTIONS)

/* What a variant and its *_none have in common. */
#define RC_COMMON(X)                                                                               \
    .bytes = sizeof(ot_rc_##X##_t), .object_bytes = sizeof(ot_rc_##X##_t),                         \
    .stream_stride = RC_STREAM_STRIDE(X), .inc = X##_inc, .get = X##_get, .leave = X##_leave,      \
    .loop = {[BENCH_LOOP_PAIRS] = X##_pairs,         [BENCH_LOOP_MIX] = X##_mix,                   \
             [BENCH_LOOP_PING_PONG] = X##_ping_pong, [BENCH_LOOP_SEQ] = X##_seq,                   \
             [BENCH_LOOP_RAND] = X##_rand,           [BENCH_LOOP_EACH] = X##_each}

#define RC_ENTRY(X, traits, words)                                                                 \
    {.name = #X,                                                                                   \
     .text = words,                                                                                \
     .one_thread = ((traits)&OT_RC_ONE_THREAD) != 0,                                               \
     .at_rest = 1,                                                                                 \
     .init = X##_init,                                                                             \
     RC_COMMON(X)},

/* Nothing is written, so nothing can be lost: not one_thread, whatever the variant is. */
#define CPYTHON_NONE_ENTRY(X, count)                                                               \
    {.name = #X "_none",                                                                           \
     .text = #X " on an immortal object: None since PEP 683",                                      \
     .at_rest = (long)(count),                                                                     \
     .init = X##_none_init,                                                                        \
     RC_COMMON(X)},
#define NONE_ENTRY(X) CPYTHON_NONE_ENTRY(X, OT_RC_IMMORTAL)

/* ---- locks --------------------------------------------------------------------------------- */

/* The counter lies beside the lock, as in a struct that carries its own lock. */
#define LK_FUNCTIONS(X, text)                                                                      \
    typedef struct {                                                                               \
        ot_lk_##X##_t lock;                                                                        \
        long counter;                                                                              \
    } X##_box_t;                                                                                   \
    static void lk_##X##_init(void *object)                                                        \
    {                                                                                              \
        X##_box_t *box = object;                                                                   \
        ot_lk_##X##_init(&box->lock);                                                              \
        box->counter = 0;                                                                          \
    }                                                                                              \
    static long lk_##X##_get(void *object)                                                         \
    {                                                                                              \
        return ((X##_box_t *)object)->counter;                                                     \
    }                                                                                              \
    static void lk_##X##_destroy(void *object)                                                     \
    {                                                                                              \
        ot_lk_##X##_destroy(&((X##_box_t *)object)->lock);                                         \
    }                                                                                              \
    static uint64_t lk_##X##_ops(bench_task_t *task)                                               \
    {                                                                                              \
        X##_box_t *box = task->mine;                                                               \
        uint64_t ops = 0;                                                                          \
        do {                                                                                       \
            for (int i = 0; i < BENCH_LOCK_BATCH; i++) {                                           \
                ot_lk_##X##_lock(&box->lock);                                                      \
                box->counter++;                                                                    \
                ot_lk_##X##_unlock(&box->lock);                                                    \
            }                                                                                      \
            ops += BENCH_LOCK_BATCH;                                                               \
        } while (!bench_stopped(task));                                                            \
        return ops;                                                                                \
    }

OT_LK_EACH(LK_FUNCTIONS)

static void
leave_nothing(bench_task_t *task)
{
    (void)task;
}

#define LK_ENTRY(X, words)                                                                         \
    {.name = "lk_" #X,                                                                             \
     .text = words,                                                                                \
     .is_lock = true,                                                                              \
     .bytes = sizeof(ot_lk_##X##_t),                                                               \
     .object_bytes = sizeof(X##_box_t),                                                            \
     .init = lk_##X##_init,                                                                        \
     .get = lk_##X##_get,                                                                          \
     .leave = leave_nothing,                                                                       \
     .destroy = lk_##X##_destroy,                                                                  \
     .loop = {[BENCH_LOOP_PAIRS] = lk_##X##_ops}},

/* ---- the table ----------------------------------------------------------------------------- */

const bench_subject_t bench_subjects[] = {OT_RC_EACH(RC_ENTRY) OT_RC_EACH_IMMORTAL(
    NONE_ENTRY) OT_RC_EACH_CPYTHON(CPYTHON_NONE_ENTRY) OT_LK_EACH(LK_ENTRY)};

const int bench_subject_count = (int)(sizeof bench_subjects / sizeof bench_subjects[0]);
