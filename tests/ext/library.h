/* library.h: stands for a C library with process-wide state that is strict about how it is used.
 *
 * Main invariant: init and exit alternate and are never in two threads at once; use happens between
 * them. Whoever breaks that hears of it at once: the process says how and ends with status 77.
 * Threading: any thread; the counts are atomic, as a library's own are that checks its callers.
 */
#ifndef OT_TESTS_LIBRARY_H
#define OT_TESTS_LIBRARY_H

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LIBRARY_MISUSED = 77 };

static struct {
    atomic_int changing, live;
    atomic_long inits, exits, uses;
} library;

static void
library_misused(const char *how)
{
    fprintf(stderr, "library misused: %s\n", how);
    fflush(NULL);
    _exit(LIBRARY_MISUSED);
}

static void
library_change(int from, int to, const char *twice)
{
    if (atomic_exchange(&library.changing, 1)) {
        library_misused("init or exit while another thread is at init or exit");
    }
    if (atomic_load(&library.live) != from) {
        library_misused(twice);
    }
    for (int i = 0; i < 20; i++) {
        sched_yield(); /* room for another thread to run into this one */
    }
    atomic_store(&library.live, to);
    atomic_store(&library.changing, 0);
}

__attribute__((unused)) static void
library_init(void)
{
    library_change(0, 1, "init of what is initialised");
    atomic_fetch_add(&library.inits, 1);
}

__attribute__((unused)) static void
library_exit(void)
{
    library_change(1, 0, "exit of what is not initialised");
    atomic_fetch_add(&library.exits, 1);
}

static void
library_use(void)
{
    if (!atomic_load(&library.live)) {
        library_misused("use while it is not initialised");
    }
    atomic_fetch_add(&library.uses, 1);
}

/* At the process's end, LIBRARY_REPORT in the environment: what came of it. */
__attribute__((destructor)) static void
library_report(void)
{
    if (getenv("LIBRARY_REPORT") != NULL) {
        fprintf(stderr, "library: %ld inits, %ld exits\n", atomic_load(&library.inits),
                atomic_load(&library.exits));
    }
}

#endif
