/* times.h: how long single operations take: the processor's clock, and a histogram of its differences.
 *
 * Purpose: an average hides who waits. The loop `each` (loops.h) times every pair by itself.
 * Main invariant: a histogram has each time that was added once, in the bucket that holds it; a bucket is
 * at most a sixteenth wide.
 * Threading: a histogram is its worker's while a loop runs, and main's between the steps of the pool.
 */
#ifndef OT_BENCH_TIMES_H
#define OT_BENCH_TIMES_H

#include <stdint.h>

#include "atomics/cpu.h"

/* Below 2 * PARTS a bucket for each number of ticks; above, PARTS for each power of two. */
enum { BENCH_TIMES_PARTS = 16, BENCH_TIMES_BUCKETS = (64 - 3) * BENCH_TIMES_PARTS };

typedef struct {
    OT_OWN_LINE uint64_t count[BENCH_TIMES_BUCKETS];
    uint64_t longest; /* ticks */
} bench_times_t;

/* What a tick is on this machine. */
typedef struct {
    double tick_ns; /* nanoseconds a tick */
    double own_ns;  /* between two looks at the clock with nothing between them: the median */
} bench_clock_t;

/* The fractions of all operations that are done in the times of bench_quantiles_t. */
enum { BENCH_QUANTILES = 5 };
extern const double bench_quantile_at[BENCH_QUANTILES]; /* the last is 1: the longest */
extern const char *const bench_quantile_name[BENCH_QUANTILES];

/* The clock in ticks. Instructions before it are done when it is read, and those behind it are not begun;
 * what waits in the store buffer may still be there. */
static inline uint64_t
bench_ticks(void)
{
#if defined(__x86_64__)
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(ticks) : : "memory");
    return ticks;
#else
#error "no clock is known for this processor"
#endif
}

static inline unsigned
bench_times_bucket(uint64_t ticks)
{
    if (ticks < 2 * BENCH_TIMES_PARTS) {
        return (unsigned)ticks;
    }
    unsigned shift = 63 - 4 - (unsigned)__builtin_clzll(ticks);
    return shift * BENCH_TIMES_PARTS + (unsigned)(ticks >> shift);
}

static inline void
bench_times_add(bench_times_t *times, uint64_t ticks)
{
    times->count[bench_times_bucket(ticks)]++;
    if (__builtin_expect(ticks > times->longest, 0)) {
        times->longest = ticks;
    }
}

void bench_times_clear(bench_times_t *times);
void bench_times_merge(bench_times_t *into, const bench_times_t *from);

/* The ticks within which that fraction of all operations is done, to a sixteenth; 1: exactly the longest.
 * NaN: there was none. */
double bench_times_quantile(const bench_times_t *times, double fraction);

/* Takes some hundredths of a second. */
bench_clock_t bench_clock_measure(void);

#endif
