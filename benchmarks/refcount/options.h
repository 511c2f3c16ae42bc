/* options.h: what the command line asks for.
 *
 * Purpose: parses and checks it all before anything is measured.
 * Main invariant: the lists are never empty, threads and sizes go up, subjects and patterns are in
 * the order of their tables.
 * Threading: main.
 */
#ifndef OT_BENCH_OPTIONS_H
#define OT_BENCH_OPTIONS_H

#include <stddef.h>

#include "benchmarks/refcount/patterns.h"
#include "benchmarks/refcount/subject.h"

enum {
    BENCH_MOST_THREADS = 1024,
    BENCH_MOST_LIST = 64,
    BENCH_LEAST_SIZE = 1000,
    BENCH_MOST_SIZE = 10000000,
};

/* Whole numbers; the largest, BENCH_MOST_SIZE, is an int. */
typedef struct {
    int n, x[BENCH_MOST_LIST];
} bench_numbers_t;

typedef struct {
    double seconds; /* per sample */
    int repeat;
    size_t memory; /* bytes that one case's objects may take */
    bench_numbers_t threads, sizes;
    int n_patterns;
    const bench_pattern_t *patterns[BENCH_MOST_LIST];
    int n_subjects;
    const bench_subject_t *subjects[BENCH_MOST_LIST];
} bench_options_t;

typedef enum {
    BENCH_OPTIONS_ERROR, /* said on stderr */
    BENCH_OPTIONS_DONE,  /* --help or --list: printed */
    BENCH_OPTIONS_RUN,
} bench_options_result_t;

/* `cpus`: how many we may use; the default number of threads goes up to it. */
bench_options_result_t bench_options_parse(bench_options_t *options, int argc, char **argv,
                                           int cpus);

#endif
