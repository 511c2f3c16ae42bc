/* lines.h: what was found, as it is found: one JSON object a line on stdout.
 *
 * Purpose: all that the program says. bench_refcount.py reads it, prints tables and writes the results
 * file. The key "line" says what a line is:
 *   run      once, first: machine, build, options, variants, patterns, and the weight of the whole
 *   case     a pattern, size, variant and number of threads that will be sampled, and what to know of it
 *   sample   of a case: its figures in one repetition, and its weight
 *   control  how many times the work of one thread several did, within a repetition
 *   skipped  a case that will not be sampled, and why
 *   end      all cases of a pattern, size and number of threads have their samples
 * Main invariant: each line is one whole object, flushed at once; a number that is none is null; strings
 * are JSON whatever is in them.
 * Threading: main.
 */
#ifndef OT_BENCH_LINES_H
#define OT_BENCH_LINES_H

#include "benchmarks/refcount/counters.h"
#include "benchmarks/refcount/machine.h"
#include "benchmarks/refcount/options.h"
#include "benchmarks/refcount/sample.h"

/* `weight`: of all samples, about seconds. */
void bench_line_run(const bench_machine_t *machine, const bench_counter_support_t *support,
                    const bench_options_t *options, const bench_clock_t *clock, double weight);
void bench_line_case(const bench_setup_t *setup, bool wrong, const char *note);
void bench_line_sample(const bench_setup_t *setup, int repetition, const bench_sample_t *sample,
                       double weight);

/* `pattern`: "(before)", "(after)": of the whole run. `size`: of streams; 0 otherwise. */
void bench_line_control(const char *pattern, size_t size, int threads, int repetition,
                        double times_one);
void bench_line_skipped(const bench_setup_t *setup, const char *why);
void bench_line_end(void);

#endif
