/* machine.h: on what, and with what, the figures were taken.
 *
 * Purpose: CPU, kernel, the CPUs that we may use, compiler, flags, commit.
 * Main invariant: cpus[] is in the order in which threads are pinned: one of each core first, so
 * that hyperthreads of one core meet only when there are more threads than cores.
 * Threading: main, once, before any worker is started.
 */
#ifndef OT_BENCH_MACHINE_H
#define OT_BENCH_MACHINE_H

#include <stdbool.h>

enum { BENCH_MOST_CPUS = 1024 };

typedef struct {
    char cpu[160], kernel[160], date[16];
    int cores; /* physical ones among the allowed CPUs */
    int n_cpus, cpus[BENCH_MOST_CPUS];
    bool intel;
    int virtualised; /* 1, 0, or -1: unknown */
    const char *compiler, *flags;
    const char *commit; /* NULL: unknown; ends in + if the tree differed from it */
} bench_machine_t;

bench_machine_t bench_machine(void);

#endif
