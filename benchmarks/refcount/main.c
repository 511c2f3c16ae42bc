/* main.c: what refcounts cost, alone and when threads meet: the order of the run.
 *
 * Purpose: for each pattern, size and number of threads: repetitions, in each of which every
 * variant gets one sample, forwards and backwards in turn, so that a variant and plain are
 * compared within moments; then the group's table.
 * Main invariant: a case is measured, or skipped with a reason that is printed and recorded.
 * Threading: this is main; workers are the pool's.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "benchmarks/refcount/json.h"
#include "benchmarks/refcount/machine.h"
#include "benchmarks/refcount/options.h"
#include "benchmarks/refcount/pool.h"
#include "benchmarks/refcount/progress.h"
#include "benchmarks/refcount/results.h"
#include "benchmarks/refcount/sample.h"
#include "benchmarks/refcount/table.h"

/* Of a sample's weight, roughly: starting it, and making and checking a byte of objects. */
static const double START_SECONDS = 0.0005, BYTE_SECONDS = 0.4e-9;
static const double MOST_CONTROL_SECONDS = 0.02;
enum { CONTROLS = 5 }; /* of which the median is taken, before and after everything */

typedef struct {
    bench_machine_t machine;
    bench_options_t options;
    bench_counter_support_t support;
    bench_lab_t lab;
    bench_results_t results;
    bench_progress_t progress;
} run_t;

/* What a group's cases have in common. */
typedef struct {
    const bench_pattern_t *pattern;
    size_t size;
    int threads;
} group_t;

/* False: stop, an error has been reported. */
typedef bool (*group_fn)(run_t *run, const group_t *group);

static bool
each_group(run_t *run, group_fn do_group)
{
    const bench_options_t *options = &run->options;
    for (int p = 0; p < options->n_patterns; p++) {
        bool sized = options->patterns[p]->kind == BENCH_STREAM;
        for (int s = 0; s < (sized ? options->sizes.n : 1); s++) {
            for (int t = 0; t < options->threads.n; t++) {
                group_t group = {options->patterns[p], sized ? (size_t)options->sizes.x[s] : 0,
                                 options->threads.x[t]};
                if (!do_group(run, &group)) {
                    return false;
                }
            }
        }
    }
    return true;
}

static bench_setup_t
setup_of(const group_t *group, const bench_subject_t *subject)
{
    return (bench_setup_t){group->pattern, subject, group->size, group->threads};
}

/* Whether to measure it; if not, why. An empty why: the pattern is not for this subject. */
static bool
is_possible(const run_t *run, const bench_setup_t *setup, char *why, size_t size)
{
    why[0] = '\0';
    if (!bench_runs(setup->pattern, setup->subject)) {
        return false;
    }
    size_t bytes = bench_sample_bytes(setup);
    if (bytes > run->options.memory) {
        snprintf(why, size, "needs %zu MiB, and --memory is %zu", (bytes >> 20) + 1,
                 run->options.memory >> 20);
        return false;
    }
    return true;
}

static double
weight_of(const run_t *run, const bench_setup_t *setup)
{
    return run->options.seconds + START_SECONDS + BYTE_SECONDS * (double)bench_sample_bytes(setup);
}

static double
control_seconds(const run_t *run)
{
    return fmin(run->options.seconds, MOST_CONTROL_SECONDS);
}

static bool
add_weight(run_t *run, const group_t *group)
{
    char why[120];
    for (int i = 0; i < run->options.n_subjects && bench_runs_with(group->pattern, group->threads);
         i++) {
        bench_setup_t setup = setup_of(group, run->options.subjects[i]);
        if (is_possible(run, &setup, why, sizeof why)) {
            run->progress.total += run->options.repeat * weight_of(run, &setup);
        }
    }
    return true;
}

/* ---- a group ------------------------------------------------------------------------------- */

/* Makes a case for each subject that can be measured. */
static void
open_cases(run_t *run, const group_t *group)
{
    for (int i = 0; i < run->options.n_subjects; i++) {
        bench_setup_t setup = setup_of(group, run->options.subjects[i]);
        char why[120];
        if (is_possible(run, &setup, why, sizeof why)) {
            bench_case_t *one = bench_results_new_case(&run->results, &setup, run->options.repeat);
            bench_note(group->pattern, setup.subject, group->threads, run->machine.n_cpus,
                       one->note, sizeof one->note);
        } else if (why[0] != '\0') {
            bench_results_skip(&run->results, &setup, why);
        }
    }
}

static bool
sample_case(run_t *run, bench_case_t *one)
{
    bench_sample_t sample;
    if (!bench_sample(&run->lab, &one->setup, run->options.seconds, &sample)) {
        return false;
    }
    bench_case_add(one, &sample);
    char what[96];
    snprintf(what, sizeof what, "%s, %d thread%s", one->setup.pattern->name, one->setup.threads,
             one->setup.threads == 1 ? "" : "s");
    bench_progress_add(&run->progress, weight_of(run, &one->setup), what);
    return true;
}

static bool
repeat_cases(run_t *run, int first, double *controls)
{
    int n = run->results.n_cases - first;
    for (int rep = 0; rep < run->options.repeat; rep++) {
        int threads = run->results.cases[first].setup.threads;
        controls[rep] = threads > 1 ? bench_control(&run->lab, threads, control_seconds(run)) : NAN;
        for (int i = 0; i < n; i++) {
            int which = rep % 2 == 0 ? i : n - 1 - i;
            if (!sample_case(run, &run->results.cases[first + which])) {
                return false;
            }
        }
    }
    return true;
}

static bool
run_group(run_t *run, const group_t *group)
{
    if (!bench_runs_with(group->pattern, group->threads)) {
        return true;
    }
    int first = run->results.n_cases, first_skip = run->results.n_skips;
    double *controls = calloc((size_t)run->options.repeat, sizeof *controls), control = NAN;
    open_cases(run, group);
    bool ok = controls != NULL;
    if (ok && first < run->results.n_cases) {
        ok = repeat_cases(run, first, controls);
        control = bench_spread(controls, run->options.repeat).median;
    }
    free(controls);
    if (!ok) {
        return false;
    }
    if (!isnan(control)) {
        bench_results_control(&run->results, group->pattern->name, group->threads, control);
    }
    bench_results_compare(&run->results, first);
    bench_progress_clear(&run->progress);
    bench_table_group(&run->results, first, first_skip, control, &run->support);
    return true;
}

/* ---- the run ------------------------------------------------------------------------------- */

static int
most_threads(const run_t *run)
{
    return run->options.threads.x[run->options.threads.n - 1];
}

static void
control_all(run_t *run, const char *when)
{
    int threads = most_threads(run);
    if (threads > 1) {
        double times[CONTROLS];
        for (int i = 0; i < CONTROLS; i++) {
            times[i] = bench_control(&run->lab, threads, control_seconds(run));
        }
        bench_results_control(&run->results, when, threads, bench_spread(times, CONTROLS).median);
    }
}

/* ping_pong is for two threads; if those were not asked for it is skipped, but not silently. */
static void
skip_what_never_runs(run_t *run)
{
    for (int p = 0; p < run->options.n_patterns; p++) {
        const bench_pattern_t *pattern = run->options.patterns[p];
        bool runs = false;
        for (int t = 0; t < run->options.threads.n; t++) {
            runs = runs || bench_runs_with(pattern, run->options.threads.x[t]);
        }
        int first_skip = run->results.n_skips;
        for (int i = 0; i < run->options.n_subjects && !runs; i++) {
            group_t group = {pattern, 0, 2};
            bench_setup_t setup = setup_of(&group, run->options.subjects[i]);
            if (bench_runs(pattern, setup.subject)) {
                bench_results_skip(&run->results, &setup,
                                   "it is for exactly 2 threads, and --threads has no 2");
            }
        }
        bench_table_group(&run->results, run->results.n_cases, first_skip, NAN, &run->support);
    }
}

static bool
measure(run_t *run)
{
    bench_progress_begin(&run->progress, 0);
    (void)each_group(run, add_weight);
    control_all(run, "(before)");
    if (!each_group(run, run_group)) {
        return false;
    }
    control_all(run, "(after)");
    skip_what_never_runs(run);
    bench_table_controls(&run->results);
    return run->options.json == NULL ||
           bench_json_write(run->options.json, &run->machine, &run->support, &run->options,
                            &run->results);
}

static bool
set_up_and_measure(run_t *run)
{
    run->support = bench_counters_probe(run->machine.intel);
    bench_pool_t *pool =
        bench_pool_start(most_threads(run), run->machine.cpus, run->machine.n_cpus, &run->support);
    if (pool == NULL) {
        return false;
    }
    bool ok = bench_lab_init(&run->lab, pool, most_threads(run));
    if (ok) {
        bench_table_header(&run->machine, &run->support, &run->options);
        ok = measure(run);
        bench_lab_free(&run->lab);
    }
    bench_pool_end(pool);
    bench_results_free(&run->results);
    return ok;
}

int
main(int argc, char **argv)
{
    static run_t run; /* large */
    run.machine = bench_machine();
    switch (bench_options_parse(&run.options, argc, argv, run.machine.n_cpus)) {
    case BENCH_OPTIONS_ERROR:
        return 2;
    case BENCH_OPTIONS_DONE:
        return 0;
    case BENCH_OPTIONS_RUN:
        break;
    }
    if (run.options.json != NULL && !bench_json_can_write(run.options.json)) {
        return 1;
    }
    return set_up_and_measure(&run) ? 0 : 1;
}
