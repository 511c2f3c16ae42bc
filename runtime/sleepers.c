/* sleepers.c: see sleepers.h.
 *
 * Main invariant: of each thread first its state is read, then how often it has gone to sleep. If both
 * looks find it asleep and that count is the same, it slept from the first look's second reading to the
 * second look's first one. That is so for all of them, and all first looks come before all second ones.
 * Threading: any thread, no locks.
 */
#include "runtime/sleepers.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/mix.h"
#include "runtime/park.h"

pid_t
ot_thread_number(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* The file's beginning as a string. False if it cannot be read: the thread has ended, or there is no
 * such file here. */
static bool
read_file(const char *thread, const char *name, char *text, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/task/%s/%s", thread, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, text, size - 1);
    (void)close(fd);
    text[n < 0 ? 0 : n] = '\0';
    return n > 0;
}

/* "number arguments... stack pc", "running", or "-1 stack pc" for a thread outside of system calls. A slice of a
 * sleep in park.c has a timeout; only waking the thread ends that sleep. */
static bool
waits_for_a_thread(const char *thread)
{
    char text[256];
    unsigned long operation, timeout;
    long number;
    if (!read_file(thread, "syscall", text, sizeof text) ||
        sscanf(text, "%ld %*x %lx %*x %lx", &number, &operation, &timeout) != 3) {
        return false;
    }
    unsigned long command = operation & FUTEX_CMD_MASK;
    return number == SYS_futex && (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) &&
           (operation & FUTEX_PRIVATE_FLAG) &&
           (timeout == 0 || ot_park_is_for_ever((pid_t)strtol(thread, NULL, 10)));
}

static bool
times_asleep(const char *thread, uint64_t *times)
{
    char text[4096];
    if (!read_file(thread, "status", text, sizeof text)) {
        return false;
    }
    const char *line = strstr(text, "\nvoluntary_ctxt_switches:");
    if (line == NULL) {
        return false;
    }
    *times = strtoull(strchr(line, ':') + 1, NULL, 10);
    return true;
}

bool
ot_sleepers_look(bool (*leave_out)(pid_t thread), uint64_t *seen)
{
    DIR *threads = opendir("/proc/self/task");
    bool asleep = threads != NULL;
    *seen = 0;
    for (struct dirent *entry; asleep && (entry = readdir(threads)) != NULL;) {
        long thread = strtol(entry->d_name, NULL, 10); /* 0 for . and .. */
        uint64_t times;
        if (thread != 0 && !leave_out((pid_t)thread)) {
            asleep = waits_for_a_thread(entry->d_name) && times_asleep(entry->d_name, &times);
            if (asleep) { /* a sum: the order of the entries does not matter */
                *seen += ot_mix(ot_mix((uint64_t)thread) + times);
            }
        }
    }
    if (threads != NULL) {
        (void)closedir(threads);
    }
    return asleep;
}
