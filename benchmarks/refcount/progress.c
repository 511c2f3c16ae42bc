/* progress.c: see progress.h. */
#include "benchmarks/refcount/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "runtime/clock.h"

static const int64_t SECOND = 1000000000;

void
bench_progress_begin(bench_progress_t *progress, double total)
{
    *progress = (bench_progress_t){
        .total = total,
        .began = ot_clock_now(),
        .said = ot_clock_now(),
        .terminal = isatty(STDERR_FILENO) != 0,
    };
}

void
bench_progress_add(bench_progress_t *progress, double weight, const char *what)
{
    progress->done += weight;
    int64_t now = ot_clock_now();
    if (now - progress->said < (progress->terminal ? SECOND / 5 : 10 * SECOND)) {
        return;
    }
    progress->said = now;
    double share = progress->done / progress->total;
    double gone = (double)(now - progress->began) / (double)SECOND;
    fprintf(stderr, "%s%3.0f %%, about %.0f s left: %s%s", progress->terminal ? "\r\033[K" : "",
            100 * share, share > 0 ? gone * (1 - share) / share : 0, what,
            progress->terminal ? "" : "\n");
    fflush(stderr);
}

void
bench_progress_clear(bench_progress_t *progress)
{
    if (progress->terminal) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
}
