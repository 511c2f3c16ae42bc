/* test_lab_refcount.c: lab/refcount.h, which the variants of CPython are built with, all of its
 * variants in one program: the header is included once for each, under other names. */
#include "support.h"

TestSuite(lab_refcount, .timeout = 60);

/* clang-format off */
#define OT_LAB_VARIANT 0
#define V(name) stock_##name
#include "lab_again.h"

#define OT_LAB_VARIANT 1
#define V(name) c11_relaxed_##name
#include "lab_again.h"

#define OT_LAB_VARIANT 2
#define V(name) c11_acq_rel_##name
#include "lab_again.h"

#define OT_LAB_VARIANT 3
#define V(name) lock_##name
#include "lab_again.h"

#define OT_LAB_VARIANT 4
#define V(name) lock_all_##name
#include "lab_again.h"

#define OT_LAB_VARIANT 5
#define V(name) histogram_##name
#include "lab_again.h"

#define OT_LAB_VARIANT 6
#define V(name) lock_2006_##name
#include "lab_again.h"

#define OT_LAB_VARIANT 7
#define V(name) plain_all_##name
#include "lab_again.h"

#define OT_LAB_VARIANT 8
#define V(name) histogram_2006_##name
#include "lab_again.h"
/* clang-format on */

/* What the variants that record have in libpython: its table, lab/histogram.h. */
#include "lab/histogram.h"

typedef struct {
    const char *name;
    bool counts_all, records, atomic;
    void (*inc)(Py_ssize_t *);
    int (*dec_is_zero)(Py_ssize_t *);
    void (*add)(Py_ssize_t *, Py_ssize_t);
    void (*immortal_inc)(Py_ssize_t *);
    void (*immortal_dec)(Py_ssize_t *);
    Py_ssize_t (*seen)(Py_ssize_t);
} variant_t;

#define VARIANT(X, ...)                                                                            \
    {                                                                                              \
#X, __VA_ARGS__, X##_inc, X##_dec_is_zero, X##_add, X##_immortal_inc, X##_immortal_dec,    \
            X##_seen                                                                               \
    }

/* counts_all, records, atomic */
static const variant_t variants[] = {
    VARIANT(stock, false, false, false),       VARIANT(c11_relaxed, false, false, true),
    VARIANT(c11_acq_rel, false, false, true),  VARIANT(lock, false, false, true),
    VARIANT(lock_all, true, false, true),      VARIANT(histogram, false, true, false),
    VARIANT(lock_2006, true, false, true),     VARIANT(plain_all, true, false, false),
    VARIANT(histogram_2006, true, true, false)};

#define EACH_VARIANT(v)                                                                            \
    for (const variant_t *v = variants; v < variants + Py_ARRAY_LENGTH(variants); v++)

/* Those of 2006 have no test before a count, and begin far from zero. */
static bool
is_2006(const variant_t *v)
{
    return strstr(v->name, "2006") != NULL || strcmp(v->name, "plain_all") == 0;
}

/* _Py_IMMORTAL_REFCNT of 3.13; of 2006's variants: OT_LAB_IMMORTAL. */
static Py_ssize_t
immortal_of(const variant_t *v)
{
    return is_2006(v) ? (Py_ssize_t)1 << 61 : (Py_ssize_t)UINT_MAX;
}

/* As the patched Py_INCREF and Py_DECREF do. */
static void
inc_immortal(const variant_t *v, Py_ssize_t *count)
{
    (is_2006(v) ? v->inc : v->immortal_inc)(count);
}

static void
dec_immortal(const variant_t *v, Py_ssize_t *count)
{
    if (is_2006(v)) {
        CHECK(!v->dec_is_zero(count));
    } else {
        v->immortal_dec(count);
    }
}

/* As the patched _Py_IsImmortal. */
static bool
is_immortal(const variant_t *v, Py_ssize_t count)
{
    return is_2006(v) ? count >= (Py_ssize_t)1 << 60 : (int)count < 0;
}

Test(lab_refcount, zero_is_reported_once)
{
    EACH_VARIANT(v)
    {
        Py_ssize_t count = 1;
        v->add(&count, 5);
        cr_assert_eq(count, 6, "%s", v->name);
        v->inc(&count);
        cr_assert_eq(count, 7, "%s", v->name);
        cr_assert_not(v->dec_is_zero(&count));
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
        Py_ssize_t count = immortal_of(v);
        for (int i = 0; i < 1000; i++) {
            inc_immortal(v, &count);
            cr_assert(is_immortal(v, count), "%s", v->name);
            cr_assert_eq(v->seen(count), immortal_of(v), "%s", v->name);
        }
        for (int i = 0; i < 3000; i++) {
            dec_immortal(v, &count);
            cr_assert(is_immortal(v, count), "%s", v->name);
            cr_assert_eq(v->seen(count), immortal_of(v), "%s", v->name);
        }
        cr_assert_eq(v->seen(3), 3);
    }
}

/* Only some variants write to immortal objects at all: that is their point. */
Test(lab_refcount, immortal_objects_are_written_where_all_are_counted)
{
    EACH_VARIANT(v)
    {
        Py_ssize_t count = immortal_of(v);
        inc_immortal(v, &count);
        cr_assert_eq(count != immortal_of(v), v->counts_all, "%s", v->name);
        dec_immortal(v, &count);
        cr_assert_eq(count, immortal_of(v), "%s", v->name);
    }
}

/* ---- who is counted ------------------------------------------------------------------------- */

/* How an object begins in 3.13, for which the laboratory is; 3.14's count has 32 bits. */
typedef struct {
    Py_ssize_t count;
    PyTypeObject *type;
} object_t;

static const ot_lab_row_t *
row_of(const ot_lab_row_t *rows, const void *who)
{
    for (int i = 0; i < OT_LAB_ROWS; i++) {
        if (rows[i].who == who) {
            return &rows[i];
        }
    }
    return NULL;
}

Test(lab_refcount, those_that_record_know_who_was_counted)
{
    static PyTypeObject type;
    EACH_VARIANT(v)
    {
        object_t mortal = {1, &type}, none = {immortal_of(v), &type};
        ot_lab_histogram_begin();
        for (int i = 0; i < 3; i++) {
            v->inc(&mortal.count);
            inc_immortal(v, &none.count);
            inc_immortal(v, &none.count);
        }
        (void)v->dec_is_zero(&mortal.count);
        dec_immortal(v, &none.count);
        ot_lab_histogram_end();
        v->inc(&mortal.count); /* not any more */
        const ot_lab_row_t *by_type = row_of(ot_lab_histogram.mortal, &type);
        const ot_lab_row_t *by_object = row_of(ot_lab_histogram.immortal, &none);
        cr_assert_eq(by_type != NULL, v->records, "%s", v->name);
        cr_assert_eq(by_object != NULL, v->records, "%s", v->name);
        if (v->records) {
            cr_assert(by_type->up == 3 && by_type->down == 1, "%s", v->name);
            cr_assert(by_object->up == 6 && by_object->down == 1, "%s", v->name);
        }
        cr_assert_eq(ot_lab_histogram.lost, 0);
    }
}

Test(lab_refcount, counts_that_find_no_row_are_said)
{
    static PyTypeObject types[OT_LAB_ROWS + 5];
    ot_lab_histogram_begin();
    for (int i = 0; i < OT_LAB_ROWS + 5; i++) {
        object_t object = {1, &types[i]};
        histogram_inc(&object.count);
    }
    ot_lab_histogram_end();
    cr_assert_eq(ot_lab_histogram.lost, 5);
}

/* ---- threads -------------------------------------------------------------------------------- */

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
        inc_immortal(c->variant, &c->immortal_count);
        CHECK(!c->variant->dec_is_zero(&c->count));
        dec_immortal(c->variant, &c->immortal_count);
        c->variant->add(&c->count, 3);
    }
    return NULL;
}

Test(lab_refcount, threads_lose_no_count)
{
    EACH_VARIANT(v)
    {
        if (!v->atomic) {
            continue;
        }
        counted_t c = {v, 1, immortal_of(v)};
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            threads[i] = test_thread(count_both, &c);
        }
        for (int i = 0; i < THREADS; i++) {
            test_join(threads[i]);
        }
        cr_assert_eq(c.count, 1 + 3 * THREADS * PAIRS, "%s", v->name);
        cr_assert_eq(c.immortal_count, immortal_of(v), "%s", v->name);
    }
}
