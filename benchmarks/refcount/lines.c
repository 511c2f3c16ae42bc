/* lines.c: see lines.h.
 *
 * Purpose: a writer of forty lines, then the lines, one function each.
 * Main invariant: see lines.h. `key` is NULL inside arrays.
 * Threading: main.
 */
#include "benchmarks/refcount/lines.h"

#include <math.h>
#include <stdio.h>

/* ---- the writer ---------------------------------------------------------------------------- */

static bool started; /* something stands before on this level: a comma is due */

static void
write_string(const char *text)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            printf("\\%c", *c);
        } else if (*c < 0x20) {
            printf("\\u%04x", *c);
        } else {
            putchar(*c);
        }
    }
    putchar('"');
}

/* The comma, and the key of what is written next. */
static void
begin(const char *key)
{
    if (started) {
        fputs(", ", stdout);
    }
    started = true;
    if (key != NULL) {
        write_string(key);
        fputs(": ", stdout);
    }
}

static void
open_part(const char *key, char bracket)
{
    begin(key);
    putchar(bracket);
    started = false;
}

static void
close_part(char bracket)
{
    putchar(bracket);
    started = true;
}

/* NULL: null. */
static void
put_string(const char *key, const char *text)
{
    begin(key);
    if (text == NULL) {
        fputs("null", stdout);
    } else {
        write_string(text);
    }
}

static void
put_number(const char *key, double x)
{
    begin(key);
    if (isfinite(x)) {
        printf("%.9g", x);
    } else {
        fputs("null", stdout);
    }
}

static void
put_bool(const char *key, bool value)
{
    begin(key);
    fputs(value ? "true" : "false", stdout);
}

static void
put_ints(const char *key, const int *x, int n)
{
    open_part(key, '[');
    for (int i = 0; i < n; i++) {
        put_number(NULL, x[i]);
    }
    close_part(']');
}

static void
begin_line(const char *what)
{
    started = false;
    open_part(NULL, '{');
    put_string("line", what);
}

static void
end_line(void)
{
    close_part('}');
    putchar('\n');
    fflush(stdout);
}

/* ---- the run ------------------------------------------------------------------------------- */

static void
put_machine(const bench_machine_t *machine)
{
    open_part("machine", '{');
    put_string("cpu", machine->cpu);
    put_number("cores", machine->cores);
    put_ints("allowed_cpus", machine->cpus, machine->n_cpus);
    put_string("kernel", machine->kernel);
    put_number("cache_line", OT_CACHE_LINE);
    if (machine->virtualised < 0) {
        put_string("virtualised", NULL);
    } else {
        put_bool("virtualised", machine->virtualised == 1);
    }
    close_part('}');
    open_part("build", '{');
    put_string("compiler", machine->compiler);
    put_string("flags", machine->flags);
    put_string("commit", machine->commit);
    close_part('}');
}

static void
put_options(const bench_options_t *options, const char *date)
{
    open_part("options", '{');
    put_number("seconds", options->seconds);
    put_number("repeat", options->repeat);
    put_ints("threads", options->threads.x, options->threads.n);
    put_ints("sizes", options->sizes.x, options->sizes.n);
    close_part('}');
    put_string("date", date);
}

static void
put_support(const bench_counter_support_t *support)
{
    open_part("counters", '{');
    put_bool("available", support->available);
    put_string("why_not", support->available ? NULL : support->why_not);
    open_part("names", '[');
    for (int c = 0; c < BENCH_COUNTERS; c++) {
        if (support->has[c]) {
            put_string(NULL, bench_counter_names[c]);
        }
    }
    close_part(']');
    close_part('}');
}

static void
put_names(const bench_options_t *options)
{
    open_part("variants", '[');
    for (int i = 0; i < options->n_subjects; i++) {
        const bench_subject_t *subject = options->subjects[i];
        open_part(NULL, '{');
        put_string("name", subject->name);
        put_string("text", subject->text);
        put_string("kind", subject->is_lock ? "lock" : "refcount");
        put_bool("one_thread", subject->one_thread);
        put_number("object_bytes", (double)subject->bytes);
        close_part('}');
    }
    close_part(']');
    open_part("patterns", '[');
    for (int i = 0; i < options->n_patterns; i++) {
        open_part(NULL, '{');
        put_string("name", options->patterns[i]->name);
        put_string("text", options->patterns[i]->text);
        put_string("op", options->patterns[i]->op);
        close_part('}');
    }
    close_part(']');
}

static void
put_setup(const bench_setup_t *setup)
{
    put_string("pattern", setup->pattern->name);
    put_number("size", setup->size != 0 ? (double)setup->size : NAN);
    put_string("variant", setup->subject->name);
    put_number("threads", setup->threads);
}

void
bench_line_run(const bench_machine_t *machine, const bench_counter_support_t *support,
               const bench_options_t *options, const bench_clock_t *clock, double weight)
{
    begin_line("run");
    put_number("schema", 3);
    put_machine(machine);
    put_options(options, machine->date);
    put_support(support);
    put_names(options);
    open_part("clock", '{');
    put_number("tick_ns", clock->tick_ns);
    put_number("own_ns", clock->own_ns);
    close_part('}');
    put_number("weight", weight);
    end_line();
}

/* ---- what follows -------------------------------------------------------------------------- */

void
bench_line_case(const bench_setup_t *setup, bool wrong, const char *note)
{
    begin_line("case");
    put_setup(setup);
    put_bool("wrong", wrong);
    put_string("note", note[0] != '\0' ? note : NULL);
    end_line();
}

static void
put_latency(const bench_sample_t *sample)
{
    if (isnan(sample->latency[0])) {
        put_string("latency", NULL);
        return;
    }
    open_part("latency", '{');
    for (int q = 0; q < BENCH_QUANTILES; q++) {
        put_number(bench_quantile_name[q], sample->latency[q]);
    }
    close_part('}');
}

void
bench_line_sample(const bench_setup_t *setup, int repetition, const bench_sample_t *sample,
                  double weight)
{
    begin_line("sample");
    put_setup(setup);
    put_number("repetition", repetition);
    put_number("ns", sample->ns);
    put_number("ops_per_s", sample->ops_per_s);
    put_number("fairness", sample->fairness);
    put_number("ops", sample->ops);
    for (int c = 0; c < BENCH_COUNTERS; c++) {
        put_number(bench_counter_names[c], sample->count[c]);
    }
    put_latency(sample);
    put_number("weight", weight);
    end_line();
}

void
bench_line_control(const char *pattern, size_t size, int threads, int repetition, double times_one)
{
    begin_line("control");
    put_string("pattern", pattern);
    put_number("size", size != 0 ? (double)size : NAN);
    put_number("threads", threads);
    put_number("repetition", repetition);
    put_number("times_one", times_one);
    end_line();
}

void
bench_line_skipped(const bench_setup_t *setup, const char *why)
{
    begin_line("skipped");
    put_setup(setup);
    put_string("why", why);
    end_line();
}

void
bench_line_end(void)
{
    begin_line("end");
    end_line();
}
