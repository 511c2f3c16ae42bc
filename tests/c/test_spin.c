/* test_spin.c: who may spin, and what is learnt from it. No Python. */
#include "support.h"

#include <sched.h>

#include "runtime/spin.h"

static ot_spin_t
spin_new(void)
{
    if (ot_spin_cpus() < 2) {
        cr_skip_test("nobody spins on one CPU");
    }
    ot_spin_t s;
    ot_spin_init(&s);
    return s;
}

/* Spins in vain until it is told not to; how often it did. */
static int
discourage(ot_spin_t *s)
{
    int n = 0;
    for (; ot_spin_begin(s); n++) {
        ot_spin_end(s, false);
        cr_assert_lt(n, OT_SPIN_MAX);
    }
    return n;
}

static int
begun_of(ot_spin_t *s, int waits, bool paid)
{
    int begun = 0;
    for (int i = 0; i < waits; i++) {
        if (ot_spin_begin(s)) {
            begun++;
            ot_spin_end(s, paid);
        }
    }
    return begun;
}

Test(spin, one_spins_at_a_time)
{
    ot_spin_t s = spin_new();
    cr_assert(ot_spin_begin(&s));
    cr_assert_not(ot_spin_begin(&s));
    ot_spin_end(&s, true);
    cr_assert(ot_spin_begin(&s));
}

Test(spin, goes_on_where_it_pays_two_times_of_three)
{
    ot_spin_t s = spin_new();
    for (int i = 0; i < 300; i++) {
        cr_assert(ot_spin_begin(&s));
        ot_spin_end(&s, i % 3 != 0);
    }
}

Test(spin, stops_where_it_does_not_pay)
{
    ot_spin_t s = spin_new();
    cr_assert_eq(discourage(&s), OT_SPIN_START / 2);
}

Test(spin, success_is_remembered_up_to_a_bound)
{
    ot_spin_t s = spin_new();
    begun_of(&s, 1000, true);
    cr_assert_eq(discourage(&s), OT_SPIN_MAX / 2);
}

Test(spin, tries_again_now_and_then)
{
    ot_spin_t s = spin_new();
    discourage(&s);
    cr_assert_eq(begun_of(&s, 4 * OT_SPIN_RETRY, false), 4);
}

Test(spin, begins_anew_when_it_pays_again)
{
    ot_spin_t s = spin_new();
    discourage(&s);
    begun_of(&s, OT_SPIN_RETRY, true); /* one of them, and with its credit the rest */
    cr_assert_eq(begun_of(&s, 10, true), 10);
}

static void
spin_on_one_cpu(void *arg)
{
    (void)arg;
    cpu_set_t allowed, one;
    CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &allowed)) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    ot_spin_t s;
    ot_spin_init(&s);
    CHECK(ot_spin_cpus() == 1);
    CHECK(!ot_spin_begin(&s));
}

Test(spin, nobody_spins_on_one_cpu)
{
    test_in_child(spin_on_one_cpu, NULL);
}
