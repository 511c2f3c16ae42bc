/* test_refcount.c: every variant of atomics/refcount/ under one body (refcount_cases.h), and what
 * is particular to some. No Python. */
#include "refcount_cases.h"

#include <criterion/criterion.h>

#define EXPECT_RIGHT(call)                                                                         \
    do {                                                                                           \
        const char *wrong = (call);                                                                \
        cr_assert_null(wrong, "%s", wrong);                                                        \
    } while (0)

#define CASE_TEST(X, name)                                                                         \
    Test(refcount, X##_##name, .timeout = 120)                                                     \
    {                                                                                              \
        EXPECT_RIGHT(name(&ops_##X));                                                              \
    }
#define VARIANT_TESTS(X, traits, text) RC_EACH_CASE(CASE_TEST, X)
OT_RC_EACH(VARIANT_TESTS)

#define TRY_INC_TEST(X)                                                                            \
    Test(refcount, X##_try_inc_fails_after_zero, .timeout = 120)                                   \
    {                                                                                              \
        EXPECT_RIGHT(X##_try_inc_fails_after_zero());                                              \
    }
OT_RC_EACH_TRY_INC(TRY_INC_TEST)

Test(refcount, biased_merges_once_by_its_owner, .timeout = 120)
{
    EXPECT_RIGHT(biased_merges_once(true));
}

Test(refcount, biased_merges_once_after_its_owner_has_left, .timeout = 120)
{
    EXPECT_RIGHT(biased_merges_once(false));
}

Test(refcount, biased_stays_with_its_owner_while_nobody_else_comes)
{
    ot_rc_biased_t rc;
    size_t before = merges_so_far();
    ot_rc_biased_init(&rc);
    for (int i = 0; i < 1000; i++) {
        ot_rc_biased_inc(&rc);
    }
    for (int i = 0; i < 1000; i++) {
        cr_assert_not(ot_rc_biased_dec(&rc));
    }
    cr_assert_eq(atomic_load(&rc.shared), 0);
    cr_assert(ot_rc_biased_drop(&rc));
    cr_assert_eq(merges_so_far(), before);
}

/* ---- immortal ----------------------------------------------------------------------------- */

/* Unbalanced on purpose: more decs than incs would end any mortal object. */
static void
dec_an_immortal(crowd_t *c, int number)
{
    for (long i = 0; i < c->times; i++) {
        if ((i + number) % 3 == 0) {
            c->ops->inc(rc_of(c->objects));
        } else if (c->ops->dec(rc_of(c->objects))) {
            note_zero(rc_of(c->objects), c->zeros);
        }
    }
}

#define IMMORTAL_TESTS(X)                                                                          \
    Test(refcount, X##_stays_immortal, .timeout = 60)                                              \
    {                                                                                              \
        atomic_long zeros = 0;                                                                     \
        crowd_t c = {.ops = &ops_##X, .n = 1, .times = 100000, .zeros = &zeros};                   \
        c.objects = objects_new(1, &ops_##X);                                                      \
        ot_rc_##X##_immortalise(rc_of(c.objects));                                                 \
        crowd_run(&c, dec_an_immortal);                                                            \
        cr_assert_eq(zeros, 0);                                                                    \
        cr_assert_eq(ot_rc_##X##_get(rc_of(c.objects)), (long)OT_RC_IMMORTAL);                     \
        free(c.objects);                                                                           \
    }                                                                                              \
    Test(refcount, X##_saturates_instead_of_overflowing, .timeout = 60)                            \
    {                                                                                              \
        atomic_long zeros = 0;                                                                     \
        crowd_t c = {.ops = &ops_##X, .n = 1, .times = 1000, .zeros = &zeros};                     \
        c.objects = objects_new(1, &ops_##X);                                                      \
        ot_rc_##X##_t *rc = rc_of(c.objects);                                                      \
        rc->count = INT32_MAX - 10;                                                                \
        crowd_run(&c, inc_many);                                                                   \
        long stuck = ot_rc_##X##_get(rc);                                                          \
        cr_assert_geq(stuck, (long)INT32_MAX + 1);                                                 \
        cr_assert_leq(stuck, (long)INT32_MAX + 1 + CASE_THREADS);                                  \
        crowd_run(&c, dec_an_immortal);                                                            \
        cr_assert_eq(ot_rc_##X##_get(rc), stuck);                                                  \
        cr_assert_eq(zeros, 0);                                                                    \
        free(c.objects);                                                                           \
    }
OT_RC_EACH_IMMORTAL(IMMORTAL_TESTS)

/* ---- CPython's ---------------------------------------------------------------------------- */

#define CPYTHON_TESTS(X, immortal)                                                                 \
    Test(refcount, X##_stays_immortal, .timeout = 60)                                              \
    {                                                                                              \
        ot_rc_##X##_t rc;                                                                          \
        ot_rc_##X##_init(&rc);                                                                     \
        ot_rc_##X##_immortalise(&rc);                                                              \
        for (int i = 0; i < 1000; i++) {                                                           \
            ot_rc_##X##_inc(&rc);                                                                  \
            cr_assert_not(ot_rc_##X##_dec(&rc));                                                   \
            cr_assert_not(ot_rc_##X##_dec(&rc));                                                   \
        }                                                                                          \
        cr_assert_eq(ot_rc_##X##_get(&rc), (long)(immortal));                                      \
    }                                                                                              \
    Test(refcount, X##_goes_on_from_2_to_the_31)                                                   \
    {                                                                                              \
        ot_rc_##X##_t rc = {.whole = INT32_MAX};                                                   \
        ot_rc_##X##_inc(&rc);                                                                      \
        ot_rc_##X##_inc(&rc);                                                                      \
        cr_assert_not(ot_rc_##X##_dec(&rc), "immortal now");                                       \
        cr_assert_eq(ot_rc_##X##_get(&rc), INT32_MAX + 2L);                                        \
    }
OT_RC_EACH_CPYTHON(CPYTHON_TESTS)

/* What the two differ in: 3.14 keeps flags in the upper half. */
Test(refcount, cpython_counts_are_of_their_widths)
{
    ot_rc_cpython314_t flags = {.whole = (INT64_C(5) << 48) + 1};
    ot_rc_cpython314_inc(&flags);
    cr_assert_eq(ot_rc_cpython314_get(&flags), 2);
    cr_assert_not(ot_rc_cpython314_dec(&flags));
    cr_assert(ot_rc_cpython314_dec(&flags));
    cr_assert_eq(flags.whole, INT64_C(5) << 48);
    ot_rc_cpython313_t whole = {.whole = (INT64_C(5) << 48) + 1};
    cr_assert_not(ot_rc_cpython313_dec(&whole), "the dec takes the whole word");
}

/* ---- sharded ------------------------------------------------------------------------------ */

Test(refcount, sharded_sees_no_zero_before_the_creators_drop)
{
    static ot_rc_sharded_t rc;
    ot_rc_sharded_init(&rc);
    ot_rc_sharded_inc(&rc);
    cr_assert_not(ot_rc_sharded_dec(&rc));
    cr_assert_eq(ot_rc_sharded_get(&rc), 1);
    ot_rc_sharded_inc(&rc);
    cr_assert_not(ot_rc_sharded_drop(&rc));
    cr_assert_eq(ot_rc_sharded_get(&rc), 1);
    cr_assert(ot_rc_sharded_dec(&rc));
}

/* ---- deferred ----------------------------------------------------------------------------- */

static ot_rc_deferred_t *reported[4];
static size_t n_reported;

static void
keep_report(void *rc, void *arg)
{
    (void)arg;
    reported[n_reported++] = rc;
}

Test(refcount, deferred_reports_at_the_next_poll)
{
    ot_rc_deferred_t a, b;
    ot_rc_deferred_init(&a);
    ot_rc_deferred_init(&b);
    ot_rc_deferred_inc(&b);
    cr_assert_eq(ot_rc_deferred_get(&b), 1, "an inc is written down, not applied");
    ot_rc_deferred_drop(&a);
    ot_rc_deferred_drop(&b);
    cr_assert_eq(n_reported, 0);
    ot_rc_deferred_poll(keep_report, NULL);
    cr_assert_eq(n_reported, 1);
    cr_assert_eq(reported[0], &a);
    cr_assert_eq(ot_rc_deferred_get(&b), 1);
    ot_rc_deferred_dec(&b);
    ot_rc_deferred_leave(keep_report, NULL);
    cr_assert_eq(n_reported, 2);
    cr_assert_eq(reported[1], &b);
}

/* What one thread alone writes down is applied when its ring is full. */
Test(refcount, deferred_applies_a_full_ring_without_a_poll)
{
    ot_rc_deferred_t rc;
    ot_rc_deferred_init(&rc);
    for (int i = 0; i < OT_RC_DEFERRED + 1; i++) {
        ot_rc_deferred_inc(&rc);
    }
    cr_assert_eq(ot_rc_deferred_get(&rc), 1 + OT_RC_DEFERRED);
    ot_rc_deferred_leave(keep_report, NULL);
    cr_assert_eq(ot_rc_deferred_get(&rc), 2 + OT_RC_DEFERRED);
    cr_assert_eq(n_reported, 0);
}
