/* test_lab_refcount.c: lab/refcount.h, which the variants of CPython are built with, all of its
 * variants in one program: the header is included once for each, under other names. */
#include "support.h"

TestSuite(lab_refcount, .timeout = 60);

/* clang-format off */
#define OT_LAB_VARIANT 0
#define ot_refcnt_dec_is_zero stock_dec_is_zero
#define ot_refcnt_add stock_add
#define ot_immortal_inc stock_immortal_inc
#define ot_immortal_dec stock_immortal_dec
#define ot_refcnt_seen stock_seen
#include "lab/refcount.h"
#undef OT_REFCOUNT_H
#undef OT_LAB_VARIANT
#undef ot_refcnt_dec_is_zero
#undef ot_refcnt_add
#undef ot_immortal_inc
#undef ot_immortal_dec
#undef ot_refcnt_seen

#define OT_LAB_VARIANT 1
#define ot_refcnt_inc c11_relaxed_inc
#define ot_refcnt_dec_is_zero c11_relaxed_dec_is_zero
#define ot_refcnt_add c11_relaxed_add
#define ot_immortal_inc c11_relaxed_immortal_inc
#define ot_immortal_dec c11_relaxed_immortal_dec
#define ot_refcnt_seen c11_relaxed_seen
#include "lab/refcount.h"
#undef OT_REFCOUNT_H
#undef OT_LAB_VARIANT
#undef OT_LAB_DEC_ORDER
#undef ot_refcnt_inc
#undef ot_refcnt_dec_is_zero
#undef ot_refcnt_add
#undef ot_immortal_inc
#undef ot_immortal_dec
#undef ot_refcnt_seen

#define OT_LAB_VARIANT 2
#define ot_refcnt_inc c11_acq_rel_inc
#define ot_refcnt_dec_is_zero c11_acq_rel_dec_is_zero
#define ot_refcnt_add c11_acq_rel_add
#define ot_immortal_inc c11_acq_rel_immortal_inc
#define ot_immortal_dec c11_acq_rel_immortal_dec
#define ot_refcnt_seen c11_acq_rel_seen
#include "lab/refcount.h"
#undef OT_REFCOUNT_H
#undef OT_LAB_VARIANT
#undef ot_refcnt_inc
#undef ot_refcnt_dec_is_zero
#undef ot_refcnt_add
#undef ot_immortal_inc
#undef ot_immortal_dec
#undef ot_refcnt_seen

#define OT_LAB_VARIANT 3
#define ot_refcnt_inc lock_inc
#define ot_refcnt_dec_is_zero lock_dec_is_zero
#define ot_refcnt_add lock_add
#define ot_immortal_inc lock_immortal_inc
#define ot_immortal_dec lock_immortal_dec
#define ot_refcnt_seen lock_seen
#include "lab/refcount.h"
#undef OT_REFCOUNT_H
#undef OT_LAB_VARIANT
#undef ot_refcnt_inc
#undef ot_refcnt_dec_is_zero
#undef ot_refcnt_add
#undef ot_immortal_inc
#undef ot_immortal_dec
#undef ot_refcnt_seen

#define OT_LAB_VARIANT 4
#define ot_refcnt_inc lock_all_inc
#define ot_refcnt_dec_is_zero lock_all_dec_is_zero
#define ot_refcnt_add lock_all_add
#define ot_immortal_inc lock_all_immortal_inc
#define ot_immortal_dec lock_all_immortal_dec
#define ot_refcnt_seen lock_all_seen
#include "lab/refcount.h"
/* clang-format on */

typedef struct {
    const char *name;
    void (*inc)(Py_ssize_t *); /* NULL: CPython's own statement */
    int (*dec_is_zero)(Py_ssize_t *);
    void (*add)(Py_ssize_t *, Py_ssize_t);
    void (*immortal_inc)(Py_ssize_t *);
    void (*immortal_dec)(Py_ssize_t *);
    Py_ssize_t (*seen)(Py_ssize_t);
} variant_t;

#define VARIANT(X, INC)                                                                            \
    {                                                                                              \
#X, INC, X##_dec_is_zero, X##_add, X##_immortal_inc, X##_immortal_dec, X##_seen            \
    }

static const variant_t variants[] = {VARIANT(stock, NULL), VARIANT(c11_relaxed, c11_relaxed_inc),
                                     VARIANT(c11_acq_rel, c11_acq_rel_inc), VARIANT(lock, lock_inc),
                                     VARIANT(lock_all, lock_all_inc)};

#define EACH_VARIANT(v)                                                                            \
    for (const variant_t *v = variants; v < variants + Py_ARRAY_LENGTH(variants); v++)

static const Py_ssize_t immortal = (Py_ssize_t)UINT_MAX; /* _Py_IMMORTAL_REFCNT of 3.13 */

Test(lab_refcount, zero_is_reported_once)
{
    EACH_VARIANT(v)
    {
        Py_ssize_t count = 1;
        v->add(&count, 5);
        cr_assert_eq(count, 6, "%s", v->name);
        if (v->inc != NULL) {
            v->inc(&count);
            cr_assert_eq(count, 7, "%s", v->name);
            cr_assert_not(v->dec_is_zero(&count));
        }
        v->add(&count, -4);
        cr_assert_not(v->dec_is_zero(&count), "%s", v->name);
        cr_assert(v->dec_is_zero(&count), "%s", v->name);
        cr_assert_eq(count, 0, "%s", v->name);
    }
}

/* However many references are counted, more up than down or the reverse, the test of CPython for
 * an immortal object holds, and Py_REFCNT says what it says of one that nobody used. */
Test(lab_refcount, immortal_objects_stay_immortal)
{
    EACH_VARIANT(v)
    {
        Py_ssize_t count = immortal;
        for (int i = 0; i < 1000; i++) {
            v->immortal_inc(&count);
            cr_assert_lt((int)count, 0, "%s", v->name);
            cr_assert_eq(v->seen(count), immortal, "%s", v->name);
        }
        for (int i = 0; i < 3000; i++) {
            v->immortal_dec(&count);
            cr_assert_lt((int)count, 0, "%s", v->name);
            cr_assert_eq(v->seen(count), immortal, "%s", v->name);
        }
        cr_assert_eq(v->seen(3), 3);
    }
}

/* Only lock-all writes to immortal objects at all: that is its point. */
Test(lab_refcount, immortal_objects_are_written_in_lock_all_only)
{
    EACH_VARIANT(v)
    {
        Py_ssize_t count = immortal;
        v->immortal_inc(&count);
        cr_assert_eq(count != immortal, strcmp(v->name, "lock_all") == 0, "%s", v->name);
        v->immortal_dec(&count);
        cr_assert_eq(count, immortal, "%s", v->name);
    }
}

enum { THREADS = 4, PAIRS = 200000 };

typedef struct {
    const variant_t *variant;
    Py_ssize_t count, immortal_count;
} counted_t;

static void *
count_both(void *arg)
{
    counted_t *c = arg;
    for (int i = 0; i < PAIRS; i++) {
        c->variant->inc(&c->count);
        c->variant->immortal_inc(&c->immortal_count);
        CHECK(!c->variant->dec_is_zero(&c->count));
        c->variant->immortal_dec(&c->immortal_count);
        c->variant->add(&c->count, 3);
    }
    return NULL;
}

Test(lab_refcount, threads_lose_no_count)
{
    EACH_VARIANT(v)
    {
        if (v->inc == NULL) {
            continue;
        }
        counted_t c = {v, 1, immortal};
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            threads[i] = test_thread(count_both, &c);
        }
        for (int i = 0; i < THREADS; i++) {
            test_join(threads[i]);
        }
        cr_assert_eq(c.count, 1 + 3 * THREADS * PAIRS, "%s", v->name);
        cr_assert_eq(c.immortal_count, immortal, "%s", v->name);
    }
}
