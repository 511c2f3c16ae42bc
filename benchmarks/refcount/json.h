/* json.h: writes JSON, and the results as JSON.
 *
 * Purpose: the file that report.py reads. Its shape: benchmarks/README.md, "schema": 1.
 * Main invariant: the writer puts the commas; NaN becomes null; strings are escaped.
 * Threading: main.
 */
#ifndef OT_BENCH_JSON_H
#define OT_BENCH_JSON_H

#include <stdbool.h>

#include "benchmarks/refcount/counters.h"
#include "benchmarks/refcount/machine.h"
#include "benchmarks/refcount/options.h"
#include "benchmarks/refcount/results.h"

/* Whether the file can be written; to be asked before two minutes of measuring. Says why not. */
bool bench_json_can_write(const char *path);

/* False with a message on stderr. */
bool bench_json_write(const char *path, const bench_machine_t *machine,
                      const bench_counter_support_t *support, const bench_options_t *options,
                      const bench_results_t *results);

#endif
