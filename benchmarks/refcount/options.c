/* options.c: see options.h.
 *
 * Purpose: the command line, --help and --list.
 * Main invariant: see options.h. A name or number that makes no sense is an error, never ignored.
 * Threading: main.
 */
#include "benchmarks/refcount/options.h"

#include <fnmatch.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: refcount [options]\n"
    "\n"
    "What refcounts and locks cost, alone and when threads meet.\n"
    "\n"
    "  --threads LIST    numbers of threads, e.g. 1,2,8       (1, 2, 4, ... all allowed CPUs)\n"
    "  --patterns LIST   which patterns; shell globs: 'mix_*'  (all)\n"
    "  --variants LIST   which variants; shell globs: 'lk_*'   (all)\n"
    "  --sizes LIST      objects in streams, 1e3 to 1e7        (1e3,1e5,1e7)\n"
    "  --seconds S       length of one sample                  (0.05)\n"
    "  --repeat N        samples of each case                  (5)\n"
    "  --memory MIB      the most that one case may take       (2048)\n"
    "  --json FILE       write everything there too\n"
    "  --smoke           one tiny sample of everything, to see that it works\n"
    "  --list            name all patterns and variants\n"
    "  --help            this\n";

static void
list_patterns(FILE *file)
{
    fprintf(file, "patterns:\n");
    for (int i = 0; i < bench_pattern_count; i++) {
        fprintf(file, "  %-20s %s\n", bench_patterns[i].name, bench_patterns[i].text);
    }
}

static void
list_variants(FILE *file)
{
    fprintf(file, "variants:\n");
    for (int i = 0; i < bench_subject_count; i++) {
        fprintf(file, "  %-20s %s\n", bench_subjects[i].name, bench_subjects[i].text);
    }
}

/* ---- lists --------------------------------------------------------------------------------- */

/* Called for each item of a list; false: makes no sense, said on stderr. */
typedef bool (*item_fn)(bench_options_t *options, const char *item);

static bool
each_item(bench_options_t *options, const char *list, item_fn item)
{
    char *copy = strdup(list), *rest = NULL;
    bool ok = copy != NULL, any = false;
    for (char *word = ok ? strtok_r(copy, ", ", &rest) : NULL; ok && word != NULL;
         word = strtok_r(NULL, ", ", &rest)) {
        ok = item(options, word);
        any = true;
    }
    if (ok && !any) {
        fprintf(stderr, "refcount: an empty list\n");
        ok = false;
    }
    free(copy);
    return ok;
}

/* Marks each name that the glob matches; false if there is none. */
static bool
select_pattern(bench_options_t *options, const char *glob)
{
    bool any = false;
    for (int i = 0; i < bench_pattern_count; i++) {
        if (fnmatch(glob, bench_patterns[i].name, 0) == 0) {
            options->wants_pattern[i] = true;
            any = true;
        }
    }
    if (!any) {
        fprintf(stderr, "refcount: no pattern is called %s; there are these\n", glob);
        list_patterns(stderr);
    }
    return any;
}

static bool
select_variant(bench_options_t *options, const char *glob)
{
    bool any = false;
    for (int i = 0; i < bench_subject_count; i++) {
        if (fnmatch(glob, bench_subjects[i].name, 0) == 0) {
            options->wants_subject[i] = true;
            any = true;
        }
    }
    if (!any) {
        fprintf(stderr, "refcount: no variant is called %s; there are these\n", glob);
        list_variants(stderr);
    }
    return any;
}

static bool
contains(const bool *wants, int n)
{
    for (int i = 0; i < n; i++) {
        if (wants[i]) {
            return true;
        }
    }
    return false;
}

/* Makes the lists of what was marked; of everything, if nothing was. */
static void
gather(bench_options_t *options)
{
    bool all = !contains(options->wants_pattern, bench_pattern_count);
    for (int i = 0; i < bench_pattern_count; i++) {
        if (all || options->wants_pattern[i]) {
            options->patterns[options->n_patterns++] = &bench_patterns[i];
        }
    }
    all = !contains(options->wants_subject, bench_subject_count);
    for (int i = 0; i < bench_subject_count; i++) {
        if (all || options->wants_subject[i]) {
            options->subjects[options->n_subjects++] = &bench_subjects[i];
        }
    }
}

/* A whole number, also as 1e5; false with a message if it is not between the two. */
static bool
number(const char *what, const char *text, double least, double most, double *value)
{
    char *end;
    *value = strtod(text, &end);
    if (*end == '\0' && end != text && *value >= least && *value <= most &&
        floor(*value) == *value) {
        return true;
    }
    fprintf(stderr, "refcount: %s: not %s, but a whole number from %.0f to %.0f\n", what, text,
            least, most);
    return false;
}

static bool
add_threads(bench_options_t *options, const char *text)
{
    double n;
    if (!number("--threads", text, 1, BENCH_MOST_THREADS, &n)) {
        return false;
    }
    if (options->n_threads == BENCH_MOST_LIST) {
        fprintf(stderr, "refcount: --threads: too many\n");
        return false;
    }
    options->threads[options->n_threads++] = (int)n;
    return true;
}

static bool
add_size(bench_options_t *options, const char *text)
{
    double n;
    if (!number("--sizes", text, BENCH_LEAST_SIZE, BENCH_MOST_SIZE, &n)) {
        return false;
    }
    if (options->n_sizes == BENCH_MOST_LIST) {
        fprintf(stderr, "refcount: --sizes: too many\n");
        return false;
    }
    options->sizes[options->n_sizes++] = (size_t)n;
    return true;
}

static int
compare_ints(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static int
compare_sizes(const void *a, const void *b)
{
    return (*(const size_t *)a > *(const size_t *)b) - (*(const size_t *)a < *(const size_t *)b);
}

/* Sorts and removes what stands there twice. */
static void
sort_numbers(bench_options_t *options)
{
    qsort(options->threads, (size_t)options->n_threads, sizeof options->threads[0], compare_ints);
    qsort(options->sizes, (size_t)options->n_sizes, sizeof options->sizes[0], compare_sizes);
    int n = 1;
    for (int i = 1; i < options->n_threads; i++) {
        if (options->threads[i] != options->threads[n - 1]) {
            options->threads[n++] = options->threads[i];
        }
    }
    options->n_threads = n;
    n = 1;
    for (int i = 1; i < options->n_sizes; i++) {
        if (options->sizes[i] != options->sizes[n - 1]) {
            options->sizes[n++] = options->sizes[i];
        }
    }
    options->n_sizes = n;
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* What was not asked for. A smoke test runs with two threads even where there is one CPU. */
static void
fill_in(bench_options_t *options, bool smoke, int cpus)
{
    if (options->n_threads == 0) {
        int most = smoke ? 2 : cpus;
        for (int n = 1; n < most; n *= 2) {
            options->threads[options->n_threads++] = n;
        }
        options->threads[options->n_threads++] = most;
    }
    if (options->n_sizes == 0) {
        options->sizes[options->n_sizes++] = 1000;
        for (size_t size = 100000; !smoke && size <= BENCH_MOST_SIZE; size *= 100) {
            options->sizes[options->n_sizes++] = size;
        }
    }
    if (options->seconds <= 0) {
        options->seconds = smoke ? 0.0005 : 0.05;
    }
    if (options->repeat == 0) {
        options->repeat = smoke ? 1 : 5;
    }
}

enum { PATTERNS = 256, VARIANTS, THREADS, SIZES, SECONDS, REPEAT, MEMORY, JSON, SMOKE, LIST, HELP };

static const struct option long_options[] = {
    {"patterns", required_argument, NULL, PATTERNS},
    {"variants", required_argument, NULL, VARIANTS},
    {"threads", required_argument, NULL, THREADS},
    {"sizes", required_argument, NULL, SIZES},
    {"seconds", required_argument, NULL, SECONDS},
    {"repeat", required_argument, NULL, REPEAT},
    {"memory", required_argument, NULL, MEMORY},
    {"json", required_argument, NULL, JSON},
    {"smoke", no_argument, NULL, SMOKE},
    {"list", no_argument, NULL, LIST},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

static bool
take_seconds(bench_options_t *options, const char *text)
{
    char *end;
    options->seconds = strtod(text, &end);
    if (*end != '\0' || !(options->seconds >= 0.0001 && options->seconds <= 60)) {
        fprintf(stderr, "refcount: --seconds: not %s, but 0.0001 to 60\n", text);
        return false;
    }
    return true;
}

static bool
take(bench_options_t *options, int option, const char *value)
{
    double n = 0;
    bool ok;
    switch (option) {
    case PATTERNS:
        return each_item(options, value, select_pattern);
    case VARIANTS:
        return each_item(options, value, select_variant);
    case THREADS:
        return each_item(options, value, add_threads);
    case SIZES:
        return each_item(options, value, add_size);
    case SECONDS:
        return take_seconds(options, value);
    case REPEAT:
        ok = number("--repeat", value, 1, 1000, &n);
        options->repeat = (int)n;
        return ok;
    case MEMORY:
        ok = number("--memory", value, 1, 1 << 24, &n);
        options->memory = (size_t)n << 20;
        return ok;
    case JSON:
        options->json = value;
        return true;
    default:
        fputs("refcount: try --help\n", stderr);
        return false;
    }
}

bench_options_result_t
bench_options_parse(bench_options_t *options, int argc, char **argv, int cpus)
{
    *options = (bench_options_t){.memory = (size_t)2048 << 20};
    bool smoke = false;
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (option == HELP) {
            fputs(usage, stdout);
            return BENCH_OPTIONS_DONE;
        }
        if (option == LIST) {
            list_patterns(stdout);
            list_variants(stdout);
            return BENCH_OPTIONS_DONE;
        }
        if (option == SMOKE) {
            smoke = true;
        } else if (!take(options, option, optarg)) {
            return BENCH_OPTIONS_ERROR;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "refcount: what is %s? Try --help\n", argv[optind]);
        return BENCH_OPTIONS_ERROR;
    }
    gather(options);
    fill_in(options, smoke, cpus);
    sort_numbers(options);
    return BENCH_OPTIONS_RUN;
}
