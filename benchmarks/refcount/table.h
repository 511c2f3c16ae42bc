/* table.h: what a person reads, on stdout.
 *
 * Purpose: the header, a table for each group of cases, and the controls.
 * Main invariant: reads without a manual: every column and every table says what it is.
 * Threading: main.
 */
#ifndef OT_BENCH_TABLE_H
#define OT_BENCH_TABLE_H

#include "benchmarks/refcount/counters.h"
#include "benchmarks/refcount/machine.h"
#include "benchmarks/refcount/options.h"
#include "benchmarks/refcount/results.h"

void bench_table_header(const bench_machine_t *machine, const bench_counter_support_t *support,
                        const bench_options_t *options);

/* The group that starts at case `first` and skip `first_skip`. `control` is NaN with one thread. */
void bench_table_group(const bench_results_t *results, int first, int first_skip, double control,
                       const bench_counter_support_t *support);

void bench_table_controls(const bench_results_t *results);

#endif
