/* spin.h: whether to look for a while before going to sleep, learnt from how that went.
 *
 * Waking a sleeping thread takes microseconds on both sides; an answer that is on its way comes
 * sooner. But spinning in vain is a core taken from somebody. So: one thread at a time per
 * ot_spin_t, for OT_SPIN_NS at most, not at all where the process was given one CPU, and less and
 * less where it does not pay.
 *
 * Main invariant: 0 <= credit <= OT_SPIN_MAX; busy is set exactly between a begin that returned
 * true and its end.
 * Threading: any thread, no lock. Credit is a hint: two threads that change it at once may lose a
 * change. No Python; hold no GIL while spinning.
 */
#ifndef OT_RUNTIME_SPIN_H
#define OT_RUNTIME_SPIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* About what it takes to wake a thread. */
enum { OT_SPIN_NS = 10000 };

/* Each success earns one; each failure costs two, so it goes on where at least two of three are
 * successes. Without credit, one wait of OT_SPIN_RETRY spins all the same, to see whether times
 * have changed. */
enum { OT_SPIN_START = 6, OT_SPIN_MAX = 12, OT_SPIN_RETRY = 32 };

typedef struct {
    atomic_bool busy;
    atomic_int credit;
    atomic_uint passed; /* waits that did not spin for want of credit */
} ot_spin_t;

void ot_spin_init(ot_spin_t *s);

/* Whether the calling thread shall spin now. If so it must call ot_spin_end. */
bool ot_spin_begin(ot_spin_t *s);

/* paid: what was waited for came. */
void ot_spin_end(ot_spin_t *s, bool paid);

/* CPUs that the process was allowed when this was first called: the main thread's, for a thread
 * pinned to one CPU may well wait for one on another. */
int ot_spin_cpus(void);

#endif
