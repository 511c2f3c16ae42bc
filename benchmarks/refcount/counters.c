/* counters.c: see counters.h. Linux's perf_event_open.
 *
 * Purpose: opens, reads and closes one group of hardware counters for each thread.
 * Main invariant: fd[0..open) are in the kernel's order of the group, which is that of a reading.
 * Threading: see counters.h.
 */
#include "benchmarks/refcount/counters.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const bench_counter_names[BENCH_COUNTERS] = {"cycles", "instructions", "cache misses",
                                                         "HITM loads"};

/* MEM_LOAD_L3_HIT_RETIRED.XSNP_HITM, called XSNP_FWD from Ice Lake on: event d2, mask 04. */
enum { HITM_INTEL = 0x04d2 };

static const struct {
    uint32_t type;
    uint64_t config;
} events[BENCH_COUNTERS] = {
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES},
    {PERF_TYPE_RAW, HITM_INTEL},
};

/* Returns a file descriptor or -1 with errno set. */
static int
open_event(bench_counter_t which, int leader)
{
    struct perf_event_attr attr = {
        .type = events[which].type,
        .size = sizeof attr,
        .config = events[which].config,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .read_format =
            PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
    };
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, leader, PERF_FLAG_FD_CLOEXEC);
}

bench_counters_t
bench_counters_open(const bench_counter_support_t *support)
{
    bench_counters_t counters = {.leader = -1};
    for (int which = 0; which < BENCH_COUNTERS; which++) {
        int fd = support->has[which] ? open_event((bench_counter_t)which, counters.leader) : -1;
        if (fd < 0) {
            if (which == 0) {
                break; /* nothing to lead the group */
            }
            continue;
        }
        counters.leader = counters.open == 0 ? fd : counters.leader;
        counters.fd[counters.open] = fd;
        counters.which[counters.open++] = which;
    }
    return counters;
}

void
bench_counters_close(bench_counters_t *counters)
{
    for (int i = counters->open - 1; i >= 0; i--) {
        close(counters->fd[i]);
    }
    *counters = (bench_counters_t){.leader = -1};
}

void
bench_counters_read(const bench_counters_t *counters, bench_reading_t *reading)
{
    struct {
        uint64_t n, enabled, running, value[BENCH_COUNTERS];
    } raw = {0};
    memset(reading, 0, sizeof *reading);
    if (counters->leader < 0 || read(counters->leader, &raw, sizeof raw) <= 0) {
        return;
    }
    reading->enabled = raw.enabled;
    reading->running = raw.running;
    for (int i = 0; i < counters->open; i++) {
        reading->value[counters->which[i]] = raw.value[i];
    }
}

double
bench_counters_between(const bench_reading_t *before, const bench_reading_t *after,
                       bench_counter_t which)
{
    double running = (double)(after->running - before->running);
    if (running <= 0) {
        return NAN;
    }
    double share = (double)(after->enabled - before->enabled) / running;
    return (double)(after->value[which] - before->value[which]) * share;
}

/* ---- what there is ------------------------------------------------------------------------- */

static void
explain(int error, char *why, size_t size)
{
    int level = -1;
    FILE *file = fopen("/proc/sys/kernel/perf_event_paranoid", "re");
    if (file != NULL) {
        if (fscanf(file, "%d", &level) != 1) {
            level = -1;
        }
        fclose(file);
    }
    if (error == EACCES || error == EPERM) {
        snprintf(why, size, "perf_event_open is not allowed (kernel.perf_event_paranoid is %d)",
                 level);
    } else if (error == ENOENT || error == EOPNOTSUPP || error == ENODEV) {
        snprintf(why, size,
                 "the machine shows no hardware counters (virtual machines often do not)");
    } else {
        snprintf(why, size, "perf_event_open: %s", strerror(error));
    }
}

/* Some virtual machines have counters that never move. */
static bool
cycles_move(const bench_counters_t *counters)
{
    bench_reading_t before, after;
    bench_counters_read(counters, &before);
    for (volatile int i = 0; i < 100000; i++) {
    }
    bench_counters_read(counters, &after);
    return after.running > before.running && after.value[BENCH_CYCLES] > before.value[BENCH_CYCLES];
}

bench_counter_support_t
bench_counters_probe(bool intel)
{
    bench_counter_support_t support = {.available = false};
    int fd = open_event(BENCH_CYCLES, -1);
    if (fd < 0) {
        explain(errno, support.why_not, sizeof support.why_not);
        return support;
    }
    close(fd);
    bench_counter_support_t all = {.has = {true, true, true, intel}};
    bench_counters_t counters = bench_counters_open(&all);
    support.available = cycles_move(&counters);
    for (int i = 0; support.available && i < counters.open; i++) {
        support.has[counters.which[i]] = true;
    }
    bench_counters_close(&counters);
    if (!support.available) {
        snprintf(support.why_not, sizeof support.why_not, "they open but stand still");
    }
    return support;
}
