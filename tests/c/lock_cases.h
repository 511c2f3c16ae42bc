/* lock_cases.h: what every lock must do; see refcount_cases.h for who runs them. */
#ifndef OT_TESTS_LOCK_CASES_H
#define OT_TESTS_LOCK_CASES_H

#include <pthread.h>
#include <stdlib.h>

#include "atomics/lock/all.h"

typedef struct {
    size_t size;
    void (*init)(void *);
    void (*lock)(void *);
    void (*unlock)(void *);
    void (*destroy)(void *);
} lk_ops_t;

#define LK_OPS(X, text)                                                                            \
    static void lk_##X##_init(void *lk)                                                            \
    {                                                                                              \
        ot_lk_##X##_init(lk);                                                                      \
    }                                                                                              \
    static void lk_##X##_lock(void *lk)                                                            \
    {                                                                                              \
        ot_lk_##X##_lock(lk);                                                                      \
    }                                                                                              \
    static void lk_##X##_unlock(void *lk)                                                          \
    {                                                                                              \
        ot_lk_##X##_unlock(lk);                                                                    \
    }                                                                                              \
    static void lk_##X##_destroy(void *lk)                                                         \
    {                                                                                              \
        ot_lk_##X##_destroy(lk);                                                                   \
    }                                                                                              \
    static const lk_ops_t lk_ops_##X = {sizeof(ot_lk_##X##_t), lk_##X##_init, lk_##X##_lock,       \
                                        lk_##X##_unlock, lk_##X##_destroy};
OT_LK_EACH(LK_OPS)

/* Everything but `lock` is by the lock, and plain on purpose: ThreadSanitizer watches. */
typedef struct {
    const lk_ops_t *ops;
    OT_OWN_LINE char lock[256];
    OT_OWN_LINE long count;
    int inside, most_inside;
    long times;
} contest_t;

static void *
contest_run(void *arg)
{
    contest_t *c = arg;
    for (long i = 0; i < c->times; i++) {
        c->ops->lock(c->lock);
        c->inside++;
        c->most_inside = c->inside > c->most_inside ? c->inside : c->most_inside;
        c->count++;
        c->inside--;
        c->ops->unlock(c->lock);
    }
    return NULL;
}

/* More threads than most machines have cores: a lock must let a holder that was taken off its
 * core come back. That this returns is the test of progress. */
static const char *
one_holder_at_a_time(const lk_ops_t *ops)
{
    enum { THREADS = 6, TIMES = 20000 };
    static contest_t c;
    c = (contest_t){.ops = ops, .times = TIMES};
    pthread_t threads[THREADS];
    if (ops->size > sizeof c.lock) {
        return "the lock is larger than the test thought";
    }
    ops->init(c.lock);
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, contest_run, &c) != 0) {
            abort();
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    ops->destroy(c.lock);
    if (c.most_inside != 1) {
        return "two threads held the lock";
    }
    return c.count == (long)THREADS * TIMES ? NULL : "increments under the lock were lost";
}

#endif
