/* json.c: see json.h.
 *
 * Purpose: a writer of fifty lines, then the document, part by part in the order of the schema.
 * Main invariant: see json.h. `key` is NULL inside arrays.
 * Threading: main.
 */
#include "benchmarks/refcount/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the writer ---------------------------------------------------------------------------- */

enum { MOST_DEPTH = 8, LINE_DEPTH = 2 }; /* down to LINE_DEPTH each member has a line of its own */

typedef struct {
    FILE *file;
    int depth;
    bool started[MOST_DEPTH]; /* something has been written at this depth */
} json_t;

static void
write_string(json_t *json, const char *text)
{
    fputc('"', json->file);
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            fprintf(json->file, "\\%c", *c);
        } else if (*c < 0x20) {
            fprintf(json->file, "\\u%04x", *c);
        } else {
            fputc(*c, json->file);
        }
    }
    fputc('"', json->file);
}

/* The comma, the line, and the key of what is written next. */
static void
begin(json_t *json, const char *key)
{
    if (json->started[json->depth]) {
        fputs(json->depth <= LINE_DEPTH ? "," : ", ", json->file);
    }
    if (json->depth > 0 && json->depth <= LINE_DEPTH) {
        fprintf(json->file, "\n%*s", json->depth, "");
    }
    json->started[json->depth] = true;
    if (key != NULL) {
        write_string(json, key);
        fputs(": ", json->file);
    }
}

static void
open_part(json_t *json, const char *key, char bracket)
{
    begin(json, key);
    fputc(bracket, json->file);
    json->started[++json->depth] = false;
}

static void
close_part(json_t *json, char bracket)
{
    bool any = json->started[json->depth--];
    if (any && json->depth < LINE_DEPTH) {
        fprintf(json->file, "\n%*s", json->depth, "");
    }
    fputc(bracket, json->file);
}

/* NULL: null. */
static void
put_string(json_t *json, const char *key, const char *text)
{
    begin(json, key);
    if (text == NULL) {
        fputs("null", json->file);
    } else {
        write_string(json, text);
    }
}

static void
put_number(json_t *json, const char *key, double x)
{
    begin(json, key);
    if (isfinite(x)) {
        fprintf(json->file, "%.9g", x);
    } else {
        fputs("null", json->file);
    }
}

static void
put_bool(json_t *json, const char *key, bool value)
{
    begin(json, key);
    fputs(value ? "true" : "false", json->file);
}

/* NULL: null. */
static void
put_numbers(json_t *json, const char *key, const double *x, int n)
{
    if (x == NULL) {
        put_string(json, key, NULL);
        return;
    }
    open_part(json, key, '[');
    for (int i = 0; i < n; i++) {
        put_number(json, NULL, x[i]);
    }
    close_part(json, ']');
}

static void
put_ints(json_t *json, const char *key, const int *x, int n)
{
    open_part(json, key, '[');
    for (int i = 0; i < n; i++) {
        put_number(json, NULL, x[i]);
    }
    close_part(json, ']');
}

/* ---- the document -------------------------------------------------------------------------- */

static void
put_machine(json_t *json, const bench_machine_t *machine)
{
    open_part(json, "machine", '{');
    put_string(json, "cpu", machine->cpu);
    put_number(json, "cores", machine->cores);
    put_ints(json, "allowed_cpus", machine->cpus, machine->n_cpus);
    put_string(json, "kernel", machine->kernel);
    put_number(json, "cache_line", OT_CACHE_LINE);
    if (machine->virtualised < 0) {
        put_string(json, "virtualised", NULL);
    } else {
        put_bool(json, "virtualised", machine->virtualised == 1);
    }
    close_part(json, '}');
    open_part(json, "build", '{');
    put_string(json, "compiler", machine->compiler);
    put_string(json, "flags", machine->flags);
    put_string(json, "commit", machine->commit);
    close_part(json, '}');
}

static void
put_options(json_t *json, const bench_options_t *options, const char *date)
{
    open_part(json, "options", '{');
    put_number(json, "seconds", options->seconds);
    put_number(json, "repeat", options->repeat);
    put_ints(json, "threads", options->threads.x, options->threads.n);
    put_ints(json, "sizes", options->sizes.x, options->sizes.n);
    close_part(json, '}');
    put_string(json, "date", date);
}

static void
put_support(json_t *json, const bench_counter_support_t *support)
{
    open_part(json, "counters", '{');
    put_bool(json, "available", support->available);
    put_string(json, "why_not", support->available ? NULL : support->why_not);
    open_part(json, "names", '[');
    for (int c = 0; c < BENCH_COUNTERS; c++) {
        if (support->has[c]) {
            put_string(json, NULL, bench_counter_names[c]);
        }
    }
    close_part(json, ']');
    close_part(json, '}');
}

static void
put_controls(json_t *json, const bench_results_t *results)
{
    open_part(json, "control", '[');
    for (int i = 0; i < results->n_controls; i++) {
        open_part(json, NULL, '{');
        put_string(json, "pattern", results->controls[i].pattern);
        put_number(json, "threads", results->controls[i].threads);
        put_number(json, "times_one", results->controls[i].times_one);
        close_part(json, '}');
    }
    close_part(json, ']');
}

static void
put_names(json_t *json, const bench_options_t *options)
{
    open_part(json, "variants", '[');
    for (int i = 0; i < options->n_subjects; i++) {
        const bench_subject_t *subject = options->subjects[i];
        open_part(json, NULL, '{');
        put_string(json, "name", subject->name);
        put_string(json, "text", subject->text);
        put_string(json, "kind", subject->is_lock ? "lock" : "refcount");
        put_bool(json, "one_thread", subject->one_thread);
        put_number(json, "object_bytes", (double)subject->bytes);
        close_part(json, '}');
    }
    close_part(json, ']');
    open_part(json, "patterns", '[');
    for (int i = 0; i < options->n_patterns; i++) {
        open_part(json, NULL, '{');
        put_string(json, "name", options->patterns[i]->name);
        put_string(json, "text", options->patterns[i]->text);
        put_string(json, "op", options->patterns[i]->op);
        close_part(json, '}');
    }
    close_part(json, ']');
}

static void
put_setup(json_t *json, const bench_setup_t *setup)
{
    put_string(json, "pattern", setup->pattern->name);
    put_number(json, "size", setup->size != 0 ? (double)setup->size : NAN);
    put_string(json, "variant", setup->subject->name);
    put_number(json, "threads", setup->threads);
}

static void
put_case(json_t *json, const bench_case_t *one)
{
    open_part(json, NULL, '{');
    put_setup(json, &one->setup);
    put_bool(json, "wrong", one->wrong);
    put_numbers(json, "ns", one->ns, one->samples);
    put_numbers(json, "ops_per_s", one->ops_per_s, one->samples);
    put_numbers(json, "fairness", one->fairness, one->samples);
    put_numbers(json, "ratio_to_plain", one->ratio, one->samples);
    put_number(json, "scaling", one->scaling);
    put_number(json, "cycles_per_op", bench_case_count(one, BENCH_CYCLES));
    put_number(json, "instructions_per_op", bench_case_count(one, BENCH_INSTRUCTIONS));
    put_number(json, "misses_per_op", bench_case_count(one, BENCH_MISSES));
    put_number(json, "hitm_per_op", bench_case_count(one, BENCH_HITM));
    put_string(json, "note", one->note[0] != '\0' ? one->note : NULL);
    close_part(json, '}');
}

static void
put_results(json_t *json, const bench_results_t *results)
{
    open_part(json, "cases", '[');
    for (int i = 0; i < results->n_cases; i++) {
        put_case(json, &results->cases[i]);
    }
    close_part(json, ']');
    open_part(json, "skipped", '[');
    for (int i = 0; i < results->n_skips; i++) {
        open_part(json, NULL, '{');
        put_setup(json, &results->skips[i].setup);
        put_string(json, "why", results->skips[i].why);
        close_part(json, '}');
    }
    close_part(json, ']');
}

static bool
cannot_write(const char *path)
{
    fprintf(stderr, "refcount: %s: %s\n", path, strerror(errno));
    return false;
}

bool
bench_json_can_write(const char *path)
{
    FILE *file = fopen(path, "ae");
    return file != NULL ? fclose(file) == 0 : cannot_write(path);
}

bool
bench_json_write(const char *path, const bench_machine_t *machine,
                 const bench_counter_support_t *support, const bench_options_t *options,
                 const bench_results_t *results)
{
    json_t json = {.file = fopen(path, "we")};
    if (json.file == NULL) {
        return cannot_write(path);
    }
    open_part(&json, NULL, '{');
    put_number(&json, "schema", 1);
    put_machine(&json, machine);
    put_options(&json, options, machine->date);
    put_support(&json, support);
    put_controls(&json, results);
    put_names(&json, options);
    put_results(&json, results);
    close_part(&json, '}');
    fputc('\n', json.file);
    bool ok = ferror(json.file) == 0;
    return (fclose(json.file) == 0 && ok) || cannot_write(path);
}
