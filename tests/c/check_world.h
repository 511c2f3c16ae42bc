/* check_world.h: what the tests of checks share: a structure is broken in a child, which must be ended
 * by the check that is meant, with its words.
 *
 * BY(operation, check) is the operation where OT_CHECKS is on, so that what is tested is also that it
 * ends with the check; else the check itself.
 */
#ifndef OT_TESTS_CHECK_WORLD_H
#define OT_TESTS_CHECK_WORLD_H

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/checks.h"

#ifdef OT_CHECKS
#define BY(operation, check) (operation)
#else
#define BY(operation, check) (check)
#endif

/* Asserts that `body` aborts and that `words` are in what it says. */
static inline void
reports(void (*body)(void), const char *words)
{
    int ends[2];
    char said[4096];
    size_t n = 0;
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got;
         n < sizeof said - 1 && (got = read(ends[0], said + n, sizeof said - 1 - n)) > 0;) {
        n += (size_t)got;
    }
    said[n] = 0;
    close(ends[0]);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s: status %d: %s", words,
              status, said);
    cr_assert(strstr(said, "invariant does not hold") != NULL && strstr(said, words) != NULL,
              "%s: %s", words, said);
}

#endif
