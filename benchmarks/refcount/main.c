/* main.c: what refcounts cost, alone and when threads meet: the order of the run.
 *
 * Purpose: for each pattern, size and number of threads: repetitions, in each of which every
 * variant gets one sample, forwards and backwards in turn, so that a variant and plain are
 * compared within moments. What was found is printed as it is found: lines.h.
 * Main invariant: a case is sampled in each repetition, or skipped with a reason.
 * Threading: this is main; workers are the pool's.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "benchmarks/refcount/lines.h"
#include "benchmarks/refcount/machine.h"
#include "benchmarks/refcount/options.h"
#include "benchmarks/refcount/pool.h"
#include "benchmarks/refcount/sample.h"

/* Of a sample's weight, roughly: starting it, and making and checking a byte of objects. */
static const double START_SECONDS = 0.0005, BYTE_SECONDS = 0.4e-9;
static const double MOST_CONTROL_SECONDS = 0.02;
enum { CONTROLS = 5 }; /* samples of it before and after everything */

typedef struct {
    bench_machine_t machine;
    bench_options_t options;
    bench_counter_support_t support;
    bench_lab_t lab;
    double weight; /* of all samples, about seconds */
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
            run->weight += run->options.repeat * weight_of(run, &setup);
        }
    }
    return true;
}

/* ---- a group ------------------------------------------------------------------------------- */

/* Says of each subject whether it is measured; fills in those that are, and returns their number. */
static int
open_cases(const run_t *run, const group_t *group, bench_setup_t *cases)
{
    int n = 0;
    for (int i = 0; i < run->options.n_subjects; i++) {
        bench_setup_t setup = setup_of(group, run->options.subjects[i]);
        char why[120], note[240];
        if (is_possible(run, &setup, why, sizeof why)) {
            bench_note(group->pattern, setup.subject, group->threads, run->machine.n_cpus, note,
                       sizeof note);
            bench_line_case(&setup, bench_is_wrong(setup.pattern, setup.subject, setup.threads),
                            note);
            cases[n++] = setup;
        } else if (why[0] != '\0') {
            bench_line_skipped(&setup, why);
        }
    }
    return n;
}

static bool
sample_case(run_t *run, const bench_setup_t *setup, int repetition)
{
    bench_sample_t sample;
    if (!bench_sample(&run->lab, setup, run->options.seconds, &sample)) {
        return false;
    }
    bench_line_sample(setup, repetition, &sample, weight_of(run, setup));
    return true;
}

static bool
run_group(run_t *run, const group_t *group)
{
    if (!bench_runs_with(group->pattern, group->threads)) {
        return true;
    }
    bench_setup_t cases[BENCH_MOST_LIST];
    int n = open_cases(run, group, cases);
    for (int rep = 0; n > 0 && rep < run->options.repeat; rep++) {
        if (group->threads > 1) {
            bench_line_control(group->pattern->name, group->size, group->threads, rep,
                               bench_control(&run->lab, group->threads, control_seconds(run)));
        }
        for (int i = 0; i < n; i++) {
            if (!sample_case(run, &cases[rep % 2 == 0 ? i : n - 1 - i], rep)) {
                return false;
            }
        }
    }
    bench_line_end();
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
    for (int i = 0; threads > 1 && i < CONTROLS; i++) {
        bench_line_control(when, 0, threads, i,
                           bench_control(&run->lab, threads, control_seconds(run)));
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
        for (int i = 0; i < run->options.n_subjects && !runs; i++) {
            group_t group = {pattern, 0, 2};
            bench_setup_t setup = setup_of(&group, run->options.subjects[i]);
            if (bench_runs(pattern, setup.subject)) {
                bench_line_skipped(&setup, "it is for exactly 2 threads, and --threads has no 2");
            }
        }
    }
}

static bool
measure(run_t *run)
{
    (void)each_group(run, add_weight);
    bench_line_run(&run->machine, &run->support, &run->options, &run->lab.clock, run->weight);
    control_all(run, "(before)");
    if (!each_group(run, run_group)) {
        return false;
    }
    control_all(run, "(after)");
    skip_what_never_runs(run);
    return true;
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
        ok = measure(run);
        bench_lab_free(&run->lab);
    }
    bench_pool_end(pool);
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
    return set_up_and_measure(&run) ? 0 : 1;
}
