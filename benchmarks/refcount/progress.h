/* progress.h: how far the run is, on stderr.
 *
 * Purpose: a line that is updated on a terminal, a line every few seconds elsewhere.
 * Main invariant: work is weighed by the time that it will roughly take, so that percent and time
 * left mean something although streams over much memory take longer than the rest.
 * Threading: main.
 */
#ifndef OT_BENCH_PROGRESS_H
#define OT_BENCH_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    double total, done; /* weight: about seconds */
    int64_t began, said;
    bool terminal;
} bench_progress_t;

void bench_progress_begin(bench_progress_t *progress, double total);

/* `weight` more is done; `what` comes next. */
void bench_progress_add(bench_progress_t *progress, double weight, const char *what);

/* Makes room for stdout. */
void bench_progress_clear(bench_progress_t *progress);

#endif
