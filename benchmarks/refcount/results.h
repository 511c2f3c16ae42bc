/* results.h: what was found, case after case.
 *
 * Purpose: keeps every sample, works out what is reported of them: median, spread, ratio to plain
 * of the same repetition, scaling.
 * Main invariant: a case has `samples` entries in each of its arrays; ratio is NULL or has as many.
 * Threading: main.
 */
#ifndef OT_BENCH_RESULTS_H
#define OT_BENCH_RESULTS_H

#include <stdbool.h>

#include "benchmarks/refcount/sample.h"

typedef struct {
    bench_setup_t setup;
    bool wrong;
    char note[240];
    int samples;
    double *ns, *ops_per_s, *fairness;
    double *ratio;                     /* ns to plain's; NULL for locks, or without plain */
    double scaling;                    /* NaN: no case with one thread */
    double ops, count[BENCH_COUNTERS]; /* sums over the samples */
} bench_case_t;

typedef struct {
    bench_setup_t setup;
    char why[120];
} bench_skip_t;

typedef struct {
    const char *pattern; /* "(before)", "(after)": of the whole run */
    int threads;
    double times_one;
} bench_control_t;

typedef struct {
    bench_case_t *cases;
    int n_cases;
    bench_skip_t *skips;
    int n_skips;
    bench_control_t *controls;
    int n_controls;
} bench_results_t;

typedef struct {
    double median, least, most;
} bench_spread_t;

/* The lists grow; without memory the program ends, saying so. The pointer that new_case returns is
 * good until the next call. */
bench_case_t *bench_results_new_case(bench_results_t *results, const bench_setup_t *setup,
                                     int repeat);
void bench_results_skip(bench_results_t *results, const bench_setup_t *setup, const char *why);
void bench_results_control(bench_results_t *results, const char *pattern, int threads,
                           double times_one);
void bench_results_free(bench_results_t *results);

void bench_case_add(bench_case_t *one, const bench_sample_t *sample);

/* Fills in ratio and scaling of the cases from `first` on, a group of one pattern, size and number
 * of threads. */
void bench_results_compare(bench_results_t *results, int first);

bench_spread_t bench_spread(const double *values, int n);

/* Per op; NaN: not counted. */
double bench_case_count(const bench_case_t *one, bench_counter_t which);

#endif
