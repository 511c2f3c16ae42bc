// TSAN-SOURCES:
/* atomics_stress.c: every refcount variant and lock under ThreadSanitizer, by the same cases as
 * tests/c/test_refcount.c and test_lock.c.
 *
 * Under ThreadSanitizer locked.h gives C11 atomics, for it does not see into assembly; so what is
 * checked of `lock` and `xadd` is that their orders suffice, not the instructions.
 */
#include "tests/c/lock_cases.h"
#include "tests/c/refcount_cases.h"

/* Whether ThreadSanitizer notices a missing order depends on how the threads happened to meet: with
 * relaxed decs in cas.h and refcount.h, one round in three was reported. */
enum { ROUNDS = 15 };

static int failures;

static void
report(const char *variant, const char *name, const char *wrong)
{
    if (wrong != NULL) {
        printf("%s, %s: %s\n", variant, name, wrong);
        failures++;
    }
}

#define RUN_CASE(X, name) report(#X, #name, name(&ops_##X));
#define RUN_VARIANT(X, traits, text)                                                               \
    RC_EACH_CASE(RUN_CASE, X)                                                                      \
    for (int i = 1; i < ROUNDS; i++) {                                                             \
        RUN_CASE(X, zero_is_reached_exactly_once)                                                  \
    }
#define RUN_TRY_INC(X) report(#X, "try_inc", X##_try_inc_fails_after_zero());
#define RUN_LOCK(X, text) report(#X, "one_holder_at_a_time", one_holder_at_a_time(&lk_ops_##X));

int
main(void)
{
    OT_RC_EACH(RUN_VARIANT)
    OT_RC_EACH_TRY_INC(RUN_TRY_INC)
    report("biased", "merges once, by its owner", biased_merges_once(true));
    report("biased", "merges once, its owner gone", biased_merges_once(false));
    OT_LK_EACH(RUN_LOCK)
    printf("atomics_stress: %d failures\n", failures);
    return failures > 0;
}
