/* stress.h: what the programs for ThreadSanitizer share. */
#ifndef OT_TESTS_STRESS_H
#define OT_TESTS_STRESS_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Aborts with the program's name and `what` unless good. */
static inline void
check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
        abort();
    }
}

/* A number of the environment. */
static inline long
setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : atol(text);
}

#endif
