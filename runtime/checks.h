/* checks.h: whether invariants are checked where they could break.
 *
 * Purpose: OT_CHECKS is on wherever assert is (debug builds, sanitizers, tests/tsan), off in what is
 * measured and shipped. Each structure with an invariant has an ot_<thing>_check(), which its public
 * operations call at their ends then.
 * Main invariant: a check changes nothing that others can see, and aborts where it finds a fault.
 * Threading: each check says which locks it needs.
 */
#ifndef OT_RUNTIME_CHECKS_H
#define OT_RUNTIME_CHECKS_H

#include <stdio.h>
#include <stdlib.h>

#ifndef NDEBUG
#define OT_CHECKS 1
#endif

/* The call of a check where its invariant holds: nothing where OT_CHECKS is off. */
#ifdef OT_CHECKS
#define OT_CHECK(call) (call)
#else
#define OT_CHECK(call) ((void)0)
#endif

/* Aborts if the condition does not hold, in each build: a check is called only where it was decided to check. */
#define OT_MUST(condition) ((condition) ? (void)0 : ot_must_failed(#condition, __FILE__, __LINE__))

static inline void
ot_must_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: an invariant does not hold: %s\n", file, line, condition);
    abort();
}

#endif
