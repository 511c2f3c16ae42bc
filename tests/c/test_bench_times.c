/* The histogram of benchmarks/refcount/times.c: quantiles of single operations, against a sorted list. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "benchmarks/refcount/times.h"

static bench_times_t times, others;

static uint64_t
draw(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (*random >> 20) >> (*random % 40); /* of all magnitudes */
}

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

Test(bench_times, buckets_are_in_order_and_a_sixteenth_wide)
{
    unsigned last = 0;
    for (uint64_t least = 0, ticks = 0; ticks < UINT64_C(1) << 20; ticks++) {
        unsigned bucket = bench_times_bucket(ticks);
        cr_assert(bucket == last || bucket == last + 1);
        if (bucket != last) {
            cr_assert(ticks < 2 * BENCH_TIMES_PARTS || ticks - least <= least / BENCH_TIMES_PARTS);
            last = bucket;
            least = ticks;
        }
    }
    cr_assert_lt(bench_times_bucket(UINT64_MAX), BENCH_TIMES_BUCKETS);
}

Test(bench_times, quantiles_are_those_of_the_sorted_times)
{
    enum { N = 20000 };
    static uint64_t sorted[N];
    uint64_t random = 7;
    bench_times_clear(&times);
    for (int i = 0; i < N; i++) {
        sorted[i] = draw(&random);
        bench_times_add(&times, sorted[i]);
    }
    qsort(sorted, N, sizeof sorted[0], compare);
    for (int q = 0; q < BENCH_QUANTILES - 1; q++) {
        double exact = (double)sorted[(int)ceil(bench_quantile_at[q] * N) - 1];
        double found = bench_times_quantile(&times, bench_quantile_at[q]);
        cr_assert(fabs(found - exact) <= exact / BENCH_TIMES_PARTS, "%s: %g, not %g",
                  bench_quantile_name[q], found, exact);
    }
    cr_assert_eq(bench_times_quantile(&times, 1), (double)sorted[N - 1]);
}

Test(bench_times, threads_are_added_up)
{
    bench_times_clear(&times);
    bench_times_clear(&others);
    cr_assert(isnan(bench_times_quantile(&times, 0.5)));
    for (int i = 0; i < 3; i++) {
        bench_times_add(&times, 5);
    }
    for (int i = 0; i < 4; i++) {
        bench_times_add(&others, 9);
    }
    bench_times_merge(&times, &others);
    cr_assert_eq(bench_times_quantile(&times, 0.4), 5);
    cr_assert_eq(bench_times_quantile(&times, 0.5), 9);
    cr_assert_eq(times.longest, 9);
    bench_times_clear(&times);
    bench_times_add(&times, 1000); /* the middle of its bucket is above it */
    cr_assert_eq(bench_times_quantile(&times, 0.5), 1000);
}

Test(bench_times, a_tick_is_what_the_clock_says)
{
    bench_clock_t clock = bench_clock_measure();
    cr_assert(clock.tick_ns > 0.05 && clock.tick_ns < 200, "%g ns a tick", clock.tick_ns);
    cr_assert(clock.own_ns >= 0 && clock.own_ns < 10000, "%g ns", clock.own_ns);
}
