/* results.c: see results.h.
 *
 * Purpose: growing lists and a little arithmetic.
 * Main invariant: see results.h.
 * Threading: main.
 */
#include "benchmarks/refcount/results.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A benchmark that cannot have a few kilobytes has nothing to report. */
static void *
grow(void *list, size_t bytes)
{
    void *longer = realloc(list, bytes);
    if (longer == NULL) {
        fprintf(stderr, "refcount: no memory for results\n");
        exit(1);
    }
    return longer;
}

bench_case_t *
bench_results_new_case(bench_results_t *results, const bench_setup_t *setup, int repeat)
{
    results->cases = grow(results->cases, (size_t)(results->n_cases + 1) * sizeof(bench_case_t));
    bench_case_t *one = &results->cases[results->n_cases++];
    size_t bytes = (size_t)repeat * sizeof(double);
    *one = (bench_case_t){
        .setup = *setup,
        .wrong = bench_is_wrong(setup->pattern, setup->subject, setup->threads),
        .ns = grow(NULL, bytes),
        .ops_per_s = grow(NULL, bytes),
        .fairness = grow(NULL, bytes),
        .scaling = NAN,
    };
    return one;
}

void
bench_results_skip(bench_results_t *results, const bench_setup_t *setup, const char *why)
{
    results->skips = grow(results->skips, (size_t)(results->n_skips + 1) * sizeof(bench_skip_t));
    bench_skip_t *skip = &results->skips[results->n_skips++];
    *skip = (bench_skip_t){.setup = *setup};
    snprintf(skip->why, sizeof skip->why, "%s", why);
}

void
bench_results_control(bench_results_t *results, const char *pattern, int threads, double times_one)
{
    size_t n = (size_t)results->n_controls + 1;
    results->controls = grow(results->controls, n * sizeof(bench_control_t));
    results->controls[results->n_controls++] =
        (bench_control_t){.pattern = pattern, .threads = threads, .times_one = times_one};
}

void
bench_results_free(bench_results_t *results)
{
    for (int i = 0; i < results->n_cases; i++) {
        free(results->cases[i].ns);
        free(results->cases[i].ops_per_s);
        free(results->cases[i].fairness);
        free(results->cases[i].ratio);
    }
    free(results->cases);
    free(results->skips);
    free(results->controls);
}

void
bench_case_add(bench_case_t *one, const bench_sample_t *sample)
{
    one->ns[one->samples] = sample->ns;
    one->ops_per_s[one->samples] = sample->ops_per_s;
    one->fairness[one->samples] = sample->fairness;
    one->samples++;
    one->ops += sample->ops;
    for (int c = 0; c < BENCH_COUNTERS; c++) {
        one->count[c] += sample->count[c];
    }
}

/* ---- comparing ----------------------------------------------------------------------------- */

static const bench_case_t *
find_plain(const bench_results_t *results, int first)
{
    for (int i = first; i < results->n_cases; i++) {
        if (strcmp(results->cases[i].setup.subject->name, "plain") == 0) {
            return &results->cases[i];
        }
    }
    return NULL;
}

static const bench_case_t *
find_alone(const bench_results_t *results, const bench_setup_t *setup)
{
    for (int i = 0; i < results->n_cases; i++) {
        const bench_setup_t *other = &results->cases[i].setup;
        if (other->threads == 1 && other->pattern == setup->pattern &&
            other->subject == setup->subject && other->size == setup->size) {
            return &results->cases[i];
        }
    }
    return NULL;
}

static void
compare_to_plain(bench_case_t *one, const bench_case_t *plain)
{
    if (plain == NULL || one->setup.subject->is_lock) {
        return;
    }
    one->ratio = grow(NULL, (size_t)one->samples * sizeof(double));
    for (int i = 0; i < one->samples; i++) {
        one->ratio[i] = one->ns[i] / plain->ns[i];
    }
}

void
bench_results_compare(bench_results_t *results, int first)
{
    const bench_case_t *plain = find_plain(results, first);
    for (int i = first; i < results->n_cases; i++) {
        bench_case_t *one = &results->cases[i];
        compare_to_plain(one, plain);
        const bench_case_t *alone = find_alone(results, &one->setup);
        if (alone != NULL) {
            one->scaling = bench_spread(one->ops_per_s, one->samples).median /
                           bench_spread(alone->ops_per_s, alone->samples).median;
        }
    }
}

static int
compare_doubles(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

bench_spread_t
bench_spread(const double *values, int n)
{
    double *sorted = grow(NULL, (size_t)(n > 0 ? n : 1) * sizeof *sorted);
    int numbers = 0;
    for (int i = 0; i < n; i++) {
        if (!isnan(values[i])) {
            sorted[numbers++] = values[i];
        }
    }
    bench_spread_t spread = {NAN, NAN, NAN};
    if (numbers > 0) {
        qsort(sorted, (size_t)numbers, sizeof *sorted, compare_doubles);
        spread.median = (sorted[(numbers - 1) / 2] + sorted[numbers / 2]) / 2;
        spread.least = sorted[0];
        spread.most = sorted[numbers - 1];
    }
    free(sorted);
    return spread;
}

double
bench_case_count(const bench_case_t *one, bench_counter_t which)
{
    return one->ops > 0 ? one->count[which] / one->ops : NAN;
}
