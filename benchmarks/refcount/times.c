/* times.c: see times.h. */
#include "benchmarks/refcount/times.h"

#include <math.h>
#include <string.h>

#include "runtime/clock.h"

const double bench_quantile_at[BENCH_QUANTILES] = {0.5, 0.9, 0.99, 0.999, 1};
const char *const bench_quantile_name[BENCH_QUANTILES] = {"p50", "p90", "p99", "p999", "longest"};

void
bench_times_clear(bench_times_t *times)
{
    memset(times, 0, sizeof *times);
}

void
bench_times_merge(bench_times_t *into, const bench_times_t *from)
{
    for (int i = 0; i < BENCH_TIMES_BUCKETS; i++) {
        into->count[i] += from->count[i];
    }
    if (from->longest > into->longest) {
        into->longest = from->longest;
    }
}

/* The middle of a bucket. */
static double
ticks_of(int bucket)
{
    if (bucket < 2 * BENCH_TIMES_PARTS) {
        return bucket;
    }
    int shift = bucket / BENCH_TIMES_PARTS - 1;
    double least = ldexp(bucket % BENCH_TIMES_PARTS + BENCH_TIMES_PARTS, shift);
    return least + (ldexp(1, shift) - 1) / 2;
}

double
bench_times_quantile(const bench_times_t *times, double fraction)
{
    double all = 0, seen = 0;
    for (int i = 0; i < BENCH_TIMES_BUCKETS; i++) {
        all += (double)times->count[i];
    }
    if (all == 0) {
        return NAN;
    }
    if (fraction >= 1) {
        return (double)times->longest;
    }
    int bucket = 0;
    while ((seen += (double)times->count[bucket]) < fraction * all) {
        bucket++;
    }
    return fmin(ticks_of(bucket), (double)times->longest);
}

bench_clock_t
bench_clock_measure(void)
{
    enum { NS = 20 * 1000 * 1000, LOOKS = 10000 };
    static bench_times_t times; /* large */
    bench_times_clear(&times);
    int64_t begin = ot_clock_now(), end;
    uint64_t first = bench_ticks(), last;
    for (int i = 0; i < LOOKS; i++) {
        uint64_t before = bench_ticks();
        bench_times_add(&times, bench_ticks() - before);
    }
    do {
        last = bench_ticks();
        end = ot_clock_now();
    } while (end - begin < NS);
    double tick_ns = (double)(end - begin) / (double)(last - first);
    return (bench_clock_t){tick_ns, tick_ns * bench_times_quantile(&times, 0.5)};
}
