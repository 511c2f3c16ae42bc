/* machine.c: see machine.h.
 *
 * Purpose: reads /proc and /sys; compiler, flags and commit come from the compile command.
 * Main invariant: whatever cannot be found out is said to be unknown, and nothing fails.
 * Threading: see machine.h.
 */
#include "benchmarks/refcount/machine.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

#ifndef OT_BENCH_FLAGS
#define OT_BENCH_FLAGS "unknown"
#endif
#ifndef OT_BENCH_COMMIT
#define OT_BENCH_COMMIT ""
#endif

/* What stands behind the colon of `name`'s first line. False if there is none. */
static bool
cpuinfo(const char *name, char *value, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (file == NULL) {
        return false;
    }
    char line[4096];
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (colon != NULL && strncmp(line, name, strlen(name)) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(value, size, "%s", colon[1] == ' ' ? colon + 2 : colon + 1);
            found = true;
        }
    }
    fclose(file);
    return found;
}

/* Its name, and by what its vendor tells it from others of that name: "AMD EPYC" is more than one. As in
 * benchmarks/common/machine.py: pages compare the two. */
static void
processor(char *text, size_t size, const char *unknown)
{
    char name[96], family[16], model[16];
    if (!cpuinfo("model name", name, sizeof name)) {
        snprintf(name, sizeof name, "%s", unknown);
    }
    if (cpuinfo("cpu family", family, sizeof family) && cpuinfo("model\t", model, sizeof model)) {
        snprintf(text, size, "%s, family %s, model %s", name, family, model);
    } else {
        snprintf(text, size, "%s", name);
    }
}

static int
virtualised(void)
{
    char flags[4096];
    if (!cpuinfo("flags", flags, sizeof flags)) {
        return -1; /* x86 says it here, others do not */
    }
    return strstr(flags, " hypervisor") != NULL;
}

/* ---- CPUs ---------------------------------------------------------------------------------- */

/* -1 if unknown. */
static int
topology(int cpu, const char *what)
{
    char path[96];
    int value = -1;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, what);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%d", &value) != 1) {
            value = -1;
        }
        fclose(file);
    }
    return value;
}

/* One number for each physical core; a CPU about which nothing is known is one. */
static long
core_of(int cpu)
{
    int core = topology(cpu, "core_id"), package = topology(cpu, "physical_package_id");
    return core < 0 ? -1 - cpu : ((long)package + 1) * 65536 + core;
}

static int
allowed_cpus(int *cpus)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int n = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        CPU_SET(0, &set);
    }
    for (int cpu = 0; cpu < CPU_SETSIZE && n < BENCH_MOST_CPUS; cpu++) {
        if (CPU_ISSET(cpu, &set)) {
            cpus[n++] = cpu;
        }
    }
    return n;
}

static bool
contains(const long *cores, int n, long core)
{
    for (int i = 0; i < n; i++) {
        if (cores[i] == core) {
            return true;
        }
    }
    return false;
}

/* Fills cpus and n_cpus; returns the number of cores. */
static int
order_cpus(bench_machine_t *machine)
{
    int all[BENCH_MOST_CPUS], again[BENCH_MOST_CPUS] = {0}, n_again = 0, n_cores = 0;
    long cores[BENCH_MOST_CPUS];
    machine->n_cpus = allowed_cpus(all);
    for (int i = 0; i < machine->n_cpus; i++) {
        long core = core_of(all[i]);
        if (contains(cores, n_cores, core)) {
            again[n_again++] = all[i];
        } else {
            machine->cpus[n_cores] = all[i];
            cores[n_cores++] = core;
        }
    }
    memcpy(machine->cpus + n_cores, again, (size_t)n_again * sizeof again[0]);
    return n_cores;
}

bench_machine_t
bench_machine(void)
{
    bench_machine_t machine = {.compiler = COMPILER, .flags = OT_BENCH_FLAGS};
    struct utsname name;
    char vendor[64] = "";
    uname(&name);
    processor(machine.cpu, sizeof machine.cpu, name.machine);
    snprintf(machine.kernel, sizeof machine.kernel, "%s %s", name.sysname, name.release);
    machine.intel =
        cpuinfo("vendor_id", vendor, sizeof vendor) && strcmp(vendor, "GenuineIntel") == 0;
    machine.virtualised = virtualised();
    machine.cores = order_cpus(&machine);
    machine.commit = OT_BENCH_COMMIT[0] != '\0' ? OT_BENCH_COMMIT : NULL;
    time_t now = time(NULL);
    struct tm today;
    strftime(machine.date, sizeof machine.date, "%Y-%m-%d", gmtime_r(&now, &today));
    return machine;
}
