/* refcount_cases.h: what every refcount variant must do, as functions over a table of its
 * operations. test_refcount.c runs them under Criterion, tests/tsan/atomics_stress.c under
 * ThreadSanitizer.
 *
 * Each case returns NULL, or what went wrong. The objects' payload is written without atomics on
 * purpose: if a variant's memory orders are too weak, ThreadSanitizer sees a race on it.
 */
#ifndef OT_TESTS_REFCOUNT_CASES_H
#define OT_TESTS_REFCOUNT_CASES_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atomics/refcount/all.h"

enum { CASE_THREADS = 4 };

typedef struct {
    int traits;
    size_t size;
    void (*init)(void *);
    void (*inc)(void *);
    bool (*dec)(void *);
    bool (*drop)(void *);
    long (*get)(void *);
    void (*poll)(ot_rc_zero_fn, void *);
    void (*leave)(ot_rc_zero_fn, void *);
} rc_ops_t;

#define RC_OPS(X, traits, text)                                                                    \
    static void X##_init(void *rc)                                                                 \
    {                                                                                              \
        ot_rc_##X##_init(rc);                                                                      \
    }                                                                                              \
    static void X##_inc(void *rc)                                                                  \
    {                                                                                              \
        ot_rc_##X##_inc(rc);                                                                       \
    }                                                                                              \
    static bool X##_dec(void *rc)                                                                  \
    {                                                                                              \
        return ot_rc_##X##_dec(rc);                                                                \
    }                                                                                              \
    static bool X##_drop(void *rc)                                                                 \
    {                                                                                              \
        return ot_rc_##X##_drop(rc);                                                               \
    }                                                                                              \
    static long X##_get(void *rc)                                                                  \
    {                                                                                              \
        return ot_rc_##X##_get(rc);                                                                \
    }                                                                                              \
    static const rc_ops_t ops_##X = {                                                              \
        traits,  sizeof(ot_rc_##X##_t), X##_init,         X##_inc, X##_dec, X##_drop,              \
        X##_get, ot_rc_##X##_poll,      ot_rc_##X##_leave};
OT_RC_EACH(RC_OPS)

/* ---- objects ----------------------------------------------------------------------------- */

/* Followed by the refcount. */
typedef struct {
    OT_OWN_LINE int written[CASE_THREADS]; /* plain: ordered by the refcount alone */
    int zeros;                             /* plain: who reports zero is alone */
} object_t;

static inline void *
rc_of(object_t *o)
{
    return o + 1;
}

static void
note_zero(void *rc, void *arg)
{
    object_t *o = (object_t *)rc - 1;
    for (int i = 0; i < CASE_THREADS; i++) {
        o->written[i]++; /* a race, unless everybody's writes come before zero */
    }
    o->zeros++;
    /* relaxed: this must not order what the refcount under test has to order */
    atomic_fetch_add_explicit((atomic_long *)arg, 1, memory_order_relaxed);
}

/* Objects start on lines of their own, so that what a test sees is the variant's doing. */
static size_t
stride(const rc_ops_t *ops)
{
    return (sizeof(object_t) + ops->size + OT_CACHE_PAIR - 1) & ~(size_t)(OT_CACHE_PAIR - 1);
}

static object_t *
object_at(void *objects, size_t i, const rc_ops_t *ops)
{
    return (object_t *)((char *)objects + i * stride(ops));
}

static void *
objects_new(size_t n, const rc_ops_t *ops)
{
    size_t bytes = n * stride(ops);
    void *objects = aligned_alloc(OT_CACHE_PAIR, bytes);
    if (objects == NULL) {
        abort();
    }
    memset(objects, 0, bytes);
    for (size_t i = 0; i < n; i++) {
        ops->init(rc_of(object_at(objects, i, ops)));
    }
    return objects;
}

/* ---- threads ----------------------------------------------------------------------------- */

typedef struct crowd {
    const rc_ops_t *ops;
    void *objects;
    size_t n;
    long times;
    atomic_long *zeros;
    pthread_barrier_t barrier;
    void (*body)(struct crowd *, int);
} crowd_t;

typedef struct {
    crowd_t *crowd;
    int number;
    pthread_t thread;
} member_t;

static void *
member_run(void *arg)
{
    member_t *m = arg;
    crowd_t *c = m->crowd;
    pthread_barrier_wait(&c->barrier);
    c->body(c, m->number);
    /* Nobody leaves before everybody is done: then all that was queued for a thread or written
     * down by one is settled by somebody. */
    pthread_barrier_wait(&c->barrier);
    c->ops->leave(note_zero, c->zeros);
    return NULL;
}

static int
crowd_size(const rc_ops_t *ops)
{
    return ops->traits & OT_RC_ONE_THREAD ? 1 : CASE_THREADS;
}

static void
crowd_run(crowd_t *c, void (*body)(crowd_t *, int))
{
    member_t members[CASE_THREADS];
    int n = crowd_size(c->ops);
    c->body = body;
    pthread_barrier_init(&c->barrier, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) {
        members[i] = (member_t){.crowd = c, .number = i};
        if (pthread_create(&members[i].thread, NULL, member_run, &members[i]) != 0) {
            abort();
        }
    }
    for (int i = 0; i < n; i++) {
        pthread_join(members[i].thread, NULL);
    }
    pthread_barrier_destroy(&c->barrier);
    c->ops->poll(note_zero, c->zeros);
}

/* ---- the cases --------------------------------------------------------------------------- */

static void
inc_many(crowd_t *c, int number)
{
    (void)number;
    for (long i = 0; i < c->times; i++) {
        c->ops->inc(rc_of(object_at(c->objects, (size_t)i % c->n, c->ops)));
    }
}

static void
dec_many(crowd_t *c, int number)
{
    for (long i = 0; i < c->times; i++) {
        object_t *o = object_at(c->objects, (size_t)i % c->n, c->ops);
        o->written[number] = 1;
        if (c->ops->dec(rc_of(o))) {
            note_zero(rc_of(o), c->zeros);
        }
    }
}

/* N threads' incs and decs on few objects: nothing is lost on the way up or down. */
static const char *
counts_add_up(const rc_ops_t *ops)
{
    enum { OBJECTS = 3, TIMES = 30000 };
    atomic_long zeros = 0;
    crowd_t c = {.ops = ops, .n = OBJECTS, .times = TIMES, .zeros = &zeros};
    c.objects = objects_new(OBJECTS, ops);
    long each = (long)crowd_size(ops) * TIMES / OBJECTS;
    const char *wrong = NULL;
    crowd_run(&c, inc_many);
    for (size_t i = 0; i < OBJECTS; i++) {
        if (ops->get(rc_of(object_at(c.objects, i, ops))) != 1 + each) {
            wrong = "increments were lost";
        }
    }
    crowd_run(&c, dec_many);
    for (size_t i = 0; i < OBJECTS; i++) {
        if (ops->get(rc_of(object_at(c.objects, i, ops))) != 1) {
            wrong = "decrements were lost";
        }
    }
    if (zeros != 0) {
        wrong = "zero was reported although the creator still has a reference";
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        object_t *o = object_at(c.objects, i, ops);
        if (ops->drop(rc_of(o))) {
            note_zero(rc_of(o), &zeros);
        }
    }
    ops->leave(note_zero, &zeros);
    if (wrong == NULL && zeros != OBJECTS) {
        wrong = "the last reference's end was not reported once for each object";
    }
    free(c.objects);
    return wrong;
}

static void
drop_or_dec(crowd_t *c, int number)
{
    /* Each thread begins elsewhere, so that all of them meet at some objects' ends. */
    for (size_t k = 0; k < c->n; k++) {
        object_t *o = object_at(c->objects, (k + (size_t)number * 7) % c->n, c->ops);
        o->written[number] = 1;
        bool zero = number == 0 ? c->ops->drop(rc_of(o)) : c->ops->dec(rc_of(o));
        if (zero) {
            note_zero(rc_of(o), c->zeros);
        }
        if (k % 64 == 0) {
            c->ops->poll(note_zero, c->zeros);
        }
    }
}

/* Many objects with a reference for each thread, given up by all at about the same time. */
static const char *
zero_is_reached_exactly_once(const rc_ops_t *ops)
{
    enum { OBJECTS = 3000 };
    atomic_long zeros = 0;
    crowd_t c = {.ops = ops, .n = OBJECTS, .zeros = &zeros};
    c.objects = objects_new(OBJECTS, ops);
    int threads = crowd_size(ops);
    const char *wrong = NULL;
    for (size_t i = 0; i < OBJECTS; i++) {
        for (int t = 1; t < threads; t++) {
            ops->inc(rc_of(object_at(c.objects, i, ops)));
        }
    }
    crowd_run(&c, drop_or_dec);
    ops->leave(note_zero, &zeros);
    for (size_t i = 0; i < OBJECTS; i++) {
        object_t *o = object_at(c.objects, i, ops);
        if (o->zeros != 1) {
            wrong = o->zeros == 0 ? "zero was missed" : "zero was reported twice";
        }
        for (int t = 0; t < threads; t++) {
            if (o->written[t] != 2) {
                wrong = "who reported zero did not see what the others had written";
            }
        }
    }
    free(c.objects);
    return wrong;
}

/* Makes, shares, and gives up references at random; each thread only what it holds. */
static void
wander(crowd_t *c, int number)
{
    enum { MOST = 5 };
    int *held = calloc(c->n, sizeof *held);
    uint64_t random = 88172645463325252u + (uint64_t)number;
    for (long i = 0; held != NULL && i < c->times; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        size_t k = random % c->n;
        object_t *o = object_at(c->objects, k, c->ops);
        if (held[k] < MOST && (random >> 40) % 2) {
            c->ops->inc(rc_of(o)); /* borrows the creator's reference */
            held[k]++;
        } else if (held[k] > 0) {
            held[k]--;
            if (c->ops->dec(rc_of(o))) {
                note_zero(rc_of(o), c->zeros);
            }
        }
        if (i % 1000 == 0) {
            c->ops->poll(note_zero, c->zeros);
        }
    }
    for (size_t k = 0; held != NULL && k < c->n; k++) {
        object_t *o = object_at(c->objects, k, c->ops);
        while (held[k]-- > 0) {
            if (c->ops->dec(rc_of(o))) {
                note_zero(rc_of(o), c->zeros);
            }
        }
    }
    free(held);
}

static const char *
references_come_and_go(const rc_ops_t *ops)
{
    enum { OBJECTS = 50, TIMES = 40000 };
    atomic_long zeros = 0;
    crowd_t c = {.ops = ops, .n = OBJECTS, .times = TIMES, .zeros = &zeros};
    c.objects = objects_new(OBJECTS, ops);
    const char *wrong = NULL;
    crowd_run(&c, wander);
    if (zeros != 0) {
        wrong = "zero was reported although the creator still has a reference";
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        object_t *o = object_at(c.objects, i, ops);
        if (ops->get(rc_of(o)) != 1) {
            wrong = "references were lost or left over";
        }
        if (ops->drop(rc_of(o))) {
            note_zero(rc_of(o), &zeros);
        }
    }
    ops->leave(note_zero, &zeros);
    if (wrong == NULL && zeros != OBJECTS) {
        wrong = "not each object came to its end once";
    }
    free(c.objects);
    return wrong;
}

#define RC_EACH_CASE(M, X)                                                                         \
    M(X, counts_add_up)                                                                            \
    M(X, zero_is_reached_exactly_once)                                                             \
    M(X, references_come_and_go)

/* ---- biased: each count is merged once ---------------------------------------------------- */

static size_t
merges_so_far(void)
{
    size_t n = 0;
    pthread_mutex_lock(&ot_bias_owners_lock);
    for (ot_bias_owner_t *o = ot_bias_owners; o != NULL; o = o->next) {
        n += atomic_load(&o->merges);
    }
    pthread_mutex_unlock(&ot_bias_owners_lock);
    return n;
}

/* The other threads' decs come in numbers that leave `shared` below zero, so each object is
 * queued; `owner_stays` or not decides who merges it. */
static const char *
biased_merges_once(bool owner_stays)
{
    enum { OBJECTS = 2000 };
    atomic_long zeros = 0;
    const rc_ops_t *ops = &ops_biased;
    crowd_t c = {.ops = ops, .n = OBJECTS, .times = OBJECTS, .zeros = &zeros};
    size_t before = merges_so_far();
    c.objects = objects_new(OBJECTS, ops);
    for (size_t i = 0; i < OBJECTS; i++) {
        for (int t = 0; t < CASE_THREADS; t++) {
            ops->inc(rc_of(object_at(c.objects, i, ops)));
        }
    }
    if (!owner_stays) {
        ops->leave(note_zero, &zeros);
    }
    crowd_run(&c, dec_many);
    size_t merges = merges_so_far() - before;
    const char *wrong = merges != OBJECTS ? "not each count was merged once" : NULL;
    for (size_t i = 0; i < OBJECTS; i++) {
        ot_rc_biased_t *rc = rc_of(object_at(c.objects, i, ops));
        if (ot_rc_biased_get(rc) != 1 ||
            (atomic_load(&rc->shared) & OT_BIAS_STATE) != OT_BIAS_MERGED) {
            wrong = "a count is wrong after the merge";
        }
        if (ot_rc_biased_drop(rc)) {
            note_zero(rc, &zeros);
        }
    }
    ops->leave(note_zero, &zeros);
    if (wrong == NULL && zeros != OBJECTS) {
        wrong = "not each object came to its end once";
    }
    if (wrong == NULL && merges_so_far() - before != OBJECTS) {
        wrong = "a count was merged twice";
    }
    free(c.objects);
    return wrong;
}

/* ---- try_inc: never from zero -------------------------------------------------------------- */

static void
try_until_zero(crowd_t *c, int number, bool (*try_inc)(void *))
{
    for (size_t i = 0; i < c->n; i++) {
        object_t *o = object_at(c->objects, i, c->ops);
        if (number == 0) {
            if (c->ops->drop(rc_of(o))) {
                note_zero(rc_of(o), c->zeros);
            }
            continue;
        }
        while (try_inc(rc_of(o))) {
            if (c->ops->dec(rc_of(o))) {
                note_zero(rc_of(o), c->zeros);
            }
        }
    }
}

#define RC_TRY_INC(X)                                                                              \
    static bool X##_try_inc(void *rc)                                                              \
    {                                                                                              \
        return ot_rc_##X##_try_inc(rc);                                                            \
    }                                                                                              \
    static void X##_try_until_zero(crowd_t *c, int number)                                         \
    {                                                                                              \
        try_until_zero(c, number, X##_try_inc);                                                    \
    }                                                                                              \
    static const char *X##_try_inc_fails_after_zero(void)                                          \
    {                                                                                              \
        enum { OBJECTS = 500 };                                                                    \
        atomic_long zeros = 0;                                                                     \
        crowd_t c = {.ops = &ops_##X, .n = OBJECTS, .zeros = &zeros};                              \
        c.objects = objects_new(OBJECTS, &ops_##X);                                                \
        crowd_run(&c, X##_try_until_zero);                                                         \
        const char *wrong = zeros == OBJECTS ? NULL : "not each object came to its end once";      \
        for (size_t i = 0; i < OBJECTS; i++) {                                                     \
            if (X##_try_inc(rc_of(object_at(c.objects, i, &ops_##X)))) {                           \
                wrong = "try_inc brought an object back";                                          \
            }                                                                                      \
        }                                                                                          \
        free(c.objects);                                                                           \
        return wrong;                                                                              \
    }
OT_RC_EACH_TRY_INC(RC_TRY_INC)

#endif
