/* counters.h: the processor's own counters, where the machine lets us have them.
 *
 * Purpose: cycles, instructions, cache misses and HITM loads (a load that found the line modified
 * in another core: the price of sharing) of one thread, in user space.
 * Main invariant: all of a thread's counters form one group, so that they count the same stretch.
 * Threading: a bench_counters_t counts, and is read by, the thread that opened it.
 */
#ifndef OT_BENCH_COUNTERS_H
#define OT_BENCH_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    BENCH_CYCLES,
    BENCH_INSTRUCTIONS,
    BENCH_MISSES,
    BENCH_HITM,
    BENCH_COUNTERS,
} bench_counter_t;

typedef struct {
    int open;                  /* how many there are */
    int leader;                /* their file descriptor; -1: none */
    int fd[BENCH_COUNTERS];    /* in the order of the group */
    int which[BENCH_COUNTERS]; /* a bench_counter_t for each */
} bench_counters_t;

typedef struct {
    uint64_t enabled,
        running; /* ns; less running than enabled: the kernel shared the counters out */
    uint64_t value[BENCH_COUNTERS];
} bench_reading_t;

typedef struct {
    bool available;
    char why_not[160]; /* empty if available */
    bool has[BENCH_COUNTERS];
} bench_counter_support_t;

extern const char *const bench_counter_names[BENCH_COUNTERS];

/* Tries the counters on the calling thread. `intel`: HITM's number is Intel's. */
bench_counter_support_t bench_counters_probe(bool intel);

/* Opens for the calling thread what `support` says there is; they run from now on. */
bench_counters_t bench_counters_open(const bench_counter_support_t *support);
void bench_counters_close(bench_counters_t *counters);

/* All zero without counters. One system call. */
void bench_counters_read(const bench_counters_t *counters, bench_reading_t *reading);

/* What was counted in between, extrapolated to all the time; NaN if not counted. */
double bench_counters_between(const bench_reading_t *before, const bench_reading_t *after,
                              bench_counter_t which);

#endif
