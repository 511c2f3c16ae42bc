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
    "What refcounts and locks cost, alone and when threads meet. Prints one JSON object a line\n"
    "(lines.h); make bench-refcount makes tables and a results file of them.\n"
    "\n"
    "  --threads LIST    numbers of threads, e.g. 1,2,8       (1, 2, 4, ... all allowed CPUs)\n"
    "  --patterns LIST   which patterns; shell globs: 'mix_*'  (all)\n"
    "  --variants LIST   which variants; shell globs: 'lk_*'   (all)\n"
    "  --sizes LIST      objects in streams, 1e3 to 1e7        (1e3,1e5,1e7)\n"
    "  --seconds S       length of one sample                  (0.05)\n"
    "  --repeat N        samples of each case                  (5)\n"
    "  --memory MIB      the most that one case may take       (2048)\n"
    "  --smoke           one tiny sample of everything, to see that it works\n"
    "  --list            name all patterns and variants\n"
    "  --help            this\n";

/* ---- lists --------------------------------------------------------------------------------- */

/* Called for each item of a list; false: makes no sense, said on stderr. */
typedef bool (*item_fn)(void *into, const char *item);

static bool
each_item(const char *list, item_fn item, void *into)
{
    char *copy = strdup(list), *rest = NULL;
    bool ok = copy != NULL, any = false;
    for (char *word = ok ? strtok_r(copy, ", ", &rest) : NULL; ok && word != NULL;
         word = strtok_r(NULL, ", ", &rest)) {
        ok = item(into, word);
        any = true;
    }
    if (ok && !any) {
        fprintf(stderr, "refcount: an empty list\n");
        ok = false;
    }
    free(copy);
    return ok;
}

/* ---- names --------------------------------------------------------------------------------- */

/* The names in a table, and which of them were asked for: all, if none was. */
typedef struct {
    const char *what;
    int n;
    const char *name[BENCH_MOST_LIST], *text[BENCH_MOST_LIST];
    bool wanted[BENCH_MOST_LIST], any;
} menu_t;

static void
offer(menu_t *menu, const char *name, const char *text)
{
    menu->name[menu->n] = name;
    menu->text[menu->n++] = text;
}

static void
list(FILE *file, const menu_t *menu)
{
    fprintf(file, "%ss:\n", menu->what);
    for (int i = 0; i < menu->n; i++) {
        fprintf(file, "  %-20s %s\n", menu->name[i], menu->text[i]);
    }
}

/* Marks each name that the glob matches; false if there is none. */
static bool
choose(void *into, const char *glob)
{
    menu_t *menu = into;
    bool any = false;
    for (int i = 0; i < menu->n; i++) {
        if (fnmatch(glob, menu->name[i], 0) == 0) {
            menu->wanted[i] = any = true;
        }
    }
    menu->any |= any;
    if (!any) {
        fprintf(stderr, "refcount: no %s is called %s; there are these\n", menu->what, glob);
        list(stderr, menu);
    }
    return any;
}

static bool
chosen(const menu_t *menu, int i)
{
    return !menu->any || menu->wanted[i];
}

/* ---- numbers ------------------------------------------------------------------------------- */

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

/* An option's numbers, and what each must be between. */
typedef struct {
    const char *option;
    int least, most;
    bench_numbers_t *numbers;
} range_t;

static bool
add_number(void *into, const char *text)
{
    const range_t *range = into;
    bench_numbers_t *numbers = range->numbers;
    double x;
    if (!number(range->option, text, range->least, range->most, &x)) {
        return false;
    }
    if (numbers->n == BENCH_MOST_LIST) {
        fprintf(stderr, "refcount: %s: too many\n", range->option);
        return false;
    }
    numbers->x[numbers->n++] = (int)x;
    return true;
}

static int
compare_ints(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

/* Sorts and removes what stands there twice. */
static void
sort_numbers(bench_numbers_t *numbers)
{
    qsort(numbers->x, (size_t)numbers->n, sizeof numbers->x[0], compare_ints);
    int n = 1;
    for (int i = 1; i < numbers->n; i++) {
        if (numbers->x[i] != numbers->x[n - 1]) {
            numbers->x[n++] = numbers->x[i];
        }
    }
    numbers->n = n;
}

/* ---- the whole ----------------------------------------------------------------------------- */

typedef struct {
    bench_options_t *options;
    menu_t patterns, subjects;
} parser_t;

static void
init_parser(parser_t *parser, bench_options_t *options)
{
    *options = (bench_options_t){.memory = (size_t)2048 << 20};
    *parser = (parser_t){
        .options = options, .patterns = {.what = "pattern"}, .subjects = {.what = "variant"}};
    for (int i = 0; i < bench_pattern_count; i++) {
        offer(&parser->patterns, bench_patterns[i].name, bench_patterns[i].text);
    }
    for (int i = 0; i < bench_subject_count; i++) {
        offer(&parser->subjects, bench_subjects[i].name, bench_subjects[i].text);
    }
}

/* Points at what was chosen. */
static void
gather(const parser_t *parser)
{
    bench_options_t *options = parser->options;
    for (int i = 0; i < bench_pattern_count; i++) {
        if (chosen(&parser->patterns, i)) {
            options->patterns[options->n_patterns++] = &bench_patterns[i];
        }
    }
    for (int i = 0; i < bench_subject_count; i++) {
        if (chosen(&parser->subjects, i)) {
            options->subjects[options->n_subjects++] = &bench_subjects[i];
        }
    }
}

/* What was not asked for. A smoke test runs with two threads even where there is one CPU. */
static void
fill_in(bench_options_t *options, bool smoke, int cpus)
{
    bench_numbers_t *threads = &options->threads, *sizes = &options->sizes;
    if (threads->n == 0) {
        int most = smoke ? 2 : cpus;
        for (int n = 1; n < most; n *= 2) {
            threads->x[threads->n++] = n;
        }
        threads->x[threads->n++] = most;
    }
    if (sizes->n == 0) {
        sizes->x[sizes->n++] = 1000;
        for (int size = 100000; !smoke && size <= BENCH_MOST_SIZE; size *= 100) {
            sizes->x[sizes->n++] = size;
        }
    }
    if (options->seconds <= 0) {
        options->seconds = smoke ? 0.0005 : 0.05;
    }
    if (options->repeat == 0) {
        options->repeat = smoke ? 1 : 5;
    }
}

enum { PATTERNS = 256, VARIANTS, THREADS, SIZES, SECONDS, REPEAT, MEMORY, SMOKE, LIST, HELP };

static const struct option long_options[] = {
    {"patterns", required_argument, NULL, PATTERNS},
    {"variants", required_argument, NULL, VARIANTS},
    {"threads", required_argument, NULL, THREADS},
    {"sizes", required_argument, NULL, SIZES},
    {"seconds", required_argument, NULL, SECONDS},
    {"repeat", required_argument, NULL, REPEAT},
    {"memory", required_argument, NULL, MEMORY},
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
take(parser_t *parser, int option, const char *value)
{
    bench_options_t *options = parser->options;
    range_t threads = {"--threads", 1, BENCH_MOST_THREADS, &options->threads};
    range_t sizes = {"--sizes", BENCH_LEAST_SIZE, BENCH_MOST_SIZE, &options->sizes};
    double n = 0;
    bool ok;
    switch (option) {
    case PATTERNS:
        return each_item(value, choose, &parser->patterns);
    case VARIANTS:
        return each_item(value, choose, &parser->subjects);
    case THREADS:
        return each_item(value, add_number, &threads);
    case SIZES:
        return each_item(value, add_number, &sizes);
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
    default:
        fputs("refcount: try --help\n", stderr);
        return false;
    }
}

bench_options_result_t
bench_options_parse(bench_options_t *options, int argc, char **argv, int cpus)
{
    parser_t parser;
    init_parser(&parser, options);
    bool smoke = false;
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (option == HELP) {
            fputs(usage, stdout);
            return BENCH_OPTIONS_DONE;
        }
        if (option == LIST) {
            list(stdout, &parser.patterns);
            list(stdout, &parser.subjects);
            return BENCH_OPTIONS_DONE;
        }
        if (option == SMOKE) {
            smoke = true;
        } else if (!take(&parser, option, optarg)) {
            return BENCH_OPTIONS_ERROR;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "refcount: what is %s? Try --help\n", argv[optind]);
        return BENCH_OPTIONS_ERROR;
    }
    gather(&parser);
    fill_in(options, smoke, cpus);
    sort_numbers(&options->threads);
    sort_numbers(&options->sizes);
    return BENCH_OPTIONS_RUN;
}
