/* table.c: see table.h.
 *
 * Purpose: formatting.
 * Main invariant: see table.h. A number that there is none of is a dash.
 * Threading: main.
 */
#include "benchmarks/refcount/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Short names for the columns of bench_counter_names. */
static const char *const counter_columns[BENCH_COUNTERS] = {"cycles", "instr.", "misses", "HITM"};

/* ---- header -------------------------------------------------------------------------------- */

static void
print_counters(const bench_counter_support_t *support)
{
    printf("counters   ");
    if (!support->available) {
        printf("not available: %s\n", support->why_not);
        return;
    }
    const char *comma = "";
    for (int c = 0; c < BENCH_COUNTERS; c++) {
        if (support->has[c]) {
            printf("%s%s", comma, bench_counter_names[c]);
            comma = ", ";
        }
    }
    printf("; per op, in user space\n");
}

static void
print_machine(const bench_machine_t *machine)
{
    printf("CPU        %s%s\n", machine->cpu, machine->virtualised == 1 ? ", virtual machine" : "");
    printf("cores      %d, allowed CPUs in the order of use:", machine->cores);
    for (int i = 0; i < machine->n_cpus; i++) {
        printf(" %d", machine->cpus[i]);
    }
    printf("\nkernel     %s\n", machine->kernel);
    printf("compiler   %s\n", machine->compiler);
    printf("flags      %s\n", machine->flags);
    printf("commit     %s\n", machine->commit != NULL ? machine->commit : "unknown");
}

static const char legend[] =
    "\n"
    "ns         what one thread waits for one op: a pair (an inc and the dec after it), or what\n"
    "           the table says; median of the samples, and the least and the most of them\n"
    "M ops/s    what all threads do together\n"
    "x 1 thr    that, as a multiple of what the same variant does with one thread\n"
    "x plain    ns as a multiple of plain's in the same repetition: median, least and most\n"
    "fairness   the slowest thread's ops by the fastest's: 1 is fair, 0 is starving\n"
    "*          loses counts there, as it is not made for several threads; shown to compare\n";

void
bench_table_header(const bench_machine_t *machine, const bench_counter_support_t *support,
                   const bench_options_t *options)
{
    print_machine(machine);
    print_counters(support);
    printf("samples    %d of each case, %g s each\n", options->repeat, options->seconds);
    int most = options->threads.x[options->threads.n - 1];
    if (most > machine->n_cpus) {
        printf("note       up to %d threads on %d CPUs: several share a CPU, and wait for it\n",
               most, machine->n_cpus);
    }
    fputs(legend, stdout);
}

/* ---- tables -------------------------------------------------------------------------------- */

/* About four digits, whatever the size. */
static const char *
figure(char *text, size_t size, double x)
{
    if (isnan(x)) {
        return "-";
    }
    snprintf(text, size, "%.*f", fabs(x) < 100 ? 2 : fabs(x) < 1000 ? 1 : 0, x);
    return text;
}

/* In a column of a width, two spaces from the one before. */
static void
print_figure(int width, double x)
{
    char text[32];
    printf("  %*s", width, figure(text, sizeof text, x));
}

static void
print_spread(bench_spread_t spread)
{
    char median[32], least[32], most[32], range[72];
    snprintf(range, sizeof range, "%s .. %s", figure(least, sizeof least, spread.least),
             figure(most, sizeof most, spread.most));
    printf("  %8s  %-18s", figure(median, sizeof median, spread.median),
           isnan(spread.median) ? "" : range);
}

static void
print_columns(const char *what, const char *ns, const bench_counter_support_t *support)
{
    printf("  %-21s  %8s  %-18s  %8s  %7s  %8s  %-18s  %8s", what, ns, "least .. most", "M ops/s",
           "x 1 thr", "x plain", "least .. most", "fairness");
    for (int c = 0; c < BENCH_COUNTERS; c++) {
        if (support->has[c]) {
            printf("  %7s", counter_columns[c]);
        }
    }
    printf("\n");
}

static void
print_case(const bench_case_t *one, const bench_counter_support_t *support)
{
    char name[32];
    snprintf(name, sizeof name, "%s%s", one->setup.subject->name, one->wrong ? " *" : "");
    printf("  %-21s", name);
    print_spread(bench_spread(one->ns, one->samples));
    print_figure(8, bench_spread(one->ops_per_s, one->samples).median / 1e6);
    print_figure(7, one->scaling);
    print_spread(bench_spread(one->ratio, one->ratio != NULL ? one->samples : 0));
    print_figure(8, bench_spread(one->fairness, one->samples).median);
    for (int c = 0; c < BENCH_COUNTERS; c++) {
        if (support->has[c]) {
            print_figure(7, bench_case_count(one, (bench_counter_t)c));
        }
    }
    printf("\n");
}

static void
print_title(const bench_setup_t *setup, double control)
{
    printf("\n== %s", setup->pattern->name);
    if (setup->size != 0) {
        printf(", %zu objects", setup->size);
    }
    printf(", %d thread%s\n   %s\n", setup->threads, setup->threads == 1 ? "" : "s",
           setup->pattern->text);
    if (!isnan(control)) {
        printf("   During this the machine gave these %d threads the time of %.2f.\n",
               setup->threads, control);
    }
}

/* Rows of refcounts, or of locks. */
static void
print_rows(const bench_results_t *results, int first, bool locks,
           const bench_counter_support_t *support)
{
    bool any = false;
    for (int i = first; i < results->n_cases; i++) {
        const bench_case_t *one = &results->cases[i];
        if (one->setup.subject->is_lock != locks) {
            continue;
        }
        if (!any) {
            char ns[16];
            snprintf(ns, sizeof ns, "ns/%s", locks ? "op" : one->setup.pattern->op);
            if (locks) {
                printf("   Locks: an op is lock, ++ of a counter beside the lock, unlock.\n");
            }
            print_columns(locks ? "lock" : "refcount", ns, support);
            any = true;
        }
        print_case(one, support);
    }
}

/* What is to be said of one case alone. What goes for a whole table stands in its title. */
static void
print_notes(const bench_results_t *results, int first)
{
    for (int i = first; i < results->n_cases; i++) {
        const bench_case_t *one = &results->cases[i];
        bool alone = one->note[0] != '\0';
        for (int j = first; j < results->n_cases && alone; j++) {
            alone = j == i || strcmp(one->note, results->cases[j].note) != 0;
        }
        if (alone && !one->wrong) {
            printf("  %s: %s\n", one->setup.subject->name, one->note);
        }
    }
}

void
bench_table_group(const bench_results_t *results, int first, int first_skip, double control,
                  const bench_counter_support_t *support)
{
    if (first < results->n_cases) {
        print_title(&results->cases[first].setup, control);
        print_rows(results, first, false, support);
        print_rows(results, first, true, support);
        print_notes(results, first);
    }
    for (int i = first_skip; i < results->n_skips; i++) {
        const bench_setup_t *setup = &results->skips[i].setup;
        printf("%s  skipped: %s, %s: %s\n", first == results->n_cases ? "\n" : "",
               setup->pattern->name, setup->subject->name, results->skips[i].why);
    }
    fflush(stdout);
}

void
bench_table_controls(const bench_results_t *results)
{
    if (results->n_controls == 0) {
        return;
    }
    printf("\n== control\n   How many times the work of one pinned thread several did that share "
           "nothing\n   (work in registers only). Where this is far from the number of threads "
           "the\n   machine was busy with something else: do not quote that table.\n");
    for (int i = 0; i < results->n_controls; i++) {
        const bench_control_t *control = &results->controls[i];
        printf("  %-14s  %3d threads  %6.2f times\n", control->pattern, control->threads,
               control->times_one);
    }
    fflush(stdout);
}
